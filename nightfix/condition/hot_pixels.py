"""Condition: samples that tell of the sensor, not of the light: hot, dead and stuck pixels.

A lens spreads the smallest point of light over several samples, and of a Bayer mosaic over
samples of all colors. A defective pixel stands alone. They are found in the photo itself,
since a sensor's defects come and go with temperature, exposure time and age.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nightfix.condition.defects import (
    MARGIN,
    Sensor,
    StandingOut,
    detail_of,
    evidence,
    log_odds,
    with_estimate,
)
from nightfix.condition.mending import Estimate, estimate_samples
from nightfix.condition.noise import NoiseModel, choose_noise
from nightfix.condition.saturation import find_saturation
from nightfix.parallel import in_parallel
from nightfix.read import RawImage, finite

Mosaic = NDArray[np.float32]
Flags = NDArray[np.bool_]

#: Rows or columns of samples, shape (samples,), and offsets (row, column) from them [px].
Places = NDArray[np.intp]
Offsets = tuple[tuple[int, int], ...]

#: How far a sample stands out of its own plane's neighbors, at least, and how far those of a stuck
#: line do [standard deviations of the noise].
_STANDS_OUT, _OF_A_STUCK_LINE = 4.0, 8.0

#: Chance from which a sample is looked at closely, on a sensor with this share of defects.
_SUSPECT, _POOR = 0.02, 1e-3

#: Share of the excess of a stuck line that those beside it have at most.
_LEAST = 0.08

#: Share of the photo's samples that count as its highlights.
_HIGHLIGHTS = 0.01

#: What a dead sample has of its neighbors' light, at most.
_DEAD = 0.5

#: Share of the level at which the sensor stops from which a sample can rise no further.
_SATURATED = 0.9

#: Share of defective samples from which they are looked for a second time.
_MANY = 1e-3

#: Most samples for each of which a rule of its own is learned, and how often.
_MOST_LEARNED, _ROUNDS = 60_000, 2

#: Rows that are looked at at once, and samples of a row or column that are judged as a line [px].
_ROWS = 64

#: Share of a line's samples that stand out, at least, for it to be a stuck row or column.
_OF_A_LINE = 0.75

#: Offsets (row, column) of the neighbors of a sample's own plane, the nearest and those around.
_NEAR = tuple((y, x) for y in (-2, 0, 2) for x in (-2, 0, 2) if (y, x) != (0, 0))
_FAR = tuple((y, x) for y in (-4, -2, 0, 2, 4) for x in (-4, -2, 0, 2, 4) if (y, x) != (0, 0))
#: The samples beside one in a row.
_BESIDE = ((0, -1), (0, 1))


def mend_hot_pixels(
    raw: RawImage, noise: NoiseModel | None = None, known: Flags | None = None
) -> tuple[RawImage, int]:
    """Replace hot, dead and stuck samples by what their neighbors have.

    Parameters
    ----------
    raw : RawImage
        The photo as read.
    noise : NoiseModel or None
        Its noise; None chooses it.
    known : ndarray, shape (H, W), bool, or None
        Samples that are known to be defective, of dark frames.

    Returns
    -------
    RawImage
        With a mosaic of its own; ``raw`` itself where nothing is found.
    int
        How many samples were replaced.

    Notes
    -----
    Samples that stand out of their own plane by more than 4 standard deviations of the noise are
    judged by what is around them (:func:`nightfix.condition.defects.evidence`). For those that
    have a chance it is learned how a sample follows from those beside it, of all colors, and how
    well (:func:`nightfix.condition.mending.estimate_samples`), which judges them once more
    (:func:`nightfix.condition.defects.with_estimate`). How much evidence it takes depends on how
    many the photo itself has (:func:`nightfix.condition.defects.log_odds`). A defect becomes what
    that rule says.
    First, and in stuck rows and columns and where there are too many to learn for each, it is the
    median of the eight nearest of its own plane that are no suspects themselves, of 24 where all
    eight are.

    Where there are more than a thousand defects in a million, they are looked for once more in
    the mended mosaic.

    A row or column is stuck if over three quarters of the photo it stands out from the lines
    beside it and those do not rise: of 64 of its samples three in four stand out by more than 8
    standard deviations. Dead samples and lines are found in the same way below their neighbors, if
    they have less than half of their light.

    Of an X-Trans sensor the interpolation has spread every defect over its surroundings, as a
    lens does with light: there nothing is looked for, nor in three colors a pixel.
    """
    if raw.origin in ("x-trans", "rgb"):
        return raw, 0
    captured, sensor = finite(raw.mosaic), sensor_of(raw, noise or choose_noise(raw)[0])
    evidence = look_over(captured, sensor)
    if known is not None:
        evidence[known] = np.inf
    mended, defects = _mended(captured, evidence, sensor)
    if defects.mean() > _MANY:
        # Those that hid each other.
        evidence = np.maximum(evidence, look_over(mended, sensor))
        mended, defects = _mended(captured, evidence, sensor)
    if not defects.any():
        return raw, 0
    mosaic = np.where(defects, mended, raw.mosaic)
    return replace(raw, mosaic=mosaic), int(np.count_nonzero(defects))


def _mended(captured: Mosaic, evidence: Mosaic, sensor: Sensor) -> tuple[Mosaic, Flags]:
    """Return a mosaic without its defects, and these, by the evidence for all samples."""
    looked = estimate_suspects(captured, evidence, sensor)
    judged = evidence[looked.places]
    sure = np.isinf(judged)
    if looked.estimate is not None:
        judged = with_estimate(judged, captured[looked.places], looked.estimate, sensor)
    defects = np.isposinf(evidence)
    defects[looked.places] = sure | (log_odds(judged, captured.size) > 0)
    return np.where(defects, looked.mosaic, captured), defects


class Suspects(NamedTuple):
    """Samples that have a chance to be defects, but those in lines, and what they should be.

    ``mosaic``: shape (H, W), with estimates in their places; ``places``: rows and columns, shape
    (suspects,) each; ``estimate``: None where there are none, or too many to learn for each.
    """

    mosaic: Mosaic
    places: tuple[Places, Places]
    estimate: Estimate | None


def estimate_suspects(captured: Mosaic, evidence: Mosaic, sensor: Sensor) -> Suspects:
    """Estimate what would have a chance of one in fifty to be a defect on a poor sensor.

    Parameters
    ----------
    captured : ndarray, shape (H, W), float32
        Finite.
    evidence : ndarray, shape (H, W), float32
        Of :func:`look_over`.
    sensor : Sensor
        Of :func:`sensor_of`.

    Returns
    -------
    Suspects
    """
    light = max(1, int(np.isfinite(evidence).sum()))
    flags = evidence > np.log(_SUSPECT * light / (_POOR * evidence.size))
    rows, columns = np.nonzero(flags)
    mosaic = captured.copy()
    mosaic[rows, columns] = _medians(captured, flags, rows, columns)
    apart = ~(_in_a_line(flags)[rows, columns])
    places = rows[apart], columns[apart]
    if not 0 < len(places[0]) <= _MOST_LEARNED:
        return Suspects(mosaic, places, None)
    for _ in range(_ROUNDS):  # the second time from better neighbors
        estimate = estimate_samples(mosaic, flags, places, (sensor.a, sensor.b))
        mosaic[places] = estimate.value
    return Suspects(mosaic, places, estimate)


def _in_a_line(flags: Flags) -> Flags:
    """Tell which samples are in rows or columns that are flagged as a whole."""
    rows, columns = (flags.mean(axis) >= _OF_A_LINE for axis in (1, 0))
    lines: Flags = rows[:, None] | columns[None]
    return lines


def look_over(mosaic: Mosaic, sensor: Sensor) -> Mosaic:
    """Return by how much samples look like defects, by what is around them.

    Parameters
    ----------
    mosaic : ndarray, shape (H, W), float32
        Finite.
    sensor : Sensor
        Of :func:`sensor_of`.

    Returns
    -------
    ndarray, shape (H, W), float32
        As of :func:`nightfix.condition.defects.evidence`; infinite in stuck rows and columns,
        negative infinite where nothing stands out.
    """
    looks = np.full(mosaic.shape, -np.inf, np.float32)
    if min(mosaic.shape) <= MARGIN:
        return looks

    def look(part: slice) -> _Found:
        return _look(_block(mosaic, part), sensor)

    parts = list(_parts(mosaic.shape[0]))
    found = list(in_parallel(look, parts))
    rows = np.concatenate([one.stuck_rows for one in found])
    columns = np.mean([one.stuck_columns for one in found], 0) >= _OF_A_LINE
    columns[[0, 1, -2, -1]] = rows[[0, 1, -2, -1]] = False  # with neighbors on one side only
    places = np.concatenate(
        [one.places + [[part.start], [0]] for one, part in zip(found, parts, strict=True)], 1
    )
    looks[tuple(places)] = np.concatenate([one.evidence for one in found])
    looks[:, columns] = np.inf
    looks[rows] = np.inf
    return looks


def sensor_of(raw: RawImage, noise: NoiseModel) -> Sensor:
    """Gather what is known of a photo's sensor and of its noise."""
    names = raw.cfa_pattern or "MMMM"
    of_color = dict.fromkeys("MRGB", 1.0)
    if raw.as_shot_neutral is not None:
        of_color |= dict(zip("RGB", 1 / raw.as_shot_neutral, strict=True))
    return Sensor(
        a=noise.a,
        b=noise.b,
        highlights=max(float(np.quantile(finite(raw.mosaic[::5, ::7]), 1 - _HIGHLIGHTS)), 1e-4),
        saturated=_SATURATED * min([1.0, *filter(None, find_saturation(raw, noise))]),
        gains=np.array([of_color[name] for name in names], np.float32).reshape(2, 2),
        kinds=np.array([{"G": 1, "M": 2}.get(name, 0) for name in names]).reshape(2, 2),
    )


