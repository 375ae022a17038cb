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

#: So little above white is not worth a shoulder.
_LEAST_SHOULDER = 1e-2

#: Share of the way from neutral to the gamut's border that no color loses anything on.
_INNER = 0.95

#: Luminance over the camera's light below which it is raised, and which it never gets to.
#: Skin, foliage and gray lie above the first.
_FLOOR_BEGINS, _FLOOR = 0.4, 0.16


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
    lifted = level * _lift(level)
    white = brightest * (1 + _LIFT * _LIFT_LEVEL / (_LIFT_LEVEL + brightest))
    return _shoulder(lifted, white, KNEE)


def _shoulder(level: Plane, white: float, knee: float) -> Plane:
    """Leave levels up to ``knee``, and press those above so that ``white`` (> 1) becomes 1."""
    span = white - knee
    strength = _shoulder_strength(span / (1 - knee))
    above = np.clip(level - np.float32(knee), 0, span)
    shoulder = np.log1p(above * np.float32(strength / span))
    shoulder *= np.float32((1 - knee) / math.log1p(strength))
    return np.asarray(np.minimum(level, np.float32(knee)) + shoulder, np.float32)


def _lift(level: Plane) -> Plane:
    return 1 + np.float32(_LIFT * _LIFT_LEVEL) / (np.float32(_LIFT_LEVEL) + level)


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
    return _set_peak(rgb, peak, natural_curve(peak, brightest))


def press_highlights(rgb: Plane, brightest: float, *, knee: float) -> Plane:
    """Press what is above white below it, as :func:`tone_map` does, and leave the rest alone.

    Parameters
    ----------
    rgb : ndarray, shape (3, ...), float32
        Linear RGB, >= 0; 1.0 = white, lamps above.
    brightest : float
        Level that becomes 1.0. At 1 or below, highlights are clipped.
    knee : float
        Up to here nothing changes, in (0, 1).

    Returns
    -------
    ndarray, same shape
        Linear RGB in [0, 1].
    """
    peak = rgb.max(axis=0)
    if brightest <= 1 + _LEAST_SHOULDER:
        return _set_peak(rgb, peak, np.minimum(peak, 1))
    return _set_peak(rgb, peak, _shoulder(peak, brightest, knee))


def _set_peak(rgb: Plane, peak: Plane, shown: Plane) -> Plane:
    """Scale colors so that their brightest channel is ``shown``; pressed ones bleach."""
    factor = shown / np.maximum(peak, np.float32(1e-9))
    color = np.minimum(factor, 1) ** np.float32(_BLEACH)
    mapped = rgb * (factor * color)
    mapped += shown * (1 - color)
    return np.asarray(np.clip(mapped, 0, 1, out=mapped), np.float32)


def open_shadows(rgb: Plane) -> Plane:
    """Apply the shadows of :func:`natural_curve` to colors, and leave lamps as they are.

    What a screen shows that can do more than white. Up to half of white it is what
    :func:`tone_map` gives; above, where that presses lamps below white, it is the light
    of the scene.

    Parameters
    ----------
    rgb : ndarray, shape (3, ...), float32
        Linear RGB of the output space, >= 0; 1.0 = white, lamps above.

    Returns
    -------
    ndarray, same shape
        Linear RGB, not clipped: with m the brightest channel, ``rgb * lift(m) / m``. At
        white it is 1.2 % brighter than the scene, at four times white 0.3 %.

    Examples
    --------
    >>> open_shadows(np.full((3, 1), 4.0, np.float32)).round(3).ravel().tolist()
    [4.01200008392334, 4.01200008392334, 4.01200008392334]
    """
    return np.asarray(rgb * _lift(rgb.max(axis=0)), np.float32)


def fit_gamut(rgb: Plane, luminance: Plane, light: Plane | None = None) -> None:
    """Bring colors that the output space lacks into it, in place, towards neutral.

    The hue (in linear RGB) is kept and saturation is given up smoothly, so lights
    beyond the border keep their gradation. The luminance stays, but for light that a
    camera's matrix makes too dark or even negative, as it does with blue LEDs: there
    it is held above a share of the light that the sensor itself has seen. Cut off
    channel by channel, the dark noise around zero would gain light and a tint, and
    deep blue lamps would turn black.

    Parameters
    ----------
    rgb : ndarray, shape (3, ...), float32
        Linear RGB; afterwards >= 0. What is above 1 stays.
    luminance : ndarray, shape (3,), float32
        Share of each channel in the luminance, sum 1.
    light : ndarray, shape (...), float32, optional
        Mean of the three balanced camera channels, equal to the luminance where the
        color is neutral. Without it the luminance has no floor but 0.

    Notes
    -----
    With Y the luminance, L the light, m the lowest channel and
    f(x, s) = x / (1 + x / s) the curve of the Reference Gamut Compression with a power
    of 1 and its limit at infinity:

        Y' = L (0.4 - f(0.4 - Y / L, 0.24))       where Y < 0.4 L; the color keeps
                                                  the share (L - Y') / (L - Y)
        d  = (Y' - m') / Y'                       distance from neutral, 1 = border
        d' = 0.95 + f(d - 0.95, 0.05)             where d > 0.95

    Both curves begin with a slope of 1. All of it is proportional to the light, so a
    lamp of one color falls off as smoothly as its light does.

    References
    ----------
    Academy of Motion Picture Arts and Sciences, "ACES Reference Gamut Compression"
    (ACES 1.3), Technical Bulletin TB-2021-001; the line towards gray at the same
    luminance as in Ottosson, "sRGB gamut clipping", 2021.
    """
    lowest = np.minimum(np.minimum(rgb[0], rgb[1]), rgb[2])
    gray = np.tensordot(luminance, rgb, axes=1)
    marked = lowest < np.float32(1 - _INNER) * gray
    if light is not None:
        marked |= gray < np.float32(_FLOOR_BEGINS) * light
    marked |= lowest < 0
    if not marked.any():
        return
    where = np.flatnonzero(marked)
    flat = rgb.reshape(3, -1)
    part = flat.take(where, axis=1)
    gray, lowest = gray.ravel()[where], lowest.ravel()[where]
    target, share = gray, np.ones_like(gray)
    if light is not None:
        target, share = _raise_luminance(gray, light.ravel()[where])
    target = np.maximum(target, 0)
    away = np.maximum(share * (gray - lowest), np.float32(1e-12))
    beyond = np.maximum(away / np.maximum(target, np.float32(1e-12)) - np.float32(_INNER), 0)
    nearer = np.minimum(away, np.float32(_INNER) * target)
    nearer += target * _saturate(beyond, 1 - _INNER)
    part -= gray
    part *= share * nearer / away
    part += target
    np.maximum(part, 0, out=part)
    for channel in range(3):
        rgb[channel][marked] = part[channel]


def _raise_luminance(gray: Plane, light: Plane) -> tuple[Plane, Plane]:
    """Hold the luminance above a share of the light; return it and what color is left."""
    light = np.maximum(light, np.float32(1e-12))
    short = np.maximum(np.float32(_FLOOR_BEGINS) - gray / light, 0)
    raised = light * (short - _saturate(short, _FLOOR_BEGINS - _FLOOR))
    left = 1 - raised / np.maximum(light - gray, np.float32(1e-12))
    return gray + raised, left


def _saturate(excess: Plane, limit: float) -> Plane:
    """Press values >= 0 below ``limit``: x / (1 + x / limit)."""
    return np.asarray(excess / (1 + excess * np.float32(1 / limit)), np.float32)
