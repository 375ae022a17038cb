from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from nightfix.restore.motion.edges import (
    _ON_MOSAIC,
    _ON_PLANES,
    estimates_from_edges,
    find_shake_in_edges,
    kernel_from_edges,
)
from nightfix.restore.motion.kernels import KERNEL_SIZE
from nightfix.training.camera_shake import blur, random_shake
from nightfix.training.unprocessing import mosaic_planes


def kernel(generator: torch.Generator, length: float) -> torch.Tensor:
    return random_shake(length, generator).kernel(KERNEL_SIZE, 1.0)


@pytest.mark.parametrize("size", [(2, 2), (1, 40), (9, 5), (33, 31)], ids=str)
def test_a_picture_of_any_size_has_a_kernel(size):
    kernel = kernel_from_edges(torch.rand((4, *size), generator=torch.Generator().manual_seed(1)))
    assert kernel.shape == (KERNEL_SIZE, KERNEL_SIZE)
    assert kernel.sum().item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("length", [8.0, 14.0, 20.0])
def test_a_shake_is_estimated_from_the_picture(boxes, generator, length):
    true = kernel(generator, length)
    estimated = kernel_from_edges(mosaic_planes(blur(boxes, true)))
    assert estimated.shape == (KERNEL_SIZE, KERNEL_SIZE)
    assert estimated.min() >= 0
    spectrum = torch.fft.rfft2(true, s=(64, 64)) * torch.fft.rfft2(estimated, s=(64, 64)).conj()
    likeness = torch.fft.irfft2(spectrum).max() / (true.norm() * estimated.norm())
    assert likeness > 0.85


@pytest.mark.parametrize("length", [0.0, 12.0, 18.0])
def test_a_shaken_picture_is_told_from_a_sharp_one(boxes, generator, length):
    seen = mosaic_planes(blur(boxes, kernel(generator, length)) if length else boxes)
    assert (find_shake_in_edges(seen) is not None) == (length > 0)


@pytest.mark.parametrize("kind", ["blank", "ramp", "one edge", "edge in the middle", "soft disc"])
def test_a_picture_without_detail_does_not_tell_of_a_shake(kind, generator):
    y, x = torch.meshgrid(torch.arange(160) / 240, torch.arange(240) / 240, indexing="ij")
    distance = ((x - 0.5) ** 2 + (y - 0.3) ** 2).sqrt()
    light = {
        "blank": torch.full_like(x, 0.4),
        "ramp": 0.2 + 0.5 * x,
        "one edge": 0.2 + 0.5 * (x > 0.4),
        "edge in the middle": 0.2 + 0.5 * (x > 0.5),
        "soft disc": 0.1 + 0.6 / (1 + torch.exp((distance - 0.2) * 60)),
    }[kind]
    seen = light.expand(4, -1, -1) + 0.002 * torch.randn((4, 160, 240), generator=generator)
    assert find_shake_in_edges(seen) is None


@pytest.mark.parametrize("shade", [0.0, 0.5])
def test_a_blank_picture_has_a_kernel_all_the_same(shade):
    kernel = kernel_from_edges(torch.full((4, 64, 64), shade))
    assert bool(kernel.isfinite().all())
    assert kernel.sum().item() == pytest.approx(1, abs=1e-4)


def stroke(*shares: float, down: bool = False) -> torch.Tensor:
    """Return a coarse kernel along its middle row or column."""
    kernel = torch.zeros(17, 17)
    start = 8 - len(shares) // 2
    kernel[8, start : start + len(shares)] = torch.tensor(shares)
    return kernel.T.contiguous() if down else kernel


WIDE = stroke(0.35, 0.3, 0.35)
ENDLESS = torch.full((17, 17), 1 / 289)


