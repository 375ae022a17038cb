"""Restore: measure the camera's shake on the streaks that small lights leave.

A small light is drawn along the camera's path: its streak is a picture of the point-spread
function, several times over in a night scene, each at another place between the samples and
in another color. Edges, by which a shake is measured in other photos, are of no use there,
for they are mostly those of streaks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from nightfix.restore.device import one_thread
from nightfix.restore.motion.deconvolution import SATURATED
from nightfix.restore.motion.edges import explanation_cost
from nightfix.restore.motion.kernels import (
    KERNEL_SIZE,
    LONG_KERNEL_SIZE,
    SHORTEST_SHAKE,
    center_kernel,
    shake_length,
    still,
)


class _Scale(NamedTuple):
    """What a shake of some length needs.

    How far from its peak a light is looked at [packed px]; sides of a kernel and of the squares
    that lights are cut out in [mosaic px]; brightness of a light's peak over what is around it
    and the noise, at least: along a longer path there is less of it at each place. Share of a
    light's energy that has to be explained, of half of the lights, and what the fit leaves of it
    in units of what a model of a light must leave, at most: glints on leaves and marks on a wall
    are not lights, and a large kernel can be bent to resemble whatever stands in rows.
    """

    reach: int
    side: int
    patch: int
    contrast: float
    explained: float
    misfit: float


#: Most shakes, and those whose streaks are longer than that [mosaic px].
_USUAL = _Scale(16, KERNEL_SIZE, 64, contrast=4.0, explained=0.5, misfit=2.0)
_LARGE = _Scale(32, LONG_KERNEL_SIZE, 96, contrast=3.0, explained=0.8, misfit=1.3)
_LONG = 23.0

#: Border of the picture in which no light is looked for [packed px].
_MARGIN = 16

#: Peaks that are looked at, brightest first, and lights that the kernel is fitted to: so many at
#: most, and at least.
_PEAKS, _LIGHTS, _FEWEST = 256, 8, 3

#: Radius of the largest lights [mosaic px]: streaks of one shake differ by no more than that adds.
_WIDEST = 10.0

#: Radii of the lights that a search begins with [mosaic px], and with how many lights' streaks.
_RADII, _BEGINNINGS = (0.6, 1.5, 2.5, 4.0), 3

#: Brightness in parts of a light's own of what is another one if it lies apart.
_OTHER = 0.03

#: Share of a first kernel that lies anywhere.
_UNKNOWN = 2e-4 * KERNEL_SIZE**2

#: Steps of Adam for each beginning, and for the best of each radius.
_FIRST_STEPS, _STEPS = 40, 130

#: Cost of a kernel's spread (the sum of its square roots): of paths that explain streaks alike
#: the thin one is right.
_SPREAD_COST = 0.007

#: Where all lights are alike, a thin path and wide lights explain their streaks as well as a
#: wide path and points. Of kernels that explain them at most so much worse than the best, the
#: rest of the picture decides with them.
_AS_GOOD = 1.25

#: What the model of a light leaves unexplained, as parts of its brightness and of the brightest
#: sample around it.
_MODEL_ERROR, _PEAK_ERROR = 0.02, 0.005

#: Scale of residuals beyond which they count as logarithms [variances].
_ROBUST = 8.0

#: Width of a light's glow [mosaic px].
_GLOW = 8.0

#: Values of a kernel below this share of its largest are noise.
_SMALLEST = 0.04

#: A still camera explains lights at most so much worse than a shaken one would.
_STILL_MARGIN = 1.08

#: What lies below it is no light [white].
_WHITE = 0.97

#: Streak of a point that the shortest shake draws on the planes [mosaic px].
_SHORTEST_STREAK = 3.6

#: Samples that a kernel fills, at most: by its length, and of the shortest.
_FILLED, _FILLED_AT_LEAST = 4.5, 4.0


class _Light(NamedTuple):
    """How good a light is to tell by; its middle and how long its streak is [mosaic px]; its peak.

    That one lies at (row, column) [packed px].
    """

    score: float
    y: float
    x: float
    length: float
    peak: tuple[int, int]


class _Lights(NamedTuple):
    """Squares around lights, (n, p, p): seen, variance, color plane, and where they are."""

    seen: Tensor
    variance: Tensor
    saturated: Tensor
    own: Tensor
    masks: Tensor
    base: Tensor
    place: Tensor


class _Fit(NamedTuple):
    """A kernel (s, k, k) for each beginning, and how badly it explains the lights (s, n)."""

    kernel: Tensor
    misfit: Tensor
    explained: Tensor


def kernel_from_lights(
    capture: Tensor, picture: Tensor, *, ratio: float, a: float, b: float
) -> Tensor | None:
    """Estimate the kernel of a shake from the streaks of small lights.

    Parameters
    ----------
    capture : Tensor, shape (4, h, w)
        Planes as captured, 1.0 = the sensor's white.
    picture : Tensor, same shape
        The same denoised and brought to target brightness, still shaken.
    ratio : float
        Target brightness over the capture's [-].
    a, b : float
        Noise of the capture, variance = a*x + b.

    Returns
    -------
    Tensor, shape (33, 33) or, of long streaks, (65, 65), or None
        Non-negative, sum 1, its centroid in the middle [mosaic px]; a still one where a still
        camera explains the lights as well, or where no path does. None where there are too few
        lights to tell.

    Notes
    -----
    Every light is a disc of unknown place, radius and color, with a glow around it; the
    kernel is common to all. All of it is fitted at once to the captured samples, in units of
    their noise, by Adam; samples that saturate only say that the light is at least so bright.
    Residuals count as their logarithm, so that what is no disc (neon, windows) spoils little.

    References
    ----------
    Hu, Cho, Wang and Yang, "Deblurring Low-light Images with Light Streaks", CVPR 2014, whose
    streaks are chosen and modeled otherwise.
    """
    noise = math.sqrt(a * ratio * max(float(picture.mean()), 0) + b * ratio**2)
    night = _look_around(picture, noise)
    usual = _find_lights(night, _USUAL)
    tried = [(_USUAL, usual)]
    if usual is None or _typical_length(usual) >= _LONG:
        longer = _find_lights(night, _LARGE)
        if longer is not None and _typical_length(longer) >= _LONG:
            tried.insert(0, (_LARGE, longer))
    for scale, found in tried:
        if found is None:
            continue
        # Nothing is smaller than a shake; a single one may be a hot pixel.
        if sorted(light.length for light in found)[1] < _SHORTEST_STREAK:
            return still()[0]
        chosen = sorted(_alike(found), reverse=True)[:_LIGHTS]
        lights = _cut(capture * ratio, picture, chosen, scale.patch, ratio=ratio, a=a, b=b)
        kernel = _best_kernel(lights, scale, picture)
        if kernel is not None:
            return kernel
    return None


def _best_kernel(lights: _Lights, scale: _Scale, picture: Tensor) -> Tensor | None:
    """Return the path that explains lights best; a still one or None as said above."""
    if float(lights.seen.amax((1, 2)).median()) < _WHITE:
        return None
    with one_thread(), torch.enable_grad():
        fit = _fitted(lights, scale.side)
        resting = _fit(lights, still(side=scale.side), torch.tensor([1.0]), _STEPS, held=True)
    misfit = fit.misfit.mean(1)
    best = int(misfit.argmin())
    if float(resting.misfit.mean()) < _STILL_MARGIN * float(misfit[best]):
        return still()[0]
    explained = float(fit.explained[best].median())
    if explained < scale.explained or float(misfit[best]) > scale.misfit:
        return None
    costs = {}
    for kernel, left in zip(map(_cleaned, fit.kernel), misfit.tolist(), strict=True):
        if left <= _AS_GOOD * float(misfit[best]) and _is_path(kernel):
            costs[left * explanation_cost(picture, kernel)] = kernel
    return costs[min(costs)] if costs else still()[0]


def _cleaned(kernel: Tensor) -> Tensor:
    """Take the noise out of a kernel."""
    kernel = torch.where(kernel >= _SMALLEST * kernel.max(), kernel, 0)
    return center_kernel(kernel / kernel.sum())


def _is_path(kernel: Tensor) -> bool:
    """Tell whether a kernel is long and thin enough for a camera's path."""
    length, filled = shake_length(kernel), 1 / float(kernel.square().sum())
    return length >= SHORTEST_SHAKE and filled <= _FILLED * length + _FILLED_AT_LEAST


