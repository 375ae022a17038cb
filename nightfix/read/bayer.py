"""Read: between the 2-D mosaic and its four half-resolution planes.

The one place that knows the order of the packed planes: red, green on the red
rows, green on the blue rows, blue (``R, Gr, Gb, B``), whatever the phase of the
sensor's pattern. The mosaic is extended by at most one reflected row and column
a side so that a red sample stands at the origin; reflection about the edge
sample keeps the parity, hence the color, of every sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar, cast, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

#: What holds planes: an array, or a tensor where a network is at work.
Planes = TypeVar("Planes", NDArray[np.float32], "Tensor")

CfaPattern = Literal["RGGB", "BGGR", "GRBG", "GBRG"]
CFA_PATTERNS: tuple[CfaPattern, ...] = get_args(CfaPattern)

#: Colors of the packed planes, in order.
PLANES = ("R", "Gr", "Gb", "B")

#: Site (row, column) of each packed plane in a cell that starts with red.
_SITES = ((0, 0), (0, 1), (1, 0), (1, 1))


class Margins(NamedTuple):
    """Rows and columns added around a mosaic before packing, 0 to 2 each [px]."""

    top: int
    bottom: int
    left: int
    right: int


def phase(cfa_pattern: CfaPattern) -> tuple[int, int]:
    """Return the row and column (0 or 1) of the red sample in the first cell."""
    return divmod(cfa_pattern.index("R"), 2)


def shift_pattern(cfa_pattern: CfaPattern, top: int, left: int) -> CfaPattern:
    """Return the pattern seen from an origin moved by ``top`` rows and ``left`` columns."""
    cell = np.array(list(cfa_pattern)).reshape(2, 2)
    return cast(CfaPattern, "".join(np.roll(cell, (-top, -left), (0, 1)).ravel()))


def site_values(per_color: NDArray[np.float32], cfa_pattern: CfaPattern) -> NDArray[np.float32]:
    """Place one value a packed plane onto the 2 x 2 cell of a pattern.

    Parameters
    ----------
    per_color : ndarray, shape (4,)
        Values in packed order (``R, Gr, Gb, B``).
    cfa_pattern : CfaPattern
        Phase of the cell.

    Returns
    -------
    ndarray, shape (2, 2)
        The value of each site of the cell.
    """
    top, left = phase(cfa_pattern)
    return np.roll(np.asarray(per_color).reshape(2, 2), (top, left), (0, 1))


def margins_for(shape: tuple[int, int], cfa_pattern: CfaPattern) -> Margins:
    """Return the margins that give ``shape`` a red origin and even sides."""
    top, left = phase(cfa_pattern)
    height, width = shape
    return Margins(top, (height + top) % 2, left, (width + left) % 2)


def pack_bayer(mosaic: NDArray[np.float32], cfa_pattern: CfaPattern) -> NDArray[np.float32]:
    """Split a mosaic into its four color planes, aligned to a red origin.

    Parameters
    ----------
    mosaic : ndarray, shape (H, W), float32
        CFA samples, any range; nothing is clipped. H, W >= 1.
    cfa_pattern : CfaPattern
        Phase of the mosaic's origin.

    Returns
    -------
    ndarray, shape (4, ceil((H + top) / 2), ceil((W + left) / 2)), float32
        Planes in the order ``R, Gr, Gb, B``.

    Examples
    --------
    >>> pack_bayer(np.array([[1, 2], [3, 4]], np.float32), "RGGB").ravel().tolist()
    [1.0, 2.0, 3.0, 4.0]
    >>> pack_bayer(np.array([[1, 2], [3, 4]], np.float32), "BGGR").shape
    (4, 2, 2)
    """
    margins = margins_for((mosaic.shape[0], mosaic.shape[1]), cfa_pattern)
    padded = mosaic
    for axis, pair in enumerate(((margins.top, margins.bottom), (margins.left, margins.right))):
        if not any(pair):
            continue
        width = [(0, 0), (0, 0)]
        width[axis] = pair
        # One lone row has no neighbor of its own color to reflect: repeat it.
        padded = np.pad(padded, width, "reflect" if mosaic.shape[axis] > 1 else "edge")
    return np.stack([padded[row::2, column::2] for row, column in _SITES])


def unpack_bayer(
    packed: NDArray[np.float32], cfa_pattern: CfaPattern, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Interleave four planes into the mosaic that :func:`pack_bayer` took apart.

    Parameters
    ----------
    packed : ndarray, shape (4, h, w), float32
        Planes in the order ``R, Gr, Gb, B``.
    cfa_pattern : CfaPattern
        Phase of the mosaic's origin.
    shape : tuple of int
        Height and width of the mosaic [px]; the margins added by packing are cut.

    Returns
    -------
    ndarray, shape (H, W), float32

    Raises
    ------
    ValueError
        If ``packed`` is not what packing a mosaic of ``shape`` gives.
    """
    margins = margins_for(shape, cfa_pattern)
    height, width = 2 * packed.shape[1], 2 * packed.shape[2]
    if (height, width) != (
        shape[0] + margins.top + margins.bottom,
        shape[1] + margins.left + margins.right,
    ):
        raise ValueError(f"planes of {packed.shape[1:]} do not unpack to {shape}")
    mosaic = np.empty((height, width), packed.dtype)
    for plane, (row, column) in zip(packed, _SITES, strict=True):
        mosaic[row::2, column::2] = plane
    return mosaic[margins.top : margins.top + shape[0], margins.left : margins.left + shape[1]]


def transpose_planes(planes: Planes) -> Planes:
    """Return the planes of the transposed mosaic, whose two greens change places.

    Parameters
    ----------
    planes : ndarray or Tensor, shape (..., 4, h, w)
        Planes in the order ``R, Gr, Gb, B``.

    Returns
    -------
    ndarray or Tensor, shape (..., 4, w, h)

    Examples
    --------
    >>> transpose_planes(np.array([[[1]], [[2]], [[3]], [[4]]], np.float32)).ravel().tolist()
    [1.0, 3.0, 2.0, 4.0]
    """
    return planes.swapaxes(-2, -1)[..., [0, 2, 1, 3], :, :]