def _block(mosaic: Mosaic, part: slice) -> Mosaic:
    """Cut out some rows with what is around them, mirrored at the photo's edges."""
    first, last = max(0, part.start - MARGIN), min(mosaic.shape[0], part.stop + MARGIN)
    margins = (MARGIN - (part.start - first), MARGIN - (last - part.stop))
    # About the edge sample, which keeps every sample in its plane.
    return np.pad(mosaic[first:last], (margins, (MARGIN, MARGIN)), "reflect")


class _Found(NamedTuple):
    """Of a block: samples that stand out, (2, samples), what speaks for defects, stuck lines."""

    places: Places
    evidence: Mosaic
    stuck_rows: Flags
    stuck_columns: Flags


def _look(block: Mosaic, sensor: Sensor) -> _Found:
    """Judge the samples of a block that stand out, and its lines."""
    sides = standing_out(block)
    above, below = (detail_of(np.pad(side, 2, "edge")) for side in sides)
    details = above, below
    hot = _one_side(block, sides[0], details, sensor, sign=1)
    dead = _one_side(block, sides[1], details, sensor, sign=-1)
    return _Found(
        np.concatenate([hot.places, dead.places], 1),
        np.concatenate([hot.evidence, dead.evidence]),
        hot.stuck_rows | dead.stuck_rows,
        hot.stuck_columns | dead.stuck_columns,
    )


