"""The examples do what they say, each in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import nightfix
from nightfix.write.dng import write_dng

EXAMPLES = Path(__file__).parents[1] / "examples"

pytestmark = pytest.mark.weights


def run(name: str, *arguments: object) -> str:
    words = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def photo(tmp_path, synthetic_raw) -> Path:
    path = tmp_path / "card" / "night" / "p.dng"
    path.parent.mkdir(parents=True)
    write_dng(path, synthetic_raw(shape=(64, 96)), restored=False)
    return path


def test_one_photo(photo):
    said = run("one_photo.py", photo)
    assert said.splitlines()[-2:] == [
        str(photo.with_name(f"p_nightfix{end}")) for end in (".tif", ".dng")
    ]
    assert "done already" in run("one_photo.py", photo)


def test_many_photos(photo, tmp_path):
    (photo.parent / "broken.ARW").write_bytes(b"broken")
    out = tmp_path / "out"
    said = run("many_photos.py", tmp_path / "card", out)
    assert f"written {out / 'night/p_nightfix.tif'}" in said
    assert "broken.ARW" in said.splitlines()[-1]


def test_arrays():
    said = run("arrays.py")
    captured, restored = (float(number) for number in re.findall(r"mean error (\S+)", said))
    assert restored < captured / 3
    assert "(192, 256, 3), float32" in said


def test_every_public_name_is_there():
    assert all(hasattr(nightfix, name) for name in nightfix.__all__)
    with pytest.raises(AttributeError):
        nightfix.nothing  # noqa: B018
