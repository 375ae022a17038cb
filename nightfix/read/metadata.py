"""Read: what a RAW file says about itself, from its tags to :class:`Metadata`.

LibRaw knows the exposure of every format it opens, maker notes included. The tags
themselves (:mod:`nightfix.read.tags`) supply what it leaves open, and are kept in results.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from nightfix.read.decoder import Decoded
from nightfix.read.maker_notes import CameraSettings
from nightfix.read.tag_names import Tag
from nightfix.read.tags import ExifTag, FileTags, Ifd


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
    focus_distance : float or None
        By EXIF's SubjectDistance; infinity if it says so; > 0 [m].
    """

    exposure_time: float | None
    iso_speed: float | None
    f_number: float | None
    focal_length: float | None
    focus_distance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What is known about a capture, and the tags that results keep.

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
    camera : CameraSettings
        What the maker note says the camera did by itself.
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
    camera: CameraSettings = CameraSettings()


#: 32 bits where ISOSpeedRatings has 16.
_LONG_ISO = (
    Tag.STANDARD_OUTPUT_SENSITIVITY,
    Tag.RECOMMENDED_EXPOSURE_INDEX,
    Tag.ISO_SPEED,
)
#: What ISOSpeedRatings holds when the ISO is higher than it can say.
_ISO_OVERFLOW = 65535

