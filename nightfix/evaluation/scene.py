"""Evaluation: the synthetic camera of the benchmark, of ``nightfix doctor`` and of the tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nightfix.read import Metadata, RawImage, raw_from_array

#: Levels of its 14-bit samples [DN].
BLACK, WHITE = 512, 16383

#: Camera RGB of white, and XYZ to camera RGB under D65.
NEUTRAL = (0.5, 1.0, 0.6)
COLOR_MATRIX = ((0.66, -0.19, -0.05), (-0.46, 1.24, 0.25), (-0.06, 0.14, 0.64))


def capture(
    light: NDArray[np.float64], a: float, b: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return noisy samples of the light that a sensor gets.

    Parameters
    ----------
    light : ndarray
        Expected values, >= 0 [1.0 = white].
    a, b : float
        Shot and read noise, variance = a*x + b.
    rng : Generator
        Source of randomness.

    Returns
    -------
    ndarray, same shape
        Not clipped.
    """
    return np.asarray(a * rng.poisson(light / a) + np.sqrt(b) * rng.normal(size=light.shape))


def synthetic_photo(
    mosaic: ArrayLike, *, noise: tuple[float, float], model: str, path: Path = Path("synthetic")
) -> RawImage:
    """Return a photo of the synthetic camera, at ISO 3200 and 1/30 s.

    Parameters
    ----------
    mosaic : array, shape (H, W)
        Black-subtracted, 1.0 = white; kept as it is.
    noise : (a, b)
        For its NoiseProfile.
    model : str
        Of the camera; its make is NightFix.
    path : Path
        Name of the photo.
    """
    photo = raw_from_array(
        np.zeros(np.shape(mosaic)),
        black_level=BLACK,
        white_level=WHITE,
        noise=noise,
        as_shot_neutral=NEUTRAL,
        color_matrix=COLOR_MATRIX,
        exposure_time=1 / 30,
        iso_speed=3200.0,
        name=path,
    )
    return replace(
        photo,
        mosaic=np.asarray(mosaic, np.float32),
        metadata=_named(photo.metadata, model),
    )


def _named(metadata: Metadata, model: str) -> Metadata:
    return replace(metadata, make="NightFix", model=model, unique_camera_model=f"NightFix {model}")
