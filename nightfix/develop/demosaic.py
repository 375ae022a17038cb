"""Develop: from one color a pixel to three, by color differences along the better direction.

The method is that of Pekkucuksen and Altunbasak (2010): no threshold and no
decision, each of four directions counts by how little the color difference
changes along it. It runs on blocks that start with a red sample and carry a
reflected margin, so that one code path serves all phases, odd sizes and borders.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from nightfix.read import CfaPattern, phase

#: Rows and columns around what a block is to give, so far does the method look [px].
MARGIN = 12

#: Height and width of the blocks in which a mosaic is worked on: few enough
#: samples for the processor's cache, many enough that the margin costs little [px].
TILE = (192, 512)

#: Below this level (1.0 = white) the compressed scale is nearly linear. Higher
#: favors lamps less, lower biases noisy shadows more.
_LINEAR_BELOW = 0.01

#: Keeps the weights finite where the color difference does not change at all.
_SMALLEST_GRADIENT = 1e-6

#: Difference of two colors' local means from which each color is held within its own
#: samples, and fully is [compressed scale], up to 4 px away.
_ONE_COLOR_RAMP = (0.55, 0.8)

Plane = NDArray[np.float32]


def compress_range(linear: Plane) -> Plane:
    """Bring linear light onto a square-root scale on which lamps no longer drown their neighbors.

    Color differences are nearly constant across an edge where values are
    proportional to what the eye (and the noise) makes of them, not where they
    are linear: an eightfold lamp would ring into the dark beside it.

    Parameters
    ----------
    linear : ndarray, float32
        Linear values, 1.0 = white. Any range; negative values are kept.

    Returns
    -------
    ndarray, same shape
        sqrt(x + c) - sqrt(c) with c = 0.01 for x >= 0, and its tangent below.

    Examples
    --------
    >>> compress_range(np.array([-0.02, 0.0, 0.96, 8.0], np.float32)).round(3).tolist()
    [-0.10000000149011612, 0.0, 0.8849999904632568, 2.7300000190734863]
    """
    offset = np.float32(np.sqrt(_LINEAR_BELOW))
    positive = np.maximum(linear, 0)
    return np.asarray(
        np.sqrt(positive + offset**2) - offset + (linear - positive) / (2 * offset), np.float32
    )


def expand_range(compressed: Plane) -> Plane:
    """Undo :func:`compress_range`."""
    twice = np.float32(2 * np.sqrt(_LINEAR_BELOW))
    return np.asarray(compressed * (np.maximum(compressed, 0) + twice), np.float32)


def demosaic(mosaic: Plane, cfa_pattern: CfaPattern) -> Plane:
    """Interpolate the two missing colors of every sample.

    Parameters
    ----------
    mosaic : ndarray, shape (H, W), float32
        White-balanced CFA samples on a scale that is near to even perception:
        :func:`compress_range` of linear light, or display values as they are.
        Nothing is clipped; values below 0 and above 1 are kept. H, W >= 1.
    cfa_pattern : CfaPattern
        Phase of the mosaic's origin.

    Returns
    -------
    ndarray, shape (H, W, 3), float32
        Red, green, blue on the same scale. The samples themselves are unchanged.

    References
    ----------
    Pekkucuksen and Altunbasak, "Gradient based threshold free color filter
    array interpolation", ICIP 2010.

    Examples
    --------
    >>> demosaic(np.full((2, 3), 0.5, np.float32), "GBRG").shape
    (2, 3, 3)
    """
    height, width = mosaic.shape
    rgb = np.empty((height, width, 3), np.float32)
    for rows, columns in demosaic_tiles(range(height), range(width)):
        planes = demosaic_block(*take_block(mosaic, cfa_pattern, rows, columns), rows, columns)
        rgb[rows.start : rows.stop, columns.start : columns.stop] = np.moveaxis(planes, 0, -1)
    return rgb


def demosaic_tiles(rows: range, columns: range) -> list[tuple[range, range]]:
    """Cut an area into tiles of at most :data:`TILE`, row by row."""
    return [
        (rows[top : top + TILE[0]], columns[left : left + TILE[1]])
        for top, left in product(
            range(0, len(rows), TILE[0]),
            range(0, len(columns), TILE[1]),
        )
    ]


def take_block(
    mosaic: Plane, cfa_pattern: CfaPattern, rows: range, columns: range
) -> tuple[Plane, int, int]:
    """Copy a part of a mosaic with its margin, beginning with a red sample.

    Parameters
    ----------
    mosaic : ndarray, shape (H, W), float32
        CFA samples.
    cfa_pattern : CfaPattern
        Phase of the mosaic's origin.
    rows, columns : range
        The part that is wanted [px].

    Returns
    -------
    block : ndarray, float32
        Even sides, red at the origin; beyond the mosaic's border it is
        reflected about the last sample, which keeps every sample's color.
    top, left : int
        Where the wanted part begins in the block, :data:`MARGIN` or one more [px].
    """
    red_row, red_column = phase(cfa_pattern)
    first, row_indices = _reflected(rows, red_row, mosaic.shape[0])
    second, column_indices = _reflected(columns, red_column, mosaic.shape[1])
    return mosaic[row_indices[:, None], column_indices], first, second


def _reflected(wanted: range, red: int, size: int) -> tuple[int, NDArray[np.intp]]:
    start = wanted.start - MARGIN - (wanted.start - MARGIN - red) % 2
    stop = wanted.stop + MARGIN
    indices = np.arange(start, stop + (stop - start) % 2)
    period = 2 * (size - 1)
    indices = indices % period if period else np.zeros_like(indices)
    return wanted.start - start, np.minimum(indices, period - indices)


def demosaic_block(
    block: Plane,
    top: int,
    left: int,
    rows: range,
    columns: range,
    *,
    hold_colors: bool = True,
) -> Plane:
    """Interpolate the missing colors of a block.

    Parameters
    ----------
    block : ndarray, float32
        As :func:`take_block` gives it.
    top, left : int
        Where the wanted part begins in it, >= :data:`MARGIN` [px].
    rows, columns : range
        The wanted part; only its size matters here [px].
    hold_colors : bool
        Whether light in one color alone is kept from leaking into the other two; a
        Linear DNG has the plain method.

    Returns
    -------
    ndarray, shape (3, len(rows), len(columns)), float32
        Red, green, blue.
    """
    planes = _interpolate(block, *_color_differences(block))
    _limit_overshoot(planes, block[MARGIN - 1 : 1 - MARGIN, MARGIN - 1 : 1 - MARGIN])
    if hold_colors:
        _hold_colors(planes, block[MARGIN - 6 : 6 - MARGIN, MARGIN - 6 : 6 - MARGIN])
    top, left = top - MARGIN, left - MARGIN
    return planes[:, top : top + len(rows), left : left + len(columns)]


def _color_differences(block: Plane) -> tuple[Plane, Plane]:
    """Estimate green minus red at the red, green minus blue at the blue samples, 8 px inside.

    The mean over the four sides, each weighted by the inverse square of the
    sum of the color difference's gradients over 5 x 5 samples on that side.
    """
    shape = (2, block.shape[0] // 2 - 8, block.shape[1] // 2 - 8)
    weights, differences = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    _add_left_and_right(block, weights, differences)
    # Transposed, red still stands at the origin: above and below are the same again.
    _add_left_and_right(block.T, weights.transpose(0, 2, 1), differences.transpose(0, 2, 1))
    differences /= weights
    return differences[0], differences[1]


def _add_left_and_right(block: Plane, weights: Plane, differences: Plane) -> None:
    """Add the weight and the weighted color difference of two sides, at both sites."""
    along = _differences_along_rows(block)
    gradient = np.abs(along[:, 2:] - along[:, :-2])
    steepness = _sum_of_five(_sum_of_five(gradient).T).T
    weight = np.asarray(1 / (steepness * steepness + _SMALLEST_GRADIENT), np.float32)
    mean = _sum_of_five(along)
    mean *= 0.2
    for step, site in product((-2, 2), (0, 1)):
        side = _at_sites(weight, (2, 5), step, site)
        weights[site] += side
        differences[site] += side * _at_sites(mean, (0, 4), step, site)


def _differences_along_rows(block: Plane) -> Plane:
    """Return green minus the other color, 2 px inside the rows' ends (Hamilton and Adams 1997).

    At a red or blue sample (-m[-2] + 2 m[-1] - 2 m[0] + 2 m[1] - m[2]) / 4, at a
    green one its negative.
    """
    differences = block[:, 1:-3] + block[:, 3:-1]
    differences -= block[:, 2:-2]
    differences *= 2
    differences -= block[:, :-4]
    differences -= block[:, 4:]
    differences *= 0.25
    np.negative(differences[0::2, 1::2], out=differences[0::2, 1::2])
    np.negative(differences[1::2, 0::2], out=differences[1::2, 0::2])
    return differences


def _sum_of_five(plane: Plane) -> Plane:
    """Sum five neighbors along the rows, 2 px inside their ends."""
    pairs = plane[:, :-1] + plane[:, 1:]
    return pairs[:, :-3] + pairs[:, 2:-1] + plane[:, 4:]


def _at_sites(plane: Plane, inset: tuple[int, int], step: int, site: int) -> Plane:
    """View the red (0) or blue (1) sites 8 px inside the block, ``step`` columns away.

    ``inset`` is how many rows and columns ``plane`` lies inside the block itself.
    """
    top, left = 8 - inset[0] + site, 8 - inset[1] + site + step
    bottom, right = plane.shape[0] - 8 + inset[0], plane.shape[1] - 8 + inset[1] + step
    return plane[top:bottom:2, left:right:2]


def _interpolate(block: Plane, red: Plane, blue: Plane) -> Plane:
    """Fill three planes, :data:`MARGIN` inside the block, from the two color differences.

    ``red`` at the blue samples (and the reverse) comes from the four diagonal
    neighbors by the method's 7 x 7 filter, at the green ones from the mean of
    the four nearest.
    """
    mosaic = block[MARGIN:-MARGIN, MARGIN:-MARGIN]
    planes = np.empty((3, *mosaic.shape), np.float32)
    inside = slice(2, -2)
    red_at_blue, blue_at_red = _across(red), _across(blue)
    planes[1] = mosaic
    planes[1, 0::2, 0::2] += red[inside, inside]
    planes[1, 1::2, 1::2] += blue[inside, inside]
    planes[0], planes[2] = planes[1], planes[1]
    planes[0, 0::2, 0::2] = mosaic[0::2, 0::2]
    planes[2, 1::2, 1::2] = mosaic[1::2, 1::2]
    planes[0, 1::2, 1::2] -= red_at_blue[1:, 1:]
    planes[2, 0::2, 0::2] -= blue_at_red[:-1, :-1]
    # Green on the red rows has red on its left and right, blue above and below.
    planes[0, 0::2, 1::2] -= _mean_of_four(
        red[inside, 2:-2], red[inside, 3:-1], red_at_blue[:-1, 1:], red_at_blue[1:, 1:]
    )
    planes[0, 1::2, 0::2] -= _mean_of_four(
        red_at_blue[1:, :-1], red_at_blue[1:, 1:], red[2:-2, inside], red[3:-1, inside]
    )
    planes[2, 0::2, 1::2] -= _mean_of_four(
        blue_at_red[:-1, :-1], blue_at_red[:-1, 1:], blue[1:-3, inside], blue[inside, inside]
    )
    planes[2, 1::2, 0::2] -= _mean_of_four(
        blue[inside, 1:-3], blue[inside, inside], blue_at_red[:-1, :-1], blue_at_red[1:, :-1]
    )
    return planes


def _across(plane: Plane) -> Plane:
    """Interpolate between four samples: (10 (inner four) - (outer eight)) / 32."""
    beside = plane[:, :-1] + plane[:, 1:]
    above = plane[:-1] + plane[1:]
    across = 10 * (beside[1:-2, 1:-1] + beside[2:-1, 1:-1])
    across -= beside[:-3, 1:-1] + beside[3:, 1:-1]
    across -= above[1:-1, :-3] + above[1:-1, 3:]
    across *= 1 / 32
    return across


def _mean_of_four(first: Plane, second: Plane, third: Plane, fourth: Plane) -> Plane:
    mean = first + second
    mean += third
    mean += fourth
    mean *= 0.25
    return mean


def _limit_overshoot(planes: Plane, mosaic: Plane) -> None:
    """Keep lamps from ringing: hold ``planes`` near the range of the 3 x 3 samples around.

    Fine texture needs some overshoot, a quarter of the range; it is taken back
    where the range is that of a lamp before the dark (1.5 and more on the
    compressed scale). ``mosaic`` is one sample wider on each side.
    """
    low, high = _reduce_nine(mosaic, np.minimum), _reduce_nine(mosaic, np.maximum)
    span = high - low
    slack = np.maximum(np.minimum(0.25 * span, 0.3 - 0.2 * span), 0)
    np.clip(planes, low - slack, high + slack, out=planes)


def _hold_colors(planes: Plane, mosaic: Plane) -> None:
    """Hold each color between its own nearest samples where the light is in one color alone.

    The method takes the difference of two colors to be constant across an edge. At the
    rim of a blue lamp it is not: green would swing far below and above its neighbors.
    ``mosaic`` is six samples wider on each side, with red at its origin.
    """
    red, blue = mosaic[0::2, 0::2], mosaic[1::2, 1::2]
    green = np.asarray((mosaic[0::2, 1::2] + mosaic[1::2, 0::2]) / 2, np.float32)
    spread = np.maximum(np.maximum(red, green), blue)
    spread -= np.minimum(np.minimum(red, green), blue)
    if float(spread.max()) <= _ONE_COLOR_RAMP[0]:
        return
    means = [_mean_of_nine(plane) for plane in (red, green, blue)]
    spread = np.maximum(np.maximum(means[0], means[1]), means[2])
    spread -= np.minimum(np.minimum(means[0], means[1]), means[2])
    low, high = _ONE_COLOR_RAMP
    for _ in range(2):
        spread = _reduce_nine(spread, np.maximum)
    share = np.clip((spread - np.float32(low)) / np.float32(high - low), 0, 1)
    area = _bounds(share > 0)
    if area is None:
        return
    top, bottom, left, right = area
    weight = share[top:bottom, left:right].repeat(2, axis=0).repeat(2, axis=1)
    inside = planes[:, 2 * top : 2 * bottom, 2 * left : 2 * right]
    # One sample wider on each side, so blue stands at the origin.
    around = mosaic[2 * top + 5 : 2 * bottom + 7, 2 * left + 5 : 2 * right + 7]
    for color in range(3):
        absent = np.ones(around.shape, np.bool_)
        for row, column in ([(1, 1)], [(0, 1), (1, 0)], [(0, 0)])[color]:
            absent[row::2, column::2] = False
        least = _reduce_nine(np.where(absent, np.float32(np.inf), around), np.minimum)
        most = _reduce_nine(np.where(absent, np.float32(-np.inf), around), np.maximum)
        held = np.clip(inside[color], least, most)
        inside[color] += weight * (held - inside[color])


def _bounds(marked: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Return top, bottom, left, right of the smallest area that holds all that is marked."""
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    if not rows.size:
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _mean_of_nine(plane: Plane) -> Plane:
    rows = plane[:-2] + plane[1:-1] + plane[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9, np.float32)


def _reduce_nine(mosaic: Plane, reduce: np.ufunc) -> Plane:
    rows = reduce(reduce(mosaic[:-2], mosaic[1:-1]), mosaic[2:])
    return np.asarray(reduce(reduce(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:]), np.float32)
