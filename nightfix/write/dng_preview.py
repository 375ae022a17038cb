"""Write: the small developed pictures in a DNG, by which file managers show it."""

from __future__ import annotations

from dataclasses import replace

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from nightfix.develop import develop_raw, own_correction, undo_orientation
from nightfix.read import ExifTag, RawImage, Rectangle, Tag, apply_gain_maps, sampled
from nightfix.write.exif import SOFTWARE
from nightfix.write.ifd import (
    LONG,
    RATIONAL,
    SHORT,
    IfdNode,
    ascii_tag,
    picture_tags,
    rational_tag,
    tag,
)

#: Longest side of the preview and of the thumbnail, at most [px].
PREVIEW_SIDE, THUMBNAIL_SIDE = 2048, 256

_QUALITY = 88
_JPEG, _UNCOMPRESSED = 7, 1
_YCBCR, _RGB = 6, 2
_SRGB = 2


def make_preview(raw: RawImage) -> NDArray[np.uint8]:
    """Develop a photo at a fraction of its size.

    Parameters
    ----------
    raw : RawImage
        The photo; ``mosaic * 2**baseline_exposure`` is developed as shot, its lens corrected as
        its own opcodes say.

    Returns
    -------
    ndarray, shape (h, w, 3), uint8
        sRGB, in sensor orientation, cropped; its longest side is 1024 to 2048 px, or
        that of a smaller photo.
    """
    factor = -(-max(raw.crop.width, raw.crop.height) // PREVIEW_SIDE)
    small = reduce_raw(apply_gain_maps(raw), factor)
    upright = develop_raw(small, lens=own_correction(small) or "off")
    return undo_orientation(np.rint(upright * 255).astype(np.uint8), raw.orientation)


def reduce_raw(raw: RawImage, factor: int) -> RawImage:
    """Make a small photo of a large one that is developed like it.

    Each sample of the small mosaic is the mean of the large one's samples of its color
    around it, weighted by a tent as wide as keeps the three colors in register.

    Parameters
    ----------
    raw : RawImage
        The photo.
    factor : int
        By which each side shrinks, >= 1.

    Returns
    -------
    RawImage
        Same pattern, levels and light; ``mosaic`` and ``crop`` a ``factor``-th. Of three
        colors a pixel, a mosaic is made.
    """
    if factor == 1:
        return raw
    raw = sampled(raw)
    mosaic = _shrink_rows(_shrink_rows(raw.mosaic, factor).T, factor).T
    height, width = mosaic.shape
    top, left = min(raw.crop.top // factor, height - 1), min(raw.crop.left // factor, width - 1)
    crop = Rectangle(
        top,
        left,
        min(max(1, raw.crop.height // factor), height - top),
        min(max(1, raw.crop.width // factor), width - left),
    )
    return replace(raw, mosaic=np.ascontiguousarray(mosaic), crop=crop)


def _shrink_rows(mosaic: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Take every ``factor``-th row of the mosaic as if it had been sampled there.

    A tent whose half-width is a whole number of same-colored rows reproduces straight
    slopes exactly, wherever its center lies: colors do not move against each other.
    """
    height = mosaic.shape[0]
    rows = np.arange(max(1, height // factor))
    centers, parity = factor * rows + (factor - 1) / 2, rows % 2
    half = 2 * (-(-factor // 2))
    first = np.floor((centers - half - parity) / 2).astype(np.int64) * 2 + parity + 2
    last = height - 1 - (height - 1 - parity) % 2
    shrunk = np.zeros((len(rows), mosaic.shape[1]), np.float32)
    for step in range(0, 2 * half, 2):
        weights = (2 / half) * (1 - np.abs(first + step - centers) / half)
        taken = mosaic[np.clip(first + step, parity, last)]
        shrunk += taken * np.maximum(weights, 0).astype(np.float32)[:, None]
    return shrunk


def shrink_picture(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Average whole blocks of a picture until its longest side is at most ``side`` [px].

    Parameters
    ----------
    picture : ndarray, shape (H, W, 3), uint8
        Display values.
    side : int
        Longest side of the result.

    Returns
    -------
    ndarray, shape (h, w, 3), uint8
        What does not fill a block at the right and lower border is left out.
    """
    height, width = picture.shape[:2]
    factor = -(-max(height, width) // side)
    rows, columns = max(1, height // factor), max(1, width // factor)
    whole = picture[: rows * factor, : columns * factor]
    blocks = whole.reshape(rows, whole.shape[0] // rows, columns, whole.shape[1] // columns, 3)
    return np.asarray(np.rint(blocks.mean(axis=(1, 3), dtype=np.float32)), np.uint8)


def preview_directory(picture: NDArray[np.uint8], date: str) -> IfdNode:
    """Return the directory of a JPEG preview.

    References
    ----------
    Adobe, "Digital Negative (DNG) Specification", version 1.4.0.0, 2012, chapter 2,
    "Preview Images", and tags PreviewApplicationName to PreviewDateTime.
    """
    data = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(picture),
        level=_QUALITY,
        colorspace="RGB",
        outcolorspace="YCBCR",
        subsampling="420",
    )
    name, _, version = SOFTWARE.partition(" ")
    return IfdNode(
        tags=[
            *_structure(picture, _JPEG, _YCBCR),
            tag(Tag.YCBCR_SUBSAMPLING, SHORT, 2, 2),
            tag(Tag.YCBCR_POSITIONING, SHORT, 1),  # centered, as JPEG has it
            rational_tag(Tag.REFERENCE_BLACK_WHITE, RATIONAL, [0, 255, 128, 255, 128, 255]),
            ascii_tag(Tag.PREVIEW_APPLICATION_NAME, name),
            ascii_tag(Tag.PREVIEW_APPLICATION_VERSION, version),
            tag(Tag.PREVIEW_COLOR_SPACE, LONG, _SRGB),
            *([ascii_tag(Tag.PREVIEW_DATE_TIME, date)] if date else []),
        ],
        pieces=[bytes(data)],
    )


def thumbnail_tags(picture: NDArray[np.uint8]) -> list[ExifTag]:
    """Return the structural tags of an uncompressed thumbnail, which every program can show."""
    return _structure(picture, _UNCOMPRESSED, _RGB)


def _structure(picture: NDArray[np.uint8], compression: int, photometric: int) -> list[ExifTag]:
    height, width = picture.shape[:2]
    return [
        *picture_tags(width, height, [8] * 3, compression=compression, reduced=True),
        tag(Tag.PHOTOMETRIC_INTERPRETATION, SHORT, photometric),
        tag(Tag.ROWS_PER_STRIP, LONG, height),
    ]
