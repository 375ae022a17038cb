"""Condition: what a defective sample should have been, by the samples around it.

How a sample follows from those beside it, of all colors, is nearly the same a few samples further
on: along an edge, in a texture. So it is learned there, for each defect anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Mosaic = NDArray[np.float32]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]
Offsets = tuple[tuple[int, int], ...]

#: Offsets (row, column) of the samples that tell of one [px], by the planes that they are of: its
#: own, that of those beside it in a row, in a column, and diagonally.
_GROUPS: tuple[Offsets, ...] = (
    tuple((y, x) for y in (-2, 0, 2) for x in (-2, 0, 2) if (y, x) != (0, 0)),
    tuple((y, x) for y in (-2, 0, 2) for x in (-1, 1)),
    tuple((y, x) for y in (-1, 1) for x in (-2, 0, 2)),
    tuple((y, x) for y in (-1, 1) for x in (-1, 1)),
)
_OFFSETS: Offsets = tuple(offset for group in _GROUPS for offset in group)

#: How far around a sample its like are learned from, in samples of its plane, and how far they
#: count (standard deviation of a Gaussian).
_STEPS, _SIGMA = 7, 3.5
_LIKE: Offsets = tuple(
    (2 * y, 2 * x)
    for y in range(-_STEPS, _STEPS + 1)
    for x in range(-_STEPS, _STEPS + 1)
    if (y, x) != (0, 0)
)

#: How far samples are looked at in all; even: the pattern stays [px].
_REACH = 2 * _STEPS + 2

#: Weight of what holds for the whole photo against what is learned at one place: in units of the
#: noise, and of how much the samples there vary.
_OF_NOISE, _OF_TEXTURE = 30.0, 0.03

#: Samples of each site from which the former is learned, and samples worked on at once.
_LEARNED_FROM, _AT_ONCE = 8000, 512

#: Errors count by at most this many of their median.
_OUTLIER = 5.0

#: How far beyond the range of its own plane's neighbors an estimate may lie, in units of it.
_BEYOND = 0.5


class Estimate(NamedTuple):
    """What samples should be, and by how much the same rule is wrong around them, (samples,)."""

    value: Floats
    error: Floats


def estimate_samples(
    mosaic: Mosaic, flags: Flags, places: tuple[Places, Places], noise: tuple[float, float]
) -> Estimate:
    """Estimate samples by those around them, without themselves.

    Parameters
    ----------
    mosaic : ndarray, shape (H, W), float32
        Finite; flagged samples have a first estimate.
    flags : ndarray, shape (H, W), bool
        Samples that nothing is learned from.
    places : (rows, columns)
        Of the samples, shape (samples,) each.
    noise : (a, b)
        Of variance = a*x + b.

    Returns
    -------
    Estimate

    Notes
    -----
    With f_k the 24 nearest samples, each less the mean of those of its own plane among them, and m
    that of the plane of the sample,

        estimate = m + sum_k w_k f_k

    The weights w minimize the squared error over the samples of the plane at most 14 px away
    (weighted by a Gaussian of 7 px, without those that are flagged or have the sample itself among
    theirs) plus a penalty on their distance from the weights of the whole photo. The
    estimate is cut half a range beyond the range of the eight nearest of its plane. The error is
    the root of the weighted mean square around it, of which single ones count by at most five
    times the median.

    References
    ----------
    Li and Orchard, "New Edge-Directed Interpolation", TIP 2001 (weights learned in a window).
    """
    padded = np.pad(mosaic, _REACH, "reflect").astype(np.float64)
    trusted = np.pad(~flags, _REACH, "reflect")
    rows, columns = places[0] + _REACH, places[1] + _REACH
    value, error = np.empty(len(rows)), np.empty(len(rows))
    sites = rows % 2 * 2 + columns % 2
    for site in range(4):
        ours = np.flatnonzero(sites == site)
        if not len(ours):
            continue
        common = _common_weights(padded, trusted, site, noise)
        for part in _parts(ours):
            value[part], error[part] = _estimate(
                padded, trusted, (rows[part], columns[part]), noise, common
            )
    return Estimate(value, error)


def _parts(index: Places) -> Iterator[Places]:
    for start in range(0, len(index), _AT_ONCE):
        yield index[start : start + _AT_ONCE]


def _features(padded: Floats, rows: Places, columns: Places) -> tuple[Floats, Floats]:
    """Return the samples around others less their means, and the mean of their own plane."""
    width = padded.shape[1]
    at = rows * width + columns
    flat = padded.ravel()
    steps = np.array([y * width + x for y, x in _OFFSETS])
    around = flat[at[..., None] + steps]
    start, mean = 0, around[..., : len(_GROUPS[0])].mean(-1)
    for group in _GROUPS:
        part = around[..., start : start + len(group)]
        part -= part.mean(-1, keepdims=True)
        start += len(group)
    return around, mean


def _common_weights(
    padded: Floats, trusted: Flags, site: int, noise: tuple[float, float]
) -> Floats:
    """Learn the weights that hold for the whole photo, from some of a site's samples."""
    height, width = (side - 2 * _REACH for side in padded.shape)
    rows, columns = np.meshgrid(
        np.arange(site // 2, height, 2), np.arange(site % 2, width, 2), indexing="ij"
    )
    pick = slice(None, None, max(1, rows.size // _LEARNED_FROM) | 1)
    at = rows.ravel()[pick] + _REACH, columns.ravel()[pick] + _REACH
    known = trusted[at]
    at = at[0][known], at[1][known]
    features, mean = _features(padded, *at)
    weights = 1 / (noise[0] * np.maximum(mean, 0) + noise[1] + _FLOOR)
    gram = (features * weights[:, None]).T @ features
    gram += (1e-4 * np.trace(gram) / len(gram) + 1e-12) * np.eye(len(gram))
    solved: Floats = np.linalg.solve(gram, (features * weights[:, None]).T @ (padded[at] - mean))
    return solved


#: Added to the noise's variance where samples are weighed by it: texture is no noise.
_FLOOR = 1e-5


def _estimate(
    padded: Floats,
    trusted: Flags,
    at: tuple[Places, Places],
    noise: tuple[float, float],
    common: Floats,
) -> tuple[Floats, Floats]:
    """Learn the weights of each of some samples, and apply them."""
    steps = np.array(_LIKE)
    rows, columns = at[0][:, None] + steps[:, 0], at[1][:, None] + steps[:, 1]
    inside = (rows >= 3) & (rows < padded.shape[0] - 3)
    inside &= (columns >= 3) & (columns < padded.shape[1] - 3)
    rows, columns = (
        np.where(inside, rows, at[0][:, None]),
        np.where(inside, columns, at[1][:, None]),
    )
    weights = np.exp(-(steps**2).sum(1) / (2 * (2 * _SIGMA) ** 2)) * (
        inside & trusted[rows, columns]
    )
    features, means = _features(padded, rows, columns)
    # Where the sample itself would be among those that tell.
    own = [index for index, step in enumerate(_LIKE) if (-step[0], -step[1]) in _GROUPS[0]]
    weights[:, own] = 0
    targets = padded[rows, columns] - means
    weighted = features * weights[..., None]
    gram = np.matmul(weighted.transpose(0, 2, 1), features)
    wanted = np.matmul(weighted.transpose(0, 2, 1), targets[..., None])[..., 0]
    here, mean = _features(padded, *at)
    variance = noise[0] * np.maximum(mean, 0) + noise[1]
    size = len(_OFFSETS)
    texture = np.trace(gram, axis1=1, axis2=2) / size
    prior = (_OF_NOISE * variance + _OF_TEXTURE * texture + 1e-12)[:, None]
    gram += prior[..., None] * np.eye(size)
    learned = np.linalg.solve(gram, (wanted + prior * common)[..., None])[..., 0]
    wrong = targets - np.matmul(features, learned[..., None])[..., 0]
    total = np.maximum(weights.sum(1), 1e-6)
    squared = wrong**2
    # Another defect nearby, not known yet, is no error of the rule.
    squared = np.minimum(squared, _OUTLIER**2 * np.median(squared, 1, keepdims=True))
    error = np.sqrt((weights * squared).sum(1) / total)
    value = mean + (here * learned).sum(1)
    near = here[:, : len(_GROUPS[0])] + mean[:, None]
    low, high = near.min(1), near.max(1)
    beyond = _BEYOND * (high - low)
    return np.clip(value, low - beyond, high + beyond), error
