from __future__ import annotations

import numpy as np
import pytest

from nightfix.condition.amplification import ExposureTarget
from nightfix.condition.conditioning import condition_raw
from nightfix.condition.noise import NoiseModel
from nightfix.condition.saturation import (
    clipped_share,
    find_saturation,
    saturated_to_white,
    saturation_dn,
)
from nightfix.read.arrays import raw_from_array

BLACK, WHITE = 512, 16383
Y, X = np.mgrid[:320, :480]
LAMP = 0.01 + 3 * np.exp(-((X - 300.0) ** 2 + (Y - 150.0) ** 2) / 200)


def captured(light, rng, *, a=1e-4, clip=(16383, 15100, 15100, 16383), spread=0.0, **known):
    """A sensor whose four sites stop at the levels of ``clip`` [DN], give or take ``spread``."""
    mosaic = a * rng.poisson(light / a) + 1e-4 * rng.normal(size=light.shape)
    limits = np.tile(np.reshape(clip, (2, 2)), (light.shape[0] // 2, light.shape[1] // 2))
    limits = limits + np.rint(spread * rng.normal(size=light.shape))
    samples = np.minimum(np.rint(BLACK + mosaic * (WHITE - BLACK)), limits)
    return raw_from_array(samples, black_level=BLACK, white_level=WHITE, noise=(a, 1e-8), **known)


def levels(raw, a=1e-4):
    return saturation_dn(raw, find_saturation(raw, NoiseModel(a=a, b=1e-8, source="tag")))


@pytest.mark.parametrize("a", [4e-6, 1e-4, 1e-3])
@pytest.mark.parametrize(
    "clip", [(16383, 15779, 15779, 16383), (13000,) * 4, (16380, 15100, 15140, 14000)]
)
def test_each_plane_s_level_is_found(rng, a, clip):
    assert levels(captured(LAMP, rng, a=a, clip=clip), a) == clip


@pytest.mark.parametrize("pattern", ["RGGB", "GRBG", "GBRG", "BGGR"])
def test_levels_come_in_packed_order_of_any_phase(rng, pattern):
    of_color = {"R": 16383, "G": 15100, "B": 14200}
    raw = captured(LAMP, rng, clip=[of_color[name] for name in pattern], cfa_pattern=pattern)
    assert levels(raw) == (16383, 15100, 15100, 14200)


def test_twelve_bits_that_end_one_below_white(rng):
    light = 1e-4 * rng.poisson(LAMP / 1e-4)
    samples = np.minimum(np.rint(light * 3839 + 256), 4094)
    raw = raw_from_array(samples, black_level=256, white_level=4095)
    assert levels(raw) == (4094,) * 4


def test_a_level_that_is_smeared_is_found_with_what_it_is_smeared_over(rng):
    found = levels(captured(LAMP, rng, spread=10))
    assert found[1] == pytest.approx(15080, abs=15)


def test_light_that_is_not_cut_is_no_level(rng):
    wall, ramp = np.full(X.shape, 0.85), 0.2 + 0.6 * X / X.max()
    star = 0.01 + 0.8 * np.exp(-((X - 300.0) ** 2 + (Y - 150.0) ** 2) / 20)
    for light in (wall, ramp, star):
        for a in (4e-6, 1e-4, 1e-3):
            assert levels(captured(light, rng, a=a), a) == (None,) * 4


def test_hot_pixels_above_it_hide_no_level(rng):
    raw = captured(LAMP, rng)
    raw.mosaic[40:44, 50:60] = 1.0
    assert levels(raw)[1] == 15100


def test_what_is_cut_becomes_white_and_nothing_else_changes(rng):
    raw = captured(LAMP, rng)
    told = condition_raw(raw, ExposureTarget(ratio=4))
    white = saturated_to_white(raw, told.saturation)
    cut = raw.mosaic >= np.float32((15100 - BLACK) / (WHITE - BLACK))
    green = (Y + X) % 2 == 1
    assert (white.mosaic[cut & green] == 1).all()
    same = ~(cut & green)
    np.testing.assert_array_equal(white.mosaic[same], raw.mosaic[same])
    assert clipped_share(raw, told.saturation) == pytest.approx((LAMP > 0.95).mean(), rel=0.1)


def test_a_photo_that_is_cut_at_white_is_returned_as_it_is(rng):
    raw = captured(LAMP, rng, clip=(16383,) * 4)
    assert saturated_to_white(raw, condition_raw(raw, ExposureTarget(ratio=4)).saturation) is raw
