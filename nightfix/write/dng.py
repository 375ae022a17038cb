"""Write: the photo as a DNG, still raw, that editors open as a raw of the same camera."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightfix.develop import demosaic_camera
from nightfix.read import (
    ExifTag,
    Metadata,
    OpcodeLists,
    RawImage,
    Tag,
    apply_gain_maps,
    has_three_colors,
    to_dn,
)
from nightfix.write.atomic import replacing
from nightfix.write.dng_preview import (
    THUMBNAIL_SIDE,
    make_preview,
    preview_directory,
    shrink_picture,
    thumbnail_tags,
)
from nightfix.write.dng_samples import Compression, sample_directory
from nightfix.write.exif import source_directories, source_image_tags
from nightfix.write.ifd import (
    BYTE,
    DOUBLE,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    SUB_IFDS,
    UNDEFINED,
    IfdNode,
    ascii_tag,
    float_tag,
    rational_tag,
    tag,
    text_tag,
    write_tree,
)
from nightfix.write.record import Record
from nightfix.write.xmp import make_packet

#: BaselineExposure is written in this many parts of one EV.
_EV_PARTS = 10_000

#: UniqueCameraModel of a photo that does not tell it; DNG wants one.
UNKNOWN_CAMERA = "Unknown"

_CFA, _LINEAR_RAW = 32803, 34892

_COLOR_MATRICES = (
    (Tag.COLOR_MATRIX_1, Tag.CALIBRATION_ILLUMINANT_1),
    (Tag.COLOR_MATRIX_2, Tag.CALIBRATION_ILLUMINANT_2),
)

#: Tags of the source's profile that belong to the samples.
_OF_THE_SAMPLES = frozenset(
    {
        Tag.DEFAULT_SCALE,
        Tag.BAYER_GREEN_SPLIT,
        Tag.ANTI_ALIAS_STRENGTH,
        Tag.BEST_QUALITY_SCALE,
        Tag.DEFAULT_USER_CROP,
    }
)

#: Those that are true of the sensor's own numbers only.
_OF_THE_SENSOR = frozenset({Tag.BASELINE_NOISE, Tag.BAYER_GREEN_SPLIT})


def write_dng(
    path: str | os.PathLike[str],
    raw: RawImage,
    *,
    restored: bool,
    linear: bool = False,
    compression: Compression = "lossless",
    record: Record | None = None,
    overwrite: bool = False,
) -> None:
    """Write a raw image as a DNG 1.4, with levels and color of the source and a preview.

    In all cases ``(value - black) / (white - black) * 2^BaselineExposure`` of
    the file is ``raw.mosaic * 2^raw.baseline_exposure``, or that demosaiced.

    Parameters
    ----------
    path, record, overwrite
        As for :func:`nightfix.write.tiff.write_tiff`.
    raw : RawImage
        What is written, in sensor orientation; monochrome sensors become a
        LinearRaw of one sample, three colors a pixel always a Linear DNG.
    restored : bool
        False: the sensor's own numbers, exactly, with the source's levels and
        opcodes. True: values on the scale of ``raw.mosaic``, lamps above 1.0, with the
        largest gain, at most 1, that clips nothing above; what is below DN 0 becomes 0.
        Gain maps are applied; NoiseProfile is left out.
    linear : bool
        Write demosaiced camera RGB instead of the mosaic (a Linear DNG): black 0, white
        65535, what is below black becomes 0. Gain maps are applied in any case.
    compression : {"lossless", "none"}
        Of the samples.

    Raises
    ------
    OutputExistsError, OutputWriteError
        As for :func:`nightfix.write.tiff.write_tiff`.

    Notes
    -----
    IFD0 holds a thumbnail and all that is true of the whole file; below it stand the
    samples and a JPEG preview (SubIFDs), EXIF and GPS.

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
    with replacing(Path(path), overwrite=overwrite, source=raw.path) as temporary:
        linear = linear or (restored and has_three_colors(raw))
        if restored or linear:
            raw = scale_to_fit(without_sensor_tags(apply_gain_maps(raw)))
        samples = _sample_directory(raw, restored=restored, linear=linear, compression=compression)
        root = _main_directory(raw, samples, record or Record(restored=restored))
        with temporary.open("wb") as file:
            write_tree(file, root)


