"""The script that trains the network of colors: what it draws, how it compares, and a tiny run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from safetensors.torch import load_file

from nightfix.restore.colors import ColorNetwork

SCRIPT = Path(__file__).parents[2] / "weights/train_colors.py"
sys.path.append(str(SCRIPT.parent))  # as where a script is run
spec = importlib.util.spec_from_file_location("train_colors", SCRIPT)
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)


def sample_of(restored: torch.Tensor, true: torch.Tensor) -> object:
    """Return a sample whose capture says what is true."""
    frames = torch.cat([restored, true, true, torch.zeros_like(true[:1])])
    error = 2 * (restored - true).square().mean()
    return script.Sample(frames, torch.tensor([100.0, 4e-4, 4e-7, error]), torch.ones(3))


class Shifting(torch.nn.Module):
    """Goes a share of the way from what was restored to what the capture says."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, cells: object) -> torch.Tensor:
        white = cells.neutral[:, :, None, None]
        restored, captured = (script.to_eye(c / white) for c in (cells.restored, cells.captured))
        return self.share * (captured - restored)


def test_the_loss_falls_with_what_is_left(generator):
    true = torch.rand(3, 16, 16, generator=generator)
    restored = true + 0.05 * torch.randn(3, 16, 16, generator=generator)
    batch = script.Sample(*(part[None] for part in sample_of(restored, true)))
    losses = [float(script.loss_of(Shifting(share), batch)) for share in (-0.3, 0, 0.3, 0.9)]
    assert losses == sorted(losses, reverse=True)
    assert abs(losses[1]) < 0.03


def test_red_and_blue_change_places_together(generator):
    true = torch.rand(3, 16, 16, generator=generator)
    sample = sample_of(true, true)._replace(neutral=torch.tensor([0.5, 1.0, 0.7]))
    batch = script.drawn([sample], np.random.default_rng(0))
    swapped = batch.neutral[:, 0] > 0.6
    assert 0 < swapped.sum() < len(swapped)
    for means, other in zip(batch.means, swapped, strict=True):
        first = 2 if other else 0
        assert torch.allclose(means[0].mean(), true[first].mean())


def test_a_tiny_run_makes_weights(tmp_path, boxes):
    (tmp_path / "photos").mkdir()
    picture = (255 * boxes.permute(1, 2, 0).clamp(0, 1) ** (1 / 2.2)).byte().numpy()
    iio.imwrite(tmp_path / "photos/boxes.png", picture)
    script.make(tmp_path / "samples", [tmp_path / "photos"], count=2, seed=1)
    assert len(list((tmp_path / "samples").glob("*.npz"))) == 2
    script.train(tmp_path / "samples", tmp_path / "run", minutes=0.05)
    state = load_file(tmp_path / "run/colors.safetensors")
    ColorNetwork().load_state_dict(state)
    assert state["enter.weight"].dtype == torch.float16
