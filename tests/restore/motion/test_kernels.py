from __future__ import annotations

import math

import pytest
import torch

from nightfix.restore.motion.kernels import center_kernel, kernel_axis, shake_length, still


def stroke(length: int, angle: float, side: int = 33) -> torch.Tensor:
    """Return a straight kernel: ``angle`` from the rows' direction, counter-clockwise [degrees]."""
    kernel = torch.zeros(side, side)
    for step in torch.linspace(-length / 2, length / 2, 50 * length).tolist():
        y = side // 2 - step * math.sin(math.radians(angle))
        x = side // 2 + step * math.cos(math.radians(angle))
        kernel[round(y), round(x)] += 1
    return kernel / kernel.sum()


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 135.0])
def test_a_stroke_s_length_and_direction_are_known(angle):
    kernel = stroke(13, angle)
    assert shake_length(kernel) == pytest.approx(13, rel=0.05)
    assert math.degrees(kernel_axis(kernel)[1]) == pytest.approx(angle, abs=2)


def test_a_still_camera_s_kernel_has_no_length():
    assert shake_length(still()[0]) == 0


def test_a_kernel_is_moved_to_its_middle():
    moved = center_kernel(torch.roll(stroke(9, 30.0), (3, -2), (0, 1)))
    place = torch.arange(33.0) - 16
    assert float((moved.sum(1) * place).sum()) == pytest.approx(0, abs=1e-3)
    assert float((moved.sum(0) * place).sum()) == pytest.approx(0, abs=1e-3)
    assert float(moved.sum()) == pytest.approx(1)
