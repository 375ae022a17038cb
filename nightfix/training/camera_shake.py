"""Training: the shake of a hand as one kernel for the whole frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from nightfix.restore import KERNEL_SIZE
from nightfix.training.unprocessing import uniform

#: Side of a kernel on the mosaic [mosaic px], and on each of its planes [packed px].
MOSAIC_KERNEL, PLANE_KERNEL = 31, 17

#: Points along a trajectory; far more than the pixels it crosses.
_POINTS = 240


@dataclass(frozen=True, slots=True)
class Shake:
    """Where the picture of a point goes while the shutter is open.

    Parameters
    ----------
    path : Tensor, shape (2, 240)
        Places (y, x) at equal times, their mean 0 [mosaic px].
    """

    path: Tensor

    def kernel(self, size: int, scale: float) -> Tensor:
        """Return the point-spread function.

        Parameters
        ----------
        size : int
            Side, odd.
        scale : float
            Kernel pixels a mosaic pixel: 1 on the mosaic, 0.5 on packed planes.

        Returns
        -------
        Tensor, shape (size, size)
            Non-negative, sum 1, its centroid in the middle, so that a restored photo
            is not moved. Each point is spread to four neighbors bilinearly.
        """
        path = (self.path * scale + size // 2).clamp(0, size - 1.001)
        corner = path.floor()
        (fy, fx), (y, x) = path - corner, corner.long()
        kernel = torch.zeros(size, size)
        for dy, dx, weight in (
            (0, 0, (1 - fy) * (1 - fx)),
            (0, 1, (1 - fy) * fx),
            (1, 0, fy * (1 - fx)),
            (1, 1, fy * fx),
        ):
            kernel.index_put_((y + dy, x + dx), weight, accumulate=True)
        return kernel / kernel.sum()


def random_shake(length: float, generator: torch.Generator) -> Shake:
    """Draw the path of a hand-held camera.

    Parameters
    ----------
    length : float
        Length of the path, 0 for a still camera [mosaic px].
    generator : torch.Generator
        Draws direction, curvature and speed along the path.

    Notes
    -----
    Direction is a random walk; speed varies smoothly by up to a factor of 3, and the
    hand sometimes rests at a place. Section 1.2 of the conditional variant.
    """
    bend = 0.02 + 0.2 * float(torch.rand(1, generator=generator))
    turns = bend * torch.randn(_POINTS, generator=generator)
    angle = torch.cumsum(turns, 0) + uniform(0, 2 * math.pi, generator, 1)
    knots = uniform(-1, 1, generator, 1, 1, 6)
    speed = torch.exp(F.interpolate(knots, _POINTS, mode="linear", align_corners=True).flatten())
    speed = speed / speed.sum() * length
    path = torch.cumsum(torch.stack([torch.sin(angle), torch.cos(angle)]) * speed, 1)
    return Shake(path - path.mean(1, keepdim=True))


def misjudged(shake: Shake, generator: torch.Generator) -> Tensor:
    """Return the kernel that an estimate of a shake might come out as.

    Too long or too short, turned a little, an end of the path missed, smeared: the
    errors seen in kernels estimated from denoised photographs.

    Returns
    -------
    Tensor, shape (33, 33)
        Non-negative, sum 1 [mosaic px].
    """
    severity = 0.85 * float(torch.rand(1, generator=generator))
    stretch = math.exp(0.25 * severity * float(torch.randn(1, generator=generator)))
    turn = 0.25 * severity * float(torch.randn(1, generator=generator))
    cosine, sine = math.cos(turn), math.sin(turn)
    path = torch.tensor([[cosine, -sine], [sine, cosine]]) @ shake.path * stretch
    missed = round(0.35 * severity * float(torch.rand(1, generator=generator)) * _POINTS)
    path = (
        path[:, missed:]
        if torch.rand(1, generator=generator) < 0.5
        else path[:, : _POINTS - missed]
    )
    path = path - path.mean(1, keepdim=True)
    smear = 2 * severity * float(torch.rand(1, generator=generator))
    path = path + smear * torch.randn(path.shape, generator=generator)
    return Shake(path).kernel(KERNEL_SIZE, 1.0)


def blur(light: Tensor, kernel: Tensor) -> Tensor:
    """Convolve linear light with a kernel and cut the border it cannot know.

    Parameters
    ----------
    light : Tensor, shape (C, H, W)
        Linear light, lamps unclipped, so that they draw streaks.
    kernel : Tensor, shape (k, k)
        Odd side, sum 1.

    Returns
    -------
    Tensor, shape (C, H - k + 1, W - k + 1)

    Notes
    -----
    A true convolution, by Fourier transform; the wrapped border is what is cut.
    """
    margin = kernel.shape[0] // 2
    height, width = light.shape[1:]
    padded = F.pad(kernel, (0, width - kernel.shape[1], 0, height - kernel.shape[0]))
    padded = torch.roll(padded, (-margin, -margin), (0, 1))
    spectrum = torch.fft.rfft2(light) * torch.fft.rfft2(padded)
    result: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
    return result[:, margin : height - margin, margin : width - margin].clamp_min(0)
