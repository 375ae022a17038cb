"""The script that trains the network of kernels: what it draws, how it compares, and a tiny run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nightfix.restore.motion.kernel_network import KernelNetwork

SCRIPT = Path(__file__).parents[2] / "weights/train_kernels.py"
sys.path.append(str(SCRIPT.parent))  # as where a script is run
spec = importlib.util.spec_from_file_location("train_kernels", SCRIPT)
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)


def test_all_kinds_of_blur_are_drawn_and_sum_to_one(generator):
    rng = np.random.default_rng(3)
    drawn = [script.random_kernel(rng, generator) for _ in range(60)]
    for kernel in drawn:
        assert kernel.shape == (41, 41)
        assert kernel.min() >= 0
        assert kernel.sum().item() == pytest.approx(1, abs=1e-4)
    # A lens out of focus blurs alike in all directions, a hand does not.
    alike = sum(torch.allclose(kernel, kernel.mT, atol=1e-6) for kernel in drawn)
    assert 3 <= alike <= 25


def test_the_loss_is_that_of_shapes_not_of_places(generator):
    true = torch.zeros(1, 33, 33)
    true[0, 16, 10:23] = 1 / 13
    near, far = true.roll(1, 1), true.mT
    loss = [script.loss_of(kernel, true).item() for kernel in (true, near, far)]
    assert loss[0] < 0.01
    assert loss[0] < loss[1] < loss[2]


def test_the_eight_ways_to_turn_differ(generator):
    frame = torch.rand(2, 5, 5, generator=generator)
    ways = [script.turned(frame, way) for way in range(8)]
    for one in range(8):
        for other in range(one):
            assert not torch.equal(ways[one], ways[other])


def test_a_tiny_run_makes_weights(tmp_path, boxes):
    (tmp_path / "photos").mkdir()
    picture = (255 * boxes.permute(1, 2, 0).clamp(0, 1) ** (1 / 2.2)).byte().numpy()
    iio.imwrite(tmp_path / "photos/boxes.png", picture)
    script.make(tmp_path / "pairs", [tmp_path / "photos"], count=2, seed=1)
    assert len(list((tmp_path / "pairs").glob("*.npz"))) == 2
    script.train(tmp_path / "pairs", tmp_path / "run", minutes=0.05)
    state = load_file(tmp_path / "run/kernel_network.safetensors")
    KernelNetwork(7).load_state_dict(state)
    assert state["enter.weight"].dtype == torch.float16
