"""Write: what every result keeps of its source's metadata, whatever its format."""

from __future__ import annotations

from collections.abc import Sequence

from nightfix import __version__
from nightfix.read import ExifTag, Metadata, Tag
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

SOFTWARE = f"NightFix {__version__}"

#: Tags that count in pixels of the source's frame.
_SOURCE_GEOMETRY = frozenset({Tag.EXIF_CFA_PATTERN, Tag.SUBJECT_AREA, Tag.SUBJECT_LOCATION})

#: A photo has no printed size: the customary 300 px an inch.
_RESOLUTION, _INCH = 300, 2


def source_image_tags(metadata: Metadata) -> list[ExifTag]:
    """Return the main directory's tags that say something about the photo, not about its file.

    Make, model, date and texts of the source; Software is NightFix.
    """
    dated = [ascii_tag(Tag.DATE_TIME, metadata.captured)] if metadata.captured else []
    named = (
        (Tag.MAKE, metadata.make),
        (Tag.MODEL, metadata.model),
        (Tag.SOFTWARE, SOFTWARE),
    )
    return [
        *dated,
        # The first of the tags that make a TIFF a DNG.
        *(known for known in metadata.image if known.code < Tag.DNG_VERSION),
        *(ascii_tag(code, text) for code, text in named if text),
    ]


def developed_image_tags(metadata: Metadata) -> list[ExifTag]:
    """Return the main directory's tags of a developed picture, whose pixels are upright already."""
    return [
        *source_image_tags(metadata),
        tag(Tag.ORIENTATION, SHORT, 1),
        rational_tag(Tag.X_RESOLUTION, RATIONAL, [_RESOLUTION]),
        rational_tag(Tag.Y_RESOLUTION, RATIONAL, [_RESOLUTION]),
        tag(Tag.RESOLUTION_UNIT, SHORT, _INCH),
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
    own: dict[int, ExifTag] = {
        Tag.PIXEL_X_DIMENSION: tag(Tag.PIXEL_X_DIMENSION, LONG, width),
        Tag.PIXEL_Y_DIMENSION: tag(Tag.PIXEL_Y_DIMENSION, LONG, height),
    }
    kept = [known for known in metadata.exif if known.code not in _SOURCE_GEOMETRY]
    exif = [own.get(known.code, known) for known in _completed(metadata, [*kept, *added])]
    directories = {EXIF_IFD: exif, GPS_IFD: list(metadata.gps)}
    return {pointer: [IfdNode(tags=tags)] for pointer, tags in directories.items() if tags}


def _completed(metadata: Metadata, exif: list[ExifTag]) -> list[ExifTag]:
    """Add what EXIF lacks but other tags or the maker note state about the capture."""
    there = {known.code for known in exif}
    missing = [known for known in _known_otherwise(metadata) if known.code not in there]
    if (exif or missing) and Tag.EXIF_VERSION not in there:
        missing.append(tag(Tag.EXIF_VERSION, UNDEFINED, *b"0231"))
    return exif + missing


def _known_otherwise(metadata: Metadata) -> list[ExifTag]:
    exposure = metadata.exposure
    rationals = (
        (Tag.EXPOSURE_TIME, exposure.exposure_time),
        (Tag.F_NUMBER, exposure.f_number),
        (Tag.FOCAL_LENGTH, exposure.focal_length),
    )
    tags = [rational_tag(code, RATIONAL, [value]) for code, value in rationals if value is not None]
    if exposure.iso_speed is not None:
        tags.append(tag(Tag.ISO_SPEED_RATINGS, SHORT, min(round(exposure.iso_speed), 65535)))
    texts = ((Tag.DATE_TIME_ORIGINAL, metadata.captured), (Tag.LENS_MODEL, metadata.lens))
    tags += [ascii_tag(code, text) for code, text in texts if text]
    in_exif: dict[int, int] = {
        Tag.CAMERA_SERIAL_NUMBER: Tag.BODY_SERIAL_NUMBER,
        Tag.LENS_INFO: Tag.LENS_SPECIFICATION,
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
        tag(Tag.FLASHPIX_VERSION, UNDEFINED, *b"0100"),
        tag(Tag.COLOR_SPACE, SHORT, 1 if color_space == "srgb" else 0xFFFF),
    ]
