"""Read: samples of DNGs that LibRaw cannot decode; runs in LibRaw's process, and nowhere else.

LibRaw knows no JPEG XL and no lossy JPEG of a mosaic, and what it makes of floating-point
samples depends on the brightest of them. These are taken apart here, each strip and tile by
imagecodecs or zlib, under the same limits as LibRaw.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from nightfix.read.decoder import MAX_PIXELS, DecoderError, require_plausible_size
from nightfix.read.jpegxl import read_jpegxl_header
from nightfix.read.opcodes import first_curves
from nightfix.read.tag_names import Tag
from nightfix.read.tags import FileTags, Ifd
from nightfix.read.truncation import sensor_images

Frame = NDArray[Any]

#: Values of Compression.
_NONE, _DEFLATE, _LOSSY_JPEG, _JPEG_XL = 1, 8, 34892, 52546

_NAMES = {
    _NONE: "no compression",
    _DEFLATE: "Deflate",
    _LOSSY_JPEG: "lossy JPEG",
    _JPEG_XL: "JPEG XL",
}

#: Bits of samples that are read, by compression: whole numbers and floating-point numbers.
_BITS = {
    _NONE: ((8, 16, 32), (16, 24, 32)),
    _DEFLATE: ((8, 16, 32), (16, 24, 32)),
    _LOSSY_JPEG: ((8,), ()),
    _JPEG_XL: (tuple(range(8, 17)), (16, 32)),
}

#: Values of Predictor, by how far apart samples are that differences are taken of [px].
_HORIZONTAL = {2: 1, 34892: 2, 34893: 4}
_FLOATING_POINT = {3: 1, 34894: 2, 34895: 4}

#: Values of SampleFormat.
_UNSIGNED, _FLOAT = 1, 3

#: Value of PhotometricInterpretation.
_CFA = 32803

#: Letters of CFAPlaneColor's numbers.
_LETTERS = "RGBCMYW"

#: Of samples that are no 16-bit numbers: white on the scale that they are handed on in, how far
#: black may be above 0 there, so that noise below black stays [white], and how far they may go
#: beyond white [EV].
_WHITE, _MOST_BELOW, _MOST_STOPS = 65535, 1 / 16, 6

#: Most rows or columns that are stored apart from each other; DNGs in use have two.
_MOST_FIELDS = 16


class Picture(NamedTuple):
    """What was decoded.

    Attributes
    ----------
    header : dict
        Of :class:`nightfix.read.decoder.Decoded`, as JSON can carry it.
    samples : ndarray, shape (H, W, planes), uint16 or float32
        The visible part.
    frame : ndarray, shape (H, W, planes), uint16, or None
        With what is around it; None where levels are our own.
    """

    header: dict[str, Any]
    samples: Frame
    frame: NDArray[np.uint16] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How a directory's samples are stored.

    Attributes
    ----------
    height, width, planes : int
        Of the frame [px], and samples a pixel.
    piece : (int, int)
        Rows and columns of a strip or tile [px].
    is_tiled : bool
        Whether pieces at the right and lower end are as large as all others.
    places : tuple of (int, int)
        Where each piece begins and ends in the file [bytes].
    bits : int
        Of a sample.
    is_float : bool
        Whether samples are floating-point numbers.
    compression, predictor : int
        TIFF's numbers.
    order : {"<", ">"}
        Of a number's bytes.
    fields : (int, int)
        Rows and columns that are stored apart from each other; 1 = as they come.
    top, highest : int
        The largest number that samples of ``bits`` can be, and that the file speaks of [DN].
    tables : bytes
        JPEGTables; empty = none.
    """

    height: int
    width: int
    planes: int
    piece: tuple[int, int]
    is_tiled: bool
    places: tuple[tuple[int, int], ...]
    bits: int
    is_float: bool
    compression: int
    predictor: int
    order: Literal["<", ">"]
    fields: tuple[int, int]
    top: int
    highest: int
    tables: bytes


