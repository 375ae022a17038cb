"""DNG files for the tests, written byte by byte: nothing here comes from the package."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL, DOUBLE = 1, 2, 3, 4, 5, 7, 10, 12
STRUCT_CODES = {SHORT: "H", LONG: "I", RATIONAL: "I", SRATIONAL: "i", DOUBLE: "d"}

COLORS = {"R": 0, "G": 1, "B": 2, "C": 3, "M": 4, "Y": 5, "W": 6}
DAYLIGHT_MATRIX = (0.8, -0.2, -0.05, -0.45, 1.25, 0.2, -0.1, 0.2, 0.6)
TUNGSTEN_MATRIX = (0.9, -0.25, -0.1, -0.4, 1.2, 0.15, -0.05, 0.15, 0.7)

CFA, LINEAR_RAW = 32803, 34892

#: One row of an IFD: code, TIFF type, count, value.
Row = tuple[int, int, int, Any]


@dataclass(frozen=True)
class Coding:
    """How samples are stored: TIFF's numbers, and what makes bytes of each strip or tile.

    ``cut`` leaves out of the last tiles what lies beyond the frame.
    """

    compression: int
    encode: Callable[[np.ndarray], bytes]
    bits: int = 16
    sample_format: int = 1
    predictor: int = 1
    fields: tuple[int, int] = (1, 1)
    cut: bool = False


@dataclass
class DngSpec:
    """What a test DNG declares.

    ``samples`` is the whole sensor, masked margins included, (H, W) or (H, W, 3);
    ``cfa_pattern`` may have any square number of letters, of the colors in ``planes``.
    """

    samples: np.ndarray
    cfa_pattern: str = "RGGB"
    planes: str = "RGB"
    photometric: int = CFA
    active_area: tuple[int, int, int, int] | None = None  # top, left, bottom, right
    default_crop: tuple[int, int, int, int] | None = None  # left, top, width, height
    black: tuple[float, ...] = ()  # 1 value, or those of the repeat pattern
    black_repeat: tuple[int, int] = (2, 2)
    white: int | None = 16383
    orientation: int | None = 1
    matrices: Sequence[tuple[int | None, Sequence[float]]] = ((21, DAYLIGHT_MATRIX),)
    neutral: Sequence[float] | None = (0.5, 1.0, 0.625)
    white_xy: tuple[float, float] | None = None
    baseline_exposure: tuple[int, int] | None = None
    noise_profile: Sequence[float] = ()
    make: str | None = "Acme"
    model: str | None = "Night One"
    unique_camera_model: str | None = "Acme Night One"
    image: Sequence[Row] = ()
    exif: Sequence[Row] = ()
    gps: Sequence[Row] = ()
    tile: tuple[int, int] | None = None
    coding: Coding = Coding(1, lambda piece: piece.astype("<u2").tobytes())


def rationals(values: Sequence[float], denominator: int = 10000) -> tuple[int, ...]:
    return tuple(n for v in values for n in (round(v * denominator), denominator))


def text(code: int, value: str) -> Row:
    return (code, ASCII, len(value.encode()) + 1, value)


def _cfa_rows(spec: DngSpec) -> list[Row]:
    if spec.photometric != CFA:
        return []
    side = int(len(spec.cfa_pattern) ** 0.5)
    return [
        (33421, SHORT, 2, (side, side)),
        (33422, BYTE, side * side, bytes(COLORS[c] for c in spec.cfa_pattern)),
        (50710, BYTE, len(spec.planes), bytes(COLORS[c] for c in spec.planes)),
        (50711, SHORT, 1, 1),
    ]


def _level_rows(spec: DngSpec) -> list[Row]:
    rows: list[Row] = []
    if len(spec.black) > 1:
        rows.append((50713, SHORT, 2, spec.black_repeat))
    if spec.black:
        rows.append((50714, RATIONAL, len(spec.black), rationals(spec.black, 100)))
    if spec.white is not None:
        rows.append((50717, LONG, 1, spec.white))
    return rows


def _area_rows(spec: DngSpec) -> list[Row]:
    rows: list[Row] = []
    if spec.default_crop is not None:
        rows.append((50719, RATIONAL, 2, rationals(spec.default_crop[:2], 1)))
        rows.append((50720, RATIONAL, 2, rationals(spec.default_crop[2:], 1)))
    if spec.active_area is not None:
        rows.append((50829, LONG, 4, spec.active_area))
    return rows


def _color_rows(spec: DngSpec) -> list[Row]:
    rows: list[Row] = []
    for index, (illuminant, matrix) in enumerate(spec.matrices):
        rows.append((50721 + index, SRATIONAL, 9, rationals(matrix)))
        if illuminant is not None:
            rows.append((50778 + index, SHORT, 1, illuminant))
    if spec.neutral is not None:
        rows.append((50728, RATIONAL, len(spec.neutral), rationals(spec.neutral, 1_000_000)))
    if spec.white_xy is not None:
        rows.append((50729, RATIONAL, 2, rationals(spec.white_xy, 1_000_000)))
    if spec.baseline_exposure is not None:
        rows.append((50730, SRATIONAL, 1, spec.baseline_exposure))
    if spec.noise_profile:
        rows.append((51041, DOUBLE, len(spec.noise_profile), tuple(spec.noise_profile)))
    return rows


def _identity_rows(spec: DngSpec) -> list[Row]:
    rows: list[Row] = [(50706, BYTE, 4, b"\1\4\0\0"), (50707, BYTE, 4, b"\1\1\0\0")]
    named = ((271, spec.make), (272, spec.model), (50708, spec.unique_camera_model))
    rows += [text(code, value) for code, value in named if value is not None]
    if spec.orientation is not None:
        rows.append((274, SHORT, 1, spec.orientation))
    return rows


def _payload(row: Row) -> bytes:
    _, kind, _, value = row
    if isinstance(value, str):
        return value.encode() + b"\0"
    if isinstance(value, bytes):
        return value
    numbers = value if isinstance(value, (tuple, list)) else (value,)
    return struct.pack(f"<{len(numbers)}{STRUCT_CODES[kind]}", *numbers)


def ifd_bytes(rows: Sequence[Row], offset: int) -> bytes:
    """Return a little-endian IFD that stands at ``offset``, its values behind it."""
    rows = sorted(rows, key=lambda row: row[0])
    values = offset + 2 + 12 * len(rows) + 4
    entries, tail = b"", b""
    for row in rows:
        payload = _payload(row)
        place = payload.ljust(4, b"\0")
        if len(payload) > 4:
            place = struct.pack("<I", values + len(tail))
            tail += payload + b"\0" * (len(payload) % 2)
        entries += struct.pack("<HHI", *row[:3]) + place
    return struct.pack("<H", len(rows)) + entries + b"\0\0\0\0" + tail


def _blocks(spec: DngSpec) -> list[bytes]:
    """Return the sample data: one strip, or tiles padded by the last row and column."""
    samples, tile, coding = _in_fields(spec.samples, *spec.coding.fields), spec.tile, spec.coding
    if tile is None:
        return [coding.encode(samples)]
    height, width = samples.shape[:2]
    padding = [(0, -height % tile[0]), (0, -width % tile[1])] + [(0, 0)] * (samples.ndim - 2)
    padded = samples if coding.cut else np.pad(samples, padding, "edge")
    rows, columns = range(0, height, tile[0]), range(0, width, tile[1])
    return [coding.encode(padded[y : y + tile[0], x : x + tile[1]]) for y in rows for x in columns]


def _in_fields(samples: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Store every row (and column) of one kind together, as RowInterleaveFactor says."""
    samples = np.concatenate([samples[first::rows] for first in range(rows)])
    return np.concatenate([samples[:, first::columns] for first in range(columns)], 1)