def without_sensor_tags(raw: RawImage) -> RawImage:
    """Leave out what a source says of its sensor's noise and of its two greens."""
    kept = tuple(known for known in raw.metadata.profile if known.code not in _OF_THE_SENSOR)
    return replace(raw, metadata=replace(raw.metadata, profile=kept))


def scale_to_fit(raw: RawImage) -> RawImage:
    """Bring an image to 16-bit levels and its maximum to white or below.

    Parameters
    ----------
    raw : RawImage
        Values above 1.0 (lamps) are valid.

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


def _main_directory(raw: RawImage, samples: IfdNode, record: Record) -> IfdNode:
    """Build IFD0 with everything below it."""
    metadata, crop = raw.metadata, raw.crop
    preview = make_preview(raw)
    thumbnail = shrink_picture(preview, THUMBNAIL_SIDE)
    packet = make_packet(metadata.xmp, record, developed=False)
    return IfdNode(
        tags=[
            *source_image_tags(metadata),
            *(known for known in metadata.profile if known.code not in _OF_THE_SAMPLES),
            *thumbnail_tags(thumbnail),
            *_camera_tags(raw),
            tag(Tag.XMP, BYTE, *packet),
        ],
        pieces=[thumbnail.tobytes()],
        children={
            SUB_IFDS: [samples, preview_directory(preview, metadata.captured)],
            **source_directories(metadata, width=crop.width, height=crop.height),
        },
    )


def _camera_tags(raw: RawImage) -> list[ExifTag]:
    """Return what tells an editor which camera it was and how its values are to be read."""
    tags = [
        *camera_color_tags(raw),
        tag(Tag.ORIENTATION, SHORT, raw.orientation),
        tag(Tag.DNG_VERSION, BYTE, 1, 4, 0, 0),
        tag(Tag.DNG_BACKWARD_VERSION, BYTE, 1, 1, 0, 0),
        rational_tag(Tag.BASELINE_EXPOSURE, SRATIONAL, [raw.baseline_exposure]),
        text_tag(Tag.ORIGINAL_RAW_FILE_NAME, raw.path.name),
    ]
    if any(known.code == Tag.MAKER_NOTE for known in raw.metadata.exif):
        tags.append(tag(Tag.MAKER_NOTE_SAFETY, SHORT, 1))  # no other note is kept
    if raw.as_shot_neutral is not None:
        tags.append(rational_tag(Tag.AS_SHOT_NEUTRAL, RATIONAL, raw.as_shot_neutral.tolist()))
    return tags


def camera_color_tags(raw: RawImage) -> list[ExifTag]:
    """Return the camera's name and matrices, as a DNG and a profile for it both have them."""
    model = raw.metadata.unique_camera_model or UNKNOWN_CAMERA
    tags = [ascii_tag(Tag.UNIQUE_CAMERA_MODEL, model)]
    for (matrix, illuminant), color in zip(_COLOR_MATRICES, raw.color_matrices, strict=False):
        tags.append(rational_tag(matrix, SRATIONAL, color.matrix.ravel().tolist()))
        tags.append(tag(illuminant, SHORT, color.illuminant))
    return tags


