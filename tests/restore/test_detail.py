from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from nightfix.condition import Conditioning, Settings, detail_share
from nightfix.condition.amplification import Amplification
from nightfix.condition.noise import NoiseModel
from nightfix.read.reader import RawImage
from nightfix.restore.detail import draw_detail, drawn_step, on_the_way, straight_step
from nightfix.restore.restorer import Restorer

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
    ours = on_the_way(y, x, e, u=U, tau=TAU)
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
    ours = drawn_step(m / ABAR_T**0.5, f, x, z, u=U, to=TO, tau=TAU)
    assert torch.allclose(ours * ABAR_BEFORE**0.5, wanted)


def noise_of(m, f):
    """Return what the paper's network predicts, Eq. (19): (m - sqrt(abar) y) / sqrt(1 - abar)."""
    return (m - ABAR_T**0.5 * f) / (1 - ABAR_T) ** 0.5


def test_the_straight_step_is_that_of_ddim(pictures):
    y, x, f, e, _ = pictures
    m = papers_sample(y, x, e)
    wanted = ABAR_BEFORE**0.5 * f + (1 - ABAR_BEFORE) ** 0.5 * noise_of(m, f)
    ours = straight_step(m / ABAR_T**0.5, f, u=U, to=TO)
    assert torch.allclose(ours * ABAR_BEFORE**0.5, wanted)


@pytest.mark.parametrize("to", [0.0, 0.3])
def test_both_end_where_a_perfect_estimate_leads(pictures, to):
    y, x, _, e, z = pictures
    m = on_the_way(y, x, e, u=0.7, tau=TAU)
    straight = straight_step(m, y, u=0.7, to=to)
    assert torch.allclose(straight, on_the_way(y, x, e, u=to, tau=TAU))
    drawn = drawn_step(m, y, x, z, u=0.7, to=to, tau=TAU)
    kept = (to / 0.7) ** 2 * 0.7 * e
    other = kept + to * (1 - (to / 0.7) ** 2) ** 0.5 * z
    assert torch.allclose(drawn, (1 - to) * y + to * x + TAU * other)


def rough(m, u):  # noqa: ARG001
    """Stand for a network that keeps some of the noise, and brightens and colors all."""
    return 0.7 * m + torch.tensor([0.2, 0.1, 0.1, 0.0])[:, None, None]


def scene(generator):
    y, x = torch.meshgrid(
        torch.linspace(0.05, 0.4, 150), torch.linspace(0, 0.2, 170), indexing="ij"
    )
    return x + y + 0.02 * torch.rand(4, 150, 170, generator=generator)


def drawn_into(restored, *, share=1.0, seed=0, drawn=False):
    return draw_detail(restored.clone(), rough, share=share, seed=seed, drawn=drawn)


def test_means_of_regions_stay(generator):
    restored = scene(generator)
    changed = drawn_into(restored)
    assert (changed - restored).std() > 0.01
    before, after = (F.avg_pool2d(p, 64, 16) for p in (restored, changed))
    assert ((after - before).abs() / before).max() < 0.005


def test_the_share_mixes(generator):
    restored = scene(generator)
    half, whole = (drawn_into(restored, share=share) - restored for share in (0.5, 1.0))
    assert torch.allclose(2 * half, whole, atol=1e-6)


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


def noisy(ratio: float = 100.0) -> Conditioning:
    return Conditioning(
        amplification=Amplification(ratio=ratio, source="given", reason="given"),
        noise=NoiseModel(a=4e-4, b=4e-7, source="tag"),
    )


class Mixing:
    """Stand for the network: mixes neighbors of the sample, the capture and what was restored."""

    def __init__(self, network):
        self.receptive_radius, self.multiple = network.receptive_radius, network.multiple

    def __call__(self, sample, capture, condition, restored, *, inner):
        assert condition.exposure > 1
        assert 0 < condition.blur <= 1
        mixed = 0.8 * F.avg_pool2d(sample, 3, 1, 1) + 0.1 * capture + 0.2 * restored
        return inner.of(mixed)


