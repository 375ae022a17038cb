"""Condition: dark frames, taken with the cap on, and what they say of the photos beside them.

They show the sensor's hot pixels, whatever their exposure, and where they were exposed as the photo
was, the glow of its electronics and its fixed pattern, which are the same in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightfix.condition.amplification import format_exposure_time
from nightfix.condition.hot_pixels import standing_out
from nightfix.errors import DarkFrameError
from nightfix.read import Exposure, RawImage, correct_black, finite, has_three_colors, read_raw

Mosaic = NDArray[np.float32]
Flags = NDArray[np.bool_]

#: What the median and the 90th percentile of a dark frame stay below [white].
_DARK = (0.02, 0.05)

#: How far a pixel of the frames' mean stands out to be hot: in standard deviations of what differs
#: from sample to sample, and in all [white].
_HOT, _LEAST = 8.0, 2.5e-4

#: Side of the squares over which glow is averaged [samples of a plane].
_GLOW = 33

#: Relative differences of exposure time and ISO speed that are none.
_SAME_TIME, _SAME_ISO = 0.1, 0.02

#: How far apart two frames' white may be [EV].
_SAME_WHITE = 0.01

#: From a median absolute deviation to a standard deviation.
_OF_MAD = 1.4826


@dataclass(frozen=True, slots=True, kw_only=True)
class DarkFrames:
    """What dark frames show of a sensor.

    Attributes
    ----------
    pattern : ndarray, shape (H, W), float32
        Glow and fixed pattern above black, to be subtracted; at hot pixels the glow alone
        [white].
    hot : ndarray, shape (H, W), bool
        Its hot pixels.
    count : int
        Number of frames.
    like : RawImage
        The first of them: camera, levels and exposure count, its samples do not.
    """

    pattern: Mosaic
    hot: Flags
    count: int
    like: RawImage


def read_dark_frames(paths: Sequence[Path]) -> DarkFrames:
    """Read dark frames of one sensor and exposure.

    Parameters
    ----------
    paths : sequence of Path
        At least one RAW file taken with the cap on.

    Returns
    -------
    DarkFrames

    Raises
    ------
    DarkFrameError
        If one is not dark, or is not like the first.
    RawReadError, UnsupportedSensorError
        If one cannot be read.

    Notes
    -----
    With M the mean of N frames without its hot pixels, G that of M over 33 x 33 samples of a plane,
    and s the noise of a frame, from the difference of two,

        pattern = G + w (M - G),    w = max(0, 1 - (s^2 / N) / variance(M - G))

    so that what is subtracted adds as little noise as may be; of one frame, which does not tell
    its noise from its pattern, the glow alone.
    """
    total: NDArray[np.float64] | None = None
    noise, first = 0.0, None
    for path in paths:
        raw = correct_black(read_raw(path))
        mosaic = finite(raw.mosaic)
        if has_three_colors(raw):
            raise DarkFrameError(path, "has three colors a pixel, and no sensor's mosaic", _ALIKE)
        _require_dark(raw, mosaic)
        if total is None or first is None:
            first, total = raw, mosaic.astype(np.float64)
            continue
        if reason := mismatch(first, raw) or other_exposure(first, raw):
            raise DarkFrameError(path, f"is not like {first.path.name}: {reason}", _ALIKE)
        if not noise:
            apart = np.abs(mosaic - first.mosaic)
            noise = _OF_MAD * float(np.median(apart)) / 2**0.5
        total += mosaic
    if total is None or first is None:
        raise ValueError("no dark frames")
    mean = (total / len(paths)).astype(np.float32)
    hot = _hot(mean)
    pattern = np.empty_like(mean)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        plane = np.s_[row::2, column::2]
        pattern[plane] = _pattern(mean[plane], hot[plane], noise**2 / len(paths), len(paths))
    kept = replace(first, mosaic=np.empty(mean.shape, np.float32))
    return DarkFrames(pattern=pattern, hot=hot, count=len(paths), like=kept)


_ALIKE = "give dark frames of one camera, exposure time and ISO; others in a call of their own"


def mismatch(one: RawImage, other: RawImage) -> str:
    """Return why frames are not of one sensor and mode; "" if they are."""
    a, b = one.metadata, other.metadata
    if (a.make, a.model) != (b.make, b.model):
        return f"of {a.make} {a.model} and {b.make} {b.model}"
    if one.cfa_pattern != other.cfa_pattern or one.origin != other.origin:
        return "of other patterns"
    if one.mosaic.shape != other.mosaic.shape:
        sizes = (f"{x.mosaic.shape[1]} x {x.mosaic.shape[0]}" for x in (one, other))
        return f"{' and '.join(sizes)} px"
    if abs(one.white_level - other.white_level) > 0.01 * one.white_level:
        return f"white at {one.white_level:g} and {other.white_level:g} DN"
    return ""


def other_exposure(one: RawImage, other: RawImage) -> str:
    """Return why two frames were not exposed alike; "" if they were."""
    a, b = one.metadata.exposure, other.metadata.exposure
    times, speeds = (a.exposure_time, b.exposure_time), (a.iso_speed, b.iso_speed)
    for values, tolerance in ((times, _SAME_TIME), (speeds, _SAME_ISO)):
        known = [value for value in values if value is not None]
        if len(known) < 2 or abs(known[0] - known[1]) > tolerance * max(known):
            return f"{_exposure(a)} and {_exposure(b)}"
    brighter = other.baseline_exposure - one.baseline_exposure
    if abs(brighter) > _SAME_WHITE:  # floating-point samples, one of them with light above white
        return f"with a white {brighter:+.3g} EV apart"
    return ""


def _exposure(exposure: Exposure) -> str:
    seconds, iso = exposure.exposure_time, exposure.iso_speed
    time = "unknown time" if seconds is None else format_exposure_time(seconds)
    return f"{time} at {'unknown ISO' if iso is None else f'ISO {iso:g}'}"


def subtract_dark(raw: RawImage, dark: DarkFrames) -> tuple[RawImage, str]:
    """Subtract what dark frames and a photo have in common, if they were exposed alike.

    Parameters
    ----------
    raw : RawImage
        The photo, its black corrected as theirs was.
    dark : DarkFrames
        Of the same sensor.

    Returns
    -------
    RawImage
        ``raw`` itself where they were exposed otherwise.
    str
        What a user is told.

    Raises
    ------
    DarkFrameError
        If they are of another sensor.
    """
    if reason := mismatch(dark.like, raw):
        raise DarkFrameError(
            dark.like.path, f"does not fit {raw.path.name}: {reason}", "leave out --dark for it"
        )
    frames = "1 dark frame" if dark.count == 1 else f"{dark.count} dark frames"
    told = f"{frames} with {int(dark.hot.sum())} hot pixels"
    if reason := other_exposure(dark.like, raw):
        return raw, f"{told}, not subtracted: exposed {reason}"
    span = raw.white_level - float(raw.black_level.mean())
    most = span * float(np.abs(dark.pattern).max())
    mended = replace(raw, mosaic=raw.mosaic - dark.pattern)
    return mended, f"{told}, up to {most:.1f} DN of glow and pattern subtracted"


def _require_dark(raw: RawImage, mosaic: Mosaic) -> None:
    levels = np.quantile(mosaic[::3, ::5], (0.5, 0.9))
    if (levels > _DARK).any():
        what = f"is no dark frame: half of it is above {100 * levels[0]:.1f} % of white"
        raise DarkFrameError(raw.path, what, "take it with the cap on")


def _hot(mean: Mosaic) -> Flags:
    """Find what stands out of its own plane's neighbors."""
    above, _ = standing_out(np.pad(mean, 2, "reflect"))
    apart = np.abs(mean[:, 2:] - mean[:, :-2])
    usual = _OF_MAD * float(np.median(apart)) / 2**0.5
    hot: Flags = above > max(_HOT * usual, _LEAST)
    return hot


def _pattern(mean: Mosaic, hot: Flags, noise: float, count: int) -> Mosaic:
    """Return what of a plane's mean is glow and pattern; ``noise`` is its variance [white^2]."""
    known = (~hot).astype(np.float64)
    glow = _box(mean * known) / np.maximum(_box(known), 1e-6)
    rest = mean - glow
    varies = (_OF_MAD * float(np.median(np.abs(rest)))) ** 2
    share = max(0.0, 1 - noise / varies) if count > 1 and varies > 0 else 0.0
    return np.where(hot, glow, glow + share * rest).astype(np.float32)


def _box(plane: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the sums over squares around each sample, mirrored at the edges."""
    reach = min(_GLOW // 2, min(plane.shape) - 1)
    sums = np.pad(plane.astype(np.float64), reach, "reflect")
    for axis in (0, 1):
        added = np.cumsum(sums, axis)
        added = np.insert(added, 0, 0, axis)
        side = 2 * reach + 1
        count = added.shape[axis]
        high, low = (
            np.take(added, np.arange(start, count - side + start), axis) for start in (side, 0)
        )
        sums = high - low
    return sums
