"""The script that trains nightfix-detail: its path, its samplers, and what it leaves as it was."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import imageio.v3 as iio
import pytest
import torch
from torch.nn import functional as F

SCRIPT = Path(__file__).parents[2] / "weights/train_detail.py"
sys.path.append(str(SCRIPT.parent))  # as where a script is run
spec = importlib.util.spec_from_file_location("train_detail", SCRIPT)
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)

#: abar at s (where the way starts), at t and at t - 1.
ABAR_S, ABAR_T, ABAR_BEFORE = 0.985, 0.991, 0.996


def noise_to_signal(abar: float) -> float:
    return ((1 - abar) / abar) ** 0.5


TAU = noise_to_signal(ABAR_S)
U, TO = noise_to_signal(ABAR_T) / TAU, noise_to_signal(ABAR_BEFORE) / TAU


@pytest.fixture
def pictures(generator):
    """Return y, x, f and two draws of noise."""
    return torch.randn(5, 4, 8, 8, generator=generator, dtype=torch.float64)


def papers_sample(y, x, e):
    """DiffRAW, Eq. (12) to (17), with the bars that the scan lost."""
    gamma = (ABAR_S / (1 - ABAR_S)) ** 0.5
    return ABAR_T**0.5 * y + (1 - ABAR_T) ** 0.5 * (gamma * (x - y) + e)


def test_the_way_is_that_of_the_paper(pictures):
    y, x, _, e, _ = pictures
    ours = script.on_the_way(y, x, e, u=U, tau=TAU)
    assert torch.allclose(ours * ABAR_T**0.5, papers_sample(y, x, e))


def test_the_drawn_step_is_that_of_the_paper(pictures):
    y, x, f, e, z = pictures
    m, alpha = papers_sample(y, x, e), ABAR_T / ABAR_BEFORE
    gamma = (ABAR_S / (1 - ABAR_S)) ** 0.5
    rest, before = (1 - ABAR_T) ** 0.5, (1 - ABAR_BEFORE) ** 0.5
    shift = gamma * before * (1 - alpha**0.5 * before / rest)
    sigma = (before**2 / rest**2 * (1 - alpha)) ** 0.5
    # Eq. (23) to (25): the shift of the posterior mean toward x, and its noise.
    wanted = (
        (rest / ABAR_T**0.5 * shift - (1 - alpha) / (alpha**0.5 * rest)) * noise_of(m, f)
        + (1 / alpha**0.5) * m
        - shift / ABAR_T**0.5 * m
        + shift * x
        + sigma * z
    )
    ours = script.drawn_step(m / ABAR_T**0.5, f, x, z, u=U, to=TO, tau=TAU)
    assert torch.allclose(ours * ABAR_BEFORE**0.5, wanted)


def noise_of(m, f):
    """Return what the paper's network predicts, Eq. (19): (m - sqrt(abar) y) / sqrt(1 - abar)."""
    return (m - ABAR_T**0.5 * f) / (1 - ABAR_T) ** 0.5


def test_the_straight_step_is_that_of_ddim(pictures):
    y, x, f, e, _ = pictures
    m = papers_sample(y, x, e)
    wanted = ABAR_BEFORE**0.5 * f + (1 - ABAR_BEFORE) ** 0.5 * noise_of(m, f)
    ours = script.straight_step(m / ABAR_T**0.5, f, u=U, to=TO)
    assert torch.allclose(ours * ABAR_BEFORE**0.5, wanted)


@pytest.mark.parametrize("to", [0.0, 0.3])
def test_both_end_where_a_perfect_estimate_leads(pictures, to):
    y, x, _, e, z = pictures
    m = script.on_the_way(y, x, e, u=0.7, tau=TAU)
    straight = script.straight_step(m, y, u=0.7, to=to)
    assert torch.allclose(straight, script.on_the_way(y, x, e, u=to, tau=TAU))
    drawn = script.drawn_step(m, y, x, z, u=0.7, to=to, tau=TAU)
    kept = (to / 0.7) ** 2 * 0.7 * e
    other = kept + to * (1 - (to / 0.7) ** 2) ** 0.5 * z
    assert torch.allclose(drawn, (1 - to) * y + to * x + TAU * other)


