"""Condition: the noise model of a capture, and where it comes from.

The noise of a capture follows ``variance = a*x + b`` with x the expected value and
1.0 = white level: a is shot noise, b the read noise. It is taken from the file's own
DNG NoiseProfile, else from a table of measured cameras, else from the photo itself.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nightfix.read import CFA_PATTERNS, RawImage, finite, has_three_colors, sampled

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseModel:
    """Noise of one capture: variance = a*x + b, x and the variance in units of white.

    Parameters
    ----------
    a : float
        Shot noise, K / (white level - black level), > 0 [-].
    b : float
        Variance in the dark (read noise, rows, quantization), >= 0 [-].
    source : {"tag", "table", "photo"}
        The file's NoiseProfile, a table of measured cameras, or the photo's own samples.
    """

    a: float
    b: float
    source: Literal["tag", "table", "photo"]

    def std(self, level: float) -> float:
        """Return the standard deviation at an expected value ``level`` (negative counts as 0)."""
        return math.sqrt(self.a * max(level, 0.0) + self.b)


def choose_noise(raw: RawImage) -> tuple[NoiseModel, str]:
    """Choose the noise model: the file's tag, else the camera table, else the photo.

    Parameters
    ----------
    raw : RawImage
        The capture as read.

    Returns
    -------
    NoiseModel
        With its source.
    str
        Empty, or one sentence where the tag or table and the photo disagree by more than
        1.6 in standard deviation at the photo's median level. Texture can only raise
        what the photo shows, and lossy compression lower it, so the photo is believed only
        where most of its brightness levels lie on one line of variance.

    Notes
    -----
    Of red, green and blue of every pixel only the photo is asked: whatever interpolated, reduced
    or merged them has changed the noise, and no tag says how.

    A sensor's gain hardly differs from copy to copy, its read noise does (by temperature,
    age, and where the conversion gain switches), and a dark photo shows it. So of the table
    a is taken as it is, and b is the mean of the table's and the photo's logarithms, each
    weighted by its precision; a photo that disagrees with it altogether is not believed.
    """
    measured = _measure(raw)
    if has_three_colors(raw):
        return measured.noise, ""
    tag = _from_tag(raw)
    stated = tag or _from_table(raw)
    if stated is None:
        return measured.noise, ""
    warning = _disagreement(stated, measured)
    if tag or warning:
        return stated, warning
    return _with_read_noise_of(measured, stated), ""


def measure_noise(raw: RawImage) -> NoiseModel:
    """Measure the noise of a photo from its own samples.

    Parameters
    ----------
    raw : RawImage
        The capture as read; monochrome too. Samples near white, and those that are not
        finite, are left out.

    Returns
    -------
    NoiseModel
        a > 0 and b at least the variance of rounding to one DN. Noise below about half a
        DN cannot be seen past that rounding: the result is then this floor. A photo with
        nothing to measure (smaller than 16 x 16, all white) gets a = 3e-4, b = (2 a)^2,
        a full-frame sensor near ISO 3200.

    Notes
    -----
    Blocks of 8 x 8 samples of one color (red, blue, and green on its diagonal lattice) are
    sorted by level. At each level the flattest are kept, judged by their low and middle
    frequencies, and their variance is read off the high frequencies, which white noise
    leaves independent of that choice. Where samples pile up at DN 0, mean and variance are
    those of the normal distribution that was cut there. Texture raises single levels, so
    ``v_k = a x_k + b`` is fitted with a loss that is quadratic below the line and
    logarithmic above it:

        sum_k rho(ln(v_k / (a x_k + b)) / s_k) + (ln(n / 2) / 1.2)^2,    n = sqrt(b) / a

    The last term is a weak prior on the read noise n in electrons; it decides only where
    the photo does not: for one flat level, or where no level is dark enough to show b.

    Errors reached on the 24 Kodak photographs (linearized by a power of 2.2, exposed by 1/4
    to 1/64, packed; some of them served to choose the constants below), in percent, as
    median, nine of ten, and worst:

        a       of a         of sqrt(b)
        1e-4    5, 25, 80    3, 16, 82
        3e-4    4, 10, 30    3, 7, 43
        1e-3    4, 11, 19    3, 6, 12
        3e-3    3, 13, 18    3, 5, 5

    The worst are photographs without a flat spot, exposed brightly: texture and film grain
    count as noise.

    Where all levels lie within 1 % of white b stays right and a becomes uncertain. Long-tailed
    read noise (Tukey lambda shape -0.18) comes out up to 20 % too low in sqrt(b), since the
    flattest blocks miss the tails. Lossy compression that removes high frequencies removes
    what is measured.

    References
    ----------
    Ponomarenko et al., "An automatic approach to lossy compression of AVIRIS images",
    IGARSS 2007, and Colom and Buades, IPOL 2013 (selection by low, variance by high
    frequencies); Liu et al., "Noise estimation from a single image", CVPR 2006 (lower
    envelope); Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for
    single-image raw-data", TIP 2008 (the model, and its clipping at black).
    """
    return _measure(raw).noise


# ---------------------------------------------------------------------------------------
# Tag and table

_WORST = 0.1  # no sensor's a or b comes near it


def _from_tag(raw: RawImage) -> NoiseModel | None:
    """Return the mean of the file's noise pairs; None if there are none or they are absurd."""
    pairs = raw.metadata.noise_profile
    if not pairs:
        return None
    a, b = (math.fsum(values) / len(pairs) for values in zip(*pairs, strict=True))
    return NoiseModel(a=a, b=b, source="tag") if 0 < a < _WORST and 0 <= b < _WORST else None


