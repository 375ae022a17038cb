from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from nightfix.read.metadata import Exposure
from nightfix.read.reader import read_raw

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
DNG = EXAMPLES / "night_street.dng"
SMALL = (64, 96)

needs_dng = pytest.mark.skipif(not DNG.is_file(), reason="examples/night_street.dng is not made")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    sys.path.insert(0, str(EXAMPLES))
    try:
        return importlib.import_module("make_night_street")
    finally:
        sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def shot(script):
    return script.photograph(*SMALL, seed=7)


def test_same_seed_gives_the_same_pixels(script, shot):
    again = script.photograph(*SMALL, seed=7)
    np.testing.assert_array_equal(again.captured, shot.captured)
    np.testing.assert_array_equal(again.truth, shot.truth)


def test_truth_is_a_night_with_lamps_far_above_white(shot):
    assert shot.truth.shape == SMALL
    assert shot.truth.min() >= 0
    assert 0.01 < np.median(shot.truth) < 0.2
    assert shot.truth.max() > 5


def test_capture_keeps_the_brightness_of_the_truth(script, shot):
    # Shake moves light about and lamps saturate: compare what is not near a lamp.
    dark = shot.truth < 0.2
    ratio = script.RATIO * shot.captured[dark].mean() / shot.truth[dark].mean()
    assert ratio == pytest.approx(1, abs=0.25)
    assert shot.captured.min() < 0, "noise around black must stay negative"
    assert shot.captured.max() <= 1


def test_white_of_the_scene_is_the_neutral_of_the_camera(script):
    np.testing.assert_allclose(script.rgb2cam() @ np.ones(3), script.neutral(), rtol=1e-3)


@needs_dng
def test_dng_is_small_enough_to_ship():
    assert DNG.stat().st_size <= 2_000_000


@needs_dng
def test_dng_reads_as_a_photo_of_a_camera(script):
    raw = read_raw(DNG)
    assert raw.mosaic.shape == (script.HEIGHT, script.WIDTH)
    assert (raw.cfa_pattern, raw.white_level, raw.bit_depth) == ("RGGB", 16383, 14)
    assert (raw.metadata.make, raw.metadata.model) == ("NightFix", "Night Street")
    assert raw.metadata.lens == "NightFix 35mm F1.8"
    assert raw.metadata.captured == "2025:11:14 21:42:07"
    assert raw.metadata.exposure == Exposure(
        exposure_time=pytest.approx(1 / 30),
        iso_speed=3200,
        f_number=pytest.approx(2.8),
        focal_length=35,
    )


@needs_dng
def test_dng_tells_its_noise_and_colors(script):
    raw = read_raw(DNG)
    sensor = script.SENSOR
    assert raw.metadata.noise_profile == (
        (pytest.approx(sensor.shot), pytest.approx(sensor.variance_at_black)),
    )
    np.testing.assert_allclose(raw.as_shot_neutral, script.neutral(), rtol=1e-4)
    np.testing.assert_allclose(raw.color_matrices[0].matrix, script.COLOR_MATRIX, atol=1e-4)
