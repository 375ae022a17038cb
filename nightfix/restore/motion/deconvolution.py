"""Restore: what a known shake does to a mosaic, and how it is undone, as physics.

A shake is a convolution of the light that falls on the sensor, at the mosaic's own pitch:
that of the packed planes, every second sample of it, is none, for they hold detail that is
finer than their pitch. So planes are interpolated to full color, convolved or deconvolved there
and sampled again. Shaken pictures have little fine detail: a linear interpolation does.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from nightfix.restore.motion.fourier import fast_length, transfer_function

#: Rounds of Richardson's and Lucy's method, and how far each goes on in the direction of the
#: one before it. From 0.85 on, rounds swing.
_ROUNDS, _MOMENTUM = 12, 0.7

#: Weight of the total variation, and the step between samples, on a square-root scale, that is
#: none yet. From a weight of half that step on, the rounds would build up a checkerboard.
_SMOOTHNESS, _EDGE = 0.02, 0.06

#: Weight where there are no lights, in units of the noise at the mean brightness, and at least;
#: how bright lights are [white], and the share of the picture that they are.
_OF_NOISE, _SMALLEST_SMOOTHNESS, _LIGHTS, _SHARE = 0.7, 0.006, 1.8, 1e-5

#: What is added to the light under a square root, and under the one that divides: at black
#: both have no slope [white].
_FAINT, _BLACK = 1e-3, 0.01

#: Smallest brightness of an estimate, which has to be positive [white].
_DARKEST = 1e-5

#: Share of the sensor's white from which samples count as saturated.
SATURATED = 0.97

#: Side of the squares over which the two greens are compared [packed px].
_IMBALANCE = 64

#: Border in which the light is unknown but lands inside, in part [mosaic px].
_BORDER = 32

_NEITHER = ((0, 0, -1, 0, 0), (0, 0, 2, 0, 0), (-1, 2, 4, 2, -1), (0, 0, 2, 0, 0), (0, 0, -1, 0, 0))
_ALONG = (
    (0, 0, 0.5, 0, 0),
    (0, -1, 0, -1, 0),
    (-1, 4, 5, 4, -1),
    (0, -1, 0, -1, 0),
    (0, 0, 0.5, 0, 0),
)
_DIAGONAL = (
    (0, 0, -1.5, 0, 0),
    (0, 2, 0, 2, 0),
    (-1.5, 0, 6, 0, -1.5),
    (0, 2, 0, 2, 0),
    (0, 0, -1.5, 0, 0),
)


def context_of(kernel: Tensor) -> int:
    """Return how far what lies outside a window matters to :func:`deconvolve` [packed px].

    Six times as far as kernels (..., k, k) reach; rounds carry it further, but hardly anything.
    """
    return 3 * (kernel.shape[-1] // 2)


def interpolate_colors(planes: Tensor) -> Tensor:
    """Interpolate packed planes to full color, linearly.

    Parameters
    ----------
    planes : Tensor, shape (B, 4, h, w)
        In the order ``R, Gr, Gb, B``; h, w >= 2.

    Returns
    -------
    Tensor, shape (B, 3, 2h, 2w)
        Red, green and blue at the mosaic's pitch. Measured samples are kept.

    References
    ----------
    Malvar, He and Cutler, "High-quality linear interpolation for demosaicing of
    Bayer-patterned color images", ICASSP 2004.
    """
    mosaic = F.pixel_shuffle(planes, 2)
    along = torch.tensor(_ALONG)
    filters = torch.stack([torch.tensor(_NEITHER), along, along.T, torch.tensor(_DIAGONAL)])
    padded = F.pad(mosaic, (2, 2, 2, 2), mode="reflect")
    filtered = F.conv2d(padded, filters[:, None].to(planes) / 8)
    green, rows, columns, diagonal = filtered.unbind(1)
    colors = mosaic.repeat(1, 3, 1, 1)
    for color, source, top, left in (
        (0, rows, 0, 1),
        (0, columns, 1, 0),
        (0, diagonal, 1, 1),
        (1, green, 0, 0),
        (1, green, 1, 1),
        (2, columns, 0, 1),
        (2, rows, 1, 0),
        (2, diagonal, 0, 0),
    ):
        colors[:, color, top::2, left::2] = source[:, top::2, left::2]
    return colors


def _sampled(colors: Tensor) -> Tensor:
    """Take the samples of an RGGB mosaic out of full color, shape (B, 4, h, w)."""
    red, green, blue = colors.unbind(1)
    sites = (red[:, ::2, ::2], green[:, ::2, 1::2], green[:, 1::2, ::2], blue[:, 1::2, 1::2])
    return torch.stack(sites, 1)


def _too_small(planes: Tensor, kernel: Tensor) -> bool:
    """Tell whether planes are smaller than a kernel."""
    return min(planes.shape[-2:]) <= kernel.shape[-1] // 2


def _surrounded(colors: Tensor) -> tuple[Tensor, tuple[slice, slice]]:
    """Mirror a border around a picture, up to a size that transforms quickly.

    Returns it, and the rows and columns of what is known.
    """
    sides = colors.shape[-2:]
    border = min(_BORDER, *(side - 1 for side in sides))
    after = [min(fast_length(n + 2 * border) - n - border, n - 1) for n in sides]
    padded = F.pad(colors, (border, after[1], border, after[0]), mode="reflect")
    top, left = (slice(border, border + side) for side in sides)
    return padded, (top, left)


def shake(planes: Tensor, kernel: Tensor) -> Tensor:
    """Convolve the light of packed planes with kernels.

    Parameters
    ----------
    planes : Tensor, shape (B, 4, h, w)
        Linear light.
    kernel : Tensor, shape (B, k, k)
        Non-negative, sum 1, k odd [mosaic px].

    Returns
    -------
    Tensor, shape (B, 4, h, w)
        Planes smaller than the kernel are returned as they are.
    """
    if _too_small(planes, kernel):
        return planes
    padded, (rows, columns) = _surrounded(interpolate_colors(planes))
    size = (padded.shape[-2], padded.shape[-1])
    spectrum = torch.fft.rfft2(padded) * transfer_function(kernel.to(planes), size)[:, None]
    return _sampled(torch.fft.irfft2(spectrum, s=size)[..., rows, columns])


def choose_smoothness(picture: Tensor, *, a: float, b: float) -> float:
    """Return the weight of the total variation that suits a picture.

    Parameters
    ----------
    picture : Tensor, shape (4, h, w)
        As for :func:`deconvolve`, the whole of it.
    a, b : float
        Noise of the capture at the picture's brightness, variance = a*x + b.

    Notes
    -----
    The cleaner a picture, the less it needs. But with lights it needs all: what they are
    wrong by would spread around them.
    """
    if float((picture > _LIGHTS).float().mean()) > _SHARE:
        return _SMOOTHNESS
    noise = math.sqrt(max(a * float(picture.mean()) + b, 0))
    return min(max(_OF_NOISE * noise, _SMALLEST_SMOOTHNESS), _SMOOTHNESS)


def deconvolve(
    planes: Tensor,
    kernel: Tensor,
    *,
    saturation: float = math.inf,
    smoothness: float = _SMOOTHNESS,
) -> Tensor:
    """Undo a shake.

    Parameters
    ----------
    planes : Tensor, shape (B, 4, h, w)
        Linear light, denoised, shaken; 1.0 = target white, lights above it as captured.
    kernel : Tensor, shape (B, k, k)
        The shake, non-negative, sum 1, k odd [mosaic px].
    saturation : float
        Brightness above which the sensor could not see [white].
    smoothness : float
        Weight of the total variation, 0.006 to 0.02 (:func:`choose_smoothness`).

    Returns
    -------
    Tensor, shape (B, 4, h, w)
        Not clipped. Planes smaller than the kernel are returned as they are.

    Notes
    -----
    Richardson's and Lucy's method, twelve rounds, with a weak total variation on the scale of
    square roots, where the noise of light is even. A saturated sample asks for nothing where
    the estimate lies above it already: lights become points again, without rings. Each round
    begins further on in the direction of the one before, as Biggs and Andrews do, but by a
    factor, not by a term, for lights grow by factors; and always equally far, for steps that
    suit a window would leave its border to be seen. Twelve do what thirty would.

    References
    ----------
    Richardson, JOSA 1972; Lucy, The Astronomical Journal 1974; Biggs and Andrews,
    "Acceleration of iterative image restoration algorithms", Applied Optics 1997; Dey et al.,
    "Richardson-Lucy algorithm with total variation regularization", Microscopy Research and
    Technique 2006; Whyte, Sivic and Zisserman, "Deblurring shaken and partially saturated
    images", IJCV 2014.
    """
    if _too_small(planes, kernel):
        return planes
    # Unequal greens are a pattern as fine as the mosaic, which would be sharpened most of all.
    imbalance = _green_imbalance(planes)
    colors = interpolate_colors(planes - imbalance)
    kernel = kernel.to(planes)
    # One color at a time, to save memory.
    undone = [
        _richardson_lucy(color[:, None], kernel, saturation, smoothness)
        for color in colors.unbind(1)
    ]
    return _sampled(torch.cat(undone, 1)).add_(imbalance)


def _green_imbalance(planes: Tensor) -> Tensor:
    """Return by how much each green differs from the mean of both around it, shape (B, 4, h, w)."""
    size = (planes.shape[-2], planes.shape[-1])
    half = F.avg_pool2d(planes[:, 1:2] - planes[:, 2:3], _IMBALANCE, ceil_mode=True) / 2
    half = F.interpolate(half, size, mode="bilinear", align_corners=False)
    return torch.cat([torch.zeros_like(half), half, -half, torch.zeros_like(half)], 1)


def _richardson_lucy(seen: Tensor, kernel: Tensor, saturation: float, smoothness: float) -> Tensor:
    """Do the work of :func:`deconvolve` for one color, shape (B, 1, H, W)."""
    padded, (rows, columns) = _surrounded(seen.clamp_min(_DARKEST))
    size = (padded.shape[-2], padded.shape[-1])
    forward = transfer_function(kernel, size)[:, None]
    backward = forward.conj().resolve_conj()
    saturated = padded >= SATURATED * saturation
    light, before = padded, padded
    for _ in range(_ROUNDS):
        ahead = (light / before).pow_(_MOMENTUM).mul_(light).clamp_min_(_DARKEST)
        shaken = torch.fft.irfft2(torch.fft.rfft2(ahead).mul_(forward), s=size)
        shaken.clamp_min_(_DARKEST)
        asked = padded / shaken
        asked.masked_fill_(saturated & (shaken > padded), 1)
        factor = torch.fft.irfft2(torch.fft.rfft2(asked).mul_(backward), s=size).clamp_min_(0)
        smoothed = (1 - smoothness * _total_variation(ahead)).clamp_(0.5, 2)
        before, light = light, ahead.mul_(factor).div_(smoothed).clamp_min_(_DARKEST)
    return light[..., rows, columns]


def _total_variation(light: Tensor) -> Tensor:
    """Return the divergence of the direction of a picture's slope, for the light's own scale."""
    root = (light + _FAINT).sqrt_()
    along = F.pad(root.diff(dim=-1), (0, 1))
    down = F.pad(root.diff(dim=-2), (0, 0, 0, 1))
    length = torch.addcmul(along * along, down, down).add_(_EDGE**2).sqrt_()
    along, down = along.div_(length), down.div_(length)
    divergence = along + down
    divergence[..., 1:] -= along[..., :-1]
    divergence[..., 1:, :] -= down[..., :-1, :]
    return divergence.div_((light + _BLACK).sqrt_())
