from __future__ import annotations

import math
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dng_files import (
    ASCII,
    BYTE,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    UNDEFINED,
    DngSpec,
    Row,
    coded_samples,
    text,
    write_test_dng,
)

from nightfix.read.metadata import Exposure, Metadata, read_metadata
from nightfix.read.reader import read_raw
from nightfix.read.tags import ExifTag, FileTags, Ifd, read_tags

EXIF: list[Row] = [
    (33434, RATIONAL, 1, (1, 30)),
    (33437, RATIONAL, 1, (28, 10)),
    (34855, SHORT, 1, 6400),
    (36864, UNDEFINED, 4, b"0232"),
    text(36867, "2024:11:05 21:30:59"),
    (37380, SRATIONAL, 1, (-1, 3)),
    (37386, RATIONAL, 1, (35, 1)),
    (37500, UNDEFINED, 8, b"MAKER\0\1\2"),
    (40965, LONG, 1, 12),
    text(42036, "Acme 35mm F1.8"),
]
GPS: list[Row] = [
    (0, BYTE, 4, b"\2\3\0\0"),
    (1, ASCII, 2, "N"),
    (2, RATIONAL, 3, (52, 1, 31, 1, 1234, 100)),
]
IMAGE: list[Row] = [
    text(270, "a street"),
    text(305, "Firmware 1.0"),
    text(315, "   "),
    (700, BYTE, 5, b"<xmp>"),
    text(33432, "© A. Nyone"),
]


def metadata_of(tmp_path: Path, **declared: Any) -> Metadata:
    """Return the metadata of a test DNG with these declarations."""
    spec = DngSpec(coded_samples(40, 50), **declared)
    return read_raw(write_test_dng(tmp_path / "photo.dng", spec)).metadata


# --- what is known of the capture


def test_the_capture_is_told(tmp_path: Path) -> None:
    known = metadata_of(tmp_path, exif=EXIF)
    assert (known.make, known.model) == ("Acme", "Night One")
    assert known.unique_camera_model == "Acme Night One"
    assert known.lens == "Acme 35mm F1.8"
    assert known.captured == "2024:11:05 21:30:59"
    assert known.exposure == Exposure(
        exposure_time=pytest.approx(1 / 30), iso_speed=6400, f_number=2.8, focal_length=35
    )


@pytest.mark.parametrize(
    ("distance", "expected"),
    [((25, 10), 2.5), ((0xFFFFFFFF, 1), math.inf), ((0, 1), None), ((5, 0), None)],
)
def test_the_focus_distance_is_told(
    tmp_path: Path, distance: tuple[int, int], expected: float | None
) -> None:
    known = metadata_of(tmp_path, exif=[(37382, RATIONAL, 1, distance)])
    assert known.exposure.focus_distance == expected


def test_nothing_is_guessed(tmp_path: Path) -> None:
    known = metadata_of(tmp_path, make=None, model=None, unique_camera_model=None)
    assert (known.make, known.model, known.unique_camera_model) == ("", "", "")
    assert (known.lens, known.captured, known.noise_profile) == ("", "", ())
    assert known.exposure == Exposure(
        exposure_time=None, iso_speed=None, f_number=None, focal_length=None
    )


@pytest.mark.parametrize(
    ("make", "model", "expected"),
    [
        ("Canon", "Canon EOS R5", "Canon EOS R5"),
        ("NIKON CORPORATION", "NIKON Z 6", "NIKON Z 6"),
        ("SONY", "ILCE-7SM3", "SONY ILCE-7SM3"),
        (None, "Phone 12", "Phone 12"),
    ],
)
def test_a_camera_without_unique_name_is_called_by_make_and_model(
    tmp_path: Path, make: str | None, model: str, expected: str
) -> None:
    known = metadata_of(tmp_path, make=make, model=model, unique_camera_model=None)
    assert known.unique_camera_model == expected


def test_zeros_in_exif_are_unknown(tmp_path: Path) -> None:
    zeros: list[Row] = [
        (33434, RATIONAL, 1, (0, 1)),
        (33437, RATIONAL, 1, (0, 1)),
        (34855, SHORT, 1, 0),
        (37377, SRATIONAL, 1, (0, 1)),
        (37378, RATIONAL, 1, (0, 1)),
        (37386, RATIONAL, 1, (0, 1)),
    ]
    known = metadata_of(tmp_path, exif=zeros).exposure
    assert known == Exposure(exposure_time=None, iso_speed=None, f_number=None, focal_length=None)


def test_one_second_at_f_1_is_believed_where_exif_says_so(tmp_path: Path) -> None:
    ones: list[Row] = [(33434, RATIONAL, 1, (1, 1)), (33437, RATIONAL, 1, (1, 1))]
    known = metadata_of(tmp_path, exif=ones).exposure
    assert (known.exposure_time, known.f_number) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(34855, SHORT, 1, 65535), (34866, LONG, 1, 102400)], 102400),
        ([(34855, SHORT, 1, 65535), (34867, LONG, 1, 204800)], 204800),
        ([(34855, SHORT, 1, 51200)], 51200),
    ],
    ids=["recommended index", "iso speed", "below"],
)
def test_iso_beyond_16_bits_is_found(tmp_path: Path, rows: list[Row], expected: float) -> None:
    assert metadata_of(tmp_path, exif=rows).exposure.iso_speed == expected


