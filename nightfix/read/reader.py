"""Read: from a camera file to :class:`RawImage`.

LibRaw decodes the samples, or imagecodecs those of DNGs that LibRaw cannot. What a DNG says
of itself (black level, colors, crop) is taken from its own tags, since LibRaw rounds, shifts
or drops some of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nightfix.errors import RawReadError, UnsupportedSensorError
from nightfix.read.bayer import CFA_PATTERNS, CfaPattern, pack_bayer
from nightfix.read.decoder import Decoded, DecoderError, Origin, Sizes, decode
from nightfix.read.maker_notes import camera_settings
from nightfix.read.masked import MaskedBlack, measure_black
from nightfix.read.metadata import Metadata, read_metadata
from nightfix.read.opcodes import (
    OpcodeLists,
    correct_shading,
    shift_areas,
    without_first,
    without_gain_maps,
)
from nightfix.read.quad import QuadBayer, average_blocks, find_quad_bayer, other_array
from nightfix.read.tag_names import Tag
from nightfix.read.tags import FileTags, Ifd, read_tags
from nightfix.read.truncation import declared_size, ends_without_data, sensor_images

#: Name endings of camera RAW files; of a folder nothing else is taken.
RAW_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3fr", "ari", "arw", "cr2", "cr3", "crw", "dcr", "dcs", "dng", "drf", "erf", "fff"),
        *("gpr", "iiq", "k25", "kdc", "mdc", "mef", "mos", "mrw", "nef", "nrw", "orf", "ori"),
        *("pef", "ptx", "pxn", "qtk", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
    )
)


class Rectangle(NamedTuple):
    """A rectangle of the mosaic [px]."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorMatrix:
    """From XYZ to camera RGB under one illuminant, as DNG's ColorMatrix1 and 2.

    Attributes
    ----------
    illuminant : int
        EXIF LightSource code of the calibration: 21 = D65, 17 = standard illuminant A,
        23 = D50, 0 = unknown.
    matrix : ndarray, shape (3, 3), float64
        Rows are camera R, G, B; columns X, Y, Z.
    """

    illuminant: int
    matrix: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawImage:
    """One capture, as the sensor saw it.

    Attributes
    ----------
    path : Path
        The file it was read from.
    mosaic : ndarray, shape (H, W), float32
        The active area in sensor orientation; black is 0, ``white_level`` is 1.0 at
        every site. Not clipped: noise around black is negative, sites may saturate above
        1, and restored lamps lie far above it. Of origin "rgb" alone, red, green and blue
        of every pixel, shape (H, W, 3); see :func:`sampled`.
    cfa_pattern : CfaPattern or None
        Phase at ``mosaic[0, 0]``; None = monochrome sensor. Of origin "rgb", that in which
        one color a pixel is taken where a mosaic is wanted.
    black_level : ndarray, shape (2, 2), float32
        By site of the mosaic (row % 2, column % 2) [DN].
    white_level : float
        One for all sites; the smallest where the camera states several [DN].
    bit_depth : int
        Smallest of 10, 12, 14, 16 that holds ``white_level`` [bit].
    as_shot_neutral : ndarray, shape (3,), float64, or None
        Camera RGB of the scene's white, green = 1: the reciprocal of the white-balance
        gains. None = unknown.
    color_matrices : tuple of ColorMatrix
        None, one or two.
    baseline_exposure : float
        ``mosaic * 2**baseline_exposure`` is the image in reference units [EV].
    crop : Rectangle
        The part of the mosaic that the camera means to show.
    orientation : int
        EXIF code 1 to 8, not applied to the mosaic.
    metadata : Metadata
        Exposure, names, and the tags to carry over.
    opcodes : OpcodeLists
        Corrections a DNG asks for, not applied to the mosaic.
    origin : {"mosaic", "x-trans", "quad-bayer", "demosaiced", "rgb"}
        What the file holds: this mosaic; that of an X-Trans sensor, or red, green and blue
        of every pixel that were interpolated from a Bayer mosaic (Linear DNG), of which
        ``mosaic`` takes one color a site; a quad-Bayer mosaic, whose blocks are averaged;
        or red, green and blue in which no mosaic shows (Linear DNG, sRAW).
    masked : MaskedBlack or None
        What masked pixels around the picture add to ``black_level``, not subtracted yet
        (:func:`correct_black`); None where there are none that can be believed.
    """

    path: Path
    mosaic: NDArray[np.float32]
    cfa_pattern: CfaPattern | None
    black_level: NDArray[np.float32]
    white_level: float
    bit_depth: int
    as_shot_neutral: NDArray[np.float64] | None
    color_matrices: tuple[ColorMatrix, ...]
    baseline_exposure: float
    crop: Rectangle
    orientation: int
    metadata: Metadata
    opcodes: OpcodeLists = OpcodeLists()
    origin: Origin = "mosaic"
    masked: MaskedBlack | None = None