def foreign_samples(tags: FileTags) -> Ifd | None:
    """Return the directory of a DNG's samples if LibRaw cannot decode them; else None.

    These are JPEG XL, lossy JPEG, Deflate, floating-point samples, and rows or columns that are
    stored apart from each other.
    """
    full = [ifd for ifd in sensor_images(tags) if not ifd.number(Tag.NEW_SUBFILE_TYPE)]
    if not tags.is_dng or not full:
        return None
    ifd = max(full, key=lambda ifd: math.prod(_size(ifd)))
    foreign = (
        ifd.number(Tag.COMPRESSION) in (_DEFLATE, _LOSSY_JPEG, _JPEG_XL)
        or _FLOAT in ifd.numbers(Tag.SAMPLE_FORMAT)
        or _fields(ifd) != (1, 1)
    )
    return ifd if foreign else None


def decode_dng(data: bytes, ifd: Ifd, *, padding: int) -> Picture:
    """Decode the samples of a DNG.

    Parameters
    ----------
    data : bytes
        The whole file.
    ifd : Ifd
        Of :func:`foreign_samples`.
    padding : int
        How many zeros at its end stand for what is missing; what reaches into them becomes
        DN 0 [bytes].

    Returns
    -------
    Picture
        Integers of up to 16 bits in the file's own numbers, after LinearizationTable. All
        else, and what a curve of OpcodeList2 is for, between the black and the white level of
        the header; if there is light above white, white is that many stops higher.

    Raises
    ------
    DecoderError
        If the samples are damaged, of another kind, or far more than the file can hold.

    References
    ----------
    Adobe, "Digital Negative (DNG) Specification", version 1.7.1.0, 2023: Compression, Predictor,
    RowInterleaveFactor, ColumnInterleaveFactor, chapter 5 "Mapping Raw Values to Linear Reference
    Values". Adobe Photoshop TIFF Technical Note 3, 2005 (floating-point predictor).
    """
    order: Literal["<", ">"] = ">" if data[:2] == b"MM" else "<"
    height, width = _size(ifd)
    require_plausible_size(len(data), height * width)
    layout = _layout(ifd, order)
    frame = _in_place(_stored(data, layout, len(data) - padding), layout.fields)
    table = np.array(ifd.integers(Tag.LINEARIZATION_TABLE), np.int64)
    if table.size and frame.dtype.kind == "u" and frame.itemsize <= 2:
        table = table.clip(0, 65535).astype(np.uint16)
        frame = table[np.minimum(frame, table.size - 1)]
    area = _active_area(ifd, height, width)
    header = _header(ifd, layout, area)
    return _leveled(frame, ifd, layout, header)


# ---------------------------------------------------------------------------------------
# Layout


def _size(ifd: Ifd) -> tuple[int, int]:
    height, width = ifd.number(Tag.IMAGE_LENGTH) or 0, ifd.number(Tag.IMAGE_WIDTH) or 0
    return max(0, int(height)), max(0, int(width))


def _fields(ifd: Ifd) -> tuple[int, int]:
    rows, columns = (
        ifd.number(code) or 1 for code in (Tag.ROW_INTERLEAVE_FACTOR, Tag.COLUMN_INTERLEAVE_FACTOR)
    )
    return int(rows), int(columns)


