"""Train nightfix-motion, the pass that undoes camera shake.

    python weights/train_motion.py make SAMPLES --photos photos/ --photos hdri/ --count 455
    python weights/train_motion.py train SAMPLES RUN --minutes 110

``make`` turns photographs and panoramas to night, adds lights, shakes the camera, captures
with a random sensor, denoises with nightfix-base and deconvolves with a kernel that is right,
misjudged or too wide, as estimates are. ``train`` goes on where RUN was stopped and writes
``RUN/nightfix-motion.safetensors``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from timed_run import (
    TimedRun,
    load_sample,
    make_or_train,
    random_capture,
    read_references,
    samples_left,
)
from torch import Tensor

from nightfix.condition import Amplification, Conditioning, NoiseModel, Settings
from nightfix.read import transpose_planes
from nightfix.restore import (
    Condition,
    Denoiser,
    NetworkConfig,
    Restorer,
    compute_dtype,
    deconvolve,
    save_weights,
)
from nightfix.training import add_noise, blur, random_shake
from nightfix.training.camera_shake import Shake, misjudged
from nightfix.training.frames import Draws
from nightfix.training.references import References
from nightfix.training.scenes import look_into, other_exposure
from nightfix.training.unprocessing import (
    inverse_white_balance,
    mosaic_planes,
    random_neutral,
    random_rgb2cam,
    uniform,
    unprocess,
)

NETWORK = NetworkConfig(widths=(32, 64, 96, 160), capture_width=0, embedding=64, deconvolution=True)

#: Side of a sample and border that a shake takes light from [mosaic px].
SIDE, MARGIN = 400, 24

#: Crops of a step, their side [packed px], and the peak rate.
BATCH, PATCH, RATE = 3, 144, 1.2e-3

#: Samples that are held in memory at once.
POOL = 260

#: Brightest value that counts for the loss, in units of the target's white.
BRIGHTEST = 1.6


class Sample(NamedTuple):
    """Planes (4, h, w) at target brightness, and ratio, a and b of the capture."""

    picture: Tensor
    undone: Tensor
    sharp: Tensor
    capture: Tensor
    numbers: Tensor


def lights(side: int, neutral: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw points, discs, neon and signs with their glow in camera RGB, (3, side, side)."""
    drawn = np.zeros((3, side, side), np.float32)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    for _ in range(int(rng.integers(5, 17))):
        top, left = rng.uniform(0, side, 2)
        kind = rng.choice(["point", "disc", "neon", "sign"], p=[0.45, 0.3, 0.17, 0.08])
        level = math.exp(rng.uniform(math.log(0.6), math.log(60)))
        purity = 6 if kind in ("point", "disc") else 0.7
        color = neutral * rng.dirichlet([purity] * 3) * 3
        if kind == "neon":
            corners = np.cumsum(rng.normal(0, 14, (int(rng.integers(2, 6)), 2)), 0) + (top, left)
            distance = np.full((side, side), 1e9, np.float32)
            for (ay, ax), (by, bx) in zip(corners, corners[1:], strict=False):
                vy, vx = by - ay, bx - ax
                along = ((y - ay) * vy + (x - ax) * vx) / (vy * vy + vx * vx + 1e-9)
                along = np.clip(along, 0, 1)
                distance = np.minimum(distance, np.hypot(y - ay - along * vy, x - ax - along * vx))
            radius, level = rng.uniform(0.7, 2.4), min(level, 10.0)
        elif kind == "sign":
            height, width = rng.uniform(2, 14, 2)
            distance = np.maximum(np.abs(y - top) - height, np.abs(x - left) - width) + 1
            radius, level = 1.0, min(level, 6.0)
        else:
            distance = np.hypot(y - top, x - left)
            radius = rng.uniform(0.5, 1.1) if kind == "point" else rng.uniform(1.3, 7)
        drawn += np.clip(radius + 0.5 - distance, 0, 1) * level * color[:, None, None]
    glow = rng.uniform(0.3, 2.0)
    near, far = (gaussian_filter(drawn, (0, width, width)) for width in (5, 22))
    return drawn + glow * (0.012 * near + 0.006 * far)


