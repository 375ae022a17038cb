"""Training: where clean scenes come from, as linear light before the sensor.

Photographs are unprocessed, panoramas are linear already and hold lamps far above
white, RAW files are taken as they are, plane by plane; of real pairs nothing is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import imagecodecs
import imageio.v3 as iio
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nightfix.condition import choose_noise
from nightfix.errors import InputError
from nightfix.read import RAW_SUFFIXES, RawImage, packed_planes, read_raw, transpose_planes
from nightfix.training.camera_shake import MOSAIC_KERNEL, PLANE_KERNEL, Shake, blur
from nightfix.training.config import Recipe
from nightfix.training.noise import SensorNoise, add_noise, random_sensor
from nightfix.training.pairs import PairFiles, find_pairs, read_pair
from nightfix.training.unprocessing import (
    inverse_white_balance,
    mosaic_planes,
    random_neutral,
    random_rgb2cam,
    uniform,
    unprocess,
)

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"}
_PANORAMAS = {".hdr"}

#: Brightest lamp, in units of white.
_BRIGHTEST = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One capture and its known truth.

    Parameters
    ----------
    sharp, seen : Tensor, shape (4, patch, patch)
        Light of the still scene, and as it fell on the sensor; 1.0 = target white.
    capture : Tensor, same shape
        What the sensor recorded, amplified by ``ratio``.
    shaken : bool
        Whether ``seen`` is blurred by the shake that was asked for.
    ratio, a, b : float
        Amplification and noise of the capture, variance = a*x + b before it.
    """

    sharp: Tensor
    seen: Tensor
    capture: Tensor
    shaken: bool
    ratio: float
    a: float
    b: float


class Source(Protocol):
    """One reference picture."""

    def shoot(self, recipe: Recipe, shake: Shake | None, generator: torch.Generator) -> Shot:
        """Capture a random patch of it, still or shaken."""


def _draw_ratio(recipe: Recipe, generator: torch.Generator) -> tuple[float, SensorNoise]:
    """Draw a ratio and a sensor whose amplified noise leaves something to see."""
    while True:
        ratio = 1.0
        if torch.rand(1, generator=generator) > 0.2:
            ratio = math.exp(float(uniform(0, math.log(recipe.ratio_max), generator, 1)))
        sensor = random_sensor(generator, recipe.long_tails)
        if sensor.shot * ratio <= recipe.amplified_shot_max and sensor.read * ratio <= 0.5:
            return ratio, sensor


def _expose_too_short(
    sharp: Tensor, seen: Tensor, shaken: bool, recipe: Recipe, generator: torch.Generator
) -> Shot:
    """Capture clean light with a random sensor and too little time."""
    ratio, sensor = _draw_ratio(recipe, generator)
    capture = ratio * add_noise(seen / ratio, sensor, generator)
    return Shot(
        sharp=sharp,
        seen=seen,
        capture=capture,
        shaken=shaken,
        ratio=ratio,
        a=sensor.shot,
        b=sensor.variance_at_black,
    )


def _shoot_rgb(
    light: Tensor, recipe: Recipe, shake: Shake | None, generator: torch.Generator
) -> Shot:
    """Capture camera RGB with a border of half a kernel; shaken before the mosaic."""
    margin = MOSAIC_KERNEL // 2
    sharp = seen = mosaic_planes(light[:, margin:-margin, margin:-margin])
    if shake is not None:
        seen = mosaic_planes(blur(light, shake.kernel(MOSAIC_KERNEL, 1.0)))
    return _expose_too_short(sharp, seen, shake is not None, recipe, generator)


@dataclass(frozen=True, slots=True)
class Photograph:
    """A developed photograph, (3, H, W) uint8."""

    pixels: Tensor

    def shoot(self, recipe: Recipe, shake: Shake | None, generator: torch.Generator) -> Shot:
        """Cut, turn and unprocess a square; a tenth of them gets lamps, a tenth stars."""
        side = 2 * recipe.patch + MOSAIC_KERNEL - 1
        light = unprocess(_crop(self.pixels, side, generator), generator)
        light = _other_exposure(light, generator)
        chance = float(torch.rand(1, generator=generator))
        if chance < 0.12:
            light = _add_lamps(light, generator)
        elif chance < 0.22:
            light = under_stars(light, generator)
        return _shoot_rgb(light, recipe, shake, generator)