def rough(m, capture, condition, restored):  # noqa: ARG001
    """Stand for a network that keeps some of the noise, and brightens and colors all."""
    return 0.7 * m + torch.tensor([0.2, 0.1, 0.1, 0.0])[:, None, None]


def scene(generator):
    y, x = torch.meshgrid(
        torch.linspace(0.05, 0.4, 150), torch.linspace(0, 0.2, 170), indexing="ij"
    )
    return x + y + 0.02 * torch.rand(4, 150, 170, generator=generator)


def drawn_into(restored, *, noise=0.01, **keywords):
    ratio = 100.0
    numbers = torch.tensor([ratio, noise / ratio, 1e-9])
    sample = script.Sample(restored, restored, restored, numbers, torch.ones(3), torch.eye(3))
    return script.draw_detail(sample, rough, **keywords)


def test_means_of_regions_stay(generator):
    restored = scene(generator)
    changed = drawn_into(restored)
    assert (changed - restored).std() > 0.01
    before, after = (F.avg_pool2d(p, 32, 8) for p in (restored, changed))
    assert ((after - before).abs() / before).max() < 0.005


def test_strength_mixes(generator):
    restored = scene(generator)
    half, whole = (drawn_into(restored, strength=s) - restored for s in (50, 100))
    assert torch.allclose(2 * half, whole, atol=1e-6)
    assert torch.equal(drawn_into(restored, strength=0), restored)


def test_nothing_is_drawn_where_there_is_little_noise(generator):
    restored = scene(generator)
    assert torch.equal(drawn_into(restored, noise=1e-4), restored)


def test_lamps_stay(generator):
    restored = scene(generator)
    restored[:, 60:66, 80:86] = 3.0
    changed = drawn_into(restored)
    assert (changed - restored)[:, 58:68, 78:88].abs().max() < 0.005
    assert (changed - restored)[:, :20, :20].std() > 0.005


@pytest.mark.parametrize("drawn", [False, True])
def test_same_seed_same_picture(generator, drawn):
    restored = scene(generator)
    first, again, other = (drawn_into(restored, seed=s, drawn=drawn) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-3)


DISTANCES = """
class Lpips:
    def __init__(self, net):
        pass

    def __call__(self, a, b):
        return (a - b).square().mean((1, 2, 3))


class Dists(Lpips):
    def __init__(self):
        pass
"""


def test_from_photographs_to_scores(tmp_path, generator, capsys):
    photos, samples, run = (tmp_path / name for name in ("photos", "samples", "run"))
    photos.mkdir()
    coarse = torch.rand(1, 3, 60, 60, generator=generator)
    pixels = F.interpolate(coarse, (420, 420), mode="bicubic")[0].clamp(0, 1)
    iio.imwrite(photos / "one.png", (255 * pixels).byte().permute(1, 2, 0).numpy())
    distances = tmp_path / "distances.py"
    distances.write_text(DISTANCES, "utf-8")
    script.make(samples, [photos], count=1, seed=1, ratio=100.0)
    (made,) = samples.iterdir()
    assert script.load_sample(script.Sample, made).numbers[0] == 100
    before = made.stat().st_mtime_ns
    script.make(samples, [photos], count=1, seed=1, ratio=100.0)
    assert made.stat().st_mtime_ns == before
    script.train(samples, run, distances, minutes=0.03)
    steps = torch.load(run / "checkpoint.pt", weights_only=True)["step"]
    script.train(samples, run, distances, minutes=0.06)
    assert torch.load(run / "checkpoint.pt", weights_only=True)["step"] > steps > 0
    capsys.readouterr()
    picture = tmp_path / "rows.png"
    script.score(run / "nightfix-detail.safetensors", samples, distances, picture)
    without, drawn = capsys.readouterr().out.splitlines()
    assert without.startswith("detail 0: PSNR")
    assert drawn.startswith("detail 100: PSNR")
    assert iio.imread(picture).shape == (200, 800, 3)