@cache
def _cameras() -> dict[str, dict[str, Any]]:
    """Return the measured cameras by model, in lower case."""
    text = resources.files("nightfix.condition").joinpath("cameras.json").read_text("utf-8")
    return {
        name.lower(): camera for camera in json.loads(text)["cameras"] for name in camera["models"]
    }


def _from_table(raw: RawImage) -> NoiseModel | None:
    """Return the noise of a measured camera; None if it is not one, or its ISO is unknown.

    Notes
    -----
    With the table's gain K, read and row noise r, l and rounding q^2 = 1/12, all in 14-bit
    DN, and the file's white W and mean black B in its own DN:

        a = K s,    b = (r^2 + l^2 + q^2) s^2,    s = W / 16383 / (W - B)
    """
    metadata = raw.metadata
    camera = _find_camera(metadata.make, metadata.model, metadata.unique_camera_model)
    iso = metadata.exposure.iso_speed
    if camera is None or iso is None or not 0 < iso < math.inf:
        return None
    gain, read, row = _at_iso(camera, iso)
    scale = raw.white_level / 16383 / (raw.white_level - float(raw.black_level.mean()))
    return NoiseModel(a=gain * scale, b=(read**2 + row**2 + 1 / 12) * scale**2, source="table")


def _find_camera(make: str, model: str, unique: str) -> dict[str, Any] | None:
    """Look a camera up by its model, with or without the maker's name before it."""
    names = (model, f"{make} {model}", unique, unique.removeprefix(f"{make} "))
    return next((c for n in names if (c := _cameras().get(n.strip().lower())) is not None), None)


def _at_iso(camera: dict[str, Any], iso: float) -> tuple[float, float, float]:
    """Return gain [DN/e-], read and row noise [DN] at an ISO speed."""
    if "rows" in camera:
        return _interpolate(np.array(camera["rows"]), camera["gain_switch"], iso)
    gain = camera["gain_per_iso"] * iso
    read, row = (
        math.exp(camera[part]["slope"] * math.log(gain) + camera[part]["bias"])
        for part in ("read", "row")
    )
    return gain, read, row


def _interpolate(
    rows: Floats, gain_switch: tuple[int, int], iso: float
) -> tuple[float, float, float]:
    """Interpolate rows of (ISO, gain, read, row) in logarithms.

    Not across the ISO pair where the sensor switches its conversion gain: in between, the
    nearer side is carried on. Beyond the ends all three go with the ISO, as digital gain does.
    """
    low, high = gain_switch
    rows = rows[rows[:, 0] <= low] if iso < math.sqrt(low * high) else rows[rows[:, 0] >= high]
    speeds = rows[:, 0]
    nearest = float(np.clip(iso, speeds[0], speeds[-1]))
    gain, read, row = (
        math.exp(np.interp(math.log(nearest), np.log(speeds), np.log(column))) * iso / nearest
        for column in rows[:, 1:].T
    )
    return gain, read, row


