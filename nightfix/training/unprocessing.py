"""Training: turn developed photographs back into linear camera light.

References
----------
Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019.
"""

from __future__ import annotations

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


def uniform(low: float, high: float, generator: torch.Generator, *shape: int) -> Tensor:
    """Draw numbers between ``low`` and ``high``."""
    return low + (high - low) * torch.rand(shape, generator=generator)


def inverse_tone_curve(x: Tensor) -> Tensor:
    """Undo the smoothstep curve 3x^2 - 2x^3 that stands for a camera's contrast."""
    return 0.5 - torch.sin(torch.asin(1 - 2 * x.clamp(0, 1)) / 3)


def gamma_expansion(x: Tensor) -> Tensor:
    """Undo the sRGB transfer function (IEC 61966-2-1)."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def random_rgb2cam(generator: torch.Generator) -> Tensor:
    """Blend published matrices into one from linear sRGB to camera, rows summing to one."""
    weights = -torch.log(torch.rand(len(_CAMERA_MATRICES), generator=generator) + 1e-6)
    weights = weights / weights.sum()
    xyz2cam = torch.tensordot(weights, _CAMERA_MATRICES, 1)
    rgb2cam: Tensor = xyz2cam @ torch.tensor(SRGB_TO_XYZ, dtype=torch.float32)
    return rgb2cam / rgb2cam.sum(1, keepdim=True)


def random_neutral(generator: torch.Generator) -> Tensor:
    """Draw a white in camera RGB, shape (3,): daylight to lamplight, green 1."""
    red, blue = uniform(1.2, 2.8, generator, 1), uniform(1.2, 2.6, generator, 1)
    return torch.cat([1 / red, torch.ones(1), 1 / blue])


def inverse_white_balance(x: Tensor, neutral: Tensor) -> Tensor:
    """Divide the white balance out, but let highlights stay white.

    Parameters
    ----------
    x : Tensor, shape (3, H, W)
        Balanced camera RGB in [0, 1].
    neutral : Tensor, shape (3,)
        Reciprocal of the white-balance gains, at most 1.
    """
    highlight = ((x.mean(0, keepdim=True) - 0.9).clamp_min(0) / 0.1) ** 2
    gain = neutral[:, None, None]
    return x * torch.maximum(highlight + (1 - highlight) * gain, gain)


def unprocess(rgb: Tensor, generator: torch.Generator) -> Tensor:
    """Turn a developed photograph into linear camera RGB.

    Parameters
    ----------
    rgb : Tensor, shape (3, H, W), float32
        sRGB values in [0, 1].
    generator : torch.Generator
        Chooses the tone curve's strength, the camera and the light.

    Returns
    -------
    Tensor, shape (3, H, W)
        Linear camera light in [0, 1], not white-balanced.
    """
    strength = (
        float(uniform(0.3, 1.0, generator, 1)) if torch.rand(1, generator=generator) > 0.5 else 1.0
    )
    x = torch.lerp(rgb, inverse_tone_curve(rgb), strength)
    x = gamma_expansion(x)
    x = torch.einsum("dc,chw->dhw", random_rgb2cam(generator), x).clamp(0, 1)
    return inverse_white_balance(x, random_neutral(generator)).clamp(0, 1)


def mosaic_planes(rgb: Tensor) -> Tensor:
    """Sample an RGB image by an RGGB pattern into packed planes, (3, 2h, 2w) to (4, h, w)."""
    red, green, blue = rgb
    return torch.stack([red[0::2, 0::2], green[0::2, 1::2], green[1::2, 0::2], blue[1::2, 1::2]])
