"""Read: from samples in memory to :class:`RawImage`, for those who have no file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from nightfix.read.bayer import CFA_PATTERNS, CfaPattern
from nightfix.read.metadata import Exposure, Metadata
from nightfix.read.reader import ColorMatrix, RawImage, Rectangle

_DEPTHS = (10, 12, 14, 16)


def raw_from_array(
    samples: ArrayLike,
    *,
    cfa_pattern: CfaPattern | None = "RGGB",
    black_level: ArrayLike = 0.0,
    white_level: float = 1.0,
    noise: tuple[float, float] | None = None,
    as_shot_neutral: ArrayLike | None = None,
    color_matrix: ArrayLike | None = None,
    exposure_time: float | None = None,
    iso_speed: float | None = None,
    name: str | os.PathLike[str] = "array",
) -> RawImage:
    """Make a RawImage of sensor samples.

    Parameters
    ----------
    samples : array, shape (H, W) or (H, W, 3)
        Samples of the active area, or red, green and blue of every pixel, in linear light; H and
        W >= 2, in any number type [DN].
    cfa_pattern : {"RGGB", "BGGR", "GRBG", "GBRG"} or None
        Phase at the array's origin; None is a monochrome sensor. Of three colors a pixel, that
        in which one is taken where a mosaic is wanted.
    black_level : float or array of shape (2, 2)
        By site of the mosaic (row % 2, column % 2); of three colors a pixel one number [DN].
    white_level : float
        Above every black level [DN].
    noise : (a, b) or None
        Variance = a*x + b with x and the variance in units of white; None estimates it
        from the samples.
    as_shot_neutral : array of shape (3,) or None
        Camera RGB of the scene's white, green = 1.
    color_matrix : array of shape (3, 3) or None
        From XYZ to camera RGB under D65; None leaves the camera's colors as they are.
    exposure_time, iso_speed : float or None
        As EXIF has them [s, -].
    name : str or path-like
        What messages call it.

    Returns
    -------
    RawImage
        Black-subtracted, 1.0 = white; not clipped.

    Raises
    ------
    ValueError
        If the shape, the pattern or the levels are invalid.

    Examples
    --------
    >>> raw_from_array([[64, 1064], [564, 64]], black_level=64, white_level=1064).mosaic
    array([[0. , 1. ],
           [0.5, 0. ]], dtype=float32)
    """
    mosaic = np.asarray(samples, np.float32)
    black = np.broadcast_to(np.asarray(black_level, np.float32), (2, 2)).copy()
    if mosaic.shape[2:] not in ((), (3,)) or mosaic.ndim < 2 or min(mosaic.shape) < 2:
        raise ValueError(f"samples of shape {mosaic.shape} are not a mosaic (H, W) or (H, W, 3)")
    of_colors = mosaic.ndim == 3
    if of_colors and (cfa_pattern is None or np.ptp(black)):
        raise ValueError("three colors a pixel have a pattern, and one black level")
    if cfa_pattern is not None and cfa_pattern not in CFA_PATTERNS:
        raise ValueError(f"{cfa_pattern!r} is none of {', '.join(CFA_PATTERNS)}")
    if not white_level > black.max():
        raise ValueError("the white level is not above the black level")
    height, width = mosaic.shape[:2]
    levels = np.tile(black, (height // 2 + 1, width // 2 + 1))[:height, :width]
    levels = levels[..., None] if of_colors else levels
    matrices = () if color_matrix is None else (_d65(color_matrix),)
    return RawImage(
        path=Path(name),
        mosaic=(mosaic - levels) / (np.float32(white_level) - levels),
        cfa_pattern=cfa_pattern,
        black_level=black,
        white_level=float(white_level),
        bit_depth=next((bits for bits in _DEPTHS if white_level < 2**bits), _DEPTHS[-1]),
        as_shot_neutral=None if as_shot_neutral is None else np.asarray(as_shot_neutral, float),
        color_matrices=matrices,
        baseline_exposure=0.0,
        crop=Rectangle(0, 0, height, width),
        orientation=1,
        metadata=_metadata(noise, exposure_time, iso_speed),
        origin="rgb" if of_colors else "mosaic",
    )


def _d65(matrix: ArrayLike) -> ColorMatrix:
    return ColorMatrix(illuminant=21, matrix=np.asarray(matrix, np.float64).reshape(3, 3))


def _metadata(
    noise: tuple[float, float] | None, exposure_time: float | None, iso_speed: float | None
) -> Metadata:
    return Metadata(
        make="",
        model="",
        unique_camera_model="",
        lens="",
        exposure=Exposure(
            exposure_time=exposure_time, iso_speed=iso_speed, f_number=None, focal_length=None
        ),
        captured="",
        noise_profile=() if noise is None else (noise,),
        image=(),
        exif=(),
        gps=(),
    )
