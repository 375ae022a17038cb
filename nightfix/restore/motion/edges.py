"""Restore: measure the shake of the camera on the edges of a denoised picture.

A shake is one point-spread function for the whole frame, so a whole frame's edges
measure it, where a network sees one tile. The kernel is estimated on the first
passes' result, without training: first at the pitch of the packed planes, where their
mean holds no mosaic and little noise, then at the mosaic's own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from nightfix.restore.motion.deconvolution import interpolate_colors
from nightfix.restore.motion.fourier import (
    divergence,
    divided,
    fast_length,
    gradients,
    laplacian,
    squared,
    transfer_function,
)
from nightfix.restore.motion.kernel_network import most_likely_kernel
from nightfix.restore.motion.kernels import (
    KERNEL_SIZE,
    SHORTEST_SHAKE,
    center_kernel,
    kernel_axis,
    shake_length,
    still,
)

#: Side of a kernel on the packed planes [packed px].
_COARSE = KERNEL_SIZE // 2 + 1

#: Largest value of a cautious kernel on the packed planes: above the one a sharp photo's, below
#: the other no shake's.
_SHARP_PEAK, _WIDEST_PEAK = 0.384, 0.075

#: Half the length of the shortest shake that is told from a lens's blur, as the standard
#: deviation of a kernel on the packed planes along its longest axis [packed px].
_SHORTEST = 0.715

#: Largest value of a kernel at a glance, on the picture at half its size: of less than the one
#: there are too few edges to tell, of more than the other no shake.
_VAGUE, _SHARP_AT_A_GLANCE = 0.12, 0.6

#: Cosine between two estimates of one shake, at least, and between one on the packed planes and
#: the finer one that it is followed by.
_ALIKE, _FOLLOWS = 0.8, 0.946

#: Length of the cautious one over that of the other, at most: of 86 shakes 1.22, of patterns more.
_LONGER = 1.3

#: Difference of the two greens, in parts of their mean, up to which they are greens.
_UNEQUAL = 0.1

#: Largest window a kernel is estimated on [packed px].
_WINDOW = 640

#: Times that edges are tied to the latent picture, each time twice as closely.
_SPLITS = 9

#: Steps between samples that count as edges.
_SMALLEST_EDGE = 0.01

#: How much a kernel is held back, in parts of the picture's mean power.
_RIDGE = 0.02

#: What the network is shown of a kernel at the end: fits that are held back less or more, of
#: latent pictures with fewer or more edges (ridge, cost of an edge).
_LAST_TURN = 1.1**3
_FITS = ((0.02, 1e-2 / _LAST_TURN), (0.002, 1e-2 / _LAST_TURN), (0.005, 2.5e-3))
_SMALLEST = 0.1


class _Stage(NamedTuple):
    """A kernel's side, rounds at each size of the picture, cost of an edge."""

    side: int
    rounds: int
    edge: float


class _View(NamedTuple):
    """A picture at one size: itself, its Fourier transform, and that of the Laplacian there."""

    seen: Tensor
    spectrum: Tensor
    stiffness: Tensor


_ON_PLANES = _Stage(_COARSE, 12, 5e-3)
_CAUTIOUS = _ON_PLANES._replace(edge=1e-3)
_ON_MOSAIC = _Stage(KERNEL_SIZE, 4, 1e-2)

#: Sizes of the picture in turn: at a glance, and those after it.
_GLANCE, _CLOSER = 0.5, (math.sqrt(0.5), 1.0)