@dataclass(frozen=True, slots=True)
class Panorama:
    """An equirectangular panorama of linear radiance, (3, H, W) float16."""

    radiance: Tensor

    def shoot(self, recipe: Recipe, shake: Shake | None, generator: torch.Generator) -> Shot:
        """Look into it at random through a perspective lens and expose for what is there."""
        side = 2 * recipe.patch + MOSAIC_KERNEL - 1
        light = look_into(
            self.radiance.float(),
            side,
            pitch=float(uniform(-0.9, 0.9, generator, 1)),
            yaw=float(uniform(-math.pi, math.pi, generator, 1)),
            # From somewhat coarser than the panorama's own pixels to somewhat finer.
            focal=self.radiance.shape[2] / (2 * math.pi) * float(uniform(0.8, 1.6, generator, 1)),
        )
        light = torch.einsum("dc,chw->dhw", random_rgb2cam(generator), light).clamp_min(0)
        gray = light.mean(0)[::4, ::4].quantile(0.6).clamp_min(1e-6)
        light = light / gray * math.exp(float(uniform(-3.0, -0.7, generator, 1)))
        # The sun would drown everything else in the rounding of a Fourier transform.
        light = light.clamp_max(_BRIGHTEST)
        light = inverse_white_balance(light, random_neutral(generator))
        return _shoot_rgb(light, recipe, shake, generator)


@dataclass(frozen=True, slots=True)
class RawPhoto:
    """A clean RAW file, taken as it is: the planes of its mosaic, (4, H, W) float16."""

    planes: Tensor

    def shoot(self, recipe: Recipe, shake: Shake | None, generator: torch.Generator) -> Shot:
        """Cut a patch; a shake is applied plane by plane."""
        margin = PLANE_KERNEL // 2
        light = _cut(self.planes, recipe.patch + 2 * margin, generator)[0]
        light = _other_exposure(light, generator)
        sharp = seen = light[:, margin:-margin, margin:-margin]
        if shake is not None:
            seen = blur(light, shake.kernel(PLANE_KERNEL, 0.5))
        return _expose_too_short(sharp, seen, shake is not None, recipe, generator)


@dataclass(frozen=True, slots=True)
class Pair:
    """A real short exposure and the long one of the same scene, (4, H, W) float16 each."""

    short: Tensor
    long: Tensor
    ratio: float
    a: float
    b: float

    def shoot(self, recipe: Recipe, shake: Shake | None, generator: torch.Generator) -> Shot:
        """Cut the same patch of both; nothing is made, so a shake cannot be asked for."""
        short, long = _cut(torch.stack([self.short, self.long]), recipe.patch, generator)
        return Shot(
            sharp=long,
            seen=long,
            capture=self.ratio * short,
            shaken=False,
            ratio=self.ratio,
            a=self.a,
            b=self.b,
        )


def load_sources(folders: Sequence[Path], pairs: Sequence[Path] = ()) -> list[Source]:
    """Read every reference below some folders.

    Parameters
    ----------
    folders : sequence of Path
        Photographs (JPEG, PNG, TIFF, WebP), panoramas (Radiance HDR) and RAW files, told
        apart by their suffix.
    pairs : sequence of Path
        Folders of real pairs in the layout of SID or ELD.

    Raises
    ------
    InputError
        If a folder is missing, a file cannot be read, or there is nothing to learn from.
    """
    sources: list[Source] = []
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder", "--photos takes a folder of references")
        files = (f for f in sorted(folder.rglob("*")) if f.is_file())
        sources += [source for file in files if (source := _load(file)) is not None]
    sources += [_load_pair(pair) for folder in pairs for pair in find_pairs(folder)]
    if not sources:
        places = ", ".join(str(folder) for folder in [*folders, *pairs])
        hint = "--photos takes a folder of JPEG, PNG, HDR or RAW files"
        raise InputError(f"{places}: no photographs here", hint)
    return sources


