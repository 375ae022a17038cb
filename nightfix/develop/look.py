"""Develop: a look: the colors and tones of a camera's or a photographer's own pictures.

Three steps from the scene's light to what is shown, each smaller than the one before: a
matrix (white balance, hue, saturation), one tone curve for all channels, and a coarse table
of what is left. A look is a JSON file of some kilobytes.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray

from nightfix.develop.color import COLOR_SPACES, between_spaces
from nightfix.develop.tone import fit_gamut, press_highlights, tone_map
from nightfix.errors import LookError, did_you_mean

Plane = NDArray[np.float32]

#: Space of the light that a look is given, and of the picture that it makes.
LIGHT_SPACE, LOOK_SPACE = "rec2020", "srgb"

#: Levels of the curve are equally far apart in light^(1/2.4), about as the eye sees them.
CURVE_SIZE, CURVE_GAMMA = 65, 2.4

#: Values along each side of the table.
TABLE_SIZE = 9

#: Up to this share of the level at which the curve ends lamps change nothing.
_KNEE = 0.6

#: Longest file that is read as a look [bytes].
_LONGEST = 1 << 20

_KIND = "nightfix look"
_SUFFIX = ".json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Colors and tones that a scene's light becomes.

    Parameters
    ----------
    matrix : ndarray, shape (3, 3), float32
        Linear BT.2020 to linear sRGB.
    curve : ndarray, shape (65,), float32, or None
        Encoded sRGB at the levels (i / 64)^2.4 of light, i = 0..64; rising, in [0, 1].
        None: tones stay NightFix's own.
    table : ndarray, shape (9, 9, 9, 3), float32, or None
        What is added to encoded sRGB at red, green, blue = i / 8.
    """

    matrix: NDArray[np.float32]
    curve: NDArray[np.float32] | None = None
    table: NDArray[np.float32] | None = None

    def apply(self, light: Plane, brightest: float) -> Plane:
        """Turn light into a picture.

        Parameters
        ----------
        light : ndarray, shape (3, ...), float32
            Linear BT.2020, balanced, 1.0 = white, lamps above.
        brightest : float
            Level that becomes white; lamps keep their gradation up to here.

        Returns
        -------
        ndarray, same shape
            Encoded sRGB in [0, 1].

        Notes
        -----
        A curve is learned up to white. Lamps above it are pressed below the level t where
        the curve nearly ends, from 0.6 t on, by the shoulder of
        :func:`nightfix.develop.tone.press_highlights`, so they keep hue and gradation.
        """
        space = COLOR_SPACES[LOOK_SPACE]
        rgb = np.tensordot(self.matrix, light, axes=1).astype(np.float32, copy=False)
        fit_gamut(rgb, space.rgb_to_xyz[1].astype(np.float32))
        if self.curve is None:
            shown = space.encode(tone_map(rgb, brightest))
        else:
            top = np.float32(_end_of_curve(self.curve))
            pressed = press_highlights(rgb / top, brightest / float(top), knee=_KNEE)
            shown = apply_curve(self.curve, pressed * top)
        if self.table is not None:
            shown = shown + apply_table(self.table, shown)
        return np.asarray(np.clip(shown, 0, 1), np.float32)


def _end_of_curve(curve: NDArray[np.float32]) -> float:
    """Return the level from which a curve rises no more."""
    last = int(np.argmax(curve >= curve[-1] - 1e-2))
    return float((max(last, 1) / (CURVE_SIZE - 1)) ** CURVE_GAMMA)


def curve_position(level: Plane) -> Plane:
    """Return where levels lie on a curve, 0 to 64; those above white lie at its end."""
    position = np.clip(level, 0, 1) ** np.float32(1 / CURVE_GAMMA)
    return np.asarray(position * np.float32(CURVE_SIZE - 1), np.float32)


def apply_curve(curve: NDArray[np.floating], level: Plane) -> Plane:
    """Return a curve at levels of any shape, straight between its values."""
    position = curve_position(level)
    below = np.minimum(position.astype(np.intp), CURVE_SIZE - 2)
    low = curve[below]
    return np.asarray(low + (position - below) * (curve[below + 1] - low), np.float32)