def _typical_length(found: list[_Light]) -> float:
    """Return the median length of streaks, each weighed by how good it is to tell by."""
    ordered = sorted(found, key=lambda light: light.length)
    scores = torch.tensor([light.score for light in ordered]).cumsum(0)
    return ordered[int((scores < scores[-1] / 2).sum())].length


def _alike(found: list[_Light]) -> list[_Light]:
    """Leave lights out whose streaks are far longer or shorter than is typical, if some remain."""
    typical = _typical_length(found)
    alike = [n for n in found if abs(n.length**2 - typical**2) <= 3 * _WIDEST**2]
    return alike if len(alike) >= _FEWEST else found


class _Night(NamedTuple):
    """Light above the ground, ground and noise, (h, w), and peaks (row, column), brightest first.

    All on the packed planes.
    """

    above: Tensor
    ground: Tensor
    peaks: list[tuple[int, int]]


def _look_around(picture: Tensor, noise: float) -> _Night:
    """Find peaks that may be lights."""
    luma = picture.mean(0)[None, None]
    height, width = picture.shape[1:]
    ground = -_largest(-_mean(luma, 33), 17)
    above = (luma - ground).clamp_min(0)
    smooth = _mean(above, 5)
    inside = torch.zeros_like(smooth)
    inside[..., _MARGIN : height - _MARGIN, _MARGIN : width - _MARGIN] = 1
    bright = smooth > max(0.15, 2 * float(luma.median()), 1.5 * noise)
    peaks = smooth * (bright & (smooth == _largest(smooth, 17))) * inside
    values, places = peaks[0, 0].flatten().topk(min(_PEAKS, peaks.numel()))
    found = [divmod(int(at), width) for at in places[values > 0]]
    return _Night(above[0, 0], ground[0, 0] + noise + 1e-3, found)


