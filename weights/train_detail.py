"""Train nightfix-detail, which draws detail where noise has taken it.

    python weights/train_detail.py make SAMPLES --photos photos/ --count 5000
    python weights/train_detail.py train SAMPLES RUN --perceptual FILE --minutes 120
    python weights/train_detail.py make HELD --photos held_out/ --count 8 --ratio 100
    python weights/train_detail.py score RUN/nightfix-detail.safetensors HELD --perceptual FILE

``make`` takes photographs in the dark with a random sensor (of ``--shaken`` ones by a camera that
shook, which is undone with a kernel as estimates are) and restores them as the program does.
``train`` starts from nightfix-base without its coarsest level, goes on where RUN was stopped and
writes ``RUN/nightfix-detail.safetensors``. ``score`` compares detail 100 with detail 0;
``--picture`` writes capture, restored, drawn and true picture beside each other.
``--perceptual`` names a Python file with ``Lpips(net)`` for ``"vgg16"`` and ``"alexnet"`` (Zhang
et al., CVPR 2018), with gradients, and ``Dists()`` (Ding et al., TPAMI 2022), likewise.

Symbols are those of ``nightfix/restore/detail.py``, whose path this trains a network for: ``y`` is
the sharp picture, ``x`` the restored one, ``m`` what lies between, ``f`` the network's estimate of
y, ``u`` the place on the path.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import imageio.v3 as iio
import numpy as np
import torch
from timed_run import (
    TimedRun,
    conditioning,
    load_sample,
    random_light,
    read_references,
    samples_left,
)
from torch import Tensor
from train_motion import MARGIN, estimate_of

from nightfix.condition import Settings
from nightfix.restore import (
    Condition,
    Denoiser,
    Restorer,
    compute_dtype,
    load_weights,
    save_weights,
)
from nightfix.restore.colors import to_eye, to_light
from nightfix.restore.detail import (
    TAU,
    below_white,
    draw_detail,
    on_the_way,
    told_place,
    without_means,
)
from nightfix.training import add_noise, blur, mosaic_planes, random_shake
from nightfix.training.frames import Draws
from nightfix.training.noise import SensorNoise, random_sensor

#: Side of a sample [mosaic px].
SIDE = 400

#: Crops of a step, their side [packed px], and the peak rate.
BATCH, PATCH, RATE = 4, 128, 4e-4

#: Weights of L1 on the path's scale, LPIPS of VGG16 and of AlexNet, and DISTS.
WEIGHTS = (0.1, 1.0, 0.3, 1.5)

#: What samples of a fixed ratio are taken with: that of a full-frame camera at a usual ISO.
COMMON = SensorNoise(shot=3 / 16000, read=2.5e-4, tail=-0.05, row=4e-5, quantization=1 / 16000)

#: Samples that are held in memory at once.
POOL = 200


class Sample(NamedTuple):
    """Planes (4, h, w) at target brightness; ratio, a, b; white (3,); camera to sRGB (3, 3)."""

    restored: Tensor
    sharp: Tensor
    capture: Tensor
    numbers: Tensor
    neutral: Tensor
    matrix: Tensor


def random_capture(
    rng: np.random.Generator, generator: torch.Generator
) -> tuple[float, SensorNoise]:
    """Draw a ratio and a sensor whose noise takes detail but leaves something to see."""
    while True:
        ratio = math.exp(rng.uniform(math.log(8), math.log(500)))
        sensor = random_sensor(generator, 0.6)
        shot, read = sensor.shot * ratio, sensor.read * ratio
        if shot + read**2 >= 1.5e-3 and shot <= 0.15 and read <= 0.3:
            return ratio, sensor


def make(
    folder: Path,
    photos: list[Path],
    *,
    count: int,
    seed: int,
    ratio: float | None = None,
    shaken: bool = False,
) -> None:
    """Make samples by their number; those that are there already are left.

    ``ratio`` fixes it, and a sensor of 3 of 16 000 DN per electron with it.
    """
    side = SIDE + 2 * MARGIN
    photographs = read_references(photos, side=side, seed=seed).photographs
    assert photographs is not None
    restorer = Restorer("nightfix-base")
    for number, path in samples_left(folder, count, f"{seed:02d}_"):
        draws = Draws.of(seed * 100003 + number, torch.device("cpu"))
        generator, rng = draws.numbers, np.random.default_rng([seed, number])
        light, matrix, neutral = random_light(photographs, side, draws, rng)
        seen = sharp = mosaic_planes(light[:, MARGIN:-MARGIN, MARGIN:-MARGIN])
        kernel = None
        if shaken:
            shake = random_shake(float(rng.uniform(3, 20)), generator)
            seen = mosaic_planes(blur(light, shake.kernel(2 * MARGIN + 1, 1.0)))
            kernel = estimate_of(shake, generator, rng).numpy()
        if ratio is None:
            amplified, sensor = random_capture(rng, generator)
            steps = 1 if rng.random() < 0.5 else 3
        else:
            amplified, sensor, steps = ratio, COMMON, 3
        capture = add_noise(seen / amplified, sensor, generator).float()
        a = float(sensor.shot) * math.exp(0.08 * rng.normal())
        b = float(sensor.variance_at_black) * math.exp(0.3 * rng.normal())
        settings = Settings(steps=steps, headroom=min(3.0, math.log2(amplified)))
        told = replace(conditioning(amplified, a, b), blur=shaken, shake=kernel)
        restored = restorer.restore_packed(capture, told, settings, neutral=neutral)
        frames = {"restored": restored, "sharp": sharp, "capture": capture * amplified}
        np.savez(
            path,
            **{name: frame.half().numpy() for name, frame in frames.items()},
            numbers=np.array([amplified, a, b], np.float32),
            neutral=neutral.numpy(),
            matrix=torch.linalg.inv(matrix).numpy(),
        )


def develop(planes: Tensor, neutral: Tensor, matrix: Tensor) -> Tensor:
    """Develop packed planes to half-size sRGB in [0, 1], (B, 3, h, w), as DarkDiff does."""
    red, first, second, blue = planes.unbind(1)
    light = torch.stack([red, (first + second) / 2, blue], 1) / neutral[:, :, None, None]
    light = torch.einsum("bdc,bchw->bdhw", matrix, light).clamp(0, 1)
    root = 1.055 * light.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, 12.92 * light, root)


def estimate(network: Denoiser, m: Tensor, batch: Sample, u: Tensor) -> Tensor:
    """Return the network's estimate of the sharp picture, light of the planes."""
    ratio, a, b = batch.numbers.T[:, :, None, None, None]
    place = u[:, None, None, None]
    condition = told_place(Condition(ratio, ratio, a, b, place), place)
    answer: Tensor = network(to_light(m), batch.capture, condition, batch.restored)
    return answer