def read_raw(path: str | os.PathLike[str], *, allow_truncated: bool = False) -> RawImage:
    """Read a camera RAW file.

    Parameters
    ----------
    path : str or path-like
        A file of any format that LibRaw knows, of a Bayer, monochrome or X-Trans sensor,
        or a Linear DNG; also DNGs of JPEG XL, lossy JPEG and floating-point numbers.
    allow_truncated : bool
        Read what is there of a truncated file; missing samples become DN 0.

    Returns
    -------
    RawImage
        The active area, black-subtracted and scaled to 1.0 = white level; not clipped,
        not balanced, not rotated. X-Trans is demosaiced by LibRaw; of it and of a Linear
        DNG in which a mosaic shows one color is taken at each site. Of other Linear DNGs,
        and of sRAW, all three are kept. Quad-Bayer becomes Bayer of half the size.

    Raises
    ------
    RawReadError
        If the file is missing, unreadable, damaged, too large, too long to decode, or no
        RAW. Truncated files that LibRaw opens without a word are found by three rules: a
        file has at least an eighth of a bit a pixel; it is as long as it declares
        (:func:`nightfix.read.truncation.declared_size`); and of any format but DNG, its last
        rows are not what a decoder leaves where its data ended
        (:func:`nightfix.read.truncation.ends_without_data`).
    UnsupportedSensorError
        If the samples are of another kind: Foveon, four colors, other patterns.
    """
    path = Path(path)
    with _open(path) as file:
        tags = read_tags(file)
        padding = _missing(path, file, tags, allow_truncated=allow_truncated)
        raw = _decode(path, file, padding=padding)
    frame = _Frame.of(raw, tags)
    quad = find_quad_bayer(frame.sensor, frame.top, frame.left)
    if quad is None and (other := other_array(frame.sensor)):
        raise UnsupportedSensorError(path, _name_of_pattern(other))
    cfa_pattern = quad.cfa_pattern if quad else _cfa_pattern(path, raw, tags)
    assert raw.samples is not None
    if not (tags.is_dng or allow_truncated) and ends_without_data(raw.samples):
        raise RawReadError(path, "truncated: its lower part holds no data", _INSIST)
    metadata = read_metadata(raw, tags, frame.sensor)
    metadata = replace(metadata, camera=camera_settings(raw.maker_notes))
    image = _raw_image(path, cfa_pattern, raw, tags, metadata)
    if has_three_colors(image) and _is_balanced(tags):
        return _with_gray_white(image)
    return _averaged(image, quad) if quad else image


def read_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return about the height and width of a photo [px], from its tags where they tell.

    Raises
    ------
    RawReadError, UnsupportedSensorError
        If the file is missing or cut off; if it has to be decoded, as for :func:`read_raw`.
    """
    path = Path(path)
    with _open(path) as file:
        tags = read_tags(file)
        _missing(path, file, tags, allow_truncated=False)
    sizes = [
        (ifd.number(Tag.IMAGE_LENGTH) or 0, ifd.number(Tag.IMAGE_WIDTH) or 0) for ifd in tags.images
    ]
    height, width = max(sizes, key=lambda size: size[0] * size[1], default=(0.0, 0.0))
    if height * width:
        return int(height), int(width)
    rows, columns = read_raw(path).mosaic.shape[:2]
    return rows, columns


def to_dn(raw: RawImage, mosaic: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Turn a mosaic into sample values on the black and white levels of ``raw``.

    Parameters
    ----------
    raw : RawImage
        Gives the levels.
    mosaic : ndarray, shape (H, W), float32
        Scaled like ``raw.mosaic``, with the same origin. Any range; see :func:`finite`.

    Returns
    -------
    ndarray, shape (H, W), uint16
        Rounded, clipped to [0, 65535] [DN]. Exactly the file's values for ``raw.mosaic``.

    Notes
    -----
    With k the black level of the sample's site and W the white level:

        DN = k + mosaic * (W - k)
    """
    mosaic, samples = finite(mosaic), np.empty(mosaic.shape, np.uint16)
    for row, column in _SITES:
        black = raw.black_level[row, column]
        dn = mosaic[row::2, column::2] * (np.float32(raw.white_level) - black) + black
        samples[row::2, column::2] = np.clip(np.rint(dn), 0, 65535)
    return samples


