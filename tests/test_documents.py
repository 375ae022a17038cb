"""What the READMEs say holds: their Python runs, and their links lead somewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READMES = [
    ROOT / place / "README.md"
    for place in ("", "nightfix", "nightfix/cli", "examples", "examples/editors", "weights")
]
DOCUMENTS = [*READMES, ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"]


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


BLOCKS = [
    pytest.param(block, id=f"{short(path)}-{number}")
    for path in READMES
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```", path.read_text(), re.M | re.S)
    )
]


@pytest.mark.weights
@pytest.mark.parametrize("block", BLOCKS)
def test_python_runs_as_it_stands(block: str, tmp_path: Path) -> None:
    photo = ROOT / "examples" / "night_street.dng"
    for place in ("photo.ARW", "card/day/first.ARW"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, tmp_path / place)
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=short)
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        if "://" in link:
            continue
        place, _, anchor = link.partition("#")
        target = path.parent / place if place else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_first_page_stays_short() -> None:
    lines = READMES[0].read_text("utf-8").splitlines()
    assert len(lines) <= 180
    assert {'    pip install -e ".[dev]"', "    pytest -n auto --dist loadfile"} <= set(lines)
