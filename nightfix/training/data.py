"""Training: dark, noisy, shaken captures of clean scenes, with the network's conditions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nightfix.restore import CEILING, Condition, still
from nightfix.training.camera_shake import Shake, misjudged, random_shake
from nightfix.training.config import Recipe
from nightfix.training.frames import Draws, each, moved
from nightfix.training.noise import SensorNoise, add_noise, random_sensor
from nightfix.training.references import Pairs, References, Seen
from nightfix.training.unprocessing import uniform


class Task(NamedTuple):
    """The conditions of a pass and its target.

    ``condition``, of which ``blur`` is 1 where the shake is to be undone, -1 where it is
    to be kept, 0 where the network must find out; ``kernel``, (B, 33, 33), the shake as far as it
    is known, None where none of them is; ``target``, (B, 4, p, p) at target brightness.
    """

    condition: Condition
    kernel: Tensor | None
    target: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Samples of one step.

    ``capture``: (B, 4, p, p) float32 at target brightness, 1.0 = target white.
    ``scene``: the same without noise, as shaken as the capture. ``first`` and ``later``:
    the tasks of the first and of the following passes.
    """

    capture: Tensor
    scene: Tensor
    first: Task
    later: Task

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device, in the memory layout of its convolutions."""

        def laid_out(frame: Tensor) -> Tensor:
            return frame.to(device, memory_format=torch.channels_last)

        def task(task: Task) -> Task:
            condition = Condition(*(number.to(device) for number in task.condition))
            kernel = None if task.kernel is None else task.kernel.to(device)
            return Task(condition, kernel, laid_out(task.target))

        return Batch(
            capture=laid_out(self.capture),
            scene=laid_out(self.scene),
            first=task(self.first),
            later=task(self.later),
        )


def _draw_ratios(
    recipe: Recipe, count: int, numbers: torch.Generator
) -> tuple[Tensor, SensorNoise]:
    """Draw ratios and sensors whose amplified noise leaves something to see."""

    def draw() -> tuple[Tensor, SensorNoise, Tensor]:
        dark = torch.rand(count, generator=numbers) > 0.2
        ratio = uniform(0, math.log(recipe.ratio_max), numbers, count).exp()
        ratio = torch.where(dark, ratio, 1.0)
        sensor = random_sensor(numbers, recipe.long_tails, count)
        shot, read = sensor.shot * ratio, sensor.read * ratio
        return ratio, sensor, (shot <= recipe.amplified_shot_max) & (read <= 0.5)

    ratio, sensor, usable = draw()
    while not bool(usable.all()):
        other_ratio, other_sensor, other_usable = draw()
        ratio = torch.where(usable, ratio, other_ratio)
        sensor = sensor.where(usable, other_sensor)
        usable = usable | other_usable
    return ratio, sensor


def _draw_blur_conditions(
    recipe: Recipe, shake: Shake, shaken: Tensor, numbers: torch.Generator
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Draw what the first pass and the later ones are told of a shake, and its kernels.

    Of those whose shake is not kept, most go the way of a photo whose shake is measured: the
    first pass keeps it, the later ones are given an estimated kernel. A false one is
    sometimes given for a still photo, none for a shaken one.
    """
    count = len(shaken)
    chance, unknown, false = torch.rand(3, count, generator=numbers)
    kept = chance < recipe.blur_kept
    chance = (chance - recipe.blur_kept) / max(1 - recipe.blur_kept, 1e-6)
    withheld = ~kept & (chance < recipe.blur_withheld)
    first = torch.where(chance > 0.9, 1.0, -1.0)
    told = ~kept & ~withheld & (unknown >= torch.where(shaken, 0.1, 0.85))
    first = torch.where(kept, -1.0, torch.where(withheld, 0.0, first))
    later = torch.where(told, 1.0, first)
    (places,) = told.nonzero(as_tuple=True)
    if not len(places):
        return first, later, None
    other = random_shake(uniform(0.0, 6.0, numbers, count), numbers)
    own = (shaken & (false >= 0.04))[:, None, None]
    path = torch.where(own, shake.path, other.path)[places]
    return first, later, still(count).index_copy(0, places, misjudged(Shake(path), numbers))


