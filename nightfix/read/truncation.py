"""Read: the size that a camera file declares, to find files that were truncated in copying.

LibRaw opens many such files without an error and leaves the rest of the picture black.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from nightfix.read.tag_names import Tag
from nightfix.read.tags import FileTags, Ifd

#: Values of PhotometricInterpretation.
_CFA, _LINEAR_RAW = 32803, 34892

#: Tags of where the pieces of a picture begin, and of their sizes.
_PIECES = (
    (Tag.STRIP_OFFSETS, Tag.STRIP_BYTE_COUNTS),
    (Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS),
)

#: Makers whose TIFF-based files state the sizes of their data truly. Others do not: Panasonic
#: writes the uncompressed size for compressed data.
_TRUE_TO_THEIR_COUNTS = ("canon", "nikon", "sony", "pentax", "ricoh")

#: Where a RAF states offset and length of its preview, its own directory and its samples.
_RAF_PARTS = (84, 92, 100)

#: Boxes of a CR3 that are looked at; real ones have about six at the top.
_MAX_BOXES = 64

#: The part of the height that is looked at for an end without data.
_LAST_ROWS = 1 / 16


def sensor_images(tags: FileTags) -> list[Ifd]:
    """Return a DNG's directories of sensor samples, previews left out."""
    return [
        ifd
        for ifd in tags.images
        if ifd.number(Tag.PHOTOMETRIC_INTERPRETATION) in (_CFA, _LINEAR_RAW)
    ]


def declared_size(file: BinaryIO, tags: FileTags) -> int:
    """Return the least size that a file's own words give it.

    Parameters
    ----------
    file : BinaryIO
        Seekable, at any position. Left at any position.
    tags : FileTags
        Of the same file.

    Returns
    -------
    int
        Where the last part ends that is declared [bytes]; 0 where nothing is declared, or
        not reliably: strips and tiles of a DNG's samples, and of all images of makers that
        state them truly; the boxes of a CR3; the three parts of a RAF.
    """
    file.seek(0)
    head = file.read(128)
    if head.startswith(b"FUJIFILMCCD-RAW") and len(head) >= 108:
        return max(int(sum(struct.unpack_from(">II", head, place))) for place in _RAF_PARTS)
    if head[4:8] == b"ftyp":
        return _end_of_boxes(file)
    if head[:2] not in (b"II", b"MM"):
        return 0
    images = list(tags.images)
    if tags.is_dng:
        images = sensor_images(tags)
    elif not tags.main.text(Tag.MAKE).lower().startswith(_TRUE_TO_THEIR_COUNTS):
        images = []
    return end_of_pieces(images)


def end_of_pieces(images: Iterable[Ifd]) -> int:
    """Return where the last strip or tile of pictures ends [bytes]; 0 if there is none."""
    ends = [
        offset + count
        for ifd in images
        for offsets, counts in _PIECES
        for offset, count in zip(ifd.integers(offsets), ifd.integers(counts), strict=False)
    ]
    return max(ends, default=0)


def _end_of_boxes(file: BinaryIO) -> int:
    """Return where the last box of an ISO base media file ends (ISO/IEC 14496-12)."""
    size, place = file.seek(0, os.SEEK_END), 0
    for _ in range(_MAX_BOXES):
        if place + 8 > size:  # before going there: 64 bits lead farther than any file
            break
        file.seek(place)
        head = file.read(16)
        length = int(struct.unpack_from(">I", head)[0])
        if length == 1 and len(head) == 16:
            length = int(struct.unpack_from(">Q", head, 8)[0])
        if length < 8:  # 0: to the end of the file, whatever it is
            return size
        place += length
    return place


def ends_without_data(samples: NDArray[np.uint16]) -> bool:
    """Tell whether the lower end of a frame looks as if the decoder had run out of data.

    Parameters
    ----------
    samples : ndarray, shape (H, W) or (H, W, 3), uint16
        As decoded.

    Returns
    -------
    bool
        True if the last sixteenth of the rows, or all rows but the first few, are one and
        the same value below the brightest, while rows above them are not. A sensor's
        own noise never does that; a frame that is all black, or burnt out below, passes.
    """
    rows = max(1, round(samples.shape[0] * _LAST_ROWS))
    last, above = samples[-rows:], samples[:-rows]
    value = last[-1, -1]
    return bool(above.size and value.max() < above.max() and (last == value).all())
