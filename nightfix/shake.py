"""Restore: measure the shake of the camera on a denoised picture, and undo it as physics.

A shake is one point-spread function for the whole frame, so a whole frame's edges
measure it, where a network sees one tile. The kernel is estimated on the first
pass's result, without training; the later passes are given what Wiener's filter
makes of their sample, beside the sample itself. Kernels are at the pitch of the
packed planes (every second mosaic pixel), where all four planes share one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

#: Side of an estimated kernel [packed px]: twice as many mosaic pixels.
KERNEL_SIZE = 17

#: A kernel whose largest value lies below this is a shake; above it, a sharp photo.
SHAKEN_PEAK = 0.37

#: Largest window a kernel is estimated on [packed px].
_WINDOW = 640

#: Border that is mirrored before a Fourier transform [packed px].
_BORDER = 24

_SCALES = (0.5, math.sqrt(0.5), 1.0)
_ROUNDS = 5
_EDGE = 1e-3
_RIDGE = 0.02
_SMALLEST = 0.15


def still(batch: int = 1) -> Tensor:
    """Return kernels of a camera that was not shaken, shape (B, 17, 17)."""
    kernel = torch.zeros(batch, KERNEL_SIZE, KERNEL_SIZE)
    kernel[:, KERNEL_SIZE // 2, KERNEL_SIZE // 2] = 1
    return kernel


def is_shake(kernel: Tensor) -> bool:
    """Tell whether an estimated kernel spreads light farther than a sharp photo's does."""
    return float(kernel.max()) < SHAKEN_PEAK