#: Tags of the main directory that describe the photo.
_COPIED = frozenset(
    {
        Tag.DOCUMENT_NAME,
        Tag.IMAGE_DESCRIPTION,
        Tag.DATE_TIME,
        Tag.ARTIST,
        Tag.HOST_COMPUTER,
        Tag.RATING,
        Tag.RATING_PERCENT,
        Tag.COPYRIGHT,
        Tag.IPTC,
        Tag.XP_TITLE,
        Tag.XP_COMMENT,
        Tag.XP_AUTHOR,
        Tag.XP_KEYWORDS,
        Tag.XP_SUBJECT,
        Tag.BATTERY_LEVEL,
        Tag.TIME_ZONE_OFFSET,
        Tag.SELF_TIMER_MODE,
        Tag.IMAGE_NUMBER,
        Tag.SECURITY_CLASSIFICATION,
        Tag.IMAGE_HISTORY,
        Tag.SENSING_METHOD,
    }
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
#: Tags that hold places in the source's file, or of other directories. Elsewhere they lead astray.
_POINTERS = frozenset(
    {
        Tag.STRIP_OFFSETS,
        Tag.FREE_OFFSETS,
        Tag.TILE_OFFSETS,
        Tag.SUB_IFDS,
        Tag.GLOBAL_PARAMETERS_IFD,
        Tag.JPEG_INTERCHANGE_FORMAT,
        Tag.JPEG_Q_TABLES,
        Tag.JPEG_DC_TABLES,
        Tag.JPEG_AC_TABLES,
        Tag.EXIF_IFD,
        Tag.GPS_IFD,
        Tag.INTEROPERABILITY_IFD,
    }
)

#: All that EXIF has defined for GPS.
_GPS = range(32)

#: A DNG's word that its maker note may be moved.
_SAFE = (1,)

#: Maker notes that may be moved from any file: their offsets count from their own start,
#: and none of them leads outside, as those of the previews in others' do.
_MOVABLE_MAKER_NOTES = (b"FUJIFILM", b"Apple iOS\0")

#: A DNG's tags on how editors are to render the camera's photos. DNGPrivateData may be moved, by
#: the specification.
_PROFILE = frozenset(
    {
        Tag.LOCALIZED_CAMERA_MODEL,
        Tag.CAMERA_SERIAL_NUMBER,
        Tag.LENS_INFO,
        Tag.DEFAULT_SCALE,
        Tag.BEST_QUALITY_SCALE,
        Tag.BASELINE_NOISE,
        Tag.BASELINE_SHARPNESS,
        Tag.BAYER_GREEN_SPLIT,
        Tag.LINEAR_RESPONSE_LIMIT,
        Tag.ANTI_ALIAS_STRENGTH,
        Tag.SHADOW_SCALE,
        Tag.DNG_PRIVATE_DATA,
        Tag.PROFILE_NAME,
        Tag.PROFILE_HUE_SAT_MAP_DIMS,
        Tag.PROFILE_HUE_SAT_MAP_DATA_1,
        Tag.PROFILE_HUE_SAT_MAP_DATA_2,
        Tag.PROFILE_TONE_CURVE,
        Tag.PROFILE_EMBED_POLICY,
        Tag.PROFILE_COPYRIGHT,
        Tag.PROFILE_LOOK_TABLE_DIMS,
        Tag.PROFILE_LOOK_TABLE_DATA,
        Tag.PROFILE_HUE_SAT_MAP_ENCODING,
        Tag.PROFILE_LOOK_TABLE_ENCODING,
        Tag.BASELINE_EXPOSURE_OFFSET,
        Tag.DEFAULT_BLACK_RENDER,
        Tag.DEFAULT_USER_CROP,
    }
)
_FORWARD_MATRICES = {Tag.FORWARD_MATRIX_1, Tag.FORWARD_MATRIX_2}
_CAMERA_CALIBRATIONS = (Tag.CAMERA_CALIBRATION_1, Tag.CAMERA_CALIBRATION_2)


def read_metadata(raw: Decoded, tags: FileTags, sensor: Ifd) -> Metadata:
    """Collect the metadata of an opened RAW file.

    Parameters
    ----------
    raw : Decoded
        What LibRaw knows of the file.
    tags : FileTags
        From :func:`read_tags`.
    sensor : Ifd
        The directory of the sensor's samples; empty if not known.

    Returns
    -------
    Metadata
        Unknown fields are "" or None.
    """
    make, model = tags.main.text(Tag.MAKE), tags.main.text(Tag.MODEL)
    # TIFF/EP, and so some cameras, keep EXIF's tags in the main directory.
    exif = Ifd(tags.main.tags | tags.exif.tags)
    return Metadata(
        make=make,
        model=model,
        unique_camera_model=tags.main.text(Tag.UNIQUE_CAMERA_MODEL) or _joined(make, model),
        lens=_one_line(raw.lens) or _one_line(exif.text(Tag.LENS_MODEL)),
        exposure=_exposure(raw, exif),
        captured=_captured(tags) or raw.captured,
        noise_profile=_noise_profile(sensor) or _noise_profile(tags.main),
        image=_select(tags.main, lambda code: code in _COPIED),
        exif=_exif(tags),
        gps=_select(tags.gps, _GPS.__contains__),
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
    places = (
        (tags.exif, Tag.DATE_TIME_ORIGINAL),
        (tags.main, Tag.DATE_TIME_ORIGINAL),
        (tags.exif, Tag.DATE_TIME_DIGITIZED),
    )
    return next((date for ifd, code in places if (date := _date(ifd.text(code)))), "")


def _select(ifd: Ifd, wanted: Callable[[int], bool]) -> tuple[ExifTag, ...]:
    """Return the wanted tags that say something and point nowhere, ascending."""
    tags = (ifd.tags[code] for code in sorted(ifd.tags) if wanted(code) and code not in _POINTERS)
    return tuple(tag for tag in tags if tag.says_something)


def _exif(tags: FileTags) -> tuple[ExifTag, ...]:
    """Return the EXIF directory's tags, and those of its kind from the main one."""
    misplaced = {code: tag for code, tag in tags.main.tags.items() if code in _EXIF_IN_MAIN}
    both = Ifd(misplaced | tags.exif.tags)
    safe = tags.main.integers(Tag.MAKER_NOTE_SAFETY) == _SAFE
    if Tag.MAKER_NOTE in both and not safe:
        safe = both.tags[Tag.MAKER_NOTE].value.startswith(_MOVABLE_MAKER_NOTES)
    return _select(both, lambda code: safe or code != Tag.MAKER_NOTE)


def _profile(tags: FileTags, sensor: Ifd) -> tuple[ExifTag, ...]:
    """Return a DNG's tags of the camera's rendering.

    The forward matrices stay valid beside color matrices into which CameraCalibration
    was multiplied only if that scales the colors without mixing them.
    """
    wanted: set[int] = set(_PROFILE)
    calibrations = [tags.main.numbers(code) for code in _CAMERA_CALIBRATIONS]
    if all(not any(c[1:4] + c[5:8]) for c in calibrations):
        wanted |= _FORWARD_MATRICES
    return _select(Ifd(sensor.tags | tags.main.tags), lambda code: code in wanted)


def _noise_profile(ifd: Ifd) -> tuple[tuple[float, float], ...]:
    values = ifd.numbers(Tag.NOISE_PROFILE)
    pairs = tuple(zip(values[::2], values[1::2], strict=False))
    plausible = all(0 < a < 1 and 0 <= b < 1 for a, b in pairs)
    return pairs if plausible and len(values) % 2 == 0 else ()


def _exposure(raw: Decoded, exif: Ifd) -> Exposure:
    """Return the exposure by LibRaw, else by EXIF; what neither knows is None."""
    time, iso_speed, f_number, focal_length = map(
        _known, (raw.shutter_speed, raw.iso_speed, raw.aperture, raw.focal_length)
    )
    # Where EXIF says 0, LibRaw turns an equally empty APEX value into 2**0.
    if time == 1 and exif.number(Tag.EXPOSURE_TIME) == 0:
        time = None
    if f_number == 1 and exif.number(Tag.F_NUMBER) == 0:
        f_number = None
    iso_speed = iso_speed or _known(exif.number(Tag.ISO_SPEED_RATINGS))
    return Exposure(
        exposure_time=time or _known(exif.number(Tag.EXPOSURE_TIME)),
        iso_speed=_long_iso(exif) if iso_speed == _ISO_OVERFLOW else iso_speed,
        f_number=f_number or _known(exif.number(Tag.F_NUMBER)),
        focal_length=focal_length or _known(exif.number(Tag.FOCAL_LENGTH)),
        focus_distance=_focus_distance(exif),
    )


def _focus_distance(exif: Ifd) -> float | None:
    tag = exif.tags.get(Tag.SUBJECT_DISTANCE)
    if tag is not None and tag.value[:4] == b"\xff\xff\xff\xff":  # EXIF's infinity
        return math.inf
    return _known(exif.number(Tag.SUBJECT_DISTANCE))


def _long_iso(exif: Ifd) -> float | None:
    """Return an ISO beyond 16 bits from the tags that EXIF 2.3 gave it."""
    values = (exif.number(code) for code in _LONG_ISO)
    return max((value for value in values if value and value > _ISO_OVERFLOW), default=None)


def _known(value: float | None) -> float | None:
    """Return a value without the digits float32 makes up; None if it says nothing."""
    known = value is not None and math.isfinite(value) and value > 0
    return float(f"{value:.7g}") if known else None
