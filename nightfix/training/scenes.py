"""Training: clean light of a batch of scenes, made on the training device.

Photographs are unprocessed, panoramas are linear already and hold lamps far above
white, RAW files are taken as they are, plane by plane.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nightfix.read import transpose_planes
from nightfix.training.frames import Draws, Frames, Turns, each, moved
from nightfix.training.unprocessing import (
    Look,
    inverse_white_balance,
    linearize,
    random_look,
    random_neutral,
    random_rgb2cam,
    to_camera,
    uniform,
)

#: Brightest lamp, in units of white.
_BRIGHTEST = 60.0

#: Sizes of each photograph among its frames: its own, and reduced ones.
SIZES = 3

#: Rows and columns between the places where the detail of a window is looked at [px].
_GLANCE = 8

#: Largest numbers of lamps and of stars in a window.
_LAMPS, _STARS = 4, 119

Change = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True, slots=True)
class Photographs:
    """Developed photographs, each in three sizes that follow each other; uint8, 3 channels."""

    frames: Frames

    def __len__(self) -> int:
        """Return the number of photographs."""
        return len(self.frames) // SIZES

    def cut(self, chosen: Tensor, side: int, draws: Draws) -> Tensor:
        """Cut a turned square out of each chosen photograph at a random size.

        Returns
        -------
        Tensor, shape (n, 3, side, side), uint8
        """
        numbers, count = draws.numbers, len(chosen)
        frame = SIZES * chosen + torch.randint(SIZES, (count,), generator=numbers)
        turns = Turns(*(torch.rand(3, count, generator=numbers) < 0.5))
        top, left = self._places(frame, side, numbers)
        return self.frames.windows(frame, top, left, side, turns)

    def light(self, chosen: Tensor, side: int, draws: Draws) -> Tensor:
        """Return camera light of squares; an eighth of them gets lamps, a tenth stars.

        Parameters
        ----------
        chosen : Tensor, shape (n,)
            Which photographs.
        side : int
            Side of the squares [px].
        draws : Draws
            Sources of every draw.

        Returns
        -------
        Tensor, shape (n, 3, side, side)
            Linear, 1.0 = white.
        """
        numbers, count = draws.numbers, len(chosen)
        pixels = self.cut(chosen, side, draws)
        look = Look(*(moved(part, pixels.device) for part in random_look(numbers, count)))
        light = to_camera(_expanded(pixels, look.contrast), look)
        light *= each(other_exposure(numbers, count), light)
        chance = torch.rand(count, generator=numbers)
        light = _of_some(light, chance < 0.12, add_lamps, numbers)
        return _of_some(light, (chance >= 0.12) & (chance < 0.22), under_stars, numbers)

    def _places(self, frame: Tensor, side: int, numbers: torch.Generator) -> Tensor:
        """Choose a place for each window, (2, n).

        Most of a photograph is smooth: three times in four it is the richer one of two places.
        """
        frames, device = self.frames, self.frames.samples.device
        room = torch.stack([frames.height[frame], frames.width[frame]]) - side + 1
        places = torch.rand(2, 2, len(frame), generator=numbers) * room
        blind = moved(torch.rand(len(frame), generator=numbers) >= 0.75, device)
        start, pitch = (moved(n[frame], device) for n in (frames.start, frames.width))
        first, second = places = moved(places.to(torch.int32), device)
        axis = torch.arange(0, side - 1, _GLANCE, dtype=torch.int32, device=device)
        corner = start + places[:, 0] * pitch + places[:, 1]
        pitch = pitch[:, None, None]
        index = corner[..., None, None] + axis[:, None] * pitch + axis
        green = frames.at(torch.stack([index, index + pitch]))[..., 1].int()
        detail = (green[0] - green[1]).abs().sum((-2, -1))
        return torch.where(blind | (detail[0] >= detail[1]), first, second)


@dataclass(frozen=True, slots=True)
class Panoramas:
    """Equirectangular panoramas of linear radiance, (3 mantissas and an exponent) uint8."""

    frames: Frames

    def __len__(self) -> int:
        """Return the number of panoramas."""
        return len(self.frames)

    def light(self, chosen: Tensor, side: int, draws: Draws) -> Tensor:
        """Look into each at random through a lens and expose for what is there.

        Parameters and result are those of :meth:`Photographs.light`, lamps up to 60.
        """
        numbers, count = draws.numbers, len(chosen)
        pixel = self.frames.width[chosen] / (2 * math.pi)
        light = look_into(
            self.frames,
            chosen,
            side,
            pitch=uniform(-0.9, 0.9, numbers, count),
            yaw=uniform(-math.pi, math.pi, numbers, count),
            # From somewhat coarser than the panorama's own pixels to somewhat finer.
            focal=pixel * uniform(0.8, 1.6, numbers, count),
        )
        rgb2cam = moved(random_rgb2cam(numbers, count), light.device)
        light = torch.einsum("ndc,nchw->ndhw", rgb2cam, light).clamp_min_(0)
        gray = light.mean(1)[:, ::4, ::4].flatten(1).quantile(0.6, 1).clamp_min(1e-6)
        light *= each(uniform(-3.0, -0.7, numbers, count).exp(), light) / each(gray, light)
        # The sun would drown everything else in the rounding of a Fourier transform.
        light.clamp_max_(_BRIGHTEST)
        return inverse_white_balance(light, moved(random_neutral(numbers, count), light.device))


@dataclass(frozen=True, slots=True)
class RawPhotos:
    """Clean RAW files: the planes of their mosaics, float16."""

    frames: Frames

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.frames)

    def light(self, chosen: Tensor, side: int, draws: Draws) -> Tensor:
        """Cut a square out of each, transposed half the time, (n, 4, side, side)."""
        light = cut_planes(self.frames, chosen, side, draws.numbers)
        return light * each(other_exposure(draws.numbers, len(chosen)), light)


def cut_planes(frames: Frames, chosen: Tensor, side: int, numbers: torch.Generator) -> Tensor:
    """Cut a square out of planes, transposed half the time, (n, C, side, side) float32.

    C is 4, or a multiple of it, whose planes are cut alike.
    """
    count = len(chosen)
    room = torch.stack([frames.height[chosen], frames.width[chosen]]) - side + 1
    top, left = (torch.rand(2, count, generator=numbers) * room).to(torch.int32)
    transposed = torch.rand(count, generator=numbers) < 0.5
    still = torch.zeros_like(transposed)
    cut = frames.windows(chosen, top, left, side, Turns(still, still, transposed)).float()
    # The windows are transposed already, but for the two greens, which change places.
    planes = cut.view(count, -1, 4, side, side)
    swapped = transpose_planes(planes).mT
    return torch.where(each(transposed, cut)[..., None], swapped, planes).flatten(1, 2)


def look_into(
    panoramas: Frames, chosen: Tensor, side: int, *, pitch: Tensor, yaw: Tensor, focal: Tensor
) -> Tensor:
    """Take perspective pictures of equirectangular panoramas.

    Parameters
    ----------
    panoramas : Frames
        Linear light of all directions, in the code of :func:`radiance_code`.
    chosen : Tensor, shape (n,)
        Which of them.
    side : int
        Side of the pictures [px].
    pitch, yaw : Tensor, shape (n,)
        Directions of view [rad].
    focal : Tensor, shape (n,)
        Focal lengths [px].

    Returns
    -------
    Tensor, shape (n, 3, side, side)
        Interpolated bilinearly.
    """
    device = panoramas.samples.device
    axis = torch.arange(side, dtype=torch.float32, device=device) - (side - 1) / 2
    x, y = axis, axis[:, None]
    numbers = [pitch.cos(), pitch.sin(), yaw, focal, panoramas.height[chosen]]
    cosine, sine, yaw, z, height = moved(torch.stack(numbers), device)[..., None, None]
    up, forward = y * cosine - z * sine, y * sine + z * cosine
    longitude = torch.atan2(x, forward) + yaw
    latitude = torch.atan2(up, (x**2 + forward**2).sqrt())
    start, width = (
        moved(n[chosen], device)[:, None, None] for n in (panoramas.start, panoramas.width)
    )
    column = (longitude / (2 * math.pi) + 0.5) * width - 0.5
    row = ((latitude / math.pi + 0.5) * height - 0.5).clamp_min(0)
    left, top = column.floor(), row.floor()
    right, down = (column - left).unsqueeze(-1), (row - top).unsqueeze(-1)
    left, top = left.int(), top.int()
    last = height.int() - 1
    # A panorama goes on from its right edge at its left one.
    columns = [start + torch.remainder(left + step, width) for step in (0, 1)]
    rows = [torch.minimum(top + step, last) * width for step in (0, 1)]
    scales = torch.exp2(torch.arange(256, dtype=torch.float32, device=device) - 136)
    light: Tensor | None = None
    for line, vertical in zip(rows, (1 - down, down), strict=True):
        for place, horizontal in zip(columns, (1 - right, right), strict=True):
            code = panoramas.at(line + place)
            scale = scales.index_select(0, code[..., 3].int().flatten()).view_as(right)
            part = code[..., :3] * (scale * (vertical * horizontal))
            light = part if light is None else light.add_(part)
    assert light is not None
    return light.permute(0, 3, 1, 2).contiguous()


def radiance_code(radiance: Tensor) -> Tensor:
    """Put linear light (3, H, W) into three mantissas and one exponent, (4, H, W) uint8.

    The code of Radiance pictures (Ward, "Real Pixels", Graphics Gems II, 1991): light is
    mantissa * 2^(exponent - 136).
    """
    _, exponent = torch.frexp(radiance.amax(0, keepdim=True).clamp_min(2.0**-100))
    mantissas = torch.ldexp(radiance, 8 - exponent).round().clamp(0, 255)
    return torch.cat([mantissas, exponent + 128.0]).byte()


def other_exposure(numbers: torch.Generator, count: int) -> Tensor:
    """Draw factors on light, (n,): half of them 1, the others 0.2 to 2."""
    changed = torch.rand(count, generator=numbers) > 0.5
    return torch.where(changed, uniform(-1.6, 0.7, numbers, count).exp(), 1.0)


def _expanded(pixels: Tensor, contrast: Tensor) -> Tensor:
    """Return linear light of 8-bit pixels, by a table for each picture."""
    count, device = len(pixels), pixels.device
    ramp = torch.arange(256, dtype=torch.float32, device=device) / 255
    tables = linearize(ramp, contrast[:, None])
    place = 256 * torch.arange(count, dtype=torch.int32, device=device)
    index = pixels.to(torch.int32) + place[:, None, None, None]
    return tables.flatten().index_select(0, index.flatten()).view(pixels.shape)


def _of_some(light: Tensor, chosen: Tensor, change: Change, numbers: torch.Generator) -> Tensor:
    """Change some of the scenes, which a tensor of bool (n,) on the processor tells."""
    (places,) = chosen.nonzero(as_tuple=True)
    if len(places):
        places = moved(places, light.device)
        light[places] = change(light[places], numbers)
    return light


def add_lamps(light: Tensor, numbers: torch.Generator) -> Tensor:
    """Put one to four small lamps, up to 30 times white, into each scene (n, 3, S, S)."""
    count, size, device = len(light), light.shape[-1], light.device
    shape = (count, _LAMPS)
    lit = torch.arange(_LAMPS) < torch.randint(1, _LAMPS + 1, (count, 1), generator=numbers)
    power = torch.where(lit, uniform(-1.0, 3.4, numbers, *shape).exp(), 0.0)
    radius = uniform(-0.7, 2.0, numbers, *shape).exp()
    y, x = uniform(0, size, numbers, 2, *shape)
    colors = moved(power[..., None] * uniform(0.4, 1.0, numbers, *shape, 3), device)
    y, x, radius = moved(torch.stack([y, x, radius]), device)[..., None, None]
    axis = torch.arange(size, dtype=torch.float32, device=device)
    distance = ((axis[:, None] - y) ** 2 + (axis - x) ** 2).sqrt()
    return light + torch.einsum("nlc,nlhw->nchw", colors, torch.sigmoid((radius - distance) * 2))


def under_stars(light: Tensor, numbers: torch.Generator) -> Tensor:
    """Turn scenes to night, half of them to a clear sky, and put stars before them.

    A star is a point as a lens draws it, a Gaussian. Most of them are about as bright as the
    noise: without such samples a network learns to take faint stars for noise.

    Parameters
    ----------
    light : Tensor, shape (n, 3, S, S)
        Linear light; 1.0 = white.
    numbers : torch.Generator
        Draws the skies and their 10 to 119 stars.

    Returns
    -------
    Tensor, same shape
    """
    count, size, device = len(light), light.shape[-1], light.device
    clear = each(torch.rand(count, generator=numbers) < 0.5, light)
    light = torch.where(clear, light.mean((2, 3), keepdim=True), light)
    night = uniform(-3.5, 0.0, numbers, count).exp()
    shape = (count, _STARS)
    seen = torch.arange(_STARS) < torch.randint(10, _STARS + 1, (count, 1), generator=numbers)
    power = torch.where(seen, uniform(-7.0, 0.0, numbers, *shape).exp(), 0.0)
    colors = moved(power[..., None] * uniform(0.5, 1.0, numbers, *shape, 3), device)
    places = uniform(0, size, numbers, 2, *shape, 1)
    widths = uniform(-0.5, 0.8, numbers, *shape, 1).exp()
    places, widths = moved(places, device), moved(widths, device)
    axis = torch.arange(size, dtype=torch.float32, device=device)
    rows, columns = torch.exp(-(((axis - places) / widths) ** 2) / 2)
    stars = torch.einsum("nsc,nsh,nsw->nchw", colors, rows, columns)
    return light * each(night, light) + stars
