"""Read: what a JPEG XL file says at its start, before any of it is decoded."""

from __future__ import annotations

import struct
from typing import NamedTuple

_CODESTREAM = b"\xff\x0a"
_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"

#: Boxes of a container that are looked at; the codestream comes after two or three.
_MAX_BOXES = 16

#: Longest start of a codestream that is looked at, which its sizes and depth end within [bytes].
_HEAD = 64

#: Bits of a size, by the selector before it; and depths, of which the last is read.
_SIZE_BITS, _DEPTHS = (9, 13, 18, 30), ((8, 10, 12), (32, 16, 24))

#: Widths by the code of an aspect ratio, as numerator and denominator of the height.
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


class JpegXlHeader(NamedTuple):
    """Sizes [px] and the depth of samples [bit] that a codestream declares."""

    height: int
    width: int
    bits: int
    is_float: bool


class _Bits:
    """Bits of a codestream, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._bits, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("a JPEG XL codestream that is cut off")
        value = self._bits & ((1 << count) - 1)
        self._bits >>= count
        return value


def read_jpegxl_header(data: bytes) -> JpegXlHeader:
    """Read the start of a JPEG XL codestream, bare or in a container.

    Parameters
    ----------
    data : bytes
        From its first byte on.

    Returns
    -------
    JpegXlHeader
        As declared; nothing is decoded.

    Raises
    ------
    ValueError
        If it is none, is cut off, is to be turned, or holds a preview or an animation.

    References
    ----------
    ISO/IEC 18181-1:2022, annex D (SizeHeader, ImageMetadata, BitDepth); ISO/IEC 18181-2:2021,
    clause 9 (boxes).
    """
    bits = _Bits(_codestream(data))
    height, width = _sizes(bits)
    if bits.take(1):  # all as is usual
        return JpegXlHeader(height, width, 8, False)
    if bits.take(1):
        is_turned = bits.take(3)
        if bits.take(1):
            _sizes(bits)
        if is_turned or bits.take(1) or bits.take(1):
            raise ValueError("a turned JPEG XL codestream, or one with a preview or an animation")
    is_float = bool(bits.take(1))
    known, selector = _DEPTHS[is_float], bits.take(2)
    return JpegXlHeader(
        height, width, known[selector] if selector < 3 else 1 + bits.take(6), is_float
    )


def _codestream(data: bytes) -> bytes:
    """Return the first bytes of the codestream."""
    if data.startswith(_CODESTREAM):
        return data[2 : 2 + _HEAD]
    place = len(_CONTAINER) if data.startswith(_CONTAINER) else len(data)
    for _ in range(_MAX_BOXES):
        if place + 8 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, place)
        start = place + 8
        if length == 1 and start + 8 <= len(data):
            (length,), start = struct.unpack_from(">Q", data, start), start + 8
        start += 4 if kind == b"jxlp" else 0  # the number of the part
        if kind in (b"jxlc", b"jxlp") and data[start : start + 2] == _CODESTREAM:
            return data[start + 2 : start + 2 + _HEAD]
        if length < 8:
            break
        place += length
    raise ValueError("no JPEG XL codestream")


def _sizes(bits: _Bits) -> tuple[int, int]:
    """Return height and width [px]."""
    small = bits.take(1)
    height = _side(bits, small)
    ratio = bits.take(3)
    if not ratio:
        return height, _side(bits, small)
    across, down = _RATIOS[ratio - 1]
    return height, height * across // down


def _side(bits: _Bits, small: int) -> int:
    return 8 * (1 + bits.take(5)) if small else 1 + bits.take(_SIZE_BITS[bits.take(2)])
