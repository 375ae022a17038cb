from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from raw_images import plain_raw
from scipy.ndimage import gaussian_filter

from nightfix.condition.defects import log_odds
from nightfix.condition.hot_pixels import mend_hot_pixels
from nightfix.condition.noise import NoiseModel
from nightfix.read.reader import RawImage

Floats = NDArray[np.float64]

#: Camera RGB of white, and one DN, of the mosaics that are made here.
NEUTRAL, DN = np.array([0.5, 1.0, 0.6]), 1 / 15871
SHOT, READ = 1e-4, 5 * DN
NOISE = NoiseModel(a=SHOT, b=READ**2, source="table")


def colors(shape: tuple[int, int]) -> Floats:
    """White light on a mosaic."""
    tints = np.ones(shape)
    tints[::2, ::2], tints[1::2, 1::2] = NEUTRAL[0], NEUTRAL[2]
    return tints


def captured(light: Floats, rng: np.random.Generator, **known) -> RawImage:
    """Photons and long-tailed read noise (Tukey lambda, shape -0.1)."""
    u = rng.uniform(1e-9, 1 - 1e-9, light.shape)
    tails = (u**-0.1 - (1 - u) ** -0.1) / -0.1
    mosaic = SHOT * rng.poisson(light / SHOT) + READ / 2.4 * tails
    return plain_raw(mosaic, as_shot_neutral=NEUTRAL, **known)


def found(raw: RawImage) -> NDArray[np.bool_]:
    """Tell which samples are mended."""
    return mend_hot_pixels(raw, NOISE)[0].mosaic != raw.mosaic


def night(shape: tuple[int, int] = (256, 320)) -> Floats:
    """A dim ramp with an edge."""
    light = np.linspace(0.002, 0.02, shape[1]) * np.ones(shape)
    light[60:140, 80:200] *= 3
    return light * colors(shape)


def with_stars(light: Floats, sigma: float, rng: np.random.Generator, peak: float) -> Floats:
    """White points of light at any place between the samples."""
    y, x = np.mgrid[: light.shape[0], : light.shape[1]]
    stars = np.zeros(light.shape)
    for top in range(20, light.shape[0] - 10, 16):
        for left in range(20, light.shape[1] - 10, 16):
            dy, dx = rng.uniform(-0.5, 0.5, 2)
            near = np.s_[top - 6 : top + 7, left - 6 : left + 7]
            distance = (y[near] - top - dy) ** 2 + (x[near] - left - dx) ** 2
            stars[near] += peak * np.exp(-distance / (2 * sigma**2))
    return light + stars * colors(light.shape)


def test_a_photo_without_defects_is_returned_as_it_is(rng):
    raw = captured(night((512, 768)), rng)
    mended, count = mend_hot_pixels(raw, NOISE)
    # Long tails: one sample in a hundred thousand may be beyond any threshold.
    assert count <= 4
    assert count or mended is raw


@pytest.mark.parametrize("cfa_pattern", ["RGGB", "GRBG", "GBRG", "BGGR", None])
@pytest.mark.parametrize("density", [4e-4, 5e-3])
def test_hot_pixels_are_found_and_replaced(rng, density, cfa_pattern):
    light = night()
    top, left = divmod((cfa_pattern or "RGGB").index("R"), 2)
    clean = captured(np.roll(light, (top, left), (0, 1)), rng, cfa_pattern=cfa_pattern)
    if cfa_pattern is None:
        clean = captured(night() / colors(light.shape), rng, cfa_pattern=None)
    hot = rng.random(light.shape) < density
    raw = replace(clean, mosaic=clean.mosaic + (hot * rng.uniform(250, 6000, light.shape) * DN))
    raw = replace(raw, mosaic=raw.mosaic.astype(np.float32))
    flags = found(raw)
    assert (flags & hot).sum() >= (0.99 if density < 1e-3 else 0.95) * hot.sum()
    assert (flags & ~hot).sum() <= 2 + 0.02 * hot.sum()  # the noise has long tails
    mended, count = mend_hot_pixels(raw, NOISE)
    assert flags.sum() <= count
    error = (mended.mosaic - clean.mosaic)[flags & hot]
    assert np.sqrt(np.mean(error**2)) < 50 * DN


@pytest.mark.parametrize("sigma", [0.6, 0.7, 0.8])
@pytest.mark.parametrize("peak", [0.02, 0.1, 0.8, 3.0])
def test_stars_as_small_as_a_lens_makes_them_are_no_hot_pixels(rng, sigma, peak):
    dark = 0.003 * colors((400, 400))
    light = np.minimum(with_stars(dark, sigma, rng, peak), 1.0)
    raw = captured(light, rng)
    _, count = mend_hot_pixels(raw, NOISE)
    assert count <= 2  # of 529 stars