@pytest.mark.parametrize(
    ("glance", "cautious", "kernel", "found"),
    [
        pytest.param(WIDE, WIDE, WIDE, True, id="a shake"),
        pytest.param(stroke(0.15, 0.7, 0.15), WIDE, WIDE, False, id="sharp at a glance"),
        pytest.param(WIDE, stroke(0.3, 0.4, 0.3), WIDE, False, id="sharp if cautious"),
        pytest.param(WIDE, WIDE, stroke(0.25, 0.5, 0.25), False, id="short"),
        pytest.param(WIDE, WIDE, stroke(0.35, 0.3, 0.35, down=True), False, id="unlike"),
        pytest.param(
            WIDE, WIDE.diag_embed()[8], stroke(0.25, 0.5, 0.25).diag_embed()[8], True, id="aslant"
        ),
        pytest.param(
            WIDE, stroke(0.1, 0.27, 0.26, 0.27, 0.1), WIDE, False, id="longer if cautious"
        ),
        pytest.param(WIDE, ENDLESS, ENDLESS, False, id="without end"),
    ],
)
def test_a_shake_is_one_where_every_estimate_says_so(
    monkeypatch, boxes, glance, cautious, kernel, found
):
    fine = F.interpolate(kernel[None, None], (33, 33))[0, 0] / 4
    answers = {_ON_PLANES: kernel.clone(), _ON_MOSAIC: fine}

    def estimated(luma, first, stage, *scales):
        return answers.get(stage, glance if scales == (0.5,) else cautious)

    monkeypatch.setattr("nightfix.restore.motion.edges._estimated", estimated)
    assert (find_shake_in_edges(mosaic_planes(boxes)) is not None) == found


@pytest.mark.parametrize(
    ("cautious", "kernel"),
    [
        pytest.param(stroke(0.3, 0.4, 0.3), WIDE, id="sharp"),
        pytest.param(WIDE, stroke(0.35, 0.3, 0.35, down=True), id="unlike"),
    ],
)
def test_the_search_ends_at_the_first_size_that_shows_no_shake(
    monkeypatch, boxes, cautious, kernel
):
    seen = set()

    def estimated(luma, first, stage, *scales):
        seen.update(scales)
        return kernel if stage is _ON_PLANES else WIDE if scales == (0.5,) else cautious

    monkeypatch.setattr("nightfix.restore.motion.edges._estimated", estimated)
    assert find_shake_in_edges(mosaic_planes(boxes)) is None
    assert 1.0 not in seen
    assert 0.5 in seen


def test_a_fine_kernel_that_leaves_the_coarse_one_is_not_taken(monkeypatch, boxes):
    """As where clapboards, as fine as the mosaic, double it beside itself."""
    coarse, astray = stroke(0.2, 0.2, 0.2, 0.2, 0.2), torch.zeros(33, 33)
    astray[16, 12:21], astray[12:21:8, 12:21] = 0.08, 0.03
    answers = {_ON_PLANES: coarse, _ON_MOSAIC: astray}
    monkeypatch.setattr(
        "nightfix.restore.motion.edges._estimated",
        lambda luma, first, stage, *scales: answers[stage],
    )
    taken, fine, seen_on_planes, *_ = estimates_from_edges(mosaic_planes(boxes))
    assert taken[12].sum() == pytest.approx(0, abs=1e-4)
    assert torch.allclose(taken, seen_on_planes, atol=0.02)
    assert torch.allclose(fine, astray / astray.max())


def test_a_picture_whose_greens_differ_does_not_tell_of_a_shake(boxes, generator):
    seen = mosaic_planes(blur(boxes, kernel(generator, 14.0)))
    assert find_shake_in_edges(seen) is not None
    seen[1] *= 1.3
    assert find_shake_in_edges(seen) is None


@pytest.mark.parametrize(("length", "found"), [(3, False), (9, True)])
def test_an_estimate_on_the_mosaic_that_is_too_short_is_no_shake(
    monkeypatch, boxes, generator, length, found
):
    estimate = torch.zeros(KERNEL_SIZE, KERNEL_SIZE)
    estimate[16, 16 - length // 2 : 17 + length // 2] = 1
    told = estimate.expand(7, -1, -1)
    monkeypatch.setattr("nightfix.restore.motion.edges._estimates", lambda *_: told)
    seen = mosaic_planes(blur(boxes, kernel(generator, 12.0)))
    assert (find_shake_in_edges(seen) is not None) == found
