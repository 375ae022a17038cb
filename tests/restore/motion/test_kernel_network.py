"""The network that tells a shake from estimates of it."""

from __future__ import annotations

import pytest
import torch

from nightfix.restore.motion.edges import estimates_from_edges
from nightfix.restore.motion.kernel_network import KernelNetwork, most_likely_kernel
from nightfix.restore.motion.kernels import KERNEL_SIZE, center_kernel
from nightfix.training.camera_shake import blur, random_shake
from nightfix.training.unprocessing import mosaic_planes


def error(kernel: torch.Tensor, true: torch.Tensor) -> float:
    return ((kernel - true).norm() / true.norm()).item()


def test_answers_are_kernels(generator):
    kernel = most_likely_kernel(torch.rand(7, KERNEL_SIZE, KERNEL_SIZE, generator=generator))
    assert kernel.shape == (KERNEL_SIZE, KERNEL_SIZE)
    assert kernel.min() >= 0
    assert kernel.sum().item() == pytest.approx(1, abs=1e-4)
    place = torch.arange(KERNEL_SIZE) - KERNEL_SIZE // 2
    for axis in (0, 1):
        assert (kernel.sum(axis) * place).sum().item() == pytest.approx(0, abs=0.05)


def test_an_untrained_network_answers_the_estimate(generator):
    torch.manual_seed(2)
    estimate = random_shake(9.0, generator).kernel(KERNEL_SIZE, 1.0)
    seen = (estimate / estimate.max()).expand(1, 7, -1, -1)
    with torch.no_grad():
        network = KernelNetwork(7)
        network.leave.bias.zero_()
        answer = network(seen)[0]
    known = (estimate / estimate.max() + 0.01) / (estimate / estimate.max() + 0.01).sum()
    assert torch.allclose(answer, known, atol=1e-6)


def test_the_network_comes_nearer_to_shakes(boxes, generator):
    before, after = [], []
    for length in (6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 13.0, 15.0):
        true = center_kernel(random_shake(length, generator).kernel(KERNEL_SIZE, 1.0))
        seen = mosaic_planes(blur(boxes, true))
        noise = 0.005 * torch.randn(seen.shape, generator=generator)
        estimates = estimates_from_edges(seen + noise)
        before.append(error(center_kernel(estimates[0] / estimates[0].sum()), true))
        after.append(error(most_likely_kernel(estimates), true))
    assert sum(after) < 0.85 * sum(before), (before, after)