# ---------------------------------------------------------------------------------------
# The photo: blocks


class _Measured(NamedTuple):
    """A noise model from the photo, the photo's median level, and how far it can be trusted.

    ``agreement`` is the share of levels on the fitted line; 0 where nothing was measured.
    """

    noise: NoiseModel
    level: float
    agreement: float


class _Blocks(NamedTuple):
    """Figures of n blocks: mean, roughness, variance of the noise, share of samples at DN 0."""

    level: Floats
    roughness: Floats
    variance: Floats
    cut: Floats


_SIDE = 8  # of a block, in samples of one color
_WINDOW = 2 * _SIDE  # that it lies in [mosaic px]
_MAX_BLOCKS = 200_000
_HIGHEST_LEVEL = 0.8  # of a block's mean: above, sensors bend and noise is cut at white
_HIGHEST_SAMPLE = 0.98


def _frequencies() -> tuple[Floats, NDArray[np.bool_]]:
    """Return the 64 patterns of the 8 x 8 cosine transform, and which of them are high.

    Patterns constant along rows or columns are never high: banding is not noise of a sample.
    """
    k = np.arange(_SIDE)
    waves = np.cos(np.pi * np.outer(k, k + 0.5) / _SIDE) * math.sqrt(2 / _SIDE)
    waves[0] /= math.sqrt(2)
    high = (k[:, None] + k >= 9) & (k[:, None] > 0) & (k > 0)
    return np.einsum("ai,bj->abij", waves, waves).reshape(64, 64), high.ravel()


