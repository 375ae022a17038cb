"""What is installed is complete: weights, tables and pages are inside; nothing else is needed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from nightfix import __version__
from nightfix.write.dng import write_dng

ROOT = Path(__file__).parents[1]

#: What the code reads beside its modules.
DATA = {
    "nightfix/__init__.pyi",
    "nightfix/batch/__init__.pyi",
    "nightfix/batch/events.schema.json",
    "nightfix/batch/gallery.css",
    "nightfix/batch/gallery.html",
    "nightfix/batch/gallery.js",
    "nightfix/condition/cameras.json",
    *re.findall(
        r'= "(nightfix/[\w/-]+\.safetensors)"', (ROOT / "pyproject.toml").read_text("utf-8")
    ),
}


def copied_by_the_dockerfile(to: Path) -> Path:
    """Lay out what the image is built of, as its COPY lines say, and return the folder."""
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    for line in (line for line in lines if line.startswith("COPY ") and "--from" not in line):
        *named, target = line.split()[1:]
        sources = [path for name in named for path in ROOT.glob(name)]
        place = to / target.strip("/")
        for source in sources:
            if source.is_dir():
                kept = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, place, ignore=kept)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, place)
    return to / "src"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The package as pip, pipx and uv unpack it, built of what the Dockerfile copies."""
    folder = tmp_path_factory.mktemp("install")
    source = copied_by_the_dockerfile(folder)
    call = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(folder), str(source)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip("the build needs hatchling, which cannot be had here")
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def nightfix(installed, tmp_path):
    """Call the command as installed, in an empty folder and with an empty home."""

    def nightfix(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
        code = "import sys; from nightfix.cli import main; sys.argv[0] = 'nightfix'; main()"
        kept = {name: value for name, value in os.environ.items() if "NIGHTFIX" not in name}
        environment = kept | {"HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", **more}
        environment["PYTHONPATH"] = str(installed)
        call = [sys.executable, "-c", code, *map(str, words)]
        return subprocess.run(
            call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return nightfix


def test_all_that_is_read_is_inside(installed):
    inside = {path.relative_to(installed).as_posix() for path in installed.rglob("*")}
    assert inside >= DATA
    assert not [name for name in inside if "/tests" in name or "__pycache__" in name]
    (entry,) = installed.glob("*.dist-info/entry_points.txt")
    assert "nightfix = nightfix.cli:main" in entry.read_text("utf-8")


def test_the_command_works_with_the_weights_inside(nightfix, installed, tmp_path, synthetic_raw):
    write_dng(tmp_path / "a.dng", synthetic_raw(shape=(64, 96)), restored=False)
    assert nightfix("--version").stdout == f"nightfix {__version__}\n"
    assert str(installed / "nightfix/restore") in nightfix("weights", "list").stdout
    words = ("--weights", "nightfix-fast", "--steps", 1, "--gallery", "index.html", "--json")
    done = nightfix("enhance", "a.dng", *words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a_nightfix.tif").exists()
    assert "a_nightfix.tif" in (tmp_path / "index.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("bash", {"COMP_WORDS": "nightfix enhance --gal", "COMP_CWORD": "2"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "nightfix enhance --gal"}),
        (
            "fish",
            {
                "_TYPER_COMPLETE_ARGS": "nightfix enhance --gal",
                "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            },
        ),
    ],
)
def test_shells_are_told_what_completes_a_word(nightfix, shell, words):
    done = nightfix(_NIGHTFIX_COMPLETE=f"complete_{shell}", **words)
    assert "--gallery" in done.stdout
    assert "--shard" not in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Bash is rare there")
def test_completion_is_installed_for_bash(nightfix, installed, tmp_path):
    if shutil.which("bash") is None:
        pytest.skip("needs Bash")
    code = f"'{sys.executable}' -c 'import sys; from nightfix.cli import main; main()'"
    environment = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(installed)}
    call = ["bash", "-c", f"{code} --install-completion; true"]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    assert "completion installed" in done.stdout, done.stderr
    assert re.search(r"source '?.*bash_completions", (tmp_path / ".bashrc").read_text("utf-8"))


def test_the_image_gets_no_more_than_it_needs():
    kept = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert kept[0] == "*"
    text = (ROOT / "Dockerfile").read_text("utf-8")
    assert "USER nobody" in text
    for name in re.findall(r"^!([\w./]+)$", "\n".join(kept), re.M):
        assert name in text
