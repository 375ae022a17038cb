from __future__ import annotations

import numpy as np
import pytest
import torch

from nightfix.shake import (
    KERNEL_SIZE,
    deconvolve,
    estimate_shake,
    find_shake,
    remaining_error,
    shake,
    still,
)
from nightfix.training.blur import random_shake


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@pytest.fixture
def scene(rng) -> torch.Tensor:
    """Overlapping boxes of many sizes: edges in every place, as in a street."""
    picture = np.full((160, 224), 0.3)
    for _ in range(150):
        top, left = rng.integers(-20, 150), rng.integers(-20, 210)
        height, width = rng.integers(4, 60, 2)
        picture[max(0, top) : top + height, max(0, left) : left + width] = rng.uniform(0.02, 0.9)
    tints = torch.tensor([0.6, 1.0, 1.0, 0.7])[:, None, None]
    return torch.from_numpy(picture).float() * tints


def _kernel(generator: torch.Generator, length: float) -> torch.Tensor:
    return random_shake(length, generator).kernel(KERNEL_SIZE, 0.5)


def _psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10((a - b).square().mean()))


def test_a_still_kernel_changes_nothing(scene):
    assert torch.allclose(shake(scene[None], still())[0], scene, atol=1e-5)
    noise = torch.full((1, 1, 1, 1), 1e-9)
    assert torch.allclose(deconvolve(scene[None], still(), noise)[0], scene, atol=1e-2)


def test_shake_is_a_convolution(scene, generator):
    from scipy.ndimage import convolve

    kernel = _kernel(generator, 14.0)
    wanted = convolve(scene[0].double().numpy(), kernel.double().numpy(), mode="mirror")
    got = shake(scene[None], kernel[None])[0, 0].numpy()
    assert np.abs(got - wanted).max() < 1e-5


def test_deconvolution_undoes_a_shake_and_keeps_the_mean(scene, generator):
    kernel = _kernel(generator, 14.0)[None]
    noise = torch.full((1, 1, 1, 1), 1e-5)
    seen = shake(scene[None], kernel)
    seen = seen + 0.003 * torch.randn(seen.shape, generator=generator)
    undone = deconvolve(seen, kernel, noise)
    assert _psnr(undone[0], scene) > _psnr(seen[0], scene) + 3
    assert torch.allclose(undone.mean((2, 3)), seen.mean((2, 3)), atol=2e-3)


def test_planes_may_be_deconvolved_one_by_one(scene, generator):
    kernel, noise = _kernel(generator, 10.0)[None], torch.full((1, 1, 1, 1), 1e-3)
    whole = deconvolve(scene[None], kernel, noise)
    parts = [deconvolve(plane[None, None], kernel, noise) for plane in scene]
    assert torch.allclose(whole, torch.cat(parts, 1), atol=1e-5)


@pytest.mark.parametrize("size", [(2, 2), (1, 40), (9, 5), (33, 31)], ids=str)
def test_pictures_of_any_size_can_be_filtered(size):
    planes = torch.rand((1, 4, *size), generator=torch.Generator().manual_seed(1))
    noise = torch.full((1, 1, 1, 1), 1e-3)
    for result in (shake(planes, still()), deconvolve(planes, still(), noise)):
        assert result.shape == planes.shape
        assert bool(result.isfinite().all())
    kernel = estimate_shake(planes[0])
    assert kernel.sum().item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("length", [8.0, 14.0, 20.0])
def test_a_shake_is_estimated_from_the_picture(scene, generator, length):
    true = _kernel(generator, length)
    estimated = estimate_shake(shake(scene[None], true[None])[0])
    assert estimated.shape == (KERNEL_SIZE, KERNEL_SIZE)
    assert estimated.min() >= 0
    spectrum = torch.fft.rfft2(true, s=(64, 64)) * torch.fft.rfft2(estimated, s=(64, 64)).conj()
    likeness = torch.fft.irfft2(spectrum).max() / (true.norm() * estimated.norm())
    assert likeness > 0.85


@pytest.mark.parametrize("length", [0.0, 12.0, 18.0])
def test_a_shaken_picture_is_told_from_a_sharp_one(scene, generator, length):
    seen = shake(scene[None], _kernel(generator, length)[None])[0] if length else scene
    assert (find_shake(seen) is not None) == (length > 0)


@pytest.mark.parametrize("kind", ["blank", "ramp", "one edge", "soft disc"])
def test_a_picture_without_detail_does_not_tell_of_a_shake(kind, generator):
    y, x = torch.meshgrid(torch.arange(160) / 240, torch.arange(240) / 240, indexing="ij")
    distance = ((x - 0.5) ** 2 + (y - 0.3) ** 2).sqrt()
    light = {
        "blank": torch.full_like(x, 0.4),
        "ramp": 0.2 + 0.5 * x,
        "one edge": 0.2 + 0.5 * (x > 0.4),
        "soft disc": 0.1 + 0.6 / (1 + torch.exp((distance - 0.2) * 60)),
    }[kind]
    seen = light.expand(4, -1, -1) + 0.002 * torch.randn((4, 160, 240), generator=generator)
    assert find_shake(seen) is None


@pytest.mark.parametrize("shade", [0.0, 0.5])
def test_a_blank_picture_has_a_kernel_all_the_same(shade):
    kernel = estimate_shake(torch.full((4, 64, 64), shade))
    assert bool(kernel.isfinite().all())
    assert kernel.sum().item() == pytest.approx(1, abs=1e-4)


def test_what_a_pass_leaves_is_never_more_than_the_noise():
    noise = torch.logspace(-8, 0, 30)
    left = remaining_error(noise)
    assert bool((left <= noise).all())
    assert bool((left.diff() > 0).all())
    assert remaining_error(torch.tensor(1e-2)).item() == pytest.approx(3.8e-4, rel=0.01)
