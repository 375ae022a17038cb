"""Write: what HDR screens add to a JPEG: a gain map (Ultra HDR, ISO 21496-1).

The file is the JPEG that it would be without, with a second, small JPEG behind it: by how
much each pixel is brighter than a plain screen shows it. Programs that know nothing of
this read the first picture and stop there.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nightfix.develop import ColorSpace
from nightfix.parallel import in_parallel
from nightfix.write.ifd import LONG, UNDEFINED, IfdNode, tag, write_tree
from nightfix.write.xmp import gain_map_packet

#: The brightest that is written: PQ's 10 000 cd/m2 over a white of 203 (ITU-R BT.2408) [-].
BRIGHTEST = 10_000 / 203

#: Added to both pictures, so that black can be divided by; the formats' own default.
_OFFSET = 1 / 64

#: Colors of lamps that the plain picture bleaches are deepened by at most so much [stops].
_DEEPEST = -2.0

#: With less light above white there is nothing for a map to tell [stops].
_LEAST_HEADROOM = 0.1

#: Rows that are worked on at a time.
_STRIP = 256

_QUALITY = {"quality": 95, "subsampling": "4:4:4", "optimize": True}

_ISO_NAME = b"urn:iso:std:iso:ts:21496:-1\0"
_APP2 = b"\xff\xe2"
#: The map uses the picture's own primaries; no flags of several channels or directions.
_BASE_COLOR_SPACE = 0x40
_DENOMINATOR = 1_000_000

_MPF_NAME = b"MPF\0"
_MPF_VERSION, _MPF_COUNT, _MPF_ENTRIES = 0xB000, 0xB001, 0xB002
_PRIMARY_IMAGE = 0x030000


@dataclass(frozen=True, slots=True, kw_only=True)
class GainMap:
    """By how much the HDR rendition of a picture is brighter than the plain one.

    Attributes
    ----------
    samples : ndarray, shape (H, W, 3), uint8
        Of each color, from ``low`` (0) to ``high`` (255).
    low, high : float
        log2 of the smallest and the largest gain [stops]. A gain of 1 is a whole sample.
    headroom : float
        Stops above white that a screen needs to show all of it.
    """

    samples: NDArray[np.uint8]
    low: float
    high: float
    headroom: float


class _Range(NamedTuple):
    low: float
    high: float
    brightest: float


def measure_gain(
    rgb: NDArray[np.float32], light: NDArray[np.float32], space: ColorSpace
) -> GainMap | None:
    """Compare a picture with its light before lamps were pressed below white.

    Parameters
    ----------
    rgb : ndarray, shape (H, W, 3), float32
        The plain picture, encoded in the curve of ``space``; clipped to [0, 1].
    light : ndarray, same shape
        Linear light of the same space, 1.0 = white; clipped to [0, 49], which is as
        bright as HDR formats get.
    space : ColorSpace
        Primaries and curve of both.

    Returns
    -------
    GainMap or None
        At the picture's own size and for each color, since a lamp is small, and its color
        bleaches where it is pressed. None where next to nothing lies above white.

    Notes
    -----
    With S the decoded plain picture and H the light, G = log2((H + 1/64) / (S + 1/64)).
    G is not held below 0, but at -2, where a bleached lamp gets its color back. The
    samples are whole steps from 0, so what both renditions share stays the same exactly.

    References
    ----------
    Google, "Ultra HDR Image Format v1.1", "Gain map generation"; Adobe, "Gain map 1.0";
    ISO 21496-1:2025.
    """

    def gain(rows: slice) -> NDArray[np.float32]:
        lit = np.clip(light[rows], 0, np.float32(BRIGHTEST)) + np.float32(_OFFSET)
        shown = space.decode(np.clip(rgb[rows], 0, 1)) + np.float32(_OFFSET)
        return np.asarray(np.log2(lit / shown), np.float32)

    def measure(rows: slice) -> _Range:
        gains = gain(rows)
        return _Range(float(gains.min()), float(gains.max()), float(light[rows].max()))

    ranges = list(in_parallel(measure, _strips(len(rgb))))
    brightest = min(max(found.brightest for found in ranges), BRIGHTEST)
    headroom = float(np.log2(max(brightest, 1.0)))
    if headroom < _LEAST_HEADROOM:
        return None
    low = max(min(found.low for found in ranges), _DEEPEST)
    high = max(found.high for found in ranges)
    below, step = _levels(low, high)
    samples = np.empty(rgb.shape, np.uint8)

    def quantize(rows: slice) -> None:
        samples[rows] = np.clip(np.rint(gain(rows) / np.float32(step)) + below, 0, 255)

    for _ in in_parallel(quantize, _strips(len(rgb))):
        pass
    return GainMap(samples=samples, low=-below * step, high=(255 - below) * step, headroom=headroom)


def _strips(height: int) -> Iterator[slice]:
    return (slice(top, top + _STRIP) for top in range(0, height, _STRIP))


def _levels(low: float, high: float) -> tuple[int, float]:
    """Return how many of 255 steps lie below a gain of 1, and the size of one [stops]."""
    below = int(np.ceil(255 * max(-low, 0) / (high - min(low, 0))))
    return below, max(high / (255 - below), -low / below if below else 0)


def encode_gain_map(gain_map: GainMap) -> bytes:
    """Encode a gain map as the JPEG that is put behind the picture.

    Returns
    -------
    bytes
        With its numbers both as ISO 21496-1 has them and as XMP of Adobe's vocabulary,
        which is all that older programs know.
    """
    packet = gain_map_packet(
        GainMapMin=gain_map.low,
        GainMapMax=gain_map.high,
        Gamma=1.0,
        OffsetSDR=_OFFSET,
        OffsetHDR=_OFFSET,
        HDRCapacityMin=0.0,
        HDRCapacityMax=gain_map.headroom,
    )
    numbers = (0.0, gain_map.headroom, gain_map.low, gain_map.high, 1.0, _OFFSET, _OFFSET)
    fractions = b"".join(
        struct.pack(">iI", round(number * _DENOMINATOR), _DENOMINATOR) for number in numbers
    )
    file = io.BytesIO()
    Image.fromarray(gain_map.samples).save(
        file,
        "JPEG",
        xmp=packet,
        extra=_iso_segment(struct.pack(">B", _BASE_COLOR_SPACE) + fractions),
        **_QUALITY,
    )
    return file.getvalue()


def announcing_segments(behind: int) -> bytes:
    """Return the segments of a picture's JPEG by which programs find the gain map behind it.

    Parameters
    ----------
    behind : int
        Size of the gain map's JPEG [bytes].

    Returns
    -------
    bytes
        ISO 21496-1's and CIPA's multi-picture format, in which the size of the picture
        itself is left open for :func:`put_behind`.
    """
    return _iso_segment(b"") + _index(0, behind)


def put_behind(picture: bytes, behind: bytes) -> bytes:
    """Put the JPEG of a gain map behind the picture that announces it.

    Parameters
    ----------
    picture : bytes
        A JPEG with the :func:`announcing_segments` of ``behind``.
    behind : bytes
        The gain map's JPEG.

    Returns
    -------
    bytes
        One file of both.
    """
    left_open = _index(0, len(behind))
    start = picture.index(left_open)
    offset = len(picture) - (start + len(_APP2) + 2 + len(_MPF_NAME))
    index = _index(len(picture), len(behind), offset)
    return picture[:start] + index + picture[start + len(index) :] + behind


def _index(size: int, behind: int, offset: int = 0) -> bytes:
    """Return the multi-picture segment of two pictures; ``offset`` counts from its own TIFF header.

    References
    ----------
    CIPA DC-007-2021 "Multi-Picture Format", 5.2.
    """
    entries = struct.pack("<IIIHH", _PRIMARY_IMAGE, size, 0, 0, 0)
    entries += struct.pack("<IIIHH", 0, behind, offset, 0, 0)
    tags = [
        tag(_MPF_VERSION, UNDEFINED, *b"0100"),
        tag(_MPF_COUNT, LONG, 2),
        tag(_MPF_ENTRIES, UNDEFINED, *entries),
    ]
    file = io.BytesIO()
    write_tree(file, IfdNode(tags=tags))
    return _segment(_MPF_NAME + file.getvalue())


def _iso_segment(metadata: bytes) -> bytes:
    """Return ISO 21496-1's segment: minimum and writer's version (0), and the map's numbers."""
    return _segment(_ISO_NAME + struct.pack(">HH", 0, 0) + metadata)


def _segment(content: bytes) -> bytes:
    return _APP2 + struct.pack(">H", len(content) + 2) + content
