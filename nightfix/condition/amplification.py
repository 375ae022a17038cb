"""Condition: how much a photo is to be brightened."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nightfix.errors import MissingMetadataError
from nightfix.read import RawImage, pack_bayer, sampled, shift_pattern

#: Log-average luminance that metering aims at: see :func:`metered_ratio`.
NIGHT_KEY = 0.06
#: Largest ratio that metering chooses, the darkest the networks are trained for.
MAX_METERED_RATIO = 300.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amplification:
    """Target exposure over captured exposure, and how it was chosen.

    Parameters
    ----------
    ratio : float
        >= 1 [-].
    source : {"given", "ev", "target exposure", "metered"}
        What decided.
    reason : str
        A few words for the line that is shown first.
    """

    ratio: float
    source: Literal["given", "ev", "target exposure", "metered"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureTarget:
    """How much brighter than the capture a picture is to be, in one of three ways.

    Parameters
    ----------
    ratio : float or None
        Target exposure over captured exposure, >= 1 [-].
    ev : float or None
        The same in stops, >= 0 [EV]: the ratio is 2^ev.
    exposure_time : float or None
        Exposure time the photo should have had, > 0 [s]. Shorter than the captured one
        gives ratio 1.

    Raises
    ------
    ValueError
        If more than one is given, or a value outside its range.

    Notes
    -----
    Without any of them the photo is metered.
    """

    ratio: float | None = None
    ev: float | None = None
    exposure_time: float | None = None

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.ratio, self.ev, self.exposure_time)) > 1:
            raise ValueError("give only one of ratio, ev and exposure_time")
        _require("ratio", self.ratio, 1.0)
        _require("ev", self.ev, 0.0)
        _require("exposure_time", self.exposure_time, 0.0)


def _require(name: str, value: float | None, least: float) -> None:
    if value is not None and not least <= value < math.inf:
        raise ValueError(f"{name} {value} must be at least {least:g}")


#: Meter the photo.
METERED = ExposureTarget()


def choose_amplification(raw: RawImage, target: ExposureTarget = METERED) -> Amplification:
    """Decide the amplification of a photo.

    Parameters
    ----------
    raw : RawImage
        The capture as read.
    target : ExposureTarget
        What is asked for.

    Returns
    -------
    Amplification
        Metered by :func:`metered_ratio` if nothing is asked for.

    Raises
    ------
    MissingMetadataError
        If an exposure time is asked for and the file does not state its own.
    """
    if target.ratio is not None:
        return Amplification(ratio=target.ratio, source="given", reason="given")
    if target.ev is not None:
        return Amplification(ratio=2.0**target.ev, source="ev", reason=f"{target.ev:+g} EV")
    if target.exposure_time is not None:
        return _to_target(raw, target.exposure_time)
    return _metered(raw)


def _to_target(raw: RawImage, target: float) -> Amplification:
    """Return the ratio of two exposure times."""
    captured = raw.metadata.exposure.exposure_time
    if captured is None or not 0 < captured < math.inf:
        raise MissingMetadataError(
            raw.path,
            "--target-exposure needs the photo's own exposure time, which the file does not state",
            "use --ratio instead, such as --ratio 100",
        )
    times = f"{format_exposure_time(captured)} to {format_exposure_time(target)}"
    if target <= captured:
        reason = f"{times}: already exposed long enough"
        return Amplification(ratio=1.0, source="target exposure", reason=reason)
    return Amplification(ratio=target / captured, source="target exposure", reason=times)


def format_exposure_time(seconds: float) -> str:
    """Write an exposure time as photographers do.

    Examples
    --------
    >>> format_exposure_time(1 / 30), format_exposure_time(4.0), format_exposure_time(0.4)
    ('1/30 s', '4 s', '0.4 s')
    """
    if 0 < seconds < 0.3:
        return f"1/{1 / seconds:.0f} s"
    return f"{seconds:.3g} s"


_NUMBER = r"(\d+\.?\d*|\.\d+)"
_EXPOSURE_TIME = re.compile(rf"{_NUMBER}(?:/{_NUMBER})?\s*(?:s|sec|seconds?|\")?", re.IGNORECASE)


def parse_exposure_time(text: str) -> float:
    """Read an exposure time as photographers write it.

    Parameters
    ----------
    text : str
        A number or fraction of seconds, with or without its unit.

    Returns
    -------
    float
        > 0 and finite [s].

    Raises
    ------
    ValueError
        If the text is anything else.

    Examples
    --------
    >>> parse_exposure_time("4s"), parse_exposure_time("1/2"), parse_exposure_time("0.5")
    (4.0, 0.5, 0.5)
    """
    match = _EXPOSURE_TIME.fullmatch(text.strip())
    if match:
        above, below = float(match[1]), float(match[2] or 1)
        if below > 0 and 0 < above / below < math.inf:
            return above / below
    raise ValueError(f"{text!r} is not an exposure time such as 4s, 1/2 or 0.5")


# ---------------------------------------------------------------------------------------
# Metering

_SIDE = 16  # of a metered block [packed px]
_LUMINANCE = (0.27, 0.67, 0.06)
_BRIGHT_SHARE = 90  # percentile that metering keeps below white
_BLACK_ERROR_DN = 0.25


def metered_ratio(raw: RawImage) -> tuple[float, float]:
    """Meter the amplification that a photo needs.

    Parameters
    ----------
    raw : RawImage
        The capture as read; only its ``crop`` is metered.

    Returns
    -------
    ratio : float
        1 to 300 [-].
    log_average : float
        Log-average luminance of the capture in reference units, > 0 [1.0 = white].

    Notes
    -----
    With L_k the luminance of block k of 16 x 16 cells of the pattern, 0 to 1:

        L_k = 2^BaselineExposure (0.27 R / n_R + 0.67 G + 0.06 B / n_B),
        L_log = exp(mean_k ln(d + L_k)),
        ratio = min(key / L_log, 1 / L_90, 300), at least 1

    n is the neutral; without one, and on a monochrome sensor, green or the mean of the cell
    stands for luminance. Means of blocks come before the logarithm, so noise does not bias
    it, and lamps count by their area, not their brightness. d is a quarter of a DN, about
    the error of black levels. L_90, the 90th percentile of the blocks, keeps a small subject
    before a black sky from being amplified beyond white.

    The key is 0.06: the 0.09 that Reinhard et al. give a low-key scene, times the 0.7 by
    which cameras expose a mid-gray below 18 % of the sensor's white. Daylight photos lie at
    0.05 to 0.3, so they keep a ratio near 1.

    References
    ----------
    Reinhard et al., "Photographic Tone Reproduction for Digital Images", SIGGRAPH 2002,
    Eq. (1), and its keys.
    """
    luminance = _block_luminance(raw) * 2.0**raw.baseline_exposure
    luminance = np.clip(luminance, 0, 1)
    black_error = _BLACK_ERROR_DN / (raw.white_level - float(raw.black_level.mean()))
    log_average = float(np.exp(np.log(black_error + luminance).mean()))
    bright = max(float(np.percentile(luminance, _BRIGHT_SHARE)), black_error)
    ratio = min(NIGHT_KEY / log_average, 1 / bright, MAX_METERED_RATIO)
    return max(ratio, 1.0), log_average


def _metered(raw: RawImage) -> Amplification:
    ratio, log_average = metered_ratio(raw)
    if ratio == 1:
        reason = f"metered: log-average {log_average:.2g}, bright enough"
    elif ratio == MAX_METERED_RATIO:
        reason = f"metered: log-average {log_average:.2g}, at most {MAX_METERED_RATIO:g}"
    else:
        reason = f"metered: log-average {log_average:.2g} to {log_average * ratio:.2g}"
    return Amplification(ratio=ratio, source="metered", reason=reason)


def _block_luminance(raw: RawImage) -> Floats:
    """Return the luminance of each block of the crop; white-balanced where a neutral is known."""
    raw = sampled(raw)
    top, left, height, width = raw.crop
    crop = raw.mosaic[top : top + height, left : left + width]
    if raw.cfa_pattern is None:
        planes, weights = crop[None], np.ones(1)
    else:
        planes = pack_bayer(crop, shift_pattern(raw.cfa_pattern, top, left))
        weights = _plane_weights(raw.as_shot_neutral)
    means = np.stack([_block_means(plane) for plane in planes])
    means = np.nan_to_num(means, nan=0.0, posinf=1.0, neginf=0.0)
    return np.asarray(np.tensordot(weights, means, 1))


def _plane_weights(neutral: Floats | None) -> Floats:
    """Return the share of each packed plane (R, Gr, Gb, B) in the balanced luminance."""
    if neutral is None or not (np.isfinite(neutral).all() and (neutral > 0).all()):
        return np.array([0, 0.5, 0.5, 0])
    red, green, blue = np.array(_LUMINANCE) * neutral[1] / neutral
    return np.array([red, green / 2, green / 2, blue])


def _block_means(plane: NDArray[np.float32]) -> Floats:
    """Return the means of blocks of 16 x 16; the last of a row or column may be smaller."""
    sums, counts = plane.astype(np.float64), np.ones(plane.shape)
    for axis, side in enumerate(plane.shape):
        starts = np.arange(0, side, _SIDE)
        sums, counts = (np.add.reduceat(values, starts, axis) for values in (sums, counts))
    return np.asarray(sums / counts)