def read_photograph(file: Path) -> Tensor:
    """Read a developed photograph, (3, H, W) uint8.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    pixels = np.asarray(iio.imread(file, plugin="pillow", mode="RGB")).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(pixels))


def _load(file: Path) -> Source | None:
    suffix = file.suffix.lower()
    try:
        if suffix in PHOTO_SUFFIXES:
            return Photograph(read_photograph(file))
        if suffix in _PANORAMAS:
            radiance = imagecodecs.rgbe_decode(file.read_bytes()).transpose(2, 0, 1)
            return Panorama(torch.from_numpy(radiance.clip(0, 60000).astype(np.float16)))
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{file}: cannot be read ({error})", "move it out of --photos") from error
    return RawPhoto(_planes(_sharp(read_raw(file)))) if suffix in RAW_SUFFIXES else None


def _sharp(raw: RawImage) -> RawImage:
    """Return a photo whose samples are its sensor's own."""
    if raw.origin != "mosaic":
        raise InputError(
            f"{raw.path}: its mosaic was interpolated, which blurs", "move it out of --photos"
        )
    return raw


def _planes(raw: RawImage) -> Tensor:
    return torch.from_numpy(packed_planes(raw).astype(np.float16))


def _load_pair(files: PairFiles) -> Pair:
    pair = read_pair(files)
    noise, _ = choose_noise(pair.short)
    return Pair(_planes(pair.short), _planes(pair.long), pair.ratio, noise.a, noise.b)


def _cut(planes: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Cut a random square out of (..., 4, H, W), transposed half the time, as (n, 4, s, s)."""
    height, width = planes.shape[-2:]
    if min(height, width) < side:
        raise InputError(
            f"a RAW of {2 * width} x {2 * height} px is smaller than a patch", "a smaller patch"
        )
    top = int(torch.randint(height - side + 1, (1,), generator=generator))
    left = int(torch.randint(width - side + 1, (1,), generator=generator))
    cut = planes[..., top : top + side, left : left + side].float()
    if torch.rand(1, generator=generator) < 0.5:
        cut = transpose_planes(cut)
    return cut.reshape(-1, 4, side, side)


def look_into(radiance: Tensor, side: int, *, pitch: float, yaw: float, focal: float) -> Tensor:
    """Take a perspective picture of an equirectangular panorama.

    Parameters
    ----------
    radiance : Tensor, shape (3, H, 2 H)
        Linear light of all directions.
    side : int
        Side of the picture [px].
    pitch, yaw : float
        Direction of view [rad].
    focal : float
        Focal length [px].

    Returns
    -------
    Tensor, shape (3, side, side)
    """
    axis = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    z = torch.full_like(x, focal)
    up = y * math.cos(pitch) - z * math.sin(pitch)
    forward = y * math.sin(pitch) + z * math.cos(pitch)
    longitude = torch.atan2(x, forward) + yaw
    latitude = torch.atan2(up, (x**2 + forward**2).sqrt())
    wrapped = torch.remainder(longitude / math.pi + 1, 2) - 1
    grid = torch.stack([wrapped, latitude / (math.pi / 2)], -1)[None]
    return F.grid_sample(radiance[None], grid, padding_mode="border", align_corners=False)[0]


def _other_exposure(light: Tensor, generator: torch.Generator) -> Tensor:
    if torch.rand(1, generator=generator) > 0.5:
        return light * math.exp(float(uniform(-1.6, 0.7, generator, 1)))
    return light


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


def under_stars(light: Tensor, generator: torch.Generator) -> Tensor:
    """Turn a scene to night, half the time to a clear sky, and put stars before it.

    A star is a point as a lens draws it, a Gaussian. Most of them are about as bright as the
    noise: without such samples a network learns to take faint stars for noise.

    Parameters
    ----------
    light : Tensor, shape (3, S, S)
        Linear light; 1.0 = white.
    generator : torch.Generator
        Draws the sky and its stars.

    Returns
    -------
    Tensor, same shape
    """
    if torch.rand(1, generator=generator) < 0.5:
        light = light.mean((1, 2), keepdim=True).expand_as(light)
    size, count = light.shape[-1], int(torch.randint(10, 120, (1,), generator=generator))
    centers = uniform(0, size, generator, 2, count, 1)
    widths = uniform(-0.5, 0.8, generator, count, 1).exp()
    power = uniform(-7.0, 0.0, generator, count, 1).exp()
    colors = uniform(0.5, 1.0, generator, count, 3)
    rows, columns = torch.exp(-(((torch.arange(size) - centers) / widths) ** 2) / 2)
    stars = torch.einsum("nc,nh,nw->chw", power * colors, rows, columns)
    return light * math.exp(float(uniform(-3.5, 0.0, generator, 1))) + stars
