"""Develop: the ICC profile of an output space."""

from __future__ import annotations

import hashlib
import struct

import numpy as np

from nightfix.develop.color import D50, ColorSpace, Matrix, TransferCurve, adapt_white

#: The profile connection space's white as the ICC writes it down.
_PCS_WHITE = (0.9642, 1.0, 0.8249)

_VERSION = 0x04300000
_COPYRIGHT = "No copyright, use freely"
_HEADER_SIZE = 128


def icc_profile(space: ColorSpace) -> bytes:
    """Make the display profile (matrix and curves, version 4.3) of an output space.

    Made here rather than shipped: no profile has a license to mind, and the
    numbers are those the picture was encoded with.

    Parameters
    ----------
    space : ColorSpace
        Primaries, white and transfer curve.

    Returns
    -------
    bytes
        The whole profile, the same for the same space: it carries a fixed date.

    References
    ----------
    ICC.1:2022 (profile version 4.3): 7.2 header, 8.4 matrix-based display
    profiles, 10.16 parametricCurveType, Annex E chromatic adaptation.
    """
    to_pcs = adapt_white(space.white, D50)
    curve = _parametric_curve(space.curve)
    red, green, blue = _colorants(to_pcs @ space.rgb_to_xyz)
    return _assemble(
        {
            b"desc": _localized_text(space.description),
            b"cprt": _localized_text(_COPYRIGHT),
            b"wtpt": _xyz(_PCS_WHITE),
            b"chad": b"sf32" + bytes(4) + _fixed(to_pcs.ravel().tolist()),
            b"rXYZ": red,
            b"gXYZ": green,
            b"bXYZ": blue,
            b"rTRC": curve,
            b"gTRC": curve,
            b"bTRC": curve,
        }
    )


def _assemble(tags: dict[bytes, bytes]) -> bytes:
    """Lay out header, tag table and data; equal data is stored once, all on four bytes."""
    offsets: dict[bytes, int] = {}
    position = _HEADER_SIZE + 4 + 12 * len(tags)
    body = b""
    for data in tags.values():
        if data not in offsets:
            offsets[data] = position + len(body)
            body += data + bytes(-len(data) % 4)
    table = struct.pack(">I", len(tags)) + b"".join(
        struct.pack(">4sII", signature, offsets[data], len(data))
        for signature, data in tags.items()
    )
    size = position + len(body)
    # The profile's own checksum is taken with the checksum left empty.
    checksum = hashlib.md5(_header(size, bytes(16)) + table + body, usedforsecurity=False)
    return _header(size, checksum.digest()) + table + body


def _header(size: int, checksum: bytes) -> bytes:
    date = struct.pack(">6H", 2025, 1, 1, 0, 0, 0)
    return struct.pack(
        ">I4sI4s4s4s12s4s4sI4s4sQI12s4s16s28s",
        size,
        b"",  # no preferred color management module
        _VERSION,
        b"mntr",
        b"RGB ",
        b"XYZ ",
        date,
        b"acsp",
        b"",  # no primary platform
        0,  # flags: not embedded only
        b"",  # no device manufacturer
        b"",  # no device model
        0,  # attributes: reflective, glossy, positive, color
        0,  # perceptual
        _fixed(_PCS_WHITE),
        b"",  # no creator
        checksum,
        b"",
    )


def _fixed(values: list[float] | tuple[float, ...]) -> bytes:
    """Write numbers as s15Fixed16."""
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _colorants(matrix: Matrix) -> tuple[bytes, bytes, bytes]:
    """Round the three columns so that they sum to the PCS white to the last bit."""
    rounded = np.round(matrix * 65536) / 65536
    white = np.round(np.array(_PCS_WHITE) * 65536) / 65536
    # Green is the largest, where the last bit matters least.
    rounded[:, 1] = white - rounded[:, 0] - rounded[:, 2]
    red, green, blue = (tuple(column) for column in rounded.T.tolist())
    return _xyz(red), _xyz(green), _xyz(blue)


def _localized_text(text: str) -> bytes:
    """Write a multiLocalizedUnicodeType of one English record."""
    encoded = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">4xII2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded


def _parametric_curve(curve: TransferCurve) -> bytes:
    """Write a parametricCurveType: a bare power (0), or one with a linear foot (3)."""
    if curve.foot == 0:
        return b"para" + struct.pack(">4xHxx", 0) + _fixed([curve.gamma])
    values = [curve.gamma, curve.slope, curve.offset, curve.foot, curve.threshold]
    return b"para" + struct.pack(">4xHxx", 3) + _fixed(values)
