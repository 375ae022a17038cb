"""Training: photographs in memory, and dark, noisy, shaken samples made from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nightfix.errors import InputError
from nightfix.network import CEILING, Condition
from nightfix.training.blur import blur, shake_kernel
from nightfix.training.config import Recipe
from nightfix.training.noise import SensorNoise, add_noise, random_sensor
from nightfix.training.unprocess import mosaic_planes, uniform, unprocess

_KERNEL = 31
_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Samples of one step.

    ``capture`` and ``target``: (B, 4, p, p) float32 at target brightness, 1.0 = target
    white. ``condition``: what the network is told.
    """

    capture: Tensor
    target: Tensor
    condition: Condition


def load_photos(folder: Path) -> list[Tensor]:
    """Read every photograph below a folder as (3, H, W) uint8.

    Raises
    ------
    InputError
        If there is none.
    """
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in _SUFFIXES)
    if not files:
        raise InputError(f"{folder}: no photographs here", "--photos takes a folder of JPEG or PNG")
    photos = (np.asarray(iio.imread(f))[..., :3] for f in files)
    return [torch.from_numpy(np.ascontiguousarray(p.transpose(2, 0, 1))) for p in photos]


def _crop(photo: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Cut a square, sometimes reduced by up to 2, sometimes turned, as floats in [0, 1]."""
    zoom = max(1.0, float(uniform(0.4, 2.2, generator, 1)))
    height, width = photo.shape[1:]
    side = min(round(size * zoom), height, width)
    places = [
        (torch.rand(2, generator=generator) * torch.tensor([height - side + 1, width - side + 1]))
        .long()
        .tolist()
        for _ in range(2)
    ]
    crops = [photo[:, top : top + side, left : left + side].float() / 255 for top, left in places]
    # Most of a photograph is smooth; three times in four take the richer of two places.
    richest = max(crops, key=lambda c: float(c[1].diff(dim=0).abs().mean()))
    crop = richest if torch.rand(1, generator=generator) < 0.75 else crops[0]
    if side != size:
        crop = F.interpolate(
            crop[None], (size, size), mode="bilinear", antialias=True, align_corners=False
        )[0].clamp(0, 1)
    turns, mirrored = torch.randint(4, (2,), generator=generator).tolist()
    crop = torch.rot90(crop, turns, (1, 2))
    return crop.flip(2) if mirrored % 2 else crop


def _add_lamps(light: Tensor, generator: torch.Generator) -> Tensor:
    """Put a few small lamps, up to 30 times white, into the scene."""
    size = light.shape[-1]
    axis = torch.arange(size, dtype=torch.float32)
    for _ in range(int(torch.randint(1, 5, (1,), generator=generator))):
        y, x = uniform(0, size, generator, 2).tolist()
        radius = math.exp(float(uniform(-0.7, 2.0, generator, 1)))
        power = math.exp(float(uniform(-1.0, 3.4, generator, 1)))
        color = uniform(0.4, 1.0, generator, 3, 1, 1)
        distance = ((axis[:, None] - y) ** 2 + (axis[None] - x) ** 2).sqrt()
        light = light + power * color * torch.sigmoid((radius - distance) * 2)
    return light


def _draw_ratio(recipe: Recipe, generator: torch.Generator) -> tuple[float, SensorNoise]:
    """Draw a ratio and a sensor whose amplified noise leaves something to see."""
    while True:
        ratio = 1.0
        if torch.rand(1, generator=generator) > 0.2:
            ratio = math.exp(float(uniform(0, math.log(recipe.ratio_max), generator, 1)))
        sensor = random_sensor(generator, recipe.long_tails)
        if sensor.shot * ratio <= recipe.amplified_shot_max and sensor.read * ratio <= 0.5:
            return ratio, sensor


def _sample(
    photo: Tensor, recipe: Recipe, blur_share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, list[float]]:
    """Make one capture, its target and (ratio, a, b, blur told)."""
    side = 2 * recipe.patch
    light = unprocess(_crop(photo, side + _KERNEL - 1, generator), generator)
    if torch.rand(1, generator=generator) > 0.5:
        light = light * math.exp(float(uniform(-1.6, 0.7, generator, 1)))
    if torch.rand(1, generator=generator) < 0.12:
        light = _add_lamps(light, generator)
    margin = _KERNEL // 2
    sharp = light[:, margin : margin + side, margin : margin + side]
    shaken = bool(torch.rand(1, generator=generator) < blur_share)
    seen = sharp
    if shaken:
        length = float(uniform(2.0, recipe.blur_length, generator, 1))
        seen = blur(light, shake_kernel(_KERNEL, length, generator))
    ratio, sensor = _draw_ratio(recipe, generator)
    target = mosaic_planes(sharp).clamp_max(min(CEILING, ratio))
    capture = ratio * add_noise(mosaic_planes(seen) / ratio, sensor, generator)
    error = recipe.noise_error * torch.randn(2, generator=generator)
    a = sensor.shot * math.exp(float(error[0]) / 3)
    b = sensor.variance_at_black * math.exp(2 * float(error[1]))
    known = float(torch.rand(1, generator=generator)) >= recipe.blur_withheld
    told = (1.0 if shaken else -1.0) if known else 0.0
    return capture, target, [ratio, a, b, told]


def make_batch(photos: list[Tensor], recipe: Recipe, step: int) -> Batch:
    """Make the batch of a step; the same step always gives the same batch."""
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    blur_share = recipe.blur_share if step >= recipe.blur_start * recipe.steps else 0.0
    picks = torch.randint(len(photos), (recipe.batch,), generator=generator).tolist()
    rows = [_sample(photos[pick], recipe, blur_share, generator) for pick in picks]
    captures, targets, numbers = zip(*rows, strict=True)
    ratio, a, b, told = torch.tensor(numbers).T[:, :, None, None, None]
    return Batch(
        capture=torch.stack(captures),
        target=torch.stack(targets),
        condition=Condition(ratio, torch.ones_like(ratio), a, b, told),
    )
