from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from tiff_tree import make_raw, packet

from nightfix.develop.color import COLOR_SPACES
from nightfix.develop.icc import icc_profile
from nightfix.errors import OutputExistsError, OutputWriteError
from nightfix.read.reader import RawImage
from nightfix.read.tags import ExifTag
from nightfix.write.exif import SOFTWARE
from nightfix.write.picture import PictureFormat, write_picture
from nightfix.write.record import Record
from nightfix.write.xmp import record_of_file

KINDS: tuple[PictureFormat, ...] = get_args(PictureFormat)


@pytest.fixture
def raw() -> RawImage:
    return make_raw(np.zeros((60, 80), np.uint16), orientation=6)


@pytest.fixture
def rgb() -> np.ndarray:
    rows, columns = np.indices((80, 60))
    return np.stack([rows / 80, columns / 60, 0.5 + 0 * rows], axis=-1).astype(np.float32)


@pytest.mark.parametrize(("kind", "tolerance"), [("PNG", 0.51), ("JPEG", 6), ("AVIF", 6)])
def test_pixels_survive(
    tmp_path: Path, raw: RawImage, rgb: np.ndarray, kind: PictureFormat, tolerance: float
) -> None:
    write_picture(tmp_path / "a", rgb, raw, kind, color_space="srgb")
    with Image.open(tmp_path / "a") as picture:
        assert (picture.format, picture.mode) == (kind, "RGB")
        assert np.abs(np.asarray(picture) - rgb * 255.0).max() <= tolerance


def test_a_jpeg_of_nothing_but_noise_is_written(tmp_path: Path, raw: RawImage) -> None:
    noise = np.random.default_rng(3).random((512, 768, 3), np.float32)
    path = tmp_path / "noise.jpg"
    write_picture(path, noise, raw, "JPEG", color_space="srgb")
    with Image.open(path) as picture:
        assert picture.size == (768, 512)


def test_out_of_range_is_clipped(tmp_path: Path, raw: RawImage) -> None:
    rgb = np.array([[[-0.5, 0.0, 1.5]]], np.float32)
    write_picture(tmp_path / "a", rgb, raw, "PNG", color_space="srgb")
    with Image.open(tmp_path / "a") as picture:
        assert picture.getpixel((0, 0)) == (0, 0, 255)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("color_space", ["srgb", "display-p3", "rec2020"])
def test_profile_and_metadata(
    tmp_path: Path, raw: RawImage, rgb: np.ndarray, kind: PictureFormat, color_space: str
) -> None:
    write_picture(tmp_path / "a", rgb, raw, kind, color_space=color_space)
    with Image.open(tmp_path / "a") as picture:
        assert picture.info["icc_profile"] == icc_profile(COLOR_SPACES[color_space])
        exif = picture.getexif()
    assert (exif[271], exif[272], exif[305]) == ("Nightcam", "N1", SOFTWARE)
    assert exif.get(274, 1) == 1
    below = exif.get_ifd(34665)
    assert (below[33434], below[34855], below[42036]) == (1 / 30, 3200, "35mm F2")
    assert below[40961] == (1 if color_space == "srgb" else 65535)
    assert (below[40962], below[40963]) == (60, 80)
    assert exif.get_ifd(34853)[1] == "N"


def test_a_long_maker_note_does_not_cost_the_rest(
    tmp_path: Path, raw: RawImage, rgb: np.ndarray
) -> None:
    note = ExifTag(37500, 7, 70000, b"FUJIFILM" + bytes(69992))
    exif = tuple(sorted((*raw.metadata.exif, note)))
    raw = replace(raw, metadata=replace(raw.metadata, exif=exif))
    write_picture(tmp_path / "a", rgb, raw, "JPEG", color_space="srgb")
    with Image.open(tmp_path / "a") as picture:
        below = picture.getexif().get_ifd(34665)
    assert below[33434] == 1 / 30
    assert 37500 not in below


def test_exif_that_does_not_fit_at_all_is_left_out(
    tmp_path: Path, raw: RawImage, rgb: np.ndarray
) -> None:
    comment = ExifTag(37510, 7, 70000, b"ASCII\0\0\0" + b"x" * 69992)
    raw = replace(raw, metadata=replace(raw.metadata, exif=(comment,)))
    write_picture(tmp_path / "a", rgb, raw, "JPEG", color_space="srgb")
    with Image.open(tmp_path / "a") as picture:
        assert 34665 not in picture.getexif()


def test_a_long_packet_does_not_cost_the_record(
    tmp_path: Path, raw: RawImage, rgb: np.ndarray
) -> None:
    xmp = packet(f'xmp:Rating="4" dc:source="{"x" * 70000}"')
    raw = replace(raw, metadata=replace(raw.metadata, xmp=xmp))
    record = Record(ratio=3)
    write_picture(tmp_path / "a", rgb, raw, "JPEG", color_space="srgb", record=record)
    assert record_of_file(tmp_path / "a") == record


@pytest.mark.parametrize("kind", KINDS)
def test_existing_file_is_kept(
    tmp_path: Path, raw: RawImage, rgb: np.ndarray, kind: PictureFormat
) -> None:
    (tmp_path / "a").write_bytes(b"precious")
    with pytest.raises(OutputExistsError):
        write_picture(tmp_path / "a", rgb, raw, kind, color_space="srgb")
    assert (tmp_path / "a").read_bytes() == b"precious"


def test_source_is_never_overwritten(tmp_path: Path, raw: RawImage, rgb: np.ndarray) -> None:
    (tmp_path / "a").write_bytes(struct.pack("4s", b"raw"))
    with pytest.raises(OutputWriteError, match="photo itself"):
        write_picture(
            tmp_path / "a",
            rgb,
            replace(raw, path=tmp_path / "a"),
            "JPEG",
            color_space="srgb",
            overwrite=True,
        )
