from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nightfix.read.bayer import pack_bayer
from nightfix.restore.blending import blend

RATIO = 16.0


@pytest.fixture
def pair(synthetic_raw, rng):
    """A capture and what a restoration may have made of it."""
    captured = synthetic_raw(ratio=RATIO)
    noise = rng.normal(size=captured.mosaic.shape).astype(np.float32) * 0.05
    return captured, replace(captured, mosaic=captured.mosaic * np.float32(RATIO) + noise)


def test_the_whole_restoration_is_passed_on(pair):
    assert blend(*pair, ratio=RATIO) is pair[1]
    assert blend(*pair, ratio=RATIO, strength=100, chroma=100) is pair[1]


def test_nothing_of_it_is_the_amplified_capture(pair):
    captured, _ = pair
    mosaic = blend(*pair, ratio=RATIO, strength=0).mosaic
    np.testing.assert_allclose(mosaic, captured.mosaic * RATIO, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 40.0, 75.0])
def test_equal_shares_are_a_plain_mixture(pair, share):
    captured, restored = pair
    expected = (1 - share / 100) * captured.mosaic * RATIO + share / 100 * restored.mosaic
    for chroma in (None, share):
        mosaic = blend(*pair, ratio=RATIO, strength=share, chroma=chroma).mosaic
        np.testing.assert_allclose(mosaic, expected, atol=1e-5)


def gray(raw):
    """Sum of the planes with the scene's white made gray."""
    red, green, blue = 1 / raw.as_shot_neutral
    planes = pack_bayer(raw.mosaic, raw.cfa_pattern)
    return np.tensordot([red, green, green, blue], planes, axes=1)


def test_color_noise_goes_alone(pair):
    captured, restored = pair
    mixed = blend(*pair, ratio=RATIO, strength=0, chroma=100)
    np.testing.assert_allclose(gray(mixed), RATIO * gray(captured), rtol=1e-3, atol=1e-4)
    assert np.abs(mixed.mosaic - RATIO * captured.mosaic).mean() > 0.01


def test_gray_noise_goes_alone(pair):
    _, restored = pair
    mixed = blend(*pair, ratio=RATIO, strength=100, chroma=0)
    np.testing.assert_allclose(gray(mixed), gray(restored), rtol=1e-3, atol=1e-4)
    assert np.abs(mixed.mosaic - restored.mosaic).mean() > 0.01


def test_a_gray_difference_has_no_color(pair):
    """What is gray once balanced is left to --strength alone."""
    captured, _ = pair
    red, green, blue = captured.as_shot_neutral
    added = np.empty_like(captured.mosaic)
    for (row, column), value in {(0, 0): red, (0, 1): green, (1, 0): green, (1, 1): blue}.items():
        added[row::2, column::2] = 0.1 * value
    restored = replace(captured, mosaic=captured.mosaic * np.float32(RATIO) + added)
    mixed = blend(captured, restored, ratio=RATIO, strength=100, chroma=0)
    np.testing.assert_allclose(mixed.mosaic, restored.mosaic, atol=1e-5)


@pytest.mark.parametrize("pattern", ["BGGR", "GRBG", "GBRG", None])
@pytest.mark.parametrize("shape", [(96, 128), (95, 127)], ids=str)
def test_every_pattern_and_odd_sizes(synthetic_raw, pattern, shape):
    captured = synthetic_raw(cfa_pattern=pattern, shape=shape)
    restored = replace(captured, mosaic=captured.mosaic * np.float32(RATIO) + np.float32(0.1))
    mixed = blend(captured, restored, ratio=RATIO, strength=50, chroma=80)
    assert mixed.mosaic.shape == shape
    assert np.isfinite(mixed.mosaic).all()


def test_the_ceiling_holds(pair):
    assert blend(*pair, ratio=RATIO, strength=50, ceiling=0.3).mosaic.max() <= np.float32(0.3)


@pytest.mark.parametrize("shares", [(-1, None), (101, None), (50, 101)], ids=str)
def test_shares_are_percentages(pair, shares):
    with pytest.raises(ValueError, match="100"):
        blend(*pair, ratio=RATIO, strength=shares[0], chroma=shares[1])