def _find_lights(night: _Night, scale: _Scale) -> list[_Light] | None:
    """Return lights that are small, bright and alone; None where there are too few to tell."""
    if 2 * min(night.above.shape) < scale.patch:
        return None
    found, taken = list[_Light](), torch.zeros_like(night.above)
    for y, x in night.peaks:
        peak = float(_beside(night.above, (y, x)).max())
        contrast = peak / float(night.ground[y, x])
        if contrast < scale.contrast:
            continue
        top, left = max(y - scale.reach, 0), max(x - scale.reach, 0)
        window = (slice(top, y + scale.reach), slice(left, x + scale.reach))
        light = night.above[window]
        core = _connected(light > 0.25 * peak, (y - top, x - left))
        ends = torch.cat([core[0], core[-1], core[:, 0], core[:, -1]])
        if bool(ends.any()) or bool(taken[window][core].any()):
            continue
        taken[window][core] = 1
        energy = light * core
        total = float(energy.sum())
        row = float((energy.sum(1) * torch.arange(len(light))).sum()) / total
        column = float((energy.sum(0) * torch.arange(light.shape[1])).sum()) / total
        alone = total / (total + float((light * ~_widened(core, 3)).sum()))
        score = alone * min(1.0, contrast / 20) / float(core.sum())
        length = 2 * shake_length(energy / total)
        middle = (2 * (top + row) + 0.5, 2 * (left + column) + 0.5)
        found.append(_Light(score, *middle, length, (y, x)))
    return found if len(found) >= _FEWEST else None


def _beside(picture: Tensor, place: tuple[int, int]) -> Tensor:
    """Return the square of 5 px around a place, as far as it is in the picture."""
    y, x = (slice(max(at - 2, 0), at + 3) for at in place)
    return picture[y, x]


