"""Develop: a look as the parts of a DNG camera profile: a table of hues, then a tone curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nightfix.develop.color import COLOR_SPACES, between_spaces
from nightfix.develop.look import (
    CURVE_GAMMA,
    CURVE_SIZE,
    LIGHT_SPACE,
    LOOK_SPACE,
    Look,
    color_difference,
)
from nightfix.develop.tone import fit_gamut

Plane = NDArray[np.float32]

#: Values, hues and saturations of the table. As many in all as Adobe's DNG SDK reads of a look
#: table (18432); tones bend more than hues.
TABLE_SHAPE = (32, 36, 16)

#: Stands for a value or a saturation of 0, which has no color to take a hue from.
_LEAST = 0.01

#: How much the curve rises at least between two levels, so that it can be undone.
_LEAST_RISE = 1e-6

#: Encoded sRGB of the colors by which a profile is judged, along each channel: neither black nor
#: clipped.
_TEST_LEVELS = np.linspace(0.02, 0.95, 12, dtype=np.float32)

_PROFILE, _LIGHT, _SHOWN = (COLOR_SPACES[name] for name in ("prophoto", LIGHT_SPACE, LOOK_SPACE))


@dataclass(frozen=True, slots=True, kw_only=True)
class LookProfile:
    """What a profile does to light between exposure and output.

    Parameters
    ----------
    curve : ndarray, shape (65, 2), float32
        Light and what becomes of it, both linear, rising from (0, 0) to (1, 1).
    table : ndarray, shape (32, 36, 16, 3), float32
        By value (encoded as sRGB), hue and saturation: hue shift [degrees], factor of the
        saturation, factor of the encoded value. It stands before the curve.
    tint : float
        Mean CIEDE2000 between the look's grays and neutral ones, which are what a profile
        makes of gray.
    """

    curve: NDArray[np.float32]
    table: NDArray[np.float32]
    tint: float

    def apply(self, rgb: Plane) -> Plane:
        """Do what an editor does with the profile.

        Parameters
        ----------
        rgb : ndarray, shape (3, n), float32
            Linear ProPhoto RGB; 1.0 = white, lamps above it are clipped.

        Returns
        -------
        ndarray, same shape
            Linear ProPhoto RGB in [0, 1].

        References
        ----------
        Adobe DNG specification 1.7, chapter 6, "Hue/Saturation/Value Mapping Table".
        """
        hue, saturation, value = _to_hsv(np.clip(rgb, 0, 1))
        encoded = _SHOWN.encode(value)
        shift, more_color, more_light = self._look_up(hue, saturation, encoded)
        turned = _to_rgb(
            hue + shift / 60,
            np.minimum(saturation * more_color, 1),
            _SHOWN.decode(np.clip(encoded * more_light, 0, 1)),
        )
        return _tone(turned, *self.curve.T)

    def _look_up(self, hue: Plane, saturation: Plane, encoded: Plane) -> Plane:
        """Return the table's values at colors, trilinear between its own, shape (3, n)."""
        values, hues, saturations = self.table.shape[:3]
        place = np.stack([encoded * (values - 1), hue / 6 * hues, saturation * (saturations - 1)])
        last = np.array([[values - 2], [hues - 1], [saturations - 2]])
        low = np.minimum(place.astype(np.intp), last)
        share = place - low
        found = np.zeros((hue.size, 3), np.float32)
        for up in np.ndindex(2, 2, 2):
            v, h, s = low + np.array(up)[:, None]
            weight = np.where(np.array(up)[:, None], share, 1 - share).prod(axis=0)
            found += weight[:, None] * self.table[v, h % hues, s]
        return found.T


