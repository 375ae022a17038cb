"""Read: a DNG's opcode lists, the corrections that its maker left to whoever develops it.

List 1 is meant for the samples as stored, list 2 for linear samples before
demosaicing, list 3 for the demosaiced picture. Gain maps and radial vignetting of list 2
(lens shading) are applied here, and list 3 is read for development; everything else is
passed on as it is or left out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nightfix.read.lens_opcodes import (
    FIX_VIGNETTE_RADIAL,
    MOST_STRETCHED,
    WARP_FISHEYE,
    WARP_RECTILINEAR,
    WARP_RECTILINEAR_2,
    Vignette,
    Warp,
    parse_vignette,
    parse_warp,
    stretch,
    vignette_gains,
)

_MAP_TABLE, _MAP_POLYNOMIAL, _GAIN_MAP = 7, 8, 9
_SHADING = (FIX_VIGNETTE_RADIAL, _GAIN_MAP)
_WARPS = (WARP_RECTILINEAR, WARP_FISHEYE, WARP_RECTILINEAR_2)

#: The specification's names.
_NAMES = {
    1: "WarpRectilinear",
    2: "WarpFisheye",
    3: "FixVignetteRadial",
    4: "FixBadPixelsConstant",
    5: "FixBadPixelsList",
    6: "TrimBounds",
    7: "MapTable",
    8: "MapPolynomial",
    9: "GainMap",
    10: "DeltaPerRow",
    11: "DeltaPerColumn",
    12: "ScalePerRow",
    13: "ScalePerColumn",
    14: "WarpRectilinear2",
}

#: Opcodes whose parameters begin with an area of the active area: TrimBounds, MapTable,
#: MapPolynomial, GainMap, DeltaPerRow, DeltaPerColumn, ScalePerRow, ScalePerColumn.
_WITH_AREA = range(6, 14)

#: Samples of light, 1.0 = white.
Light = NDArray[np.float32]

#: Highest power of a polynomial, and most samples of a pixel.
_MAX_DEGREE, _MAX_PLANES = 8, 4

#: More than any list holds, and than the grid of any gain map has a side; what claims more
#: is damaged, or made to keep us busy.
_MAX_OPCODES, _MAX_POINTS = 64, 256

#: More corrections of a picture than any list asks for; each costs time at every pixel.
_MOST_CORRECTIONS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class OpcodeLists:
    """The three lists as the file holds them, counted from the origin of the mosaic.

    Attributes
    ----------
    stored, linear, demosaiced : bytes
        OpcodeList1, 2 and 3; empty = absent. Big-endian, whatever the file's order.
    """

    stored: bytes = b""
    linear: bytes = b""
    demosaiced: bytes = b""


class Opcode(NamedTuple):
    """One correction: its number, least DNG version, flags and parameters."""

    number: int
    version: int
    flags: int
    parameters: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GainMap:
    """Factors on a coarse grid over the picture, for one site of the mosaic or one color.

    Attributes
    ----------
    top, left, bottom, right : int
        Rectangle of the mosaic it is for [px].
    row_pitch, column_pitch : int
        Every how manieth row and column of the area [px].
    origin, spacing : (float, float)
        Row and column of the grid's first point, and between points, as shares of
        the height and width of the mosaic.
    gains : ndarray, shape (rows, columns), float32
        Factors at the grid's points, linear between and constant beyond them.
    plane : int
        Of a picture: 0, 1, 2 for red, green, blue.
    """

    top: int
    left: int
    bottom: int
    right: int
    row_pitch: int
    column_pitch: int
    origin: tuple[float, float]
    spacing: tuple[float, float]
    gains: NDArray[np.float32]
    plane: int = 0


def parse_opcodes(data: bytes) -> tuple[Opcode, ...]:
    """Return the opcodes of a list; none of one that is cut off or no list at all."""
    if len(data) < 4:
        return ()
    (count,) = struct.unpack_from(">I", data)
    opcodes, position = [], 4
    for _ in range(min(count, _MAX_OPCODES)):
        if position + 16 > len(data):
            return ()
        number, version, flags, size = struct.unpack_from(">4I", data, position)
        position += 16 + size
        if position > len(data):
            return ()
        opcodes.append(Opcode(number, version, flags, data[position - size : position]))
    return tuple(opcodes)


def encode_opcodes(opcodes: tuple[Opcode, ...]) -> bytes:
    """Return a list as a DNG holds it; nothing for an empty one."""
    parts = [
        struct.pack(">4I", code.number, code.version, code.flags, len(code.parameters))
        + code.parameters
        for code in opcodes
    ]
    return struct.pack(">I", len(parts)) + b"".join(parts) if parts else b""


def shift_areas(data: bytes, top: int, left: int) -> bytes:
    """Count a list's areas from ``(top, left)`` of where they were counted from [px].

    A first row or column that falls outside moves on by its pitch, so that an area
    which is for one color of the mosaic stays with that color.
    """
    if not (top or left):
        return data
    return encode_opcodes(tuple(_shifted(code, top, left) for code in parse_opcodes(data)))


def _shifted(code: Opcode, top: int, left: int) -> Opcode:
    if code.number not in _WITH_AREA or len(code.parameters) < 16:
        return code
    area = list(struct.unpack_from(">4I", code.parameters))
    pitches = (1, 1)
    if len(code.parameters) >= 32:
        pitches = struct.unpack_from(">2I", code.parameters, 24)
    for axis, offset in enumerate((top, left)):
        first, last = area[axis] - offset, area[axis + 2] - offset
        pitch = max(1, pitches[axis])
        area[axis] = first if first >= 0 else first % pitch
        area[axis + 2] = max(last, 0)
    return code._replace(parameters=struct.pack(">4I", *area) + code.parameters[16:])


class Curve(NamedTuple):
    """A function of the values of an area: a MapTable or MapPolynomial.

    Attributes
    ----------
    rows, columns : slice
        Where it is for [px].
    planes : range
        Of which samples of a pixel.
    function : callable
        From values to values, 1.0 = white.
    """

    rows: slice
    columns: slice
    planes: range
    function: Callable[[Light], Light]

    def apply(self, light: Light) -> None:
        """Change ``light``, shape (H, W, planes), in place."""
        for plane in self.planes:
            if plane < light.shape[2]:
                area = light[self.rows, self.columns, plane]
                area[...] = self.function(area)


def first_curves(data: bytes) -> tuple[Curve, ...]:
    """Return the curves that a list begins with, by which few bits hold many tones.

    Parameters
    ----------
    data : bytes
        OpcodeList2, for samples that are black-subtracted, 1.0 = white.

    Returns
    -------
    tuple of Curve
        Up to the first opcode that is no curve, or damaged. Values above 1 become that of 1; below
        0 a polynomial goes on as a line, and a table at its first value.

    References
    ----------
    Adobe, "Digital Negative (DNG) Specification", version 1.7.1.0, 2023, chapter 7, "MapTable",
    "MapPolynomial".
    """
    curves = []
    for code in parse_opcodes(data):
        function = _function(code)
        if function is None:
            break
        top, left, bottom, right, plane, planes, down, across = struct.unpack_from(
            ">8I", code.parameters
        )
        rows, columns = slice(top, bottom, max(down, 1)), slice(left, right, max(across, 1))
        curves.append(
            Curve(rows, columns, range(plane, plane + min(planes, _MAX_PLANES)), function)
        )
    return tuple(curves)


def without_first(data: bytes, count: int) -> bytes:
    """Return a list without its first ``count`` opcodes, which have been applied."""
    return encode_opcodes(parse_opcodes(data)[count:]) if count else data


def _function(code: Opcode) -> Callable[[Light], Light] | None:
    """Return what a MapTable or MapPolynomial does to values; None of anything else."""
    if code.number not in (_MAP_TABLE, _MAP_POLYNOMIAL) or len(code.parameters) < 36:
        return None
    (size,) = struct.unpack_from(">I", code.parameters, 32)
    if code.number == _MAP_TABLE:
        if not 0 < size <= 65536 or len(code.parameters) != 36 + 2 * size:
            return None
        table = np.frombuffer(code.parameters, ">u2", offset=36).astype(np.float32) / 65535
        places = np.arange(size, dtype=np.float32) / 65535
        return lambda x: np.interp(x, places, table).astype(np.float32)
    if size > _MAX_DEGREE or len(code.parameters) != 36 + 8 * (size + 1):
        return None
    terms = np.frombuffer(code.parameters, ">f8", offset=36).astype(np.float32)
    if not np.isfinite(terms).all():
        return None
    return lambda x: _polynomial(x, terms)


def _polynomial(x: Light, terms: NDArray[np.float32]) -> Light:
    value = np.zeros_like(x)
    above = np.clip(x, 0, 1)
    for term in terms[::-1]:
        value = value * above + term
    slope = terms[1] if len(terms) > 1 else np.float32(0)
    return np.minimum(value + np.minimum(x, 0) * slope, np.float32(1))


def gain_maps(opcodes: OpcodeLists) -> tuple[GainMap, ...]:
    """Return the gain maps of list 2, in order; those that cannot be true are left out."""
    codes = parse_opcodes(opcodes.linear)
    return tuple(known for code in codes for known in _gain_maps(code, colors=1))


def picture_corrections(
    opcodes: OpcodeLists, colors: int
) -> tuple[tuple[Warp | Vignette | GainMap, ...], tuple[str, ...]]:
    """Return what list 3 asks to be done to the demosaiced picture.

    Parameters
    ----------
    opcodes : OpcodeLists
        Lists of the photo.
    colors : int
        Of the picture, 1 or 3.

    Returns
    -------
    corrections : tuple of Warp, Vignette or GainMap
        In order.
    others : tuple of str
        The specification's names of opcodes that are no corrections of a lens, of those that
        cannot be true, and of those behind the first 16.
    """
    found: list[Warp | Vignette | GainMap] = []
    others: list[str] = []
    for code in parse_opcodes(opcodes.demosaiced):
        known: list[Warp | Vignette | GainMap] = []
        if code.number in _WARPS:
            warp = parse_warp(code.number, code.parameters)
            known = [warp] if warp is not None and warp.sets in (1, colors) else []
        elif code.number == FIX_VIGNETTE_RADIAL:
            vignette = parse_vignette(code.parameters)
            known = [] if vignette is None else [vignette]
        else:
            maps = _gain_maps(code, colors)
            known = [each for each in maps if each.row_pitch == each.column_pitch == 1]
        if len(found) + len(known) > _MOST_CORRECTIONS:
            known = []
        found += known
        if not known:
            others.append(_NAMES.get(code.number, f"opcode {code.number}"))
    warps = [each for each in found if isinstance(each, Warp)]
    if len(warps) > 1 and np.prod([stretch(each) for each in warps]) > MOST_STRETCHED:
        return (), (*others, "a chain of warps")
    return tuple(found), tuple(others)


def _gain_maps(code: Opcode, colors: int) -> list[GainMap]:
    """Read a gain map, one for each plane that it is for; those that cannot be true are none."""
    if code.number != _GAIN_MAP or len(code.parameters) < 24:
        return []
    plane, planes = struct.unpack_from(">2I", code.parameters, 16)
    wanted = range(plane, min(plane + planes, colors))
    found = (_gain_map(code, each - plane) for each in wanted)
    return [replace(known, plane=plane + n) for n, known in enumerate(found) if known is not None]


def _gain_map(code: Opcode, index: int) -> GainMap | None:
    """Read the ``index``-th plane of a gain map; the last one is for those that follow it."""
    head = struct.calcsize(">10I4dI")
    if len(code.parameters) < head:
        return None
    numbers = struct.unpack_from(">10I4dI", code.parameters)
    top, left, bottom, right, _, _, row_pitch, column_pitch, rows, columns = numbers[:10]
    spacing, origin, map_planes = numbers[10:12], numbers[12:14], numbers[14]
    count = rows * columns * map_planes
    whole = len(code.parameters) == head + 4 * count
    if not whole or count == 0 or max(rows, columns) > _MAX_POINTS:
        return None
    gains = np.frombuffer(code.parameters, ">f4", offset=head).astype(np.float32)
    sane = (gains > 0).all() and np.isfinite(gains).all() and np.isfinite(numbers[10:14]).all()
    if not sane or row_pitch == 0 or column_pitch == 0 or min(spacing) < 0:
        return None
    return GainMap(
        top=top,
        left=left,
        bottom=bottom,
        right=right,
        row_pitch=row_pitch,
        column_pitch=column_pitch,
        origin=origin,
        spacing=spacing,
        gains=gains.reshape(rows, columns, map_planes)[:, :, min(index, map_planes - 1)],
    )


def correct_shading(mosaic: NDArray[np.float32], opcodes: OpcodeLists) -> NDArray[np.float32]:
    """Apply the gain maps and the radial vignetting of list 2 to a mosaic.

    Parameters
    ----------
    mosaic : ndarray, shape (H, W) or (H, W, 3), float32
        Black-subtracted, 1.0 = white. Not changed.
    opcodes : OpcodeLists
        Lists of the same photo.

    Returns
    -------
    ndarray, same shape, float32
        ``mosaic`` itself where there are none. Else clipped above at the
        largest value it had (at least 1.0), so that lamps, which fill every color at
        one level, stay at one level and need no color made up.

    References
    ----------
    Adobe, "Digital Negative (DNG) Specification", version 1.4.0.0, 2012, chapter 7,
    "GainMap" and "FixVignetteRadial".
    """
    of_colors = mosaic.ndim == 3
    shading = _shading(opcodes, 3 if of_colors else 1)
    if not shading:
        return mosaic
    limit = np.float32(max(1.0, float(mosaic.max(initial=0))))
    corrected = mosaic.copy()
    for known in shading:
        if isinstance(known, Vignette):
            _brighten(corrected, known)
            continue
        rows = np.arange(mosaic.shape[0])[known.top : known.bottom : known.row_pitch]
        columns = np.arange(mosaic.shape[1])[known.left : known.right : known.column_pitch]
        area = (corrected[..., known.plane] if of_colors else corrected)[
            known.top : known.bottom : known.row_pitch,
            known.left : known.right : known.column_pitch,
        ]
        area *= _interpolate(
            known, rows.astype(np.float64), columns.astype(np.float64), mosaic.shape[:2]
        )
    return np.asarray(np.minimum(corrected, limit, out=corrected), np.float32)


def has_shading(opcodes: OpcodeLists) -> bool:
    """Tell whether list 2 asks for something that :func:`correct_shading` does."""
    return bool(_shading(opcodes, 3))


def _shading(opcodes: OpcodeLists, colors: int) -> list[GainMap | Vignette]:
    """Return what is done to a mosaic, or to its colors, in order."""
    found: list[GainMap | Vignette] = []
    for code in parse_opcodes(opcodes.linear):
        found += _gain_maps(code, colors)
        if code.number == FIX_VIGNETTE_RADIAL:
            found += filter(None, [parse_vignette(code.parameters)])
    return found


def _brighten(mosaic: NDArray[np.float32], vignette: Vignette) -> None:
    """Undo vignetting in place, some rows at a time."""
    height, width = mosaic.shape[:2]
    columns = np.arange(width, dtype=np.float64)
    for top in range(0, height, 64):
        rows = np.arange(top, min(top + 64, height), dtype=np.float64)[:, None]
        gains = vignette_gains(vignette, rows, columns, (height, width))
        part = mosaic[top : top + 64]
        part *= gains.astype(np.float32).reshape(gains.shape + (1,) * (mosaic.ndim - 2))


def without_gain_maps(opcodes: OpcodeLists) -> OpcodeLists:
    """Return the lists without the shading of list 2, which has been corrected."""
    kept = tuple(code for code in parse_opcodes(opcodes.linear) if code.number not in _SHADING)
    return replace(opcodes, linear=encode_opcodes(kept))


def map_gains(
    known: GainMap,
    rows: NDArray[np.floating],
    columns: NDArray[np.floating],
    shape: tuple[int, int],
) -> NDArray[np.floating]:
    """Return the factors of a gain map at any places of a picture; 1 outside its area.

    Parameters
    ----------
    known : GainMap
        Of the picture.
    rows, columns : ndarray, any one shape
        Places [px].
    shape : (int, int)
        Height and width of the whole picture [px].
    """
    with np.errstate(over="ignore"):  # far beyond the grid is its last point
        lines = [
            ((places + 0.5) / side - origin) / spacing if spacing > 0 else np.zeros_like(places)
            for places, side, origin, spacing in zip(
                (rows, columns), shape, known.origin, known.spacing, strict=True
            )
        ]
    gains = interpolate_grid(known.gains, *lines)
    inside = (known.top - 0.5 <= rows) & (rows < known.bottom - 0.5)
    inside &= (known.left - 0.5 <= columns) & (columns < known.right - 0.5)
    return np.where(inside, gains, 1.0)


def interpolate_grid(
    grid: NDArray[np.float32], rows: NDArray[np.floating], columns: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Return values between the points of a grid, linear between and constant beyond them.

    Parameters
    ----------
    grid : ndarray, shape (h, w)
        Values at whole numbers.
    rows, columns : ndarray, any one shape
        Places, in points of the grid.

    Examples
    --------
    >>> grid = np.array([[0, 2], [4, 6]], np.float32)
    >>> interpolate_grid(grid, np.array([0.5, 9.0]), np.array([0.5, 0.0])).tolist()
    [3.0, 4.0]
    """
    down, across = (
        np.clip(places, 0, side - 1)
        for places, side in zip((rows, columns), grid.shape, strict=True)
    )
    top = np.minimum(down.astype(np.intp), max(grid.shape[0] - 2, 0))
    left = np.minimum(across.astype(np.intp), max(grid.shape[1] - 2, 0))
    bottom, right = np.minimum(top + 1, grid.shape[0] - 1), np.minimum(left + 1, grid.shape[1] - 1)
    down, across = down - top, across - left
    above = grid[top, left] * (1 - across) + grid[top, right] * across
    below = grid[bottom, left] * (1 - across) + grid[bottom, right] * across
    return np.asarray(above * (1 - down) + below * down)


def _interpolate(
    known: GainMap,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    shape: tuple[int, ...],
) -> NDArray[np.float32]:
    """Return the factors at rows and columns of the mosaic, shape (rows, columns)."""
    down = _weights((rows + 0.5) / shape[0], known.origin[0], known.spacing[0], known.gains, 0)
    across = _weights((columns + 0.5) / shape[1], known.origin[1], known.spacing[1], known.gains, 1)
    return np.asarray(down @ known.gains @ across.T, np.float32)


def _weights(
    places: NDArray[np.float64],
    origin: float,
    spacing: float,
    gains: NDArray[np.float32],
    axis: int,
) -> NDArray[np.float32]:
    """Return the share of each grid point at each place, shape (places, points)."""
    points = gains.shape[axis]
    index = (places - origin) / spacing if spacing > 0 else np.zeros_like(places)
    distance = np.abs(np.clip(index, 0, points - 1)[:, None] - np.arange(points))
    return np.asarray(np.maximum(0, 1 - distance), np.float32)
