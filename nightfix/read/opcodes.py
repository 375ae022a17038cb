"""Read: a DNG's opcode lists, the corrections that its maker left to whoever develops it.

List 1 is meant for the samples as stored, list 2 for linear samples before
demosaicing, list 3 for the demosaiced picture. Gain maps of list 2 (lens shading)
are applied here; everything else is passed on as it is or left out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_MAP_TABLE, _MAP_POLYNOMIAL, _GAIN_MAP = 7, 8, 9

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
    """Factors on a coarse grid over the picture, for one site of the mosaic.

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
    found = (_gain_map(code) for code in parse_opcodes(opcodes.linear) if code.number == _GAIN_MAP)
    return tuple(known for known in found if known is not None)


def _gain_map(code: Opcode) -> GainMap | None:
    """Read a gain map for a mosaic: of one plane, so only its first one counts."""
    head = struct.calcsize(">10I4dI")
    if len(code.parameters) < head:
        return None
    numbers = struct.unpack_from(">10I4dI", code.parameters)
    top, left, bottom, right, plane, planes, row_pitch, column_pitch, rows, columns = numbers[:10]
    spacing, origin, map_planes = numbers[10:12], numbers[12:14], numbers[14]
    count = rows * columns * map_planes
    whole = len(code.parameters) == head + 4 * count
    if not whole or count == 0 or max(rows, columns) > _MAX_POINTS or plane != 0 or planes == 0:
        return None
    gains = np.frombuffer(code.parameters, ">f4", offset=head)
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
        gains=gains.reshape(rows, columns, map_planes)[:, :, 0].astype(np.float32),
    )


def correct_shading(mosaic: NDArray[np.float32], opcodes: OpcodeLists) -> NDArray[np.float32]:
    """Apply the gain maps of list 2 to a mosaic.

    Parameters
    ----------
    mosaic : ndarray, shape (H, W), float32
        Black-subtracted, 1.0 = white. Not changed.
    opcodes : OpcodeLists
        Lists of the same photo.

    Returns
    -------
    ndarray, shape (H, W), float32
        ``mosaic`` itself where there are no gain maps. Else clipped above at the
        largest value it had (at least 1.0), so that lamps, which fill every color at
        one level, stay at one level and need no color made up.

    References
    ----------
    Adobe, "Digital Negative (DNG) Specification", version 1.4.0.0, 2012, chapter 7,
    "GainMap".
    """
    maps = gain_maps(opcodes)
    if not maps:
        return mosaic
    limit = np.float32(max(1.0, float(mosaic.max(initial=0))))
    corrected = mosaic.copy()
    for known in maps:
        rows = np.arange(mosaic.shape[0])[known.top : known.bottom : known.row_pitch]
        columns = np.arange(mosaic.shape[1])[known.left : known.right : known.column_pitch]
        area = corrected[
            known.top : known.bottom : known.row_pitch,
            known.left : known.right : known.column_pitch,
        ]
        area *= _interpolate(
            known, rows.astype(np.float64), columns.astype(np.float64), mosaic.shape
        )
    return np.asarray(np.minimum(corrected, limit, out=corrected), np.float32)


def without_gain_maps(opcodes: OpcodeLists) -> OpcodeLists:
    """Return the lists without the gain maps of list 2, which have been applied."""
    kept = tuple(code for code in parse_opcodes(opcodes.linear) if code.number != _GAIN_MAP)
    return replace(opcodes, linear=encode_opcodes(kept))


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
