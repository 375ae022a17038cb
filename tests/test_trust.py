"""What SECURITY.md says of our own code, checked in its source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "nightfix"
SOURCES = sorted(PACKAGE.rglob("*.py"))

#: Modules that run code found in data.
_UNSAFE_MODULES = {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "cloudpickle"}
#: Calls that run code or a shell, or unpickle.
_UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}
_UNSAFE_METHODS = {("os", "system"), ("os", "popen"), ("torch", "load"), ("torch.jit", "load")}
_UNSAFE_METHODS |= {("np", "load"), ("numpy", "load"), ("yaml", "load"), ("torch.hub", "load")}

#: They start the interpreter itself, to decode files or to measure in; the latter also darktable.
_STARTS_PROGRAMS = {"decoder.py", "benchmark.py"}
#: Checkpoints of one's own training run are read by torch, and only as tensors.
_READS_CHECKPOINTS = {"trainer.py"}


def calls(path: Path) -> list[ast.Call]:
    return [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_no_address_is_opened_by_urllib() -> None:
    """``urllib.parse`` only takes names apart, so that is not asking the network."""
    taken = {
        node.module
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("urllib")
    }
    assert taken <= {"urllib.parse"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_data_is_run_as_code(path: Path) -> None:
    assert imports(path) & _UNSAFE_MODULES == set()
    for call in calls(path):
        name = ast.unparse(call.func)
        assert name not in _UNSAFE_CALLS, f"line {call.lineno}: {name}"
        owner, _, method = name.rpartition(".")
        if (owner, method) in _UNSAFE_METHODS:
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            harmless = path.name in _READS_CHECKPOINTS and keywords.get("weights_only") == "True"
            harmless |= owner in {"np", "numpy"} and keywords.get("allow_pickle") == "False"
            assert harmless, f"line {call.lineno}: {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_shell_is_started(path: Path) -> None:
    if path.name not in _STARTS_PROGRAMS:
        assert imports(path) & {"subprocess", "pty", "multiprocessing"} == set()
    for call in calls(path):
        assert "shell" not in {keyword.arg for keyword in call.keywords}


def test_the_network_is_only_asked_for_weights_and_by_a_cluster() -> None:
    speakers = {"socket", "http", "requests", "httpx", "huggingface_hub", "ftplib"}
    asking = {path.name for path in SOURCES if imports(path) & speakers}
    assert asking <= {"cluster.py", "weights.py", "hub.py", "download.py", "registry.py"}
