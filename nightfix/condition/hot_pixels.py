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

from nightfix.condition.mending import estimate_samples
from nightfix.condition.noise import NoiseModel, choose_noise
from nightfix.condition.saturation import find_saturation
from nightfix.parallel import in_parallel
from nightfix.read import RawImage, finite

Mosaic = NDArray[np.float32]
Flags = NDArray[np.bool_]

#: Rows or columns of samples, shape (samples,), and offsets (row, column) from them [px].
Places = NDArray[np.intp]
Offsets = tuple[tuple[int, int], ...]


class Evidence(NamedTuple):
    """What it takes to call a sample hot.

    How far it stands out of its own plane's neighbors, in units of their range (``range``) and of
    what stands out around it anyhow (``texture``); the shares of that by which those beside it may
    rise in any case (``rise``), and the second brightest and the brightest of them (``second``,
    ``brightest``); and how far it is from what those around it say, in units of the error of that
    rule around it (``error``).
    """

    range: float
    texture: float
    rise: float
    second: float
    brightest: float
    error: float


#: For a photo of which nothing is known, and for one that has many hot pixels: there a sample that
#: stands out is more likely to be another one than detail.
_OF_ANY = Evidence(range=1.5, texture=0.5, rise=0.08, second=0.2, brightest=0.3, error=16.0)
_OF_MANY = Evidence(range=0.5, texture=0.5, rise=0.15, second=0.5, brightest=2.0, error=8.0)

#: How far a sample stands out of its own plane's neighbors, at least, and is from what those around
#: it say [standard deviations of the noise].
_STANDS_OUT, _FAR_OFF = 8.0, 5.0

#: Which of the samples around it tells that last, counted from the one that stands out most.
_SIXTH = 6

#: Share of a point of light that the samples beside it have of it, at least: that of a Gaussian
#: with sigma 0.6 px, as a lens's smallest is; largest share by which it is told from a defect,
#: that of a line, and how many standard deviations of the noise are left for a star's own.
_OF_A_STAR, _MOST, _LEAST, _OF_ITS_NOISE = 0.25, 0.2, 0.08, 3.0

#: What the second brightest sample beside a defect has of its excess where it has next to nothing;
#: then the brightest may be hot itself.
_NOTHING = 0.02

#: Share of the photo's samples that count as its highlights, how near to them a sample belongs to
#: them, and how far it has to stand out there, in units of its neighbors' level.
_HIGHLIGHTS, _NEAR_THEM, _OUT_OF_HIGHLIGHTS = 0.01, 0.8, 1.0

#: Share of its excess that a pixel may hand on to those beside it by crosstalk, and how many
#: standard errors are added to that; the error in units of the noise, what texture adds aside.
_CROSSTALK, _ERRORS, _ERROR_OF_NOISE = 0.01, 3.0, 0.7

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

#: Farthest that a sample's neighbors are looked for [px], and theirs; even: the pattern stays.
_AROUND_IT, _REACH = 4, 6

#: Offsets (row, column) of the neighbors of a sample's own plane, the nearest and those around.
_NEAR = tuple((y, x) for y in (-2, 0, 2) for x in (-2, 0, 2) if (y, x) != (0, 0))
_FAR = tuple((y, x) for y in (-4, -2, 0, 2, 4) for x in (-4, -2, 0, 2, 4) if (y, x) != (0, 0))
#: The samples around one that show how much stands out in its surroundings.
_WINDOW = tuple(
    (y, x)
    for y in range(-_AROUND_IT, _AROUND_IT + 1)
    for x in range(-_AROUND_IT, _AROUND_IT + 1)
    if (y, x) != (0, 0)
)
_DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))

