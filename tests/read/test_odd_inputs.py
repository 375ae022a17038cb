"""Photos no photographer takes, through all rooms: a picture, or an error that says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from dng_files import CFA, LINEAR_RAW, DngSpec, write_test_dng
from raw_images import plain_raw

from nightfix.condition.conditioning import Settings, condition_raw
from nightfix.develop.develop import develop_raw
from nightfix.errors import RawReadError
from nightfix.read.bayer import CfaPattern
from nightfix.read.reader import RawImage, Rectangle, read_raw
from nightfix.write.dng import write_dng
from nightfix.write.tiff import write_tiff

SHAPES = [(2, 2), (1, 1), (1, 64), (64, 1), (3, 5), (16, 16), (40, 3000)]
PATTERNS: list[CfaPattern | None] = ["RGGB", "GBRG", None]


def through_all_rooms(raw: RawImage, restorer: Any, folder: Path) -> np.ndarray:
    """Restore, develop and write a photo; return the picture as it was written."""
    restored = restorer.restore(raw, condition_raw(raw), Settings(steps=2))
    assert np.isfinite(restored.mosaic).all()
    rgb = develop_raw(restored)
    assert ((rgb >= 0) & (rgb <= 1)).all()
    write_tiff(folder / "out.tif", rgb, restored, color_space="srgb")
    write_dng(folder / "out.dng", restored, restored=True)
    written: np.ndarray = tifffile.imread(folder / "out.tif")
    return written


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_any_shape_becomes_a_picture(
    tmp_path: Path,
    tiny_restorer: Any,
    rng: np.random.Generator,
    shape: tuple[int, int],
    pattern: CfaPattern | None,
) -> None:
    raw = plain_raw(rng.normal(0.02, 0.01, shape), cfa_pattern=pattern)
    assert through_all_rooms(raw, tiny_restorer, tmp_path).shape[:2] == shape


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
@pytest.mark.parametrize(
    "value", [0.0, -0.03, 1.0, 4.0, np.nan, np.inf, -np.inf], ids=lambda value: f"{value:g}"
)
def test_any_flat_frame_becomes_a_picture(
    tmp_path: Path, tiny_restorer: Any, value: float, pattern: CfaPattern | None
) -> None:
    raw = plain_raw(np.full((48, 64), value), cfa_pattern=pattern)
    through_all_rooms(raw, tiny_restorer, tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_values_that_are_no_numbers_stay_where_they_are(
    synthetic_raw: Any, value: float, tmp_path: Path
) -> None:
    raw = synthetic_raw()
    mosaic = raw.mosaic.copy()
    mosaic[40, 60] = value
    far = np.ones(mosaic.shape, bool)
    far[20:60, 40:80] = False
    clean, broken = develop_raw(raw), develop_raw(replace(raw, mosaic=mosaic))
    assert np.isfinite(broken).all()
    assert np.abs(clean - broken)[far].max() < 0.01
    write_dng(tmp_path / "out.dng", replace(raw, mosaic=mosaic), restored=False)


@pytest.mark.parametrize("shape", [(24, 30000), (30000, 24)], ids=["wide", "tall"])
@pytest.mark.parametrize("photometric", [CFA, LINEAR_RAW], ids=["bayer", "mono"])
def test_very_long_frames_become_pictures(
    tmp_path: Path, tiny_restorer: Any, shape: tuple[int, int], photometric: int
) -> None:
    samples = np.random.default_rng(1).integers(500, 700, shape).astype(np.uint16)
    path = write_test_dng(tmp_path / "long.dng", DngSpec(samples, photometric=photometric))
    raw = read_raw(path)
    if shape[1] == max(shape):  # the network alone takes a second
        raw = tiny_restorer.restore(raw, condition_raw(raw), Settings(steps=1))
    assert develop_raw(raw).shape[:2] == raw.mosaic.shape == shape


@pytest.mark.parametrize("shape", [(2, 2), (1, 64), (64, 1)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_files_of_a_few_pixels_are_one_error(tmp_path: Path, shape: tuple[int, int]) -> None:
    path = write_test_dng(tmp_path / "tiny.dng", DngSpec(np.ones(shape, np.uint16)))
    with pytest.raises(RawReadError):
        read_raw(path)


def test_a_crop_of_one_pixel_is_developed() -> None:
    raw = plain_raw(np.full((48, 64), 0.2), crop=Rectangle(7, 9, 1, 1))
    assert develop_raw(raw).shape == (1, 1, 3)
