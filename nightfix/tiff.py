"""Write: the developed picture as a 16-bit TIFF, upright, with its color space and EXIF."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from nightfix import __version__
from nightfix.ifd import (
    LONG,
    RATIONAL,
    SHORT,
    UNDEFINED,
    Ifd,
    ascii_tag,
    carried_directories,
    carried_image_tags,
    rational_tag,
    tag,
    write_tree,
)
from nightfix.isp.color import COLOR_SPACES
from nightfix.isp.icc import icc_profile
from nightfix.metadata import ExifTag, Metadata
from nightfix.output import replacing
from nightfix.raw import RawImage

#: Printed size is nobody's measurement: the customary 300 px an inch.
_RESOLUTION = 300

#: Strips of about this many bytes before compression.
_STRIP_BYTES = 1 << 20

_DEFLATE, _HORIZONTAL_PREDICTOR = 8, 2

#: The XMP packet repeats the source's orientation, crop and raw edits, done here already.
_XMP = 700

_DATE_TIME = 306
_EXIF_COLOR_SPACE, _SRGB, _UNCALIBRATED = 40961, 1, 0xFFFF


def write_tiff(
    path: Path,
    rgb: NDArray[np.float32],
    raw: RawImage,
    *,
    color_space: str,
    overwrite: bool = False,
) -> None:
    """Write a developed picture as a 16-bit RGB TIFF, deflated with horizontal prediction.

    Parameters
    ----------
    path : Path
        The result; written under a temporary name first.
    rgb : ndarray, shape (H, W, 3), float32
        Encoded in the curve of ``color_space``, upright; clipped to [0, 1].
    raw : RawImage
        Where the picture came from: its EXIF, GPS and texts are carried over,
        without what only describes the source's own frame. Never a DNG tag,
        which would make the file a DNG.
    color_space : str
        Name in ``COLOR_SPACES``; its ICC profile goes into the file.
    overwrite : bool
        Whether an existing ``path`` is replaced.

    Raises
    ------
    OutputExistsError
        If ``path`` exists and ``overwrite`` is false.
    OutputWriteError
        If the operating system refuses the file, or ``path`` is the source.

    References
    ----------
    Adobe, "TIFF", revision 6.0, 1992, section 14 (horizontal differencing);
    Adobe Photoshop TIFF Technical Notes, 2002 (deflate, compression 8).
    """
    profile = icc_profile(COLOR_SPACES[color_space])
    height, width = rgb.shape[:2]
    rows = min(height, max(1, _STRIP_BYTES // (6 * width)))
    with replacing(path, overwrite=overwrite, source=raw.path) as temporary:
        root = Ifd(
            tags=[
                *_carried_tags(raw.metadata),
                *_picture_tags((height, width), rows),
                tag(34675, UNDEFINED, *profile),  # ICC profile
            ],
            pieces=list(_encode_strips(rgb, rows)),
            children=carried_directories(
                raw.metadata, width=width, height=height, replaced=[_exif_color_space(color_space)]
            ),
        )
        with temporary.open("wb") as file:
            write_tree(file, root)


def _carried_tags(metadata: Metadata) -> list[ExifTag]:
    tags = [ascii_tag(_DATE_TIME, metadata.captured)] if metadata.captured else []
    tags += [kept for kept in carried_image_tags(metadata) if kept.code != _XMP]
    if metadata.make:
        tags.append(ascii_tag(271, metadata.make))
    if metadata.model:
        tags.append(ascii_tag(272, metadata.model))
    return [*tags, ascii_tag(305, f"NightFix {__version__}")]


def _picture_tags(shape: tuple[int, int], rows: int) -> list[ExifTag]:
    height, width = shape
    return [
        tag(254, LONG, 0),  # NewSubfileType: the full-resolution picture
        tag(256, LONG, width),
        tag(257, LONG, height),
        tag(258, SHORT, 16, 16, 16),  # BitsPerSample
        tag(259, SHORT, _DEFLATE),
        tag(262, SHORT, 2),  # PhotometricInterpretation: RGB
        tag(274, SHORT, 1),  # Orientation: the pixels are turned already
        tag(277, SHORT, 3),  # SamplesPerPixel
        tag(278, LONG, rows),
        rational_tag(282, RATIONAL, [_RESOLUTION]),
        rational_tag(283, RATIONAL, [_RESOLUTION]),
        tag(284, SHORT, 1),  # PlanarConfiguration
        tag(296, SHORT, 2),  # ResolutionUnit: inch
        tag(317, SHORT, _HORIZONTAL_PREDICTOR),
    ]


def _exif_color_space(color_space: str) -> ExifTag:
    return tag(_EXIF_COLOR_SPACE, SHORT, _SRGB if color_space == "srgb" else _UNCALIBRATED)


def _encode_strips(rgb: NDArray[np.float32], rows: int) -> Iterator[bytes]:
    """Round to 16 bit, take differences of neighbors (modulo 2^16), deflate."""
    for strip in range(math.ceil(rgb.shape[0] / rows)):
        light = rgb[strip * rows : (strip + 1) * rows]
        samples = np.rint(np.clip(light, 0, 1) * 65535).astype("<u2")
        samples[:, 1:] -= samples[:, :-1].copy()
        yield bytes(imagecodecs.deflate_encode(samples.tobytes(), level=6))