def _layout(ifd: Ifd, order: Literal["<", ">"]) -> _Layout:
    """Read how samples are stored; refuse what is not written that way, or damaged."""
    height, width = _size(ifd)
    planes = int(ifd.number(Tag.SAMPLES_PER_PIXEL) or 1)
    bits, formats = ifd.integers(Tag.BITS_PER_SAMPLE), ifd.integers(Tag.SAMPLE_FORMAT)
    is_tiled = Tag.TILE_OFFSETS in ifd
    codes = (Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS, Tag.TILE_LENGTH, Tag.TILE_WIDTH)
    if not is_tiled:
        codes = (Tag.STRIP_OFFSETS, Tag.STRIP_BYTE_COUNTS, Tag.ROWS_PER_STRIP, Tag.IMAGE_WIDTH)
    offsets, counts = ifd.integers(codes[0]), ifd.integers(codes[1])
    down = int(ifd.number(codes[2]) or (0 if is_tiled else height))
    piece = (down if is_tiled else min(down, height), int(ifd.number(codes[3]) or 0))
    whole = min(height, width, planes, *piece) > 0 and planes <= 4 and len(set(bits)) == 1
    if not whole or len(offsets) != len(counts) or min(offsets + counts, default=0) < 0:
        raise _damaged("its directory of samples is not whole")
    if len(offsets) < math.prod(_pieces(height, width, piece)):
        raise _damaged(f"{len(offsets)} pieces of samples, fewer than it declares")
    if math.prod(piece) > MAX_PIXELS:
        raise _damaged(f"pieces of {piece[1]} x {piece[0]} px")
    compression = int(ifd.number(Tag.COMPRESSION) or _NONE)
    places = tuple((start, start + count) for start, count in zip(offsets, counts, strict=True))
    top = 1 if _FLOAT in formats else (1 << bits[0]) - 1
    layout = _Layout(
        height=height,
        width=width,
        planes=planes,
        piece=piece,
        is_tiled=is_tiled,
        places=places,
        bits=bits[0],
        is_float=_FLOAT in formats,
        compression=compression,
        predictor=int(ifd.number(Tag.PREDICTOR) or 1),
        order=order,
        fields=_fields(ifd),
        top=top,
        highest=_highest(ifd, top),
        tables=ifd.tags[Tag.JPEG_TABLES].value if Tag.JPEG_TABLES in ifd else b"",
    )
    _require_known(ifd, layout, set(formats))
    return layout


