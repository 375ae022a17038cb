"""Write: the developed picture as a TIFF, upright, with its color space and metadata."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import imagecodecs
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from nightfix.develop import COLOR_SPACES, icc_profile
from nightfix.parallel import in_parallel
from nightfix.read import ExifTag, RawImage, Tag
from nightfix.write.atomic import replacing
from nightfix.write.dng_samples import Compression
from nightfix.write.exif import developed_exif, developed_image_tags, source_directories
from nightfix.write.ifd import (
    BYTE,
    LONG,
    SHORT,
    UNDEFINED,
    IfdNode,
    picture_tags,
    tag,
    write_tree,
)
from nightfix.write.record import Record
from nightfix.write.xmp import make_packet

Depth = Literal[16, 32]

#: Strips of about this many bytes before compression.
_STRIP_BYTES = 1 << 20

#: Of ISA-L, three times as fast as libdeflate's lowest, for 2 % more bytes; its higher ones take a
#: quarter longer and more, for 1 % fewer.
_LEVEL = 1

_COMPRESSIONS: dict[Compression, int] = {"none": 1, "lossless": 8}
_NO_PREDICTOR, _HORIZONTAL, _FLOATING_POINT = 1, 2, 3
_UNSIGNED, _FLOAT = 1, 3
_RGB = 2


def write_tiff(
    path: str | os.PathLike[str],
    rgb: NDArray[np.float32],
    raw: RawImage,
    *,
    color_space: str,
    depth: Depth = 16,
    compression: Compression = "lossless",
    record: Record | None = None,
    overwrite: bool = False,
) -> None:
    """Write a developed picture as an RGB TIFF.

    Parameters
    ----------
    path : str or path-like
        The result; written under a temporary name first.
    rgb : ndarray, shape (H, W, 3), float32
        Upright. For 16 bit encoded in the curve of ``color_space``, clipped to [0, 1];
        for 32 bit linear light of that space, any range, written as it is.
    raw : RawImage
        Where the picture came from: its EXIF, GPS, XMP and texts are carried over,
        without what only describes the source's own frame or edits it. Never a DNG
        tag, which would make the file a DNG.
    color_space : str
        Name in ``COLOR_SPACES``; its ICC profile goes into the file.
    depth : {16, 32}
        Whole numbers of 16 bit, or floats of 32 bit.
    compression : {"lossless", "none"}
        Deflate with a predictor, or none.
    record : Record or None
        How the result was made, for its XMP packet.
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
    Adobe Photoshop TIFF Technical Notes, 2002 (deflate, compression 8) and
    Technical Note 3, 2005 (floating-point predictor).
    """
    space = COLOR_SPACES[color_space]
    profile = icc_profile(space.linear if depth == 32 else space)
    packet = make_packet(raw.metadata.xmp, record or Record(), developed=True)
    height, width = rgb.shape[:2]
    rows = min(height, max(1, _STRIP_BYTES // (3 * depth // 8 * width)))
    with replacing(Path(path), overwrite=overwrite, source=raw.path) as temporary:
        root = IfdNode(
            tags=[
                *developed_image_tags(raw.metadata),
                *_picture_tags((height, width), rows, depth, compression),
                tag(Tag.XMP, BYTE, *packet),
                tag(Tag.ICC_PROFILE, UNDEFINED, *profile),
            ],
            pieces=list(_encode_strips(rgb, rows, depth, compression)),
            children=source_directories(
                raw.metadata,
                width=width,
                height=height,
                added=developed_exif(color_space if depth == 16 else "linear"),
            ),
        )
        with temporary.open("wb") as file:
            write_tree(file, root)


def _samples(rgb: NDArray[np.float32], depth: Depth) -> NDArray[np.uint16] | NDArray[np.float32]:
    if depth == 32:
        return rgb.astype("<f4", copy=False)
    return np.rint(np.clip(rgb, 0, 1) * 65535).astype("<u2")


def _picture_tags(
    shape: tuple[int, int], rows: int, depth: Depth, compression: Compression
) -> list[ExifTag]:
    height, width = shape
    kind = _FLOAT if depth == 32 else _UNSIGNED
    return [
        *picture_tags(width, height, [depth] * 3, compression=_COMPRESSIONS[compression]),
        tag(Tag.PHOTOMETRIC_INTERPRETATION, SHORT, _RGB),
        tag(Tag.ROWS_PER_STRIP, LONG, rows),
        tag(Tag.PREDICTOR, SHORT, _predictor(depth, compression)),
        tag(Tag.SAMPLE_FORMAT, SHORT, kind, kind, kind),
    ]


def _predictor(depth: Depth, compression: Compression) -> int:
    if compression == "none":
        return _NO_PREDICTOR
    return _FLOATING_POINT if depth == 32 else _HORIZONTAL


def _encode_strips(
    rgb: NDArray[np.float32], rows: int, depth: Depth, compression: Compression
) -> Iterator[bytes]:
    """Take differences of neighbors (16 bit: modulo 2^16; 32 bit: byte by byte), deflate."""

    def encode(start: int) -> bytes:
        part = _samples(rgb[start : start + rows], depth)
        if compression == "none":
            return part.tobytes()
        predict = imagecodecs.floatpred_encode if depth == 32 else imagecodecs.delta_encode
        predicted = predict(part, axis=-2)
        return isal_zlib.compress(predicted, level=_LEVEL)

    return in_parallel(encode, range(0, rgb.shape[0], rows))
