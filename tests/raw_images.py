"""A RawImage with nothing known of it, for tests to state what they need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightfix.read.metadata import Exposure, Metadata
from nightfix.read.reader import RawImage, Rectangle

NO_METADATA = Metadata(
    make="",
    model="",
    unique_camera_model="",
    lens="",
    exposure=Exposure(exposure_time=None, iso_speed=None, f_number=None, focal_length=None),
    captured="",
    noise_profile=(),
    image=(),
    exif=(),
    gps=(),
)


def metadata_with(
    *, exposure_time: float | None = None, iso_speed: float | None = None, **known: Any
) -> Metadata:
    exposure = replace(NO_METADATA.exposure, exposure_time=exposure_time, iso_speed=iso_speed)
    return replace(NO_METADATA, exposure=exposure, **known)


def plain_raw(mosaic: NDArray[np.floating], **known: Any) -> RawImage:
    height, width = mosaic.shape
    raw = RawImage(
        path=Path("photo.dng"),
        mosaic=np.asarray(mosaic, np.float32),
        cfa_pattern="RGGB",
        black_level=np.full((2, 2), 512, np.float32),
        white_level=16383,
        bit_depth=14,
        as_shot_neutral=None,
        color_matrices=(),
        baseline_exposure=0.0,
        crop=Rectangle(0, 0, height, width),
        orientation=1,
        metadata=NO_METADATA,
    )
    return replace(raw, **known)
