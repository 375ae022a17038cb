from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dng_files import DngSpec, write_test_dng

from nightfix.batch.events import result_event
from nightfix.condition import ExposureTarget
from nightfix.condition.conditioning import Settings
from nightfix.pipeline.photo import EnhanceOptions, enhance, prepare
from nightfix.read.reader import read_raw
from nightfix.write.dng import write_dng
from nightfix.write.xmp import record_of_file

OPTIONS = EnhanceOptions(
    exposure=ExposureTarget(ratio=16), settings=Settings(steps=1), formats=("dng",), deblur=False
)
PLACES = np.s_[20:200:20, 31:300:30]


@pytest.fixture
def photo(tmp_path, synthetic_raw):
    raw = synthetic_raw(shape=(240, 320))
    mosaic = raw.mosaic.copy()
    mosaic[PLACES] += 0.3
    path = tmp_path / "photo.dng"
    write_dng(path, replace(raw, mosaic=mosaic), restored=False)
    return path


def test_hot_pixels_are_mended_before_anything_is_measured(photo):
    asread = read_raw(photo)
    prepared = prepare(photo, OPTIONS, "")
    assert prepared.hot_pixels >= 80
    assert (prepared.raw.mosaic[PLACES] < asread.mosaic[PLACES] - 0.25).mean() > 0.95
    assert any("--hot-pixels off" in note for note in prepared.notes)


@pytest.mark.parametrize(
    "kept", [replace(OPTIONS, hot_pixels="off"), replace(OPTIONS, restore=False)]
)
def test_the_sensor_s_numbers_are_kept_where_that_is_wanted(photo, kept):
    prepared = prepare(photo, kept, "")
    assert prepared.hot_pixels is None
    np.testing.assert_array_equal(prepared.raw.mosaic, read_raw(photo).mosaic)
    assert not any("hot" in note for note in prepared.notes)


def test_how_many_there_are_is_told(photo, tiny_restorer):
    result = enhance(photo, OPTIONS, restorer=tiny_restorer)
    assert result.hot_pixels >= 80
    assert result_event(result)["hot_pixels"] == result.hot_pixels
    record = record_of_file(result.outputs[0])
    assert record.hot_pixels == result.hot_pixels
    assert "--hot-pixels" not in record.options
    again = replace(OPTIONS, hot_pixels="off", overwrite=True)
    off = enhance(photo, again, restorer=tiny_restorer)
    assert result_event(off)["hot_pixels"] is None
    assert "--hot-pixels off" in record_of_file(off.outputs[0]).options


@pytest.fixture
def with_margin(tmp_path):
    """A photo with masked columns that say that red is one up and blue one down."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:240, :360]
    black = 512 + np.array([[1.2, 0.0], [0.0, -1.1]])[y % 2, x % 2]
    light = np.where(x < 40, 0, 60 + 300 * (x > 200))
    samples = np.rint(black + light + 4 * rng.normal(size=y.shape)).astype(np.uint16)
    spec = DngSpec(samples, active_area=(0, 40, 240, 360), black=(512.0,) * 4)
    return write_test_dng(tmp_path / "margin.dng", spec)


def test_masked_pixels_correct_black_before_anything_is_measured(with_margin, tiny_restorer):
    as_read = read_raw(with_margin)
    prepared = prepare(with_margin, OPTIONS, "")
    moved = (as_read.mosaic - prepared.raw.mosaic) * (16383 - 512)
    assert moved[::2, ::2].mean() == pytest.approx(1.2, abs=0.1)
    assert moved[1::2, 1::2].mean() == pytest.approx(-1.1, abs=0.1)
    assert any("masked pixels correct black by up to 1." in note for note in prepared.notes)
    result = enhance(with_margin, OPTIONS, restorer=tiny_restorer)
    added = result_event(result)["levels"]["black_added"]
    assert added == pytest.approx((1.2, 0, 0, -1.1), abs=0.15)
    assert "--black" not in record_of_file(result.outputs[0]).options


@pytest.mark.parametrize(
    "kept", [replace(OPTIONS, black="stated"), replace(OPTIONS, restore=False)]
)
def test_the_stated_black_is_kept_where_that_is_wanted(with_margin, kept):
    prepared = prepare(with_margin, replace(kept, hot_pixels="off"), "")
    np.testing.assert_array_equal(prepared.raw.mosaic, read_raw(with_margin).mosaic)
    assert not any("black" in note for note in prepared.notes)


def test_a_result_with_the_stated_black_says_so(with_margin, tiny_restorer):
    result = enhance(with_margin, replace(OPTIONS, black="stated"), restorer=tiny_restorer)
    assert "--black stated" in record_of_file(result.outputs[0]).options


def test_where_the_sensor_stops_is_told(tmp_path, synthetic_raw, tiny_restorer):
    raw = synthetic_raw(shape=(240, 320), lamp=60.0)
    green = np.add.outer(np.arange(240), np.arange(320)) % 2 == 1
    path = tmp_path / "lamp.dng"
    mosaic = np.where(green, np.minimum(raw.mosaic, 0.92), raw.mosaic)
    write_dng(path, replace(raw, mosaic=mosaic.astype(np.float32)), restored=False)
    result = enhance(path, OPTIONS, restorer=tiny_restorer)
    level = round(0.92 * (16383 - 512) + 512)
    assert result_event(result)["levels"]["saturation"] == [16383, level, level, 16383]
    assert read_raw(result.outputs[0]).mosaic[92:100, 92:100].min() >= 0.999
    skipped = enhance(path, OPTIONS, restorer=tiny_restorer)
    assert skipped.skipped
    assert skipped.levels is None