class _Shots(NamedTuple):
    """Captures, (n, 4, p, p), and their truth; ratio, a and b of each, (n,) on the processor."""

    capture: Tensor
    sharp: Tensor
    seen: Tensor
    ratio: Tensor
    a: Tensor
    b: Tensor


def _take_dark(light: Seen, recipe: Recipe, draws: Draws) -> _Shots:
    """Capture clean light with random sensors and too little time."""
    ratio, sensor = _draw_ratios(recipe, len(light.seen), draws.numbers)
    amplification = each(ratio, light.seen)
    capture = amplification * add_noise(light.seen / amplification, sensor, draws.samples)
    a, b = torch.as_tensor(sensor.shot), torch.as_tensor(sensor.variance_at_black)
    return _Shots(capture, light.sharp, light.seen, ratio, a, b)


def _take_real(pairs: Pairs, chosen: Tensor, recipe: Recipe, draws: Draws) -> _Shots:
    """Cut real pairs, of which nothing is made, so that a shake cannot be asked for."""
    short, long = pairs.cut(chosen, recipe.patch, draws)
    ratio, a, b = (numbers[chosen] for numbers in (pairs.ratio, pairs.a, pairs.b))
    return _Shots(each(ratio, short) * short, long, long, ratio, a, b)


def make_batch(references: References, recipe: Recipe, number: int, progress: float) -> Batch:
    """Make a batch by its number; on one kind of device, the same number gives the same batch.

    Parameters
    ----------
    references : References
        Reference pictures, on the device on which the batch is made.
    recipe : Recipe
        What to make of them.
    number : int
        Seeds every draw, >= -1.
    progress : float
        Fraction of the run that is done, which decides whether shakes have begun.
    """
    count, device = recipe.batch, references.device
    draws = Draws.of(recipe.seed * 1_000_003 + number, device)
    numbers = draws.numbers
    chosen = torch.randint(len(references), (count,), generator=numbers).sort().values
    *made, paired = references.by_kind(chosen)
    dark = count - len(paired)
    blur_share = recipe.blur_share if progress >= recipe.blur_start else 0.0
    shaken = torch.rand(count, generator=numbers) < blur_share
    shaken[dark:] = False
    shake = random_shake(uniform(2.0, recipe.blur_length, numbers, count), numbers)
    shots = list[_Shots]()
    if dark:
        light = references.see(made, shake, shaken, recipe.patch, draws)
        shots.append(_take_dark(light, recipe, draws))
    if references.pairs is not None and len(paired):
        shots.append(_take_real(references.pairs, paired, recipe, draws))
    capture, sharp, seen, ratio, a, b = (torch.cat(parts) for parts in zip(*shots, strict=True))
    error = recipe.noise_error * torch.randn(2, count, generator=numbers)
    a, b = a * (error[0] / 3).exp(), b * (2 * error[1]).exp()
    first, later, kernel = _draw_blur_conditions(recipe, shake, shaken, numbers)
    top = each(ratio.clamp_max(CEILING), capture)
    sharp, seen = torch.minimum(sharp, top), torch.minimum(seen, top)
    told = moved(torch.stack([ratio, a, b, first, later]), device)
    ratio, a, b, first, later = told[..., None, None, None]
    condition = Condition(ratio, torch.ones_like(ratio), a, b, first)
    return Batch(
        capture=capture,
        scene=seen,
        first=Task(condition, None, torch.where(first < 0, seen, sharp)),
        later=Task(
            condition._replace(blur=later),
            None if kernel is None else moved(kernel, device),
            torch.where(later < 0, seen, sharp),
        ),
    )
