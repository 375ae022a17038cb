"""Read: what a RAW file says about itself, from its tags to :class:`Metadata`.

Three readers share the work. LibRaw knows the exposure of every format it opens,
maker notes included; exifread is asked for what LibRaw leaves open; and the small
reader of TIFF directories here keeps the bytes of each tag as they are, which is
what carrying EXIF over without loss needs, and reaches the DNG tags of every
directory. It checks every offset against the file and stops at loops: camera files
are input from outside.
"""

from __future__ import annotations

import io
import logging
import math
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, NamedTuple

import exifread
import numpy as np

from nightfix.decoder import Decoded

# ---------------------------------------------------------------------------------------
# Tags


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
        return _DNG_VERSION in self.main


_SUB_IFDS, _EXIF_IFD, _GPS_IFD, _DNG_VERSION = 330, 34665, 34853, 50706

#: Bounds for hostile files: real ones have some ten directories of under 200 tags.
_MAX_DIRECTORIES = 64
_MAX_ENTRIES = 1024
_MAX_TAG_BYTES = 4 << 20
_MAX_TOTAL_BYTES = 32 << 20

#: After the byte order: TIFF, Panasonic and Leica, Olympus (two).
_TIFF_MAGIC = {42, 0x55, 0x4F52, 0x5352}
_XMP, _JPEG_FROM_RAW = 700, 46
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
                subs = ifd.integers(_SUB_IFDS)[:_MAX_DIRECTORIES]
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
        exif=reader.pointed(main, _EXIF_IFD),
        gps=reader.pointed(main, _GPS_IFD),
        xmp=main.tags[_XMP].value if _XMP in main else b"",
    )
    return _with_preview(tags) if _JPEG_FROM_RAW in main else tags


def _with_preview(tags: FileTags) -> FileTags:
    """Add what only the JPEG within a Panasonic raw says: most of its EXIF."""
    jpeg = tags.main.tags[_JPEG_FROM_RAW].value
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
    while place + 4 <= end:
        file.seek(place)
        marker, size = struct.unpack(">HH", file.read(4).ljust(4, b"\0"))
        if not _FIRST_SEGMENT <= marker <= _LAST_SEGMENT or size < 2:
            return
        if marker == _APP1 and place + 2 + size <= end:
            yield place + 4, size - 2
        place += 2 + size


def _box_of_xmp(file: BinaryIO, size: int) -> bytes:
    """Return the XMP packet of a CR3, which is a box of its own at the top level."""
    place = 0
    while place + 24 <= size:
        file.seek(place)
        length, kind, name = struct.unpack(">I4s16s", file.read(24))
        if length < 8:  # 0: up to the end; 1: 64 bits, as only the samples have
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


# ---------------------------------------------------------------------------------------
# Metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """How the photo was exposed; None = unknown, never a default.

    Attributes
    ----------
    exposure_time : float or None
        > 0 [s].
    iso_speed : float or None
        > 0 [-].
    f_number : float or None
        > 0 [-].
    focal_length : float or None
        > 0 [mm].
    """

    exposure_time: float | None
    iso_speed: float | None
    f_number: float | None
    focal_length: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What is known about a capture, and what is carried over to the outputs.

    Attributes
    ----------
    make, model : str
        Of the camera, stripped; "" = unknown.
    unique_camera_model : str
        DNG's UniqueCameraModel, else make and model in one.
    lens : str
        "" = unknown.
    exposure : Exposure
        Time, ISO, aperture, focal length.
    captured : str
        Local time as EXIF writes it, "YYYY:MM:DD HH:MM:SS"; "" = unknown.
    noise_profile : tuple of (float, float)
        DNG's NoiseProfile: (a, b) of variance = a*x + b with 1.0 = white level, one for
        all planes or one a plane; () = absent.
    image, exif, gps : tuple of ExifTag
        Tags to carry over: descriptive ones of the main directory, and those of the EXIF
        and GPS directories, ascending. No structural tags, no DNG tags; a maker note
        only where it needs nothing outside itself, or its DNG says that it may be moved.
    profile : tuple of ExifTag
        Of a DNG: the tags that say how editors are to render this camera's photos, its
        serial number and lens, and its private data; ascending. They are valid beside
        ``color_matrices``.
    xmp : bytes
        The XMP packet as it stands in the file; empty = absent.
    """

    make: str
    model: str
    unique_camera_model: str
    lens: str
    exposure: Exposure
    captured: str
    noise_profile: tuple[tuple[float, float], ...]
    image: tuple[ExifTag, ...]
    exif: tuple[ExifTag, ...]
    gps: tuple[ExifTag, ...]
    profile: tuple[ExifTag, ...] = ()
    xmp: bytes = b""


_MAKE, _MODEL, _UNIQUE_CAMERA_MODEL = 271, 272, 50708
_EXPOSURE_TIME, _F_NUMBER, _DATE_TIME_ORIGINAL = 33434, 33437, 36867
_NOISE_PROFILE = 51041

