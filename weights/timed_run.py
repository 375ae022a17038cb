"""What the training scripts beside this file share: samples, and timed runs over them."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from nightfix.condition import Amplification, Conditioning, NoiseModel
from nightfix.training import MOSAIC_KERNEL, mosaic_planes
from nightfix.training.frames import Draws
from nightfix.training.noise import SensorNoise, random_sensor
from nightfix.training.references import References
from nightfix.training.scenes import Photographs
from nightfix.training.sources import load_sources
from nightfix.training.unprocessing import (
    gamma_expansion,
    inverse_tone_curve,
    inverse_white_balance,
    random_neutral,
    random_rgb2cam,
    uniform,
)

#: Seconds between checkpoints.
_BETWEEN = 120


def samples_left(folder: Path, count: int, prefix: str = "") -> Iterator[tuple[int, Path]]:
    """Go through the samples that are still to be made, by number and file; tell how far it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{prefix}{number:05d}.npz"
        if not path.exists():
            yield number, path
            print(number, "of", count, flush=True)


def read_references(photos: list[Path], *, side: int, seed: int) -> References:
    """Read photographs, panoramas and RAW files, of which squares [mosaic px] are to be cut."""
    patch = (side - MOSAIC_KERNEL + 1) // 2
    device = torch.device("cpu")
    return References.of(load_sources(photos), patch=patch, seed=seed, device=device)


def random_capture(
    rng: np.random.Generator,
    generator: torch.Generator,
    *,
    ratios: tuple[float, float],
    tails: float,
    shot: float,
    read: float,
) -> tuple[float, SensorNoise]:
    """Draw a ratio and a sensor whose amplified noise leaves something to see.

    Parameters
    ----------
    ratios : (float, float)
        Smallest and largest ratio.
    tails : float
        Share of sensors with long-tailed noise.
    shot, read : float
        The most that a and the root of b may be after amplification [white].
    """
    while True:
        ratio = math.exp(rng.uniform(*map(math.log, ratios)))
        sensor = random_sensor(generator, tails)
        if sensor.shot * ratio <= shot and sensor.read * ratio <= read:
            return ratio, sensor


