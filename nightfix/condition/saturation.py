"""Condition: where the sensor really stops, which is often below the white level of the file.

A color that stops below white is no white to an editor: the lamp turns magenta.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nightfix.condition.noise import NoiseModel
from nightfix.read import RawImage, finite, has_three_colors, phase

Floats = NDArray[np.float64]

#: Levels at which red, green on red rows, green on blue rows and blue stop [white]; None = unseen.
Saturation = tuple[float | None, float | None, float | None, float | None]

UNSEEN: Saturation = (None, None, None, None)

#: No sensor stops below this share of the white level that its file states [white].
_LOWEST = 0.6

#: Width of a pile in standard deviations of the noise at its level, narrowest first: light that
#: is not cut there spreads over more than three.
_WIDTHS = (0.25, 0.5, 0.8)

#: Bins of the histogram to a width of 1.0 [white].
_BINS = 16384

#: Fewest samples of a pile, their number over that of as wide a band below, and over all above.
_FEWEST, _OVER_BELOW, _OVER_ABOVE = 12, 4.0, 10.0

#: Share of a pile's samples that lie below its upper end.
_ITS_END = 0.98

#: A level this near to white is white [white].
_WHITE = 1e-3


def find_saturation(raw: RawImage, noise: NoiseModel) -> Saturation:
    """Find the levels at which a photo's four planes are cut, from the photo itself.

    Parameters
    ----------
    raw : RawImage
        The photo as read; hot pixels do not matter.
    noise : NoiseModel
        Its noise.

    Returns
    -------
    Saturation
        In packed order, of a monochrome sensor by site: the smallest value that is saturated
        [white]. None where the photo has no saturated samples of a plane, or too few; a green
        plane without a level of its own has that of the other.

    Notes
    -----
    Of light the noise remains, whatever its level; at the sensor's end it is gone, and the
    samples pile up. A band of width w is a pile where it holds at least twelve samples, four
    times as many as each of two bands below it, and not by chance, and ten times as many as all
    that is above. With s = sqrt(a L + b) the noise at the level L, w is 0.25, 0.5 or 0.8 s and
    at least the step of the file's numbers; noise that is not cut spreads over more than 3 s, so
    no evenly lit wall is taken for one. Where the steps are wider than 2 s that cannot be told,
    and there is no level.
    """
    levels = [_pile(plane, noise) for plane in _planes(raw, finite(raw.mosaic))]
    if raw.cfa_pattern is not None:
        red, one, other, blue = levels
        levels = [red, one or other, other or one, blue]
    return (levels[0], levels[1], levels[2], levels[3])


def saturated_to_white(raw: RawImage, saturation: Saturation) -> RawImage:
    """Take samples that the sensor cut below the white level for white.

    They saw that light or more. What they all have in common then is the white level, by which
    editors tell lamps that have no color left, and which restoring keeps.

    Parameters
    ----------
    raw : RawImage
        The photo.
    saturation : Saturation
        Of :func:`find_saturation`.

    Returns
    -------
    RawImage
        ``raw`` itself where nothing is cut below white.
    """
    mosaic = None
    for index, level in enumerate(saturation):
        if level is None or level >= 1 - _WHITE:
            continue
        mosaic = raw.mosaic.copy() if mosaic is None else mosaic
        plane = _planes(raw, mosaic)[index]
        np.maximum(plane, np.float32(1), out=plane, where=plane >= np.float32(level))
    return raw if mosaic is None else replace(raw, mosaic=mosaic)


def clipped_share(raw: RawImage, saturation: Saturation) -> float:
    """Return the share of samples that are saturated, 0 to 1."""
    limits = [min(level or 1.0, 1 - _WHITE) for level in saturation]
    cut = [
        np.count_nonzero(plane >= limit) / plane.size
        for plane, limit in zip(_planes(raw, raw.mosaic), limits, strict=True)
    ]
    return sum(cut) / 4


def saturation_dn(raw: RawImage, saturation: Saturation) -> tuple[float | None, ...]:
    """Return levels of saturation as the file's own numbers, in the same order [DN]."""
    blacks = [float(raw.black_level[y, x]) for y, x in _sites(raw)]
    return tuple(
        None if level is None else round(level * (raw.white_level - black) + black)
        for level, black in zip(saturation, blacks, strict=True)
    )


def _sites(raw: RawImage) -> tuple[tuple[int, int], ...]:
    """Return the sites (row % 2, column % 2) of the four planes in packed order."""
    row, column = phase(raw.cfa_pattern or "RGGB")
    return (row, column), (row, 1 - column), (1 - row, column), (1 - row, 1 - column)


def _planes(raw: RawImage, mosaic: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return views of a mosaic's four planes in packed order; of three colors, green twice."""
    if has_three_colors(raw):
        return [mosaic[..., color] for color in (0, 1, 1, 2)]
    return [mosaic[y::2, x::2] for y, x in _sites(raw)]


def _pile(plane: NDArray[np.float32], noise: NoiseModel) -> float | None:
    """Return the level from which a plane is saturated; None if none is seen."""
    bright = plane[plane >= _LOWEST].astype(np.float64)
    if len(bright) < _FEWEST:
        return None
    counts = np.bincount(np.floor((bright - _LOWEST) * _BINS).clip(max=2 * _BINS).astype(int))
    step = _step(bright)
    for width in _WIDTHS:
        found = _band(counts, width, noise, step)
        if found is not None:
            inside = bright[(bright >= found[0]) & (bright < found[1])]
            if not len(inside):  # a damaged file's numbers, far above white
                return None
            # As far below its middle as it reaches above: only there light is mixed with it.
            middle, end = np.quantile(inside, (0.5, _ITS_END), method="nearest")
            return float(np.float32(2 * middle - end))
    return None


def _step(bright: Floats) -> float:
    """Return the distance of the file's numbers near the top [white]."""
    values = np.unique(np.round(bright[bright >= 0.9 * np.quantile(bright, 0.99)], 6))
    return float(np.median(np.diff(values))) if len(values) > 2 else 0.0


def _band(
    counts: NDArray[np.intp], width: float, noise: NoiseModel, step: float
) -> tuple[float, float] | None:
    """Return the ends of the highest band in which samples pile up [white]; None without one."""
    at_least = np.concatenate([np.cumsum(counts[::-1])[::-1], [0]]).astype(np.float64)
    # Piles lie where the last samples are: nothing of note is above them.
    top = int(np.flatnonzero(counts)[-1])
    for bottom in range(top, -1, -1):
        level = _LOWEST + bottom / _BINS
        s = noise.std(level)
        if step > 2 * s:
            return None
        band = max(math.ceil(max(width * s, 1.05 * step) * _BINS), 1)
        above = at_least[min(bottom + band, len(counts))]
        inside = at_least[bottom] - above
        if inside >= _FEWEST and inside < above / 2:
            return None  # further below there are only more of them above
        if inside < max(_FEWEST, _OVER_ABOVE * above):
            continue
        edges = [max(bottom - k * band, 0) for k in range(3)]
        below = max(at_least[low] - at_least[high] for high, low in pairwise(edges))
        if bottom >= 2 * band and inside > _OVER_BELOW * (below + math.sqrt(below)):
            return level, level + band / _BINS
    return None
