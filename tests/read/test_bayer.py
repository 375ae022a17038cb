from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightfix.read.bayer import (
    CFA_PATTERNS,
    PLANES,
    pack_bayer,
    shift_pattern,
    site_values,
    transpose_planes,
    unpack_bayer,
)

SHAPES = [(1, 1), (1, 5), (2, 2), (3, 2), (5, 7), (8, 8)]


@pytest.mark.parametrize("pattern", CFA_PATTERNS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_unpack_undoes_pack(pattern, shape, rng):
    mosaic = rng.normal(size=shape).astype(np.float32)
    assert np.array_equal(unpack_bayer(pack_bayer(mosaic, pattern), pattern, shape), mosaic)


@pytest.mark.parametrize("pattern", CFA_PATTERNS)
@pytest.mark.parametrize("shape", [(6, 6), (7, 5)], ids=str)
def test_planes_hold_one_color_each(pattern, shape):
    """A mosaic that is red, green and blue by site packs into constant planes in the order."""
    cell = site_values(np.array([1, 2, 3, 4], np.float32), pattern)
    rows, columns = np.indices(shape)
    planes = pack_bayer(cell[rows % 2, columns % 2], pattern)
    assert len(planes) == len(PLANES)
    assert [np.unique(plane).tolist() for plane in planes] == [[1], [2], [3], [4]]


@pytest.mark.parametrize("pattern", CFA_PATTERNS)
def test_red_rows_carry_the_first_green(pattern):
    cell = site_values(np.array([1, 2, 3, 4], np.float32), pattern)
    red_row = cell[divmod(pattern.index("R"), 2)[0]]
    assert sorted(red_row.tolist()) == [1, 2]


@given(st.sampled_from(CFA_PATTERNS), st.integers(0, 3), st.integers(0, 3))
def test_shifted_pattern_is_what_the_shifted_mosaic_shows(pattern, top, left):
    mosaic = np.array([list(pattern[:2] * 4), list(pattern[2:] * 4)] * 4)
    seen = mosaic[top : top + 2, left : left + 2]
    assert shift_pattern(pattern, top, left) == "".join(seen.ravel())


def test_unpack_refuses_planes_of_another_size():
    with pytest.raises(ValueError, match="do not unpack"):
        unpack_bayer(np.zeros((4, 3, 3), np.float32), "RGGB", (8, 8))


@pytest.mark.parametrize("shape", [(4, 6), (8, 2)], ids=str)
def test_transposed_planes_are_those_of_the_transposed_mosaic(shape, rng):
    mosaic = rng.normal(size=shape).astype(np.float32)
    wanted = pack_bayer(np.ascontiguousarray(mosaic.T), "RGGB")
    assert np.array_equal(transpose_planes(pack_bayer(mosaic, "RGGB")), wanted)
