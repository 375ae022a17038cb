from __future__ import annotations

import pytest
import torch

from nightfix.deconvolution import (
    KERNEL_SIZE,
    deconvolve,
    interpolate_colors,
    remaining_error,
    shake,
    still,
)
from nightfix.training.blur import blur, misjudged, random_shake
from nightfix.training.unprocess import mosaic_planes

NOISE = torch.full((1, 1, 1, 1), 1e-6)


def kernel(generator: torch.Generator, length: float = 14.0) -> torch.Tensor:
    return random_shake(length, generator).kernel(KERNEL_SIZE, 1.0)


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10((a - b).square().mean()))


def test_interpolated_colors_keep_what_was_measured_and_follow_a_ramp():
    rows, columns = torch.meshgrid(torch.arange(20.0), torch.arange(24.0), indexing="ij")
    ramp = 0.2 + rows / 50 + columns / 80
    colors = interpolate_colors(mosaic_planes(ramp.expand(3, -1, -1))[None])[0]
    assert torch.allclose(colors[:, 2:-2, 2:-2], ramp[2:-2, 2:-2].expand(3, -1, -1), atol=1e-6)
    planes = torch.rand((4, 10, 12), generator=torch.Generator().manual_seed(2))
    assert torch.equal(mosaic_planes(interpolate_colors(planes[None])[0]), planes)


def test_a_still_kernel_changes_nothing(boxes):
    planes = mosaic_planes(boxes)[None]
    assert torch.allclose(shake(planes, still()), planes, atol=1e-5)
    assert torch.allclose(deconvolve(planes, still(), NOISE / 1000), planes, atol=1e-2)


def test_a_shake_of_planes_is_nearly_that_of_the_light(boxes, generator):
    """Interpolation of the sharp mosaic is all that differs."""
    trace = kernel(generator)
    margin = KERNEL_SIZE // 2
    inner = mosaic_planes(boxes)[:, 8:-8, 8:-8]
    wanted = mosaic_planes(blur(boxes, trace))
    got = shake(mosaic_planes(boxes)[None], trace[None])[0, :, margin // 2 : -margin // 2]
    got = got[:, :, margin // 2 : -margin // 2]
    assert wanted.shape == got.shape == inner.shape
    assert psnr(got, wanted) > 40
    assert psnr(inner, wanted) < 30


def test_a_shake_is_undone_up_to_the_edges_of_the_frame(boxes, generator):
    """The frame is cut out of a larger picture, so light from outside fell into it."""
    trace, margin = kernel(generator), KERNEL_SIZE // 2
    seen = mosaic_planes(blur(boxes, trace))[None]
    seen = seen + 1e-3 * torch.randn(seen.shape, generator=generator)
    sharp = mosaic_planes(boxes[:, margin:-margin, margin:-margin])[None]
    undone = deconvolve(seen, trace[None], NOISE)
    assert psnr(undone, sharp) > psnr(seen, sharp) + 2
    edge = (..., slice(0, 12))
    assert psnr(undone[edge], sharp[edge]) > psnr(seen[edge], sharp[edge]) + 1


def test_each_picture_of_a_batch_has_its_own_kernel_and_noise(boxes, generator):
    planes = mosaic_planes(boxes)[None].repeat(2, 1, 1, 1)
    traces = torch.stack([kernel(generator), still()[0]])
    noise = torch.tensor([1e-5, 1e-3])[:, None, None, None]
    both = deconvolve(planes, traces, noise)
    for n in range(2):
        alone = deconvolve(planes[n : n + 1], traces[n : n + 1], noise[n : n + 1])
        assert torch.allclose(both[n], alone[0], atol=1e-5)


@pytest.mark.parametrize("size", [(2, 2), (1, 40), (9, 5), (17, 18), (33, 31)], ids=str)
def test_pictures_of_any_size_can_be_filtered(size):
    planes = torch.rand((1, 4, *size), generator=torch.Generator().manual_seed(1))
    for result in (shake(planes, still()), deconvolve(planes, still(), NOISE)):
        assert result.shape == planes.shape
        assert bool(result.isfinite().all())


def test_what_a_pass_leaves_is_never_more_than_the_noise():
    noise = torch.logspace(-8, 0, 30)
    left = remaining_error(noise)
    assert bool((left <= noise).all())
    assert bool((left.diff() > 0).all())
    assert remaining_error(torch.tensor(1e-2)).item() == pytest.approx(3.8e-4, rel=0.01)


def test_a_lamp_gets_no_rings(generator):
    """Neither a kernel that is a little wrong nor light that was cut off makes it darker around."""
    y, x = torch.meshgrid(torch.arange(160), torch.arange(192), indexing="ij")
    lamp = ((y - 80) ** 2 + (x - 90) ** 2 < 60).float() * 6
    path = random_shake(14.0, generator)
    trace = path.kernel(KERNEL_SIZE, 1.0)
    seen = mosaic_planes(blur((0.05 + lamp).expand(3, -1, -1), trace))[None].clamp_max(2)
    undone = deconvolve(seen, misjudged(path, generator)[None], NOISE)
    assert undone.min() > -0.05
    assert torch.equal(undone[seen > 1], seen[seen > 1])
    assert undone.max() <= 2


def test_unequal_greens_are_not_sharpened(generator):
    flat = torch.full((1, 4, 64, 80), 0.3)
    flat[:, 1] *= 1.1
    undone = deconvolve(flat, kernel(generator)[None], NOISE)
    assert torch.allclose(undone, flat, atol=2e-3)