def scene(references: References, draws: Draws, rng: np.random.Generator) -> Tensor:
    """Return linear camera RGB of a scene, three in four at night with lights."""
    side, generator = SIDE + 2 * MARGIN, draws.numbers
    photographs, panoramas = references.photographs, references.panoramas
    count = len(photographs or ())
    chosen = torch.tensor([int(rng.integers(count + len(panoramas or ())))])
    night, neutral = rng.random() < 0.75, random_neutral(generator)
    if panoramas is not None and chosen >= count:
        pixel = panoramas.frames.width[chosen - count] / (2 * math.pi)
        light = look_into(
            panoramas.frames,
            chosen - count,
            side,
            pitch=uniform(-0.9, 0.9, generator, 1),
            yaw=uniform(-math.pi, math.pi, generator, 1),
            focal=pixel * uniform(0.8, 1.6, generator, 1),
        )[0]
        light = torch.einsum("dc,chw->dhw", random_rgb2cam(generator), light).clamp_min(0)
        light = light / light.mean(0)[::4, ::4].quantile(0.6).clamp_min(1e-6)
        light = (light * math.exp(rng.uniform(-3, -0.7))).clamp_max(60)
        light = inverse_white_balance(light, neutral)
    else:
        assert photographs is not None
        light = unprocess(photographs.cut(chosen, side, draws)[0].float() / 255, generator)
        if not night:
            light = light * other_exposure(generator, 1)
        else:
            light = light * float(rng.uniform(0.06, 0.2)) / max(float(light[1].mean()), 0.02)
    if night:
        added = lights(side, neutral.numpy(), rng)
        around = 1 + 2 * np.minimum(gaussian_filter(added.mean(0), 40), 0.5)
        light = light * torch.from_numpy(around).float() + torch.from_numpy(added).float()
    return light.clamp(0, 60)


def estimate_of(shake: Shake, generator: torch.Generator, rng: np.random.Generator) -> Tensor:
    """Return the kernel that an estimate might give: right, misjudged, or too wide."""
    chance, path = rng.random(), shake.path
    if chance < 0.45:
        smear = float(rng.uniform(0, 0.35)) * torch.randn(path.shape, generator=generator)
        moved = torch.from_numpy(rng.normal(0, 0.12, (2, 1))).float()
        return Shake(path + moved + smear).kernel(33, 1.0)
    if chance < 0.8:
        return misjudged(shake, generator)
    angle = rng.uniform(0, 2 * math.pi, path.shape[1])
    radius = rng.uniform(0.8, 2.5) * np.sqrt(rng.uniform(0.3, 1, path.shape[1]))
    wide = torch.from_numpy(np.stack([radius * np.sin(angle), radius * np.cos(angle)])).float()
    return Shake(path + wide).kernel(33, 1.0)


def make(folder: Path, photos: list[Path], count: int, seed: int) -> None:
    """Make samples by their number; those that are there already are left."""
    references = read_references(photos, side=SIDE + 2 * MARGIN, seed=seed)
    restorer = Restorer("nightfix-base")
    for number, path in samples_left(folder, count, f"{seed:02d}_"):
        draws = Draws.of(seed * 100003 + number, torch.device("cpu"))
        generator, rng = draws.numbers, np.random.default_rng([seed, number])
        light = scene(references, draws, rng)
        shake = random_shake(float(rng.uniform(3, 20)), generator)
        kernel = shake.kernel(2 * MARGIN + 1, 1.0)
        sharp = mosaic_planes(light[:, MARGIN:-MARGIN, MARGIN:-MARGIN])
        seen = mosaic_planes(blur(light, kernel))
        ratio, sensor = random_capture(
            rng, generator, ratios=(3, 250), tails=0.5, shot=0.3, read=0.35
        )
        capture = add_noise(seen / ratio, sensor, generator).float()
        noise = NoiseModel(
            a=float(sensor.shot) * math.exp(0.08 * rng.normal()),
            b=float(sensor.variance_at_black) * math.exp(0.5 * rng.normal()),
            source="tag",
        )
        amplification = Amplification(ratio=ratio, source="given", reason="given")
        conditioning = Conditioning(amplification=amplification, noise=noise, blur=False)
        headroom = min(6.0, math.log2(ratio))
        picture = restorer.restore_packed(capture, conditioning, Settings(headroom=headroom))
        told = estimate_of(shake, generator, rng)
        undone = deconvolve(picture[None], told[None], saturation=min(ratio, 64.0))[0]
        frames = (picture, undone.clamp(-10, 200), sharp, capture * ratio)
        names = ("picture", "undone", "sharp", "capture")
        arrays = {n: f.half().numpy() for n, f in zip(names, frames, strict=True)}
        np.savez(path, **arrays, numbers=np.array([ratio, noise.a, noise.b], np.float32))


