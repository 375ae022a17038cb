from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from raw_images import plain_raw
from tiff_tree import make_raw, read_tree

from nightfix.develop.develop import develop_raw
from nightfix.read.bayer import CFA_PATTERNS, CfaPattern
from nightfix.read.reader import RawImage, Rectangle
from nightfix.write.dng import write_dng
from nightfix.write.dng_preview import make_preview, reduce_raw, shrink_picture


def gradient(shape: tuple[int, int], cfa_pattern: CfaPattern | None = "RGGB") -> RawImage:
    """A gray scene that is brighter below and to the right, in steps no eye could see."""
    rows, columns = np.indices(shape)
    return plain_raw(
        0.1 + 0.3 * rows / shape[0] + 0.2 * columns / shape[1],
        cfa_pattern=cfa_pattern,
        as_shot_neutral=np.ones(3),
    )


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
def test_colors_stay_in_register(factor: int, cfa_pattern: CfaPattern) -> None:
    """A slope is sampled where the small pixels' centers lie, at every site alike."""
    raw = gradient((121, 163), cfa_pattern)
    small = reduce_raw(raw, factor)
    rows, columns = (factor * i + (factor - 1) / 2 for i in np.indices(small.mosaic.shape))
    expected = 0.1 + 0.3 * rows / 121 + 0.2 * columns / 163
    inside = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(small.mosaic[inside], expected[inside], rtol=1e-5)
    assert small.cfa_pattern == cfa_pattern
    assert small.mosaic.shape == (121 // factor, 163 // factor)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_light_is_kept(factor: int, rng: np.random.Generator) -> None:
    raw = plain_raw(rng.random((120, 168), np.float32))
    small = reduce_raw(raw, factor)
    assert small.mosaic.mean() == pytest.approx(raw.mosaic.mean(), rel=0.01)


@pytest.mark.parametrize("factor", [2, 3])
def test_a_flat_color_stays_the_same(factor: int) -> None:
    mosaic = np.tile(np.array([[0.1, 0.2], [0.3, 0.4]], np.float32), (31, 44))
    small = reduce_raw(plain_raw(mosaic), factor).mosaic
    height, width = small.shape
    np.testing.assert_allclose(small, mosaic[:height, :width], rtol=1e-6)


@pytest.mark.parametrize(
    ("side", "expected"),
    [(2047, 2047), (2048, 2048), (2049, 1024), (4097, 1365), (90, 90)],
)
def test_longest_side(side: int, expected: int) -> None:
    assert make_preview(gradient((8, side))).shape[1] == expected


@pytest.mark.parametrize("orientation", range(1, 9))
def test_preview_stands_as_the_sensor_does(orientation: int) -> None:
    preview = make_preview(replace(gradient((60, 90)), orientation=orientation)).astype(int)
    assert preview.shape == (60, 90, 3)
    corners = [preview[y, x, 1] for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1))]
    assert corners == sorted(corners)


def test_preview_shows_what_is_developed() -> None:
    raw = gradient((60, 90))
    expected = np.rint(develop_raw(raw) * 255)
    np.testing.assert_array_equal(make_preview(raw), expected)


def test_crop_is_shown() -> None:
    raw = replace(gradient((3000, 4200)), crop=Rectangle(101, 103, 2800, 4000))
    small = reduce_raw(raw, 2)
    assert small.crop == Rectangle(50, 51, 1400, 2000)
    assert make_preview(raw).shape == (1400, 2000, 3)


@pytest.mark.parametrize(
    "crop", [Rectangle(0, 0, 5, 3000), Rectangle(4, 2999, 1, 1), Rectangle(0, 0, 1, 1)], ids=str
)
def test_extreme_crops_leave_a_pixel(crop: Rectangle) -> None:
    small = reduce_raw(replace(gradient((5, 3000)), crop=crop), 3)
    assert min(small.crop.height, small.crop.width) >= 1
    assert develop_raw(small).size > 0


def test_thumbnail_averages_blocks(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, (40, 61, 3), dtype=np.uint8)
    small = shrink_picture(picture, 20)
    assert small.shape == (10, 15, 3)
    np.testing.assert_allclose(small[2, 3], picture[8:12, 12:16].mean((0, 1)), atol=0.5)


def test_file_managers_find_both(tmp_path: Path) -> None:
    raw = make_raw(np.full((600, 1400), 900, np.uint16), orientation=6)
    write_dng(tmp_path / "a.dng", raw, restored=True)
    data, tree = (tmp_path / "a.dng").read_bytes(), read_tree(tmp_path / "a.dng")
    main, preview = tree["0"], tree["0/330.1"]
    assert main.values[254] == preview.values[254] == [1]
    assert (main.values[262], main.values[259], main.values[258]) == ([2], [1], [8, 8, 8])
    assert (main.values[256], main.values[257]) == ([233], [100])
    assert (preview.values[262], preview.values[259]) == ([6], [7])
    (place, size), *_ = preview.pieces
    picture = Image.open(io.BytesIO(data[place : place + size]))
    assert picture.size == (1400, 600)
    expected = make_preview(raw).mean((0, 1))
    np.testing.assert_allclose(np.asarray(picture).mean((0, 1)), expected, atol=2)
    (place, size), *_ = main.pieces
    thumbnail = np.frombuffer(data[place : place + size], np.uint8).reshape(100, 233, 3)
    np.testing.assert_allclose(thumbnail.mean((0, 1)), expected, atol=2)