def by_day(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Leaves of grass: detail as fine as a lens draws it, in bright light."""
    fine = gaussian_filter(rng.normal(size=shape), 0.7)
    coarse = gaussian_filter(rng.normal(size=shape), 6)
    light = 0.25 * np.exp(0.2 * fine / fine.std() + 0.5 * coarse / coarse.std())
    return np.minimum(light, 0.9) * colors(shape)


def test_detail_by_day_is_kept_and_hot_pixels_in_it_are_mended(rng):
    clean = captured(by_day((512, 512), rng), rng)
    assert mend_hot_pixels(clean, NOISE)[1] <= 2
    hot = rng.random(clean.mosaic.shape) < 1e-3
    heat = rng.uniform(3000, 6000, hot.shape) * DN
    mosaic = np.where(hot, clean.mosaic + heat, clean.mosaic).astype(np.float32)
    flags = found(replace(clean, mosaic=mosaic))
    assert (flags & hot).sum() > 0.8 * hot.sum()
    assert (flags & ~hot).sum() < 0.1 * hot.sum()


def test_lights_of_half_a_pixel_are_kept(rng):
    """Discs with soft edges: of some of them the samples beside the middle have little."""
    y, x = np.mgrid[:400, :400]
    light = np.full((400, 400), 0.003)
    for top in range(20, 390, 24):
        for left in range(20, 390, 24):
            dy, dx, radius = *rng.uniform(-0.5, 0.5, 2), rng.uniform(0.5, 1.0)
            near = np.s_[top - 4 : top + 5, left - 4 : left + 5]
            away = np.hypot(y[near] - top - dy, x[near] - left - dx)
            light[near] += rng.uniform(0.05, 2) * np.clip(radius + 0.5 - away, 0, 1)
    _, count = mend_hot_pixels(captured(np.minimum(light * colors(light.shape), 1), rng), NOISE)
    assert count <= 4  # of 256


@pytest.mark.parametrize("sure, expected", [(0, False), (200, True)])
def test_what_may_be_a_defect_is_one_where_the_photo_has_many(sure, expected):
    light, unsure = np.linspace(-9, -3, 5000), np.array([4.0])
    odds = log_odds(np.concatenate([unsure, light, np.full(sure, 9.0)]), 1_000_000)
    assert (odds[0] > 0) == expected
    assert (odds[1:5001] < 0).all()
    assert (odds[5001:] > 0).all()


@pytest.mark.parametrize("offset", [(0, 1), (1, 0), (1, 1), (0, 2), (2, 0)])
def test_both_of_a_pair_are_found(rng, offset):
    clean = captured(night(), rng)
    mosaic = clean.mosaic.copy()
    first = np.s_[20:-20:20, 21:-20:20]
    y, x = offset
    second = np.s_[20 + y : -20 + y : 20, 21 + x : -20 + x : 20]
    mosaic[first] += 0.2
    mosaic[second] += 0.2
    flags = found(replace(clean, mosaic=mosaic))
    # Beside the edges of a rectangle three times as bright they may be missed.
    assert flags[first].mean() > 0.8
    assert flags[second].mean() > 0.8


@pytest.mark.parametrize("value", [0.0, 0.4], ids=["dead", "bright"])
@pytest.mark.parametrize("axis", [0, 1])
def test_stuck_columns_and_rows_are_replaced(rng, axis, value):
    light = 0.1 * colors((200, 280))
    clean = captured(light, rng)
    mosaic = clean.mosaic.copy()
    line = np.s_[:, 101] if axis == 0 else np.s_[101]
    mosaic[line] = value
    flags = found(replace(clean, mosaic=mosaic))
    assert flags[line].all()
    assert flags.sum() <= flags[line].size + 2
    mended, _ = mend_hot_pixels(replace(clean, mosaic=mosaic), NOISE)
    assert np.abs(mended.mosaic[line] - clean.mosaic[line]).max() < 0.03


def test_dead_samples_are_found(rng):
    clean = captured(0.1 * colors((200, 280)), rng)
    mosaic = clean.mosaic.copy()
    mosaic[9::17, 8::19] = 0
    flags = found(replace(clean, mosaic=mosaic))
    assert flags[9::17, 8::19].mean() > 0.98
    assert flags.sum() <= flags[9::17, 8::19].sum() + 1


def test_a_thin_wire_is_no_stuck_column(rng):
    """A lens spreads the thinnest line over its neighbors as well."""
    x = np.arange(280)
    light = np.full((200, 280), 0.02) + 0.3 * np.exp(-((x - 140.2) ** 2) / (2 * 0.6**2))
    assert found(captured(light * colors(light.shape), rng)).sum() <= 1


def test_where_interpolation_has_spread_them_nothing_is_looked_for(rng):
    clean = captured(night(), rng)
    mosaic = clean.mosaic.copy()
    mosaic[50, 50] = 0.9
    assert mend_hot_pixels(replace(clean, mosaic=mosaic), NOISE)[1] >= 1
    assert mend_hot_pixels(replace(clean, mosaic=mosaic, origin="x-trans"), NOISE)[1] == 0


@pytest.mark.parametrize("shape", [(2, 2), (7, 9), (8, 31), (33, 65), (100, 97)])
def test_small_and_odd_photos_can_be_looked_at(rng, shape):
    raw = plain_raw(rng.normal(0.1, 0.001, shape))
    mosaic = raw.mosaic.copy()
    mosaic[0, 0], mosaic[-1, -1] = np.nan, np.inf
    mended, _ = mend_hot_pixels(replace(raw, mosaic=mosaic), NOISE)
    assert mended.mosaic.shape == shape
