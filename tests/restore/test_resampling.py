from __future__ import annotations

import numpy as np
import pytest

from nightfix.restore.resampling import resample


def places(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return tuple(axis[None] for axis in np.meshgrid(rows, columns, indexing="ij"))


def test_whole_numbers_are_the_pixels_themselves(rng) -> None:
    planes = rng.normal(0.3, 1, (3, 9, 13)).astype(np.float32)
    there = resample(planes, *places(np.arange(2, 7), np.arange(1, 12)))
    np.testing.assert_allclose(there, planes[:, 2:7, 1:12], atol=1e-5)


def test_a_slope_stays_a_slope() -> None:
    y, x = np.mgrid[:20, :30].astype(np.float32)
    plane = 0.01 * y + 0.02 * x
    rows, columns = places(np.arange(3, 15, 0.37), np.arange(3, 25, 0.41))
    there = resample(plane[None], rows, columns)
    # The kernel moves places by 0.05 px at most.
    np.testing.assert_allclose(there, 0.01 * rows + 0.02 * columns, atol=0.05 * 0.03)


def test_each_plane_has_its_places() -> None:
    y, x = np.mgrid[:20, :30].astype(np.float32)
    planes = np.stack([y, x, y + x]) / 50
    rows, columns = places(np.arange(4.0, 12), np.arange(4.0, 20))
    shifts = np.array([0.5, 1.5, -0.25])[:, None, None]
    there = resample(planes, rows + shifts, columns - shifts)
    expected = np.stack([rows[0] + 0.5, columns[0] - 1.5, rows[0] + columns[0]]) / 50
    np.testing.assert_allclose(there, expected, atol=0.05 * 0.04)


def test_texture_keeps_more_contrast_than_between_two_pixels() -> None:
    wave = np.cos(2 * np.pi * np.arange(64) / 5).astype(np.float32)
    plane = np.tile(0.4 + 0.2 * wave, (8, 1))[None]
    rows, columns = places(np.array([4.0]), np.arange(8, 56, 0.5))
    there = resample(plane, rows, columns)[0, 0]
    truth = 0.4 + 0.2 * np.cos(2 * np.pi * columns[0, 0] / 5)
    linear = np.interp(columns[0, 0], np.arange(64), plane[0, 4])
    assert np.abs(there - truth).mean() < 0.5 * np.abs(linear - truth).mean()


@pytest.mark.parametrize("brightness", [1.0, 8.0, 60.0])
def test_nothing_rings_beside_a_lamp(brightness: float) -> None:
    plane = np.full((1, 30, 30), 0.02, np.float32)
    plane[:, 12:18, 12:18] = brightness
    there = resample(plane, *places(np.arange(2, 28, 0.21), np.arange(2, 28, 0.23)))
    assert there.min() >= 0.01 - 1e-6
    assert there.max() <= brightness * 1.11
    assert there.max() >= brightness * 0.999


def test_beyond_the_border_its_pixels_are_repeated() -> None:
    plane = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    there = resample(plane, *places(np.array([-5.0, 9.0]), np.array([-2.0, 40.0])))
    np.testing.assert_allclose(there[0], [[0, 3], [8, 11]], atol=1e-5)


def test_a_single_pixel_is_everywhere() -> None:
    plane = np.full((3, 1, 1), 0.25, np.float32)
    there = resample(plane, *places(np.array([0.0, 0.7]), np.array([-0.5, 0.3])))
    np.testing.assert_allclose(there, 0.25)