def random_scene(
    photographs: Photographs, side: int, draws: Draws, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the packed planes of :func:`random_light`, (4, side / 2, side / 2), and the rest."""
    light, matrix, neutral = random_light(photographs, side, draws, rng)
    return mosaic_planes(light), matrix, neutral


def random_light(
    photographs: Photographs, side: int, draws: Draws, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a photograph and turn a square of it back into what a camera saw (Brooks et al., 2019).

    Returns
    -------
    (Tensor, Tensor, Tensor)
        Linear camera RGB (3, side, side) in [0, 1], a third of them darkened; sRGB to camera
        (3, 3); camera RGB of white (3,).
    """
    generator = draws.numbers
    chosen = torch.tensor([int(rng.integers(len(photographs)))])
    pixels = photographs.cut(chosen, side, draws)[0].float() / 255
    matrix, neutral = random_rgb2cam(generator), random_neutral(generator)
    curve = float(uniform(0.3, 1.0, generator, 1))
    light = gamma_expansion(torch.lerp(pixels, inverse_tone_curve(pixels), curve))
    light = torch.einsum("dc,chw->dhw", matrix, light).clamp(0, 1)
    if rng.random() < 0.3:
        light = light * math.exp(rng.uniform(-1.5, 0))
    return inverse_white_balance(light, neutral).clamp(0, 1), matrix, neutral


def conditioning(ratio: float, a: float, b: float) -> Conditioning:
    """Return what the program is told of a capture: its ratio, and a and b of its noise."""
    return Conditioning(
        amplification=Amplification(ratio=ratio, source="given", reason="given"),
        noise=NoiseModel(a=a, b=b, source="tag"),
        blur=False,
    )


def turned(frames: Tensor, way: int) -> Tensor:
    """Return one of the eight ways in which frames can be turned and mirrored."""
    frames = frames.flip(-1) if way & 1 else frames
    frames = frames.flip(-2) if way & 2 else frames
    return frames.mT if way & 4 else frames


def make_or_train(
    description: str | None,
    make: Callable[..., None],
    train: Callable[[Path, Path, float], None],
    *,
    count: int,
    minutes: float,
) -> None:
    """Read the command line of a script that makes samples and trains on them."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make", help="make samples")
    maker.add_argument("samples", type=Path)
    maker.add_argument("--photos", type=Path, action="append", required=True)
    maker.add_argument("--count", type=int, default=count)
    maker.add_argument("--seed", type=int, default=1)
    trainer = commands.add_parser("train", help="train on samples")
    trainer.add_argument("samples", type=Path)
    trainer.add_argument("run", type=Path)
    trainer.add_argument("--minutes", type=float, default=minutes)
    asked = parser.parse_args()
    if asked.command == "make":
        make(asked.samples, asked.photos, count=asked.count, seed=asked.seed)
    else:
        train(asked.samples, asked.run, asked.minutes)


def load_sample(kind: type[NamedTuple], path: Path) -> Any:
    """Read a sample: the arrays of a file that are named as its fields are."""
    held = np.load(path)
    return kind(*(torch.from_numpy(held[name].astype(np.float32)) for name in kind._fields))


class TimedRun:
    """A network that is trained for some minutes in all, and goes on where it was stopped.

    Parameters
    ----------
    folder : Path
        Where its checkpoint lies.
    network : nn.Module
        What is trained.
    minutes : float
        Time of all pieces of the run together.
    rate : float
        Peak rate of AdamW; warmed up, then a cosine over the time to 2 % of it.
    warmup : int
        Steps until it is reached.
    decay : float
        That of the averaged weights.
    """

    def __init__(
        self,
        folder: Path,
        network: nn.Module,
        *,
        minutes: float,
        rate: float,
        warmup: int,
        decay: float,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint, self.network = folder / "checkpoint.pt", network
        self.seconds, self.rate, self.warmup, self.decay = 60 * minutes, rate, warmup, decay
        self.optimizer = torch.optim.AdamW(
            network.parameters(), betas=(0.9, 0.99), weight_decay=1e-4
        )
        self.average = {key: value.clone() for key, value in network.state_dict().items()}
        self.step, self.before = 0, 0.0
        if self.checkpoint.exists():
            held = torch.load(self.checkpoint, weights_only=True)
            network.load_state_dict(held["network"])
            self.optimizer.load_state_dict(held["optimizer"])
            self.average, self.step, self.before = held["average"], held["step"], held["spent"]
        self.started = self.saved = time.monotonic()

    @property
    def spent(self) -> float:
        """Return the time of all pieces so far [s]."""
        return self.before + time.monotonic() - self.started

    @property
    def share(self) -> float:
        """Return the share of the time that is spent, from 1 on when the run is over."""
        return self.spent / self.seconds

    def learn(self, loss: Tensor) -> None:
        """Take a step down a loss."""
        for group in self.optimizer.param_groups:
            warm = min(1.0, (self.step + 1) / self.warmup)
            cosine = 1 + math.cos(math.pi * min(1.0, self.share))
            group["lr"] = self.rate * warm * (0.02 + 0.49 * cosine)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)):
            self.optimizer.step()
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        for key, value in self.network.state_dict().items():
            self.average[key].lerp_(value, 1 - decay)

    def save_now_and_then(self) -> bool:
        """Save the run if it is time to; return whether it was."""
        due = time.monotonic() - self.saved > _BETWEEN
        if due:
            self.save()
        return due

    def save(self) -> None:
        """Write the checkpoint."""
        held = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.step,
            "spent": self.spent,
        }
        temporary = self.checkpoint.with_suffix(".part")
        torch.save(held, temporary)
        temporary.replace(self.checkpoint)
        self.saved = time.monotonic()