def _response(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the Fourier transform of kernels (..., k, k) centered on the origin."""
    side = kernel.shape[-1]
    padded = F.pad(kernel, (0, size[1] - side, 0, size[0] - side))
    response: Tensor = torch.fft.rfft2(torch.roll(padded, (-(side // 2),) * 2, (-2, -1)))
    return response


def _fast_length(length: int) -> int:
    """Return the next length whose only factors are 2, 3 and 5."""
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1


def _mirrored(planes: Tensor) -> tuple[Tensor, int]:
    """Mirror a border around planes, up to a size that transforms quickly."""
    height, width = planes.shape[-2:]
    border = min(_BORDER, height - 1, width - 1)
    grow = [_fast_length(n + 2 * border) - n - border for n in (width, height)]
    right, bottom = (min(g, n - 1) for g, n in zip(grow, (width, height), strict=True))
    return F.pad(planes, (border, right, border, bottom), mode="reflect"), border


def shake(planes: Tensor, kernel: Tensor) -> Tensor:
    """Convolve planes with kernels.

    Parameters
    ----------
    planes : Tensor, shape (B, 4, h, w)
        Linear light.
    kernel : Tensor, shape (B, 17, 17)
        Non-negative, sum 1 [packed px].

    Returns
    -------
    Tensor, shape (B, 4, h, w)
    """
    padded, border = _mirrored(planes)
    size = (padded.shape[-2], padded.shape[-1])
    spectrum = torch.fft.rfft2(padded) * _response(kernel.to(planes), size)[:, None]
    return _unmirrored(spectrum, size, border, planes)


def deconvolve(planes: Tensor, kernel: Tensor, noise: Tensor) -> Tensor:
    """Undo a shake by Wiener's filter with a power-law prior of natural pictures.

    Parameters
    ----------
    planes : Tensor, shape (B, 4, h, w)
        Linear light, shaken; 1.0 = white.
    kernel : Tensor, shape (B, 17, 17)
        The shake, non-negative, sum 1 [packed px].
    noise : Tensor, shape (B, 1, 1, 1)
        Variance of what is wrong with the planes [white^2].

    Returns
    -------
    Tensor, shape (B, 4, h, w)
        Not clipped. Means are kept.

    Notes
    -----
    With K the kernel's transform and f the frequency in cycles a sample,

        X = conj(K) / (|K|^2 + noise / S) Y,    S ~ 1 / (f^2 + 0.01^2)

    S scaled to the planes' own variance.

    References
    ----------
    Wiener, "Extrapolation, Interpolation, and Smoothing of Stationary Time Series", 1949;
    Field, JOSA A 1987 (the power law).
    """
    padded, border = _mirrored(planes)
    size = (padded.shape[-2], padded.shape[-1])
    mean = padded.mean((-2, -1), keepdim=True)
    variance = (padded.var((-2, -1), keepdim=True) - noise).clamp_min(1e-6)
    vertical = torch.fft.fftfreq(size[0], device=planes.device)[:, None]
    horizontal = torch.fft.rfftfreq(size[1], device=planes.device)[None]
    power = 1 / (vertical**2 + horizontal**2 + 1e-4)
    response = _response(kernel.to(planes), size)[:, None]
    damping = noise / (variance * power / power.mean())
    filtered = torch.fft.rfft2(padded - mean) * response.conj() / (response.abs() ** 2 + damping)
    return _unmirrored(filtered, size, border, planes) + mean


def _unmirrored(spectrum: Tensor, size: tuple[int, int], border: int, like: Tensor) -> Tensor:
    height, width = like.shape[-2:]
    full: Tensor = torch.fft.irfft2(spectrum, s=size)
    return full[..., border : border + height, border : border + width]


def remaining_error(noise: Tensor) -> Tensor:
    """Return the variance of the error that a first pass leaves of a noise variance.

    Notes
    -----
    1.5e-3 noise^0.3, at most the noise itself: what made Wiener's filter nearest to the
    truth on denoised shaken photographs at ratios 8, 100 and 300.
    """
    return torch.minimum(noise, 1.5e-3 * noise.clamp_min(1e-12) ** 0.3)


def estimate_shake(picture: Tensor) -> Tensor:
    """Estimate the kernel by which a denoised picture was shaken.

    Parameters
    ----------
    picture : Tensor, shape (4, h, w)
        Denoised planes, still shaken; linear light.

    Returns
    -------
    Tensor, shape (17, 17)
        Non-negative, sum 1, its centroid in the middle [packed px].

    Notes
    -----
    Alternates, from coarse to fine, between a latent picture with few edges (an L0 prior
    on gradients, half-quadratic splitting) and the kernel that best maps its gradients to
    those seen (ridge regression in the Fourier domain).

    References
    ----------
    Xu, Zheng and Jia, "Unnatural L0 Sparse Representation for Natural Image Deblurring",
    CVPR 2013; Cho and Lee, "Fast Motion Deblurring", SIGGRAPH Asia 2009 (the kernel step).
    """
    luma = picture.float().mean(0)
    luma = luma[_richest_window(luma)]
    luma = luma / luma.flatten().sort().values[int(0.99 * (luma.numel() - 1))].clamp_min(1e-6)
    luma = luma.clamp(0, 1.5)
    kernel = _first_kernel(round(KERNEL_SIZE * _SCALES[0]) | 1)
    for scale in _SCALES:
        seen = _tapered(_resized(luma, scale))
        side = round(KERNEL_SIZE * scale) | 1
        if min(seen.shape) <= 2 * side:
            return still()[0]
        kernel = _resized_kernel(kernel, side)
        edge = _EDGE
        for _ in range(_ROUNDS):
            latent = _latent_picture(seen, kernel, edge)
            kernel = _centered(_fit_kernel(latent, seen, side))
            edge /= 1.1
    return kernel


def _richest_window(luma: Tensor) -> tuple[slice, slice]:
    """Return the rows and columns of a large picture's window with the strongest gradients."""
    height, width = luma.shape
    side_y, side_x = min(height, _WINDOW), min(width, _WINDOW)
    if (side_y, side_x) == (height, width):
        return slice(height), slice(width)
    strength = F.avg_pool2d((_gradients(luma) ** 2).sum(0)[None, None].sqrt(), 16)
    window = (max(1, side_y // 16), max(1, side_x // 16))
    sums = F.avg_pool2d(strength, window, 4)[0, 0]
    best = int(sums.argmax())
    top, left = (64 * (best // sums.shape[1]), 64 * (best % sums.shape[1]))
    top, left = min(top, height - side_y), min(left, width - side_x)
    return slice(top, top + side_y), slice(left, left + side_x)


def refit_shake(sharp: Tensor, seen: Tensor) -> Tensor:
    """Fit a kernel again, to a picture that its first estimate has made sharp.

    Parameters
    ----------
    sharp, seen : Tensor, shape (4, h, w)
        What a later pass made of the picture, and the picture as it was shaken.

    Returns
    -------
    Tensor, shape (17, 17)
        As of :func:`estimate_shake`.
    """
    lumas = [picture.float().mean(0).clamp(0, 1.5) for picture in (sharp, seen)]
    if min(lumas[0].shape) <= 2 * KERNEL_SIZE:
        return still()[0]
    window = _richest_window(lumas[1])
    latent, shaken = (_tapered(luma[window]) for luma in lumas)
    return _centered(_fit_kernel(latent, shaken, KERNEL_SIZE))


def _resized(luma: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return luma
    size = [max(1, round(n * scale)) for n in luma.shape]
    return F.interpolate(luma[None, None], size, mode="bilinear", antialias=True)[0, 0]


def _resized_kernel(kernel: Tensor, side: int) -> Tensor:
    if side == kernel.shape[0]:
        return kernel
    grown = F.interpolate(kernel[None, None], (side, side), mode="bilinear", align_corners=False)[
        0, 0
    ]
    return grown / grown.sum()


def _first_kernel(side: int) -> Tensor:
    kernel = torch.zeros(side, side)
    kernel[side // 2, side // 2 - 1 : side // 2 + 1] = 0.5
    return kernel


def _tapered(luma: Tensor) -> Tensor:
    """Fade a picture to its mean at the edges, so that it may wrap around."""
    weights = []
    for n in luma.shape:
        place = torch.arange(n) + 0.5
        weights.append((torch.minimum(place, n - place) / KERNEL_SIZE).clamp_max(1))
    weight = torch.sin(math.pi / 2 * (weights[0][:, None] * weights[1][None]).sqrt()) ** 2
    return torch.lerp(luma.mean(), luma, weight)


def _gradients(picture: Tensor) -> Tensor:
    """Return forward differences along x and y, wrapped, shape (2, h, w)."""
    return torch.stack([torch.roll(picture, -1, axis) - picture for axis in (1, 0)])


def _divergence(gradients: Tensor) -> Tensor:
    """Return the adjoint of :func:`_gradients`, shape (h, w)."""
    x, y = gradients
    result: Tensor = torch.roll(x, 1, 1) - x + torch.roll(y, 1, 0) - y
    return result


def _latent_picture(seen: Tensor, kernel: Tensor, edge: float) -> Tensor:
    """Solve |k * x - y|^2 + edge |grad x|_0 for x by half-quadratic splitting."""
    size = (seen.shape[0], seen.shape[1])
    response = _response(kernel, size)
    delta = torch.zeros(size)
    delta[0, 0] = 1
    laplacian = torch.fft.rfft2(_divergence(_gradients(delta))).real
    data, power = response.conj() * torch.fft.rfft2(seen), response.abs() ** 2
    latent, weight = seen, 2 * edge
    for _ in range(9):
        kept = _gradients(latent)
        kept = kept * ((kept**2).sum(0) >= edge / weight)
        spectrum = data + weight * torch.fft.rfft2(_divergence(kept))
        latent = torch.fft.irfft2(spectrum / (power + weight * laplacian), s=size)
        weight *= 2
    return latent


def _fit_kernel(latent: Tensor, seen: Tensor, side: int) -> Tensor:
    """Find the kernel that maps the gradients of one picture to those of the other."""
    size = (seen.shape[0], seen.shape[1])
    sharp, shaken = torch.fft.rfft2(_gradients(latent)), torch.fft.rfft2(_gradients(seen))
    power = (sharp.abs() ** 2).sum(0)
    ratio = (sharp.conj() * shaken).sum(0) / (power + _RIDGE * power.mean() + 1e-12)
    full = torch.fft.irfft2(ratio, s=size)
    kernel = torch.roll(full, (side // 2, side // 2), (0, 1))[:side, :side].clamp_min(0)
    if float(kernel.max()) == 0:
        return _first_kernel(side)
    return _connected(kernel)


def _connected(kernel: Tensor) -> Tensor:
    """Keep what is above a seventh of the peak and hangs together with it."""
    strong = (kernel >= _SMALLEST * kernel.max()).float()[None, None]
    reached = (kernel == kernel.max()).float()[None, None]
    for _ in range(2 * kernel.shape[0]):
        reached = F.max_pool2d(reached, 3, 1, 1) * strong
    kernel = kernel * reached[0, 0]
    return kernel / kernel.sum()


def _centered(kernel: Tensor) -> Tensor:
    """Move a kernel's centroid to its middle, by a bilinear shift."""
    side = kernel.shape[0]
    place = torch.arange(side, dtype=kernel.dtype) - side // 2
    move = [-float((kernel.sum(1) * place).sum()), -float((kernel.sum(0) * place).sum())]
    moved = kernel
    for axis, distance in enumerate(move):
        whole = math.floor(distance)
        part = distance - whole
        near, far = torch.roll(moved, whole, axis), torch.roll(moved, whole + 1, axis)
        moved = (1 - part) * near + part * far
    return moved / moved.sum()
