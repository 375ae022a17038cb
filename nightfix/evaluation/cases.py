"""Evaluation: captures with a known clean version, made from photographs or taken in pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from nightfix.condition import Amplification, Conditioning, NoiseModel, choose_noise
from nightfix.errors import InputError
from nightfix.read import packed_planes
from nightfix.training import (
    MOSAIC_KERNEL,
    PHOTO_SUFFIXES,
    Protocol,
    SensorNoise,
    add_noise,
    blur,
    find_pairs,
    linearize,
    mosaic_planes,
    random_look,
    random_shake,
    read_pair,
    read_photograph,
    to_camera,
    uniform,
)

#: Side to which larger photographs are reduced, and then cut [px].
_LARGEST = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A capture with known truth.

    Parameters
    ----------
    name : str
        File it comes from.
    group : str
        What its figures are averaged with, such as ``"x100 + blur"``.
    capture : Tensor, shape (4, h, w)
        Black-subtracted, 1.0 = white level.
    truth : Tensor, shape (4, h, w)
        Reference units.
    conditioning : Conditioning
        Ratio and noise.
    neutral : Tensor or None, shape (3,)
        Camera RGB of white, green 1; None where it is not known.
    """

    name: str
    group: str
    capture: Tensor
    truth: Tensor
    conditioning: Conditioning
    neutral: Tensor | None


def synthetic_cases(
    folder: Path, ratios: list[float], *, blur: bool, seed: int = 0
) -> Iterator[Case]:
    """Make dark, noisy captures of clean photographs, still and (``blur``) shaken.

    Parameters
    ----------
    folder : Path
        Photographs, JPEG or PNG; large ones are reduced, which cleans them.
    ratios : list of float
        Amplification ratios, each >= 1.
    blur : bool
        Whether to add a shaken capture at each ratio.
    seed : int
        Seeds noise, colors and shakes, with the photograph's place in the list.

    Notes
    -----
    Sensors are long-tailed with rows (Wei et al., CVPR 2020), of a gain log-uniform over
    0.3 to 6 of 16000 DN per electron; shakes are 6 to 16 px long on the mosaic.

    Raises
    ------
    InputError
        If the folder has no photographs.
    """
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in PHOTO_SUFFIXES)
    if not files:
        raise InputError(f"{folder}: no photographs here", "--photos takes a folder of JPEG or PNG")
    for number, file in enumerate(files):
        generator = torch.Generator().manual_seed(1_000_003 * seed + number)
        look = random_look(generator)
        light = to_camera(linearize(_reduced(file), look.contrast), look)
        for ratio in ratios:
            for shaken in (False, True) if blur else (False,):
                yield _synthetic(file.name, light, look.neutral, ratio, generator, shaken=shaken)


def _reduced(file: Path) -> Tensor:
    """Read a photograph at no more than about a megapixel, (3, H, W) with even sides."""
    rgb = read_photograph(file).float() / 255
    factor = round(math.sqrt(rgb.shape[1] * rgb.shape[2] / 1e6))
    if factor > 1:
        rgb = F.avg_pool2d(rgb[None], factor)[0]
    height, width = (min(side, _LARGEST) // 2 * 2 for side in rgb.shape[1:])
    return rgb[:, :height, :width]


def _synthetic(
    name: str,
    light: Tensor,
    neutral: Tensor,
    ratio: float,
    generator: torch.Generator,
    *,
    shaken: bool,
) -> Case:
    gain = math.exp(float(uniform(math.log(0.3), math.log(6.0), generator, 1)))
    read = math.exp(0.55 * math.log(gain) + 1.2) / 16000
    sensor = SensorNoise(
        shot=gain / 16000, read=read, tail=-0.1, row=0.15 * read, quantization=1 / 16000
    )
    truth = mosaic_planes(light)
    seen = truth
    if shaken:
        length = float(uniform(6.0, 16.0, generator, 1))
        margin = MOSAIC_KERNEL // 2
        wide = F.pad(light[None], (margin,) * 4, mode="replicate")[0]
        kernel = random_shake(length, generator).kernel(MOSAIC_KERNEL, 1.0)
        seen = mosaic_planes(blur(wide, kernel))
    return Case(
        name=name,
        group=f"x{ratio:g}" + (" + blur" if shaken else ""),
        capture=add_noise(seen / ratio, sensor, generator),
        truth=truth.clamp(0, 1),
        conditioning=_conditioning(ratio, gain / 16000, float(sensor.variance_at_black)),
        neutral=neutral,
    )


def _conditioning(ratio: float, a: float, b: float) -> Conditioning:
    return Conditioning(
        amplification=Amplification(ratio=ratio, source="given", reason="evaluation"),
        noise=NoiseModel(a=a, b=b, source="table"),
    )


def real_cases(folder: Path, protocol: Protocol) -> Iterator[Case]:
    """Read the short exposures of a data set with the long ones as truth.

    Noise is chosen as for any photo. The groups are the ratios, rounded to the published
    tables' (SID 100, 250, 300; ELD 100, 200).

    Raises
    ------
    InputError
        If there are no pairs, or one cannot be read.
    """
    for files in find_pairs(folder, protocol, test=True):
        pair = read_pair(files)
        noise, _ = choose_noise(pair.short)
        neutral = pair.short.as_shot_neutral
        yield Case(
            name=files.short.name,
            group=f"x{pair.ratio:.0f}",
            capture=torch.from_numpy(packed_planes(pair.short)),
            truth=torch.from_numpy(packed_planes(pair.long)).clamp(0, 1),
            conditioning=_conditioning(pair.ratio, noise.a, noise.b),
            neutral=None if neutral is None else torch.from_numpy(neutral),
        )