def _shifted(block: Mosaic, y: int, x: int, margin: int = 2) -> Mosaic:
    """Return the block without a margin, seen from ``y`` rows and ``x`` columns further."""
    height, width = block.shape
    return block[margin + y : height - margin + y, margin + x : width - margin + x]


def standing_out(block: Mosaic) -> tuple[Mosaic, Mosaic]:
    """Return how far samples are above and below their own plane's, without a margin of 2 px.

    Above the smaller of two: the larger of those left and right, and of those above and below;
    so neither a pair nor a line hides itself. Below them accordingly.
    """
    sample, left, right = (_shifted(block, 0, x) for x in (0, -2, 2))
    up, down = (_shifted(block, y, 0) for y in (-2, 2))
    most = np.maximum(left, right)
    np.minimum(most, np.maximum(up, down), out=most)
    least = np.minimum(left, right)
    np.maximum(least, np.minimum(up, down), out=least)
    return np.subtract(sample, most, out=most), np.subtract(least, sample, out=least)


def _one_side(
    block: Mosaic, excess: Mosaic, details: tuple[Mosaic, Mosaic], sensor: Sensor, *, sign: int
) -> _Found:
    """Judge what is too bright; with ``sign`` -1, what is too dark."""
    excess, sample = _shifted(excess, 0, 0, MARGIN - 2), _shifted(block, 0, 0, MARGIN)
    # The noise at the level that the sample stands out of.
    level = sample - sign * excess
    noise = np.sqrt(sensor.a * np.maximum(level, 0) + sensor.b)
    stands_out = excess > _STANDS_OUT * noise
    if sign < 0:
        stands_out &= sample < _DEAD * level
    rows, columns = np.nonzero(stands_out)
    found = StandingOut(rows, columns, excess[rows, columns], sign)
    stands_out &= excess > _OF_A_STUCK_LINE * noise
    signed = sign * block
    down, across = _lines(signed, stands_out), _lines(signed.T, stands_out.T)
    return _Found(
        places=np.stack([rows, columns]),
        evidence=evidence(block, details, found, sensor),
        stuck_rows=across.mean(0) >= _OF_A_LINE,
        stuck_columns=down.sum(0) == len(down),
    )


