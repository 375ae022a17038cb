"""Write: the tree of image file directories (IFD) that TIFF and DNG are made of.

Little-endian classic TIFF. The directories stand at the front of the file, the
picture's strips or tiles behind them. A directory below another one is reached
through a pointer tag (SubIFDs, ExifIFD, GPS), never through the chain of pages:
the DNG specification wants a tree.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import BinaryIO

from nightfix.read import ExifTag, Tag

BYTE, ASCII, SHORT, LONG, RATIONAL = 1, 2, 3, 4, 5
UNDEFINED, SRATIONAL, FLOAT, DOUBLE = 7, 10, 11, 12

TIFF_MAGIC = 42

#: Pointer tags.
SUB_IFDS, EXIF_IFD, GPS_IFD = Tag.SUB_IFDS, Tag.EXIF_IFD, Tag.GPS_IFD

#: Tag pairs (offsets, byte counts) of the picture's pieces.
STRIPS = (Tag.STRIP_OFFSETS, Tag.STRIP_BYTE_COUNTS)
TILES = (Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS)

_STRUCT = {
    BYTE: "B",
    SHORT: "H",
    LONG: "I",
    RATIONAL: "I",
    SRATIONAL: "i",
    FLOAT: "f",
    DOUBLE: "d",
}
_LARGEST = {RATIONAL: 2**32 - 1, SRATIONAL: 2**31 - 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class IfdNode:
    """One directory: its tags, the picture it describes and the directories below it.

    Parameters
    ----------
    tags : sequence of ExifTag
        In any order; of two with the same code the later one counts. Without
        pointers, offsets and byte counts, which are made on writing.
    pieces : sequence of bytes
        Strips or tiles of the picture, encoded.
    piece_tags : tuple of int
        ``STRIPS`` or ``TILES``.
    children : mapping of int to sequence of IfdNode
        Directories below this one, by pointer tag.
    """

    tags: Sequence[ExifTag]
    pieces: Sequence[bytes] = ()
    piece_tags: tuple[int, int] = STRIPS
    children: Mapping[int, Sequence[IfdNode]] = field(default_factory=dict)


def tag(code: int, dtype: int, *values: int) -> ExifTag:
    """Return a tag of BYTE, SHORT, LONG or UNDEFINED integers."""
    letter = _STRUCT.get(dtype, "B")
    return ExifTag(code, dtype, len(values), struct.pack(f"<{len(values)}{letter}", *values))


def ascii_tag(code: int, text: str) -> ExifTag:
    """Return a text tag, NUL-terminated; what ASCII does not have becomes a question mark."""
    value = text.encode("ascii", "replace") + b"\0"
    return ExifTag(code, ASCII, len(value), value)


def text_tag(code: int, text: str) -> ExifTag:
    """Return a text tag of DNG: text, or bytes of UTF-8 where ASCII does not do."""
    return ascii_tag(code, text) if text.isascii() else tag(code, BYTE, *text.encode(), 0)


def float_tag(code: int, dtype: int, values: Sequence[float]) -> ExifTag:
    """Return a tag of FLOAT (32 bit) or DOUBLE (64 bit) numbers."""
    value = struct.pack(f"<{len(values)}{_STRUCT[dtype]}", *values)
    return ExifTag(code, dtype, len(values), value)


def rational_tag(code: int, dtype: int, values: Iterable[float]) -> ExifTag:
    """Return a tag of fractions, RATIONAL or SRATIONAL.

    Parameters
    ----------
    code : int
        Tag.
    dtype : int
        ``RATIONAL`` (values >= 0) or ``SRATIONAL``.
    values : iterable of float
        Each becomes the nearest fraction with a denominator of at most 10^7, so
        that a value which was such a fraction comes back as it was.

    Returns
    -------
    ExifTag

    Examples
    --------
    >>> struct.unpack("<2i", rational_tag(Tag.BASELINE_EXPOSURE, SRATIONAL, [-0.6461]).value)
    (-6461, 10000)
    """
    numbers = [number for value in values for number in _fraction(value, _LARGEST[dtype])]
    letter = _STRUCT[dtype]
    return ExifTag(
        code, dtype, len(numbers) // 2, struct.pack(f"<{len(numbers)}{letter}", *numbers)
    )


def _fraction(value: float, largest: int) -> tuple[int, int]:
    limit = min(10**7, int(largest / max(1.0, abs(value))))
    return Fraction(value).limit_denominator(max(1, limit)).as_integer_ratio()


#: NewSubfileType, and PlanarConfiguration: the samples of a pixel beside each other.
_FULL_SIZE, _REDUCED, _INTERLEAVED = 0, 1, 1


def picture_tags(
    width: int, height: int, bits: Sequence[int], *, compression: int, reduced: bool = False
) -> list[ExifTag]:
    """Return the tags that every directory of a picture has.

    Parameters
    ----------
    width, height : int
        [px].
    bits : sequence of int
        Of each sample of a pixel.
    compression : int
        TIFF's number.
    reduced : bool
        Whether it is a smaller version of another picture in the file.
    """
    return [
        tag(Tag.NEW_SUBFILE_TYPE, LONG, _REDUCED if reduced else _FULL_SIZE),
        tag(Tag.IMAGE_WIDTH, LONG, width),
        tag(Tag.IMAGE_LENGTH, LONG, height),
        tag(Tag.BITS_PER_SAMPLE, SHORT, *bits),
        tag(Tag.COMPRESSION, SHORT, compression),
        tag(Tag.SAMPLES_PER_PIXEL, SHORT, len(bits)),
        tag(Tag.PLANAR_CONFIGURATION, SHORT, _INTERLEAVED),
    ]


def write_tree(file: BinaryIO, root: IfdNode, *, magic: int = TIFF_MAGIC) -> None:
    """Write a whole TIFF file.

    Parameters
    ----------
    file : binary file
        Open for writing, at its start.
    root : IfdNode
        IFD0. Tags are written in ascending order; directories, values and
        pieces of the picture all start at even offsets.
    magic : int
        What stands behind the byte order: TIFF's number, or that of a format which is
        TIFF but for it.

    Raises
    ------
    OSError
        If the file would grow beyond the 4 GiB that 32-bit offsets reach (``EFBIG``).
    """
    nodes = list(_walk(root))
    starts: dict[int, int] = {}
    position = 8
    for node in nodes:
        starts[id(node)] = position
        position += len(_directory(node, 0, starts, 0))
    end = position + sum(_even(len(piece)) for node in nodes for piece in node.pieces)
    if end >= 2**32:
        raise OSError(errno.EFBIG, f"a TIFF holds 4 GiB, not {end} bytes")
    file.write(struct.pack("<2sHI", b"II", magic, starts[id(root)]))
    for node in nodes:
        file.write(_directory(node, starts[id(node)], starts, position))
        position += sum(_even(len(piece)) for piece in node.pieces)
    for piece in (piece for node in nodes for piece in node.pieces):
        file.write(piece + b"\0" * (len(piece) % 2))


def _walk(node: IfdNode) -> Iterator[IfdNode]:
    yield node
    for pointer in sorted(node.children):
        for child in node.children[pointer]:
            yield from _walk(child)


def _even(size: int) -> int:
    return size + size % 2


def _directory(node: IfdNode, start: int, starts: Mapping[int, int], data: int) -> bytes:
    """Encode a directory that stands at ``start`` and whose pieces begin at ``data``."""
    tags = {own.code: own for own in node.tags}
    tags |= {own.code: own for own in _pointers(node, starts, data)}
    entries, values = b"", b""
    behind = start + 2 + 12 * len(tags) + 4
    for code in sorted(tags):
        _, dtype, count, value = tags[code]
        if len(value) > 4:
            entries += struct.pack("<HHII", code, dtype, count, behind + len(values))
            values += value + b"\0" * (len(value) % 2)
        else:
            entries += struct.pack("<HHI4s", code, dtype, count, value)
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0) + values


def _pointers(node: IfdNode, starts: Mapping[int, int], data: int) -> Iterator[ExifTag]:
    for pointer, children in node.children.items():
        yield tag(pointer, LONG, *(starts.get(id(child), 0) for child in children))
    if node.pieces:
        offsets_tag, counts_tag = node.piece_tags
        offsets = [data]
        for piece in node.pieces[:-1]:
            offsets.append(offsets[-1] + _even(len(piece)))
        yield tag(offsets_tag, LONG, *offsets)
        yield tag(counts_tag, LONG, *map(len, node.pieces))
