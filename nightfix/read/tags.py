"""Read: the tags of a camera file, directory by directory.

A small reader of TIFF directories keeps the bytes of each tag as they are, which is
what carrying EXIF over without loss needs, and reaches the DNG tags of every
directory. It checks every offset against the file and stops at loops: camera files
are input from outside.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO, NamedTuple

import numpy as np

from nightfix.read.tag_names import Tag


class ExifTag(NamedTuple):
    """One tag as a TIFF directory holds it.

    Attributes
    ----------
    code : int
        Tag number, 0 to 65535.
    dtype : int
        TIFF field type, 1 (BYTE) to 12 (DOUBLE).
    count : int
        Number of values (a rational counts as one).
    value : bytes
        The values, little-endian whatever the byte order of the file.
    """

    code: int
    dtype: int
    count: int  # type: ignore[assignment]  # TIFF's own word; hides tuple.count
    value: bytes

    @property
    def says_something(self) -> bool:
        """Whether it is more than a text of blanks."""
        return self.dtype != _ASCII or bool(self.value.strip(b"\0 "))


#: TIFF field type -> (struct code, bytes a number, numbers a value).
_FIELDS = {
    1: ("B", 1, 1),
    2: ("s", 1, 1),
    3: ("H", 2, 1),
    4: ("I", 4, 1),
    5: ("I", 4, 2),
    6: ("b", 1, 1),
    7: ("B", 1, 1),
    8: ("h", 2, 1),
    9: ("i", 4, 1),
    10: ("i", 4, 2),
    11: ("f", 4, 1),
    12: ("d", 8, 1),
}
_ASCII, _RATIONAL, _SRATIONAL, _LONG = 2, 5, 10, 4
#: The field type of directory offsets, which no other use of a tag distinguishes from LONG.
_IFD_OFFSET = 13


@dataclass(frozen=True, slots=True)
class Ifd:
    """One directory of tags.

    Attributes
    ----------
    tags : dict of int to ExifTag
        By code. Tags whose data lies outside the file are left out.
    """

    tags: dict[int, ExifTag] = field(default_factory=dict)

    def __contains__(self, code: int) -> bool:
        return code in self.tags

    def numbers(self, code: int) -> tuple[float, ...]:
        """Return the values of a tag; () if it is absent or text, NaN for a rational n/0."""
        tag = self.tags.get(code)
        if tag is None or tag.dtype == _ASCII:
            return ()
        kind, size, _ = _FIELDS[tag.dtype]
        values = struct.unpack(f"<{len(tag.value) // size}{kind}", tag.value)
        if tag.dtype in (_RATIONAL, _SRATIONAL):
            pairs = zip(values[::2], values[1::2], strict=True)
            return tuple(top / bottom if bottom else math.nan for top, bottom in pairs)
        return values

    def integers(self, code: int) -> tuple[int, ...]:
        """Return the values of a tag; () if it is absent or any of them is no integer."""
        values = self.numbers(code)
        whole = all(math.isfinite(value) and value == int(value) for value in values)
        return tuple(int(value) for value in values) if whole else ()

    def number(self, code: int) -> float | None:
        """Return the first value of a tag; None if it is absent or not finite."""
        values = self.numbers(code)
        return values[0] if values and math.isfinite(values[0]) else None

    def text(self, code: int) -> str:
        """Return a tag as text up to its first NUL, stripped; "" if it is absent."""
        tag = self.tags.get(code)
        if tag is None:
            return ""
        raw = tag.value.split(b"\0", 1)[0]
        try:
            return raw.decode("utf-8").strip()
        except UnicodeDecodeError:
            return raw.decode("latin-1").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTags:
    """All directories of a file that matter here.

    Attributes
    ----------
    main : Ifd
        The first directory (IFD0), with make, model and a DNG's color tags.
    images : tuple of Ifd
        Every directory of an image, ``main`` first, then the chain and the SubIFDs.
    exif, gps : Ifd
        The EXIF and GPS directories; empty if absent.
    xmp : bytes
        The XMP packet; empty if absent.
    """

    main: Ifd = field(default_factory=Ifd)
    images: tuple[Ifd, ...] = ()
    exif: Ifd = field(default_factory=Ifd)
    gps: Ifd = field(default_factory=Ifd)
    xmp: bytes = b""

    @property
    def is_dng(self) -> bool:
        """Whether the file declares itself a DNG."""
        return Tag.DNG_VERSION in self.main


#: Bounds for hostile files: real ones have some ten directories of under 200 tags.
_MAX_DIRECTORIES = 64
_MAX_ENTRIES = 1024
_MAX_TAG_BYTES = 4 << 20
_MAX_TOTAL_BYTES = 32 << 20
#: Segments of a JPEG, and boxes of a CR3; real ones have some ten.
_MAX_PARTS = 1024

#: After the byte order: TIFF, Panasonic and Leica, Olympus (two).
_TIFF_MAGIC = {42, 0x55, 0x4F52, 0x5352}
#: JPEG: what EXIF and XMP begin with, and the markers that may come before the picture.
_EXIF_SEGMENT, _XMP_SEGMENT = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_APP1, _FIRST_SEGMENT, _LAST_SEGMENT = 0xFFE1, 0xFFC0, 0xFFFE
_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")

#: How far into a file the blocks of other containers are searched [bytes].
_HEAD = 256 << 10


class _TiffReader:
    """Directories of the TIFF structure that starts at ``base``."""

    def __init__(self, file: BinaryIO, base: int, size: int) -> None:
        self._file = file
        self._base = base
        self._size = size
        self._budget = _MAX_TOTAL_BYTES
        self._seen: set[int] = set()
        header = self._read(0, 8) or bytes(8)
        self._order = ">" if header[:2] == b"MM" else "<"
        magic, self.first = struct.unpack(f"{self._order}HI", header[2:])
        self.is_tiff = header[:2] in (b"II", b"MM") and magic in _TIFF_MAGIC

    def _read(self, offset: int, length: int) -> bytes | None:
        outside = offset < 0 or self._base + offset + length > self._size
        if outside or length > self._budget:
            return None
        self._budget -= length
        self._file.seek(self._base + offset)
        data = self._file.read(length)
        return data if len(data) == length else None

    def directory(self, offset: int) -> tuple[Ifd, int]:
        """Read the directory at ``offset``; return it and the offset of the next (0 = none)."""
        head = self._read(offset, 2)
        if offset in self._seen or len(self._seen) >= _MAX_DIRECTORIES or head is None:
            return Ifd(), 0
        self._seen.add(offset)
        count = struct.unpack(f"{self._order}H", head)[0]
        entries = self._read(offset + 2, 12 * count) if count <= _MAX_ENTRIES else None
        if entries is None:
            return Ifd(), 0
        tags = [self._tag(entries[start : start + 12]) for start in range(0, 12 * count, 12)]
        link = self._read(offset + 2 + 12 * count, 4) or bytes(4)
        following: int = struct.unpack(f"{self._order}I", link)[0]
        return Ifd({tag.code: tag for tag in reversed(tags) if tag is not None}), following

    def _tag(self, entry: bytes) -> ExifTag | None:
        code, dtype, count = struct.unpack(f"{self._order}HHI", entry[:8])
        dtype = _LONG if dtype == _IFD_OFFSET else dtype
        if dtype not in _FIELDS:
            return None
        _, width, numbers = _FIELDS[dtype]
        length = width * numbers * count
        value: bytes | None = entry[8 : 8 + length]
        if length > 4:
            place = struct.unpack(f"{self._order}I", entry[8:])[0]
            value = self._read(place, length) if length <= _MAX_TAG_BYTES else None
        if not value:
            return None
        values = np.frombuffer(value, f"{self._order}u{width}")
        return ExifTag(code, dtype, count, values.astype(f"<u{width}").tobytes())

    def images(self) -> Iterator[Ifd]:
        """Yield the directories of images: the chain, each followed by its SubIFDs."""
        waiting = [self.first]
        while waiting:
            offset = waiting.pop(0)
            ifd, following = self.directory(offset) if offset else (Ifd(), 0)
            if ifd.tags:
                yield ifd
                subs = ifd.integers(Tag.SUB_IFDS)[:_MAX_DIRECTORIES]
                waiting = [*subs, *waiting, following]

    def pointed(self, ifd: Ifd, code: int) -> Ifd:
        """Return the directory that tag ``code`` of ``ifd`` points to."""
        offsets = ifd.integers(code)
        return self.directory(offsets[0])[0] if offsets else Ifd()


def read_tags(file: BinaryIO) -> FileTags:
    """Read the directories of a camera file.

    TIFF and its kin (DNG, NEF, ARW, CR2, PEF, ORF, RW2, ...) are read whole; of
    CR3, RAF, MRW and JPEG the embedded EXIF blocks. Anything else gives empty tags.

    Parameters
    ----------
    file : BinaryIO
        Seekable, at any position. Left at any position.

    Returns
    -------
    FileTags
        What could be read; damaged parts are left out, never an error.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(_HEAD)
    if head[4:12] == b"ftypcrx ":
        # Canon keeps the main, EXIF and GPS directories in three boxes, each a TIFF of its own.
        boxes = [_TiffReader(file, _after(head, b"CMT" + n), size) for n in (b"1", b"2", b"4")]
        main, exif, gps = (b.directory(b.first)[0] if b.is_tiff else Ifd() for b in boxes)
        return FileTags(main=main, exif=exif, gps=gps, xmp=_box_of_xmp(file, size))
    if head.startswith(b"FUJIFILMCCD-RAW") and len(head) >= 92:
        start, length = struct.unpack_from(">2I", head, 84)
        return _jpeg_tags(file, start, min(length, size - start))
    if head.startswith(b"\xff\xd8"):
        return _jpeg_tags(file, 0, size)
    return _tiff_tags(_TiffReader(file, _tiff_base(head), size))


