"""Pipeline: what to make of a photo."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

from nightfix.condition import ExposureTarget, Settings
from nightfix.write import Format, WriteOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class EnhanceOptions:
    """What to make of a photo.

    Parameters
    ----------
    output : str, path-like or None
        Folder of the results; None is the photo's own.
    formats : tuple of {"tiff", "dng", "linear-dng", "jpeg", "png", "avif"}
        Files to write.
    suffix : str
        Added to the photo's name.
    overwrite : bool
        Replace results that are there.
    allow_truncated : bool
        Use the readable part of a truncated photo.
    restore : bool
        False leaves the mosaic as it was read.
    black : {"masked", "stated"}
        Whether masked pixels around the picture correct the black level of restored photos.
    dark : tuple of str or path-like
        Dark frames: their hot pixels are mended, what they have in common with the photo is
        subtracted if they were exposed alike.
    hot_pixels : {"auto", "off"}
        Whether hot, dead and stuck pixels are mended before a photo is restored.
    exposure : ExposureTarget
        How bright the picture is to be; by default the photo is metered.
    deblur : bool or None
        Whether to undo a shake; None undoes one that is found.
    show_shake : bool
        Whether to write a picture of the camera's path beside each result of a shaken photo.
    settings : Settings
        Passes, strength, headroom, seed, tile.
    chroma : float or None
        Strength for color noise alone, 0 to 100; None is that of ``settings``.
    writing : WriteOptions
        White balance, color space, tone and lens of developed pictures; depth and compression.
    """

    output: str | os.PathLike[str] | None = None
    formats: tuple[Format, ...] = ("tiff",)
    suffix: str = "_nightfix"
    overwrite: bool = False
    allow_truncated: bool = False
    restore: bool = True
    black: Literal["masked", "stated"] = "masked"
    dark: tuple[str | os.PathLike[str], ...] = ()
    hot_pixels: Literal["auto", "off"] = "auto"
    exposure: ExposureTarget = field(default_factory=ExposureTarget)
    deblur: bool | None = None
    show_shake: bool = False
    settings: Settings = field(default_factory=Settings)
    chroma: float | None = None
    writing: WriteOptions = field(default_factory=WriteOptions)