def apply_gain_maps(raw: RawImage) -> RawImage:
    """Correct the lens shading as list 2 of the source says, which is used up by it.

    After restoring, not before: the noise is known for the sensor's own samples.

    Returns
    -------
    RawImage
        ``raw`` itself where it has none.
    """
    mosaic = correct_shading(raw.mosaic, raw.opcodes)
    if mosaic is raw.mosaic:
        return raw
    return replace(raw, mosaic=mosaic, opcodes=without_gain_maps(raw.opcodes))


def correct_black(raw: RawImage) -> RawImage:
    """Take the black of masked pixels in place of the stated one.

    Before anything is measured, and before hot pixels are mended.

    Returns
    -------
    RawImage
        White stays 1.0, and ``black_level`` as stated: it is that of :func:`to_dn`. ``raw``
        itself where it has no masked pixels.

    Notes
    -----
    With k the stated black, d what the site and the row of a sample add to it, W the white level:

        x' = (x (W - k) - d) / (W - k - d)
    """
    if raw.masked is None:
        return raw
    mosaic, rows = raw.mosaic.copy(), raw.masked.rows
    for row, column in _SITES:
        span = np.float32(raw.white_level) - raw.black_level[row, column]
        extra = raw.masked.offsets[row, column] / span
        site = mosaic[row::2, column::2]
        if rows is not None:
            extra = extra + rows[row::2, None] / span
        site -= extra
        site /= 1 - extra
    return replace(raw, mosaic=mosaic, masked=None)


def packed_planes(raw: RawImage) -> NDArray[np.float32]:
    """Return the four planes of a photo's mosaic, finite, shape (4, ceil(H/2), ceil(W/2)).

    Of three colors a pixel, those of one mosaic that is taken of them (:func:`sampled`).

    In the order of :func:`nightfix.read.bayer.pack_bayer`; a monochrome sensor's are its
    four sites.
    """
    raw = sampled(raw)
    return pack_bayer(finite(raw.mosaic), raw.cfa_pattern or "RGGB")


def has_three_colors(raw: RawImage) -> bool:
    """Tell whether a photo has red, green and blue of every pixel, and no mosaic."""
    return raw.mosaic.ndim == 3


def sampled(raw: RawImage, cfa_pattern: CfaPattern | None = None) -> RawImage:
    """Take one color a pixel of a photo that has three, as a sensor with a mosaic would.

    Parameters
    ----------
    raw : RawImage
        Any photo.
    cfa_pattern : CfaPattern or None
        Phase of the mosaic; None is the photo's own.

    Returns
    -------
    RawImage
        With a mosaic of shape (H, W); ``raw`` itself where it has no three colors.
    """
    if not has_three_colors(raw):
        return raw
    cfa_pattern = cfa_pattern or raw.cfa_pattern or "RGGB"
    mosaic = np.empty(raw.mosaic.shape[:2], np.float32)
    for (row, column), color in zip(_SITES, cfa_pattern, strict=True):
        mosaic[row::2, column::2] = raw.mosaic[row::2, column::2, "RGB".index(color)]
    return replace(raw, mosaic=mosaic, cfa_pattern=cfa_pattern)