def _gather(block: Mosaic, rows: Places, columns: Places, offsets: Offsets) -> Mosaic:
    """Return the samples at offsets from others, shape (offsets, samples)."""
    return np.stack([block[MARGIN + rows + y, MARGIN + columns + x] for y, x in offsets])


def _lines(block: Mosaic, stands_out: Flags) -> Flags:
    """Tell which columns look stuck in segments of some rows, shape (segments, columns)."""
    parts = list(_parts(stands_out.shape[0]))
    lines = np.zeros((len(parts), stands_out.shape[1]), np.bool_)
    for part, line in zip(parts, lines, strict=True):
        for column in np.flatnonzero(stands_out[part].mean(0) >= _OF_A_LINE):
            rows = np.arange(part.start, part.stop)
            places = rows, np.full_like(rows, column)
            beside = np.maximum(*_gather(block, *places, ((0, -2), (0, 2))))
            excess = block[MARGIN + rows, MARGIN + column] - beside
            beyond = _gather(block, *places, ((0, -3), (0, 3)))
            rise = (_gather(block, *places, _BESIDE) - beyond).mean(0)
            line[column] = np.median(rise) < _LEAST * np.median(excess)
    return lines


def _parts(size: int) -> Iterator[slice]:
    """Cut a side into parts of 64 px; a rest of less than half of that is the last one's."""
    tops = range(0, max(1, size - _ROWS // 2 + 1), _ROWS)
    for top in tops:
        yield slice(top, size if top == tops[-1] else top + _ROWS)


def _medians(mosaic: Mosaic, flags: Flags, rows: Places, columns: Places) -> Mosaic:
    """Return what samples should be by their neighbors; see :func:`mend_hot_pixels`."""
    estimates = np.full(len(rows), np.nan, np.float32)
    height, width = flags.shape
    for offsets, trusted in ((_NEAR, False), (_FAR, False), (_FAR, True)):
        left = np.flatnonzero(np.isnan(estimates))
        values = np.empty((len(offsets), len(left)), np.float32)
        for value, (y, x) in zip(values, offsets, strict=True):
            place = _mirrored(rows[left] + y, height), _mirrored(columns[left] + x, width)
            value[:] = mosaic[place] if trusted else np.where(flags[place], np.nan, mosaic[place])
        estimates[left] = _median(values)
    return estimates


def _median(values: Mosaic) -> Mosaic:
    """Return the median of what is no NaN along the first axis; NaN where all is."""
    values = np.sort(values, 0)  # NaN last
    count = np.isfinite(values).sum(0)
    low, high = (
        np.take_along_axis(values, np.maximum(k, 0)[None] // 2, 0)[0] for k in (count - 1, count)
    )
    return np.where(count > 0, (low + high) / 2, np.nan).astype(np.float32)


def _mirrored(index: Places, size: int) -> Places:
    """Return indices with those outside mirrored about the edge samples."""
    index = np.abs(index)
    return np.where(index >= size, 2 * (size - 1) - index, index)
