"""The script that trains what tells defects from detail: it learns to, from what it makes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from nightfix.condition.defects import KINDS, OFFSETS
from nightfix.training.sources import Photograph

SCRIPT = Path(__file__).parents[2] / "weights/train_hot_pixels.py"
sys.path.append(str(SCRIPT.parent))  # as where a script is run
spec = importlib.util.spec_from_file_location("train_hot_pixels", SCRIPT)
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)


@pytest.fixture
def samples(tmp_path, generator, monkeypatch):
    """What the networks see of six small captures."""
    monkeypatch.setattr(script, "SIDE", 160)
    monkeypatch.setattr(script, "BATCH", 128)
    coarse = torch.rand(1, 3, 40, 40, generator=generator)
    pixels = torch.nn.functional.interpolate(coarse, (400, 400), mode="bicubic")[0].clamp(0, 1)
    photo = Photograph((255 * pixels).to(torch.uint8))
    script.make(tmp_path / "samples", [photo], 6)
    return tmp_path / "samples"


def test_defects_are_told_from_light_after_a_second(samples, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "WEIGHTS", tmp_path / "defects.safetensors")
    green = script.load_samples(samples, KINDS.index("green"))
    assert green.defects.any()
    assert green.seen.shape[1] == len(OFFSETS) + 11
    layers, odd = script.learn(green, (16,), script.symmetries(), 1 / 60)
    script.write("green", layers, np.float16)
    held = load_file(script.WEIGHTS)
    x = green.seen.astype(np.float32) @ held["green.0.weight"].T.astype(np.float32)
    hidden = np.maximum(x + held["green.0.bias"], 0)
    said = (hidden @ held["green.1.weight"].T + held["green.1.bias"])[:, 0]
    assert np.median(said[green.defects]) > np.median(said[~green.defects]) + 1
    assert odd > 0


def test_mirrored_and_transposed_surroundings_keep_their_places():
    facts = torch.arange(len(OFFSETS) + 11)
    orders = script.symmetries()
    assert len({tuple(order.tolist()) for order in orders}) == 8
    assert all(torch.equal(order.sort().values, facts) for order in orders)
    transposed = orders[1]
    assert OFFSETS[transposed[OFFSETS.index((0, 1))]] == (1, 0)
    assert transposed[script.IN_ROW] == script.IN_COLUMN
