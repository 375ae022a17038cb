from __future__ import annotations

import math

import pytest
import torch

from nightfix.restore.motion import light_streaks
from nightfix.restore.motion.kernels import KERNEL_SIZE, LONG_KERNEL_SIZE, shake_length
from nightfix.restore.motion.light_streaks import _LARGE, _USUAL, kernel_from_lights
from nightfix.training.camera_shake import Shake, blur, random_shake
from nightfix.training.unprocessing import mosaic_planes

RATIO, A, B = 30.0, 1e-4, 1e-7


def night(
    generator: torch.Generator, radii: list[float], level: float = 20.0, side: int = 448
) -> torch.Tensor:
    """Return a dark wall with lights of some radii in two rows, (3, side, side)."""
    axis = torch.arange(float(side))
    light = 0.05 + 0.03 * torch.rand((3, side // 8, side // 8), generator=generator)
    light = light.repeat_interleave(8, 1).repeat_interleave(8, 2)
    for n, radius in enumerate(radii):
        y, x = 110.3 + 200 * (n % 2), 100.7 + 100 * (n // 2)
        color = 0.4 + torch.rand((3, 1, 1), generator=generator)
        distance = ((axis[:, None] - y) ** 2 + (axis - x) ** 2).sqrt()
        light = light + level * color * (radius + 0.5 - distance).clamp(0, 1)
    return light


def photograph(light: torch.Tensor, kernel: torch.Tensor | None, generator: torch.Generator):
    """Return capture and picture of a scene."""
    margin = KERNEL_SIZE // 2
    seen = light[:, margin:-margin, margin:-margin] if kernel is None else blur(light, kernel)
    seen = mosaic_planes(seen[:, :416, :416])
    noise = (A * seen / RATIO + B).sqrt() * torch.randn(seen.shape, generator=generator)
    return (seen / RATIO + noise).clamp_max(1), seen


def likeness(one: torch.Tensor, other: torch.Tensor) -> float:
    spectrum = torch.fft.rfft2(one, s=(130, 130)) * torch.fft.rfft2(other, s=(130, 130)).conj()
    return float(torch.fft.irfft2(spectrum).max() / (one.norm() * other.norm()))


@pytest.mark.parametrize("length", [7.0, 14.0])
@pytest.mark.parametrize(
    "radii",
    [[0.6] * 6, [2.5, 0.7, 4.0, 0.6, 3.0, 1.0]],
    ids=["points", "lamps of many sizes"],
)
def test_the_streaks_of_lights_tell_the_shake(generator, radii, length):
    true = random_shake(length, generator).kernel(KERNEL_SIZE, 1.0)
    capture, picture = photograph(night(generator, radii), true, generator)
    kernel = kernel_from_lights(capture, picture, ratio=RATIO, a=A, b=B)
    assert kernel is not None
    assert kernel.min() >= 0
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-4)
    assert likeness(kernel, true) > 0.9


def test_streaks_that_saturate_tell_it_too(generator):
    true = random_shake(12.0, generator).kernel(KERNEL_SIZE, 1.0)
    light = night(generator, [0.6, 4.0, 0.7, 3.0, 0.6, 0.8], level=150.0)
    capture, picture = photograph(light, true, generator)
    assert int((capture >= 1).sum()) > 50
    kernel = kernel_from_lights(capture, picture.clamp_max(RATIO), ratio=RATIO, a=A, b=B)
    assert kernel is not None
    assert likeness(kernel, true) > 0.85


@pytest.mark.parametrize("radius", [0.6, 3.0, 6.0], ids=["points", "lamps", "out of focus"])
def test_lights_of_a_still_camera_show_no_shake(generator, radius):
    capture, picture = photograph(night(generator, [radius] * 6), None, generator)
    kernel = kernel_from_lights(capture, picture, ratio=RATIO, a=A, b=B)
    assert kernel is not None
    assert shake_length(kernel) == 0


def long_stroke(length: float, bend: float) -> torch.Tensor:
    """Return the kernel of an arc that turns by ``bend`` [rad], faster at first."""
    time = torch.linspace(0, 1, 400)
    angle = 0.4 + bend * time
    speed = (1.3 - 0.6 * time) * length / 400
    path = torch.cumsum(torch.stack([torch.sin(angle), torch.cos(angle)]) * speed, 1)
    return Shake(path - path.mean(1, keepdim=True)).kernel(LONG_KERNEL_SIZE, 1.0)


@pytest.mark.parametrize("length", [40.0, 48.0])
@pytest.mark.parametrize("bend", [0.0, 2.0], ids=["straight", "curved"])
def test_long_shakes_are_told_too(generator, length, bend):
    """As a sensor of many small pixels draws them."""
    true = long_stroke(length, bend)
    light = night(generator, [2.5, 0.7, 4.0, 0.6, 3.0, 1.0], level=60.0, side=480)
    capture, picture = photograph(light, true, generator)
    kernel = kernel_from_lights(capture, picture, ratio=RATIO, a=A, b=B)
    assert kernel is not None
    assert kernel.shape == (LONG_KERNEL_SIZE, LONG_KERNEL_SIZE)
    assert likeness(kernel, true) > 0.9


def test_other_lights_beside_a_long_streak_do_not_count(generator):
    """Tubes of neon, no two alike, lie above and below the lights."""
    true = long_stroke(44.0, 0.5)
    light = night(generator, [0.7, 0.6, 0.8, 0.7, 0.6, 1.0], level=60.0, side=480)
    axis = torch.arange(480.0)
    for n in range(6):
        y = 110 + 200 * (n % 2) + (-1) ** n * (46 + 2 * n)
        x = 100 + 100 * (n // 2) + 7 * n
        light += 10 * (((axis[:, None] - y).abs() < 3) & ((axis - x).abs() < 20 + 3 * n))
    capture, picture = photograph(light, true, generator)
    kernel = kernel_from_lights(capture, picture, ratio=RATIO, a=A, b=B)
    assert kernel is not None
    assert likeness(kernel, true) > 0.9


def test_a_wall_without_lights_tells_nothing(generator):
    true = random_shake(12.0, generator).kernel(KERNEL_SIZE, 1.0)
    capture, picture = photograph(night(generator, []), true, generator)
    assert kernel_from_lights(capture, picture, ratio=RATIO, a=A, b=B) is None


@pytest.mark.parametrize("size", [(2, 2), (1, 40), (33, 31), (40, 40)], ids=str)
def test_a_picture_of_any_size_may_be_asked(size):
    planes = torch.rand((4, *size), generator=torch.Generator().manual_seed(1))
    kernel = kernel_from_lights(planes / RATIO, planes, ratio=RATIO, a=A, b=B)
    assert kernel is None or math.isfinite(shake_length(kernel))


def test_what_lies_below_white_is_no_light(generator, monkeypatch):
    monkeypatch.setitem(globals(), "A", 1e-6)
    monkeypatch.setitem(globals(), "B", 1e-10)
    true = random_shake(9.0, generator).kernel(KERNEL_SIZE, 1.0)
    scene = night(generator, [2.5, 0.7, 4.0, 0.6, 3.0, 1.0])
    for level, found in ((0.2, True), (0.05, False)):
        capture, picture = photograph(level * scene, true, generator)
        kernel = kernel_from_lights(capture, picture, ratio=RATIO, a=A, b=B)
        assert (kernel is not None and shake_length(kernel) > 5) == found


@pytest.mark.parametrize(("fits", "taken"), [((0.9, 1.0), True), ((0.64, 1.42), False)])
def test_a_large_kernel_has_to_explain_lights_better(monkeypatch, generator, fits, taken):
    """As one of 42 px did not, that windows in noise were bent to at ratio 250."""
    true = random_shake(14.0, generator).kernel(KERNEL_SIZE, 1.0)
    capture, picture = photograph(night(generator, [0.6] * 6), true, generator)
    sides = []

    def fitted(lights, side):
        sides.append(side)
        kernel = torch.nn.functional.pad(true, [(side - KERNEL_SIZE) // 2] * 4)
        explained, misfit = (torch.full((1, 6), value) for value in fits)
        return light_streaks._Fit(kernel[None], misfit, explained)

    def resting(lights, kernel, *_, held):
        return light_streaks._Fit(kernel, torch.full((1, 6), 3.0), torch.zeros(1, 6))

    monkeypatch.setattr(light_streaks, "_fitted", fitted)
    monkeypatch.setattr(light_streaks, "_fit", resting)
    monkeypatch.setattr(light_streaks, "_typical_length", lambda found: 30.0)
    kernel = kernel_from_lights(capture, picture, ratio=RATIO, a=A, b=B)
    assert kernel is not None
    assert kernel.shape[0] == (_LARGE if taken else _USUAL).side
    assert sides == ([_LARGE.side] if taken else [_LARGE.side, _USUAL.side])