def _lattices(raw: RawImage) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return rows and columns of a block's 64 samples in its window, for each lattice.

    Sites of one color: red and blue every second row and column, green along the
    diagonals, where its neighbors are nearest. A monochrome sensor is taken like RGGB.
    """
    row, column = np.divmod(np.arange(_SIDE**2), _SIDE)
    odd = (raw.cfa_pattern or "RGGB")[0] != "G"
    corner = (0, 1) if not odd else (0, 0)
    other = (1 - corner[0], 1 - corner[1])
    plain = [(2 * row + top, 2 * column + left) for top, left in (corner, other)]
    return [*plain, (row - column + _SIDE - odd, row + column)]


def _blocks(raw: RawImage) -> _Blocks:
    """Cut the mosaic into blocks on a regular grid, at most about 200 000 of them.

    Of three colors a pixel, all four mosaics that can be taken of them.
    """
    if has_three_colors(raw):
        each = [_blocks_of(sampled(raw, cfa), _MAX_BLOCKS // 4) for cfa in CFA_PATTERNS]
        return _Blocks(*(np.concatenate(parts) for parts in zip(*each, strict=True)))
    return _blocks_of(raw, _MAX_BLOCKS)


def _blocks_of(raw: RawImage, most: int) -> _Blocks:
    """Cut one mosaic into about as many blocks at most."""
    height, width = raw.mosaic.shape
    lattices = _lattices(raw)
    spacing = math.sqrt(height * width * len(lattices) / most)
    step = max(2, 2 * math.ceil(spacing / 2))
    tops, lefts = (np.arange(0, side - _WINDOW + 1, step) for side in (height, width))
    origins = (tops[:, None] * width + lefts).ravel()
    samples, at_zero = raw.mosaic.ravel(), _lowest_value(raw)
    found = [
        _figures(samples[origins[:, None] + (rows * width + columns)], at_zero, diagonal=last)
        for (rows, columns), last in zip(lattices, (False, False, True), strict=True)
    ]
    return _Blocks(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _lowest_value(raw: RawImage) -> float:
    """Return the value below which a sample is one that was cut at DN 0."""
    black = float(raw.black_level.min())
    return (0.5 - black) / (raw.white_level - black)


def _figures(samples: NDArray[np.float32], at_zero: float, *, diagonal: bool) -> _Blocks:
    """Transform blocks of shape (n, 64) and keep those that can be measured."""
    # False for NaN and infinity too.
    usable = (np.abs(samples) < _HIGHEST_SAMPLE).all(1)
    samples = samples[usable]
    samples = samples[samples.mean(1) < _HIGHEST_LEVEL]
    level = samples.mean(1, dtype=np.float64)
    patterns, high = _frequencies()
    noise = patterns[high]
    if diagonal:
        # The two greens may differ by a constant, a checkerboard on this lattice.
        checks = (-1.0) ** np.add(*np.divmod(np.arange(_SIDE**2), _SIDE)) / _SIDE
        noise = noise - np.outer(noise @ checks, checks)
    centered = samples - level[:, None].astype(np.float32)
    rough, fine = (
        ((centered @ part.T.astype(np.float32)) ** 2).sum(1) / (part**2).sum()
        for part in (patterns[1:][~high[1:]], noise)
    )
    return _Blocks(level, rough, fine, (samples < at_zero).mean(1))


# ---------------------------------------------------------------------------------------
# The photo: from blocks to a line


class _Levels(NamedTuple):
    """Mean and variance of the flattest blocks at each level, and the error of ln(variance)."""

    level: Floats
    variance: Floats
    error: Floats


_LEVELS = 100
_DARK_LEVELS = 1.75  # power of the levels' spacing: finer where b shows
_FLATTEST = 0.05  # share of the blocks of a level
_FEWEST = 16
_MODEL_ERROR = 0.04  # of ln(variance), beside the statistical
_HIGH_PATTERNS = 28


def _levels(blocks: _Blocks, rounding: float) -> _Levels:
    """Group blocks by level and keep the flattest of each group."""
    order = np.argsort(blocks.level)
    edges = len(order) * (np.arange(1, _LEVELS) / _LEVELS) ** _DARK_LEVELS
    means, counts = [], []
    for group in np.split(order, np.unique(edges.astype(int))):
        count = min(len(group), max(_FEWEST, round(len(group) * _FLATTEST)))
        if count:
            flattest = group[np.argsort(blocks.roughness[group])[:count]]
            means.append([figure[flattest].mean() for figure in blocks])
            counts.append(count)
    level, _, variance, cut = np.array(means).T
    level, variance = _uncut(level, variance, cut)
    # Blocks overlap: about a quarter of them are independent.
    error = np.sqrt(8 / (np.array(counts) * _HIGH_PATTERNS) + _MODEL_ERROR**2)
    seen = cut < _MOST_CUT
    return _Levels(level[seen], np.maximum(variance, rounding)[seen], error[seen])


_LEAST_CUT, _MOST_CUT = 0.002, 0.95


def _uncut(level: Floats, variance: Floats, cut: Floats) -> tuple[Floats, Floats]:
    """Undo what cutting at DN 0 did to mean and variance, by the share that was cut.

    Notes
    -----
    For a normal distribution of mean m and standard deviation s with everything below 0
    set to 0, z = -m/s, and P, p the normal distribution and density at z: the share of zeros
    is P, and the second moments are s^2 ((1 + z^2) (1 - P) - z p) about 0 and
    s (p - z (1 - P)) for the mean.
    """
    normal = NormalDist()
    level, variance = level.copy(), variance.copy()
    for k in np.flatnonzero((cut > _LEAST_CUT) & (cut < _MOST_CUT)):
        z = normal.inv_cdf(cut[k])
        mean = normal.pdf(z) - z * (1 - cut[k])
        s2 = variance[k] / ((1 + z * z) * (1 - cut[k]) - z * normal.pdf(z) - mean**2)
        level[k], variance[k] = -z * math.sqrt(s2), s2
    return level, variance


_TYPICAL_READ_NOISE = 2.0  # [e-]
_READ_NOISE_SPREAD = 1.2  # natural logarithm
_UPPER_SCALE = 0.05  # where the loss above the line turns logarithmic, in squared errors
#: From a well of a million electrons to one of 33; the latter in electrons.
_A_RANGE, _READ_NOISE_RANGE = (1e-6, 0.03), (0.2, 1000.0)


def _fit(levels: _Levels) -> tuple[float, float]:
    """Fit variance = a*level + b to the lower edge of the levels; see :func:`measure_noise`.

    A grid over a and the read noise n = sqrt(b)/a in electrons, refined three times: the
    loss has more than one minimum where texture covers half the levels.
    """
    x, target = np.maximum(levels.level, 0), np.log(levels.variance)
    log_a = np.log(np.geomspace(*_A_RANGE, 80))
    log_n = np.log(np.geomspace(*_READ_NOISE_RANGE, 80))
    for _ in range(4):
        a, n = np.exp(log_a)[:, None], np.exp(log_n)
        model = np.log(a[..., None] * x + ((n * a) ** 2)[..., None])
        error = (target - model) / levels.error
        loss = (
            np.where(
                error > 0,
                2 * _UPPER_SCALE * np.log1p(error**2 / (2 * _UPPER_SCALE)),
                error**2,
            ).sum(-1)
            + ((log_n - math.log(_TYPICAL_READ_NOISE)) / _READ_NOISE_SPREAD) ** 2
        )
        i, j = np.unravel_index(loss.argmin(), loss.shape)
        best_a, best_n = log_a[i], log_n[j]
        log_a = best_a + np.linspace(-2, 2, 21) * (log_a[1] - log_a[0])
        log_n = best_n + np.linspace(-2, 2, 21) * (log_n[1] - log_n[0])
    return math.exp(best_a), math.exp(2 * (best_a + best_n))


_FALLBACK_A, _FALLBACK_B = 3e-4, 3.6e-7
_FEWEST_BLOCKS = 16
_ON_THE_LINE = 0.2  # of ln(variance)


#: Variance of a sensor's noise over what its high frequencies show once LibRaw has demosaiced
#: X-Trans: 2.0 in the mean of ten photographs, 1.4 to 3.3.
_HIDDEN_IN_X_TRANS = 2.0

#: The same of three colors a pixel, by how smooth the noise is: for independent samples, and at
#: most; and the power of smoothness by which it grows.
_LEAST_HIDDEN, _MOST_HIDDEN, _BY_SMOOTHNESS = 1.3, 2.5, 1.5

#: Side of the middle of a photo where smoothness is looked for, and of the blocks in it [px]; and
#: the share of them that is less smooth.
_MIDDLE, _SMOOTH_SIDE, _LESS_SMOOTH = 1024, 16, 0.1


def _hidden_by_interpolation(raw: RawImage) -> float:
    """Return the variance of the noise that the network meets over what is measured, >= 1.

    Noise that interpolation has smoothed is stronger at low frequencies than at the high ones,
    which are measured. How smooth it is show D(2) / D(1), with D(d) the mean of (x(0,0) - x(0,d)
    - x(d,0) + x(d,d))^2 in a block: it is 1 where samples are independent. Texture is smoother
    than noise, so blocks with little of it tell, a low quantile of all. The factors are those
    that restored best on five photographs, reduced, shrunk, turned and demosaiced, at ratios 8
    and 100.
    """
    if not has_three_colors(raw):
        return _HIDDEN_IN_X_TRANS if raw.origin == "x-trans" else 1.0
    top, left = (max(0, side - _MIDDLE) // 2 for side in raw.mosaic.shape[:2])
    part = finite(raw.mosaic[top : top + _MIDDLE, left : left + _MIDDLE])
    near, far = (_differences(part, distance) for distance in (1, 2))
    known = near > 0
    if not known.any():
        return _LEAST_HIDDEN
    smoothness = max(1.0, float(np.quantile(far[known] / near[known], _LESS_SMOOTH)))
    hidden: float = _LEAST_HIDDEN * smoothness**_BY_SMOOTHNESS
    return min(hidden, _MOST_HIDDEN)


def _differences(rgb: NDArray[np.float32], distance: int) -> Floats:
    """Return the mean square of second differences over some pixels in each whole block."""
    down = rgb[distance:] - rgb[:-distance]
    squares = ((down[:, distance:] - down[:, :-distance]) ** 2).sum(-1)
    rows, columns = ((side - 2) // _SMOOTH_SIDE for side in rgb.shape[:2])
    whole = squares[: rows * _SMOOTH_SIDE, : columns * _SMOOTH_SIDE]
    blocks = whole.reshape(rows, _SMOOTH_SIDE, columns, _SMOOTH_SIDE)
    return np.asarray(blocks.mean((1, 3), dtype=np.float64))


def _measure(raw: RawImage) -> _Measured:
    """Measure a photo; see :func:`measure_noise`."""
    rounding = 1 / (12 * (raw.white_level - float(raw.black_level.mean())) ** 2)
    fallback = NoiseModel(a=_FALLBACK_A, b=max(_FALLBACK_B, rounding), source="photo")
    if min(raw.mosaic.shape[:2]) < _WINDOW:
        return _Measured(fallback, 0.0, 0.0)
    blocks = _blocks(raw)
    if len(blocks.level) < _FEWEST_BLOCKS:
        return _Measured(fallback, 0.0, 0.0)
    levels = _levels(blocks, rounding)
    if not len(levels.level):
        return _Measured(fallback, 0.0, 0.0)
    a, b = _fit(levels)
    # Means of blocks are noisy, which spreads levels that are alike and flattens the line.
    spread = max(float(blocks.level.var()), 1e-30)
    kept = min(max(1 - b / _SIDE**2 / spread, 0.1), 1.0)
    center = float(blocks.level.mean())
    levels = levels._replace(level=center + (levels.level - center) * kept)
    a, b = _fit(levels)
    hidden = _hidden_by_interpolation(raw)
    a, b, levels = hidden * a, hidden * b, levels._replace(variance=hidden * levels.variance)
    line = np.log(a * np.maximum(levels.level, 0) + b)
    agreement = float((np.abs(np.log(levels.variance) - line) < _ON_THE_LINE).mean())
    median = max(float(np.median(blocks.level)), 0.0)
    return _Measured(NoiseModel(a=a, b=max(b, rounding), source="photo"), median, agreement)


#: The flattest blocks miss the tails of real read noise: what they show is this much low.
_MISSED = 0.95
#: Standard deviations of ln(b) of a table, and of ln(variance) measured at one level.
_TABLE_ERROR, _MEASURED_ERROR = 0.4, 0.1
_LARGEST_CORRECTION = 4.0


def _with_read_noise_of(measured: _Measured, table: NoiseModel) -> NoiseModel:
    """Correct the table's b by what the photo shows at its median level."""
    if measured.agreement < _TRUSTED_AGREEMENT:
        return table
    seen = (measured.noise.std(measured.level) / _MISSED) ** 2
    left = seen - table.a * max(measured.level, 0.0)
    ratio = min(max(left / table.b, 1 / _LARGEST_CORRECTION), _LARGEST_CORRECTION)
    error = _MEASURED_ERROR * seen / table.b
    weight = _TABLE_ERROR**2 / (_TABLE_ERROR**2 + error**2)
    return replace(table, b=table.b * ratio**weight)


_LARGE_DISAGREEMENT = 1.6
_TRUSTED_AGREEMENT = 0.6


def _disagreement(stated: NoiseModel, measured: _Measured) -> str:
    """Return a sentence where a stated noise model and the photo are far apart, else ""."""
    if measured.agreement < _TRUSTED_AGREEMENT:
        return ""
    by = {"tag": "the file's noise profile", "table": "the camera table", "photo": ""}[
        stated.source
    ]
    seen, said = measured.noise.std(measured.level), stated.std(measured.level)
    if said > _LARGE_DISAGREEMENT * seen:
        return f"{by} states {said / seen:.1f} times the noise that the photo shows"
    if seen > _LARGE_DISAGREEMENT * said:
        return f"the photo shows {seen / said:.1f} times the noise that {by} states"
    return ""
