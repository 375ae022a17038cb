from __future__ import annotations

import numpy as np
import pytest

from nightfix.condition.hot_pixels import _medians
from nightfix.condition.mending import estimate_samples


def scene(kind):
    """Light of one color scale on a mosaic: 0.6 at red, 1 at green, 0.7 at blue."""
    y, x = np.mgrid[:128, :160].astype(np.float64)
    light = {
        "edge": 0.1 + 0.3 / (1 + np.exp(-(x - 80 + 0.4 * (y - 64)) / 0.7)),
        "stripes": 0.3 + 0.2 * np.sin(0.9 * x + 0.5 * y),
        "rings": 0.3 + 0.2 * np.sin(np.hypot(x - 20, y - 30)),
    }[kind]
    tint = np.ones_like(light)
    tint[::2, ::2], tint[1::2, 1::2] = 0.6, 0.7
    return light * tint


@pytest.mark.parametrize("kind", ["edge", "stripes", "rings"])
@pytest.mark.parametrize("density", [4e-4, 5e-3])
def test_detail_is_better_than_by_the_median_of_a_plane(rng, kind, density):
    truth = scene(kind)
    flags = rng.random(truth.shape) < density
    flags[60, 80] = flags[0, 0] = True
    places = np.nonzero(flags)
    mosaic = (truth + 0.003 * rng.normal(size=truth.shape)).astype(np.float32)
    mosaic[places] = 0.9
    median = _medians(mosaic, flags, *places)
    mosaic[places] = median
    found = estimate_samples(mosaic, flags, places, (1e-6, 9e-6))
    errors = (np.sqrt(np.mean((value - truth[places]) ** 2)) for value in (found.value, median))
    mine, plain = errors
    assert mine < max(plain / 2, 0.006)


def test_a_flat_scene_stays_flat_and_its_error_is_the_noise(rng):
    mosaic = (0.2 + 0.01 * rng.normal(size=(90, 110))).astype(np.float32)
    flags = rng.random(mosaic.shape) < 2e-3
    places = np.nonzero(flags)
    mosaic[places] = 0.2
    found = estimate_samples(mosaic, flags, places, (1e-9, 1e-4))
    assert np.abs(found.value - 0.2).max() < 0.015
    assert np.median(found.error) == pytest.approx(0.01, rel=0.25)


@pytest.mark.parametrize("shape", [(8, 8), (7, 31), (33, 12)])
def test_small_and_odd_mosaics(rng, shape):
    mosaic = rng.normal(0.1, 0.01, shape).astype(np.float32)
    flags = np.zeros(shape, np.bool_)
    flags[0, 0] = flags[-1, -1] = flags[3, 3] = True
    found = estimate_samples(mosaic, flags, np.nonzero(flags), (1e-4, 1e-6))
    assert np.isfinite(found.value).all()
