"""Write: what every result keeps of its source's metadata, whatever its format."""

from __future__ import annotations

from collections.abc import Sequence

from nightfix import __version__
from nightfix.read import ExifTag, Metadata
from nightfix.write.ifd import (
    EXIF_IFD,
    GPS_IFD,
    LONG,
    RATIONAL,
    SHORT,
    UNDEFINED,
    IfdNode,
    ascii_tag,
    rational_tag,
    tag,
)

#: First tag of the range that makes a TIFF a DNG.
FIRST_DNG_TAG = 50706

SOFTWARE = f"NightFix {__version__}"

_DATE_TIME, _DATE_TIME_ORIGINAL = 306, 36867
_EXIF_VERSION, _PIXEL_X_DIMENSION, _PIXEL_Y_DIMENSION = 36864, 40962, 40963
_EXPOSURE_TIME, _F_NUMBER, _ISO, _FOCAL_LENGTH = 33434, 33437, 34855, 37386
_BODY_SERIAL_NUMBER, _LENS_SPECIFICATION, _LENS_MODEL = 42033, 42034, 42036
_DNG_SERIAL_NUMBER, _DNG_LENS_INFO = 50735, 50736
#: CFAPattern, SubjectArea and SubjectLocation count in pixels of the source's frame.
_SOURCE_GEOMETRY = frozenset({41730, 37396, 41492})


def source_image_tags(metadata: Metadata) -> list[ExifTag]:
    """Return the main directory's tags that say something about the photo, not about its file.

    Make, model, date and texts of the source; Software is NightFix.
    """
    dated = [ascii_tag(_DATE_TIME, metadata.captured)] if metadata.captured else []
    named = ((271, metadata.make), (272, metadata.model), (305, SOFTWARE))
    return [
        *dated,
        *(carried for carried in metadata.image if carried.code < FIRST_DNG_TAG),
        *(ascii_tag(code, text) for code, text in named if text),
    ]


def source_directories(
    metadata: Metadata, *, width: int, height: int, added: Sequence[ExifTag] = ()
) -> dict[int, list[IfdNode]]:
    """Build the EXIF and GPS directories of a result from its source's.

    Tags in pixels of the source's frame are left out; a pixel size, where the source
    states one, becomes the result's own. What the source keeps in other places than
    EXIF (exposure, lens, date, serial number) is added.

    Parameters
    ----------
    metadata : Metadata
        Of the source.
    width, height : int
        Of the picture that is seen [px].
    added : sequence of ExifTag
        EXIF tags of the result's own, in place of the source's.

    Returns
    -------
    dict of int to list of IfdNode
        Children for an :class:`IfdNode`; empty directories are left out.
    """
    own = {
        _PIXEL_X_DIMENSION: tag(_PIXEL_X_DIMENSION, LONG, width),
        _PIXEL_Y_DIMENSION: tag(_PIXEL_Y_DIMENSION, LONG, height),
    }
    kept = [known for known in metadata.exif if known.code not in _SOURCE_GEOMETRY]
    exif = [own.get(known.code, known) for known in _completed(metadata, [*kept, *added])]
    directories = {EXIF_IFD: exif, GPS_IFD: list(metadata.gps)}
    return {pointer: [IfdNode(tags=tags)] for pointer, tags in directories.items() if tags}


def _completed(metadata: Metadata, exif: list[ExifTag]) -> list[ExifTag]:
    """Add to EXIF what is known of the capture by other ways and missing there."""
    there = {known.code for known in exif}
    missing = [known for known in _known_otherwise(metadata) if known.code not in there]
    if (exif or missing) and _EXIF_VERSION not in there:
        missing.append(tag(_EXIF_VERSION, UNDEFINED, *b"0231"))
    return exif + missing


def _known_otherwise(metadata: Metadata) -> list[ExifTag]:
    exposure = metadata.exposure
    rationals = (
        (_EXPOSURE_TIME, exposure.exposure_time),
        (_F_NUMBER, exposure.f_number),
        (_FOCAL_LENGTH, exposure.focal_length),
    )
    tags = [rational_tag(code, RATIONAL, [value]) for code, value in rationals if value is not None]
    if exposure.iso_speed is not None:
        tags.append(tag(_ISO, SHORT, min(round(exposure.iso_speed), 65535)))
    texts = ((_DATE_TIME_ORIGINAL, metadata.captured), (_LENS_MODEL, metadata.lens))
    tags += [ascii_tag(code, text) for code, text in texts if text]
    in_exif = {
        _DNG_SERIAL_NUMBER: _BODY_SERIAL_NUMBER,
        _DNG_LENS_INFO: _LENS_SPECIFICATION,
    }
    tags += [k._replace(code=in_exif[k.code]) for k in metadata.profile if k.code in in_exif]
    return tags


def developed_exif(color_space: str) -> list[ExifTag]:
    """Return EXIF's ColorSpace of a developed picture and what must stand beside it.

    Parameters
    ----------
    color_space : str
        ``"srgb"``; of any other the ICC profile tells.
    """
    return [
        tag(40960, UNDEFINED, *b"0100"),  # FlashpixVersion
        tag(40961, SHORT, 1 if color_space == "srgb" else 0xFFFF),  # ColorSpace
    ]
