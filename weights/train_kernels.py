"""Train the network that tells a shake from what edges tell of it.

    python weights/train_kernels.py make PAIRS --photos photos/ --count 1800
    python weights/train_kernels.py train PAIRS RUN --minutes 30

``make`` shakes photographs, captures them with a random sensor, denoises them with nightfix-fast
and keeps what their edges tell of the shake, beside the true one. ``train`` goes on where RUN was
stopped and writes ``RUN/kernel_network.safetensors``.
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
    read_references,
    samples_left,
    turned,
)
from torch import Tensor
from torch.nn import functional as F

from nightfix.condition import Settings
from nightfix.restore import Restorer
from nightfix.restore.motion.edges import estimates_from_edges
from nightfix.restore.motion.kernel_network import KernelNetwork
from nightfix.restore.motion.kernels import KERNEL_SIZE, center_kernel
from nightfix.training import add_noise, blur, random_shake
from nightfix.training.camera_shake import Shake
from nightfix.training.frames import Draws
from nightfix.training.scenes import other_exposure
from nightfix.training.unprocessing import mosaic_planes, unprocess

#: Side of a photograph, and border that a shake takes light from [mosaic px].
SIDE, MARGIN = 690, 20

#: Shares of pairs that a lens out of focus and a winding path have blurred.
DEFOCUSED, WINDING = 0.2, 0.4

#: Pairs of a step, and the peak rate.
BATCH, RATE = 16, 2e-3

#: Standard deviations by which kernels are smoothed before they are compared [px], and weights.
SCALES = ((0.0, 0.5), (0.6, 1.0), (1.2, 1.0), (2.5, 1.0))


class Pair(NamedTuple):
    """What edges tell (estimates, 33, 33), and the true kernel (33, 33)."""

    estimates: Tensor
    kernel: Tensor


def winding_path(rng: np.random.Generator) -> Shake:
    """Return a path of 6 to 16 px that turns at random, like a hand's, and stays on the samples."""
    turns = np.cumsum(rng.normal(0, 0.15, 200)) + rng.uniform(0, 2 * math.pi)
    path = np.cumsum(np.stack([np.sin(turns), np.cos(turns)]), 1) * rng.uniform(6, 16) / 200
    return Shake(torch.from_numpy(np.round(path - path.mean(1, keepdims=True))).float())


def defocus(rng: np.random.Generator) -> Tensor:
    """Return the kernel of a lens out of focus: a disc or a Gaussian, (41, 41)."""
    place = np.arange(-MARGIN, MARGIN + 1)
    distance = np.hypot(place[:, None], place)
    if rng.random() < 0.5:
        kernel = np.clip(rng.uniform(1, 6) + 0.5 - distance, 0, 1)
    else:
        kernel = np.exp(-((distance / rng.uniform(0.8, 3)) ** 2) / 2)
    return torch.from_numpy(kernel / kernel.sum()).float()


def random_kernel(rng: np.random.Generator, generator: torch.Generator) -> Tensor:
    """Draw what blurs a picture, (41, 41): two kinds of shake, or a lens out of focus."""
    chance = rng.random()
    if chance < DEFOCUSED:
        return defocus(rng)
    winds = chance < DEFOCUSED + WINDING
    shake = winding_path(rng) if winds else random_shake(rng.uniform(4, 20), generator)
    return shake.kernel(2 * MARGIN + 1, 1.0)


def make(folder: Path, photos: list[Path], *, count: int, seed: int) -> None:
    """Make pairs by their number; those that are there already are left."""
    photographs = read_references(photos, side=SIDE, seed=seed).photographs
    assert photographs is not None
    restorer = Restorer("nightfix-fast")
    for number, path in samples_left(folder, count, f"{seed:02d}_"):
        draws = Draws.of(seed * 100003 + number, torch.device("cpu"))
        generator, rng = draws.numbers, np.random.default_rng([seed, number])
        chosen = torch.tensor([int(rng.integers(len(photographs)))])
        light = unprocess(photographs.cut(chosen, SIDE, draws)[0].float() / 255, generator)
        if rng.random() < 0.7:
            light = light * other_exposure(generator, 1)
        kernel = random_kernel(rng, generator)
        seen = mosaic_planes(blur(light, kernel))
        ratio, sensor = random_capture(
            rng, generator, ratios=(1, 300), tails=0.5, shot=0.2, read=0.25
        )
        capture = add_noise(seen / ratio, sensor, generator).float()
        told = conditioning(ratio, float(sensor.shot), float(sensor.variance_at_black))
        settings = Settings(steps=1, headroom=min(3.0, math.log2(ratio)))
        picture = restorer.restore_packed(capture, told, settings)
        border = MARGIN - KERNEL_SIZE // 2
        true = center_kernel(kernel[border:-border, border:-border])
        estimates = estimates_from_edges(picture).half().numpy()
        np.savez(path, estimates=estimates, kernel=true.numpy())


def smoothed(kernels: Tensor, sigma: float) -> Tensor:
    """Return kernels (B, side, side) convolved with a Gaussian."""
    if sigma == 0:
        return kernels
    place = torch.arange(-math.ceil(3 * sigma), math.ceil(3 * sigma) + 1.0)
    weights = torch.exp(-(place**2) / (2 * sigma**2))
    weights, reach = weights / weights.sum(), len(place) // 2
    across = F.conv2d(kernels[:, None], weights[None, None, None], padding=(0, reach))
    return F.conv2d(across, weights[None, None, :, None], padding=(reach, 0))[:, 0]


def loss_of(kernels: Tensor, true: Tensor) -> Tensor:
    """Return the error of kernels (B, side, side) in parts of the true ones, over all scales."""
    total = kernels.new_zeros(())
    for sigma, weight in SCALES:
        wanted = smoothed(true, sigma)
        error = (smoothed(kernels, sigma) - wanted).square().sum((1, 2))
        part = error / wanted.square().sum((1, 2))
        total = total + weight * part.clamp_min(1e-6).sqrt().mean()
    return total


def train(folder: Path, output: Path, minutes: float) -> None:
    """Train for some minutes in all, of one run or of several that go on."""
    pairs = [load_sample(Pair, path) for path in sorted(folder.glob("*.npz"))]
    torch.manual_seed(0)
    network = KernelNetwork(len(pairs[0].estimates))
    run = TimedRun(output, network, minutes=minutes, rate=RATE, warmup=50, decay=0.998)
    rng, recent = np.random.default_rng([run.step, 3]), 0.0
    while run.share < 1:
        chosen = [pairs[int(number)] for number in rng.integers(len(pairs), size=BATCH)]
        estimates, true = (torch.stack(part) for part in zip(*chosen, strict=True))
        way = int(rng.integers(8))
        loss = loss_of(network(turned(estimates, way)), turned(true, way))
        run.learn(loss)
        recent += loss.item()
        if run.step % 100 == 0:
            print(f"step {run.step}, {100 * run.share:.0f} %: {recent / 100:.3f}", flush=True)
            recent = 0.0
        run.save_now_and_then()
    run.save()
    halves = {name: value.half().contiguous() for name, value in run.average.items()}
    save_file(halves, output / "kernel_network.safetensors")


if __name__ == "__main__":
    make_or_train(__doc__, make, train, count=1800, minutes=30)
