"""The reader of directories."""

from __future__ import annotations

import io
import struct

import pytest
from dng_files import ASCII, BYTE, DOUBLE, LONG, RATIONAL, SHORT, SRATIONAL, Row, ifd_bytes, text

from nightfix.read.tags import ExifTag, read_tags


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
