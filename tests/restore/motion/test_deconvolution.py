from __future__ import annotations

import math

import pytest
import torch

from nightfix.restore.motion.deconvolution import (
    choose_smoothness,
    context_of,
    deconvolve,
    interpolate_colors,
    shake,
)
from nightfix.restore.motion.kernels import KERNEL_SIZE, LONG_KERNEL_SIZE, still
from nightfix.training.camera_shake import Shake, blur, random_shake
from nightfix.training.unprocessing import mosaic_planes


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
    assert psnr(deconvolve(planes, still()), planes) > 30


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
    undone = deconvolve(seen, trace[None])
    assert psnr(undone, sharp) > psnr(seen, sharp) + 3
    edge = (..., slice(0, 12))
    assert psnr(undone[edge], sharp[edge]) > psnr(seen[edge], sharp[edge]) + 2


@pytest.mark.parametrize(
    ("side", "length"), [(KERNEL_SIZE, 20.0), (LONG_KERNEL_SIZE, 48.0)], ids=["usual", "long"]
)
def test_a_window_is_read_with_all_that_matters_to_it(generator, side, length):
    """A longer shake needs more; with half of it, the window comes out five times as wrong."""
    stroke = torch.linspace(-length / 2, length / 2, 200)
    trace = Shake(torch.stack([0.3 * stroke, stroke])).kernel(side, 1.0)[None]
    light = 0.02 + 0.5 * torch.rand((3, 80, 80), generator=generator)
    light = light.repeat_interleave(8, 1).repeat_interleave(8, 2)
    light[:, 300, 100:640:60] = 50
    seen = mosaic_planes(blur(light, trace[0])[:, :576, :576])[None]
    whole = deconvolve(seen, trace)

    def difference(context: int) -> float:
        window = slice(128 - context, 160 + context)
        part = deconvolve(seen[:, :, window, window], trace)
        inner = part[:, :, context:-context, context:-context]
        return float((inner - whole[:, :, 128:160, 128:160]).abs().max())

    assert difference(context_of(trace)) < 0.01
    assert difference(context_of(trace)) < 0.2 * difference(context_of(trace) // 2)


def test_each_picture_of_a_batch_has_its_own_kernel(boxes, generator):
    planes = mosaic_planes(boxes)[None].repeat(2, 1, 1, 1)
    traces = torch.stack([kernel(generator), still()[0]])
    both = deconvolve(planes, traces)
    for n in range(2):
        alone = deconvolve(planes[n : n + 1], traces[n : n + 1])
        assert torch.allclose(both[n], alone[0], atol=0.01)


@pytest.mark.parametrize("size", [(2, 2), (1, 40), (9, 5), (17, 18), (33, 31)], ids=str)
def test_pictures_of_any_size_can_be_filtered(size):
    planes = torch.rand((1, 4, *size), generator=torch.Generator().manual_seed(1))
    for result in (shake(planes, still()), deconvolve(planes, still())):
        assert result.shape == planes.shape
        assert bool(result.isfinite().all())


def shaken_lamp(power: float, path: Shake) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a sharp and a shaken lamp in front of a dark wall with a window far from it."""
    y, x = torch.meshgrid(torch.arange(320), torch.arange(480), indexing="ij")
    lamp = ((y - 90) ** 2 + (x - 90) ** 2 < 30).float() * power
    window = ((y > 120) & (y < 200) & (x > 380) & (x < 420)).float() * 0.3
    light = (0.05 + lamp + window).expand(3, -1, -1)
    margin = KERNEL_SIZE // 2
    sharp = mosaic_planes(light[:, margin:-margin, margin:-margin])[None]
    return sharp, mosaic_planes(blur(light, path.kernel(KERNEL_SIZE, 1.0)))[None]


@pytest.mark.parametrize(
    ("power", "saturation"),
    [(3.5, math.inf), (60.0, math.inf), (30.0, 8.0)],
    ids=["dim", "bright", "saturated"],
)
def test_a_lamp_is_gathered_from_its_streak(generator, power, saturation):
    path = random_shake(14.0, generator)
    sharp, seen = shaken_lamp(power, path)
    seen = seen.clamp_max(saturation)
    undone = deconvolve(seen, path.kernel(KERNEL_SIZE, 1.0)[None], saturation=saturation)
    shown, wanted, before = (light.clamp(0, 1) for light in (undone, sharp, seen))
    assert psnr(shown, wanted) > psnr(before, wanted) + 3
    near = (..., slice(20, 54), slice(20, 54))
    assert psnr(shown[near], wanted[near]) > psnr(before[near], wanted[near]) + 3


def test_unequal_greens_are_not_sharpened(generator):
    flat = torch.full((1, 4, 64, 80), 0.3)
    flat[:, 1] *= 1.1
    undone = deconvolve(flat, kernel(generator)[None])
    assert torch.allclose(undone, flat, atol=5e-3)


def test_cleaner_pictures_are_smoothed_less_unless_there_are_lights(boxes):
    planes = mosaic_planes(boxes).clamp_max(1)
    clean, noisy = (choose_smoothness(planes, a=a, b=0.0) for a in (1e-4, 1e-2))
    assert 0.005 < clean < 0.01 < noisy
    lit = planes.clone()
    lit[:, 10:20, 10:20] = 5.0
    assert choose_smoothness(lit, a=1e-4, b=0.0) == noisy


def test_less_smoothing_brings_back_more_of_a_clean_picture(boxes, generator):
    trace, margin = kernel(generator), KERNEL_SIZE // 2
    seen = mosaic_planes(blur(boxes, trace))[None]
    sharp = mosaic_planes(boxes[:, margin:-margin, margin:-margin])[None]
    less, more = (deconvolve(seen, trace[None], smoothness=s) for s in (0.006, 0.02))
    assert psnr(less, sharp) > psnr(more, sharp)


def test_momentum_brings_back_more_in_the_same_rounds(boxes, generator, monkeypatch):
    trace, margin = kernel(generator), KERNEL_SIZE // 2
    seen = mosaic_planes(blur(boxes, trace))[None]
    sharp = mosaic_planes(boxes[:, margin:-margin, margin:-margin])[None]
    with_it = deconvolve(seen, trace[None], smoothness=0.006)
    monkeypatch.setattr("nightfix.restore.motion.deconvolution._MOMENTUM", 0.0)
    without = deconvolve(seen, trace[None], smoothness=0.006)
    assert psnr(with_it, sharp) > psnr(without, sharp) + 0.5
