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
    with pytest.raises(ValueError, match="JPEG XL codestream"):
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
