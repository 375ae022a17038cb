from __future__ import annotations

import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightfix.read.jpegxl import read_jpegxl_header

SHAPES = [(8, 8), (64, 96), (9, 7), (1080, 1920), (300, 400), (255, 257), (20, 600, 3), (64, 96, 4)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", [8, 10, 12, 14, 16, "f2", "f4"], ids=str)
@pytest.mark.parametrize(
    "options",
    [{"lossless": True}, {"distance": 1.0}, {"lossless": True, "usecontainer": True}],
    ids=["lossless", "lossy", "container"],
)
def test_sizes_and_depth_are_those_that_were_encoded(
    shape: tuple[int, ...], kind: int | str, options: dict[str, Any]
) -> None:
    is_float = isinstance(kind, str)
    dtype = kind if is_float else "u1" if kind == 8 else "u2"
    bits = 8 * int(kind[1]) if isinstance(kind, str) else kind
    depth = None if is_float else bits
    data = imagecodecs.jpegxl_encode(
        np.zeros(shape, dtype), effort=1, bitspersample=depth, **options
    )
    assert read_jpegxl_header(bytes(data)) == (*shape[:2], bits, is_float)


def boxed(*parts: tuple[bytes, bytes]) -> bytes:
    return b"".join(struct.pack(">I4s", 8 + len(data), kind) + data for kind, data in parts)


START = b"\0\0\0\x0cJXL \r\n\x87\n" + boxed((b"ftyp", b"jxl \0\0\0\0jxl "))


def test_a_codestream_may_come_in_parts() -> None:
    picture = np.arange(64 * 96).astype(np.uint8).reshape(64, 96)
    whole = bytes(imagecodecs.jpegxl_encode(picture, lossless=True, usecontainer=False))
    assert whole.startswith(b"\xff\x0a")
    parts = [
        (b"Exif", bytes(70)),
        (b"jxlp", b"\0\0\0\0" + whole[:90]),
        (b"jxlp", b"\x80\0\0\1" + whole[90:]),
    ]
    data = START + boxed(*parts)
    assert np.array_equal(imagecodecs.jpegxl_decode(data), picture)
    assert read_jpegxl_header(data) == (64, 96, 8, False)


def test_a_box_may_be_longer_than_32_bits_say() -> None:
    whole = bytes(imagecodecs.jpegxl_encode(np.zeros((64, 96), np.uint8), usecontainer=False))
    data = START + struct.pack(">I4sQ", 1, b"jxlc", 16 + len(whole)) + whole
    assert read_jpegxl_header(data) == (64, 96, 8, False)


def codestream(*fields: tuple[int, int]) -> bytes:
    """Write numbers of so many bits, the lowest bit first."""
    number, place = 0, 0
    for value, count in fields:
        number |= value << place
        place += count
    return b"\xff\x0a" + number.to_bytes(16, "little")


#: 64 x 96 px in eights; not all as usual, with further fields.
SMALL = ((1, 1), (7, 5), (0, 3), (11, 5), (0, 1), (1, 1))


def test_a_size_that_was_meant_to_be_shown_is_passed_over() -> None:
    intrinsic = ((1, 1), (0, 1), (1, 2), (4000, 13), (3, 3))  # 4001 px high, 4:3
    data = codestream(*SMALL, (0, 3), *intrinsic, (0, 1), (0, 1), (0, 1), (1, 2))
    assert read_jpegxl_header(data) == (64, 96, 10, False)


@pytest.mark.parametrize(
    "fields",
    [((5, 3), (0, 1), (0, 1), (0, 1)), ((0, 3), (0, 1), (1, 1)), ((0, 3), (0, 1), (0, 1), (1, 1))],
    ids=["turned", "preview", "animation"],
)
def test_what_no_tile_has_is_refused(fields: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match="turned JPEG XL codestream"):
        read_jpegxl_header(codestream(*SMALL, *fields))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\x0a",
        b"\xff\xd8\xff\xe0",
        b"\0\0\0\x0cJXL \r\n\x87\n",
        b"\0\0\0\x0cJXL \r\n\x87\n" + struct.pack(">I4s", 0, b"free") * 100,
        b"\0\0\0\x0cJXL \r\n\x87\n" + struct.pack(">I4sQ", 1, b"free", 2**63),
    ],
    ids=["nothing", "cut", "jpeg", "no box", "boxes", "a large box"],
)
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"no JPEG XL codestream|cut off"):
        read_jpegxl_header(data)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from([b"", b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"]), st.binary(max_size=80))
def test_any_bytes_are_sizes_or_an_error(start: bytes, rest: bytes) -> None:
    try:
        known = read_jpegxl_header(start + rest)
    except ValueError:
        return
    assert 0 < known.height <= 1 << 30
    assert 0 < known.width <= 1 << 31
    assert 0 < known.bits <= 64