#: The samples beside one in a row, their surroundings in their own plane; the same of a column.
_BESIDE = (((0, -1), (0, 1)), ((-1, 0), (1, 0)))
_AROUND = (((-2, -1), (-2, 1), (2, -1), (2, 1)), ((-1, -2), (-1, 2), (1, -2), (1, 2)))


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
    A sample becomes what the samples around it, of all colors, say by a rule that is learned
    near it (:func:`nightfix.condition.mending.estimate_samples`). First, and in stuck rows and
    columns and where there are too many to learn for each, it is the median of the
    eight nearest of its own plane that are not defective themselves, of 24 where all eight are.

    A sample that is within 5 standard deviations of the noise of that, or within 16 times the
    error that the rule makes around it, was detail and stays.

    Where there are more than a thousand in a million, they are looked for once more in the
    mended mosaic, and with less evidence: E > w / 2, rise < 0.15 E, 8 times the error are
    enough then, and two beside it may be hot.

    Of an X-Trans sensor the interpolation has spread every defect over its surroundings, as a
    lens does with light: there nothing is looked for, nor in three colors a pixel.
    """
    noise = noise or choose_noise(raw)[0]
    flags = find_hot_pixels(raw, noise)
    if known is not None:
        flags |= known
    mended, flags = _mended(raw, flags, noise, _OF_ANY, known)
    if flags.mean() > _MANY:
        # Those that hid each other.
        flags = flags | find_hot_pixels(mended, noise, _OF_MANY)
        mended, flags = _mended(raw, flags, noise, _OF_MANY, known)
    return mended, int(np.count_nonzero(flags))


def _mended(
    raw: RawImage,
    flags: Flags,
    noise: NoiseModel,
    evidence: Evidence,
    known_to_be: Flags | None = None,
) -> tuple[RawImage, Flags]:
    """Return a photo with estimates for the flagged samples that are confirmed, and these.

    The photo itself where there are none.
    """
    rows, columns = np.nonzero(flags)
    if not len(rows):
        return raw, flags
    mosaic = raw.mosaic.copy()
    mosaic[rows, columns] = _estimates(finite(raw.mosaic), flags, rows, columns)
    apart = ~(_in_a_line(flags)[rows, columns])
    places = rows[apart], columns[apart]
    if len(places[0]) <= _MOST_LEARNED:
        known = finite(mosaic)
        for _ in range(_ROUNDS):  # the second time from better neighbors
            estimate = estimate_samples(known, flags, places, (noise.a, noise.b))
            known[places] = estimate.value
        mosaic[places] = known[places]
        captured = finite(raw.mosaic)[places]
        s = np.sqrt(noise.a * np.maximum(estimate.value, 0) + noise.b)
        away = np.hypot(_FAR_OFF * s, evidence.error * estimate.error)
        detail = np.abs(captured - estimate.value) <= away
        if known_to_be is not None:
            detail &= ~known_to_be[places]
        kept = places[0][detail], places[1][detail]
        mosaic[kept] = captured[detail]
        flags = flags.copy()
        flags[kept] = False
    return (replace(raw, mosaic=mosaic) if flags.any() else raw), flags


def _in_a_line(flags: Flags) -> Flags:
    """Tell which samples are in rows or columns that are flagged as a whole."""
    rows, columns = (flags.mean(axis) >= _OF_A_LINE for axis in (1, 0))
    lines: Flags = rows[:, None] | columns[None]
    return lines


def find_hot_pixels(
    raw: RawImage, noise: NoiseModel | None = None, evidence: Evidence = _OF_ANY
) -> Flags:
    """Find samples that no light explains, under the photo's noise.

    Parameters
    ----------
    raw, noise
        As for :func:`mend_hot_pixels`.
    evidence : Evidence
        What it takes to call a sample hot; the figures below are those of the default.

    Returns
    -------
    ndarray, shape (H, W), bool
        True at hot, dead and stuck samples.

    Notes
    -----
    With x a sample, n_k its eight neighbors of the same plane, and s^2 = a n + b the noise's
    variance at their level n,

        E = x - n,    n = the second largest n_k,    w = n - the second smallest n_k

    a sample is hot if E > 8 s, E > 1.5 w, E > t / 2, and what is beside it does not rise with it.
    (Green has a second n, that of its four neighbors in the other green plane; the larger
    counts.) t is what samples stand out by around it anyhow, the sixth largest of 80. With the
    four samples y_j above, below, left and right, m_j the median of the four nearest of the
    plane of y_j that are not beside x, and g the white-balance gains,

        rise = median_j (max(g_j / g_x, 1) (y_j - m_j))
        rise < min(0.2 E, max(0.08 E, 0.25 E - 3 s), 0.01 E + 3 sqrt((0.7 s)^2 + t^2))

    Of a point of light as small as a lens makes it (a Gaussian with sigma 0.6 px), rise is at
    least 0.25 E in its own color, wherever between the samples it is. The second largest rise is
    less than 0.2 E, too, and the largest less than 0.3 E, or else the second less than 0.02 E or
    3 s: so one of the neighbors may be hot itself. Where two of the y_j are saturated, they cannot
    tell, and x is kept; near the photo's own highlights, whose colors run into each other,
    x is hot if E > n besides.

    A row or column is stuck if over three quarters of the photo it stands out from the lines
    beside it and those do not rise: of 64 of its samples three in four stand out. Dead samples
    and lines are found in the same way below their neighbors, if they have less than half of
    their light.
    """
    flags = np.zeros(raw.mosaic.shape[:2], np.bool_)
    if raw.origin in ("x-trans", "rgb") or min(raw.mosaic.shape) <= _REACH:
        return flags
    sensor = _Sensor.of(raw, noise or choose_noise(raw)[0])
    mosaic = finite(raw.mosaic)

    def look(part: slice) -> tuple[Flags, Flags, Flags]:
        return _look(_block(mosaic, part), sensor, evidence)

    parts = list(_parts(mosaic.shape[0]))
    columns = np.empty((len(parts), mosaic.shape[1]), np.bool_)
    rows = np.empty(mosaic.shape[0], np.bool_)
    for part, column, found in zip(parts, columns, in_parallel(look, parts), strict=True):
        flags[part], rows[part], column[:] = found
    columns[:, [0, 1, -2, -1]] = rows[[0, 1, -2, -1]] = False  # with neighbors on one side only
    flags[:, columns.mean(0) >= _OF_A_LINE] = True
    flags[rows] = True
    return flags


class _Sensor(NamedTuple):
    """What is known of a sensor: its noise, and by site (row % 2, column % 2) the rest.

    ``highlights`` is the level from which a sample is near the photo's brightest, ``saturated``
    that from which it can rise no further [white];
    ``gains`` are those of the white balance, shape (2, 2); ``green`` is True where the site's
    diagonal neighbors have its own color.
    """

    a: float
    b: float
    highlights: float
    saturated: float
    gains: Mosaic
    green: Flags

    @classmethod
    def of(cls, raw: RawImage, noise: NoiseModel) -> _Sensor:
        """Gather it; of a monochrome sensor each site is a plane of its own."""
        names = raw.cfa_pattern or "MMMM"
        of_color = dict.fromkeys("MRGB", 1.0)
        if raw.as_shot_neutral is not None:
            of_color |= dict(zip("RGB", 1 / raw.as_shot_neutral, strict=True))
        return cls(
            a=noise.a,
            b=noise.b,
            highlights=_NEAR_THEM
            * float(np.quantile(finite(raw.mosaic[::5, ::7]), 1 - _HIGHLIGHTS)),
            saturated=_SATURATED * min([1.0, *filter(None, find_saturation(raw, noise))]),
            gains=np.array([of_color[name] for name in names], np.float32).reshape(2, 2),
            green=np.array([name == "G" for name in names]).reshape(2, 2),
        )


def _block(mosaic: Mosaic, part: slice) -> Mosaic:
    """Cut out some rows with what is around them, mirrored at the photo's edges."""
    first, last = max(0, part.start - _REACH), min(mosaic.shape[0], part.stop + _REACH)
    margins = (_REACH - (part.start - first), _REACH - (last - part.stop))
    # About the edge sample, which keeps every sample in its plane.
    return np.pad(mosaic[first:last], (margins, (_REACH, _REACH)), "reflect")


