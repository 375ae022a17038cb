from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

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
