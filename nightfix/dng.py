"""Write: the mosaic as a CFA DNG, still raw, that editors open as a raw of the same camera."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from nightfix import __version__
from nightfix.bayer import CfaPattern
from nightfix.ifd import (
    BYTE,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    TILES,
    Ifd,
    ascii_tag,
    carried_directories,
    carried_image_tags,
    double_tag,
    rational_tag,
    tag,
    write_tree,
)
from nightfix.metadata import ExifTag, Metadata
from nightfix.output import replacing
from nightfix.raw import RawImage, to_dn

#: BaselineExposure is written in this many parts of one EV.
_EV_PARTS = 10_000

#: Tiles are at most this wide and high; TIFF wants multiples of 16 [px].
_LARGEST_TILE, _TILE_UNIT = 512, 16

_LOSSLESS_JPEG = 7
_CFA, _LINEAR_RAW = 32803, 34892


def write_dng(path: Path, raw: RawImage, *, restored: bool, overwrite: bool = False) -> None:
    """Write a raw image as a DNG 1.4: lossless-JPEG tiles, levels and color of the source.

    In both cases ``(value - black) / (white - black) * 2^BaselineExposure`` of
    the file is ``raw.mosaic * 2^raw.baseline_exposure``.

    Parameters
    ----------
    path : Path
        The result; written under a temporary name first.
    raw : RawImage
        What is written, in sensor orientation; monochrome sensors become a
        LinearRaw of one sample.
    restored : bool
        False: the sensor's own numbers, exactly, with the source's levels.
        True: values in reference units (1.0 = white at the target exposure,
        lamps above it) with the largest gain, at most 1, that clips nothing
        above; what is below DN 0 becomes 0. NoiseProfile is left out then.
    overwrite : bool
        Whether an existing ``path`` is replaced.

    Raises
    ------
    OutputExistsError
        If ``path`` exists and ``overwrite`` is false.
    OutputWriteError
        If the operating system refuses the file, or ``path`` is the source.

    Notes
    -----
    A restored image has finer steps than its sensor's numbers, and would show
    bands in the shadows if it were rounded to 12 bit. Its black and white levels
    are the source's times 2^k, with the largest k that keeps white below 2^16
    (0 for 16-bit sensors), so every level stays in its proportion.

    The gain is 2^-(n/10000) with the smallest whole n >= 0 that brings the
    maximum to white or below, so that BaselineExposure holds it exactly.

    References
    ----------
    Adobe, "Digital Negative (DNG) Specification", version 1.4.0.0, 2012.
    """
    with replacing(path, overwrite=overwrite, source=raw.path) as temporary:
        root = _directory(scale_to_fit(raw) if restored else raw, restored=restored)
        with temporary.open("wb") as file:
            write_tree(file, root)


def scale_to_fit(raw: RawImage) -> RawImage:
    """Bring a restored image to 16-bit levels and its maximum to white or below.

    Parameters
    ----------
    raw : RawImage
        In reference units; values above 1.0 (lamps) are valid.

    Returns
    -------
    RawImage
        The same light: ``mosaic * 2^baseline_exposure`` is unchanged.
    """
    peak = float(raw.mosaic.max())
    parts = math.ceil(math.log2(peak) * _EV_PARTS) if peak > 1 else 0
    gain = np.float32(2.0 ** (-parts / _EV_PARTS))
    levels = 2 ** math.floor(math.log2(65535 / raw.white_level))
    return replace(
        raw,
        # One float32 step above 1.0 may remain of the maximum.
        mosaic=np.minimum(raw.mosaic * gain, np.float32(1)),
        baseline_exposure=raw.baseline_exposure + parts / _EV_PARTS,
        black_level=raw.black_level * np.float32(levels),
        white_level=raw.white_level * levels,
        bit_depth=16,
    )


def _directory(raw: RawImage, *, restored: bool) -> Ifd:
    height, width = raw.mosaic.shape
    tile = (_tile_side(height), _tile_side(width))
    return Ifd(
        tags=[
            *carried_image_tags(raw.metadata),
            *_camera_tags(raw),
            *_picture_tags((height, width), tile),
            *_sensor_tags(raw),
            *_noise_tags(raw.metadata, restored=restored),
        ],
        pieces=_encode_tiles(to_dn(raw, raw.mosaic), tile, raw.cfa_pattern),
        piece_tags=TILES,
        children=carried_directories(raw.metadata, width=raw.crop.width, height=raw.crop.height),
    )


def _camera_tags(raw: RawImage) -> list[ExifTag]:
    """Return what tells an editor which camera it was and how its color is to be read."""
    metadata = raw.metadata
    tags = [
        tag(274, SHORT, raw.orientation),
        ascii_tag(305, f"NightFix {__version__}"),
        tag(50706, BYTE, 1, 4, 0, 0),  # DNGVersion
        tag(50707, BYTE, 1, 1, 0, 0),  # DNGBackwardVersion
        ascii_tag(50708, metadata.unique_camera_model or "Unknown"),
        rational_tag(50730, SRATIONAL, [raw.baseline_exposure]),
        _file_name_tag(raw.path.name),
    ]
    if metadata.make:
        tags.append(ascii_tag(271, metadata.make))
    if metadata.model:
        tags.append(ascii_tag(272, metadata.model))
    for index, color in enumerate(raw.color_matrices[:2]):
        tags.append(rational_tag(50721 + index, SRATIONAL, color.matrix.ravel().tolist()))
        tags.append(tag(50778 + index, SHORT, color.illuminant))  # CalibrationIlluminant1, 2
    if raw.as_shot_neutral is not None:
        tags.append(rational_tag(50728, RATIONAL, raw.as_shot_neutral.tolist()))
    return tags


def _file_name_tag(name: str) -> ExifTag:
    """Return OriginalRawFileName: text, or bytes of UTF-8 where ASCII does not do."""
    if name.isascii():
        return ascii_tag(50827, name)
    return tag(50827, BYTE, *name.encode(), 0)


def _picture_tags(shape: tuple[int, int], tile: tuple[int, int]) -> list[ExifTag]:
    height, width = shape
    return [
        tag(254, LONG, 0),  # NewSubfileType: the full-resolution picture
        tag(256, LONG, width),
        tag(257, LONG, height),
        tag(258, SHORT, 16),  # BitsPerSample
        tag(259, SHORT, _LOSSLESS_JPEG),
        tag(277, SHORT, 1),  # SamplesPerPixel
        tag(284, SHORT, 1),  # PlanarConfiguration
        tag(322, LONG, tile[1]),
        tag(323, LONG, tile[0]),
    ]


def _sensor_tags(raw: RawImage) -> list[ExifTag]:
    """Return what turns numbers into light: pattern, levels, areas."""
    height, width = raw.mosaic.shape
    tags = [
        tag(262, SHORT, _LINEAR_RAW if raw.cfa_pattern is None else _CFA),
        *_black_tags(raw.black_level),
        _level_tag(50717, [raw.white_level]),
        rational_tag(50718, RATIONAL, [1, 1]),  # DefaultScale
        tag(50719, LONG, raw.crop.left, raw.crop.top),  # DefaultCropOrigin
        tag(50720, LONG, raw.crop.width, raw.crop.height),  # DefaultCropSize
        tag(50829, LONG, 0, 0, height, width),  # ActiveArea: all that is written
    ]
    if raw.cfa_pattern is not None:
        tags += [
            tag(33421, SHORT, 2, 2),  # CFARepeatPatternDim
            tag(33422, BYTE, *("RGB".index(color) for color in raw.cfa_pattern)),
            tag(50710, BYTE, 0, 1, 2),  # CFAPlaneColor
            tag(50711, SHORT, 1),  # CFALayout: rectangular
        ]
    return tags


def _black_tags(black_level: NDArray[np.float32]) -> list[ExifTag]:
    return [
        tag(50713, SHORT, *black_level.shape),  # BlackLevelRepeatDim
        _level_tag(50714, black_level.ravel().tolist()),
    ]


def _level_tag(code: int, levels: list[float]) -> ExifTag:
    """Return a level as whole numbers where it is one, which every reader understands."""
    if all(level == int(level) for level in levels):
        return tag(code, LONG, *map(int, levels))
    return rational_tag(code, RATIONAL, levels)


def _noise_tags(metadata: Metadata, *, restored: bool) -> list[ExifTag]:
    if restored:
        return [rational_tag(50935, RATIONAL, [1])]  # NoiseReductionApplied: fully
    if not metadata.noise_profile:
        return []
    return [double_tag(51041, [number for pair in metadata.noise_profile for number in pair])]


def _tile_side(side: int) -> int:
    """Return the tile side that covers ``side`` with few tiles and little waste [px].

    At most ``side`` itself, from 16 px up: LibRaw misreads a tile that is wider
    than the picture.
    """
    count = math.ceil(side / _LARGEST_TILE)
    tile = _round_up(math.ceil(side / count))
    return tile if tile <= side else _round_up(math.ceil(side / (count + 1)))


def _round_up(side: int) -> int:
    return math.ceil(side / _TILE_UNIT) * _TILE_UNIT


def _encode_tiles(
    samples: NDArray[np.uint16], tile: tuple[int, int], cfa_pattern: CfaPattern | None
) -> list[bytes]:
    """Compress tiles, row by row of tiles; the last ones are filled up with zeros.

    Of a CFA, the even and odd columns go as two components of half the width,
    each of which has one color a row: the predictor is the left neighbor.
    """
    tile_height, tile_width = tile
    height, width = samples.shape
    components = (tile_height, tile_width) if cfa_pattern is None else (tile_height, -1, 2)
    filled = np.pad(samples, ((0, -height % tile_height), (0, -width % tile_width)))
    return [
        bytes(
            imagecodecs.jpeg8_encode(
                np.ascontiguousarray(
                    filled[top : top + tile_height, left : left + tile_width]
                ).reshape(components),
                lossless=True,
                predictor=1,
                bitspersample=16,
            )
        )
        for top in range(0, height, tile_height)
        for left in range(0, width, tile_width)
    ]