def _look(block: Mosaic, sensor: _Sensor, evidence: Evidence) -> tuple[Flags, Flags, Flags]:
    """Find the defects of a block, whose margins are cut off: samples, rows and columns."""
    above, below = standing_out(block)
    texture = np.maximum(above, below)
    flags, rows, columns = _bright(block, above, texture, sensor, evidence, sign=1)
    dark = _bright(-block, below, texture, sensor, _OF_ANY, sign=-1)
    return flags | dark[0], rows | dark[1], columns | dark[2]


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


def _bright(
    block: Mosaic,
    excess: Mosaic,
    texture: Mosaic,
    sensor: _Sensor,
    evidence: Evidence,
    *,
    sign: int,
) -> tuple[Flags, Flags, Flags]:
    """Find samples, rows and columns that are too bright.

    With ``sign`` -1 and the block negated, those that are too dark.
    """
    excess, sample = _shifted(excess, 0, 0, _AROUND_IT), _shifted(block, 0, 0, _REACH)
    # The noise at the level that the sample stands out of.
    limit = np.maximum(sample - excess if sign > 0 else excess - sample, 0)
    limit *= np.float32(_STANDS_OUT**2 * sensor.a)
    limit += np.float32(_STANDS_OUT**2 * sensor.b)
    stands_out = excess > np.sqrt(limit, out=limit)
    if sign < 0:
        stands_out &= excess > (1 - 1 / _DEAD) * sample
    flags = np.zeros_like(stands_out)
    rows, columns = np.nonzero(stands_out)
    if len(rows):
        alone = _alone(block, texture, (rows, columns), sensor, evidence, sign)
        flags[rows[alone], columns[alone]] = True
    down, across = _lines(block, stands_out), _lines(block.T, stands_out.T)
    stuck_rows: Flags = across.mean(0) >= _OF_A_LINE
    stuck_columns: Flags = down.sum(0) == len(down)
    return flags, stuck_rows, stuck_columns


def _gather(block: Mosaic, rows: Places, columns: Places, offsets: Offsets) -> Mosaic:
    """Return the samples at offsets from others, shape (offsets, samples)."""
    return np.stack([block[_REACH + rows + y, _REACH + columns + x] for y, x in offsets])


