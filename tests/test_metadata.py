from __future__ import annotations

import io
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dng_files import (
    ASCII,
    BYTE,
    DOUBLE,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    UNDEFINED,
    DngSpec,
    Row,
    coded_samples,
    ifd_bytes,
    text,
    write_test_dng,
)

from nightfix.metadata import ExifTag, Exposure, FileTags, Ifd, Metadata, read_metadata, read_tags
from nightfix.raw import read_raw

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


# --- the reader of directories


def tiff(rows: list[Row], *, following: int = 0) -> io.BytesIO:
    """Return a file of one directory at byte 8, chained to ``following``."""
    data = bytearray(b"II*\0\x08\0\0\0" + ifd_bytes(rows, 8))
    end = 8 + 2 + 12 * len(rows)
    data[end : end + 4] = struct.pack("<I", following)
    return io.BytesIO(bytes(data))


def test_numbers_of_every_type() -> None:
    rows: list[Row] = [
        (300, BYTE, 2, b"\1\xff"),
        (301, SHORT, 3, (1, 2, 65535)),
        (302, LONG, 1, 2**32 - 1),
        (303, RATIONAL, 2, (1, 4, 0, 5)),
        (304, SRATIONAL, 1, (-1, 3)),
        (305, DOUBLE, 2, (0.5, -2.0)),
    ]
    main = read_tags(tiff(rows)).main
    assert main.numbers(300) == (1, 255)
    assert main.numbers(301) == (1, 2, 65535)
    assert main.numbers(302) == (2**32 - 1,)
    assert main.numbers(303) == (0.25, 0.0)
    assert main.numbers(304) == (-1 / 3,)
    assert main.numbers(305) == (0.5, -2.0)
    assert main.numbers(999) == ()


def test_a_rational_over_zero_is_no_number() -> None:
    assert read_tags(tiff([(303, RATIONAL, 1, (0, 0))])).main.number(303) is None


def test_big_endian_values_are_turned() -> None:
    entries = struct.pack(">HHIHH", 301, SHORT, 1, 258, 0)
    entries += struct.pack(">HHII", 303, RATIONAL, 1, 8 + 2 + 24 + 4)
    data = b"MM\0*" + struct.pack(">IH", 8, 2) + entries + bytes(4) + struct.pack(">II", 3, 4)
    main = read_tags(io.BytesIO(data)).main
    assert main.tags[301] == ExifTag(301, SHORT, 1, struct.pack("<H", 258))
    assert main.tags[303] == ExifTag(303, RATIONAL, 1, struct.pack("<II", 3, 4))


@pytest.mark.parametrize("following", [8, 4_000_000_000], ids=["loop", "outside"])
def test_chains_end(following: int) -> None:
    tags = read_tags(tiff([(301, SHORT, 1, 7)], following=following))
    assert [ifd.numbers(301) for ifd in tags.images] == [(7,)]


@pytest.mark.parametrize("code", [330, 34665, 34853], ids=["SubIFD", "EXIF", "GPS"])
@pytest.mark.parametrize("offset", [8, 2**32 - 1, 3], ids=["itself", "outside", "nonsense"])
def test_pointers_to_nowhere_are_harmless(code: int, offset: int) -> None:
    tags = read_tags(tiff([(301, SHORT, 1, 7), (code, LONG, 1, offset)]))
    assert tags.main.numbers(301) == (7,)
    assert (tags.exif.tags, tags.gps.tags) == ({}, {})


def test_values_outside_the_file_are_left_out() -> None:
    data = bytearray(tiff([(301, SHORT, 1, 7), (700, BYTE, 9, b"123456789")]).getvalue())
    data[26:30] = struct.pack("<I", 2**31)  # the second entry's count
    main = read_tags(io.BytesIO(bytes(data))).main
    assert list(main.tags) == [301]


def test_text_ends_at_its_first_nul_and_survives_any_encoding() -> None:
    rows: list[Row] = [(271, ASCII, 9, b" Acme\0xy\0"), (272, ASCII, 6, b"caf\xe9 \0")]
    main = read_tags(tiff(rows)).main
    assert main.text(271) == "Acme"
    assert main.text(272) == "café"


def test_the_boxes_of_a_cr3_are_found() -> None:
    def box(name: bytes, rows: list[Row]) -> bytes:
        content = tiff(rows).getvalue()
        return struct.pack(">I", len(content) + 8) + name + content

    head = struct.pack(">I", 24) + b"ftypcrx " + bytes(12)
    file = io.BytesIO(
        head
        + box(b"CMT1", [text(272, "Canon EOS R5")])
        + box(b"CMT2", [(34855, SHORT, 1, 800)])
        + box(b"CMT4", [(1, ASCII, 2, "N")])
    )
    tags = read_tags(file)
    assert tags.main.text(272) == "Canon EOS R5"
    assert tags.exif.numbers(34855) == (800,)
    assert tags.gps.text(1) == "N"


def test_the_preview_of_a_raf_tells_the_camera() -> None:
    exif = b"Exif\0\0" + tiff([text(272, "GFX 50R")]).getvalue()
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>"
    preview = b"\xff\xd8" + b"".join(
        struct.pack(">HH", 0xFFE1, len(part) + 2) + part for part in (exif, xmp)
    )
    head = b"FUJIFILMCCD-RAW 0201".ljust(84, b"\0") + struct.pack(">II", 160, len(preview))
    file = io.BytesIO(head.ljust(160, b"\0") + preview)
    tags = read_tags(file)
    assert tags.main.text(272) == "GFX 50R"
    assert tags.xmp == b"<x:xmpmeta/>"


@pytest.mark.parametrize(
    "content", [b"", b"II", b"II*\0", b"MM\0*\0\0\0\x08", b"qktk" + bytes(100)], ids=repr
)
def test_other_files_have_no_tags(content: bytes) -> None:
    assert read_tags(io.BytesIO(content)).main.tags == {}


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


# --- files made to keep us busy


class Counting(io.BytesIO):
    """Counts how often it is read from."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        return super().read(size)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff\xc0\0\2" * 50_000,
        b"\xff\xd8" + b"\xff\xe1\0\2" * 50_000,
        b"\0\0\0\x18ftypcrx " + bytes(12) + b"\0\0\0\x08free" * 50_000 + bytes(100),
    ],
    ids=["segments of a JPEG", "empty segments of EXIF", "boxes of a CR3"],
)
def test_of_endless_parts_only_the_first_are_looked_at(data: bytes) -> None:
    file = Counting(data)
    assert read_tags(file).main.tags == {}
    assert 1000 < file.reads < 5000