def table_corners(rgb: Plane, size: int = TABLE_SIZE) -> tuple[NDArray[np.intp], Plane]:
    """Find the eight values of a table around colors.

    Parameters
    ----------
    rgb : ndarray, shape (3, n)
        In [0, 1].
    size : int
        Values along each side.

    Returns
    -------
    (ndarray, ndarray), shape (8, n) both
        Places in the flat table, red slowest, and their trilinear weights (sum 1).
    """
    position = np.clip(rgb, 0, 1) * np.float32(size - 1)
    below = np.minimum(position.astype(np.intp), size - 2)
    share = position - below
    places, weights = [], []
    for corner in np.ndindex(2, 2, 2):
        sides = [below[c] + up for c, up in enumerate(corner)]
        places.append((sides[0] * size + sides[1]) * size + sides[2])
        parts = [share[c] if up else 1 - share[c] for c, up in enumerate(corner)]
        weights.append(parts[0] * parts[1] * parts[2])
    return np.stack(places), np.stack(weights)


def apply_table(table: NDArray[np.float32], rgb: Plane) -> Plane:
    """Return a table's values at colors (3, ...), trilinear between its own."""
    flat, values = rgb.reshape(3, -1), table.reshape(-1, 3)
    places, weights = table_corners(flat, table.shape[0])
    found = np.zeros_like(flat)
    for place, weight in zip(places, weights, strict=True):
        found += values[place].T * weight
    return found.reshape(rgb.shape)


def looks_folder() -> Path:
    """Return where looks are kept: ``NIGHTFIX_LOOKS_DIR``, else with the user's settings."""
    named = os.environ.get("NIGHTFIX_LOOKS_DIR")
    return Path(named) if named else platformdirs.user_config_path("nightfix") / "looks"


def known_looks() -> dict[str, Path]:
    """Return the files of the looks that were learned, by name."""
    return {path.stem: path for path in sorted(looks_folder().glob(f"[!.]*{_SUFFIX}"))}


def look_path(name: str | os.PathLike[str]) -> Path:
    """Return the file of a look's name, or the file itself if a path was given.

    Raises
    ------
    LookError
        If there is neither.
    """
    path, known = Path(name), known_looks()
    if path.suffix == _SUFFIX and path.is_file():
        return path
    if os.fspath(name) in known:
        return known[os.fspath(name)]
    some = f"; there are {', '.join(known)}" if known else ""
    otherwise = f"nightfix look learn FOLDER --name NAME makes one{some}"
    raise LookError(
        os.fspath(name), "no such look", did_you_mean(os.fspath(name), known, otherwise)
    )


def read_look(name: str | os.PathLike[str]) -> Look:
    """Read a look by its name or path.

    Raises
    ------
    LookError
        If there is none, or the file is damaged or no look.
    """
    path = look_path(name)
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_LONGEST))
        if found["kind"] != _KIND:
            raise ValueError("of another kind")
        return Look(
            matrix=_array(found["matrix"], (3, 3)),
            curve=_array(found["curve"], (CURVE_SIZE,)),
            table=_array(found["table"], (TABLE_SIZE, TABLE_SIZE, TABLE_SIZE, 3)),
        )
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise LookError(
            str(path), "no look, or damaged", "nightfix look learn FOLDER --name NAME"
        ) from error


def _array(values: object, shape: tuple[int, ...]) -> NDArray[np.float32]:
    array = np.array(values, np.float32).reshape(shape)
    if not np.isfinite(array).all() or np.abs(array).max() > 100:
        raise ValueError("numbers out of range")
    return array


def encode_look(look: Look) -> bytes:
    """Return the file of a learned look, with matrix, curve and table."""
    parts = {"matrix": look.matrix, "curve": look.curve, "table": look.table}
    rounded = {
        name: [round(float(value), 5) for value in part.ravel()]
        for name, part in parts.items()
        if part is not None
    }
    return json.dumps({"kind": _KIND, **rounded}).encode()