#: StandardOutputSensitivity, RecommendedExposureIndex, ISOSpeed: 32 bits where ISO has 16.
_LONG_ISO = (34865, 34866, 34867)
#: What ISOSpeedRatings holds when the ISO is higher than it can say.
_ISO_OVERFLOW = 65535

#: DocumentName, ImageDescription, DateTime, Artist, HostComputer, Rating, RatingPercent,
#: Copyright, IPTC, and Microsoft's title, comment, author, keywords, subject; of TIFF/EP:
#: BatteryLevel, TimeZoneOffset, SelfTimerMode, ImageNumber, SecurityClassification,
#: ImageHistory, SensingMethod.
_CARRIED = {269, 270, 306, 315, 316, 18246, 18249, 33432, 33723}.union(
    range(40091, 40096), {33423, 34858, 34859, 37393, 37394, 37395, 37399}
)
#: EXIF that TIFF/EP, and so some cameras, keep in the main directory: exposure,
#: sensitivity, dates with their zones and fractions, and what EXIF 2.2 and 2.3 added.
_EXIF_IN_MAIN = {33434, 33437, 34850, 34855, 36867, 36868}.union(
    range(34864, 34870),
    range(36880, 36883),
    range(37377, 37387),
    range(37520, 37523),
    range(41985, 41997),
    range(42032, 42038),
)
_MAKER_NOTE, _INTEROPERABILITY = 37500, 40965
#: A DNG's word that its maker note may be moved.
_MAKER_NOTE_SAFETY, _SAFE = 50741, (1,)

#: Maker notes that may be moved from any file: their offsets count from their own start,
#: and none of them leads outside, as those of the previews in others' do.
_MOVABLE_MAKER_NOTES = (b"FUJIFILM", b"Apple iOS\0")

#: LocalizedCameraModel, CameraSerialNumber, LensInfo, DefaultScale, BestQualityScale,
#: BaselineNoise, BaselineSharpness, BayerGreenSplit, LinearResponseLimit,
#: AntiAliasStrength, ShadowScale, DNGPrivateData (which may be moved, by the
#: specification), profile name, hue and saturation maps, tone curve, embedding policy,
#: copyright, look table, their encodings, user crop, default black render, baseline
#: exposure offset.
_PROFILE = {
    *(50709, 50735, 50736, 50718, 50780, 50731, 50732, 50733, 50734, 50738, 50739, 50740),
    *(50936, 50937, 50938, 50939, 50940, 50941, 50942),
    *(50981, 50982, 51107, 51108, 51109, 51110, 51125),
}
_FORWARD_MATRICES, _CAMERA_CALIBRATIONS = {50964, 50965}, (50723, 50724)


def read_metadata(raw: Decoded, file: BinaryIO, tags: FileTags, sensor: Ifd) -> Metadata:
    """Collect the metadata of an opened RAW file.

    Parameters
    ----------
    raw : Decoded
        What LibRaw knows of the file.
    file : BinaryIO
        The same file, seekable; exifread reads it when LibRaw leaves a field open.
    tags : FileTags
        From :func:`read_tags`.
    sensor : Ifd
        The directory of the sensor's samples; empty if not known.

    Returns
    -------
    Metadata
        Unknown fields are "" or None.
    """
    make, model = tags.main.text(_MAKE), tags.main.text(_MODEL)
    second = _SecondSource(file)
    return Metadata(
        make=make,
        model=model,
        unique_camera_model=tags.main.text(_UNIQUE_CAMERA_MODEL) or _joined(make, model),
        lens=_one_line(raw.lens) or second.text("LensModel"),
        exposure=_exposure(raw, tags.exif, second),
        captured=_captured(tags) or raw.captured,
        noise_profile=_noise_profile(sensor) or _noise_profile(tags.main),
        image=_carried(tags.main, lambda code: code in _CARRIED),
        exif=_exif(tags),
        gps=_carried(tags.gps, lambda code: True),
        profile=_profile(tags, sensor) if tags.is_dng else (),
        xmp=tags.xmp,
    )


def _joined(make: str, model: str) -> str:
    """Return make and model in one, the make once."""
    brand = make.split(" ", maxsplit=1)[0].lower()
    return model if brand and model.lower().startswith(brand) else f"{make} {model}".strip()


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _date(text: str) -> str:
    """Return an EXIF date, or "" for anything else, zeros included."""
    return text if re.fullmatch(r"[1-9]\d{3}:\d\d:\d\d \d\d:\d\d:\d\d", text) else ""


def _captured(tags: FileTags) -> str:
    """Return when the photo was taken: by EXIF, or by tags of its kind in the main directory."""
    places = ((tags.exif, 36867), (tags.main, 36867), (tags.exif, 36868))
    return next((date for ifd, code in places if (date := _date(ifd.text(code)))), "")


