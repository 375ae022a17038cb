"""Restore: measure the shake of the camera on a denoised picture, and undo it as physics.

A shake is one point-spread function for the whole frame, so a whole frame's edges
measure it, where a network sees one tile. The kernel is estimated on the first
pass's result, without training; the later passes are given what a deconvolution
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

#: Largest value of a cautious kernel: above the one a sharp photo's, below the other no shake's.
_SHARP_PEAK, _WIDEST_PEAK = 0.35, 0.075
#: Cosine between two estimates of one shake, at least.
_ALIKE = 0.7

#: Largest window a kernel is estimated on [packed px].
_WINDOW = 640

#: Border that is mirrored before a Fourier transform [packed px].
_BORDER = 24

#: Cost of an edge in the deconvolution, in units of the noise; and how its edges are tied to
#: the picture, from loosely on, twice as closely each time.
_EDGE_COST, _FIRST_TIE, _TIES = 10.0, 1e-2, 8

_SCALES = (0.5, math.sqrt(0.5), 1.0)
_ROUNDS = 12
_EDGE, _WEAK_EDGE = 5e-3, 1e-3
_RIDGE = 0.02
_SMALLEST = 0.1


def still(batch: int = 1) -> Tensor:
    """Return kernels of a camera that was not shaken, shape (B, 17, 17)."""
    kernel = torch.zeros(batch, KERNEL_SIZE, KERNEL_SIZE)
    kernel[:, KERNEL_SIZE // 2, KERNEL_SIZE // 2] = 1
    return kernel


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
    if min(planes.shape[-2:]) < KERNEL_SIZE:
        return planes
    padded, border = _mirrored(planes)
    size = (padded.shape[-2], padded.shape[-1])
    spectrum = torch.fft.rfft2(padded) * _response(kernel.to(planes), size)[:, None]
    return _unmirrored(torch.fft.irfft2(spectrum, s=size), border, planes)


def deconvolve(planes: Tensor, kernel: Tensor, noise: Tensor) -> Tensor:
    """Undo a shake, for pictures of smooth areas and sharp edges (total variation).

    Parameters
    ----------
    planes : Tensor, shape (B, C, h, w)
        Linear light, shaken; 1.0 = white. Each plane is taken by itself.
    kernel : Tensor, shape (B, 17, 17)
        The shake, non-negative, sum 1 [packed px].
    noise : Tensor, shape (B, 1, 1, 1)
        Variance of what is wrong with the planes [white^2].

    Returns
    -------
    Tensor, shape (B, C, h, w)
        Not clipped. Means are kept. Planes smaller than the kernel are returned as they are.

    Notes
    -----
    Minimizes |k * x - y|^2 / 2 + 10 noise |grad x| by half-quadratic splitting: gradients are
    shrunk, then x is solved for in the Fourier domain, while the two are tied ever closer.

    References
    ----------
    Wang, Yang, Yin and Zhang, "A New Alternating Minimization Algorithm for Total Variation
    Image Reconstruction", SIAM J. Imaging Sciences 2008.
    """
    if min(planes.shape[-2:]) < KERNEL_SIZE:
        return planes
    padded, border = _mirrored(planes)
    size = (padded.shape[-2], padded.shape[-1])
    response = _response(kernel.to(planes), size)[:, None]
    data, power = torch.fft.rfft2(padded).mul_(response.conj()), response.abs().square_()
    del response, padded
    laplacian = _laplacian(size).to(planes.device)
    edge = _EDGE_COST * noise
    over = torch.addcmul(power, laplacian, 20 * edge).add_(1e-9)
    picture = torch.fft.irfft2(_divided(data.clone(), over), s=size)
    tie = _FIRST_TIE
    for _ in range(_TIES):
        kept = _gradients(picture)
        length = _squared(kept).sqrt_()
        kept.mul_((length - edge / tie).clamp_min_(0).div_(length.add_(1e-9)))
        spectrum = torch.fft.rfft2(_divergence(kept)).mul_(tie).add_(data)
        del kept, length
        over = torch.add(power, laplacian, alpha=tie)
        picture = torch.fft.irfft2(_divided(spectrum, over), s=size)
        tie *= 2
    return _unmirrored(picture, border, planes)


def _unmirrored(padded: Tensor, border: int, like: Tensor) -> Tensor:
    height, width = like.shape[-2:]
    return padded[..., border : border + height, border : border + width]


def _divided(spectrum: Tensor, over: Tensor) -> Tensor:
    """Divide a spectrum in place by real numbers, without making them complex."""
    torch.view_as_real(spectrum).div_(over[..., None])
    return spectrum


def _laplacian(size: tuple[int, int]) -> Tensor:
    """Return the transform of the adjoint of the gradient after the gradient, real, >= 0."""
    down, along = (
        2 - 2 * torch.cos(2 * math.pi / n * torch.arange(count))
        for n, count in zip(size, (size[0], size[1] // 2 + 1), strict=True)
    )
    return down[:, None] + along


def remaining_error(noise: Tensor) -> Tensor:
    """Return the variance of the error that a first pass leaves of a noise variance.

    Notes
    -----
    1.5e-3 noise^0.3, at most the noise itself: what made Wiener's filter come nearest to the
    truth on denoised shaken photographs at ratios 8, 100 and 300.
    """
    return torch.minimum(noise, 1.5e-3 * noise.clamp_min(1e-12) ** 0.3)


def find_shake(picture: Tensor) -> Tensor | None:
    """Estimate a shake, or tell that there is none.

    Parameters
    ----------
    picture : Tensor, shape (4, h, w)
        As for :func:`estimate_shake`.

    Returns
    -------
    Tensor, shape (17, 17), or None

    Notes
    -----
    A sharp picture has a kernel too, of its lens and its sampling, and one without detail
    goes with any. So a second, cautious kernel is estimated, with more and weaker edges left
    to the latent picture: where its peak is high the picture is sharp; where it fills its
    frame, or the two are not alike, the picture does not tell.
    """
    cautious = _estimate(picture, _WEAK_EDGE)
    if not _WIDEST_PEAK < float(cautious.max()) < _SHARP_PEAK:
        return None
    kernel = _estimate(picture, _EDGE)
    alike = float((kernel * cautious).sum() / (kernel.norm() * cautious.norm()))
    return kernel if alike > _ALIKE else None


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
    return _estimate(picture, _EDGE)


def _estimate(picture: Tensor, edge: float) -> Tensor:
    luma = picture.float().mean(0)
    luma = luma[richest_window(luma)]
    luma = luma / luma.flatten().sort().values[int(0.99 * (luma.numel() - 1))].clamp_min(1e-6)
    luma = luma.clamp(0, 1.5)
    kernel = _first_kernel(round(KERNEL_SIZE * _SCALES[0]) | 1)
    for scale in _SCALES:
        seen = _tapered(_resized(luma, scale))
        side = round(KERNEL_SIZE * scale) | 1
        if min(seen.shape) <= 2 * side:
            return still()[0]
        kernel = _resized_kernel(kernel, side)
        for turn in range(_ROUNDS):
            latent = _latent_picture(seen, kernel, edge / 1.1**turn)
            kernel = _centered(_fit_kernel(latent, seen, side))
    return kernel


def richest_window(luma: Tensor, binning: int = 1) -> tuple[slice, slice]:
    """Return the rows and columns of a large picture's window with the strongest gradients.

    Of a noisy picture they are those of means over squares of ``binning`` (1, 2, 4 or 8).
    """
    height, width = luma.shape
    side_y, side_x = min(height, _WINDOW), min(width, _WINDOW)
    if (side_y, side_x) == (height, width):
        return slice(height), slice(width)
    binned = F.avg_pool2d(luma[None, None], binning)[0, 0]
    strength = F.avg_pool2d((_gradients(binned) ** 2).sum(0)[None, None].sqrt(), 16 // binning)
    window = (max(1, side_y // 16), max(1, side_x // 16))
    sums = F.avg_pool2d(strength, window, 4)[0, 0]
    best = int(sums.argmax())
    top, left = (64 * (best // sums.shape[1]), 64 * (best % sums.shape[1]))
    top, left = min(top, height - side_y), min(left, width - side_x)
    return slice(top, top + side_y), slice(left, left + side_x)


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
    """Return forward differences along x and y, wrapped, shape (2, ..., h, w)."""
    gradients = picture.new_empty((2, *picture.shape))
    for axis, along in zip((-1, -2), gradients, strict=True):
        last = picture.shape[axis] - 1
        torch.sub(
            picture.narrow(axis, 1, last),
            picture.narrow(axis, 0, last),
            out=along.narrow(axis, 0, last),
        )
        along.select(axis, last).copy_(picture.select(axis, 0) - picture.select(axis, last))
    return gradients


def _divergence(gradients: Tensor) -> Tensor:
    """Return the adjoint of :func:`_gradients`, shape (..., h, w)."""
    result = (gradients[0] + gradients[1]).neg_()
    for axis, along in zip((-1, -2), gradients, strict=True):
        last = result.shape[axis] - 1
        result.narrow(axis, 1, last).add_(along.narrow(axis, 0, last))
        result.select(axis, 0).add_(along.select(axis, last))
    return result


def _squared(gradients: Tensor) -> Tensor:
    """Return the squared lengths of gradients, shape (..., h, w)."""
    return torch.addcmul(gradients[0].square(), gradients[1], gradients[1])


def _latent_picture(seen: Tensor, kernel: Tensor, edge: float) -> Tensor:
    """Solve |k * x - y|^2 + edge |grad x|_0 for x by half-quadratic splitting."""
    size = (seen.shape[0], seen.shape[1])
    response = _response(kernel, size)
    laplacian = _laplacian(size)
    data, power = torch.fft.rfft2(seen).mul_(response.conj()), response.abs().square_()
    latent, weight = seen, 2 * edge
    for _ in range(9):
        kept = _gradients(latent)
        kept.mul_(_squared(kept) >= edge / weight)
        spectrum = torch.fft.rfft2(_divergence(kept)).mul_(weight).add_(data)
        over = torch.add(power, laplacian, alpha=weight)
        latent = torch.fft.irfft2(_divided(spectrum, over), s=size)
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
    """Keep what is above a tenth of the peak and hangs together with it."""
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
