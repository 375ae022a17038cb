"""Train a network that draws detail where noise has taken it: an experiment, see README.md.

    python weights/train_detail.py make SAMPLES --photos photos/ --count 900
    python weights/train_detail.py train SAMPLES RUN --perceptual FILE --minutes 240
    python weights/train_detail.py make HELD --photos held_out/ --count 8 --ratio 100
    python weights/train_detail.py score RUN/nightfix-detail.safetensors HELD --perceptual FILE

``make`` takes photographs in the dark with a random sensor and restores them with nightfix-base.
``train`` starts from nightfix-motion, goes on where RUN was stopped and writes
``RUN/nightfix-detail.safetensors``. ``score`` compares detail 100 with detail 0; ``--picture``
writes capture, restored, drawn and true picture beside each other. ``--perceptual`` names a
Python file with ``Lpips(net)`` for ``"vgg16"`` and ``"alexnet"`` (Zhang et al., CVPR 2018), with
gradients, and ``Dists()`` (Ding et al., TPAMI 2022), which training does not use.

Symbols follow DiffRAW: ``y`` is the sharp picture, ``x`` the restored one, ``f`` the network's
estimate of y, ``e`` and ``z`` standard normal numbers. Its domain transform, Eq. (12) to (17),

    m_t = sqrt(abar_t) y + sqrt(1 - abar_t) [gamma_s (x - y) + e],
    gamma_s = sqrt(abar_s / (1 - abar_s)),

divided by sqrt(abar_t) is the straight path

    m = (1 - u) y + u (x + tau e),    u = k_t / k_s,    tau = k_s,
    k_t = sqrt((1 - abar_t) / abar_t),

which starts at u = 1 from the restored picture with a little noise, and ends at u = 0 with the
sharp one. So no schedule of abar is needed: times are shares u, and tau is the only number.
The network sees m, the capture and x, and answers with the sharp picture, counted from x.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
from pathlib import Path
from typing import Any, NamedTuple

import imageio.v3 as iio
import numpy as np
import torch
from timed_run import (
    TimedRun,
    conditioning,
    load_sample,
    random_scene,
    read_references,
    samples_left,
)
from torch import Tensor
from torch.nn import functional as F

from nightfix.condition import Settings
from nightfix.restore import Condition, Denoiser, Restorer, load_weights, save_weights
from nightfix.restore.colors import to_eye, to_light
from nightfix.restore.tiling import local_maximum, local_mean
from nightfix.training import add_noise
from nightfix.training.frames import Draws
from nightfix.training.noise import SensorNoise, random_sensor

#: Side of a sample [mosaic px].
SIDE = 400

#: Crops of a step, their side [packed px], and the peak rate.
BATCH, PATCH, RATE = 2, 96, 1.5e-3

#: Noise added to the restored picture, on the scale of the path.
TAU = 0.05

#: Weights of the perceptual distances of VGG16 and AlexNet, and of the flow's own loss.
VGG, ALEX, FLOW = 1.0, 0.3, 1.5

#: What samples of a fixed ratio are taken with: that of a full-frame camera at a usual ISO.
COMMON = SensorNoise(shot=3 / 16000, read=2.5e-4, tail=-0.05, row=4e-5, quantization=1 / 16000)

#: Samples that are held in memory at once.
POOL = 200

#: Places on the path at which the network is asked.
PLACES = (1.0, 2 / 3, 1 / 3)

#: Noise on the stabilized scale from which detail is drawn, and where all of it is.
NOISE = (0.025, 0.08)

#: Restored values between which detail fades out toward lamps [white], and how far around them
#: [packed px].
LAMPS, LAMP_REACH = (0.7, 1.0), 4

#: Side of the squares whose means stay [packed px], and how often they are put right.
SQUARE, ROUNDS = 16, 4


class Sample(NamedTuple):
    """Planes (4, h, w) at target brightness; ratio, a, b; white (3,); camera to sRGB (3, 3)."""

    restored: Tensor
    sharp: Tensor
    capture: Tensor
    numbers: Tensor
    neutral: Tensor
    matrix: Tensor


def on_the_way(y: Tensor, x: Tensor, e: Tensor, *, u: Tensor | float, tau: float) -> Tensor:
    """Return m = (1 - u) y + u (x + tau e): what training shows the network.

    Parameters
    ----------
    y, x, e : Tensor, same shape
        Sharp picture, restored picture, standard normal numbers.
    u : Tensor or float
        Place on the way, 1 (restored) to 0 (sharp).
    tau : float
        Noise added to the restored picture, >= 0.
    """
    return (1 - u) * y + u * (x + tau * e)


def straight_step(m: Tensor, f: Tensor, *, u: float, to: float) -> Tensor:
    """Go from u to a smaller one by Euler's rule along (m - f) / u: the deterministic sampler.

    Parameters
    ----------
    m, f : Tensor, same shape
        Sample and the network's estimate of the sharp picture.
    u, to : float
        Where it is and where it goes, 1 >= u > to >= 0.
    """
    return m + (to - u) * (m - f) / u


def drawn_step(
    m: Tensor, f: Tensor, x: Tensor, z: Tensor, *, u: float, to: float, tau: float
) -> Tensor:
    """Go from u to a smaller one with noise drawn anew: the sampler of Eq. (23) to (25).

    Parameters
    ----------
    m, f, x, z : Tensor, same shape
        Sample, estimate, restored picture, standard normal numbers.
    u, to, tau : float
        As for :func:`straight_step` and :func:`on_the_way`.

    Notes
    -----
    With r = to / u, of the noise that m has, r^2 stays and tau to sqrt(1 - r^2) is drawn.
    """
    r = to / u
    noise = m - (1 - u) * f - u * x
    return (1 - to) * f + to * x + r**2 * noise + tau * to * math.sqrt(1 - r**2) * z


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
    folder: Path, photos: list[Path], *, count: int, seed: int, ratio: float | None = None
) -> None:
    """Make samples by their number; those that are there already are left.

    ``ratio`` fixes it, and a sensor of 3 of 16 000 DN per electron with it.
    """
    photographs = read_references(photos, side=SIDE, seed=seed).photographs
    assert photographs is not None
    restorer = Restorer("nightfix-base")
    for number, path in samples_left(folder, count, f"{seed:02d}_"):
        draws = Draws.of(seed * 100003 + number, torch.device("cpu"))
        generator, rng = draws.numbers, np.random.default_rng([seed, number])
        sharp, matrix, neutral = random_scene(photographs, SIDE, draws, rng)
        if ratio is None:
            amplified, sensor = random_capture(rng, generator)
            steps = 0 if rng.random() < 0.5 else 1
        else:
            amplified, sensor, steps = ratio, COMMON, 3
        capture = add_noise(sharp / amplified, sensor, generator).float()
        a = float(sensor.shot) * math.exp(0.08 * rng.normal())
        b = float(sensor.variance_at_black) * math.exp(0.3 * rng.normal())
        settings = Settings(steps=steps, headroom=min(3.0, math.log2(amplified)))
        restored = restorer.restore_packed(capture, conditioning(amplified, a, b), settings)
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


def told(numbers: Tensor, u: Tensor) -> Condition:
    """Return the condition of a batch (B, 3) at places u (B,) on the way."""
    ratio, a, b = numbers.T[:, :, None, None, None]
    condition = Condition(ratio, torch.ones_like(ratio), a, b, u[:, None, None, None])
    return condition._replace(exposure=condition.reference)


def estimate(network: Denoiser, m: Tensor, batch: Sample, u: Tensor) -> Tensor:
    """Return the network's estimate of the sharp picture, light of the planes."""
    condition = told(batch.numbers, u)
    answer: Tensor = network(to_light(m), batch.capture, condition, batch.restored)
    return answer