def profile_of(look: Look) -> LookProfile:
    """Put a look into the parts of a profile.

    Parameters
    ----------
    look : Look
        The look, which acts on light up to white.

    Returns
    -------
    LookProfile
        It leaves gray light gray whatever the look does to it: an editor balances gray to
        white, and the table turns no color without saturation.

    Notes
    -----
    With F the look, c_k what it makes of gray in channel k, and T its luminance, the
    curve is T. First F is balanced, F'_k = T(c_k^-1(F_k)), so that gray stays gray; then
    the table takes each of its colors to T^-1(F'). So a matrix, a curve by channels of
    another space than the profile's and the look's own table all end up in the table,
    exact at its places.
    """
    levels = np.linspace(0, 1, CURVE_SIZE, dtype=np.float32) ** np.float32(CURVE_GAMMA)
    rising = np.arange(CURVE_SIZE, dtype=np.float32) * np.float32(_LEAST_RISE)
    grays = np.maximum.accumulate(_render(look, np.tile(levels, (3, 1))), axis=1) + rising
    curve = np.asarray(_SHOWN.rgb_to_xyz[1] @ grays, np.float32)
    value, hue, saturation = _places()
    light = _to_rgb(hue, saturation, _SHOWN.decode(value))
    shown = _render(look, light)
    balanced = np.stack([np.interp(shown[c], grays[c], curve) for c in range(3)])
    wanted = np.clip(between_spaces(_SHOWN, _PROFILE) @ balanced, 0, 1).astype(np.float32)
    to_hue, to_saturation, to_value = _to_hsv(_tone(wanted, curve, levels))
    shift = ((to_hue - hue + 3) % 6 - 3) * 60
    table = np.stack([shift, to_saturation / saturation, _SHOWN.encode(to_value) / value], axis=-1)
    table = table.astype(np.float32).reshape(*TABLE_SHAPE, 3)
    table[:, :, 0, 2] = 1  # the specification wants it so; gray is the curve's
    points = np.stack([levels, curve], axis=1)
    points[0], points[-1] = 0, 1
    gray = _SHOWN.encode(np.tile(curve, (3, 1)))
    tint = float(color_difference(_SHOWN.encode(grays).T, gray.T).mean())
    return LookProfile(curve=points, table=table, tint=tint)


def profile_difference(look: Look, profile: LookProfile) -> NDArray[np.float64]:
    """Return how far a profile's colors are from the look's, by CIEDE2000, shape (1728,).

    The colors are evenly spaced in encoded sRGB, from 2 to 95 % of each channel: many more
    saturated and bright ones than photos have.
    """
    axes = np.meshgrid(_TEST_LEVELS, _TEST_LEVELS, _TEST_LEVELS)
    encoded = np.stack([axis.ravel() for axis in axes])
    light = np.asarray(between_spaces(_SHOWN, _PROFILE) @ _SHOWN.decode(encoded), np.float32)
    shown = np.asarray(between_spaces(_PROFILE, _SHOWN) @ profile.apply(light), np.float32)
    return color_difference(_SHOWN.encode(shown).T, _SHOWN.encode(_render(look, light)).T)


def _places() -> tuple[Plane, Plane, Plane]:
    """Return encoded value, hue and saturation of the table's places, shape (n,) each."""
    values, hues, saturations = TABLE_SHAPE
    value, hue, saturation = np.meshgrid(
        np.maximum(np.linspace(0, 1, values, dtype=np.float32), np.float32(_LEAST)),
        np.arange(hues, dtype=np.float32) * np.float32(6 / hues),
        np.maximum(np.linspace(0, 1, saturations, dtype=np.float32), np.float32(_LEAST)),
        indexing="ij",
    )
    return value.ravel(), hue.ravel(), saturation.ravel()


def _render(look: Look, rgb: Plane) -> Plane:
    """Return linear sRGB of what a look makes of linear ProPhoto RGB, shape (3, n)."""
    light = np.asarray(between_spaces(_PROFILE, _LIGHT) @ rgb, np.float32)
    fit_gamut(light, _LIGHT.rgb_to_xyz[1].astype(np.float32))
    return _SHOWN.decode(look.apply(light, 1.0))


def _tone(rgb: Plane, levels: Plane, shown: Plane) -> Plane:
    """Apply a curve to the largest and smallest channel; the other keeps its share between."""
    low, high = rgb.min(axis=0), rgb.max(axis=0)
    share = (rgb - low) / np.maximum(high - low, np.float32(1e-12))
    low, high = np.interp(low, levels, shown), np.interp(high, levels, shown)
    return np.asarray(low + (high - low) * share, np.float32)


def _to_hsv(rgb: Plane) -> Plane:
    """Return hue (0 to 6), saturation and value of RGB >= 0, shape (3, n)."""
    r, g, b = rgb
    value = rgb.max(axis=0)
    chroma = value - rgb.min(axis=0)
    gap = np.maximum(chroma, np.float32(1e-12))
    hue = np.where(
        value == r, (g - b) / gap % 6, np.where(value == g, 2 + (b - r) / gap, 4 + (r - g) / gap)
    )
    return np.stack([hue, chroma / np.maximum(value, np.float32(1e-12)), value])


def _to_rgb(hue: Plane, saturation: Plane, value: Plane) -> Plane:
    """Return RGB of a hue of any whole turn, saturation and value, shape (3, n)."""
    place = (np.array([[5], [3], [1]], np.float32) + hue) % 6
    away = np.clip(np.minimum(place, 4 - place), 0, 1)
    return np.asarray(value - value * saturation * away, np.float32)
