"""Train the network that takes clouds of color out of restored photos.

    python weights/train_colors.py make SAMPLES --photos photos/ --count 4000
    python weights/train_colors.py train SAMPLES RUN --minutes 60

``make`` captures photographs in the dark with a random sensor, restores them with nightfix-base
in three passes, and keeps the means of squares that the network sees, beside the true ones.
``train`` goes on where RUN was stopped and writes ``RUN/colors.safetensors``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from timed_run import (
    TimedRun,
    conditioning,
    load_sample,
    make_or_train,
    random_capture,
    random_scene,
    read_references,
    samples_left,
    turned,
)
from torch import Tensor
from torch.nn import functional as F

from nightfix.condition import Settings
from nightfix.restore import Restorer
from nightfix.restore.colors import Cells, ColorNetwork, cells_of, to_eye, to_light
from nightfix.training import add_noise
from nightfix.training.frames import Draws

#: Side of a sample [mosaic px].
SIDE = 512

#: Smallest and largest ratio, and the least variance of noise after amplification [white^2].
RATIOS, LEAST_NOISE = (15.0, 420.0), 1e-3

#: Samples of a step, and the peak rate.
BATCH, RATE = 16, 2e-3

#: Share of samples whose red and blue change places.
SWAPPED = 0.3

#: Sides over which errors of color are averaged [cells], and their weights.
SCALES = ((1, 0.3), (2, 0.3), (4, 0.2))

#: Weight of errors of color to the eye.
TO_THE_EYE = 0.3

#: What is left of an error is not counted below this share of it.
ENOUGH = 0.02


class Sample(NamedTuple):
    """Means (10, h, w): restored, captured and true colors, texture; see :class:`Cells`.

    ``numbers`` are ratio, a, b and the mean square error of the restored planes, (4,);
    ``neutral`` is camera RGB of white, (3,).
    """

    means: Tensor
    numbers: Tensor
    neutral: Tensor


def make(folder: Path, photos: list[Path], *, count: int, seed: int) -> None:
    """Make samples by their number; those that are there already are left."""
    photographs = read_references(photos, side=SIDE, seed=seed).photographs
    assert photographs is not None
    restorer = Restorer("nightfix-base")
    for number, path in samples_left(folder, count, f"{seed:02d}_"):
        draws = Draws.of(seed * 100003 + number, torch.device("cpu"))
        generator, rng = draws.numbers, np.random.default_rng([seed, number])
        sharp, _, neutral = random_scene(photographs, SIDE, draws, rng)
        noise = 0.0
        while noise < LEAST_NOISE:
            ratio, sensor = random_capture(
                rng, generator, ratios=RATIOS, tails=0.7, shot=0.2, read=0.35
            )
            noise = sensor.shot * ratio + (sensor.read * ratio) ** 2
        capture = add_noise(sharp / ratio, sensor, generator).float()
        a = float(sensor.shot) * math.exp(0.05 * rng.normal())
        b = float(sensor.variance_at_black) * math.exp(0.15 * rng.normal())
        told = conditioning(ratio, a, b)
        settings = Settings(steps=3, headroom=min(3.0, math.log2(ratio)))
        restored = restorer.restore_packed(capture, told, settings)
        cells = cells_of(restored, capture, told, neutral)
        true = cells_of(sharp, capture, told, neutral).restored
        frames = torch.cat([cells.restored, cells.captured, true, cells.texture], 1)[0]
        error = float((restored - sharp).square().mean())
        np.savez(
            path,
            means=frames.half().numpy(),
            numbers=np.array([ratio, a, b, error], np.float32),
            neutral=neutral.numpy(),
        )


def drawn(samples: list[Sample], rng: np.random.Generator) -> Sample:
    """Draw a batch: turned, mirrored, some with red and blue in each other's place."""
    rows = []
    for index in rng.integers(len(samples), size=BATCH):
        means, numbers, neutral = samples[int(index)]
        means = turned(means, int(rng.integers(8)))
        if rng.random() < SWAPPED:
            means, neutral = means[[2, 1, 0, 5, 4, 3, 8, 7, 6, 9]], neutral.flip(0)
        rows.append((means, numbers, neutral))
    return Sample(*(torch.stack(part) for part in zip(*rows, strict=True)))


def error_of(light: Tensor) -> Tensor:
    """Return the mean square of frames (B, C, h, w), (B,)."""
    return light.square().mean((1, 2, 3))


def left(after: Tensor, before: Tensor) -> Tensor:
    """Return the logarithm of what is left of an error, the mean over a batch."""
    least = before + 1e-9
    return ((after + ENOUGH * before + 1e-9) / least).log().mean()


def colors(frames: Tensor) -> Tensor:
    """Return red and blue less green, (B, 2, h, w)."""
    return frames[:, ::2] - frames[:, 1:2]


def loss_of(network: ColorNetwork, batch: Sample) -> Tensor:
    """Return what is left of errors, of all light and of color over some scales."""
    restored, captured, true, texture = batch.means.split([3, 3, 3, 1], 1)
    cells = Cells(restored, captured, texture, batch.numbers[:, :3], batch.neutral)
    white = batch.neutral[:, :, None, None]
    before = to_eye(restored / white)
    after, wanted = before + network(cells), to_eye(true / white)
    light = to_light(after) * white
    # Of all light: what the means gain of the whole frame's error.
    shares = torch.tensor([0.25, 0.5, 0.25]).view(3, 1, 1) * 3
    gained = error_of((light - true) * shares.sqrt()) - error_of((restored - true) * shares.sqrt())
    loss = (1 + gained / batch.numbers[:, 3]).clamp_min(1e-3).log().mean()
    for side, weight in SCALES:
        now, then = (
            error_of(F.avg_pool2d(colors(frame - true), side)) for frame in (light, restored)
        )
        loss = loss + weight * left(now, then)
    seen = (error_of(colors(frame - wanted)) for frame in (after, before))
    return loss + TO_THE_EYE * left(*seen)


def train(folder: Path, output: Path, minutes: float) -> None:
    """Train for some minutes in all, of one run or of several that go on."""
    samples = [load_sample(Sample, path) for path in sorted(folder.glob("*.npz"))]
    torch.manual_seed(0)
    network = ColorNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = TimedRun(output, network, minutes=minutes, rate=RATE, warmup=100, decay=0.998)
    rng, recent = np.random.default_rng([run.step, 4]), 0.0
    while run.share < 1:
        loss = loss_of(network, drawn(samples, rng))
        run.learn(loss)
        recent += loss.item()
        if run.step % 100 == 0:
            print(f"step {run.step}, {100 * run.share:.0f} %: {recent / 100:.3f}", flush=True)
            recent = 0.0
        run.save_now_and_then()
    run.save()
    halves = {name: value.half().contiguous() for name, value in run.average.items()}
    save_file(halves, output / "colors.safetensors")


if __name__ == "__main__":
    make_or_train(__doc__, make, train, count=4000, minutes=60)