def _pieces(height: int, width: int, piece: tuple[int, int]) -> tuple[int, int]:
    """Return how many pieces there are below and beside each other."""
    return -(-height // piece[0]), -(-width // piece[1])


def _require_known(ifd: Ifd, layout: _Layout, formats: set[int]) -> None:
    """Refuse what is stored in another way than is read here."""
    predictors: dict[int, int] = {}
    if layout.compression == _DEFLATE:
        predictors = _FLOATING_POINT if layout.is_float else _HORIZONTAL
    name = _NAMES.get(layout.compression, f"compression {layout.compression}")
    fields, kind = max(layout.fields), "floating-point samples" if layout.is_float else "samples"
    is_cfa = ifd.number(Tag.PHOTOMETRIC_INTERPRETATION) == _CFA
    bits = _BITS.get(layout.compression, ((), ()))[layout.is_float]
    problems = (
        (layout.compression not in _BITS, name if fields == 1 else f"{name} of rows in fields"),
        (layout.bits not in bits, f"{kind} of {layout.bits} bits and {name}"),
        (formats - {_FLOAT if layout.is_float else _UNSIGNED}, "samples with a sign"),
        (layout.predictor not in (1, *predictors), f"predictor {layout.predictor}"),
        (layout.planes > 1 and is_cfa, "several samples at each site of its color filter array"),
        (layout.planes > 1 and ifd.number(Tag.PLANAR_CONFIGURATION) == 2, "separate planes"),
        (set(ifd.integers(Tag.SUB_TILE_BLOCK_SIZE)) - {1}, "blocks within its tiles"),
        (fields > _MOST_FIELDS, f"rows or columns in {fields} fields"),
    )
    problem = next((what for found, what in problems if found), "")
    if problem:
        raise DecoderError("format", f"a DNG with {problem}, which NightFix does not read")


def _highest(ifd: Ifd, top: int) -> int:
    """Return the highest number that the file speaks of: white, or the end of its table [DN]."""
    if Tag.LINEARIZATION_TABLE in ifd:
        return len(ifd.numbers(Tag.LINEARIZATION_TABLE)) - 1
    white = ifd.integers(Tag.WHITE_LEVEL)
    return max(white, default=top)


def _damaged(what: str) -> DecoderError:
    return DecoderError("declared", f"damaged: {what}")


# ---------------------------------------------------------------------------------------
# Pieces


def _stored(data: bytes, layout: _Layout, size: int) -> Frame:
    """Decode all pieces into one frame, in the order in which rows and columns are stored."""
    frame = np.zeros((layout.height, layout.width, layout.planes), _dtype(layout))
    view = memoryview(data)
    for number, (rows, columns, full) in enumerate(_boxes(layout)):
        start, end = layout.places[number]
        target = frame[rows, columns]
        if start >= end or end > size:
            if end > len(data) or start >= end:
                raise _damaged(f"the samples of piece {number + 1} are not in it")
            continue  # the rest of a file that was cut off
        try:
            piece = _piece(bytes(view[start:end]), layout, full, target.shape)
        except (DecoderError, MemoryError):
            raise
        except Exception as error:  # a decoder of foreign bytes fails in too many ways to name
            name = _NAMES[layout.compression]
            raise _damaged(f"piece {number + 1} of its samples ({name})") from error
        target[...] = piece[: target.shape[0], : target.shape[1]]
    return frame


def _dtype(layout: _Layout) -> type[np.generic]:
    if layout.is_float:
        return np.float32
    return np.uint32 if layout.bits > 16 else np.uint16


def _boxes(layout: _Layout) -> Iterator[tuple[slice, slice, tuple[int, int, int]]]:
    """Yield the rows and columns of each piece, and the shape that it is stored in."""
    height, width = layout.piece
    for top in range(0, layout.height, height):
        for left in range(0, layout.width, width):
            rows = height if layout.is_tiled else min(height, layout.height - top)
            full = (rows, width, layout.planes)
            yield np.s_[top : top + height], np.s_[left : left + width], full


def _piece(
    data: bytes, layout: _Layout, full: tuple[int, int, int], least: tuple[int, ...]
) -> Frame:
    """Decode one piece; JPEG and JPEG XL may leave out what lies beyond the frame."""
    if layout.compression == _LOSSY_JPEG:
        return _jpeg(data, layout, full, least)
    if layout.compression == _JPEG_XL:
        return _jpegxl(data, layout, full, least)
    size = math.prod(full) * layout.bits // 8
    if layout.compression != _NONE:
        data = zlib.decompressobj().decompress(data, size)
    if len(data) < size:
        raise ValueError("fewer samples than declared")
    return _numbers(data[:size], layout, full)


def _numbers(data: bytes, layout: _Layout, full: tuple[int, int, int]) -> Frame:
    """Turn bytes into samples, without the differences that a predictor made of them."""
    rows, columns, planes = full
    order, width = layout.order, layout.bits // 8
    if layout.predictor in _FLOATING_POINT:
        # The bytes of a row lie plane by plane, the highest first, as differences of bytes.
        step = planes * _FLOATING_POINT[layout.predictor]
        differences = np.frombuffer(data, np.uint8).reshape(rows, -1, step)
        summed = np.cumsum(differences, 1, np.uint8).reshape(rows, width, columns * planes)
        data, order = summed.transpose(0, 2, 1).tobytes(), ">"
    if width == 3:
        known = np.frombuffer(imagecodecs.float24_decode(data, byteorder=order), np.float32)
        return known.reshape(full)
    samples = np.frombuffer(data, f"{order}{'f' if layout.is_float else 'u'}{width}").reshape(full)
    if layout.predictor not in _HORIZONTAL:
        return samples
    step = _HORIZONTAL[layout.predictor] * planes
    native = samples.astype(samples.dtype.newbyteorder("=")).reshape(rows, -1, step)
    return np.cumsum(native, 1, native.dtype).reshape(full)


def _jpeg(
    data: bytes, layout: _Layout, full: tuple[int, int, int], least: tuple[int, ...]
) -> Frame:
    """Decode a JPEG of a known size; one that is cut off would end in gray without a word."""
    if data.rfind(b"\xff\xd9") < 0:
        raise ValueError("no end of image")
    try:
        return _jpeg_of(data, layout, full)
    except ValueError:  # of another size
        return _jpeg_of(data, layout, least)


def _jpeg_of(data: bytes, layout: _Layout, shape: tuple[int, ...]) -> Frame:
    out: Frame = np.empty(shape if shape[2] > 1 else shape[:2], np.uint8)
    imagecodecs.jpeg8_decode(data, tables=layout.tables or None, out=out)
    return out.reshape(shape)


def _jpegxl(
    data: bytes, layout: _Layout, full: tuple[int, int, int], least: tuple[int, ...]
) -> Frame:
    """Decode a JPEG XL codestream whose own sizes and depth were looked at before."""
    known = read_jpegxl_header(data)
    inside = all(low <= own <= high for low, own, high in zip(least, known[:2], full, strict=False))
    if not inside or known.is_float != layout.is_float:
        raise ValueError(f"another size or kind: {known}")
    shape = (known.height, known.width, layout.planes)
    dtype = f"f{known.bits // 8}" if known.is_float else "u1" if known.bits <= 8 else "u2"
    out: Frame = np.empty(shape if layout.planes > 1 else shape[:2], dtype)
    imagecodecs.jpegxl_decode(data, numthreads=1, out=out)
    samples: Frame = out.reshape(shape)
    return samples if layout.is_float else _spread(samples, (1 << known.bits) - 1, layout)


def _spread(samples: Frame, largest: int, layout: _Layout) -> Frame:
    """Bring the samples of a JPEG XL from their own largest number to that of the file.

    That is 255 for 8 bits. Adobe's own reader spreads more over all 16, whatever BitsPerSample
    and the codestream say, and its files state white there; others state it in fewer bits. So
    it is the smallest of these that holds white.
    """
    tops = (255,) if layout.bits == 8 else sorted((largest, layout.top, 65535))
    top = next((known for known in tops if known >= layout.highest), tops[-1])
    if largest == top:
        return samples
    scaled = samples.astype(np.float32) * np.float32(top / largest)
    whole: Frame = np.rint(scaled, out=scaled).astype(np.uint16)
    return whole


def _in_place(stored: Frame, fields: tuple[int, int]) -> Frame:
    """Put rows and columns in place that are stored apart: all even ones, then all odd ones."""
    rows, columns = (min(count, side) for count, side in zip(fields, stored.shape[:2], strict=True))
    if (rows, columns) == (1, 1):
        return stored
    frame, top = np.empty_like(stored), 0
    for row in range(rows):
        height, left = len(range(row, stored.shape[0], rows)), 0
        for column in range(columns):
            width = len(range(column, stored.shape[1], columns))
            frame[row::rows, column::columns] = stored[top : top + height, left : left + width]
            left += width
        top += height
    return frame


# ---------------------------------------------------------------------------------------
# Levels and header


def _active_area(ifd: Ifd, height: int, width: int) -> tuple[int, int, int, int]:
    """Return top, left, bottom and right of the visible part [px]; all if it is not known."""
    area = ifd.integers(Tag.ACTIVE_AREA)
    if len(area) == 4:
        top, left, bottom, right = area
        if 0 <= top < bottom <= height and 0 <= left < right <= width:
            return top, left, bottom, right
    return 0, 0, height, width


def _leveled(frame: Frame, ifd: Ifd, layout: _Layout, header: dict[str, Any]) -> Picture:
    """Bring samples that are no 16-bit numbers, or under a curve, to levels of our own."""
    height, width, top, left = header["sizes"][2:6]
    samples = frame[top : top + height, left : left + width]
    curves = first_curves(ifd.tags[Tag.OPCODE_LIST_2].value if Tag.OPCODE_LIST_2 in ifd else b"")
    if frame.dtype == np.uint16 and not curves:
        return Picture(header, samples, frame)
    black, white = _black(ifd, layout.planes), _white(ifd, layout)
    if not (white > black).all():  # or not a number
        raise _damaged("its black level is not below its white level")
    light = _light(samples, black, white)
    for curve in curves:
        curve.apply(light)
    lowest, highest = float(light.min()), float(light.max())
    stops = min(max(0, math.ceil(math.log2(max(highest, 1)))), _MOST_STOPS)
    below = min(max(0.0, -lowest / 2**stops), _MOST_BELOW)
    pedestal = math.ceil(_WHITE * below / (1 + below))
    light *= np.float32((_WHITE - pedestal) / 2**stops)
    light += np.float32(pedestal)
    own = {
        "own_levels": True,
        "curves": len(curves),
        "stops": stops,
        "black_level_per_channel": [float(pedestal)] * 4,
        "white_level": float(_WHITE),
    }
    return Picture(header | own, light, None)


def _light(
    samples: Frame, black: NDArray[np.float64], white: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return (value - black) / (white - black), finite and not far beyond what is kept."""
    light = samples.astype(np.float32)
    rows, columns = black.shape[:2]
    for row in range(rows):
        for column in range(columns):
            site, level = light[row::rows, column::columns], black[row, column]
            site -= level.astype(np.float32)
            site /= (white - level).astype(np.float32)
    limit = 2.0**_MOST_STOPS
    return np.nan_to_num(light, copy=False, nan=0, posinf=limit, neginf=0).clip(-limit, limit)


def _black(ifd: Ifd, planes: int) -> NDArray[np.float64]:
    """Return the black level, shape (rows, columns, planes) of its repeat pattern [DN]."""
    levels = np.array(ifd.numbers(Tag.BLACK_LEVEL))
    rows, columns = (*ifd.integers(Tag.BLACK_LEVEL_REPEAT_DIM), 1, 1)[:2]
    if min(rows, columns) > 0 and levels.size == rows * columns * planes:
        return levels.reshape(rows, columns, planes)
    return np.full((1, 1, planes), levels[0] if levels.size else 0.0)


def _white(ifd: Ifd, layout: _Layout) -> NDArray[np.float64]:
    """Return the white level of each plane, shape (planes,) [DN]."""
    stated = np.array(ifd.numbers(Tag.WHITE_LEVEL), np.float64)
    if stated.size == layout.planes and np.isfinite(stated).all():
        return stated
    table = ifd.numbers(Tag.LINEARIZATION_TABLE)
    default: float = max(table) if table else layout.top
    known = stated[0] if stated.size and math.isfinite(stated[0]) else default
    return np.full(layout.planes, known)


def _header(ifd: Ifd, layout: _Layout, area: tuple[int, int, int, int]) -> dict[str, Any]:
    """Return what LibRaw would say of the file, as far as its samples are concerned."""
    top, left, bottom, right = area
    is_cfa = ifd.number(Tag.PHOTOMETRIC_INTERPRETATION) == _CFA
    colors = ifd.integers(Tag.CFA_PLANE_COLOR) or (0, 1, 2) if is_cfa else range(layout.planes)
    color_desc = "".join(_LETTERS[c] if 0 <= c < len(_LETTERS) else "?" for c in colors)
    shape, sites = _pattern(ifd, tuple(colors)) if is_cfa else (None, [0] * 4)
    black = _black(ifd, layout.planes).mean((0, 1))
    return {
        "origin": "mosaic" if layout.planes == 1 else "rgb",
        "sizes": [layout.height, layout.width, bottom - top, right - left, top, left, *[0] * 5],
        "num_colors": len(color_desc),
        "color_desc": color_desc,
        "pattern_shape": shape,
        "sites": sites,
        "black_level_per_channel": [float(b) if math.isfinite(b) else 0.0 for b in black],
        "white_level": float(_white(ifd, layout).min()),
        "camera_white_level_per_channel": [],
        "camera_whitebalance": [0.0] * 4,
        "rgb_xyz_matrix": [0.0] * 12,
        "lens": "",
        "captured": "",
        "shutter_speed": 0.0,
        "iso_speed": 0.0,
        "aperture": 0.0,
        "focal_length": 0.0,
        "own_levels": False,
        "curves": 0,
        "stops": 0,
    }


def _pattern(ifd: Ifd, colors: tuple[int, ...]) -> tuple[tuple[int, int], list[int]]:
    """Return the shape of a color filter array, and the numbers of its first four sites."""
    shape, cells = ifd.integers(Tag.CFA_REPEAT_PATTERN_DIM), ifd.integers(Tag.CFA_PATTERN)
    layout = ifd.number(Tag.CFA_LAYOUT) or 1
    if len(shape) != 2 or math.prod(shape) != len(cells) or layout != 1:
        return (0, 0), [0] * 4
    if shape != (2, 2) or any(cell not in colors for cell in cells):
        return (shape[0], shape[1]) if shape != (2, 2) else (0, 0), [0] * 4
    return (2, 2), [colors.index(cell) for cell in cells]


def prepare() -> None:
    """Load the decoders that may be needed, while files can be opened."""
    for decode in (imagecodecs.jpegxl_decode, imagecodecs.jpeg8_decode, imagecodecs.float24_decode):
        with suppress(Exception):  # each says in its own way that nothing is no picture
            decode(b"")