def gamma(light: Tensor) -> Tensor:
    """Return light as it is looked at."""
    return (light.clamp_min(0) + 1e-3) ** (1 / 2.2)


def loss_of(answer: Tensor, sharp: Tensor) -> Tensor:
    """Return the error of a picture and of its gradients after gamma, and of its logarithms."""
    seen, wanted = gamma(answer.clamp_max(BRIGHTEST)), gamma(sharp.clamp_max(BRIGHTEST))
    loss = 10 * (((seen - wanted) ** 2 + 1e-4).sqrt() - 0.01).mean()
    for axis in (2, 3):
        step = (seen - seen.roll(1, axis)) - (wanted - wanted.roll(1, axis))
        loss = loss + 3 * ((step**2 + 1e-4).sqrt().mean() - 0.01)
    linear = (answer.clamp(0, 1) - sharp.clamp(0, 1)).square().mean((1, 2, 3))
    shown = (gamma(answer.clamp_max(1)) - gamma(sharp.clamp_max(1))).square().mean((1, 2, 3))
    loss = loss + 0.3 * (0.25 * (linear + 1e-6).log() + 0.5 * (shown + 1e-6).log()).mean()
    return loss + 0.01 * (answer - answer.clamp(-0.2, 4)).abs().mean()


def draw(pool: list[Sample], rng: np.random.Generator) -> tuple[list[Tensor], Condition]:
    """Cut a batch out of some samples: picture, undone, sharp, capture; and the condition."""
    rows, numbers = [], []
    for _ in range(BATCH):
        sample = pool[int(rng.integers(len(pool)))]
        height, width = sample.picture.shape[1:]
        top, left = (int(rng.integers(n - PATCH + 1)) for n in (height, width))
        cut = [frame[:, top : top + PATCH, left : left + PATCH] for frame in sample[:4]]
        if rng.random() < 0.5:
            cut = [transpose_planes(frame) for frame in cut]
        rows.append(cut)
        numbers.append(sample.numbers)
    frames = [
        torch.stack(frame).contiguous(memory_format=torch.channels_last)
        for frame in zip(*rows, strict=True)
    ]
    ratio, a, b = torch.stack(numbers).T[:, :, None, None, None]
    condition = Condition(ratio, torch.ones_like(ratio), a, b, torch.ones_like(ratio))
    return frames, condition._replace(exposure=condition.reference)


def train(folder: Path, output: Path, minutes: float) -> None:
    """Train for some minutes in all, of one run or of several that go on."""
    files = sorted(folder.glob("*.npz"))
    torch.manual_seed(3)
    network = Denoiser(NETWORK).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.nn.init.normal_(network.backbone.head.weight, std=2e-3)
    run = TimedRun(output, network, minutes=minutes, rate=RATE, warmup=150, decay=0.999)
    rng, pool = np.random.default_rng([run.step, 1]), list[Sample]()
    dtype = compute_dtype(torch.device("cpu"))
    while run.share < 1:
        fresh = load_sample(Sample, files[int(rng.integers(len(files)))])
        if len(pool) < POOL:
            pool.append(fresh)
        elif rng.random() < 0.5:
            pool[int(rng.integers(POOL))] = fresh
        (picture, undone, sharp, capture), condition = draw(pool, rng)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            answer = network(picture, capture, condition, undone)
        loss = loss_of(answer.float(), sharp)
        run.learn(loss)
        if run.step % 50 == 0:
            print(f"step {run.step}, {100 * run.share:.0f} %, loss {loss.item():.3f}", flush=True)
        run.save_now_and_then()
    run.save()
    facts = {
        "steps": run.step,
        "minutes": minutes,
        "samples": len(files),
        "batch": BATCH,
        "patch": PATCH,
    }
    save_weights(
        output / "nightfix-motion.safetensors",
        run.average,
        NETWORK,
        name="nightfix-motion",
        license="Apache-2.0",
        training=facts,
    )


if __name__ == "__main__":
    make_or_train(__doc__, make, train, count=455, minutes=110)
