"""The house of nightfix/README.md: which room may import what, and by which door."""

from __future__ import annotations

import ast
import importlib
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "nightfix"

#: Each may import those before it.
ROOMS = (
    "read",
    "condition",
    "restore",
    "develop",
    "write",
    "pipeline",
    "batch",
    "training",
    "evaluation",
    "cli",
)

#: Modules that serve all rooms, and import none.
SHARED = {"errors", "progress", "parallel"}

FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)
SERVING = sorted(PACKAGE / f"{name}.py" for name in SHARED)


class Import(NamedTuple):
    """``from module import name``; ``name`` is empty in ``import module``."""

    module: str
    name: str


def name_of(path: Path) -> str:
    """Return the dotted name of a module."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> list[Import]:
    """Return what a file takes from the package, at any depth, for type checkers too."""
    found = []
    inside = name_of(path).split(".")[: None if path.stem == "__init__" else -1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            found += [Import(module, alias.name) for alias in node.names]
    return [one for one in found if one.module.split(".")[0] == "nightfix"]


def room_of(one: Import) -> str:
    """Return the first part below ``nightfix``; empty for its own names, such as the version."""
    parts = [*one.module.split("."), one.name]
    return parts[1] if parts[1] in {*ROOMS, *SHARED} else ""


def names_of(room: str) -> dict[str, str]:
    """Return each name that other rooms may use, with the module that has it."""
    stub = PACKAGE / room / "__init__.pyi"
    if not stub.exists():
        return {}
    tree = ast.parse(stub.read_text("utf-8"))
    nodes = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {
        alias.asname or alias.name: f"nightfix.{room}.{node.module}"
        for node in nodes
        for alias in node.names
    }


def short(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def from_other_rooms(path: Path) -> list[Import]:
    own = path.relative_to(PACKAGE).parts[0]
    return [one for one in imports(path) if room_of(one) in {*ROOMS} - {own}]


def by_another_way(path: Path) -> set[tuple[str, str, str]]:
    """Return the imports from other rooms that do not go through their ``__init__.pyi``."""
    return {
        (short(path), room_of(one), one.name or one.module)
        for one in from_other_rooms(path)
        if one.module != f"nightfix.{room_of(one)}" or one.name not in names_of(room_of(one))
    }


def test_every_folder_is_a_room() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders == {*ROOMS}
    assert {path.stem for path in PACKAGE.glob("[!_]*.py")} == SHARED


def test_the_package_stays_easy_to_look_over() -> None:
    shown = [path.name for path in PACKAGE.iterdir() if not path.name.startswith(("_", "."))]
    assert len(shown) <= 14, shown


@pytest.mark.parametrize("path", FILES, ids=short)
def test_imports_go_one_way(path: Path) -> None:
    own = ROOMS.index(path.relative_to(PACKAGE).parts[0])
    later = {room_of(one) for one in from_other_rooms(path)} - {*ROOMS[:own]}
    assert later == set()


@pytest.mark.parametrize("path", SERVING, ids=short)
def test_what_serves_all_rooms_imports_none(path: Path) -> None:
    assert {room_of(one) for one in imports(path)} <= SHARED


@pytest.mark.parametrize("path", FILES, ids=short)
def test_other_rooms_are_entered_by_their_door(path: Path) -> None:
    assert by_another_way(path) == set()


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in [*FILES, *SERVING]:
        needed = graph.setdefault(name_of(path), set())
        for one in imports(path):
            door = names_of(room_of(one)) if one.module.count(".") == 1 else {}
            needed.add(door.get(one.name, one.module))
            if (PACKAGE.parent / one.module.replace(".", "/") / f"{one.name}.py").exists():
                needed.add(f"{one.module}.{one.name}")
    for needed in graph.values():
        needed.discard("nightfix")
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_room_can_be_imported(room: str) -> None:
    module = importlib.import_module(f"nightfix.{room}")
    for name, home in names_of(room).items():
        assert getattr(module, name) is getattr(importlib.import_module(home), name)
    assert set(names_of(room)) <= set(dir(module))


def test_public_names_stay_functions_when_all_rooms_are_imported() -> None:
    for path in FILES:
        if path.stem != "decoder_process":
            importlib.import_module(name_of(path))
    import nightfix

    for name in nightfix.__all__:
        assert not isinstance(getattr(nightfix, name), type(ast)), name
