"""Read: what masked pixels around the picture say of its black level.

They see no light, so what they show is black as it was in this very exposure, in every plane and
every row. Not all that lies around a picture is masked: there are columns of zeros, columns that
light leaks into, and parts of the picture that are only left out. So what lies there is
believed only where it agrees with itself, with the stated black, and not with the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.uint16]
Floats = NDArray[np.float64]

#: Farthest that masked pixels may be from the stated black, and how far one side's from another's
#: [share of white - black]; 16 and 4 DN of 14 bit.
_FARTHEST, _APART = 1e-3, 2.5e-4

#: Fewest lines (columns of a side's margin, rows of one above or below) that are believed, from how
#: many on those beside the picture are left out, and how many these are.
_FEWEST_LINES, _MANY_LINES, _BESIDE_IT = 4, 12, 2

#: Fewest samples of each plane.
_FEWEST = 256

#: Lines of the picture that are held against a margin, samples along them that make a mean [px].
_BAND, _PART = 16, 32

#: How much noisier than most a line may be.
_NOISIER = 2.0

#: Slope of a margin over the picture beside it from which it is part of the picture, and the
#: variation of the picture that this takes [share of white - black].
_OF_THE_PICTURE, _VARIES = 0.2, 2.5e-4

#: How much brighter than the margin the picture beside it must be, in units of what the margin is
#: above black, for that not to be light.
_BRIGHTER = 2.0

#: Rows over which the slow part of what rows differ by is averaged.
_SLOW = 33

#: Standard errors beyond which something is no chance.
_CHANCE = 4.0


#: Numbers of the sites of a mosaic's cell.
_SITES = np.arange(4).reshape(2, 2)


class Margins(NamedTuple):
    """What a frame has around its visible part.

    Attributes
    ----------
    top, bottom : ndarray, shape (rows, W of the frame), uint16
        Above and below it, in the frame's full width [DN].
    left, right : ndarray, shape (H of the visible part, columns), uint16
        Beside it [DN].
    """

    top: Samples
    left: Samples
    right: Samples
    bottom: Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedBlack:
    """What masked pixels add to the stated black level.

    Attributes
    ----------
    offsets : ndarray, shape (2, 2), float32
        By site of the mosaic (row % 2, column % 2) [DN].
    rows : ndarray, shape (H,), float32, or None
        What each row of the mosaic has besides; None where rows do not differ by more than
        chance, or nothing tells [DN].
    """

    offsets: NDArray[np.float32]
    rows: NDArray[np.float32] | None


class _Side(NamedTuple):
    """One margin with the picture beside it, its lines as columns, nearest to the picture first.

    ``use`` tells which samples count. ``sites`` and ``picture_sites`` are the numbers of the sites
    of the photo's mosaic (2 * (row % 2) + column % 2) by (row % 2, line % 2) of the two arrays.
    """

    margin: Floats
    use: NDArray[np.bool_]
    sites: NDArray[np.intp]
    picture: Floats
    picture_sites: NDArray[np.intp]


class _Found(NamedTuple):
    """What one side tells: offsets of the mosaic's sites and their standard errors [DN].

    ``residuals`` are what its samples have beyond that, NaN where they do not count, and
    ``spread`` is their standard deviation.
    """

    offsets: Floats
    errors: Floats
    residuals: Floats
    spread: float


def measure_black(
    margins: Margins,
    picture: Samples,
    stated: NDArray[np.float32],
    white_level: float,
    areas: Sequence[tuple[int, int, int, int]] = (),
) -> MaskedBlack | None:
    """Measure black in the masked pixels around a picture.

    Parameters
    ----------
    margins : Margins
        All that is around it.
    picture : ndarray, shape (H, W), uint16
        The visible part [DN].
    stated : ndarray, shape (2, 2), float32
        Black level by site of the picture [DN].
    white_level : float
        Above it [DN].
    areas : sequence of (top, left, bottom, right)
        Where the file says that pixels are masked, counted from the frame's corner [px]; () where
        it does not say.

    Returns
    -------
    MaskedBlack or None
        None where nothing around the picture can be believed.

    Notes
    -----
    A line of a margin counts if its medians are within a thousandth of the range of the stated
    black and agree with those of the other lines within four times what these differ by, if its
    samples are not all the same, and if it has at most twice the noise of most lines. The two
    lines nearest to the picture are left out where there are many. A margin counts if at least
    four lines do, and

    - it does not follow the picture beside it (a slope of 0.2 in means along the side, where the
      picture varies): then it is a part of it that was left out;
    - it is not brighter than stated, or the picture beside it is brighter by twice as much, or
      the file names its areas: else what it has could be dim light.

    The columns left and right come first, since they tell of each row; both must agree. With r_y
    the mean of row y in them, of n samples with standard deviation s, the offset of a row is

        w_1 t_y + w_2 (r_y - t_y),    w = max(0, 1 - variance by chance / variance seen),

    t_y the mean of r over 33 rows: a Wiener filter, which leaves out what may be chance.
    """
    span = white_level - float(stated.max())
    levels = stated.astype(np.float64).ravel()
    sides = _sides(margins, picture, areas)
    believed = [_judge(side, levels, span, named=bool(areas)) for side in sides]
    beside, ends = ([found for found in pair if found] for pair in (believed[:2], believed[2:]))
    used = beside or ends
    if not used or not _agree(used, span):
        return None
    return MaskedBlack(offsets=_mean(used), rows=_rows(beside) if beside else None)


def _sides(
    margins: Margins, picture: Samples, areas: Sequence[tuple[int, int, int, int]]
) -> list[_Side]:
    """Return left, right, top and bottom, each as if it were at the left of the picture."""
    (top, left), (height, width) = (len(margins.top), margins.left.shape[1]), picture.shape
    used = np.full(
        (top + height + len(margins.bottom), left + width + margins.right.shape[1]), not areas
    )
    for first_row, first_column, last_row, last_column in areas:
        used[max(first_row, 0) : last_row, max(first_column, 0) : last_column] = True
    inside = np.s_[left : left + width]
    rows = np.s_[top : top + height]
    cut = [
        # margin, where it counts, its own corner from the picture's, picture beside it
        (margins.left, used[rows, :left], (0, -left), picture[:, :_BAND]),
        (margins.right, used[rows, left + width :], (0, width), picture[:, -_BAND:]),
        (margins.top[:, inside], used[:top, inside], (-top, 0), picture[:_BAND]),
        (margins.bottom[:, inside], used[top + height :, inside], (height, 0), picture[-_BAND:]),
    ]
    corners = [(0, 0), (0, width - min(_BAND, width)), (0, 0), (height - min(_BAND, height), 0)]
    sides = []
    for index, ((margin, use, corner, band), at) in enumerate(zip(cut, corners, strict=True)):
        own, other = (np.roll(_SITES, (-y, -x), (0, 1)) for y, x in (corner, at))
        arrays = [margin.astype(np.float64), use, own, band.astype(np.float64), other]
        if index >= 2:
            arrays = [array.T for array in arrays]
        if index in (0, 2):  # the line nearest to the picture comes last: turn it round
            shift = arrays[0].shape[1] % 2
            arrays[:2] = [array[:, ::-1] for array in arrays[:2]]
            arrays[2] = np.roll(arrays[2][:, ::-1], shift, 1)
        sides.append(_Side(*arrays))
    return sides


def _judge(side: _Side, levels: Floats, span: float, *, named: bool) -> _Found | None:
    """Return what one margin tells; None if it is not to be believed.

    ``levels`` are the stated black by site's number [DN], ``named`` whether the file says that it
    is masked.
    """
    lines = _lines(side, levels[side.sites], span)
    if len(lines) < _FEWEST_LINES:
        return None
    residuals = side.margin[:, lines] - _over(levels[side.sites], side.margin)[:, lines]
    residuals[~side.use[:, lines]] = np.nan
    middle = float(np.nanmedian(residuals))
    spread = float(np.nanpercentile(np.abs(residuals - middle), 68.3)) + 0.3
    residuals = np.clip(residuals, middle - 4 * spread, middle + 4 * spread)
    offsets, errors = np.empty(4), np.empty(4)
    for row in (0, 1):
        for column in (0, 1):
            ours = residuals[row::2, lines % 2 == column]
            count = int(np.isfinite(ours).sum())
            if count < _FEWEST:
                return None
            site = side.sites[row, column]
            offsets[site] = np.nanmean(ours)
            # Columns differ by themselves: the error is that of their mean as well.
            columns = np.nanmean(ours, 0)
            errors[site] = max(spread / count**0.5, columns.std() / len(columns) ** 0.5)
            residuals[row::2, lines % 2 == column] -= offsets[site]
    found = _Found(offsets, errors, residuals, spread)
    return found if _sees_no_light(side, found, levels, span, named=named) else None


def _lines(side: _Side, stated: Floats, span: float) -> NDArray[np.intp]:
    """Return which lines of a margin count; ``stated`` is black by (row % 2, line % 2) [DN]."""
    height, width = side.margin.shape
    whole = side.use.mean(0) > 0.5 if height else np.zeros(width, np.bool_)
    lines = np.flatnonzero(whole)
    if not len(lines) or height < 2 * _PART:
        return lines[:0]
    samples = np.where(side.use[:, lines], side.margin[:, lines], np.nan)
    middles = np.stack([np.nanmedian(samples[row::2], 0) for row in (0, 1)])
    middles -= stated[:, lines % 2]
    spreads = np.stack(
        [np.subtract(*np.nanpercentile(samples[row::2], (84.1, 15.9), 0)) / 2 for row in (0, 1)]
    ).max(0)
    good = (np.abs(middles) <= max(_FARTHEST * span, 1.0)).all(0)
    good &= np.nanmax(samples, 0) > np.nanmin(samples, 0)
    if not good.any():
        return lines[:0]
    good &= spreads <= _NOISIER * np.median(spreads[good]) + 0.5
    for column in (0, 1):  # lines of one color are held against each other
        ours = good & (lines % 2 == column)
        if ours.any():
            typical = np.median(middles[:, ours], 1, keepdims=True)
            apart = np.abs(middles - typical)
            usual = 1.4826 * np.median(apart[:, ours])
            error = 1.25 * np.median(spreads[ours]) / (height / 2) ** 0.5
            good &= (lines % 2 != column) | (apart <= _CHANCE * max(usual, error) + 0.5).all(0)
    kept: NDArray[np.intp] = lines[good]
    return kept[kept >= _BESIDE_IT] if len(kept) >= _MANY_LINES else kept


def _sees_no_light(side: _Side, found: _Found, levels: Floats, span: float, *, named: bool) -> bool:
    """Tell whether a margin is dark, not a part of the picture."""
    parts = len(side.picture) // _PART
    band = side.picture - _over(levels[side.picture_sites], side.picture)
    light = band[: parts * _PART].reshape(parts, -1).mean(1)
    dark = np.nanmean(found.residuals[: parts * _PART].reshape(parts, -1), 1)
    dark += found.offsets.mean()
    known = np.isfinite(dark)
    light, dark = light[known], dark[known]
    if len(light) > 3 and light.std() > _VARIES * span:
        slope = np.cov(light, dark)[0, 1] / light.var(ddof=1)
        if slope > _OF_THE_PICTURE:
            return False
    above = float(found.offsets.mean())
    error = float(found.errors.max()) + 1e-9
    if named or above <= _CHANCE * error / 2:
        return True
    brighter = float(np.median(light)) - above
    return brighter >= max(_CHANCE * error, _BRIGHTER * above)


def _over(cell: Floats, array: Floats) -> Floats:
    """Repeat a 2 x 2 cell over all of an array."""
    height, width = array.shape
    return np.tile(cell, (-(-height // 2), -(-width // 2)))[:height, :width]


def _agree(sides: Sequence[_Found], span: float) -> bool:
    """Tell whether two sides say the same; one alone does."""
    one, other = sides[0], sides[-1]
    allowed = _CHANCE * np.hypot(one.errors, other.errors) + _APART * span
    return bool((np.abs(one.offsets - other.offsets) <= allowed).all())


def _mean(sides: Sequence[_Found]) -> NDArray[np.float32]:
    weights = np.stack([1 / side.errors**2 for side in sides])
    offsets = np.stack([side.offsets for side in sides])
    means = np.sum(weights * offsets, 0) / np.sum(weights, 0)
    return np.asarray(means, np.float32).reshape(2, 2)


def _rows(sides: Sequence[_Found]) -> NDArray[np.float32] | None:
    """Return what rows differ by beyond chance; None if they do not."""
    residuals = np.concatenate([side.residuals for side in sides], 1)
    spread = np.mean([side.spread for side in sides])
    counts = np.isfinite(residuals).sum(1)
    if (counts < _FEWEST_LINES).any() or len(residuals) < 2 * _SLOW:
        return None
    means = np.nanmean(residuals, 1)
    chance = float((residuals[np.isfinite(residuals)].var() or spread**2) / counts.mean())
    slow = np.convolve(np.pad(means, _SLOW // 2, "reflect"), np.ones(_SLOW) / _SLOW, "valid")
    rows = _beyond(slow, chance / _SLOW, len(means) / _SLOW) + _beyond(
        means - slow, chance * (1 - 1 / _SLOW), len(means)
    )
    return np.asarray(rows, np.float32) if rows.any() else None


def _beyond(values: Floats, chance: float, count: float) -> Floats:
    """Return values without what may be chance, all 0 if that may be all there is."""
    seen = float(np.mean(values**2))
    if seen <= chance * (1 + _CHANCE * (2 / count) ** 0.5):
        return np.zeros_like(values)
    return values * (1 - chance / seen)
