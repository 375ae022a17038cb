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
    """Where the picture of a point goes while the shutter is open, in one or many captures.

    Parameters
    ----------
    path : Tensor, shape (..., 2, 240)
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
        Tensor, shape (..., size, size)
            Non-negative, sum 1, its centroid in the middle, so that a restored photo
            is not moved. Each point is spread to four neighbors bilinearly.
        """
        path = (self.path * scale + size // 2).clamp(0, size - 1.001)
        corner = path.floor()
        (fy, fx), (y, x) = (path - corner).unbind(-2), corner.long().unbind(-2)
        kernel = torch.zeros(*y.shape[:-1], size * size)
        for dy, dx, weight in (
            (0, 0, (1 - fy) * (1 - fx)),
            (0, 1, (1 - fy) * fx),
            (1, 0, fy * (1 - fx)),
            (1, 1, fy * fx),
        ):
            kernel.scatter_add_(-1, (y + dy) * size + x + dx, weight)
        kernel /= kernel.sum(-1, keepdim=True)
        return kernel.view(*y.shape[:-1], size, size)


def random_shake(length: Tensor | float, generator: torch.Generator) -> Shake:
    """Draw the path of a hand-held camera.

    Parameters
    ----------
    length : Tensor of any shape, or float
        Length of each path, 0 for a still camera [mosaic px].
    generator : torch.Generator
        Draws direction, curvature and speed along the path.

    Notes
    -----
    Direction is a random walk; speed varies smoothly by up to a factor of 3, and the
    hand sometimes rests at a place. Section 1.2 of the conditional variant.
    """
    length = torch.as_tensor(length, dtype=torch.float32)
    shape = length.shape
    bend = 0.02 + uniform(0, 0.2, generator, *shape, 1)
    turns = bend * torch.randn(*shape, _POINTS, generator=generator)
    angle = torch.cumsum(turns, -1) + uniform(0, 2 * math.pi, generator, *shape, 1)
    knots = uniform(-1, 1, generator, *shape, 6).reshape(-1, 1, 6)
    speed = torch.exp(F.interpolate(knots, _POINTS, mode="linear", align_corners=True))
    speed = (speed / speed.sum(-1, keepdim=True)).view(*shape, 1, _POINTS) * length[..., None, None]
    path = torch.cumsum(torch.stack([torch.sin(angle), torch.cos(angle)], -2) * speed, -1)
    return _centered(path)


def misjudged(shake: Shake, generator: torch.Generator) -> Tensor:
    """Return the kernels that estimates of shakes might come out as.

    Too long or too short, turned a little, an end of the path missed, smeared: the
    errors seen in kernels estimated from denoised photographs.

    Returns
    -------
    Tensor, shape (..., 33, 33)
        Non-negative, sum 1 [mosaic px].
    """
    shape = shake.path.shape[:-2]
    severity = uniform(0, 0.85, generator, *shape)
    stretch = torch.exp(0.25 * severity * torch.randn(shape, generator=generator))
    turn = 0.25 * severity * torch.randn(shape, generator=generator)
    cosine, sine = torch.cos(turn), torch.sin(turn)
    rotation = torch.stack([cosine, -sine, sine, cosine], -1).view(*shape, 2, 2)
    missed = 0.35 * severity * torch.rand(shape, generator=generator)
    first = torch.where(torch.rand(shape, generator=generator) < 0.5, missed, 0.0)
    path = _centered(
        _part(rotation @ shake.path * stretch[..., None, None], first, 1 - missed)
    ).path
    smear = 2 * severity * torch.rand(shape, generator=generator)
    path = path + smear[..., None, None] * torch.randn(path.shape, generator=generator)
    return Shake(path).kernel(KERNEL_SIZE, 1.0)


def _centered(path: Tensor) -> Shake:
    return Shake(path - path.mean(-1, keepdim=True))


def _part(path: Tensor, first: Tensor, length: Tensor) -> Tensor:
    """Cut paths short: what is left begins at a share of the time and lasts another."""
    times = first[..., None] + length[..., None] * torch.linspace(0, 1, _POINTS)
    place = times.clamp(0, 1) * (_POINTS - 1)
    before = place.long().clamp_max(_POINTS - 2)
    share = (place - before)[..., None, :]
    before = before[..., None, :].expand_as(path)
    return torch.lerp(path.gather(-1, before), path.gather(-1, before + 1), share)


def blur(light: Tensor, kernel: Tensor) -> Tensor:
    """Convolve linear light with a kernel and cut the border it cannot know.

    Parameters
    ----------
    light : Tensor, shape (..., C, H, W)
        Linear light, lamps unclipped, so that they draw streaks.
    kernel : Tensor, shape (..., k, k)
        Odd side, sum 1; on the device of ``light``.

    Returns
    -------
    Tensor, shape (..., C, H - k + 1, W - k + 1)

    Notes
    -----
    A true convolution, by Fourier transform; the wrapped border is what is cut.
    """
    margin = kernel.shape[-1] // 2
    height, width = light.shape[-2:]
    padded = F.pad(kernel, (0, width - kernel.shape[-1], 0, height - kernel.shape[-2]))
    padded = torch.roll(padded, (-margin, -margin), (-2, -1)).unsqueeze(-3)
    spectrum = torch.fft.rfft2(light) * torch.fft.rfft2(padded)
    result: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
    return result[..., margin : height - margin, margin : width - margin].clamp_min(0)
