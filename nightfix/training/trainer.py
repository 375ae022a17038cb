"""Training: the loop and its metrics."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from nightfix.errors import DeviceError
from nightfix.progress import Progress, no_progress
from nightfix.restore import (
    Denoiser,
    choose_device,
    deconvolve,
    load_weights,
    save_weights,
    shake,
    simulate_exposure,
)
from nightfix.training.checkpoint import load_checkpoint, save_checkpoint
from nightfix.training.config import Recipe
from nightfix.training.data import Batch, Task, make_batch
from nightfix.training.loss import total_loss
from nightfix.training.pictures import write_crops, write_curves
from nightfix.training.ranks import Ranks, joined
from nightfix.training.sources import Source, load_sources

_WARMUP = 200
_LOWEST_RATE = 0.02
_LOG_EVERY = 20

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the rate at a step: linear warm-up, then a cosine to 2 % of the peak."""
    warmup = min(_WARMUP, recipe.steps // 10)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, recipe.steps - warmup))
    cosine = (1 + math.cos(math.pi * done)) / 2
    return recipe.learning_rate * (_LOWEST_RATE + (1 - _LOWEST_RATE) * cosine)


def _means(history: list[dict[str, float]]) -> dict[str, float]:
    """Average each figure over the steps that have it."""
    keys = {key for row in history for key in row}
    rows = {key: [row[key] for row in history if key in row] for key in sorted(keys)}
    return {key: sum(values) / len(values) for key, values in rows.items()}


class Trainer:
    """One run: a network, its averaged copy, an optimizer and a folder.

    Parameters
    ----------
    recipe : Recipe
        What to learn.
    sources : list of Source
        Reference pictures.
    output : Path
        Folder of ``checkpoint.safetensors``, ``metrics.jsonl`` and the pictures. A run
        that was stopped goes on from there.
    device : torch.device
        Where the network lives; batches are made on the CPU.
    initial : dict of Tensor or None
        Weights to start from, for fine-tuning.
    ranks : Ranks
        This process among those that train together.

    Raises
    ------
    RecipeError, InputError
        If the folder holds another recipe's run or a damaged checkpoint.
    DeviceError
        If the device cannot compute in the recipe's precision.
    """

    def __init__(
        self,
        recipe: Recipe,
        sources: list[Source],
        output: Path,
        device: torch.device,
        *,
        initial: dict[str, Tensor] | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        if recipe.precision == "fp16" and device.type != "cuda":
            raise DeviceError(f"{device}: no training in fp16 here", 'precision = "bf16"')
        torch.manual_seed(recipe.seed)
        self.recipe, self.sources, self.output, self.device = recipe, sources, output, device
        self.ranks = ranks or Ranks()
        self.network = Denoiser(recipe.network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if initial is not None:
            self.network.load_state_dict(initial)
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.optimizer = torch.optim.Adam(self.network.parameters(), betas=(0.9, 0.99), fused=True)
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")
        self.step = 0
        output.mkdir(parents=True, exist_ok=True)
        self.checkpoint = output / "checkpoint.safetensors"
        if self.checkpoint.exists():
            self.average, self.step = load_checkpoint(
                self.checkpoint, recipe, self.network, self.optimizer
            )

    def run(self, *, checkpoint_minutes: float, progress: Progress) -> dict[str, Tensor]:
        """Train to the recipe's last step and return the averaged weights."""
        saved = time.monotonic()
        history: list[dict[str, float]] = []
        for batch in self._batches():
            history.append(self._train_step(batch))
            self.step += 1
            if self.step % _LOG_EVERY == 0:
                self._log(_means(history))
                progress(self.step, self.recipe.steps)
                history = []
            if time.monotonic() - saved > 60 * checkpoint_minutes:
                self.save()
                saved = time.monotonic()
        self.save()
        return self.average

    def _batches(self) -> Iterator[Batch]:
        """Yield the batches of the steps that are left, each made during the step before it."""
        with ThreadPoolExecutor(1) as maker:
            waiting = deque[Future[Batch]]()
            for step in range(self.step, self.recipe.steps):
                number = step * self.ranks.size + self.ranks.rank
                share = min(1.0, step / self.recipe.steps)
                waiting.append(maker.submit(make_batch, self.sources, self.recipe, number, share))
                if len(waiting) > 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _train_step(self, batch: Batch) -> dict[str, float]:
        recipe = self.recipe
        generator = torch.Generator().manual_seed(
            recipe.seed * 7_000_003 + self.step * self.ranks.size + self.ranks.rank
        )
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, self.step)
        losses = self._losses(batch.to(self.device), generator)
        total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
        self.ranks.average(self.network)
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
        if torch.isfinite(norm):
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self._update_average()
        return {"norm": float(norm), **{key: loss.item() for key, loss in losses.items()}}

    def _losses(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the loss of the first pass, of a later one, or (``through``) of both."""
        recipe, first = self.recipe, batch.first
        if float(torch.rand(1, generator=generator)) >= recipe.later:
            return {"pass1": self._loss(self._predict(batch, batch.capture, first), first)}
        losses = {}
        light = batch.scene
        if float(torch.rand(1, generator=generator)) >= recipe.simulated:
            with torch.set_grad_enabled(recipe.through):
                light = self._predict(batch, batch.capture, first)
            if recipe.through:
                losses["pass1"] = self._loss(light, first)
            # Where the first pass has undone the shake, light is drawn as the camera
            # would have gone on seeing it.
            sharp = first.condition.blur >= 0
            light = torch.where(sharp, shake(light, batch.later.kernel), light)
        sample, task = self._next_sample(batch, light, generator)
        later = self._loss(self._predict(batch, sample, task), task)
        return losses | {"pass2": recipe.later_weight * later}

    def _predict(self, batch: Batch, sample: Tensor, task: Task) -> Tensor:
        condition, deconvolved = task.condition, None
        known = (task.kernel.amax((1, 2)) < 1)[:, None, None, None]
        if self.recipe.network.deconvolution and bool(known.any()):
            undone = deconvolve(sample.detach(), task.kernel)
            deconvolved = torch.where(known, undone, sample)
        dtype = _DTYPES[self.recipe.precision]
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            predicted: Tensor = self.network(sample, batch.capture, condition, deconvolved)
        return predicted

    def _loss(self, predicted: Tensor, task: Task) -> Tensor:
        return total_loss(self.recipe, predicted, task.target, task.condition)

    def _next_sample(
        self, batch: Batch, light: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Task]:
        """Draw the sample of a random later exposure from some light (Algorithm 1)."""
        condition = batch.later.condition
        fraction = (1.25 * torch.rand(condition.ratio.shape, generator=generator)).clamp_max(1)
        exposure = 1 + (condition.reference - 1) * fraction.to(self.device)
        normal = torch.randn(light.shape, generator=generator).to(self.device)
        sample = simulate_exposure(
            batch.capture,
            light,
            ratio=condition.ratio,
            exposure=exposure,
            a=condition.a,
            normal=normal,
        )
        return sample, batch.later._replace(condition=condition._replace(exposure=exposure))

    def _update_average(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for key, value in self.network.state_dict().items():
            self.average[key].lerp_(value.to(self.average[key].dtype), 1 - decay)

    def _log(self, means: dict[str, float]) -> None:
        if self.ranks.rank:
            return
        row = {"step": self.step, "time": round(time.time(), 1)}
        row |= {key: round(value, 5) for key, value in means.items()}
        with (self.output / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def save(self) -> None:
        """Write the checkpoint and the pictures of how it goes (one process does)."""
        if self.ranks.rank:
            return
        save_checkpoint(
            self.checkpoint,
            recipe=self.recipe,
            network=self.network,
            average=self.average,
            optimizer=self.optimizer,
            step=self.step,
        )
        write_curves(self.output)
        write_crops(self.output / "crops.png", self._examples())

    @torch.no_grad()
    def _examples(self) -> list[list[Tensor]]:
        """Return rows of capture, first pass and target, of a batch no step has."""
        batch = make_batch(self.sources, self.recipe, -1, 1.0).to(self.device)
        live = {key: value.clone() for key, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        predicted = self._predict(batch, batch.capture, batch.first)
        self.network.load_state_dict(live)
        frames = (batch.capture, predicted, batch.first.target)
        return [list(row) for row in zip(*frames, strict=True)]


def train(
    recipe: Recipe,
    photos: Sequence[Path],
    output: Path,
    *,
    pairs: Sequence[Path] = (),
    init: str | None = None,
    device: str = "auto",
    checkpoint_minutes: float = 5.0,
    progress: Progress = no_progress,
) -> Path:
    """Train by a recipe and write the averaged weights.

    Under ``torchrun`` several processes train together, each on its own batches.

    Parameters
    ----------
    recipe : Recipe
        What to learn.
    photos : sequence of Path
        Folders of clean photographs, panoramas and RAW files.
    output : Path
        Folder of the run; one that was stopped goes on, to the same batches.
    pairs : sequence of Path
        Folders of real short and long exposures in the layout of SID or ELD.
    init : str or None
        Weights to start from, a name or a file, of the recipe's network.
    device : str
        As for :func:`nightfix.restore.device.choose_device`.
    checkpoint_minutes : float
        Time between checkpoints.
    progress : callable
        Called with steps done and steps in all.

    Returns
    -------
    Path
        ``<name>.safetensors`` in ``output``.

    Raises
    ------
    InputError, RecipeError, WeightsError, DeviceError
        If the references, the run in ``output``, the initial weights or the device cannot
        be used.
    """
    chosen = choose_device(device)
    initial = load_weights(init)[0].state_dict() if init else None
    sources = load_sources(photos, pairs)
    path = output / f"{recipe.name}.safetensors"
    with joined(chosen) as ranks:
        trainer = Trainer(
            recipe, sources, output, ranks.device(chosen), initial=initial, ranks=ranks
        )
        average = trainer.run(checkpoint_minutes=checkpoint_minutes, progress=progress)
        if ranks.rank == 0:
            details = asdict(recipe) | {"references": len(sources)}
            save_weights(
                path,
                average,
                recipe.network,
                name=recipe.name,
                license="Apache-2.0",
                training={k: v for k, v in details.items() if k not in ("name", "network")},
            )
    return path
