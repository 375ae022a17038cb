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

from nightfix.restore.tiling import local_maximum

#: Side of a kernel [mosaic px].
KERNEL_SIZE = 33

#: Packed planes with a shorter side are left as they are [packed px].
SMALLEST_SIDE = KERNEL_SIZE // 2 + 1

#: Side of the squares over which the two greens are compared [packed px].
_LEAN = 64

#: Brightness from which light counts as a lamp's, unless the sensor saturates earlier [white];
#: how far around lamps pictures stay as they are, and how wide the fade from there is [packed px].
_LAMP, _AROUND, _FADE = 4.0, 32, 32

#: How far what lies outside a window matters to it [packed px].
CONTEXT = _AROUND + _FADE // 2

#: Border in which the light is unknown but lands inside, in part [mosaic px].
_BORDER = 32

#: Cost of an edge, in units of the noise; and how edges are tied to the picture, from loosely
#: on, twice as closely each time.
_EDGE_COST, _FIRST_TIE, _TIES = 20.0, 2e-2, 4

#: Rounds in which the light of a first picture is put into the border.
_SURROUNDINGS = 1

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


def still(batch: int = 1, side: int = KERNEL_SIZE) -> Tensor:
    """Return kernels of a camera that was not shaken, shape (batch, side, side)."""
    kernel = torch.zeros(batch, side, side)
    kernel[:, side // 2, side // 2] = 1
    return kernel


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


def response(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the Fourier transform of kernels (..., k, k) centered on the origin."""
    side = kernel.shape[-1]
    padded = F.pad(kernel, (0, size[1] - side, 0, size[0] - side))
    transform: Tensor = torch.fft.rfft2(torch.roll(padded, (-(side // 2),) * 2, (-2, -1)))
    return transform


def fast_length(length: int, step: int = 1) -> int:
    """Return the next length, or with a ``step`` of -1 the last, of the factors 2, 3 and 5 only."""
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += step


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
    kernel : Tensor, shape (B, 33, 33)
        Non-negative, sum 1 [mosaic px].

    Returns
    -------
    Tensor, shape (B, 4, h, w)
    """
    if min(planes.shape[-2:]) < SMALLEST_SIDE:
        return planes
    padded, (rows, columns) = _surrounded(interpolate_colors(planes))
    size = (padded.shape[-2], padded.shape[-1])
    spectrum = torch.fft.rfft2(padded) * response(kernel.to(planes), size)[:, None]
    return _sampled(torch.fft.irfft2(spectrum, s=size)[..., rows, columns])


def deconvolve(
    planes: Tensor, kernel: Tensor, noise: Tensor, *, saturation: float = math.inf
) -> Tensor:
    """Undo a shake, for pictures of smooth areas and sharp edges (total variation).

    Parameters
    ----------
    planes : Tensor, shape (B, 4, h, w)
        Linear light, shaken; 1.0 = white.
    kernel : Tensor, shape (B, 33, 33)
        The shake, non-negative, sum 1 [mosaic px].
    noise : Tensor, shape (B, 1, 1, 1)
        Variance of what is wrong with the planes [white^2].
    saturation : float
        Brightness above which the sensor could not see [white].

    Returns
    -------
    Tensor, shape (B, 4, h, w)
        Not clipped. Lamps, what is saturated or above four times white, and what is near
        them stay as they are: there a small error of the kernel would do more harm than the
        shake. Planes smaller than the kernel are returned as they are.

    Notes
    -----
    Minimizes |k * x - y|^2 / 2 + 20 noise |grad x| by half-quadratic splitting: gradients are
    shrunk, then x is solved for in the Fourier domain, while the two are tied ever closer.
    What lies outside the frame is unknown: each time, y is continued by what k * x has there.

    References
    ----------
    Wang, Yang, Yin and Zhang, "A New Alternating Minimization Algorithm for Total Variation
    Image Reconstruction", SIAM J. Imaging Sciences 2008; Reeves, "Fast Image Restoration
    Without Boundary Artifacts", IEEE Trans. Image Processing 2005.
    """
    if min(planes.shape[-2:]) < SMALLEST_SIDE:
        return planes
    # Unequal greens are a pattern as fine as the mosaic, which would be sharpened most of all.
    lean, lamp = _lean(planes), min(_LAMP, 0.95 * saturation)
    colors = interpolate_colors(planes.clamp_max(lamp) - lean)
    # One color at a time, to save memory.
    undone = [_undo(color[:, None], kernel.to(planes), noise) for color in colors.unbind(1)]
    return _sampled(torch.cat(undone, 1)).add_(lean).lerp_(planes, _near(planes >= lamp))


def _lean(planes: Tensor) -> Tensor:
    """Return by how much each green differs from the mean of both around it, shape (B, 4, h, w)."""
    size = (planes.shape[-2], planes.shape[-1])
    half = F.avg_pool2d(planes[:, 1:2] - planes[:, 2:3], _LEAN, ceil_mode=True) / 2
    half = F.interpolate(half, size, mode="bilinear", align_corners=False)
    return torch.cat([torch.zeros_like(half), half, -half, torch.zeros_like(half)], 1)


def _near(lamps: Tensor) -> Tensor:
    """Return 1 at lamps and around them, from where it fades to 0, shape (B, 1, h, w)."""
    near = local_maximum(lamps.any(1, keepdim=True).float(), _AROUND)
    fade = _FADE + 1
    return F.avg_pool2d(near, fade, 1, fade // 2, count_include_pad=False)


def _undo(seen: Tensor, kernel: Tensor, noise: Tensor) -> Tensor:
    """Do the work of :func:`deconvolve` for one color, shape (B, 1, H, W)."""
    padded, (rows, columns) = _surrounded(seen)
    size = (padded.shape[-2], padded.shape[-1])
    shaken = response(kernel, size)[:, None]
    adjoint, power = shaken.conj().resolve_conj(), shaken.abs().square_()
    stiffness = laplacian(size).to(seen)
    edge = _EDGE_COST * noise

    def data(spectrum: Tensor) -> Tensor:
        light = torch.fft.irfft2(spectrum * shaken, s=size)
        light[..., rows, columns] = seen
        known: Tensor = torch.fft.rfft2(light).mul_(adjoint)
        return known

    over = torch.addcmul(power, stiffness, 20 * edge).add_(1e-9)
    spectrum = divided(torch.fft.rfft2(padded).mul_(adjoint), over)
    del padded
    for _ in range(_SURROUNDINGS):
        spectrum = divided(data(spectrum), over)
    tie = _FIRST_TIE
    for _ in range(_TIES):
        kept = gradients(torch.fft.irfft2(spectrum, s=size))
        length = squared(kept).sqrt_()
        kept.mul_((length - edge / tie).clamp_min_(0).div_(length.add_(1e-9)))
        tied = torch.fft.rfft2(divergence(kept)).mul_(tie)
        del kept, length
        spectrum = divided(tied.add_(data(spectrum)), power + tie * stiffness)
        tie *= 2
    undone: Tensor = torch.fft.irfft2(spectrum, s=size)[..., rows, columns]
    return undone


def divided(spectrum: Tensor, over: Tensor) -> Tensor:
    """Divide a spectrum in place by real numbers; as a product, which takes a third of the time."""
    return spectrum.mul_(over.reciprocal().to(spectrum.dtype))


def laplacian(size: tuple[int, int]) -> Tensor:
    """Return the transform of the adjoint of the gradient after the gradient, real, >= 0."""
    down, along = (
        2 - 2 * torch.cos(2 * math.pi / n * torch.arange(count))
        for n, count in zip(size, (size[0], size[1] // 2 + 1), strict=True)
    )
    return down[:, None] + along


def gradients(picture: Tensor) -> Tensor:
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


def divergence(gradients: Tensor) -> Tensor:
    """Return the adjoint of :func:`gradients`, shape (..., h, w)."""
    result = (gradients[0] + gradients[1]).neg_()
    for axis, along in zip((-1, -2), gradients, strict=True):
        last = result.shape[axis] - 1
        result.narrow(axis, 1, last).add_(along.narrow(axis, 0, last))
        result.select(axis, 0).add_(along.select(axis, last))
    return result


def squared(gradients: Tensor) -> Tensor:
    """Return the squared lengths of gradients, shape (..., h, w)."""
    return torch.addcmul(gradients[0].square(), gradients[1], gradients[1])


def remaining_error(noise: Tensor) -> Tensor:
    """Return the variance of the error that a first pass leaves of a noise variance.

    Notes
    -----
    1.5e-3 noise^0.3, at most the noise itself: what made Wiener's filter come nearest to the
    truth on denoised shaken photographs at ratios 8, 100 and 300.
    """
    return torch.minimum(noise, 1.5e-3 * noise.clamp_min(1e-12) ** 0.3)
