"""Write: the output formats, in one table."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from nightfix.develop import Lens, Look, Tone, WhiteBalance, develop_raw
from nightfix.read import RawImage
from nightfix.write.avif import HDR_COLOR_SPACE, write_hdr_avif
from nightfix.write.dng import write_dng
from nightfix.write.dng_samples import Compression
from nightfix.write.picture import PictureFormat, write_picture
from nightfix.write.record import Record
from nightfix.write.tiff import Depth, write_tiff
from nightfix.write.xmp import copy_sidecars

Format = Literal["tiff", "dng", "linear-dng", "jpeg", "png", "avif"]
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """How results are developed and written.

    Attributes
    ----------
    white_balance : WhiteBalance
        ``"as-shot"``, ``"auto"``, ``"daylight"`` or three gains; of developed pictures.
    color_space : str
        Name in ``COLOR_SPACES``; of developed pictures.
    tone : {"natural", "linear"}
        Tone curve of developed pictures.
    lens : {"auto", "off"}
        Whether the lens is corrected in developed pictures, see
        :func:`nightfix.develop.lens.lens_correction`.
    depth : {16, 32}
        Of a TIFF; 32 is linear light in floats, without a tone curve.
    compression : {"lossless", "none"}
        Of TIFF and DNG.
    look : str
        Of developed pictures: name or path of a learned one, ``"camera"`` (of the photo's
        own preview) or ``"none"``. Floats and HDR renditions have none.
    hdr : bool
        Whether JPEG and AVIF keep lamps above white, for screens that show them. Other
        formats are as without.
    """

    white_balance: WhiteBalance = "as-shot"
    color_space: str = "srgb"
    tone: Tone = "natural"
    lens: Lens = "auto"
    depth: Depth = 16
    compression: Compression = "lossless"
    look: str = "none"
    hdr: bool = False


class DevelopedPhoto:
    """A photo that is developed when a format first asks for it, and once for all of them."""

    def __init__(self, raw: RawImage, options: WriteOptions, look: Look | None = None) -> None:
        self.raw, self.options, self.look = raw, options, look
        self._developed: dict[tuple[Tone, str], NDArray[np.float32]] = {}

    def rgb(self, tone: Tone, color_space: str | None = None) -> NDArray[np.float32]:
        """Return the picture as :func:`nightfix.develop.develop_raw` gives it."""
        wanted = tone, color_space or self.options.color_space
        if wanted not in self._developed:
            self._developed[wanted] = develop_raw(
                self.raw,
                white_balance=self.options.white_balance,
                color_space=wanted[1],
                tone=tone,
                lens=self.options.lens,
                look=self.look if tone == "natural" else None,
            )
        return self._developed[wanted]

    def light(self, color_space: str | None = None) -> NDArray[np.float32]:
        """Return the picture's HDR rendition, in linear light with lamps above 1."""
        natural = self.options.tone == "natural"
        return self.rgb("natural-hdr" if natural else "scene", color_space)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """One format.

    Attributes
    ----------
    suffix : str
        Of its files.
    developed : bool
        Whether it holds a picture that is ready to look at, or a raw.
    write : callable
        Writes it: path, photo, record, and whether to replace what is there.
    """

    suffix: str
    developed: bool
    write: Callable[[Path, DevelopedPhoto, Record, bool], None]


def _dng(
    path: Path, picture: DevelopedPhoto, record: Record, overwrite: bool, *, linear: bool
) -> None:
    options = picture.options
    record = replace(record, lens="", look="")  # it keeps what its source says of that
    write_dng(
        path,
        picture.raw,
        restored=record.restored,
        linear=linear,
        compression=options.compression,
        record=record,
        overwrite=overwrite,
    )


def _tiff(path: Path, picture: DevelopedPhoto, record: Record, overwrite: bool) -> None:
    options = picture.options
    write_tiff(
        path,
        picture.rgb("scene" if options.depth == 32 else options.tone),
        picture.raw,
        color_space=options.color_space,
        depth=options.depth,
        compression=options.compression,
        record=record,
        overwrite=overwrite,
    )


def _picture(
    path: Path,
    picture: DevelopedPhoto,
    record: Record,
    overwrite: bool,
    *,
    kind: PictureFormat,
) -> None:
    options = picture.options
    write_picture(
        path,
        picture.rgb(options.tone),
        picture.raw,
        kind,
        color_space=options.color_space,
        light=picture.light() if options.hdr and kind == "JPEG" else None,
        record=record,
        overwrite=overwrite,
    )


def _avif(path: Path, picture: DevelopedPhoto, record: Record, overwrite: bool) -> None:
    if not picture.options.hdr:
        _picture(path, picture, record, overwrite, kind="AVIF")
        return
    light = picture.light(HDR_COLOR_SPACE)
    write_hdr_avif(path, light, picture.raw, record=record, overwrite=overwrite)


FILE_FORMATS: dict[Format, FileFormat] = {
    "tiff": FileFormat(suffix=".tif", developed=True, write=_tiff),
    "dng": FileFormat(suffix=".dng", developed=False, write=partial(_dng, linear=False)),
    "linear-dng": FileFormat(suffix=".dng", developed=False, write=partial(_dng, linear=True)),
    "jpeg": FileFormat(suffix=".jpg", developed=True, write=partial(_picture, kind="JPEG")),
    "png": FileFormat(suffix=".png", developed=True, write=partial(_picture, kind="PNG")),
    "avif": FileFormat(suffix=".avif", developed=True, write=_avif),
}


def write_results(
    raw: RawImage,
    paths: Mapping[Format, str | os.PathLike[str]],
    record: Record,
    options: WriteOptions,
    *,
    look: Look | None = None,
    overwrite: bool = False,
) -> None:
    """Write a photo in several formats, with the photo's XMP sidecars beside each.

    Parameters
    ----------
    raw : RawImage
        Captured or restored.
    paths : mapping of str to (str or path-like)
        Where each format goes.
    record : Record
        How the result was made.
    options : WriteOptions
        How it is developed and written.
    look : Look or None
        What ``options.look`` names.
    overwrite : bool
        Replace results that are there.

    Raises
    ------
    OutputError
        If one exists already and must stay, or the operating system refuses it.
    """
    picture = DevelopedPhoto(raw, options, look)
    # Raws first: a developed picture takes three times the memory of its mosaic.
    for kind in sorted(paths, key=lambda kind: FILE_FORMATS[kind].developed):
        path = Path(paths[kind])
        FILE_FORMATS[kind].write(path, picture, record, overwrite)
        copy_sidecars(raw.path, path)