def _structure_rows(spec: DngSpec, blocks: list[bytes], start: int) -> list[Row]:
    height, width, planes = (*spec.samples.shape, 1)[:3]
    counts = tuple(len(block) for block in blocks)
    offsets = tuple(start + sum(counts[:index]) for index in range(len(counts)))
    rows: list[Row] = [
        (254, LONG, 1, 0),
        (256, LONG, 1, width),
        (257, LONG, 1, height),
        (258, SHORT, planes, (spec.coding.bits,) * planes),
        (259, SHORT, 1, spec.coding.compression),
        (262, SHORT, 1, spec.photometric),
        (277, SHORT, 1, planes),
        (284, SHORT, 1, 1),
    ]
    if spec.coding.predictor != 1:
        rows.append((317, SHORT, 1, spec.coding.predictor))
    if spec.coding.sample_format != 1:
        rows.append((339, SHORT, planes, (spec.coding.sample_format,) * planes))
    if spec.coding.fields != (1, 1):
        rows += [(50975, LONG, 1, spec.coding.fields[0]), (52547, LONG, 1, spec.coding.fields[1])]
    if spec.tile is None:
        rows += [(273, LONG, 1, offsets), (278, LONG, 1, height), (279, LONG, 1, counts)]
    else:
        rows += [(322, LONG, 1, spec.tile[1]), (323, LONG, 1, spec.tile[0])]
        rows += [(324, LONG, len(counts), offsets), (325, LONG, len(counts), counts)]
    return rows


def write_test_dng(path: Path, spec: DngSpec) -> Path:
    """Write ``spec`` as a DNG and return its path.

    Order in the file: main directory, samples, EXIF and GPS directories.
    """
    rows = [
        *_identity_rows(spec),
        *_cfa_rows(spec),
        *_level_rows(spec),
        *_area_rows(spec),
        *_color_rows(spec),
        *spec.image,
    ]
    blocks = _blocks(spec)

    def main_ifd(start: int, exif: int, gps: int) -> bytes:
        pointers: list[Row] = [(34665, LONG, 1, exif)] if spec.exif else []
        pointers += [(34853, LONG, 1, gps)] if spec.gps else []
        return ifd_bytes([*_structure_rows(spec, blocks, start), *rows, *pointers], 8)

    start = 8 + len(main_ifd(0, 0, 0))
    exif = start + sum(map(len, blocks))
    exif_ifd = ifd_bytes(spec.exif, exif) if spec.exif else b""
    gps = exif + len(exif_ifd)
    gps_ifd = ifd_bytes(spec.gps, gps) if spec.gps else b""
    head = b"II*\0" + struct.pack("<I", 8) + main_ifd(start, exif, gps)
    path.write_bytes(b"".join([head, *blocks, exif_ifd, gps_ifd]))
    return path


def coded_samples(height: int, width: int, white: int = 16383) -> np.ndarray:
    """Return samples that nearly all differ from their neighbors, from 0 up to ``white``."""
    ramp = np.arange(height * width, dtype=np.int64) * 7919 % (white + 1)
    return ramp.reshape(height, width).astype(np.uint16)