def _mean(picture: Tensor, side: int) -> Tensor:
    """Return the mean of a square around each sample, by rows and columns in turn."""
    rows = F.avg_pool2d(picture, (side, 1), 1, (side // 2, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, side), 1, (0, side // 2), count_include_pad=False)


def _largest(picture: Tensor, side: int) -> Tensor:
    """Return the largest sample of a square around each, by rows and columns in turn."""
    rows = F.max_pool2d(picture, (side, 1), 1, (side // 2, 0))
    return F.max_pool2d(rows, (1, side), 1, (0, side // 2))


def _connected(mask: Tensor, place: tuple[int, int]) -> Tensor:
    """Keep what of a mask hangs together with a place, or with what is beside it."""
    strong = mask.to(torch.float32)[None, None]
    reached = torch.zeros_like(strong)
    _beside(reached[0, 0], place).fill_(1)
    reached *= strong
    count = -1.0
    while count != (count := float(reached.sum())):
        for _ in range(8):
            reached = F.max_pool2d(reached, 3, 1, 1) * strong
    return reached[0, 0] > 0


def _cut(
    seen: Tensor,
    picture: Tensor,
    found: list[_Light],
    patch: int,
    *,
    ratio: float,
    a: float,
    b: float,
) -> _Lights:
    """Cut squares around lights out of the mosaic."""
    mosaic, clean = (F.pixel_shuffle(p[None], 2)[0, 0] for p in (seen, picture))
    height, width = mosaic.shape
    tops = [_corner(light.y, height, patch) for light in found]
    lefts = [_corner(light.x, width, patch) for light in found]
    corners = list(zip(tops, lefts, strict=True))

    def squares(whole: Tensor) -> Tensor:
        return torch.stack([whole[y : y + patch, x : x + patch] for y, x in corners])

    masks = torch.zeros(4, patch, patch)
    for plane in range(4):
        masks[plane, plane // 2 :: 2, plane % 2 :: 2] = 1
    samples, light = squares(mosaic), squares(clean)
    base = torch.stack(
        [light[:, p // 2 :: 2, p % 2 :: 2].flatten(1).quantile(0.3, dim=1) for p in range(4)], 1
    )
    error = _MODEL_ERROR * samples.clamp_min(0) + _PEAK_ERROR * light.amax((1, 2), keepdim=True)
    variance = a * ratio * light.clamp_min(0) + b * ratio**2 + error.square()
    place = torch.tensor([(light.y, light.x) for light in found]) - torch.tensor(corners)
    own = torch.stack(
        [
            _own(square, (one.peak[0] - y // 2, one.peak[1] - x // 2))
            for square, one, (y, x) in zip(light, found, corners, strict=True)
        ]
    )
    return _Lights(samples, variance, samples >= SATURATED * ratio, own, masks, base, place)


def _own(square: Tensor, peak: tuple[int, int]) -> Tensor:
    """Tell what of a square is not other lights', from the place of its light's peak."""
    luma = F.avg_pool2d(square[None, None], 2)[0, 0]
    above = luma - luma.quantile(0.3)
    brightness = _beside(above, peak).max()
    core = _connected(above > 0.25 * brightness, peak)
    other = (above > _OTHER * brightness) & ~_widened(core, 4)
    return ~_widened(other, 2).repeat_interleave(2, 0).repeat_interleave(2, 1)


def _widened(mask: Tensor, reach: int) -> Tensor:
    """Add what is so near to a mask."""
    return F.max_pool2d(mask.float()[None, None], 2 * reach + 1, 1, reach)[0, 0] > 0


def _corner(middle: float, size: int, patch: int) -> int:
    """Return where a square begins that lies in the mosaic and on its pattern, even."""
    return min(max(round(middle / 2) * 2 - patch // 2, 0), size - patch)


def _fitted(lights: _Lights, side: int) -> _Fit:
    """Fit from the streaks of some lights and from each radius; on from the best of a radius."""
    streaks = [_streak(lights, n, side) for n in range(min(_BEGINNINGS, len(lights.seen)))]
    starts = torch.stack([_thinned(streak, radius) for radius in _RADII for streak in streaks])
    radii = torch.tensor(_RADII)
    first = _fit(lights, starts, radii.repeat_interleave(len(streaks)), _FIRST_STEPS)
    cost = first.misfit.mean(1) + _SPREAD_COST * first.kernel.sqrt().sum((1, 2))
    best = cost.view(len(radii), -1).argmin(1) + len(streaks) * torch.arange(len(radii))
    return _fit(lights, first.kernel[best], radii, _STEPS)


def _streak(lights: _Lights, n: int, side: int) -> Tensor:
    """Return a light's streak as a first kernel, its colors balanced, shape (k, k)."""
    patch = lights.seen.shape[-1]
    base = (lights.masks * lights.base[n][:, None, None]).sum(0)
    light = (lights.seen[n] - base).clamp_min(0) * lights.own[n]
    gains = (light * lights.masks).sum((1, 2)).clamp_min(1e-6)
    light = light / (lights.masks * gains[:, None, None]).sum(0)
    light = F.avg_pool2d(F.pad(light[None, None], (0, 1, 0, 1)), 2, 1)[0, 0]
    top, left = (
        min(max(round(float(at) - 0.5) - side // 2, 0), patch - side) for at in lights.place[n]
    )
    streak = light[top : top + side, left : left + side]
    streak = (streak - 0.12 * streak.max()).clamp_min(0)
    streak = streak * _connected(streak > 0, divmod(int(streak.argmax()), side))
    return center_kernel(streak / streak.sum())


def _thinned(streak: Tensor, radius: float) -> Tensor:
    """Take a disc's width out of a streak, by Richardson's and Lucy's method."""
    side = streak.shape[0]
    axis = torch.arange(side, dtype=torch.float32) - side // 2
    disc = torch.sigmoid(4 * (radius - (axis[:, None] ** 2 + axis**2).sqrt()))
    spread = torch.fft.rfft2(torch.fft.ifftshift(disc / disc.sum()))
    kernel, size = streak + 1e-6, (side, side)
    for _ in range(20):
        drawn = torch.fft.irfft2(torch.fft.rfft2(kernel) * spread, s=size).clamp_min(1e-7)
        kernel = kernel * torch.fft.irfft2(torch.fft.rfft2(streak / drawn) * spread, s=size)
        kernel = kernel.clamp_min(0)
    return center_kernel(kernel / kernel.sum())


def _fit(
    lights: _Lights,
    kernels: Tensor,
    radii: Tensor,
    steps: int,
    *,
    held: bool = False,
) -> _Fit:
    """Fit lights and a kernel from beginnings (s, k, k); ``held`` leaves the kernels."""
    starts, count = len(kernels), len(lights.seen)
    above = (lights.seen - (lights.masks * lights.base[:, :, None, None]).sum(1)).clamp_min(0)
    above = above * lights.own
    sums = (above[:, None] * lights.masks).sum((2, 3)).clamp_min(1e-3)

    def repeated(start: Tensor) -> Tensor:
        return start.expand(starts, *start.shape).clone().requires_grad_()

    patch, side = lights.seen.shape[-1], kernels.shape[-1]
    logits = (kernels + _UNKNOWN / side**2).log().clone().requires_grad_(not held)
    place, base, amount = map(repeated, (lights.place, lights.base, sums.log()))
    glow = torch.full((starts, count, 4), -4.0).requires_grad_()
    width = radii.expm1().log()[:, None].repeat(1, count).requires_grad_()
    rates = (
        (logits, 0.12),
        (place, 0.05),
        (width, 0.05),
        (amount, 0.04),
        (glow, 0.05),
        (base, 0.005),
    )
    groups = [{"params": [p], "lr": rate} for p, rate in rates if p.requires_grad]
    optimizer = torch.optim.Adam(groups, betas=(0.8, 0.95))
    known = lights.own.sum((1, 2))
    axis, size = torch.arange(patch, dtype=torch.float32), (patch, patch)
    pad, half = patch - side, side // 2
    for step in range(steps):
        kernel = torch.softmax(logits.flatten(1), 1).view_as(logits) if not held else kernels
        path = torch.roll(F.pad(kernel, (0, pad, 0, pad)), (-half, -half), (1, 2))
        down = (axis - place[..., :1]).square()[..., :, None]
        along = (axis - place[..., 1:]).square()[..., None, :]
        distance = (down + along + 1e-4).sqrt()
        disc = torch.sigmoid(4 * (F.softplus(width)[..., None, None] - distance))
        disc = disc / disc.sum((2, 3), keepdim=True)
        spectrum = torch.fft.rfft2(disc) * torch.fft.rfft2(path)[:, None]
        streak = torch.fft.irfft2(spectrum, s=size)
        around = torch.exp(-(distance**2) / (2 * _GLOW**2)) / (2 * math.pi * _GLOW**2)

        def sited(numbers: Tensor) -> Tensor:
            return torch.einsum("snp,phw->snhw", numbers, lights.masks)

        drawn = sited(base) + sited(amount.exp()) * (streak + sited(F.softplus(glow)) * around)
        error = lights.seen - drawn
        error = torch.where(lights.own & ~(lights.saturated & (error < 0)), error, 0)
        squared = error.square()
        misfit = _ROBUST * torch.log1p(squared / lights.variance / _ROBUST).sum((2, 3)) / known
        trust = 1 / (1 + (misfit / misfit.median(1, keepdim=True).values).square())
        trust = (trust / trust.sum(1, keepdim=True)).detach()
        weighted = (misfit * trust).sum(1)
        growing = min(1.0, 1.5 * (step + 20) / steps)
        spread = growing * _SPREAD_COST * (kernel + 1e-6).sqrt().sum((1, 2))
        optimizer.zero_grad()
        (weighted + spread).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step in (steps // 3, 2 * steps // 3):
            for group in optimizer.param_groups:
                group["lr"] *= 0.5
    explained = 1 - squared.sum((2, 3)) / above.square().sum((1, 2)).clamp_min(1e-9)
    return _Fit(kernel.detach(), (misfit * trust * count).detach(), explained.detach())