def _tiff_tags(reader: _TiffReader) -> FileTags:
    if not reader.is_tiff:
        return FileTags()
    images = tuple(reader.images()) or (Ifd(),)
    main = images[0]
    tags = FileTags(
        main=main,
        images=images,
        exif=reader.pointed(main, Tag.EXIF_IFD),
        gps=reader.pointed(main, Tag.GPS_IFD),
        xmp=main.tags[Tag.XMP].value if Tag.XMP in main else b"",
    )
    return _with_preview(tags) if Tag.JPEG_FROM_RAW in main else tags


def _with_preview(tags: FileTags) -> FileTags:
    """Add what only the JPEG within a Panasonic raw says: most of its EXIF."""
    jpeg = tags.main.tags[Tag.JPEG_FROM_RAW].value
    preview = _jpeg_tags(io.BytesIO(jpeg), 0, len(jpeg))
    return replace(
        tags,
        exif=Ifd(preview.exif.tags | tags.exif.tags),
        gps=Ifd(preview.gps.tags | tags.gps.tags),
        xmp=tags.xmp or preview.xmp,
    )


def _jpeg_tags(file: BinaryIO, start: int, length: int) -> FileTags:
    """Read the EXIF and XMP of the JPEG that stands at ``start``."""
    tags, xmp = FileTags(), b""
    for place, size in _jpeg_segments(file, start, start + max(length, 0)):
        file.seek(place)
        head = file.read(len(_XMP_SEGMENT))
        if head.startswith(_EXIF_SEGMENT) and not tags.images:
            base = place + len(_EXIF_SEGMENT)
            tags = _tiff_tags(_TiffReader(file, base, place + size))
        elif head == _XMP_SEGMENT and not xmp:
            xmp = file.read(size - len(_XMP_SEGMENT))
    return replace(tags, xmp=xmp or tags.xmp)


