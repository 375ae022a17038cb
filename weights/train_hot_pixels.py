"""Train the networks that tell defects of the sensor from detail.

In three steps, from the root of the repository; the first takes half an hour on one core:

    python weights/train_hot_pixels.py make SAMPLES --photos PHOTOS [--photos MORE]
    python weights/train_hot_pixels.py around SAMPLES
    python weights/train_hot_pixels.py estimate SUSPECTS --photos PHOTOS [--photos MORE]

``make`` turns photographs into captures with defects and keeps what the first networks see of
samples that stand out; ``around`` trains them, one for each kind of sites; ``estimate`` looks
over other captures with them and trains the last network on its suspects. The latter two write
``nightfix/condition/defects.safetensors``.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy.ndimage import gaussian_filter
from timed_run import samples_left
from torch import Tensor, nn
from torch.nn import functional as F
from train_motion import lights

import nightfix.condition
from nightfix.condition.defects import (
    KINDS,
    MARGIN,
    OFFSETS,
    Sensor,
    StandingOut,
    detail_of,
    features,
    what_estimates_say,
)
from nightfix.condition.hot_pixels import estimate_suspects, look_over, standing_out
from nightfix.training.noise import SensorNoise, add_noise, random_sensor
from nightfix.training.scenes import under_stars
from nightfix.training.sources import Photograph, load_sources
from nightfix.training.unprocessing import random_neutral, unprocess

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

WEIGHTS = Path(nightfix.condition.__file__).parent / "defects.safetensors"

#: Side of a capture, for the first networks and for the last [px].
SIDE, SIDE_OF_SUSPECTS = 448, 320

#: One DN of a sensor of 14 bit; how far samples stand out [standard deviations of the noise].
DN, STANDS_OUT = 1 / 15871, 4.0

#: Samples of light that are kept of a capture at most.
MOST = 2500

#: Widths of the hidden layers, samples of a batch, peak rate of AdamW.
AROUND, ESTIMATE, BATCH, RATE = (96, 32), (16,), 2048, 3e-3

#: Defects in a million samples that are expected when a batch is judged.
FEWEST, EXPECTED_MOST = 10.0, 6000.0

#: What is known of a site: the first of these facts that are not samples, those of the gains in
#: the row and in the column, which a transposition exchanges.
FACTS, IN_ROW, IN_COLUMN = len(OFFSETS), len(OFFSETS) + 4, len(OFFSETS) + 5


class Capture(NamedTuple):
    """A mosaic with defects, where they are, what is known of its sensor, and the ratio."""

    mosaic: Floats
    defects: Flags
    sensor: Sensor
    ratio: float


class Samples(NamedTuple):
    """What a network sees of samples of one kind, (n, facts), and what they are.

    ``defects``: whether they are; ``cost``: what a mistake moves in the finished photo, up to 1;
    ``weight``: how many samples each stands for; ``share``: defects in a million of the capture's
    samples; ``per_light``: a millionth of its samples over those of light.
    """

    seen: NDArray[Any]
    defects: Flags
    cost: Floats
    weight: Floats
    share: Floats
    per_light: Floats


def crop(photo: Tensor, side: int, rng: np.random.Generator) -> Tensor:
    """Cut the richer of two squares, reduced by up to 4 and sometimes sharpened."""
    zoom = float(rng.choice([1, 1.5, 2, 3, 4], p=[0.3, 0.15, 0.25, 0.2, 0.1]))
    wanted = min(int(side * zoom), *photo.shape[1:])
    cuts = []
    for _ in range(2):
        top, left = (int(rng.integers(size - wanted + 1)) for size in photo.shape[1:])
        cuts.append(photo[:, top : top + wanted, left : left + wanted].float() / 255)
    cut = max(cuts, key=lambda one: float(one[1].diff(dim=0).abs().mean()))
    mode = str(rng.choice(["area", "bilinear", "bicubic"])) if wanted > side else "bicubic"
    if mode == "area":
        cut = F.adaptive_avg_pool2d(cut[None], (side, side))[0]
    elif wanted != side:
        cut = F.interpolate(
            cut[None], (side, side), mode=mode, antialias=wanted > side, align_corners=False
        )[0]
    if rng.random() < 0.25:
        soft = torch.from_numpy(gaussian_filter(cut.numpy(), (0, 0.8, 0.8)))
        cut = cut + float(rng.uniform(0.2, 1.0)) * (cut - soft)
    return torch.rot90(cut.clamp(0, 1), int(rng.integers(4)), (1, 2))


def scene(
    sources: list[Photograph], side: int, generator: torch.Generator, rng: np.random.Generator
) -> Tensor:
    """Return linear camera RGB: half of them by day, else under stars or with small lights."""
    photo = sources[int(rng.integers(len(sources)))]
    light = unprocess(crop(photo.pixels, side, rng), generator)
    kind, neutral = rng.random(), random_neutral(generator).numpy()
    if kind < 0.25:
        light = light * math.exp(rng.uniform(-1.6, 0.7))
    elif 0.5 <= kind < 0.68:
        light = under_stars(light[None], generator)[0]
    elif kind >= 0.68:
        light = light * float(rng.uniform(0.06, 0.3)) / max(float(light[1].mean()), 0.02)
        for _ in range(int(rng.integers(1, 4))):
            light = light + torch.from_numpy(lights(side, neutral, rng)).float()
    if rng.random() < 0.15:
        light = glints(light, neutral, rng)
    return light.clamp(0, 60)


def glints(light: Tensor, neutral: Floats, rng: np.random.Generator) -> Tensor:
    """Add glints, as small as a lens makes them: Gaussians with sigma 0.5 to 0.9 px."""
    side, reach = light.shape[1], 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    for _ in range(int(rng.integers(20, 400))):
        top, left = rng.integers(reach, side - reach, 2)
        dy, dx = rng.uniform(-0.5, 0.5, 2)
        spot = np.exp(-((y - dy) ** 2 + (x - dx) ** 2) / (2 * rng.uniform(0.5, 0.9) ** 2))
        color = neutral * math.exp(rng.uniform(math.log(0.01), math.log(3)))
        near = np.s_[:, top - reach : top + reach + 1, left - reach : left + reach + 1]
        light[near] += torch.from_numpy(color[:, None, None] * spot).float()
    return light


def random_capture(
    rng: np.random.Generator, generator: torch.Generator
) -> tuple[float, SensorNoise]:
    """Draw a ratio, 1 in three of ten, and a sensor without defects of its own."""
    while True:
        ratio = 1.0 if rng.random() < 0.3 else math.exp(rng.uniform(0, math.log(300)))  # noqa: PLR2004
        drawn = asdict(random_sensor(generator, 0.6))
        sensor = SensorNoise(
            **{name: float(number) for name, number in drawn.items()} | {"hot": 0.0}
        )
        if sensor.shot * ratio <= 0.3 and sensor.read * ratio <= 0.35:  # noqa: PLR2004
            return ratio, sensor


def heated(captured: Floats, noise: Floats, rng: np.random.Generator) -> tuple[Floats, Flags]:
    """Add hot pixels, single ones and pairs, and dead ones; return where they are, too."""
    shape = captured.shape
    hot = rng.random(shape) < math.exp(rng.uniform(math.log(300), math.log(8000))) / 1e6
    if rng.random() < 0.5:  # noqa: PLR2004
        rows, columns = np.nonzero(hot & (rng.random(shape) < 0.08))  # noqa: PLR2004
        dy, dx = rng.integers(-2, 3, (2, len(rows)))
        hot[np.clip(rows + dy, 0, shape[0] - 1), np.clip(columns + dx, 0, shape[1] - 1)] = True
    heat = rng.uniform(200, 6000, shape) * DN
    faint = np.exp(rng.uniform(np.log(6 * noise), np.log(np.maximum(0.6, 7 * noise))))
    share = 0.5 if rng.random() < 0.6 else 0.0  # noqa: PLR2004
    heat = np.where(rng.random(shape) < share, faint, heat)
    dead = (rng.random(shape) < rng.choice([0, 1e-4, 1e-3])) & ~hot
    left = np.minimum(captured, captured * rng.choice([0, 0, 0.2, 0.4], shape))
    captured = np.where(hot, np.minimum(captured + heat, 1), np.where(dead, left, captured))
    return captured.astype(np.float32), hot | dead


def capture(sources: list[Photograph], side: int, seed: tuple[int, int]) -> Capture:
    """Take a photo with a random sensor, of which one in ten sees no colors."""
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed[0] * 100003 + seed[1])
    light = scene(sources, side, generator, rng).numpy()
    mean = np.clip(light.mean((1, 2)) / light[1].mean(), 0.25, 1.5)
    gains = dict(zip("RGB", np.exp(0.12 * rng.normal(size=3)) / mean, strict=True)) | {"M": 1.0}
    names = str(rng.choice(["RGGB", "GRBG", "GBRG", "BGGR"])) if rng.random() > 0.1 else "MMMM"  # noqa: PLR2004
    ratio, noise = random_capture(rng, generator)
    truth = np.empty(light.shape[1:], np.float32)
    for site, name in enumerate(names):
        part = np.s_[site // 2 :: 2, site % 2 :: 2]
        truth[part] = light["RGB".find(name) if name != "M" else 1][part] / ratio
    planes = torch.from_numpy(np.stack([truth[y::2, x::2] for y in (0, 1) for x in (0, 1)]))
    taken = add_noise(planes, noise, generator).float().numpy()
    captured = np.empty_like(truth)
    for site, plane in enumerate(taken):
        captured[site // 2 :: 2, site % 2 :: 2] = plane
    spread = np.sqrt(noise.shot * np.maximum(truth, 0) + float(noise.variance_at_black))
    captured, defects = heated(captured, spread, rng)
    kinds = {"R": 0, "B": 0, "G": 1, "M": 2}
    sensor = Sensor(
        a=noise.shot * math.exp(0.08 * rng.normal()),
        b=noise.variance_at_black * math.exp(0.4 * rng.normal()),
        highlights=max(float(np.quantile(captured[::5, ::7], 0.99)), 1e-4),
        saturated=float(rng.choice([0.9, 1.0], p=[0.8, 0.2])),
        gains=np.array([gains[name] for name in names], np.float32).reshape(2, 2),
        kinds=np.array([kinds[name] for name in names]).reshape(2, 2),
    )
    return Capture(captured, defects, sensor, ratio)


def standing(shot: Capture) -> list[StandingOut]:
    """Return the samples that stand out, above and below."""
    sides = standing_out(np.pad(shot.mosaic, 2, "reflect"))
    found = []
    for sign, excess in zip((1, -1), sides, strict=True):
        level = shot.mosaic - sign * excess
        spread = np.sqrt(shot.sensor.a * np.maximum(level, 0) + shot.sensor.b)
        out = excess > STANDS_OUT * spread
        if sign < 0:
            out &= shot.mosaic < level / 2
        rows, columns = np.nonzero(out)
        found.append(StandingOut(rows, columns, excess[rows, columns], sign))
    return found


def make(folder: Path, sources: list[Photograph], count: int) -> None:
    """Make captures by their number, and keep what the first networks see of them."""
    for number, path in samples_left(folder, count):
        shot = capture(sources, SIDE, (1, number))
        sides = standing_out(np.pad(shot.mosaic, MARGIN, "reflect"))
        above, below = (detail_of(np.pad(side, 2, "edge")) for side in sides)
        block = np.pad(shot.mosaic, MARGIN, "reflect")
        rng, parts = np.random.default_rng(number), []
        found = standing(shot)
        light = sum(int((~shot.defects[one.rows, one.columns]).sum()) for one in found)
        kept = min(1.0, MOST / max(light, 1))
        for one in found:
            defects = shot.defects[one.rows, one.columns]
            taken = np.flatnonzero(defects | (rng.random(len(defects)) < kept))
            some = StandingOut(one.rows[taken], one.columns[taken], one.excess[taken], one.sign)
            kinds = shot.sensor.kinds[some.rows % 2, some.columns % 2]
            seen = features(block, (above, below), some, shot.sensor).astype(np.float16)
            cost = np.minimum(some.excess * shot.ratio, 1)
            weight = np.where(defects[taken], 1, 1 / kept)
            parts.append((seen, defects[taken], cost, weight, kinds))
        names = ("seen", "defects", "cost", "weight", "kinds")
        arrays = {
            n: np.concatenate(p) for n, p in zip(names, zip(*parts, strict=True), strict=True)
        }
        million = shot.mosaic.size / 1e6
        share, per_light = shot.defects.sum() / million, million / max(light, 20)
        np.savez(path, **arrays, share=share, per_light=per_light)


def load_samples(folder: Path, kind: int) -> Samples:
    """Read the samples of one kind of sites."""
    parts = []
    for path in sorted(folder.glob("*.npz")):
        held = np.load(path)
        ours = held["kinds"] == kind
        count = np.count_nonzero(ours)
        numbers = [np.full(count, held[name], np.float32) for name in ("share", "per_light")]
        names = ("seen", "defects", "cost", "weight")
        parts.append([*(held[name][ours] for name in names), *numbers])
    return Samples(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def network(widths: tuple[int, ...]) -> nn.Sequential:
    """Return layers with rectifiers between them."""
    layers: list[nn.Module] = []
    for before, after in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(0.05)]
    return nn.Sequential(*layers[:-2])


def symmetries() -> list[Tensor]:
    """Return the orders in which mirrored and transposed surroundings show their facts."""
    index = {offset: number for number, offset in enumerate(OFFSETS)}
    rest = list(range(FACTS, FACTS + 11))
    orders = []
    for flip_y in (1, -1):
        for flip_x in (1, -1):
            orders.append([index[flip_y * y, flip_x * x] for y, x in OFFSETS] + rest)
            turned = [index[flip_x * x, flip_y * y] for y, x in OFFSETS] + rest
            turned[IN_ROW], turned[IN_COLUMN] = IN_COLUMN, IN_ROW
            orders.append(turned)
    return [torch.tensor(order) for order in orders]


def learn(samples: Samples, widths: tuple[int, ...], orders: list[Tensor], minutes: float) -> Any:
    """Train a network; return its layers, for facts as they are, and the mean of e^(l / 2).

    A mistake costs what it moves in the finished photo. How many defects a photo has is drawn
    anew for each sample, from 10 to 6000 in a million, and added to what the network says.
    """
    rng = np.random.default_rng(1)
    torch.manual_seed(1)
    seen = torch.from_numpy(samples.seen)
    mean, scale = (f(seen[::20].float(), 0) for f in (torch.mean, torch.std))
    scale = scale + 0.05
    if len(orders) > 1:  # what surrounds a sample is of one scale
        mean[:FACTS], scale[:FACTS] = 0, 1
    model = network((seen.shape[1], *widths, 1)).train()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    defects = np.flatnonzero(samples.defects)
    light = np.flatnonzero(~samples.defects)
    stands_for = np.cumsum(samples.weight[light])
    usual = float(np.median(samples.share))
    start, step = time.monotonic(), 0
    while (spent := (time.monotonic() - start) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            cosine = 0.51 + 0.49 * math.cos(math.pi * spent)
            group["lr"] = RATE * min(1.0, (step + 1) / 200) * cosine
        drawn = np.searchsorted(stands_for, rng.random(BATCH // 2) * stands_for[-1] * 0.999999)
        batch = np.concatenate([rng.choice(defects, BATCH // 2), light[drawn]])
        expected = np.exp(rng.uniform(math.log(FEWEST), math.log(EXPECTED_MOST), BATCH))
        weight = np.where(
            samples.defects[batch], expected / samples.share[batch], stands_for[-1] / len(defects)
        )
        weight *= np.sqrt(samples.cost[batch] + 0.003) * usual / expected
        prior = np.log(expected * samples.per_light[batch])
        facts = seen[torch.from_numpy(batch)][:, orders[int(rng.integers(len(orders)))]].float()
        said = model((facts - mean) / scale)[:, 0] + torch.from_numpy(prior).float()
        wanted = torch.from_numpy(samples.defects[batch]).float()
        loss = F.binary_cross_entropy_with_logits(said, wanted, reduction="none")
        loss = (loss * torch.from_numpy(weight).float().clamp(max=50)).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 1000 == 0:
            print(f"step {step}, {100 * spent:.0f} %, loss {loss.item():.4f}", flush=True)
    with torch.no_grad():
        facts = (seen[torch.from_numpy(light)].float() - mean) / scale
        said = model.eval()(facts)[:, 0].double().numpy()
    odd = np.average(np.exp(said / 2), weights=samples.weight[light])
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    layers = [(layer.weight.detach(), layer.bias.detach()) for layer in linear]
    weight0, bias0 = layers[0]
    layers[0] = weight0 / scale, bias0 - weight0 @ (mean / scale)
    return [(one.numpy(), other.numpy()) for one, other in layers], float(odd)


def write(name: str, layers: list[tuple[Floats, Floats]], dtype: Any) -> None:
    """Replace the layers of one network in the file."""
    held = load_file(WEIGHTS) if WEIGHTS.exists() else {}
    held = {key: value for key, value in held.items() if not key.startswith(f"{name}.")}
    for number, (weight, bias) in enumerate(layers):
        held[f"{name}.{number}.weight"] = weight.astype(dtype)
        held[f"{name}.{number}.bias"] = bias.astype(dtype)
    save_file(dict(sorted(held.items())), WEIGHTS)


def train_around(folder: Path, minutes: float) -> None:
    """Train the networks that see what is around a sample."""
    for number, (kind, share) in enumerate(zip(KINDS, (0.45, 0.45, 0.1), strict=True)):
        layers, _ = learn(load_samples(folder, number), AROUND, symmetries(), share * minutes)
        write(kind, layers, np.float16)


def train_estimate(folder: Path, sources: list[Photograph], count: int, minutes: float) -> None:
    """Look over captures, and train the network that sees the estimates of their suspects."""
    for number, path in samples_left(folder, count):
        shot = capture(sources, SIDE_OF_SUSPECTS, (2, number))
        evidence = look_over(shot.mosaic, shot.sensor)
        looked = estimate_suspects(shot.mosaic, evidence, shot.sensor)
        if looked.estimate is None:
            continue
        places, defects = looked.places, shot.defects[looked.places]
        seen = what_estimates_say(
            evidence[places], shot.mosaic[places], looked.estimate, shot.sensor
        )
        away = np.abs(shot.mosaic[places] - looked.estimate.value)
        cost = np.minimum(away * shot.ratio, 1).astype(np.float32)
        million = shot.mosaic.size / 1e6
        np.savez(
            path,
            **{"seen": seen, "defects": defects, "cost": cost, "weight": np.ones(len(seen))},
            kinds=np.zeros(len(seen), np.int8),
            share=max(shot.defects.sum(), 1) / million,
            per_light=million / max(np.count_nonzero(~defects), 5),
        )
    samples = load_samples(folder, 0)
    layers, odd = learn(samples, ESTIMATE, [torch.arange(samples.seen.shape[1])], minutes)
    write("estimate", layers, np.float32)
    held = load_file(WEIGHTS) | {"odd": np.array(odd, np.float32)}
    save_file(dict(sorted(held.items())), WEIGHTS)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, count, minutes, told in (
        ("make", 1400, 0, "make samples of captures"),
        ("around", 0, 11, "train the first networks on them"),
        ("estimate", 700, 2, "make suspects and train the last network on them"),
    ):
        command = commands.add_parser(name, help=told)
        command.add_argument("folder", type=Path)
        if count:
            command.add_argument("--photos", type=Path, action="append", required=True)
            command.add_argument("--count", type=int, default=count)
        if minutes:
            command.add_argument("--minutes", type=float, default=minutes)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.command == "around":
        train_around(chosen.folder, chosen.minutes)
        return
    sources = [one for one in load_sources(chosen.photos) if isinstance(one, Photograph)]
    if chosen.command == "make":
        make(chosen.folder, sources, chosen.count)
    else:
        train_estimate(chosen.folder, sources, chosen.count, chosen.minutes)


if __name__ == "__main__":
    main()
