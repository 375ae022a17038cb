"""Develop: from scene light, with lamps far above white, to what a screen can show.

Both curves act on the brightest channel of a pixel and scale the other two with
it, so no hue turns: the usual curve for each channel bends red lamps to yellow
and blue ones to cyan.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

#: Up to here highlights are left as they are (linear, 1.0 = white).
KNEE = 0.5

#: Shadows are opened by at most this share...
_LIFT = 0.4
#: ...around this level (linear); a decade above it nothing of it is left to see.
_LIFT_LEVEL = 0.03

#: How fast lamps lose color as they are pressed below white: 0 never, 1 at once.
_BLEACH = 0.15


def natural_curve(level: Plane, brightest: float) -> Plane:
    """Map scene levels to display levels, both linear.

    A night photo is dark and its lamps are bright, and both should be seen as
    such. So the curve is the identity for most of its range. Shadows are opened
    a little, since a screen is looked at in a lighter place than the scene was;
    they rise in proportion, so black stays black and noise is not lifted into
    gray. Lamps are compressed logarithmically, as the eye does, so that up to
    the brightest they keep their gradation.

    Parameters
    ----------
    level : ndarray, float32
        Scene level, >= 0; 1.0 = white.
    brightest : float
        Level that becomes 1.0, >= 1. At 1, highlights are not compressed.

    Returns
    -------
    ndarray, same shape
        Display level in [0, 1], monotone in ``level`` with a continuous slope.

    Notes
    -----
    With s = 0.03, k = 0.5, W = lift(``brightest``) and c such that the slope at
    k is 1, c / log(1 + c) = (W - k) / (1 - k):

        lift(x) = x (1 + 0.4 s / (s + x))
        y = v = lift(x)                                             for v <= k
        y = k + (1 - k) log(1 + c (v - k) / (W - k)) / log(1 + c)   above

    The logarithm as the eye's answer is Fechner's; as a display curve for lamps
    see Drago et al., "Adaptive logarithmic mapping", Eurographics 2003.

    Examples
    --------
    >>> natural_curve(np.array([0, 0.01, 0.18, 1, 8], np.float32), 8.0).round(3).tolist()
    [0.0, 0.013000000268220901, 0.1899999976158142, 0.699999988079071, 1.0]
    """
    lifted = level * (1 + np.float32(_LIFT * _LIFT_LEVEL) / (np.float32(_LIFT_LEVEL) + level))
    white = brightest * (1 + _LIFT * _LIFT_LEVEL / (_LIFT_LEVEL + brightest))
    span = white - KNEE
    strength = _shoulder_strength(span / (1 - KNEE))
    above = np.clip(lifted - np.float32(KNEE), 0, span)
    shoulder = np.log1p(above * np.float32(strength / span))
    shoulder *= np.float32((1 - KNEE) / math.log1p(strength))
    return np.asarray(np.minimum(lifted, np.float32(KNEE)) + shoulder, np.float32)


def _shoulder_strength(span: float) -> float:
    """Solve c / log(1 + c) = ``span`` for c > 0 by Newton's method (span > 1)."""
    c = max(2 * (span - 1), 1e-3)
    for _ in range(50):
        log = math.log1p(c)
        c -= (c / log - span) / ((log - c / (1 + c)) / log**2)
    return c


def tone_map(rgb: Plane, brightest: float) -> Plane:
    """Apply :func:`natural_curve` to colors.

    Parameters
    ----------
    rgb : ndarray, shape (3, ...), float32
        Linear RGB of the output space, >= 0; 1.0 = white, lamps above.
    brightest : float
        Level that becomes 1.0, >= 1.

    Returns
    -------
    ndarray, same shape
        Linear RGB in [0, 1]. The hue (in RGB) is kept; with y/m the factor by
        which the brightest channel was pressed, saturation falls to (y/m)^0.15.
    """
    peak = rgb.max(axis=0)
    shown = natural_curve(peak, brightest)
    factor = shown / np.maximum(peak, np.float32(1e-9))
    color = np.minimum(factor, 1) ** np.float32(_BLEACH)
    mapped = rgb * (factor * color)
    mapped += shown * (1 - color)
    return np.asarray(np.clip(mapped, 0, 1, out=mapped), np.float32)


def fit_gamut(rgb: Plane, luminance: Plane) -> None:
    """Bring colors outside the output space to its border, in place, at the same luminance.

    Cut off channel by channel, the dark noise around zero would gain light and
    a tint, and deep blue lamps would change their hue.

    Parameters
    ----------
    rgb : ndarray, shape (3, ...), float32
        Linear RGB; afterwards >= 0. What is above 1 stays.
    luminance : ndarray, shape (3,), float32
        Share of each channel in the luminance, sum 1.
    """
    lowest = rgb.min(axis=0)
    if float(lowest.min(initial=0)) >= 0:
        return
    gray = np.maximum(np.tensordot(luminance, rgb, axes=1), 0)
    outside = np.minimum(lowest, 0)
    keep = gray / np.maximum(gray - outside, np.float32(1e-12))
    rgb -= gray
    rgb *= keep
    rgb += gray
    np.maximum(rgb, 0, out=rgb)
