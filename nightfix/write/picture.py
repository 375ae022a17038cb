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

    Raises
    ------
    OutputExistsError, OutputWriteError
        As for :func:`nightfix.write.tiff.write_tiff`.
    """
    samples = np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)
    record = record or Record()
    xmp = make_packet(raw.metadata.xmp, record, developed=True)
    if kind == "JPEG" and len(xmp) > _LONGEST_XMP:
        xmp = make_packet(b"", record, developed=True)
    texts: dict[str, Any] = {"xmp": xmp}
    if kind == "PNG":
        texts = {"pnginfo": PngInfo()}
        texts["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    with replacing(Path(path), overwrite=overwrite, source=raw.path) as temporary:
        # An optimized JPEG is encoded in one piece, which may be larger than Pillow expects.
        ImageFile.MAXBLOCK = max(ImageFile.MAXBLOCK, samples.size)
        Image.fromarray(samples).save(
            temporary,
            kind,
            exif=_exif_block(raw, color_space, samples.shape),
            icc_profile=icc_profile(COLOR_SPACES[color_space]),
            **texts,
            **_OPTIONS[kind],
        )


def _exif_block(raw: RawImage, color_space: str, shape: tuple[int, ...]) -> bytes:
    """Return EXIF as these formats embed it: a TIFF without a picture."""
    height, width = shape[:2]
    added = [
        *developed_exif(color_space),
        tag(Tag.COMPONENTS_CONFIGURATION, UNDEFINED, 1, 2, 3, 0),  # Y, Cb, Cr
        tag(Tag.PIXEL_X_DIMENSION, LONG, width),
        tag(Tag.PIXEL_Y_DIMENSION, LONG, height),
    ]
    directories = source_directories(raw.metadata, width=width, height=height, added=added)
    block = _encode(raw, directories)
    if len(block) > _LONGEST_EXIF:
        for children in directories.values():
            children[:] = [
                IfdNode(tags=[known for known in child.tags if known.code != Tag.MAKER_NOTE])
                for child in children
            ]
        block = _encode(raw, directories)
    return b"Exif\0\0" + block if len(block) <= _LONGEST_EXIF else b""


def _encode(raw: RawImage, directories: dict[int, list[IfdNode]]) -> bytes:
    file = io.BytesIO()
    # YCbCr samples lie in the middle between pixels.
    tags = [*developed_image_tags(raw.metadata), tag(Tag.YCBCR_POSITIONING, SHORT, 1)]
    write_tree(file, IfdNode(tags=tags, children=directories))
    return file.getvalue()
