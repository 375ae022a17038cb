"""Read: the opcodes of a DNG that correct its lens, and what they say of each place.

They are for the demosaiced picture (OpcodeList3), :class:`Vignette` for the mosaic as well
(OpcodeList2). Places are counted in pixels, and made relative to the picture by its corners.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.floating]

WARP_RECTILINEAR, WARP_FISHEYE, FIX_VIGNETTE_RADIAL, WARP_RECTILINEAR_2 = 1, 2, 3, 14

#: Warps that draw pixels further apart than this are damaged, or made to keep us busy.
MOST_STRETCHED = 4.0
_MOST_GAIN = 100.0

#: Warps that move nothing further than this do nothing [share of the picture].
_UNMOVED = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Warp:
    """From where in the distorted picture each pixel of the corrected one is taken.

    Attributes
    ----------
    fisheye : bool
        Whether ``radial`` is for the angle from the axis, as WarpFisheye has it.
    radial : ndarray, shape (sets, terms)
        Factors of the distance from the center, by ascending powers of it: 0, 1, 2...; of a
        fisheye the factors of the odd powers 1, 3, 5, 7 of the angle. One set is for all
        colors, three are for red, green and blue.
    tangential : ndarray, shape (sets, 2)
        kt0 and kt1; 0 of a fisheye.
    valid : ndarray, shape (sets, 2)
        Distances below and beyond which ``radial`` stays what it is there.
    reciprocal : bool
        Whether the factor is the reciprocal of what ``radial`` gives.
    center : (float, float)
        Column and row of the optical center, as shares of the picture.
    """

    fisheye: bool
    radial: NDArray[np.float64]
    tangential: NDArray[np.float64]
    valid: NDArray[np.float64]
    reciprocal: bool
    center: tuple[float, float]

    @property
    def sets(self) -> int:
        """How many colors have factors of their own: 1 or 3."""
        return len(self.radial)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vignette:
    """How much darker the lens made the picture away from its center.

    Attributes
    ----------
    factors : tuple of five float
        k0 to k4 of the gain 1 + k0 r^2 + k1 r^4 + ... + k4 r^10.
    center : (float, float)
        Column and row of the optical center, as shares of the picture.
    """

    factors: tuple[float, ...]
    center: tuple[float, float]


def parse_warp(number: int, parameters: bytes) -> Warp | None:
    """Return a warp of one of the three kinds; None of one that cannot be true.

    References
    ----------
    Adobe, "Digital Negative (DNG) Specification", version 1.4.0.0, 2012, chapter 7,
    "WarpRectilinear" and "WarpFisheye"; version 1.6.0.0, 2021, "WarpRectilinear2".
    """
    terms, tail = {
        WARP_RECTILINEAR: (6, 0),
        WARP_FISHEYE: (4, 0),
        WARP_RECTILINEAR_2: (19, 4),
    }[number]
    sets = struct.unpack_from(">I", parameters)[0] if len(parameters) >= 4 else 0
    if sets not in (1, 3) or len(parameters) != 4 + 8 * (sets * terms + 2) + tail:
        return None
    numbers = np.frombuffer(parameters, ">f8", sets * terms + 2, offset=4).astype(np.float64)
    if not np.isfinite(numbers).all():
        return None
    factors, center = numbers[:-2].reshape(sets, terms), (float(numbers[-2]), float(numbers[-1]))
    radial, tangential = factors[:, :4], np.zeros((sets, 2))
    valid = np.tile([0.0, 1.0], (sets, 1))
    if number == WARP_RECTILINEAR:
        radial, tangential = np.zeros((sets, 7)), factors[:, 4:]
        radial[:, ::2] = factors[:, :4]  # even powers alone
    elif number == WARP_RECTILINEAR_2:
        radial, tangential, valid = factors[:, :15], factors[:, 15:17], factors[:, 17:]
    warp = Warp(
        fisheye=number == WARP_FISHEYE,
        radial=radial,
        tangential=tangential,
        valid=valid,
        reciprocal=parameters[-tail:] != bytes(4) if tail else False,
        center=center,
    )
    return warp if _is_plausible(warp) else None


def parse_vignette(parameters: bytes) -> Vignette | None:
    """Return a correction of vignetting; None of one that cannot be true.

    References
    ----------
    Adobe, "Digital Negative (DNG) Specification", version 1.4.0.0, 2012, chapter 7,
    "FixVignetteRadial".
    """
    if len(parameters) != 56:
        return None
    *factors, across, down = struct.unpack(">7d", parameters)
    known = Vignette(factors=tuple(factors), center=(across, down))
    if not (np.isfinite([*factors, across, down]).all() and _is_inside(known.center)):
        return None
    with np.errstate(all="ignore"):
        gains = _vignette_gains(known, np.linspace(0, 1, _GRID))
    return known if (gains > 0).all() and (gains < _MOST_GAIN).all() else None


def warped(
    warp: Warp, rows: Places, columns: Places, shape: tuple[int, int], color: int
) -> tuple[Places, Places]:
    """Return from where in the distorted picture places of the corrected one are taken.

    Parameters
    ----------
    warp : Warp
        Of the picture.
    rows, columns : ndarray, any one shape, float32 or float64
        Places [px]; those of float32 are right to 0.001 px.
    shape : (int, int)
        Height and width of the whole picture [px].
    color : int
        0, 1, 2 for red, green, blue.

    Returns
    -------
    rows, columns : ndarray, same shape
        Places [px], which may lie outside the picture.

    Notes
    -----
    With the center p, the distance m from it to the furthest corner, d = (x - p) / m and
    r = |d|, of WarpRectilinear

        x' = p + m (d (kr0 + kr1 r^2 + kr2 r^4 + kr3 r^6) + t)
        t  = (2 kt0 dx dy + kt1 (r^2 + 2 dx^2), 2 kt1 dx dy + kt0 (r^2 + 2 dy^2))

    of WarpFisheye, with the angle a = arctan r,

        x' = p + m d (kr0 a + kr1 a^3 + kr2 a^5 + kr3 a^7) / r

    References
    ----------
    Adobe, "Digital Negative (DNG) Specification", version 1.4.0.0, 2012, chapter 7.
    """
    down, across, radius, reach = _normalized(warp.center, rows, columns, shape)
    index = color if warp.sets > 1 else 0
    factor = _radial_factor(warp, index, radius)
    kt0, kt1 = map(float, warp.tangential[index])
    moved_down, moved_across = down * factor, across * factor
    if kt0 or kt1:
        squared, product = radius * radius, 2 * down * across
        moved_across += kt0 * product + kt1 * (squared + 2 * across * across)
        moved_down += kt1 * product + kt0 * (squared + 2 * down * down)
    return rows + reach * (moved_down - down), columns + reach * (moved_across - across)


def vignette_gains(
    vignette: Vignette, rows: Places, columns: Places, shape: tuple[int, int]
) -> Places:
    """Return by how much places of a picture are to be brightened, to undo vignetting.

    Parameters
    ----------
    vignette : Vignette
        Of the picture.
    rows, columns : ndarray, shapes that broadcast, float32 or float64
        Places [px].
    shape : (int, int)
        Height and width of the whole picture [px].

    Notes
    -----
    g = 1 + k0 r^2 + k1 r^4 + k2 r^6 + k3 r^8 + k4 r^10, with r as for :func:`warped`.
    """
    return _vignette_gains(vignette, _normalized(vignette.center, rows, columns, shape)[2])


def moves_green(warp: Warp) -> bool:
    """Tell whether a warp moves green, or all colors alike: it corrects distortion."""
    return bool(np.abs(_moved(warp, min(1, warp.sets - 1))).max() > _UNMOVED)


def moves_colors_apart(warp: Warp) -> bool:
    """Tell whether a warp moves colors differently: it corrects lateral chromatic aberration."""
    green = _moved(warp, min(1, warp.sets - 1))
    return any(np.abs(_moved(warp, k) - green).max() > _UNMOVED for k in range(warp.sets))


def _normalized(
    center: tuple[float, float], rows: Places, columns: Places, shape: tuple[int, int]
) -> tuple[Places, Places, Places, float]:
    """Return dy, dx, r (at most 1) and the distance m that they are in units of [px]."""
    height, width = shape[0] - 1, shape[1] - 1
    row, column = center[1] * height, center[0] * width
    reach = max(float(np.hypot(max(row, height - row), max(column, width - column))), 1.0)
    down, across = (rows - row) / reach, (columns - column) / reach
    return down, across, np.minimum(np.sqrt(down * down + across * across), 1.0), reach


def _radial_factor(warp: Warp, index: int, radius: Places) -> Places:
    """Return by what the distance from the center is multiplied."""
    factors = warp.radial[index]
    if warp.fisheye:
        angle = np.arctan(radius)
        # Both vanish at the center, where their ratio is 1.
        ratio = np.divide(angle, radius, out=np.ones_like(angle), where=radius > 0)
        return ratio * _polynomial(factors, angle * angle)
    low, high = map(float, warp.valid[index])
    radius = np.clip(radius, low, high)
    if not factors[1::2].any():  # of even powers alone, which take no root
        factor = _polynomial(factors[::2], radius * radius)
    else:
        factor = _polynomial(factors, radius)
    return 1 / factor if warp.reciprocal else factor


def _polynomial(factors: NDArray[np.float64], x: Places) -> Places:
    """Return f0 + f1 x + f2 x^2 + ... (Horner)."""
    value = np.full_like(x, factors[-1])
    for factor in map(float, factors[-2::-1]):
        value *= x
        value += factor
    return value


def _vignette_gains(vignette: Vignette, radius: Places) -> Places:
    return _polynomial(np.array([1.0, *vignette.factors]), radius * radius)


def _is_inside(center: tuple[float, float]) -> bool:
    return min(center) >= 0 and max(center) <= 1


def _is_plausible(warp: Warp) -> bool:
    """Tell whether a warp has a center in the picture and draws no pixels far apart."""
    low, high = warp.valid.T
    if not (_is_inside(warp.center) and (low >= 0).all() and (low < high).all()):
        return False
    with np.errstate(all="ignore"):
        return stretch(warp) <= MOST_STRETCHED


def stretch(warp: Warp) -> float:
    """Return how far apart neighboring pixels are drawn at most [px]; infinity if anywhere."""
    places = np.array([_moved(warp, index) for index in range(warp.sets)])
    places += np.array(np.mgrid[:_GRID, :_GRID]) / (_GRID - 1)
    if not np.isfinite(places).all():
        return np.inf
    return float(max(np.abs(np.diff(places, axis=axis)).max() for axis in (-2, -1)) * (_GRID - 1))


#: Points a side at which a warp is looked at.
_GRID = 65


def _moved(warp: Warp, index: int) -> Places:
    """Return how far a square picture of side 1 is moved on a grid of points, shape (2, n, n)."""
    rows, columns = np.mgrid[:_GRID, :_GRID].astype(np.float64)
    moved = np.array(warped(warp, rows, columns, (_GRID, _GRID), index))
    return np.asarray((moved - [rows, columns]) / (_GRID - 1))
