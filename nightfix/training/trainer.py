"""Training: the loop, its checkpoints and its metrics."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from nightfix.device import choose_device
from nightfix.diffusion import expose
from nightfix.network import Condition, Denoiser
from nightfix.progress import Progress, no_progress
from nightfix.training.config import Recipe
from nightfix.training.data import Batch, load_photos, make_batch
from nightfix.training.loss import brightness_error, stabilized_l1
from nightfix.weights import load_weights, save_weights

_WARMUP = 200
_LOWEST_RATE = 0.02
_LOG_EVERY = 20


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
    photos : list of Tensor
        Photographs, (3, H, W) uint8.
    output : Path
        Folder of ``checkpoint.safetensors``, ``optimizer.safetensors`` and
        ``metrics.jsonl``. A run that was stopped goes on from there.
    device : torch.device
        Where the network lives; batches are made on the CPU.
    initial : dict of Tensor or None
        Weights to start from, for fine-tuning.
    """

    def __init__(
        self,
        recipe: Recipe,
        photos: list[Tensor],
        output: Path,
        device: torch.device,
        initial: dict[str, Tensor] | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.photos, self.output, self.device = recipe, photos, output, device
        self.network = Denoiser(recipe.network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if initial is not None:
            self.network.load_state_dict(initial)
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.optimizer = torch.optim.Adam(self.network.parameters(), betas=(0.9, 0.99))
        self.step = 0
        output.mkdir(parents=True, exist_ok=True)
        if (output / "checkpoint.safetensors").exists():
            self._resume()

    def run(self, *, checkpoint_minutes: float, progress: Progress) -> dict[str, Tensor]:
        """Train to the recipe's last step and return the averaged weights."""
        saved = time.monotonic()
        history: list[dict[str, float]] = []
        while self.step < self.recipe.steps:
            history.append(self._train_step())
            self.step += 1
            if self.step % _LOG_EVERY == 0:
                means = _means(history)
                self._log(means)
                progress(self.step, self.recipe.steps)
                history = []
            if time.monotonic() - saved > 60 * checkpoint_minutes:
                self.save()
                saved = time.monotonic()
        self.save()
        return self.average

    def _train_step(self) -> dict[str, float]:
        recipe = self.recipe
        batch = make_batch(self.photos, recipe, self.step)
        generator = torch.Generator().manual_seed(recipe.seed * 7_000_003 + self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, self.step)
        first, predicted = self._pass(batch, batch.capture, batch.condition)
        losses = {"pass1": first}
        if float(torch.rand(1, generator=generator)) < recipe.rollout:
            sample, condition = self._next_sample(batch, predicted, generator)
            losses["pass2"], _ = self._pass(batch, sample, condition)
        total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
        if torch.isfinite(norm):
            self.optimizer.step()
        self._update_average()
        return {"norm": float(norm), **{key: loss.item() for key, loss in losses.items()}}

    def _pass(self, batch: Batch, sample: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        sample, capture, target = (
            frame.to(self.device, memory_format=torch.channels_last)
            for frame in (sample, batch.capture, batch.target)
        )
        condition = Condition(*(t.to(self.device) for t in condition))
        with torch.autocast(self.device.type, torch.bfloat16):
            predicted = self.network(sample, capture, condition)
        loss = stabilized_l1(predicted, target, condition)
        if self.recipe.brightness:
            loss = loss + self.recipe.brightness * brightness_error(predicted, target, condition)
        return loss, predicted

    def _next_sample(
        self, batch: Batch, predicted: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Condition]:
        """Draw the sample of a random later exposure from the prediction (Algorithm 1)."""
        told = batch.condition
        fraction = (1.25 * torch.rand(told.ratio.shape, generator=generator)).clamp_max(1)
        condition = told._replace(exposure=1 + (told.reference - 1) * fraction)
        normal = torch.randn(predicted.shape, generator=generator)
        sample = expose(
            batch.capture.to(self.device),
            predicted,
            ratio=told.ratio.to(self.device),
            exposure=condition.exposure.to(self.device),
            a=told.a.to(self.device),
            normal=normal.to(self.device),
        )
        return sample, condition

    def _update_average(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for key, value in self.network.state_dict().items():
            self.average[key].lerp_(value.to(self.average[key].dtype), 1 - decay)

    def _log(self, means: dict[str, float]) -> None:
        row = {"step": self.step, "time": round(time.time(), 1)}
        row |= {key: round(value, 5) for key, value in means.items()}
        with (self.output / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def save(self) -> None:
        """Write the checkpoint: averaged weights for use, everything else to go on."""
        state = {f"average.{k}": v.contiguous() for k, v in self.average.items()}
        state |= {f"network.{k}": v.contiguous() for k, v in self.network.state_dict().items()}
        names = [name for name, _ in self.network.named_parameters()]
        for name, slot in zip(names, self.optimizer.state_dict()["state"].values(), strict=False):
            state |= {
                f"adam.{key}.{name}": torch.as_tensor(v).contiguous() for key, v in slot.items()
            }
        metadata = {"step": str(self.step), "recipe": json.dumps(asdict(self.recipe))}
        temporary = self.output / "checkpoint.part"
        save_file(state, temporary, metadata)
        temporary.replace(self.output / "checkpoint.safetensors")

    def _resume(self) -> None:
        path = self.output / "checkpoint.safetensors"
        state = load_file(path, device=str(self.device))

        def under(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}

        self.network.load_state_dict(under("network."))
        self.average = under("average.")
        adam = self.optimizer.state_dict()
        slots = {key: under(f"adam.{key}.") for key in ("step", "exp_avg", "exp_avg_sq")}
        names = [name for name, _ in self.network.named_parameters()]
        adam["state"] = {
            n: {key: slots[key][name] for key in slots}
            for n, name in enumerate(names)
            if name in slots["step"]
        }
        self.optimizer.load_state_dict(adam)
        self.step = int(slots["step"][names[0]])


def train(
    recipe: Recipe,
    photos: Path,
    output: Path,
    *,
    init: str | None = None,
    device: str = "auto",
    checkpoint_minutes: float = 5.0,
    progress: Progress = no_progress,
) -> Path:
    """Train by a recipe and write the averaged weights.

    Parameters
    ----------
    recipe : Recipe
        What to learn.
    photos : Path
        Folder of clean photographs.
    output : Path
        Folder of the run; one that was stopped goes on, to the same batches.
    init : str or None
        Weights to start from, a name or a file, of the recipe's network.
    device : str
        As for :func:`nightfix.device.choose_device`.
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
    InputError, WeightsError, DeviceError
        If the photographs, the initial weights or the device cannot be had.
    """
    chosen = choose_device(device)
    initial = load_weights(init)[0].state_dict() if init else None
    loaded = load_photos(photos)
    trainer = Trainer(recipe, loaded, output, chosen, initial)
    average = trainer.run(checkpoint_minutes=checkpoint_minutes, progress=progress)
    facts = asdict(recipe) | {"photos": len(loaded)}
    path = output / f"{recipe.name}.safetensors"
    save_weights(
        path,
        average,
        recipe.network,
        name=recipe.name,
        license="Apache-2.0",
        training={key: value for key, value in facts.items() if key not in ("name", "network")},
    )
    return path
