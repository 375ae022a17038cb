"""What the command line takes and tells of the sensor: hot pixels, black, where it stops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dng_files import DngSpec, write_test_dng
from typer.testing import CliRunner

from nightfix.cli.app import app

runner = CliRunner()


@pytest.fixture
def photo(tmp_path) -> Path:
    """Masked columns that are 2 DN above the stated black, hot pixels, a lamp whose greens stop."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:240, :360]
    light = np.where(np.hypot(y - 120, x - 240) < 12, 40_000.0, 90.0)
    light[x < 40] = 0
    samples = 514 + light + 4 * rng.normal(size=y.shape)
    samples[20:200:20, 51:350:30] += 4000
    samples = np.minimum(np.rint(samples), np.where((y + x) % 2, 15100, 16383))
    spec = DngSpec(samples.astype(np.uint16), active_area=(0, 40, 240, 360), black=(512.0,) * 4)
    return write_test_dng(tmp_path / "photo.dng", spec)


def options_of(monkeypatch, *words: str):
    """Return the options that a call of ``enhance`` makes."""
    seen = []
    monkeypatch.setattr("nightfix.cli.batch.Batch.run", lambda batch: seen.append(batch.options))
    result = runner.invoke(app, ["enhance", "photo.dng", *words])
    return result, seen[0] if seen else None


@pytest.mark.parametrize("name", ["auto", "off"])
def test_hot_pixels_are_an_option(monkeypatch, name):
    _, options = options_of(monkeypatch, "--hot-pixels", name)
    assert options.hot_pixels == name
    assert options_of(monkeypatch)[1].hot_pixels == "auto"


@pytest.mark.parametrize("name", ["masked", "stated"])
def test_black_is_an_option(monkeypatch, name):
    _, options = options_of(monkeypatch, "--black", name)
    assert options.black == name
    assert options_of(monkeypatch)[1].black == "masked"


@pytest.mark.parametrize("option", ["--hot-pixels", "--black"])
def test_other_words_are_refused(monkeypatch, option):
    result, options = options_of(monkeypatch, option, "some")
    assert result.exit_code == 2
    assert options is None


def test_info_tells_of_the_sensor(photo):
    rows = dict(
        line.split(":", 1)
        for line in runner.invoke(app, ["info", str(photo)]).stdout.splitlines()
        if ":" in line
    )
    assert rows["black"].split()[:3] == ["masked", "pixels", "add"]
    assert float(rows["black"].split()[3]) == pytest.approx(2, abs=0.2)
    assert "green from 15100" in rows["saturation"]
    assert float(rows["clipped"].split()[0]) > 0.3
    assert int(rows["hot pixels"].split()[0]) >= 80


def test_dark_frames_are_an_option(monkeypatch):
    _, options = options_of(monkeypatch, "--dark", "a.dng", "--dark", "b.dng")
    assert options.dark == (Path("a.dng"), Path("b.dng"))
    assert options_of(monkeypatch)[1].dark == ()


def test_a_dark_frame_that_is_not_there_is_an_error(photo, tiny_weights, tmp_path):
    words = ["--weights", str(tiny_weights), "--dark", str(tmp_path / "none.dng")]
    result = runner.invoke(app, ["enhance", str(photo), *words])
    assert result.exit_code == 3
    assert "none.dng: no such file" in result.stderr
