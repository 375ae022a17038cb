"""Training: turn developed photographs back into linear camera light.

References
----------
Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nightfix.develop import SRGB_TO_XYZ

#: XYZ-to-camera matrices (D65) of full-frame, APS-C and phone-like sensors, as their
#: makers and Adobe publish them in DNG files. Random blends of them stand for any camera.
_CAMERA_MATRICES = torch.tensor(
    [
        [[0.6640, -0.1847, -0.0503], [-0.5238, 1.3010, 0.2474], [-0.0993, 0.1673, 0.6527]],
        [[1.0405, -0.3755, -0.1270], [-0.5461, 1.3787, 0.1793], [-0.1040, 0.2015, 0.6785]],
        [[0.7034, -0.0804, -0.1014], [-0.4420, 1.2564, 0.2058], [-0.0851, 0.1994, 0.5758]],
        [[0.6446, -0.0366, -0.0864], [-0.4436, 1.2204, 0.2513], [-0.0952, 0.2496, 0.6348]],
        [[1.0344, -0.4210, -0.0620], [-0.2315, 1.0625, 0.1948], [0.0093, 0.1058, 0.5541]],
    ]
)


class Look(NamedTuple):
    """How photographs were developed, and by what camera and in what light they were taken.

    ``contrast``: share of the tone curve, (...); ``rgb2cam``: linear sRGB to camera,
    (..., 3, 3); ``neutral``: white in camera RGB, (..., 3).
    """

    contrast: Tensor
    rgb2cam: Tensor
    neutral: Tensor


def uniform(low: float, high: float, generator: torch.Generator, *shape: int) -> Tensor:
    """Draw numbers between ``low`` and ``high``."""
    return low + (high - low) * torch.rand(shape, generator=generator)


def inverse_tone_curve(x: Tensor) -> Tensor:
    """Undo the smoothstep curve 3x^2 - 2x^3 that stands for a camera's contrast."""
    return 0.5 - torch.sin(torch.asin(1 - 2 * x.clamp(0, 1)) / 3)


def gamma_expansion(x: Tensor) -> Tensor:
    """Undo the sRGB transfer function (IEC 61966-2-1)."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def linearize(x: Tensor, contrast: Tensor) -> Tensor:
    """Undo a share of the tone curve, and the sRGB transfer function."""
    return gamma_expansion(torch.lerp(x, inverse_tone_curve(x), contrast))


def random_rgb2cam(generator: torch.Generator, *shape: int) -> Tensor:
    """Blend published matrices into (*shape, 3, 3) from linear sRGB to camera.

    Rows sum to one.
    """
    weights = -torch.log(torch.rand(*shape, len(_CAMERA_MATRICES), generator=generator) + 1e-6)
    weights = weights / weights.sum(-1, keepdim=True)
    xyz2cam = torch.tensordot(weights, _CAMERA_MATRICES, 1)
    rgb2cam: Tensor = xyz2cam @ torch.tensor(SRGB_TO_XYZ, dtype=torch.float32)
    return rgb2cam / rgb2cam.sum(-1, keepdim=True)


def random_neutral(generator: torch.Generator, *shape: int) -> Tensor:
    """Draw whites in camera RGB, (*shape, 3): daylight to lamplight, green 1."""
    red, blue = uniform(1.2, 2.8, generator, *shape), uniform(1.2, 2.6, generator, *shape)
    return torch.stack([1 / red, torch.ones(shape), 1 / blue], -1)


def random_look(generator: torch.Generator, *shape: int) -> Look:
    """Draw how photographs were developed: half of them with the whole tone curve."""
    part = torch.rand(shape, generator=generator) > 0.5
    contrast = torch.where(part, uniform(0.3, 1.0, generator, *shape), 1.0)
    return Look(contrast, random_rgb2cam(generator, *shape), random_neutral(generator, *shape))


def inverse_white_balance(x: Tensor, neutral: Tensor) -> Tensor:
    """Divide the white balance out, but let highlights stay white.

    Parameters
    ----------
    x : Tensor, shape (..., 3, H, W)
        Balanced camera RGB in [0, 1].
    neutral : Tensor, shape (..., 3)
        Reciprocal of the white-balance gains, at most 1.
    """
    highlight = ((x.mean(-3, keepdim=True) - 0.9).clamp_min(0) / 0.1) ** 2
    gain = neutral[..., None, None]
    return x * torch.maximum(highlight + (1 - highlight) * gain, gain)


def to_camera(rgb: Tensor, look: Look) -> Tensor:
    """Turn linear sRGB in [0, 1], (..., 3, H, W), into camera light that is not balanced."""
    x = torch.einsum("...dc,...chw->...dhw", look.rgb2cam, rgb).clamp_(0, 1)
    return inverse_white_balance(x, look.neutral).clamp_(0, 1)


def unprocess(rgb: Tensor, generator: torch.Generator) -> Tensor:
    """Turn developed photographs into linear camera RGB.

    Parameters
    ----------
    rgb : Tensor, shape (..., 3, H, W), float32
        sRGB values in [0, 1].
    generator : torch.Generator
        Chooses the tone curve's strength, the camera and the light of each.

    Returns
    -------
    Tensor, same shape
        Linear camera light in [0, 1], not white-balanced.
    """
    look = random_look(generator, *rgb.shape[:-3])
    return to_camera(linearize(rgb, look.contrast[..., None, None, None]), look)


def mosaic_planes(rgb: Tensor) -> Tensor:
    """Sample RGB by an RGGB pattern into packed planes, (..., 3, 2h, 2w) to (..., 4, h, w)."""
    red, green, blue = rgb.unbind(-3)
    sites = (
        red[..., ::2, ::2],
        green[..., ::2, 1::2],
        green[..., 1::2, ::2],
        blue[..., 1::2, 1::2],
    )
    return torch.stack(sites, -3)