def finite(mosaic: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a mosaic without NaN and infinity: black, and white for +infinity.

    No file gives such values; they come from calculations on a mosaic. The mosaic itself
    is returned where it has none.
    """
    # A sum is not finite if a sample is not, and needs no frame of its own to be held.
    if np.isfinite(mosaic.sum()):
        return mosaic
    return np.nan_to_num(mosaic, posinf=1.0, neginf=0.0)


_SITES = ((0, 0), (0, 1), (1, 0), (1, 1))


def _normalize(
    samples: NDArray[Any],
    black_level: NDArray[np.float32],
    white_level: float,
) -> NDArray[np.float32]:
    """Return (DN - black) / (white - black), site by site, or color by color of three."""
    mosaic = samples.astype(np.float32)
    if mosaic.ndim == 3:
        mosaic -= black_level
        mosaic /= np.float32(white_level) - black_level
        return mosaic
    for row, column in _SITES:
        site = mosaic[row::2, column::2]
        site -= black_level[row, column]
        site /= np.float32(white_level) - black_level[row, column]
    return mosaic


# ---------------------------------------------------------------------------------------
# Opening


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, with a sentence for whatever the system has against it."""
    try:
        # What is no file, such as a pipe or a device, may never end or never begin.
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise RawReadError(path, "is not a file", _NOT_RAW)
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as error:
        raise RawReadError(path, "no such file", "check the name and the folder") from error
    except OSError as error:
        if path.is_dir():
            raise RawReadError(path, "is a folder", "name the files in it: FOLDER/*") from error
        what = f"cannot be read: {error.strerror or error}"
        raise RawReadError(path, what, "check the file's permissions and the disk") from error
    except ValueError as error:  # a NUL in the name
        raise RawReadError(path, "not a valid file name", "check the name") from error


_COPY_AGAIN = "copy it again from the card or a backup"
_INSIST = f"{_COPY_AGAIN}, or use --allow-truncated to read what is there"
_CONVERT = "convert it to a DNG with lossless compression, or develop this one elsewhere"
_NOT_RAW = "give a camera RAW file, such as .ARW, .CR3, .NEF or .DNG"

#: Largest file that is read; TIFF, and so nearly all formats of cameras, ends there [bytes].
_MAX_FILE = 4 << 30

#: A file that declares itself longer than this many times its length is not filled up.
_MOST_MISSING = 16


def _missing(path: Path, file: BinaryIO, tags: FileTags, *, allow_truncated: bool) -> int:
    """Return how many bytes a file lacks; refuse one that lacks any unless that is allowed."""
    size, declared = file.seek(0, os.SEEK_END), declared_size(file, tags)
    if size > _MAX_FILE:
        raise RawReadError(path, f"{size} bytes, larger than any camera file", _NOT_RAW)
    if declared <= size:
        return 0
    if not allow_truncated or declared > min(_MOST_MISSING * size, _MAX_FILE):
        what = f"truncated: {size} of at least {declared} bytes"
        raise RawReadError(path, what, _COPY_AGAIN if allow_truncated else _INSIST)
    return declared - size


def _decode(path: Path, file: BinaryIO, *, padding: int) -> Decoded:
    """Decode a file; whatever happens to LibRaw becomes a RawReadError."""
    try:
        return decode(file, padding=padding)
    except DecoderError as error:
        what, hint = {
            "unknown": ("not a RAW file of a known camera", _NOT_RAW),
            "damaged": (
                "damaged, truncated or not a RAW file",
                _COPY_AGAIN if path.suffix.lower() in RAW_SUFFIXES else _NOT_RAW,
            ),
            "declared": (str(error), _COPY_AGAIN),
            "memory": ("too large for this machine's memory", _COPY_AGAIN),
            "time": (str(error), _COPY_AGAIN),
            "crash": (str(error), _COPY_AGAIN),
            "format": (str(error), _CONVERT),
            "start": (str(error), "close other programs, or raise the limits of this one (ulimit)"),
        }.get(error.kind, (f"LibRaw cannot read it: {error}", _COPY_AGAIN))
        raise RawReadError(path, what, hint) from error


# ---------------------------------------------------------------------------------------
# Sensor


def _raw_image(
    path: Path,
    cfa_pattern: CfaPattern | None,
    raw: Decoded,
    tags: FileTags,
    metadata: Metadata,
) -> RawImage:
    """Gather everything of a decoded file."""
    frame, samples = _Frame.of(raw, tags), raw.samples
    assert samples is not None
    of_colors = samples.ndim == 3
    black_level = _black_of_colors(raw, frame) if of_colors else _black_level(raw, frame)
    white_level = _white_level(raw, float(black_level.max()), is_dng=tags.is_dng)
    if not black_level.max() < white_level:
        levels = f"black level {black_level.max():g} is not below white level {white_level:g}"
        raise RawReadError(path, f"damaged: its {levels}", _COPY_AGAIN)
    mosaic = _normalize(samples, black_level, white_level)
    if of_colors:
        black_level = np.full((2, 2), black_level.max(), np.float32)
    color_matrices = _color_matrices(raw, tags) if cfa_pattern else ()
    return RawImage(
        path=path,
        mosaic=mosaic,
        cfa_pattern=cfa_pattern,
        black_level=black_level,
        white_level=white_level,
        bit_depth=next((b for b in (10, 12, 14) if white_level < 2**b), 16),
        as_shot_neutral=_as_shot_neutral(raw, tags, color_matrices) if cfa_pattern else None,
        color_matrices=color_matrices,
        baseline_exposure=_baseline_exposure(tags) + raw.stops,
        crop=_crop(raw.sizes, frame),
        orientation=_orientation(raw, tags),
        metadata=_brighter_white(metadata, raw.stops),
        opcodes=_opcodes(raw, frame),
        origin=raw.origin,
        masked=_masked(raw, samples, frame, black_level, white_level),
    )


def _averaged(raw: RawImage, quad: QuadBayer) -> RawImage:
    """Average the blocks of a quad-Bayer mosaic: a Bayer mosaic of half the size.

    What the file says of its masked pixels, and of single sites before that, does not hold for
    averages; the variance of the noise is a quarter of what it states.
    """
    mosaic = average_blocks(raw.mosaic, quad)
    top, left = (raw.crop.top - quad.top + 1) // 2, (raw.crop.left - quad.left + 1) // 2
    crop = Rectangle(
        top,
        left,
        min(raw.crop.height // 2, mosaic.shape[0] - top),
        min(raw.crop.width // 2, mosaic.shape[1] - left),
    )
    profile = tuple((a / 4, b / 4) for a, b in raw.metadata.noise_profile)
    return replace(
        raw,
        mosaic=mosaic,
        black_level=np.full((2, 2), raw.black_level.mean(), np.float32),
        crop=crop,
        metadata=replace(raw.metadata, noise_profile=profile),
        opcodes=OpcodeLists(demosaiced=raw.opcodes.demosaiced),
        origin="quad-bayer",
        masked=None,
    )


def _is_balanced(tags: FileTags) -> bool:
    """Tell whether a file's three colors are balanced: a small RAW of Nikon is when decoded."""
    return not tags.is_dng and tags.main.text(Tag.MAKE).lower().startswith("nikon")


def _with_gray_white(raw: RawImage) -> RawImage:
    """State of balanced colors that white is gray in them.

    With n the neutral that the camera recorded, its color matrix M becomes diag(1 / n) M.
    """
    if raw.as_shot_neutral is None:
        return replace(raw, as_shot_neutral=np.ones(3))
    gains = np.diag(1 / raw.as_shot_neutral)
    matrices = tuple(replace(each, matrix=gains @ each.matrix) for each in raw.color_matrices)
    return replace(raw, as_shot_neutral=np.ones(3), color_matrices=matrices)


def _brighter_white(metadata: Metadata, stops: int) -> Metadata:
    """State the noise in units of a white that is so much brighter than the file's.

    With w = 2^stops, variance = a x + b becomes (a / w) x + b / w^2.
    """
    if not stops:
        return metadata
    profile = tuple((a / 2**stops, b / 4**stops) for a, b in metadata.noise_profile)
    return replace(metadata, noise_profile=profile)


def _cfa_pattern(path: Path, raw: Decoded, tags: FileTags) -> CfaPattern | None:
    """Return the phase at the visible origin; refuse what has none and is not monochrome."""
    is_stack = raw.origin in ("demosaiced", "rgb")
    if raw.samples is None or (is_stack and not (tags.is_dng or _reduces_raws(tags))):
        raise UnsupportedSensorError(path, _name_of_stack(tags))
    if raw.num_colors == 1:
        return None
    if raw.pattern_shape != (2, 2):
        raise UnsupportedSensorError(path, _name_of_pattern(raw.pattern_shape))
    letters = "".join(raw.color_desc[index : index + 1] for index in raw.sites)
    if raw.num_colors != 3:
        colors = raw.color_desc
        raise UnsupportedSensorError(
            path, f"a sensor with the colors {colors} instead of red, green and blue"
        )
    if letters not in CFA_PATTERNS:
        raise UnsupportedSensorError(path, f"a color filter array of {letters}, not Bayer")
    return letters


def _name_of_pattern(shape: tuple[int, int] | None) -> str:
    if shape is None:
        return "no color filter array: already demosaiced"
    if shape == (0, 0):
        return "an unknown color filter array"
    return f"a color filter array of {shape[0]} x {shape[1]}, not Bayer"


def _reduces_raws(tags: FileTags) -> bool:
    """Tell whether a maker's cameras write sRAW, mRAW or small RAW, of three colors a pixel."""
    return tags.main.text(Tag.MAKE).lower().startswith(("canon", "nikon"))


def _name_of_stack(tags: FileTags) -> str:
    """Say what a file with several values a pixel is."""
    if tags.is_dng or _reduces_raws(tags):
        return "several values a pixel that are not red, green and blue"
    return "a Foveon or other sensor with all colors at each pixel"


# ---------------------------------------------------------------------------------------
# Levels and areas


class _Frame(NamedTuple):
    """A DNG's own words on the samples, and where the mosaic starts in its active area.

    Attributes
    ----------
    sensor : Ifd
        The directory of the samples LibRaw reads; empty for all but DNG.
    top, left : int
        Rows and columns of the active area that LibRaw leaves out. It starts the
        mosaic of some files at an even row and column, whatever the file declares [px].
    """

    sensor: Ifd
    top: int
    left: int

    @classmethod
    def of(cls, raw: Decoded, tags: FileTags) -> _Frame:
        """Find the directory by the size of the frame."""
        sizes = raw.sizes
        for ifd in sensor_images(tags) if tags.is_dng else ():
            size = ifd.number(Tag.IMAGE_LENGTH), ifd.number(Tag.IMAGE_WIDTH)
            if size == (sizes.raw_height, sizes.raw_width):
                top, left = (*ifd.integers(_ACTIVE_AREA), 0, 0)[:2]
                return cls(ifd, sizes.top_margin - top, sizes.left_margin - left)
        return cls(Ifd(), 0, 0)


_ACTIVE_AREA, _BLACK_REPEAT, _BLACK_LEVEL = 50829, 50713, 50714
_OPCODE_LISTS = (51008, 51009, 51022)
_CROP_ORIGIN, _CROP_SIZE = 50719, 50720


def _black_level(raw: Decoded, frame: _Frame) -> NDArray[np.float32]:
    """Return the black level of each site [DN].

    A DNG's repeat pattern starts at its active area; a pattern larger than 2 x 2 is
    averaged over the samples of each site. LibRaw keeps one level a color, and assigns
    it by the wrong sites where it moved the origin.
    """
    levels = np.array(frame.sensor.numbers(_BLACK_LEVEL))
    rows, columns = (*frame.sensor.integers(_BLACK_REPEAT), 1, 1)[:2]
    is_whole = min(rows, columns) > 0 and levels.size == rows * columns
    if is_whole and np.isfinite(levels).all() and not raw.own_levels:
        down = (np.arange(2 * rows) + frame.top) % rows
        across = (np.arange(2 * columns) + frame.left) % columns
        pattern = levels.reshape(rows, columns)[np.ix_(down, across)]
        return _site_means(pattern)
    per_color = raw.black_level_per_channel
    black = [per_color[index if index < len(per_color) else 0] for index in raw.sites]
    return np.array(black, np.float32).reshape(2, 2)


def _black_of_colors(raw: Decoded, frame: _Frame) -> NDArray[np.float32]:
    """Return the black level of each of three colors a pixel, shape (3,) [DN]."""
    levels = np.array(frame.sensor.numbers(_BLACK_LEVEL))
    known = levels.size > 0 and levels.size % 3 == 0 and np.isfinite(levels).all()
    if known and not raw.own_levels:
        return np.asarray(levels.reshape(-1, 3).mean(0), np.float32)
    return np.array([*raw.black_level_per_channel, 0, 0, 0][:3], np.float32)


def _site_means(pattern: NDArray[np.float64]) -> NDArray[np.float32]:
    means = [pattern[row::2, column::2].mean() for row, column in _SITES]
    return np.array(means, np.float32).reshape(2, 2)


def _white_level(raw: Decoded, black: float, *, is_dng: bool) -> float:
    """Return the level at which the first channel saturates [DN].

    In a DNG that is its WhiteLevel; LibRaw puts its own table's figure for the model
    beside it. Elsewhere the camera's own figures count where they are believable, that
    is within a factor of two of LibRaw's table above black. The smallest, since a
    channel that saturates below 1.0 turns lamps magenta once they are balanced.
    """
    nominal = float(raw.white_level)
    if is_dng:
        return nominal
    own = float(min(raw.camera_white_level_per_channel or (0,)))
    if 0.5 <= (own - black) / max(nominal - black, 1.0) <= 2 and own <= 65535:
        return own
    return nominal


_MASKED_AREAS, _MOST_AREAS = 50830, 16


def _masked(
    raw: Decoded,
    samples: NDArray[np.uint16],
    frame: _Frame,
    black_level: NDArray[np.float32],
    white_level: float,
) -> MaskedBlack | None:
    """Return what masked pixels say of black; those that a DNG names, or all around."""
    if raw.margins is None:
        return None
    numbers = frame.sensor.integers(_MASKED_AREAS)[: 4 * _MOST_AREAS]
    areas = [(*numbers[at : at + 4],) for at in range(0, len(numbers) - 3, 4)]
    named = [(top, left, bottom, right) for top, left, bottom, right in areas]
    return measure_black(raw.margins, samples, black_level, white_level, named)


def _crop(sizes: Sizes, frame: _Frame) -> Rectangle:
    """Return the default crop, by the DNG's tags or LibRaw; the whole mosaic if unknown.

    A DNG counts it from the active area, LibRaw from the corner of the masked frame.
    """
    origin, extent = frame.sensor.numbers(_CROP_ORIGIN), frame.sensor.numbers(_CROP_SIZE)
    if np.isfinite([*origin, *extent]).all() and len(origin) == len(extent) == 2:
        (left, top), (width, height) = origin, extent
        top, left = top - frame.top, left - frame.left
    else:
        top, left = (
            sizes.crop_top_margin - sizes.top_margin,
            sizes.crop_left_margin - sizes.left_margin,
        )
        width, height = sizes.crop_width, sizes.crop_height
    rows = np.clip(np.rint([top, top + height]), 0, sizes.height).astype(int)
    columns = np.clip(np.rint([left, left + width]), 0, sizes.width).astype(int)
    area = Rectangle(int(rows[0]), int(columns[0]), int(np.ptp(rows)), int(np.ptp(columns)))
    # Less than a quarter a side is no crop a camera makes, but a field read wrong.
    if 4 * area.height < sizes.height or 4 * area.width < sizes.width:
        return Rectangle(0, 0, sizes.height, sizes.width)
    return area


def _opcodes(raw: Decoded, frame: _Frame) -> OpcodeLists:
    """Return a DNG's opcode lists, counted from the mosaic's origin.

    List 1 counts from the corner of the masked frame, and is left out unless the mosaic
    starts there: what it repairs is of no use elsewhere. Lists 1 and 2 of what has become
    a Bayer mosaic are for planes or sites that this one does not have.
    """
    sizes = raw.sizes
    stored, linear, demosaiced = (
        frame.sensor.tags[code].value if code in frame.sensor else b"" for code in _OPCODE_LISTS
    )
    if raw.origin not in ("mosaic", "rgb"):
        stored = linear = b""
    linear = without_first(linear, raw.curves)
    return OpcodeLists(
        stored=stored if sizes.top_margin == sizes.left_margin == 0 else b"",
        linear=shift_areas(linear, frame.top, frame.left),
        demosaiced=shift_areas(demosaiced, frame.top, frame.left),
    )


#: LibRaw's flip bits (1 mirror columns, 2 mirror rows, 4 transpose first) as EXIF codes.
_ORIENTATION_OF_FLIP = (1, 2, 4, 3, 5, 8, 6, 7)


def _orientation(raw: Decoded, tags: FileTags) -> int:
    """Return the EXIF orientation of the mosaic.

    A DNG's own tag: LibRaw reads an invalid 0 there as a quarter turn. Elsewhere LibRaw,
    which knows the makers that state it in other places.
    """
    code = tags.main.number(Tag.ORIENTATION)
    if tags.is_dng or code == 0:
        return int(code) if code in range(1, 9) and code else 1
    flip = raw.sizes.flip
    return _ORIENTATION_OF_FLIP[flip] if flip in range(8) else 1


# ---------------------------------------------------------------------------------------
# Color

_COLOR_MATRICES = (
    (Tag.COLOR_MATRIX_1, Tag.CALIBRATION_ILLUMINANT_1, Tag.CAMERA_CALIBRATION_1),
    (Tag.COLOR_MATRIX_2, Tag.CALIBRATION_ILLUMINANT_2, Tag.CAMERA_CALIBRATION_2),
)
_D65 = 21
#: No BaselineExposure in use comes near this; beyond it the tag is damaged [EV].
_MAX_BASELINE_EXPOSURE = 16.0


def _color_matrices(raw: Decoded, tags: FileTags) -> tuple[ColorMatrix, ...]:
    """Return the DNG's matrices, else LibRaw's for D65, else none.

    AnalogBalance (B) and CameraCalibration (C), which a DNG applies after its
    ColorMatrix (M), are multiplied in: XYZ to camera is B C M.
    """
    own = tuple(
        ColorMatrix(illuminant=int(tags.main.number(illuminant) or 0), matrix=matrix)
        for code, illuminant, calibration in _COLOR_MATRICES
        if (matrix := _dng_matrix(tags.main, code, calibration)) is not None
    )
    if own:
        return own
    matrix = raw.rgb_xyz_matrix[:3]
    return (ColorMatrix(illuminant=_D65, matrix=matrix),) if _is_usable(matrix) else ()


def _dng_matrix(main: Ifd, code: int, calibration: int) -> NDArray[np.float64] | None:
    matrix = _square(main, code)
    if matrix is None:
        return None
    own = _square(main, calibration)
    if own is not None and main.text(Tag.CAMERA_CALIBRATION_SIGNATURE) == main.text(
        Tag.PROFILE_CALIBRATION_SIGNATURE
    ):
        matrix = own @ matrix
    balance = np.array(main.numbers(Tag.ANALOG_BALANCE))
    return np.diag(balance) @ matrix if balance.shape == (3,) and (balance > 0).all() else matrix


def _square(ifd: Ifd, code: int) -> NDArray[np.float64] | None:
    values = np.array(ifd.numbers(code))
    return values.reshape(3, 3) if values.size == 9 and _is_usable(values.reshape(3, 3)) else None


def _is_usable(matrix: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(matrix).all() and abs(np.linalg.det(matrix)) > 1e-6)


def _as_shot_neutral(
    raw: Decoded, tags: FileTags, color_matrices: tuple[ColorMatrix, ...]
) -> NDArray[np.float64] | None:
    """Return camera RGB of white, green = 1: by the DNG's tags, else LibRaw's gains."""
    white_xy = tags.main.numbers(Tag.AS_SHOT_WHITE_XY)
    if tags.is_dng and Tag.AS_SHOT_NEUTRAL in tags.main:
        neutral = np.array(tags.main.numbers(Tag.AS_SHOT_NEUTRAL))
    elif tags.is_dng and len(white_xy) == 2 and white_xy[1] > 0 and len(color_matrices) == 1:
        x, y = white_xy
        neutral = color_matrices[0].matrix @ np.array([x / y, 1.0, (1 - x - y) / y])
    else:
        gains = np.array(raw.camera_whitebalance[:3], np.float64)
        neutral = 1 / np.where(gains > 0, gains, np.nan)
    known = neutral.shape == (3,) and np.isfinite(neutral).all() and (neutral > 0).all()
    return neutral / neutral[1] if known else None


def _baseline_exposure(tags: FileTags) -> float:
    value = tags.main.number(Tag.BASELINE_EXPOSURE) if tags.is_dng else None
    return value if value is not None and abs(value) <= _MAX_BASELINE_EXPOSURE else 0.0
