"""Pipeline: two pictures in one, before on the left and after on the right of a line."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray

from nightfix.condition import ExposureTarget, choose_amplification
from nightfix.develop import COLOR_SPACES, Lens, convert_light, develop_raw
from nightfix.errors import NightFixError, PictureError, RawReadError
from nightfix.pipeline.fingerprint import recorded_fingerprint
from nightfix.read import RAW_SUFFIXES, read_raw
from nightfix.write import HDR_COLOR_SPACE, read_hdr_avif

Rgb = NDArray[np.float32]


def read_picture(
    path: str | os.PathLike[str],
    *,
    ratio: float | None = None,
    lens: Lens = "auto",
    color_space: str = "srgb",
) -> Rgb:
    """Read any picture as it is to be looked at.

    Parameters
    ----------
    path : str or path-like
        A TIFF, JPEG, PNG, AVIF or camera RAW file. A RAW file that is no result of NightFix is
        amplified first, like a photo that is to be restored.
    ratio : float or None
        Its amplification; None meters.
    lens : {"auto", "off"}
        Whether the lens of a RAW file is corrected.
    color_space : str
        Name in ``COLOR_SPACES`` to which an HDR AVIF is brought.

    Returns
    -------
    ndarray, shape (H, W, 3), float32
        Values in [0, 1], as the file encodes them; ICC profiles are not applied. An HDR
        AVIF is clipped at white.

    Raises
    ------
    InputError
        If the file is missing or no picture.
    """
    path = Path(path)
    try:
        if path.suffix.lower() in RAW_SUFFIXES:
            return _developed(path, ratio, lens)
        # From memory: of a file that is no picture the library would leave the handle open.
        data = path.read_bytes()
        light = read_hdr_avif(data)
        if light is not None:
            space = COLOR_SPACES[color_space]
            return space.encode(convert_light(light, COLOR_SPACES[HDR_COLOR_SPACE], space))
        pixels = iio.imread(data, extension=path.suffix.lower())
    except NightFixError:
        raise
    except FileNotFoundError as error:
        raise RawReadError(path, "no such file", "check the name and the folder") from error
    except Exception as error:  # whatever the libraries of each format raise
        raise PictureError(path, "no picture that can be read") from error
    if pixels.ndim not in (2, 3) or pixels.dtype.kind not in "uf":
        raise PictureError(path, f"a picture of shape {pixels.shape} and type {pixels.dtype}")
    scale = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    values = np.clip(pixels.astype(np.float32) / np.float32(scale), 0, 1)
    planes = np.repeat(values[:, :, None], 3, 2) if values.ndim == 2 else values
    return planes[..., :3] if planes.shape[2] >= 3 else np.repeat(planes[..., :1], 3, 2)


def _developed(path: Path, ratio: float | None, lens: Lens) -> Rgb:
    raw = read_raw(path)
    if ratio is None and recorded_fingerprint(path) is not None:
        return develop_raw(raw, lens=lens)
    factor = np.float32(choose_amplification(raw, ExposureTarget(ratio=ratio)).ratio)
    return develop_raw(replace(raw, mosaic=raw.mosaic * factor), lens=lens)


def split(before: Rgb, after: Rgb, *, at: float = 0.5) -> Rgb:
    """Join two pictures of the same size at a vertical line.

    Parameters
    ----------
    before, after : ndarray, shape (H, W, 3)
        In [0, 1].
    at : float
        Where the line is, 0 (left) to 1 (right).

    Returns
    -------
    ndarray, shape (H, W, 3), float32

    Raises
    ------
    ValueError
        If the sizes differ.
    """
    if before.shape != after.shape:
        raise ValueError(f"pictures of {before.shape} and {after.shape} do not fit together")
    width = before.shape[1]
    line = round(at * width)
    joined = np.concatenate([before[:, :line], after[:, line:]], axis=1)
    joined[:, max(0, line - 1) : line + max(1, width // 1000)] = 1
    return joined