def draw_detail(
    sample: Sample,
    network: Denoiser,
    *,
    strength: float = 100.0,
    seed: int = 0,
    places: tuple[float, ...] = PLACES,
    drawn: bool = False,
) -> Tensor:
    """Draw detail into the restored planes of a sample.

    Parameters
    ----------
    sample : Sample
        One sample. Its noise says how much is drawn.
    network : Denoiser
        What ``train`` made.
    strength : float
        0 to 100 % of the way from the restored picture x to the drawn one y.
    seed : int
        Of the noise that detail is made of.
    places : tuple of float
        Where on the path the network is asked, from 1 down.
    drawn : bool
        Whether noise is drawn anew at each step (Eq. 23 to 25), else Euler's steps.

    Returns
    -------
    Tensor, shape (4, h, w)
        x + s (y - x), with s = strength / 100, less where there is little noise and toward
        lamps; means of regions of each plane are those of x.
    """
    ratio, a, b = sample.numbers.tolist()
    share = strength / 100 * noise_share(conditioning(ratio, a, b).amplified_noise)
    if share == 0:
        return sample.restored
    generator, x = torch.Generator().manual_seed(seed), to_eye(sample.restored)
    batch = Sample(*(part[None] for part in sample))
    m = x + TAU * torch.randn(x.shape, generator=generator)
    for u, to in zip(places, (*places[1:], 0.0), strict=True):
        with torch.inference_mode():
            f = to_eye(estimate(network, m[None], batch, torch.tensor([u]))[0])
        if drawn:
            z = torch.randn(x.shape, generator=generator)
            m = drawn_step(m, f, x, z, u=u, to=to, tau=TAU)
        else:
            m = straight_step(m, f, u=u, to=to)
    lamps = away_from_lamps(sample.restored)
    detail = without_means(to_light(m).sub_(sample.restored), lamps)
    return detail.mul_(share).add_(sample.restored)


def noise_share(noise: float) -> float:
    """Return how much detail is drawn, 0 to 1, at a noise on the stabilized scale."""
    low, high = NOISE
    return min(max((noise - low) / (high - low), 0.0), 1.0)