def _jpeg_segments(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield place and size of the content of a JPEG's APP1 segments."""
    place = start + 2
    for _ in range(_MAX_PARTS):
        file.seek(place)
        marker, size = struct.unpack(">HH", file.read(4).ljust(4, b"\0"))
        if not _FIRST_SEGMENT <= marker <= _LAST_SEGMENT or size < 2 or place + 4 > end:
            return
        if marker == _APP1 and place + 2 + size <= end:
            yield place + 4, size - 2
        place += 2 + size


def _box_of_xmp(file: BinaryIO, size: int) -> bytes:
    """Return the XMP packet of a CR3, which is a box of its own at the top level."""
    place = 0
    for _ in range(_MAX_PARTS):
        file.seek(place)
        length, kind, name = struct.unpack(">I4s16s", file.read(24).ljust(24, b"\0"))
        if length < 8 or place + 24 > size:  # 0: up to the end; 1: 64 bits, only of samples
            return b""
        if (kind, name) == (b"uuid", _XMP_BOX):
            return file.read(min(length - 24, _MAX_TAG_BYTES)).rstrip(b"\0")
        place += length
    return b""


def _after(head: bytes, marker: bytes) -> int:
    """Return the offset behind the first ``marker``, or of the end if there is none."""
    found = head.find(marker)
    return found + len(marker) if found >= 0 else len(head)


def _tiff_base(head: bytes) -> int:
    """Return where the TIFF structure with the camera's EXIF starts."""
    return _after(head, b"\0TTW") + 4 if head.startswith(b"\0MRM") else 0
