"""The examples do what they say, each in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
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


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_the_job_array_does_all_photos(photo, tmp_path):
    """The job of the README, with what Slurm and an installation put on the PATH."""
    job = re.search(r"```bash\n(.*?)```", (EXAMPLES / "README.md").read_text("utf-8"), re.S)[1]
    (tmp_path / "card").rename(tmp_path / "archive")
    for number in range(5):
        shutil.copy(tmp_path / "archive/night/p.dng", tmp_path / f"archive/{number}.dng")
    (tmp_path / "bin").mkdir()
    for name, call in (("srun", '"$@"'), ("nightfix", f'"{sys.executable}" -m nightfix "$@"')):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\nexec {call}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    for share in (1, 2):
        environment = os.environ | {
            "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "SLURM_ARRAY_TASK_ID": str(share),
            "SLURM_ARRAY_TASK_COUNT": "2",
            "NIGHTFIX_RESTORE": "false",
        }
        subprocess.run(["bash", "-c", job], cwd=tmp_path, env=environment, check=True)
    assert len(list(tmp_path.glob("restored/**/*.tif"))) == 6
    told = [(tmp_path / f"nightfix-{share}.jsonl").read_text("utf-8") for share in (1, 2)]
    assert sum(log.count('"event": "result"') for log in told) == 6


def test_every_public_name_is_there():
    assert all(hasattr(nightfix, name) for name in nightfix.__all__)
    with pytest.raises(AttributeError):
        nightfix.nothing  # noqa: B018