def find_shake_in_edges(picture: Tensor) -> Tensor | None:
    """Estimate a shake, or tell that there is none.

    Parameters
    ----------
    picture : Tensor, shape (4, h, w)
        As for :func:`kernel_from_edges`.

    Returns
    -------
    Tensor, shape (33, 33), or None

    Notes
    -----
    A sharp picture has a kernel too, of its lens and its sampling, and one without detail
    goes with any. So a second, cautious kernel is estimated, with more and weaker edges left
    to the latent picture: where its peak is high, or where the kernel is short, the picture is
    sharp; where it fills its frame, or the two are not alike or equally long, the picture does
    not tell. Both are estimated at one size of the picture after the other, and the first that
    says so ends the search: half the size takes a fourteenth of the time, the next one at most
    two fifths. Nor is there a shake where the estimate on the mosaic is too short. A picture
    whose two greens differ does not tell either: its mosaic is not what its file says, and
    nothing as fine as that can be undone.
    """
    window = richest_window(picture)
    greens = F.avg_pool2d(window[1:3], 16, ceil_mode=True)
    if float((greens[0] - greens[1]).abs().mean()) > _UNEQUAL * float(greens.mean()):
        return None
    luma, first = _begin(window)
    cautious = _estimated(luma, first, _CAUTIOUS, _GLANCE)
    if not _VAGUE < float(cautious.max()) < _SHARP_AT_A_GLANCE:
        return None
    kernel = first  # not yet estimated at a glance
    for scales in ((_GLANCE, _CLOSER[0]), _CLOSER[1:]):
        cautious = _estimated(luma, cautious, _CAUTIOUS, scales[-1])
        if not _WIDEST_PEAK < float(cautious.max()) < _SHARP_PEAK:
            return None
        kernel = _estimated(luma, kernel, _ON_PLANES, *scales)
        if _likeness(kernel, cautious) < _ALIKE:
            return None
    length = kernel_axis(kernel)[0]
    long = length >= _SHORTEST and kernel_axis(cautious)[0] <= _LONGER * length
    if not long or float(kernel.max()) <= _WIDEST_PEAK:
        return None
    estimates = _estimates(window, kernel)
    short = shake_length(estimates[0] / estimates[0].sum()) < SHORTEST_SHAKE
    return None if short else most_likely_kernel(estimates)


def kernel_from_edges(picture: Tensor) -> Tensor:
    """Estimate the kernel by which a denoised picture was shaken.

    Parameters
    ----------
    picture : Tensor, shape (4, h, w)
        Denoised planes, still shaken; linear light.

    Returns
    -------
    Tensor, shape (33, 33)
        Non-negative, sum 1, its centroid in the middle [mosaic px]. A still one where the
        picture is too small to tell.

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
    return most_likely_kernel(estimates_from_edges(picture))


def estimates_from_edges(picture: Tensor) -> Tensor:
    """Return all that edges tell of a shake: what the network of kernels is shown.

    Parameters
    ----------
    picture : Tensor, shape (4, h, w)
        As for :func:`kernel_from_edges`.

    Returns
    -------
    Tensor, shape (7, 33, 33)
        Each divided by its largest value [mosaic px]: the estimate; that on the mosaic, and that
        on the planes, of which it is one; three fits to the same edges, which may be negative;
        and the autocorrelation of the picture's gradients, which is like the kernel's own.

    References
    ----------
    Goldstein and Fattal, "Blur-Kernel Estimation from Spectral Irregularities", ECCV 2012 (the
    autocorrelation).
    """
    window = richest_window(picture)
    luma, first = _begin(window)
    return _estimates(window, _estimated(luma, first, _ON_PLANES, _GLANCE, *_CLOSER))


def explanation_cost(picture: Tensor, kernel: Tensor) -> float:
    """Return how dear a picture's sharpest explanation by a kernel is.

    Parameters
    ----------
    picture : Tensor, shape (4, h, w)
        As for :func:`kernel_from_edges`.
    kernel : Tensor, shape (k, k)
        Non-negative, sum 1, k odd [mosaic px].

    Returns
    -------
    float
        |k * x - y|^2 + edge |grad x|_0 over the window with most detail, of the x that makes it
        small: the edges of a picture are fewest if it is sharpened by the shake that it had.
    """
    window = richest_window(picture)
    view = _seen_at(_normalized(interpolate_colors(window[None])[0].mean(0)))
    size = (view.seen.shape[0], view.seen.shape[1])
    latent = _latent_picture(view, kernel, _ON_MOSAIC.edge)
    sharp = torch.fft.irfft2(latent, s=size)
    error = torch.fft.irfft2(latent * transfer_function(kernel, size), s=size) - view.seen
    edges = squared(gradients(sharp)) > _SMALLEST_EDGE**2
    return float(error.square().sum() + _ON_MOSAIC.edge * edges.sum())


def richest_window(picture: Tensor, binning: int = 1) -> Tensor:
    """Return the window of a large picture with the strongest gradients, shape (4, h, w).

    Of a noisy picture they are those of means over squares of ``binning`` (1, 2, 4 or 8).
    """
    height, width = picture.shape[1:]
    side_y, side_x = min(height, _WINDOW), min(width, _WINDOW)
    if (side_y, side_x) == (height, width) or min(side_y, side_x) <= 2 * _COARSE:
        return picture[:, :side_y, :side_x].float()
    binned = F.avg_pool2d(picture.float().mean(0)[None, None], binning)[0, 0]
    strength = F.avg_pool2d((gradients(binned) ** 2).sum(0)[None, None].sqrt(), 16 // binning)
    cells = (max(1, side_y // 16), max(1, side_x // 16))
    sums = F.avg_pool2d(strength, cells, 4)[0, 0]
    best = int(sums.argmax())
    top, left = (64 * (best // sums.shape[1]), 64 * (best % sums.shape[1]))
    top, left = min(top, height - side_y), min(left, width - side_x)
    return picture[:, top : top + side_y, left : left + side_x].float()


def _begin(window: Tensor) -> tuple[Tensor, Tensor]:
    """Return a window's luminance and the kernel that a search begins with."""
    return _normalized(window.mean(0)), _first_kernel(_side(_COARSE, _GLANCE))


