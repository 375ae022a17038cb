from __future__ import annotations

import numpy as np
import pytest

from nightfix.condition import ExposureTarget
from nightfix.condition.conditioning import condition_raw
from nightfix.develop.develop import develop_raw
from nightfix.read.arrays import raw_from_array
from nightfix.read.reader import to_dn


@pytest.mark.parametrize("shape", [(6, 8), (5, 7)], ids=str)
@pytest.mark.parametrize("pattern", ["RGGB", "BGGR", "GRBG", "GBRG", None])
def test_samples_come_back(rng, shape, pattern):
    black = np.array([[60, 64], [70, 66]])
    samples = rng.integers(50, 1023, shape, dtype=np.uint16)
    raw = raw_from_array(samples, cfa_pattern=pattern, black_level=black, white_level=1023)
    assert raw.bit_depth == 10
    np.testing.assert_array_equal(to_dn(raw, raw.mosaic), samples)


def test_noise_and_color_are_as_given(rng):
    raw = raw_from_array(
        rng.random((64, 64)) * 0.1,
        noise=(1e-3, 1e-6),
        as_shot_neutral=[0.5, 1, 0.6],
        color_matrix=np.eye(3),
    )
    chosen = condition_raw(raw, ExposureTarget(ratio=4))
    assert (chosen.noise.a, chosen.noise.b, chosen.noise.source) == (1e-3, 1e-6, "tag")
    assert develop_raw(raw).shape == (64, 64, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"samples": np.zeros(9)},
        {"samples": np.zeros((1, 9))},
        {"cfa_pattern": "RGBG"},
        {"black_level": 1.0},
        {"white_level": float("nan")},
    ],
    ids=str,
)
def test_what_is_no_mosaic_is_refused(wrong):
    with pytest.raises(ValueError, match="mosaic|none of|level"):
        raw_from_array(**{"samples": np.zeros((4, 4)), **wrong})