def libraw(**fields: float) -> Any:
    """Return a camera file of which LibRaw knows only ``fields``."""
    nothing = dict.fromkeys(("iso_speed", "shutter_speed", "aperture", "focal_length"), 0.0)
    return SimpleNamespace(lens="", captured="", **(nothing | fields))


def test_exif_fills_what_libraw_leaves_open(tmp_path: Path) -> None:
    spec = DngSpec(coded_samples(40, 50), exif=EXIF)
    path = write_test_dng(tmp_path / "photo.dng", spec)
    with path.open("rb") as file:
        known = read_metadata(libraw(iso_speed=3200.0), read_tags(file), Ifd())
    assert known.lens == "Acme 35mm F1.8"
    assert known.exposure == Exposure(
        exposure_time=pytest.approx(1 / 30), iso_speed=3200, f_number=2.8, focal_length=35
    )


def test_iso_65535_alone_is_unknown() -> None:
    known = read_metadata(libraw(iso_speed=65535.0), FileTags(), Ifd())
    assert known.exposure.iso_speed is None


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ((1e-4, 2e-7), ((1e-4, 2e-7),)),
        ((1e-4, 2e-7) * 3, ((1e-4, 2e-7),) * 3),
        ((0.0, 0.0), ()),
        ((-1e-4, 1e-7), ()),
        ((float("nan"), 1e-7), ()),
        ((1e-4, 2e-7, 1e-4), ()),
    ],
    ids=["one", "three", "zero", "negative", "nan", "odd"],
)
def test_the_noise_profile_is_read_if_it_can_be_true(
    tmp_path: Path, profile: tuple[float, ...], expected: tuple[tuple[float, float], ...]
) -> None:
    assert metadata_of(tmp_path, noise_profile=profile).noise_profile == expected


@pytest.mark.parametrize(
    "date", ["0000:00:00 00:00:00", "", "yesterday", "2024-11-05 21:30:59"], ids=repr
)
def test_what_is_no_date_is_none(tmp_path: Path, date: str) -> None:
    assert metadata_of(tmp_path, exif=[text(36867, date)]).captured == ""


# --- tags to carry over


def test_exif_is_carried_over_byte_for_byte_without_maker_note(tmp_path: Path) -> None:
    carried = metadata_of(tmp_path, exif=EXIF).exif
    assert [tag.code for tag in carried] == [
        33434,
        33437,
        34855,
        36864,
        36867,
        37380,
        37386,
        42036,
    ]
    assert ExifTag(33434, RATIONAL, 1, struct.pack("<II", 1, 30)) in carried
    assert ExifTag(37380, SRATIONAL, 1, struct.pack("<ii", -1, 3)) in carried
    assert ExifTag(36864, UNDEFINED, 4, b"0232") in carried
    assert ExifTag(36867, ASCII, 20, b"2024:11:05 21:30:59\0") in carried


def test_gps_is_carried_over(tmp_path: Path) -> None:
    carried = metadata_of(tmp_path, gps=GPS).gps
    assert carried == (
        ExifTag(0, BYTE, 4, b"\2\3\0\0"),
        ExifTag(1, ASCII, 2, b"N\0"),
        ExifTag(2, RATIONAL, 3, struct.pack("<6I", 52, 1, 31, 1, 1234, 100)),
    )


def test_of_the_main_directory_only_what_describes_the_photo(tmp_path: Path) -> None:
    known = metadata_of(tmp_path, image=IMAGE)
    assert [tag.code for tag in known.image] == [270, 33432]
    assert known.xmp == b"<xmp>"


# --- files of real cameras


def test_an_action_cameras_capture_is_told(shared: Path) -> None:
    known = read_raw(shared / "raw" / "HERO7_GOPR9231.dng").metadata
    assert (known.make, known.model) == ("GoPro", "HERO7 Black")
    assert known.exposure == Exposure(
        exposure_time=pytest.approx(1 / 576), iso_speed=252, f_number=2.8, focal_length=3
    )
    assert known.noise_profile == ((pytest.approx(3.936e-4, 1e-3), pytest.approx(1.23e-7, 1e-2)),)
    assert len(known.gps) == 8


def test_empty_exif_of_a_modified_camera_is_unknown(shared: Path) -> None:
    known = read_raw(shared / "raw" / "canon-x4-colorchart.dng").metadata
    assert known.unique_camera_model == "Canon EOS Kiss X4"
    assert known.exposure == Exposure(
        exposure_time=None, iso_speed=None, f_number=None, focal_length=None
    )
