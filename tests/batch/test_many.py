"""Thousands of photos in one run: nothing is done for each of them that grows with their number."""

from __future__ import annotations

import subprocess
import sys
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from nightfix.batch.planning import is_needed
from nightfix.batch.runner import Outcome
from nightfix.batch.sources import Photo, find_photos
from nightfix.batch.watching import watch
from nightfix.cli.app import app
from nightfix.cli.console import Display, Verbosity
from nightfix.cli.reports import Report
from nightfix.errors import OutputWriteError
from nightfix.pipeline import EnhanceOptions
from nightfix.write import atomic
from nightfix.write.dng import write_dng


@pytest.fixture
def archive(tmp_path, synthetic_raw) -> Path:
    """Forty small photos in one folder."""
    root = tmp_path / "archive"
    root.mkdir()
    write_dng(root / "0.dng", synthetic_raw(shape=(32, 48)), restored=False)
    for number in range(1, 40):
        (root / f"{number}.dng").write_bytes((root / "0.dng").read_bytes())
    return root


def test_the_folder_of_results_is_not_listed_for_each_photo(archive, tmp_path, monkeypatch):
    listed = []
    glob = Path.glob

    def counted(folder, pattern, **more):
        listed.append(folder)
        return glob(folder, pattern, **more)

    monkeypatch.setattr(atomic, "_search_again", {})
    monkeypatch.setattr(Path, "glob", counted)
    words = ["enhance", str(archive), "-o", str(tmp_path / "out"), "--no-restore"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert len(list(glob(tmp_path / "out", "*.tif"))) == 40
    assert listed.count(tmp_path / "out") == 1


def test_what_is_left_of_a_killed_run_is_removed_when_a_folder_is_searched_again(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(atomic, "_search_again", {})
    monkeypatch.setattr(atomic, "_TOO_YOUNG", -1)
    for after, kept in ((0, False), (1, True), (atomic._SEARCHED_FOR + 2, False)):
        left = tmp_path / f"{atomic._PREFIX}left.tif"
        left.write_bytes(b"half")
        now = time.monotonic() + after
        with monkeypatch.context() as later:
            later.setattr(atomic.time, "monotonic", lambda now=now: now)
            with atomic.replacing(tmp_path / "a.tif", overwrite=True) as temporary:
                temporary.write_bytes(b"whole")
        assert left.exists() == kept, after


def test_the_first_photo_waits_for_no_plan_of_all(archive, tmp_path, monkeypatch):
    looked = []

    def fingerprint(path, options, weights):
        looked.append(path)
        return "0"

    monkeypatch.setattr("nightfix.batch.planning.settings_fingerprint", fingerprint)
    photos = find_photos([archive]).photos
    assert is_needed(photos, EnhanceOptions(output=tmp_path / "out"), "")
    assert len(looked) == 1


def test_nothing_is_needed_where_all_is_done(archive, tmp_path):
    words = ["enhance", str(archive), "-o", str(tmp_path / "out"), "--no-restore"]
    CliRunner().invoke(app, words)
    options = EnhanceOptions(output=tmp_path / "out", restore=False)
    assert not is_needed(find_photos([archive]).photos, options, "")
    missing = Photo(path=tmp_path / "none.dng")
    assert is_needed([missing], options, ""), "reading it will say why"


def test_a_failed_photo_leaves_no_pixels_in_memory():
    class Mosaic(np.ndarray):
        pass

    def fail() -> tuple[weakref.ref, OutputWriteError]:
        mosaic = np.zeros(3).view(Mosaic)
        try:
            try:
                raise OSError("full")
            except OSError as error:
                raise OutputWriteError(Path("a"), "full") from error
        except OutputWriteError as error:
            return weakref.ref(mosaic), error

    with Display(Verbosity.quiet) as display:
        report = Report(display, 2)
        held, error = fail()
        report.outcome(Outcome(path=Path("a"), error=error))
        del error
        assert held() is None
        assert report.code == 6


def test_a_large_folder_is_watched_at_its_own_pace(monkeypatch):
    now, slept = [0.0], []

    def look():
        now[0] += 3
        return find_photos([])

    def sleep(seconds):
        slept.append(seconds)
        raise StopAsyncIteration

    monkeypatch.setattr("nightfix.batch.watching.time.monotonic", lambda: now[0])
    with pytest.raises(StopAsyncIteration):
        next(watch(look, sleep=sleep))
    assert slept == [15]


_MEASURED = """
import sys
from nightfix.cli import main
sys.argv = ["nightfix", *sys.argv[1:]]
try:
    main()
except SystemExit as leave:
    assert not leave.code
(peak,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) / 1024)
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ten_thousand_photos(archive, tmp_path):
    """Start-up, memory and time a photo, beside those of a thousand."""
    data = (archive / "0.dng").read_bytes()
    peaks, starts, rates = [], [], []
    for count in (1_000, 10_000):
        for number in range(count):
            (archive / f"{number}.dng").write_bytes(data)
        call = [sys.executable, "-c", _MEASURED, "enhance", str(archive), "--no-restore"]
        options = ["--format", "jpeg", "-o", str(tmp_path / f"out{count}"), "-q"]
        began = time.monotonic()
        with subprocess.Popen([*call, *options], stdout=subprocess.PIPE, text=True) as process:
            told = [(time.monotonic() - began, line) for line in process.stdout]
        times, last = [at for at, _ in told], told[-1][1]
        assert len(times) == count + 1
        peaks.append(float(last))
        starts.append(times[0])
        tenth = count // 10
        rates.append((times[tenth] - times[0], times[-2] - times[-2 - tenth]))
    print(f"peak {peaks} MB, first result after {starts} s, first and last tenth {rates} s")
    assert peaks[1] < peaks[0] + 15
    assert starts[1] < starts[0] + 9
    assert rates[1][1] < 1.4 * rates[1][0]