def draw(pool: list[Sample], rng: np.random.Generator) -> Sample:
    """Cut a batch out of some samples."""
    rows = []
    for _ in range(BATCH):
        sample = pool[int(rng.integers(len(pool)))]
        height, width = sample.restored.shape[1:]
        top, left = (int(rng.integers(n - PATCH + 1)) for n in (height, width))
        rows.append([frame[:, top : top + PATCH, left : left + PATCH] for frame in sample[:3]])
        rows[-1] += sample[3:]
    return Sample(*(torch.stack(part) for part in zip(*rows, strict=True)))


def perceptual(path: Path) -> Any:
    """Load the file that has the perceptual distances."""
    spec = importlib.util.spec_from_file_location("perceptual", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def losses_of(network: Denoiser, batch: Sample, distances: list[Any]) -> list[Tensor]:
    """Return the losses of a batch: L1 on the path's scale, and each perceptual distance.

    Half of it are at the path's start. The others are where its first step leads them, as they
    are in use: the sharp picture itself is never on their way.
    """
    half = len(batch.sharp) // 2
    u = torch.cat([torch.ones(half), torch.rand(len(batch.sharp) - half)])
    y, x = to_eye(batch.sharp), to_eye(batch.restored)
    e = torch.randn_like(x)
    m = x + TAU * e
    with torch.no_grad():
        later = Sample(*(part[half:] for part in batch))
        first = to_eye(estimate(network, m[half:], later, torch.ones(len(m) - half)))
    place = u[half:, None, None, None]
    m = torch.cat([m[:half], on_the_way(first, x[half:], e[half:], u=place, tau=TAU)])
    f = estimate(network, m, batch, u)
    weight = torch.stack([below_white(planes) for planes in batch.restored])
    change = without_means((f - batch.restored).flatten(0, 1), weight.repeat_interleave(4, 0)[:, 0])
    drawn, truth = (
        develop(planes, *batch[4:]).contiguous(memory_format=torch.channels_last)
        for planes in (batch.restored + change.view_as(f), batch.sharp)
    )
    own = (to_eye(f) - y).abs().mean()
    return [own, *(distance(drawn, truth).float().mean() for distance in distances)]


def train(folder: Path, output: Path, distances: Path, minutes: float, *, seed: int) -> None:
    """Train for some minutes in all, of one run or of several that go on."""
    files = sorted(folder.glob("*.npz"))
    module = perceptual(distances)
    judges = [module.Lpips("vgg16"), module.Lpips("alexnet"), module.Dists()]
    network = without_coarsest("nightfix-base")
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = TimedRun(output, network, minutes=minutes, rate=RATE, warmup=100, decay=0.998)
    torch.manual_seed(1000 * seed + run.step)
    rng, recent = np.random.default_rng([seed, run.step]), np.zeros(len(WEIGHTS))
    pool: list[Sample] = []
    while run.share < 1:
        fresh = load_sample(Sample, files[int(rng.integers(len(files)))])
        if len(pool) < POOL:
            pool.append(fresh)
        else:
            pool[int(rng.integers(POOL))] = fresh
        with torch.autocast("cpu", torch.bfloat16):
            losses = losses_of(network, draw(pool, rng), judges)
        run.learn(torch.stack(losses).dot(torch.tensor(WEIGHTS)))
        recent += [loss.item() for loss in losses]
        if run.step % 25 == 0:
            parts = ", ".join(f"{value:.4f}" for value in recent / 25)
            done = f"step {run.step}, {100 * run.share:.0f} %"
            print(f"{done}: L1, VGG, Alex, DISTS {parts}", flush=True)
            recent[:] = 0
        if run.save_now_and_then():
            _export(output, run, samples=len(files))
    run.save()
    _export(output, run, samples=len(files))


def without_coarsest(name: str) -> Denoiser:
    """Return a network that begins as known weights do, without their coarsest level."""
    known = load_weights(name)[0]
    config = replace(known.config, widths=known.config.widths[:-1], adaptive=False)
    network = Denoiser(config)
    # The decoder and the ways up to it begin at the coarsest level, all else at the finest.
    state = {
        re.sub(
            r"(?<=backbone\.)(up|decoder)\.(\d+)", lambda m: f"{m[1]}.{int(m[2]) - 1}", key
        ): value
        for key, value in known.state_dict().items()
    }
    network.load_state_dict({key: state[key] for key in network.state_dict()})
    return network.train().requires_grad_(True)


def _export(output: Path, run: TimedRun, *, samples: int) -> None:
    facts = {
        "init": "nightfix-base",
        "steps": run.step,
        "minutes": round(run.spent / 60, 1),
        "samples": samples,
        "batch": BATCH,
        "patch": PATCH,
        "tau": TAU,
    }
    save_weights(
        output / "nightfix-detail.safetensors",
        run.average,
        run.network.config,
        name="nightfix-detail",
        license="Apache-2.0",
        training=facts,
    )


def drawn_into(sample: Sample, network: Denoiser) -> Tensor:
    """Return the restored planes of a sample with all detail that can be drawn."""
    batch = Sample(*(part[None] for part in sample))

    def ask(m: Tensor, u: float) -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", compute_dtype(torch.device("cpu"))):
            return estimate(network, m[None], batch, torch.tensor([u]))[0].float()

    return draw_detail(sample.restored.clone(), ask, share=1.0, seed=0)


def score(weights: Path, folder: Path, distances: Path, picture: Path | None) -> None:
    """Print how near samples are to their truth without and with detail."""
    module, network = perceptual(distances), load_weights(weights)[0]
    measures = [module.Lpips("alexnet"), module.Lpips("vgg16"), module.Dists()]
    rows: dict[str, list[list[float]]] = {"detail 0": [], "detail 100": []}
    strips = []
    for path in sorted(folder.glob("*.npz")):
        sample = load_sample(Sample, path)
        drawn = drawn_into(sample, network)
        shown = (sample.capture, sample.restored, drawn, sample.sharp)
        numbers = (sample.neutral[None], sample.matrix[None])
        *seen, truth = (develop(planes[None], *numbers) for planes in shown)
        for name, one in zip(rows, seen[1:], strict=True):
            error = -10 * math.log10(float((one - truth).square().mean()))
            rows[name].append([error, *(float(measure(one, truth)) for measure in measures)])
        strips.append(torch.cat([*seen, truth], 3)[0])
    for name, values in rows.items():
        psnr, alex, vgg, dists = np.mean(values, 0)
        print(
            f"{name}: PSNR {psnr:.2f} dB, LPIPS-alex {alex:.3f}, -vgg {vgg:.3f}, DISTS {dists:.3f}"
        )
    if picture is not None:
        pixels = torch.cat(strips, 1).permute(1, 2, 0).numpy()
        iio.imwrite(picture, (255 * pixels).round().astype(np.uint8))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make", help="make samples")
    maker.add_argument("samples", type=Path)
    maker.add_argument("--photos", type=Path, action="append", required=True)
    maker.add_argument("--count", type=int, default=5000)
    maker.add_argument("--seed", type=int, default=1)
    maker.add_argument("--ratio", type=float)
    maker.add_argument("--shaken", action="store_true")
    trainer = commands.add_parser("train", help="train on samples")
    trainer.add_argument("samples", type=Path)
    trainer.add_argument("run", type=Path)
    trainer.add_argument("--perceptual", type=Path, required=True)
    trainer.add_argument("--seed", type=int, default=1)
    trainer.add_argument("--minutes", type=float, default=120)
    scorer = commands.add_parser("score", help="compare detail 100 with detail 0")
    scorer.add_argument("weights", type=Path)
    scorer.add_argument("samples", type=Path)
    scorer.add_argument("--perceptual", type=Path, required=True)
    scorer.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "make":
        make(
            arguments.samples,
            arguments.photos,
            count=arguments.count,
            seed=arguments.seed,
            ratio=arguments.ratio,
            shaken=arguments.shaken,
        )
    elif arguments.command == "score":
        score(arguments.weights, arguments.samples, arguments.perceptual, arguments.picture)
    else:
        train(
            arguments.samples,
            arguments.run,
            arguments.perceptual,
            arguments.minutes,
            seed=arguments.seed,
        )


if __name__ == "__main__":
    main()