def away_from_lamps(restored: Tensor) -> Tensor:
    """Return 0 at lamps and around them, 1 elsewhere, shape (1, h, w)."""
    low, high = LAMPS
    bright = local_maximum(restored.amax(0, keepdim=True), LAMP_REACH)
    bright = F.avg_pool2d(bright, 5, 1, 2, count_include_pad=False)
    return ((high - bright) / (high - low)).clamp_(0, 1)


def without_means(detail: Tensor, weight: Tensor) -> Tensor:
    """Weigh detail and take the means of squares of 16 x 16 samples out of each plane.

    Parameters
    ----------
    detail : Tensor, shape (4, h, w)
        Changed in place.
    weight : Tensor, shape (1, h, w)
        0 where nothing may change, to 1.

    Returns
    -------
    Tensor, shape (4, h, w)

    Notes
    -----
    Means are measured every 8 samples and interpolated between; what that leaves is taken out
    again.
    """
    height, width = detail.shape[1:]
    share = local_mean(weight, SQUARE).clamp_min_(1e-3)
    pitch = SQUARE // 2
    size = ((share.shape[1] - 1) * pitch + 1, (share.shape[2] - 1) * pitch + 1)
    for _ in range(ROUNDS):
        means = local_mean(detail * weight, SQUARE) / share
        smooth = F.interpolate(means[None], size, mode="bilinear", align_corners=True)[0]
        detail.sub_(smooth[:, :height, :width])
    return detail.mul_(weight)


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


def losses_of(network: Denoiser, batch: Sample, vgg: Any, alex: Any) -> list[Tensor]:
    """Return the loss of a batch, and its parts: L1 on the path's scale, LPIPS of both nets."""
    u = torch.where(torch.rand(BATCH) < 0.5, torch.ones(BATCH), torch.rand(BATCH))
    y, x = to_eye(batch.sharp), to_eye(batch.restored)
    m = on_the_way(y, x, torch.randn_like(x), u=u[:, None, None, None], tau=TAU)
    f = estimate(network, m, batch, u)
    own = (to_eye(f) - y).abs().mean()
    seen, wanted = (develop(planes, *batch[4:]) for planes in (f, batch.sharp))
    far, near = vgg(seen, wanted).mean(), alex(seen, wanted).mean()
    return [FLOW * own + VGG * far + ALEX * near, own, far, near]


def train(folder: Path, output: Path, distances: Path, minutes: float) -> None:
    """Train for some minutes in all, of one run or of several that go on."""
    files = sorted(folder.glob("*.npz"))
    module = perceptual(distances)
    vgg, alex = module.Lpips("vgg16"), module.Lpips("alexnet")
    network = load_weights("nightfix-motion")[0].train().requires_grad_(True)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = TimedRun(output, network, minutes=minutes, rate=RATE, warmup=60, decay=0.995)
    torch.manual_seed(7 + run.step)
    rng, recent = np.random.default_rng([run.step, 2]), np.zeros(4)
    pool: list[Sample] = []
    while run.share < 1:
        fresh = load_sample(Sample, files[int(rng.integers(len(files)))])
        if len(pool) < POOL:
            pool.append(fresh)
        else:
            pool[int(rng.integers(POOL))] = fresh
        losses = losses_of(network, draw(pool, rng), vgg, alex)
        run.learn(losses[0])
        recent += [part.item() for part in losses]
        if run.step % 25 == 0:
            parts = ", ".join(f"{value:.4f}" for value in recent / 25)
            done = f"step {run.step}, {100 * run.share:.0f} %"
            print(f"{done}: loss, L1, VGG, Alex {parts}", flush=True)
            recent[:] = 0
        if run.save_now_and_then():
            _export(output, run, samples=len(files))
    run.save()
    _export(output, run, samples=len(files))


def _export(output: Path, run: TimedRun, *, samples: int) -> None:
    facts = {
        "init": "nightfix-motion",
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


def score(weights: Path, folder: Path, distances: Path, picture: Path | None) -> None:
    """Print how near samples are to their truth without and with detail."""
    module, network = perceptual(distances), load_weights(weights)[0]
    measures = [module.Lpips("alexnet"), module.Lpips("vgg16"), module.Dists()]
    rows: dict[str, list[list[float]]] = {"detail 0": [], "detail 100": []}
    strips = []
    for path in sorted(folder.glob("*.npz")):
        sample = load_sample(Sample, path)
        shown = (sample.capture, sample.restored, draw_detail(sample, network), sample.sharp)
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
    maker.add_argument("--count", type=int, default=900)
    maker.add_argument("--seed", type=int, default=1)
    maker.add_argument("--ratio", type=float)
    trainer = commands.add_parser("train", help="train on samples")
    trainer.add_argument("samples", type=Path)
    trainer.add_argument("run", type=Path)
    trainer.add_argument("--perceptual", type=Path, required=True)
    trainer.add_argument("--minutes", type=float, default=240)
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
        )
    elif arguments.command == "score":
        score(arguments.weights, arguments.samples, arguments.perceptual, arguments.picture)
    else:
        train(arguments.samples, arguments.run, arguments.perceptual, arguments.minutes)


if __name__ == "__main__":
    main()
