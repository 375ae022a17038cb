"""Write: the samples of a DNG as a strip or as tiles of lossless JPEG."""

from __future__ import annotations

import math
from typing import Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from nightfix.read import ExifTag, Tag
from nightfix.write.ifd import LONG, STRIPS, TILES, IfdNode, picture_tags, tag

Compression = Literal["lossless", "none"]

#: Tiles are at most this wide and high; TIFF wants multiples of 16 [px].
_LARGEST_TILE, _TILE_UNIT = 512, 16

_UNCOMPRESSED, _LOSSLESS_JPEG = 1, 7


def sample_directory(
    samples: NDArray[np.uint16], tags: list[ExifTag], compression: Compression
) -> IfdNode:
    """Build the directory of the full-resolution samples.

    Parameters
    ----------
    samples : ndarray, uint16, shape (H, W), (H, W, 1) or (H, W, 3)
        A mosaic, gray values, or demosaiced camera RGB [DN].
    tags : list of ExifTag
        What the samples mean; PhotometricInterpretation among them.
    compression : {"lossless", "none"}
        Lossless JPEG in tiles, or none in one strip.

    Returns
    -------
    IfdNode
    """
    height, width = samples.shape[:2]
    planes = samples.shape[2] if samples.ndim == 3 else 1
    plain = compression == "none"
    structure = picture_tags(
        width, height, [16] * planes, compression=_UNCOMPRESSED if plain else _LOSSLESS_JPEG
    )
    if plain:
        structure.append(tag(Tag.ROWS_PER_STRIP, LONG, height))
        pieces, piece_tags = [samples.astype("<u2").tobytes()], STRIPS
    else:
        tile = (tile_side(height), tile_side(width))
        structure += [tag(Tag.TILE_WIDTH, LONG, tile[1]), tag(Tag.TILE_LENGTH, LONG, tile[0])]
        pieces, piece_tags = _encode_tiles(samples, tile), TILES
    return IfdNode(tags=[*structure, *tags], pieces=pieces, piece_tags=piece_tags)


def tile_side(side: int) -> int:
    """Return the tile side that covers ``side`` with few tiles and little waste [px].

    At most ``side`` itself, from 16 px up: LibRaw misreads a tile that is wider
    than the picture.
    """
    count = math.ceil(side / _LARGEST_TILE)
    tile = _round_up(math.ceil(side / count))
    return tile if tile <= side else _round_up(math.ceil(side / (count + 1)))


def _round_up(side: int) -> int:
    return math.ceil(side / _TILE_UNIT) * _TILE_UNIT


def _encode_tiles(samples: NDArray[np.uint16], tile: tuple[int, int]) -> list[bytes]:
    """Compress tiles, row by row of tiles; the last ones are filled up with zeros."""
    (tile_height, tile_width), (height, width) = tile, samples.shape[:2]
    filling = [(0, -height % tile_height), (0, -width % tile_width)]
    filled = np.pad(samples, filling + [(0, 0)] * (samples.ndim - 2))
    return [
        _encode_tile(filled[top : top + tile_height, left : left + tile_width])
        for top in range(0, height, tile_height)
        for left in range(0, width, tile_width)
    ]


def _encode_tile(tile: NDArray[np.uint16]) -> bytes:
    """Compress a tile; the predictor is the left neighbor of the same component.

    Of a mosaic, the even and odd columns go as two components of half the width, each
    of which has one color a row.
    """
    components = tile if tile.ndim == 3 else tile.reshape(tile.shape[0], -1, 2)
    encoded = imagecodecs.jpeg8_encode(
        np.ascontiguousarray(components),
        lossless=True,
        predictor=1,
        bitspersample=16,
        colorspace="UNKNOWN",
        outcolorspace="UNKNOWN",
    )
    return bytes(encoded)