def _alone(  # noqa: PLR0917  every one is of a kind of its own
    block: Mosaic,
    texture: Mosaic,
    places: tuple[Places, Places],
    sensor: _Sensor,
    evidence: Evidence,
    sign: int,
) -> Flags:
    """Tell which of the samples at some places no light explains; see :func:`find_hot_pixels`.

    Those that a quick look shows to be light are not looked at any further.
    """
    rows, columns = places
    sample = block[_REACH + rows, _REACH + columns]
    near = np.sort(_gather(block, rows, columns, _NEAR), 0)
    level, spread = near[-2], near[-2] - near[1]
    site = rows % 2, columns % 2
    diagonal = np.sort(_gather(block, rows, columns, _DIAGONAL), 0)
    level = np.where(sensor.green[site], np.maximum(level, diagonal[-2]), level)
    excess = sample - level
    noise = np.sqrt(sensor.a * np.maximum(sign * level, 0) + sensor.b)
    rises = np.sort(
        np.concatenate(
            [_rises(block, *places, axis) * _gains(sensor, *places, axis) for axis in (0, 1)]
        ),
        0,
    )
    rise = (rises[1] + rises[2]) / 2
    most = np.maximum(evidence.rise * excess, _OF_A_STAR * excess - _OF_ITS_NOISE * noise)
    most = np.minimum(most, _MOST * excess)
    alone: Flags = excess > np.maximum(_STANDS_OUT * noise, evidence.range * spread)
    alone &= (rise < most) & (rises[2] < evidence.second * excess)
    nothing = np.maximum(_NOTHING * excess, _OF_ITS_NOISE * noise)
    paired: Flags = rises[2] < nothing
    alone &= paired | (rises[3] < evidence.brightest * excess)
    if sign > 0:
        beside = np.sort(_gather(block, rows, columns, _BESIDE[0] + _BESIDE[1]), 0)[-2]
        alone &= beside < sensor.saturated
        dim: Flags = beside < sensor.highlights
        alone &= dim | (excess > _OUT_OF_HIGHLIGHTS * level)
    left = np.flatnonzero(alone)
    around = np.stack(
        [texture[_AROUND_IT + rows[left] + y, _AROUND_IT + columns[left] + x] for y, x in _WINDOW]
    )
    anyhow = np.partition(around, -_SIXTH, 0)[-_SIXTH]
    error = np.hypot(_ERROR_OF_NOISE * noise[left], anyhow)
    alone[left] = (excess[left] > evidence.texture * anyhow) & (
        rise[left] < _CROSSTALK * excess[left] + _ERRORS * error
    )
    return alone


def _gains(sensor: _Sensor, rows: Places, columns: Places, axis: int) -> Mosaic:
    """Return the gains of what is beside samples over their own, at least 1, shape (samples,)."""
    beside = sensor.gains[(rows + axis) % 2, (columns + 1 - axis) % 2]
    gains: Mosaic = np.maximum(beside / sensor.gains[rows % 2, columns % 2], 1)
    return gains


def _rises(block: Mosaic, rows: Places, columns: Places, axis: int) -> Mosaic:
    """Return what the two samples beside others have more than their surroundings, (2, samples).

    ``axis``: 0 for those in the same row, 1 in the same column.
    """
    around = np.median(_gather(block, rows, columns, _AROUND[axis]), 0)
    rises: Mosaic = _gather(block, rows, columns, _BESIDE[axis]) - around
    return rises


def _lines(block: Mosaic, stands_out: Flags) -> Flags:
    """Tell which columns look stuck in segments of some rows, shape (segments, columns)."""
    parts = list(_parts(stands_out.shape[0]))
    lines = np.zeros((len(parts), stands_out.shape[1]), np.bool_)
    for part, line in zip(parts, lines, strict=True):
        for column in np.flatnonzero(stands_out[part].mean(0) >= _OF_A_LINE):
            rows = np.arange(part.start, part.stop)
            places = rows, np.full_like(rows, column)
            beside = np.maximum(*_gather(block, *places, ((0, -2), (0, 2))))
            excess = block[_REACH + rows, _REACH + column] - beside
            beyond = _gather(block, *places, ((0, -3), (0, 3)))
            rise = (_gather(block, *places, _BESIDE[0]) - beyond).mean(0)
            line[column] = np.median(rise) < _LEAST * np.median(excess)
    return lines


def _parts(size: int) -> Iterator[slice]:
    """Cut a side into parts of 64 px; a rest of less than half of that is the last one's."""
    tops = range(0, max(1, size - _ROWS // 2 + 1), _ROWS)
    for top in tops:
        yield slice(top, size if top == tops[-1] else top + _ROWS)


def _estimates(mosaic: Mosaic, flags: Flags, rows: Places, columns: Places) -> Mosaic:
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
