"""Develop: color where the sensor had none left to give.

A white lamp fills green first. Balanced, its red and blue then stand above green
and the lamp turns magenta. Here a saturated sample is raised to what its neighbors
of the other colors say, and where none is left the light becomes white. It is
done before demosaicing, which could not follow three colors that stop rising at
three places of a lamp's edge.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightfix.read import CfaPattern, phase

Plane = NDArray[np.float32]

#: A saturated sensor does not stop below this share of its white level.
_LOWEST_CEILING = 0.75

#: Ceilings are looked for in the upper part of a plane's range, in bins of 0.5 %.
_BINS = 60
_BOTTOM = 0.7

#: Width of a pile, and how far below it its surroundings are counted, in bins.
_PILE = 6
_BELOW = 9

_FEWEST_SAMPLES = 4

#: Share of the ceiling from which a channel begins to count as saturated, and fully does.
_SATURATION_RAMP = (0.92, 0.98)


def saturation_levels(
    mosaic: Plane, cfa_pattern: CfaPattern, *, scale: float = 1.0
) -> NDArray[np.float32] | None:
    """Find the levels at which red, green and blue stopped, from the photo alone.

    The white level in a file is often above the level where the sensor really
    stops, and a restored photo's ceiling is higher still by its ratio. What
    does not change is that saturated samples pile up at one level.

    Parameters
    ----------
    mosaic : ndarray, shape (H, W), float32
        Before the white balance.
    cfa_pattern : CfaPattern
        Phase of the mosaic.
    scale : float
        ``mosaic * scale`` is in reference units: 1.0 = white, lamps may be above.

    Returns
    -------
    ndarray, shape (3,), or None
        Levels in reference units; None if nothing is saturated.

    Notes
    -----
    A plane has a ceiling where a band of 3 % holds at least four samples, twice
    as many as the band 4.5 % below and ten times what is above. (Around a lamp
    that is not saturated, ever fewer samples are brighter.) The band is wide
    because cameras that even out their lens's shading smear the ceiling. All
    planes of a sensor stop at nearly one level: a plane's ceiling counts if it
    lies within 15 % of the highest, and a plane without one has the highest.
    """
    row, column = phase(cfa_pattern)
    sites = [(row, column), (row, 1 - column), (1 - row, column), (1 - row, 1 - column)]
    ceilings = (
        np.array([_ceiling(mosaic[r::2, c::2], _LOWEST_CEILING / scale) for r, c in sites]) * scale
    )
    highest = float(ceilings.max())
    if highest < _LOWEST_CEILING:
        return None
    ceilings[ceilings < 0.85 * highest] = highest
    red, green_red, green_blue, blue = ceilings
    return np.array([red, min(green_red, green_blue), blue], np.float32)


def _ceiling(plane: Plane, lowest: float) -> float:
    """Return the level at which the samples of one plane pile up, 0 if they do not."""
    if plane.size < _FEWEST_SAMPLES or (top := float(plane.max())) < lowest:
        return 0.0
    counts, edges = np.histogram(plane, bins=_BINS, range=(_BOTTOM * top, top))
    bands = np.convolve(counts, np.ones(_PILE, np.int64), mode="valid")
    above = counts.sum() - np.cumsum(counts)[_PILE - 1 :]
    piles = (bands >= _FEWEST_SAMPLES) & (bands > 10 * above)
    piles[:_BELOW] = False
    around = bands[:-_BELOW]
    # Twice as many, and not by chance: four standard deviations of a count.
    piles[_BELOW:] &= bands[_BELOW:] > 2 * around + 4 * np.sqrt(around)
    if not piles.any():
        return 0.0
    first = int(np.argmax(np.where(piles, bands, 0)))
    band = slice(first, first + _PILE)
    centers = (edges[1:] + edges[:-1]) / 2
    level = float(np.average(centers[band], weights=counts[band]))
    return level if level >= lowest else 0.0


def recover_highlights(block: Plane, ceilings: Plane) -> None:
    """Raise saturated samples to what the other two colors say, in place.

    Parameters
    ----------
    block : ndarray, shape (H, W), float32
        White-balanced linear samples with red at the origin, even sides. Nothing
        is lowered or clipped.
    ceilings : ndarray, shape (3,)
        :func:`saturation_levels` times the white balance gains.

    Notes
    -----
    With x the sample itself and the means of the other two colors within 3 x 3
    samples. A saturated value is a lower bound: it tells something if it lies
    above the unsaturated colors, and nothing below them. With w_c rising
    smoothly from 0 to 1 between 92 % and 98 % of the ceiling,

        r    = sum (1 - w_c) x_c / sum (1 - w_c)     over the three colors
        e_c  = x_c + w_c max(r - x_c, 0)
        x_c <- x_c + w_c max(mean of the other two e - x_c, 0)

    In r the color with the highest ceiling keeps a little weight: where all
    three are saturated, it alone counts and the light becomes white. A saturated
    red lamp stays red: the other two are below it.
    """
    low = _SATURATION_RAMP[0] * ceilings
    sites = [(0, 0, 0), (1, 0, 1), (1, 1, 0), (2, 1, 1)]
    if all(float(block[row::2, column::2].max()) <= low[c] for c, row, column in sites):
        return
    rgb = np.stack([_local_mean(block, color) for color in range(3)])
    for color, row, column in sites:
        rgb[color, row::2, column::2] = block[row::2, column::2]
    raise_saturated(rgb, ceilings)
    for color, row, column in sites:
        block[row::2, column::2] = rgb[color, row::2, column::2]


def _local_mean(block: Plane, color: int) -> Plane:
    """Return the mean of one color's samples among the 3 x 3 around each sample."""
    present = np.zeros_like(block)
    for row, column in ([(0, 0)], [(0, 1), (1, 0)], [(1, 1)])[color]:
        present[row::2, column::2] = 1
    return _sum_of_nine(present * block) / _sum_of_nine(present)


def _sum_of_nine(plane: Plane) -> Plane:
    padded = np.pad(plane, 1, mode="reflect")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray(rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:])


def raise_saturated(rgb: Plane, ceilings: Plane) -> None:
    """Do the same, in place, where all three colors of each pixel are known, shape (3, h, w)."""
    low, high = _SATURATION_RAMP
    saturated = (rgb / ceilings[:, None, None] - low) / (high - low)
    np.clip(saturated, 0, 1, out=saturated)
    saturated *= saturated * (3 - 2 * saturated)
    weights = 1 - saturated
    weights[int(np.argmax(ceilings))] += np.float32(1e-3)
    reference = (weights * rgb).sum(axis=0) / weights.sum(axis=0)
    estimate = rgb + saturated * np.maximum(reference - rgb, 0)
    others = (estimate.sum(axis=0) - estimate) / 2
    rgb += saturated * np.maximum(others - rgb, 0)