def _carried(ifd: Ifd, wanted: Callable[[int], bool]) -> tuple[ExifTag, ...]:
    """Return the wanted tags that say something, ascending."""
    tags = (ifd.tags[code] for code in sorted(ifd.tags) if wanted(code))
    return tuple(tag for tag in tags if tag.dtype != _ASCII or tag.value.strip(b"\0 "))


def _exif(tags: FileTags) -> tuple[ExifTag, ...]:
    """Return the EXIF directory's tags, and those of its kind from the main one."""
    misplaced = {code: tag for code, tag in tags.main.tags.items() if code in _EXIF_IN_MAIN}
    both = Ifd(misplaced | tags.exif.tags)
    dropped = {_INTEROPERABILITY}
    safe = tags.main.integers(_MAKER_NOTE_SAFETY) == _SAFE
    if _MAKER_NOTE in both and not safe:
        movable = both.tags[_MAKER_NOTE].value.startswith(_MOVABLE_MAKER_NOTES)
        dropped |= set() if movable else {_MAKER_NOTE}
    return _carried(both, lambda code: code not in dropped)


def _profile(tags: FileTags, sensor: Ifd) -> tuple[ExifTag, ...]:
    """Return a DNG's tags of the camera's rendering.

    The forward matrices stay valid beside color matrices into which CameraCalibration
    was multiplied only if that scales the colors without mixing them.
    """
    wanted = set(_PROFILE)
    calibrations = [tags.main.numbers(code) for code in _CAMERA_CALIBRATIONS]
    if all(not any(c[1:4] + c[5:8]) for c in calibrations):
        wanted |= _FORWARD_MATRICES
    return _carried(Ifd(sensor.tags | tags.main.tags), lambda code: code in wanted)


def _noise_profile(ifd: Ifd) -> tuple[tuple[float, float], ...]:
    values = ifd.numbers(_NOISE_PROFILE)
    pairs = tuple(zip(values[::2], values[1::2], strict=False))
    plausible = all(0 < a < 1 and 0 <= b < 1 for a, b in pairs)
    return pairs if plausible and len(values) % 2 == 0 else ()


def _exposure(raw: Decoded, exif: Ifd, second: _SecondSource) -> Exposure:
    """Return the exposure by LibRaw, else by exifread; what neither knows is None."""
    time, iso_speed, f_number, focal_length = map(
        _known, (raw.shutter_speed, raw.iso_speed, raw.aperture, raw.focal_length)
    )
    # Where EXIF says 0, LibRaw turns an equally empty APEX value into 2**0.
    if time == 1 and exif.number(_EXPOSURE_TIME) == 0:
        time = None
    if f_number == 1 and exif.number(_F_NUMBER) == 0:
        f_number = None
    iso_speed = iso_speed or second.number("ISOSpeedRatings")
    return Exposure(
        exposure_time=time or second.number("ExposureTime"),
        iso_speed=_long_iso(exif) if iso_speed == _ISO_OVERFLOW else iso_speed,
        f_number=f_number or second.number("FNumber"),
        focal_length=focal_length or second.number("FocalLength"),
    )


def _long_iso(exif: Ifd) -> float | None:
    """Return an ISO beyond 16 bits from the tags that EXIF 2.3 gave it."""
    values = (exif.number(code) for code in _LONG_ISO)
    return max((value for value in values if value and value > _ISO_OVERFLOW), default=None)


def _known(value: float) -> float | None:
    """Return a value without the digits float32 makes up; None if it says nothing."""
    return float(f"{value:.7g}") if math.isfinite(value) and value > 0 else None


class _SecondSource:
    """The tags by exifread, read when first asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._tags: dict[str, Any] | None = None

    def _values(self, name: str) -> Any:
        if self._tags is None:
            self._tags = _exifread_tags(self._file)
        tag = self._tags.get(f"EXIF {name}") or self._tags.get(f"Image {name}")
        return getattr(tag, "values", None)

    def text(self, name: str) -> str:
        values = self._values(name)
        return _one_line(values) if isinstance(values, str) else ""

    def number(self, name: str) -> float | None:
        values = self._values(name)
        try:
            return _known(float(values[0]))
        except (TypeError, ValueError, LookupError, ArithmeticError):
            return None


def _exifread_tags(file: BinaryIO) -> dict[str, Any]:
    """Return exifread's tags; none for what it cannot read."""
    logger = logging.getLogger("exifread")
    if not logger.handlers:  # else its warnings reach the terminal as Python's last resort
        logger.addHandler(logging.NullHandler())
    try:
        return dict(exifread.process_file(file, details=False, extract_thumbnail=False))
    except Exception as error:  # a parser of foreign bytes fails in too many ways to name
        logger.debug("no EXIF by exifread: %s", error)
        return {}
