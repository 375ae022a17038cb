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
from nightfix.training.sources import Source
from nightfix.training.unprocessing import uniform


class Task(NamedTuple):
    """The conditions of a pass and its target.

    ``condition``, of which ``blur`` is 1 where the shake is to be undone, -1 where it is
    to be kept, 0 where the network must find out; ``kernel``, (B, 33, 33), the shake as far as it
    is known; ``target``, (B, 4, p, p) at target brightness.
    """

    condition: Condition
    kernel: Tensor
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

        def moved(frame: Tensor) -> Tensor:
            return frame.to(device, memory_format=torch.channels_last)

        def task(task: Task) -> Task:
            condition = Condition(*(number.to(device) for number in task.condition))
            return Task(condition, task.kernel.to(device), moved(task.target))

        return Batch(
            capture=moved(self.capture),
            scene=moved(self.scene),
            first=task(self.first),
            later=task(self.later),
        )


class _Sample(NamedTuple):
    capture: Tensor
    seen: Tensor
    first_target: Tensor
    later_target: Tensor
    kernel: Tensor
    numbers: tuple[float, float, float, float, float]


def _draw_blur_condition(
    recipe: Recipe, shake: Shake | None, generator: torch.Generator
) -> tuple[float, float, Tensor]:
    """Draw what the first pass and the later ones are told of a shake, and its kernel.

    Of those whose shake is not kept, most go the way of a photo whose shake is measured: the
    first pass keeps it, the later ones are given an estimated kernel. A false one is
    sometimes given for a still photo, none for a shaken one.
    """
    chance = float(torch.rand(1, generator=generator))
    unknown = still()[0]
    if chance < recipe.blur_kept:
        return -1.0, -1.0, unknown
    chance = (chance - recipe.blur_kept) / (1 - recipe.blur_kept)
    if chance < recipe.blur_withheld:
        return 0.0, 0.0, unknown
    first = 1.0 if chance > 0.9 else -1.0
    if float(torch.rand(1, generator=generator)) < (0.1 if shake else 0.85):
        return first, first, unknown
    if shake is None or torch.rand(1, generator=generator) < 0.04:
        shake = random_shake(float(uniform(0.0, 6.0, generator, 1)), generator)
    return first, 1.0, misjudged(shake, generator)


def _sample(
    source: Source, recipe: Recipe, blur_share: float, generator: torch.Generator
) -> _Sample:
    """Make one capture and all that is known about it."""
    shake = None
    if torch.rand(1, generator=generator) < blur_share:
        shake = random_shake(float(uniform(2.0, recipe.blur_length, generator, 1)), generator)
    shot = source.shoot(recipe, shake, generator)
    top = min(CEILING, shot.ratio)
    sharp, seen = shot.sharp.clamp_max(top), shot.seen.clamp_max(top)
    error = recipe.noise_error * torch.randn(2, generator=generator)
    a = shot.a * math.exp(float(error[0]) / 3)
    b = shot.b * math.exp(2 * float(error[1]))
    first, later, kernel = _draw_blur_condition(recipe, shake if shot.shaken else None, generator)
    return _Sample(
        capture=shot.capture,
        seen=seen,
        first_target=seen if first < 0 else sharp,
        later_target=seen if later < 0 else sharp,
        kernel=kernel,
        numbers=(shot.ratio, a, b, first, later),
    )


def make_batch(sources: list[Source], recipe: Recipe, number: int, progress: float) -> Batch:
    """Make a batch by its number; the same number always gives the same batch.

    Parameters
    ----------
    sources : list of Source
        Reference pictures.
    recipe : Recipe
        What to make of them.
    number : int
        Seeds every draw, >= -1.
    progress : float
        Fraction of the run that is done, which decides whether shakes have begun.
    """
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + number)
    blur_share = recipe.blur_share if progress >= recipe.blur_start else 0.0
    picks = torch.randint(len(sources), (recipe.batch,), generator=generator).tolist()
    rows = [_sample(sources[pick], recipe, blur_share, generator) for pick in picks]
    capture, seen, first_target, later_target, kernel, numbers = zip(*rows, strict=True)
    ratio, a, b, first, later = torch.tensor(numbers).T[:, :, None, None, None]
    condition = Condition(ratio, torch.ones_like(ratio), a, b, first)
    return Batch(
        capture=torch.stack(capture),
        scene=torch.stack(seen),
        first=Task(condition, still(recipe.batch), torch.stack(first_target)),
        later=Task(condition._replace(blur=later), torch.stack(kernel), torch.stack(later_target)),
    )
