"""Training: the loop and its metrics."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
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
from nightfix.training.frames import Draws
from nightfix.training.loss import total_loss
from nightfix.training.pictures import write_crops, write_curves
from nightfix.training.ranks import Ranks, joined
from nightfix.training.references import References
from nightfix.training.sources import Source, load_sources

_WARMUP = 200
_LOWEST_RATE = 0.02
_LOG_EVERY = 20

#: Share of a run's time that is used, but for what the last checkpoint takes.
_USED = 0.98

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def learning_rate(recipe: Recipe, step: int, share: float) -> float:
    """Return the rate at a step: linear warm-up, then a cosine to 2 % of the peak.

    Parameters
    ----------
    recipe : Recipe
        Its peak, and the length of the warm-up.
    step : int
        Steps done.
    share : float
        How much of the run is done, 0 to 1, by its steps or its time.
    """
    warmup = min(_WARMUP, recipe.steps // 10)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    start = warmup / recipe.steps
    done = min(1.0, max(0.0, (share - start) / (1 - start)))
    cosine = (1 + math.cos(math.pi * done)) / 2
    return recipe.learning_rate * (_LOWEST_RATE + (1 - _LOWEST_RATE) * cosine)


def _means(history: list[dict[str, Tensor]]) -> dict[str, float]:
    """Average each figure over the steps that have it."""
    keys = {key for row in history for key in row}
    rows = {key: [row[key] for row in history if key in row] for key in sorted(keys)}
    return {key: float(torch.stack(values).mean()) for key, values in rows.items()}


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
        Where the network lives and batches are made.
    initial : dict of Tensor or None
        Weights to start from, for fine-tuning.
    ranks : Ranks
        This process among those that train together.
    minutes : float or None
        Time that the run may take in all, with what it took before it was stopped. It ends by
        itself before, and its rate falls with the time; None: all steps of the recipe.
    started : float or None
        When this piece of the run began, by ``time.monotonic()`` [s]; None: now.
    compiled : bool
        Whether the network is compiled by ``torch.compile``, which takes a minute or more.

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
        minutes: float | None = None,
        started: float | None = None,
        compiled: bool = False,
    ) -> None:
        if recipe.precision == "fp16" and device.type != "cuda":
            raise DeviceError(f"{device}: no training in fp16 here", 'precision = "bf16"')
        self.started = time.monotonic() if started is None else started
        self.seconds, self.saving = math.inf if minutes is None else 60 * minutes, 0.0
        torch.manual_seed(recipe.seed)
        self.recipe, self.output, self.device = recipe, output, device
        # Metal draws no Poisson numbers.
        making = torch.device("cpu") if device.type == "mps" else device
        self.references = References.of(
            sources, patch=recipe.patch, seed=recipe.seed, device=making
        )
        self.ranks = ranks or Ranks()
        self.network = Denoiser(recipe.network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if initial is not None:
            self.network.load_state_dict(initial)
        self.compiled = torch.compile(self.network) if compiled else self.network
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.optimizer = torch.optim.Adam(self.network.parameters(), betas=(0.9, 0.99), fused=True)
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")
        self.step, self.before = 0, 0.0
        output.mkdir(parents=True, exist_ok=True)
        self.checkpoint = output / "checkpoint.safetensors"
        if self.checkpoint.exists():
            self.average, self.step, self.before = load_checkpoint(
                self.checkpoint, recipe, self.network, self.optimizer
            )

    @property
    def spent(self) -> float:
        """Return the time of the run so far, of all its pieces [s]."""
        return self.before + time.monotonic() - self.started

    @property
    def share(self) -> float:
        """Return how much of the run is done, by its steps or its time; from 1 on it is over."""
        by_time = 0.0
        if self.seconds < math.inf:
            left = max(_USED * self.seconds - self.saving, 1e-3)
            by_time = self.ranks.agreed(self.spent / left)
        return max(self.step / self.recipe.steps, by_time)

    def run(self, *, checkpoint_minutes: float, progress: Progress) -> dict[str, Tensor]:
        """Train to the end and return the averaged weights."""
        saved = time.monotonic()
        history: list[dict[str, Tensor]] = []
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            while (share := self.share) < 1:
                history.append(self.train_step(share))
                if self.step % _LOG_EVERY == 0:
                    self._log(_means(history))
                    progress(round(share * self.recipe.steps), self.recipe.steps)
                    history = []
                if time.monotonic() - saved > 60 * checkpoint_minutes:
                    self.save()
                    saved = time.monotonic()
        self.save()
        return self.average

    def train_step(self, share: float) -> dict[str, Tensor]:
        """Make the batch of the next step, learn from it, and return what is logged of it.

        Nothing here waits for the device but small counts of a later pass, so it is kept busy.
        """
        recipe, number = self.recipe, self.step * self.ranks.size + self.ranks.rank
        batch = make_batch(self.references, recipe, number, min(1.0, share)).to(self.device)
        draws = Draws.of(recipe.seed * 7_000_003 + number, self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, self.step, share)
        losses = self._losses(batch, draws)
        total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
        self.ranks.average(self.network)
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
        # A fused optimizer leaves a step out by itself if this says so, as for a scaled loss.
        self.optimizer.found_inf = (~torch.isfinite(norm)).float()  # type: ignore[attr-defined]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self._update_average()
        self.step += 1
        return {"norm": norm, **{key: loss.detach() for key, loss in losses.items()}}

    def _losses(self, batch: Batch, draws: Draws) -> dict[str, Tensor]:
        """Return the loss of the first pass, of a later one, or (``through``) of both."""
        recipe, first = self.recipe, batch.first
        chances = torch.rand(2, generator=draws.numbers).tolist()
        if chances[0] >= recipe.later:
            return {"pass1": self._loss(self._predict(batch, batch.capture, first), first)}
        losses = {}
        light = batch.scene
        if chances[1] >= recipe.simulated:
            light = self._predict(batch, batch.capture, first)
            if recipe.through:
                losses["pass1"] = self._loss(light, first)
            else:
                light = light.detach()
            # Where the first pass has undone the shake, light is drawn as the camera
            # would have gone on seeing it.
            if batch.later.kernel is not None:
                sharp = first.condition.blur >= 0
                light = torch.where(sharp, shake(light, batch.later.kernel), light)
        sample, task = self._next_sample(batch, light, draws)
        later = self._loss(self._predict(batch, sample, task), task)
        return losses | {"pass2": recipe.later_weight * later}

    def _predict(self, batch: Batch, sample: Tensor, task: Task) -> Tensor:
        condition, deconvolved = task.condition, None
        if self.recipe.network.deconvolution and task.kernel is not None:
            known = (task.kernel.amax((1, 2)) < 1)[:, None, None, None]
            deconvolved = torch.where(known, deconvolve(sample.detach(), task.kernel), sample)
        # Without gradients the network goes another way, which is not worth compiling.
        forward = self.compiled if torch.is_grad_enabled() else self.network
        dtype = _DTYPES[self.recipe.precision]
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            predicted: Tensor = forward(sample, batch.capture, condition, deconvolved)
        return predicted

    def _loss(self, predicted: Tensor, task: Task) -> Tensor:
        return total_loss(self.recipe, predicted, task.target, task.condition)

    def _next_sample(self, batch: Batch, light: Tensor, draws: Draws) -> tuple[Tensor, Task]:
        """Draw the sample of a random later exposure from some light (Algorithm 1)."""
        condition, generator = batch.later.condition, draws.samples
        drawn = torch.rand(condition.ratio.shape, generator=generator, device=self.device)
        exposure = 1 + (condition.reference - 1) * (1.25 * drawn).clamp_max(1)
        normal = torch.randn(light.shape, generator=generator, device=self.device)
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
        started = time.monotonic()
        save_checkpoint(
            self.checkpoint,
            recipe=self.recipe,
            network=self.network,
            average=self.average,
            optimizer=self.optimizer,
            step=self.step,
            spent=self.spent,
        )
        write_curves(self.output)
        write_crops(self.output / "crops.png", self._examples())
        self.saving = max(self.saving, time.monotonic() - started)

    @torch.no_grad()
    def _examples(self) -> list[list[Tensor]]:
        """Return rows of capture, first pass and target, of a batch no step has."""
        batch = make_batch(self.references, self.recipe, -1, 1.0).to(self.device)
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
    minutes: float | None = None,
    compiled: bool = False,
    progress: Progress = no_progress,
) -> Path:
    """Train by a recipe and write the averaged weights.

    Under ``torchrun`` several processes train together, each on its own batches.

    Parameters
    ----------
    recipe : Recipe
        What to learn.
    photos : sequence of Path
        Folders of clean photographs, panoramas and RAW files, and packs of them.
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
    minutes, compiled
        As for :class:`Trainer`; the time begins with this call.
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
    started = time.monotonic()
    chosen = choose_device(device)
    initial = load_weights(init)[0].state_dict() if init else None
    sources = load_sources(photos, pairs)
    path = output / f"{recipe.name}.safetensors"
    with joined(chosen) as ranks:
        trainer = Trainer(
            recipe,
            sources,
            output,
            ranks.device(chosen),
            initial=initial,
            ranks=ranks,
            minutes=minutes,
            started=started,
            compiled=compiled,
        )
        average = trainer.run(checkpoint_minutes=checkpoint_minutes, progress=progress)
        if ranks.rank == 0:
            details = asdict(recipe) | {"references": len(sources), "steps": trainer.step}
            save_weights(
                path,
                average,
                recipe.network,
                name=recipe.name,
                license="Apache-2.0",
                training={k: v for k, v in details.items() if k not in ("name", "network")},
            )
    return path