def encode_cube(look: Look, title: str, *, size: int = 33) -> bytes:
    """Return a look as a ``.cube`` table for editors.

    Parameters
    ----------
    look : Look
        The look.
    title : str
        Shown by some editors.
    size : int
        Colors along each side.

    Returns
    -------
    bytes
        From the picture without any tone curve (linear light up to white, in sRGB
        primaries and encoded as sRGB, ``--tone linear``) to the look's, encoded sRGB too.

    References
    ----------
    Adobe, "Cube LUT Specification", version 1.0, 2013: red changes fastest.
    """
    own, wide = COLOR_SPACES[LOOK_SPACE], COLOR_SPACES[LIGHT_SPACE]
    steps = np.linspace(0, 1, size, dtype=np.float32)
    blue, green, red = (axis.ravel() for axis in np.meshgrid(steps, steps, steps, indexing="ij"))
    linear = own.decode(np.stack([red, green, blue]))
    to_wide = between_spaces(own, wide).astype(np.float32)
    shown = look.apply(np.tensordot(to_wide, linear, axes=1), 1.0)
    plain = "".join(c for c in title if c.isprintable() and c not in '"\\')
    lines = [f'TITLE "{plain}"', f"LUT_3D_SIZE {size}"]
    lines += ["{:.6f} {:.6f} {:.6f}".format(*color) for color in shown.T.tolist()]
    return ("\n".join(lines) + "\n").encode()


def color_difference(first: Plane, second: Plane) -> NDArray[np.float64]:
    """Return how far colors are from each other, by CIEDE2000.

    Parameters
    ----------
    first, second : ndarray, shape (n, 3)
        Encoded sRGB in [0, 1].

    Returns
    -------
    ndarray, shape (n,), float64
        1 is about what is just seen side by side.

    References
    ----------
    CIE 142-2001; Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula:
    implementation notes", Color Research and Application 30, 2005.
    """
    return ciede2000(_to_lab(first), _to_lab(second))


def _to_lab(encoded: Plane) -> NDArray[np.float64]:
    """Return CIELAB of encoded sRGB, relative to its own white."""
    space = COLOR_SPACES[LOOK_SPACE]
    matrix = space.rgb_to_xyz / space.rgb_to_xyz.sum(axis=1, keepdims=True)
    xyz = space.decode(encoded) @ matrix.T
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def ciede2000(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return CIEDE2000 of two arrays of CIELAB colors, shape (n, 3), as :func:`color_difference`.

    Examples
    --------
    Of the published test data:

    >>> pairs = [[[50, 2.6772, -79.7751], [50, 0, -82.7485]], [[50, 2.5, 0], [58, 24, 15]]]
    >>> ciede2000(*np.moveaxis(np.array(pairs), 1, 0)).round(4).tolist()
    [2.0425, 19.4535]
    """
    (l1, a1, b1), (l2, a2, b2) = first.T, second.T
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = (1 - np.sqrt(mean**7 / (mean**7 + 25.0**7))) / 2
    c1, c2 = np.hypot((1 + g) * a1, b1), np.hypot((1 + g) * a2, b2)
    h1, h2 = np.arctan2(b1, (1 + g) * a1), np.arctan2(b2, (1 + g) * a2)
    gray = c1 * c2 == 0
    turn = np.where(gray, 0, (h2 - h1 + math.pi) % (2 * math.pi) - math.pi)
    hue_mean = np.where(gray, h1 + h2, h1 + turn / 2)
    delta_h = 2 * np.sqrt(c1 * c2) * np.sin(turn / 2)
    from_gray, c = (l1 + l2) / 2 - 50, (c1 + c2) / 2
    t = 1 - 0.17 * np.cos(hue_mean - math.radians(30)) + 0.24 * np.cos(2 * hue_mean)
    t += 0.32 * np.cos(3 * hue_mean + math.radians(6))
    t -= 0.20 * np.cos(4 * hue_mean - math.radians(63))
    s_l = 1 + 0.015 * from_gray**2 / np.sqrt(20 + from_gray**2)
    s_c, s_h = 1 + 0.045 * c, 1 + 0.015 * c * t
    degrees = np.degrees(hue_mean) % 360
    theta = math.radians(30) * np.exp(-(((degrees - 275) / 25) ** 2))
    r_t = -2 * np.sqrt(c**7 / (c**7 + 25.0**7)) * np.sin(2 * theta)
    chroma, hue = (c2 - c1) / s_c, delta_h / s_h
    total = ((l2 - l1) / s_l) ** 2 + chroma**2 + hue**2 + r_t * chroma * hue
    return np.asarray(np.sqrt(np.maximum(total, 0)))