def _sample_directory(
    raw: RawImage, *, restored: bool, linear: bool, compression: Compression
) -> IfdNode:
    samples, black_level, white_level = _samples(raw, linear=linear)
    tags = [
        *_level_tags(black_level, white_level, planes=samples.shape[2:]),
        *_area_tags(raw),
        *_noise_tags(raw.metadata, restored=restored),
        *_opcode_tags(raw.opcodes, untouched=not (restored or linear)),
        *(known for known in raw.metadata.profile if known.code in _OF_THE_SAMPLES),
        tag(Tag.PHOTOMETRIC_INTERPRETATION, SHORT, _CFA if samples.ndim == 2 else _LINEAR_RAW),
    ]
    if raw.cfa_pattern is not None and samples.ndim == 2:
        tags += [
            tag(Tag.CFA_REPEAT_PATTERN_DIM, SHORT, 2, 2),
            tag(Tag.CFA_PATTERN, BYTE, *("RGB".index(color) for color in raw.cfa_pattern)),
            tag(Tag.CFA_PLANE_COLOR, BYTE, 0, 1, 2),
            tag(Tag.CFA_LAYOUT, SHORT, 1),  # rectangular
        ]
    return sample_directory(samples, tags, compression)


def _samples(
    raw: RawImage, *, linear: bool
) -> tuple[NDArray[np.uint16], NDArray[np.float32], float]:
    """Return samples, black and white level [DN]: (H, W) of a mosaic, else (H, W, planes).

    Demosaiced samples begin at 0: editors do not agree on how a black level of
    several planes is written, and tint the shadows.
    """
    if raw.cfa_pattern is None:
        return to_dn(raw, raw.mosaic)[..., None], raw.black_level, raw.white_level
    if not linear:
        return to_dn(raw, raw.mosaic), raw.black_level, raw.white_level
    light = demosaic_camera(raw)
    light *= 65535
    samples = np.clip(np.rint(light, out=light), 0, 65535, out=light).astype(np.uint16)
    return samples, np.zeros((1, 1), np.float32), 65535.0


def _level_tags(
    black_level: NDArray[np.float32], white_level: float, *, planes: tuple[int, ...]
) -> list[ExifTag]:
    count = planes[0] if planes else 1
    return [
        tag(Tag.BLACK_LEVEL_REPEAT_DIM, SHORT, *black_level.shape),
        _level_tag(Tag.BLACK_LEVEL, np.repeat(black_level.ravel(), count).tolist()),
        _level_tag(Tag.WHITE_LEVEL, [white_level] * count),
    ]


def _level_tag(code: int, levels: list[float]) -> ExifTag:
    """Return a level as whole numbers where it is one, which every reader understands."""
    if all(level == int(level) for level in levels):
        return tag(code, LONG, *map(int, levels))
    return rational_tag(code, RATIONAL, levels)


def _area_tags(raw: RawImage) -> list[ExifTag]:
    height, width = raw.mosaic.shape[:2]
    return [
        rational_tag(Tag.DEFAULT_SCALE, RATIONAL, [1, 1]),
        tag(Tag.DEFAULT_CROP_ORIGIN, LONG, raw.crop.left, raw.crop.top),
        tag(Tag.DEFAULT_CROP_SIZE, LONG, raw.crop.width, raw.crop.height),
        tag(Tag.ACTIVE_AREA, LONG, 0, 0, height, width),  # all that is written
    ]


def _noise_tags(metadata: Metadata, *, restored: bool) -> list[ExifTag]:
    if restored:
        return [rational_tag(Tag.NOISE_REDUCTION_APPLIED, RATIONAL, [1])]  # fully
    if not metadata.noise_profile:
        return []
    return [
        float_tag(
            Tag.NOISE_PROFILE,
            DOUBLE,
            [number for pair in metadata.noise_profile for number in pair],
        )
    ]


def _opcode_tags(opcodes: OpcodeLists, *, untouched: bool) -> list[ExifTag]:
    """Return the source's opcode lists: the first two are for the sensor's own numbers."""
    lists = [(Tag.OPCODE_LIST_3, opcodes.demosaiced)]
    if untouched:
        lists += [(Tag.OPCODE_LIST_1, opcodes.stored), (Tag.OPCODE_LIST_2, opcodes.linear)]
    return [tag(code, UNDEFINED, *data) for code, data in lists if data]