def _estimates(window: Tensor, kernel: Tensor) -> Tensor:
    """Go on from a kernel on the packed planes to those on the mosaic, shape (7, 33, 33).

    Patterns as fine as the mosaic can lead the finer one astray: then it is not the first.
    """
    if min(window.shape[1:]) <= 2 * _COARSE:
        return still().expand(7, -1, -1)
    luma = _normalized(interpolate_colors(window[None])[0].mean(0))
    fine = _estimated(luma, kernel, _ON_MOSAIC, *_CLOSER)
    coarse = _resized_kernel(kernel, KERNEL_SIZE)
    follows = _likeness(_resized_kernel(fine, _COARSE), kernel) >= _FOLLOWS
    view = _seen_at(luma)
    fits = []
    for ridge, edge in _FITS:
        latent = _latent_picture(view, fine, edge)
        fits.append(_kernel_between(latent, view, KERNEL_SIZE, ridge))
    size = (view.seen.shape[0], view.seen.shape[1])
    power = view.spectrum.abs().square_().mul_(view.stiffness)
    own = _middle_of(torch.fft.irfft2(power, s=size), KERNEL_SIZE)
    told = [fine if follows else center_kernel(coarse), fine, coarse, *fits, own]
    return torch.stack([one / one.max().clamp_min(1e-9) for one in told])


def _likeness(one: Tensor, other: Tensor) -> float:
    """Return the cosine between two kernels."""
    return float((one * other).sum() / (one.norm() * other.norm()))


def _normalized(luma: Tensor) -> Tensor:
    """Bring a luminance near [0, 1], and to sides that transform quickly."""
    rows, columns = (fast_length(n, -1) for n in luma.shape)
    luma = luma[:rows, :columns]
    bright = luma.flatten().kthvalue(int(0.99 * (luma.numel() - 1)) + 1).values
    return (luma / bright.clamp_min(1e-6)).clamp_(0, 1.5)


def _estimated(luma: Tensor, kernel: Tensor, stage: _Stage, *scales: float) -> Tensor:
    """Refine a kernel on a luminance at some sizes in turn; its side is that at the last one."""
    for scale in scales:
        view, side = _seen_at(luma, scale), _side(stage.side, scale)
        if min(view.seen.shape) <= 2 * side:
            return still(side=_side(stage.side, scales[-1]))[0]
        kernel = _resized_kernel(kernel, side)
        for turn in range(stage.rounds):
            latent = _latent_picture(view, kernel, stage.edge / 1.1**turn)
            kernel = center_kernel(_fit_kernel(latent, view, side))
    return kernel