@pytest.fixture
def drawing(tiny_restorer: Restorer) -> Restorer:
    tiny_restorer.detail_network = Mixing(tiny_restorer.network)  # type: ignore[assignment,misc]
    return tiny_restorer


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("detail was drawn")

    monkeypatch.setattr("nightfix.restore.restorer.draw_detail", fail)


def test_how_much_is_drawn_follows_the_noise(synthetic_raw: Callable[..., RawImage]) -> None:
    raw, wanted = synthetic_raw(), Settings(detail=60)
    assert detail_share(raw, noisy(), Settings()) == 0
    assert detail_share(raw, noisy(), wanted) == pytest.approx(0.6)
    assert 0.1 < detail_share(raw, noisy(12), wanted) < 0.4
    assert detail_share(raw, noisy(1), wanted) == 0


@pytest.mark.parametrize("tile", [32, 64])
def test_detail_has_no_seams(drawing: Restorer, synthetic_raw, tile: int) -> None:
    raw = synthetic_raw(shape=(180, 220), ratio=100.0)
    plain, whole, cut = (
        drawing.restore(raw, noisy(), Settings(steps=1, detail=detail, tile=side)).mosaic
        for detail, side in ((0, 1024), (100, 1024), (100, tile))
    )
    assert np.std(whole - plain) > 0.003
    assert np.abs(whole - cut).max() < 1e-3


def test_a_seed_draws_other_detail(drawing: Restorer, synthetic_raw) -> None:
    raw = synthetic_raw(ratio=100.0)
    first, again, other = (
        drawing.restore(raw, noisy(), Settings(steps=1, detail=100, seed=seed)).mosaic
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert np.std(first - other) > 1e-3


@pytest.mark.parametrize(
    ("pattern", "ratio", "detail"),
    [("RGGB", 100, 0), ("RGGB", 1, 100), (None, 100, 100)],
    ids=["not asked for", "clean", "monochrome"],
)
@pytest.mark.usefixtures("no_drawing")
def test_none_is_drawn(drawing: Restorer, synthetic_raw, pattern, ratio, detail) -> None:
    raw = synthetic_raw(cfa_pattern=pattern)
    drawing.restore(raw, noisy(ratio), Settings(steps=1, detail=detail))


@pytest.mark.usefixtures("no_drawing")
def test_none_is_drawn_in_three_colors(drawing: Restorer, synthetic_raw) -> None:
    raw = synthetic_raw(shape=(48, 64))
    colors = dataclasses.replace(
        raw, mosaic=np.repeat(raw.mosaic[..., None], 3, 2), cfa_pattern=None, origin="rgb"
    )
    drawing.restore(colors, noisy(), Settings(steps=1, detail=100))


def test_progress_counts_the_passes_of_detail(drawing: Restorer, synthetic_raw) -> None:
    told: list[tuple[int, int]] = []
    settings = Settings(steps=1, detail=100, tile=64)
    drawing.restore(synthetic_raw(), noisy(), settings, lambda *step: told.append(step))
    assert len({total for _, total in told}) == 1
    assert told[-1][0] == told[-1][1]


@pytest.mark.usefixtures("physics_alone")
def test_detail_is_drawn_into_what_was_unshaken(drawing: Restorer, synthetic_raw) -> None:
    kernel = np.zeros((33, 33), np.float32)
    kernel[16, 14:19] = 0.2
    told = dataclasses.replace(noisy(), blur=True, shake=kernel)
    raw = synthetic_raw(ratio=100.0)
    shaken, plain, drawn = (
        drawing.restore(raw, how, Settings(steps=1, detail=detail)).mosaic
        for how, detail in ((noisy(), 0), (told, 0), (told, 100))
    )
    assert np.std(plain - shaken) > 0.003
    assert np.std(drawn - plain) > 0.003
