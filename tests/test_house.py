"""The README's picture of the house, held against the files and what they import."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "nightfix"

#: From the one that imports no other to the one that imports all.
ROOMS = ("read", "condition", "restore", "develop", "write", "training", "evaluation", "entry")

#: Entry's files that serve all rooms.
SHARED = {"errors", "parallel", "progress"}


def rooms() -> dict[str, str]:
    """Return the room of each file and folder, by the README's table."""
    rows = re.findall(r"^\| (\w+) \| (.*`.*) \|$", (ROOT / "README.md").read_text("utf-8"), re.M)
    named = [(room, re.findall(r"`(\w+)(?:\.py|/)`", files)) for room, files in rows]
    return {name: room for room, names in named if room in ROOMS for name in names}


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(f for f in PACKAGE.rglob("*.py") if f.parent != PACKAGE or f.stem[0] != "_")


def test_every_file_has_a_room() -> None:
    assert {part(file) for file in FILES} == set(rooms())


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_to_rooms_above(file: Path) -> None:
    room = rooms()
    own = ROOMS.index(room[part(file)])
    tree = list(ast.walk(ast.parse(file.read_text("utf-8"))))
    modules = [node.module for node in tree if isinstance(node, ast.ImportFrom) and node.module]
    modules += [name.name for node in tree if isinstance(node, ast.Import) for name in node.names]
    names = {m.split(".")[1] for m in modules if m.startswith("nightfix.")} - SHARED
    assert {name for name in names if ROOMS.index(room[name]) > own} == set()
