"""Read: quad-Bayer mosaics, whose colors stand in blocks of 2 x 2, averaged to plain Bayer ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nightfix.read.bayer import CFA_PATTERNS, CfaPattern
from nightfix.read.tag_names import Tag
from nightfix.read.tags import Ifd


class QuadBayer(NamedTuple):
    """A quad-Bayer array, as seen from the visible part's corner.

    Attributes
    ----------
    cfa_pattern : CfaPattern
        Of the whole blocks.
    top, left : int
        Rows and columns before the first whole block, 0 or 1 [px].
    """

    cfa_pattern: CfaPattern
    top: int
    left: int


def find_quad_bayer(sensor: Ifd, top: int, left: int) -> QuadBayer | None:
    """Tell whether a DNG's samples are a quad-Bayer mosaic; None if they are not.

    Parameters
    ----------
    sensor : Ifd
        The directory of the samples.
    top, left : int
        Where the visible part starts in the active area, at which the pattern starts [px].
    """
    cells, colors = sensor.integers(Tag.CFA_PATTERN), sensor.integers(Tag.CFA_PLANE_COLOR)
    shape = sensor.integers(Tag.CFA_REPEAT_PATTERN_DIM)
    if shape != (4, 4) or len(cells) != 16 or (colors or (0, 1, 2)) != (0, 1, 2):
        return None
    cell = np.roll(np.array(cells).reshape(4, 4), (-top, -left), (0, 1))
    for down in (0, 1):
        for across in (0, 1):
            blocks = np.roll(cell, (-down, -across), (0, 1)).reshape(2, 2, 2, 2).swapaxes(1, 2)
            letters = "".join(
                "RGB"[color] if color < 3 else "?" for color in blocks[..., 0, 0].flat
            )
            if (blocks == blocks[..., :1, :1]).all() and letters in CFA_PATTERNS:
                return QuadBayer(letters, down, across)
    return None


def other_array(sensor: Ifd) -> tuple[int, int] | None:
    """Return the shape of a color filter array that does not repeat after 2 x 2; None of others.

    LibRaw knows those of 2 x 2 and 6 x 6 alone, and takes others for the former.
    """
    shape, cells = sensor.integers(Tag.CFA_REPEAT_PATTERN_DIM), sensor.integers(Tag.CFA_PATTERN)
    if len(shape) != 2 or shape in ((2, 2), (6, 6)) or len(cells) != shape[0] * shape[1]:
        return None
    cell = np.array(cells).reshape(shape)
    repeats = all((np.roll(cell, 2, axis) == cell).all() for axis in (0, 1))
    return None if repeats else (shape[0], shape[1])


def average_blocks(samples: NDArray[Any], quad: QuadBayer) -> NDArray[np.float32]:
    """Average the blocks of a quad-Bayer mosaic.

    Parameters
    ----------
    samples : ndarray, shape (H, W), uint16 or float32
        The visible part [DN].
    quad : QuadBayer
        Its array.

    Returns
    -------
    ndarray, shape (h, w), float32
        A Bayer mosaic of half the size, in quarters of the source's steps [DN]; what fills no
        block at the border is left out. Its noise has a quarter of the variance.

    Examples
    --------
    >>> average_blocks(np.array([[1, 3], [5, 8]], np.uint16), QuadBayer("RGGB", 0, 0)).tolist()
    [[4.25]]
    """
    inner = samples[quad.top :, quad.left :]
    height, width = inner.shape[0] // 2, inner.shape[1] // 2
    blocks = inner[: 2 * height, : 2 * width].reshape(height, 2, width, 2)
    return np.asarray(blocks.mean((1, 3), dtype=np.float32))