def _seen_at(luma: Tensor, scale: float = 1.0) -> _View:
    seen = _tapered(_resized(luma, scale))
    return _View(seen, torch.fft.rfft2(seen), laplacian((seen.shape[0], seen.shape[1])))


def _side(side: int, scale: float) -> int:
    """Return the side of a kernel on a picture of that size, odd."""
    return round(side * scale) | 1


def _resized(luma: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return luma
    size = [fast_length(max(1, round(n * scale)), -1) for n in luma.shape]
    return F.interpolate(luma[None, None], size, mode="bilinear", antialias=True)[0, 0]


def _resized_kernel(kernel: Tensor, side: int) -> Tensor:
    if side == kernel.shape[0]:
        return kernel
    resized = F.interpolate(kernel[None, None], (side, side), mode="bilinear", antialias=True)
    return resized[0, 0] / resized.sum()


def _first_kernel(side: int) -> Tensor:
    kernel = torch.zeros(side, side)
    kernel[side // 2, side // 2 - 1 : side // 2 + 1] = 0.5
    return kernel


def _tapered(luma: Tensor) -> Tensor:
    """Fade a picture to its mean at the edges, so that it may wrap around."""
    weights = []
    for n in luma.shape:
        place = torch.arange(n) + 0.5
        weights.append((torch.minimum(place, n - place) / _COARSE).clamp_max(1))
    weight = torch.sin(math.pi / 2 * (weights[0][:, None] * weights[1][None]).sqrt()) ** 2
    return torch.lerp(luma.mean(), luma, weight)


def _latent_picture(view: _View, kernel: Tensor, edge: float) -> Tensor:
    """Solve |k * x - y|^2 + edge |grad x|_0 for the transform of x by half-quadratic splitting."""
    size = (view.seen.shape[0], view.seen.shape[1])
    shaken = transfer_function(kernel, size)
    data, power = view.spectrum * shaken.conj(), shaken.abs().square_()
    latent, weight = view.spectrum, 2 * edge
    for turn in range(_SPLITS):
        kept = gradients(torch.fft.irfft2(latent, s=size) if turn else view.seen)
        # A step function, by signs: torch's comparisons take twice as long.
        kept.mul_(squared(kept).sub_(edge / weight).sign_().clamp_min_(0))
        tied = torch.fft.rfft2(divergence(kept)).mul_(weight).add_(data)
        latent = divided(tied, torch.add(power, view.stiffness, alpha=weight))
        weight *= 2
    return latent


def _fit_kernel(latent: Tensor, view: _View, side: int) -> Tensor:
    """Find the kernel that maps the gradients of one picture to those of the other."""
    kernel = _kernel_between(latent, view, side, _RIDGE).clamp_min_(0)
    if float(kernel.max()) == 0:
        return _first_kernel(side)
    return _connected(kernel)


def _kernel_between(latent: Tensor, view: _View, side: int, ridge: float) -> Tensor:
    """Solve for that kernel by ridge regression; it may be negative.

    In the Fourier domain a gradient is a factor, whose square is the Laplacian's.
    """
    power = latent.abs().square_().mul_(view.stiffness)
    over = power + (ridge * power.mean() + 1e-12)
    ratio = divided(latent.conj() * view.spectrum, over).mul_(view.stiffness)
    size = (view.seen.shape[0], view.seen.shape[1])
    return _middle_of(torch.fft.irfft2(ratio, s=size), side)


def _middle_of(full: Tensor, side: int) -> Tensor:
    """Cut out a square around the origin of what wraps around."""
    return torch.roll(full, (side // 2, side // 2), (0, 1))[:side, :side]


def _connected(kernel: Tensor) -> Tensor:
    """Keep what is above a tenth of the peak and hangs together with it."""
    strong = (kernel >= _SMALLEST * kernel.max()).float()[None, None]
    reached = (kernel == kernel.max()).float()[None, None]
    for _ in range(2 * kernel.shape[0]):
        reached = F.max_pool2d(reached, 3, 1, 1) * strong
    kernel = kernel * reached[0, 0]
    return kernel / kernel.sum()
