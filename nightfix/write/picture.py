"""Write: the developed picture as JPEG, PNG or AVIF, 8 bit, to look at and to pass on."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngInfo

from nightfix.develop import COLOR_SPACES, icc_profile
from nightfix.read import RawImage, Tag
from nightfix.write.atomic import replacing
from nightfix.write.exif import developed_exif, developed_image_tags, source_directories
from nightfix.write.gain_map import (
    announcing_segments,
    encode_gain_map,
    measure_gain,
    put_behind,
)
from nightfix.write.ifd import LONG, SHORT, UNDEFINED, IfdNode, tag, write_tree
from nightfix.write.record import Record
from nightfix.write.xmp import make_packet

PictureFormat = Literal["JPEG", "PNG", "AVIF"]

#: What one segment of a JPEG holds beside its name.
_LONGEST_EXIF, _LONGEST_XMP = 65527, 65502

#: Quality at which no artifact is seen at full size.
_OPTIONS: dict[PictureFormat, dict[str, Any]] = {
    "JPEG": {"quality": 92, "subsampling": "4:4:4", "optimize": True},
    "PNG": {"compress_level": 6},
    "AVIF": {"quality": 80, "subsampling": "4:4:4"},
}


def write_picture(
    path: str | os.PathLike[str],
    rgb: NDArray[np.float32],
    raw: RawImage,
    kind: PictureFormat,
    *,
    color_space: str,
    light: NDArray[np.float32] | None = None,
    record: Record | None = None,
    overwrite: bool = False,
) -> None:
    """Write a developed picture as JPEG, PNG or AVIF.

    Parameters
    ----------
    path, record, overwrite
        As for :func:`nightfix.write.tiff.write_tiff`.
    rgb : ndarray, shape (H, W, 3), float32
        Encoded in the curve of ``color_space``, upright; clipped to [0, 1].
    raw : RawImage
        Where the picture came from: its EXIF, GPS and XMP are carried over. What a
        JPEG cannot hold is left out: a maker note that makes EXIF longer than
        64 KiB, an XMP packet longer than that but for our own part.
    kind : {"JPEG", "PNG", "AVIF"}
        The format.
    color_space : str
        Name in ``COLOR_SPACES``; its ICC profile goes into the file.
    light : ndarray, same shape, or None
        Of a JPEG for HDR screens: linear light of ``color_space`` with lamps above 1, which
        becomes a gain map behind the picture. The picture itself stays the same, and is
        all there is where nothing lies above white.

    Raises
    ------
    OutputExistsError, OutputWriteError
        As for :func:`nightfix.write.tiff.write_tiff`.
    """
    with replacing(Path(path), overwrite=overwrite, source=raw.path) as temporary:
        data = _encode(
            rgb, raw, kind, color_space=color_space, light=light, record=record or Record()
        )
        temporary.write_bytes(data)


def _encode(
    rgb: NDArray[np.float32],
    raw: RawImage,
    kind: PictureFormat,
    *,
    color_space: str,
    light: NDArray[np.float32] | None,
    record: Record,
) -> bytes:
    samples, space = np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8), COLOR_SPACES[color_space]
    gain_map = None if light is None else measure_gain(rgb, light, space)
    behind = b"" if gain_map is None else encode_gain_map(gain_map)
    file = io.BytesIO()
    # An optimized JPEG is encoded in one piece, which may be larger than Pillow expects.
    ImageFile.MAXBLOCK = max(ImageFile.MAXBLOCK, samples.size)
    Image.fromarray(samples).save(
        file,
        kind,
        exif=exif_block(raw, color_space, samples.shape),
        icc_profile=icc_profile(space),
        **_texts(raw, record, kind, len(behind) or None),
        **_OPTIONS[kind],
    )
    return put_behind(file.getvalue(), behind) if behind else file.getvalue()


def _texts(
    raw: RawImage, record: Record, kind: PictureFormat, behind: int | None
) -> dict[str, Any]:
    """Return the XMP packet, and what announces a gain map, as Pillow takes them."""
    xmp = make_packet(raw.metadata.xmp, record, developed=True, gain_map=behind)
    if kind == "JPEG" and len(xmp) > _LONGEST_XMP:
        xmp = make_packet(b"", record, developed=True, gain_map=behind)
    if kind == "PNG":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        return {"pnginfo": text}
    return {"xmp": xmp} if behind is None else {"xmp": xmp, "extra": announcing_segments(behind)}


def exif_block(raw: RawImage, color_space: str, shape: tuple[int, ...]) -> bytes:
    """Return EXIF as these formats embed it: a TIFF without a picture; empty if it is too long."""
    height, width = shape[:2]
    added = [
        *developed_exif(color_space),
        tag(Tag.COMPONENTS_CONFIGURATION, UNDEFINED, 1, 2, 3, 0),  # Y, Cb, Cr
        tag(Tag.PIXEL_X_DIMENSION, LONG, width),
        tag(Tag.PIXEL_Y_DIMENSION, LONG, height),
    ]
    directories = source_directories(raw.metadata, width=width, height=height, added=added)
    block = _exif_tree(raw, directories)
    if len(block) > _LONGEST_EXIF:
        for children in directories.values():
            children[:] = [
                IfdNode(tags=[known for known in child.tags if known.code != Tag.MAKER_NOTE])
                for child in children
            ]
        block = _exif_tree(raw, directories)
    return b"Exif\0\0" + block if len(block) <= _LONGEST_EXIF else b""


def _exif_tree(raw: RawImage, directories: dict[int, list[IfdNode]]) -> bytes:
    file = io.BytesIO()
    # YCbCr samples lie in the middle between pixels.
    tags = [*developed_image_tags(raw.metadata), tag(Tag.YCBCR_POSITIONING, SHORT, 1)]
    write_tree(file, IfdNode(tags=tags, children=directories))
    return file.getvalue()
