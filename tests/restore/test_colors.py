from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from nightfix.condition.amplification import Amplification
from nightfix.condition.conditioning import Conditioning, Settings
from nightfix.condition.noise import NoiseModel
from nightfix.restore import colors
from nightfix.restore.colors import ColorNetwork, cells_of, settle_colors, to_eye, to_light

RATIO, A, B = 100.0, 4e-4, 4e-7
NEUTRAL = torch.tensor([0.5, 1.0, 0.6])
PLANES = NEUTRAL[[0, 1, 1, 2]][:, None, None]


def told(ratio: float = RATIO, a: float = A, b: float = B) -> Conditioning:
    return Conditioning(
        amplification=Amplification(ratio=ratio, source="given", reason="given"),
        noise=NoiseModel(a=a, b=b, source="tag"),
    )


def wall(side: int = 384) -> torch.Tensor:
    """Return a wall of one gray, darker toward one corner, in camera light (4, side, side)."""
    place = torch.linspace(0, 1, side)
    return (0.05 + 0.3 * place[:, None] * place) * PLANES


def captured(scene: torch.Tensor, ratio: float = RATIO, seed: int = 0) -> torch.Tensor:
    """Return a noisy capture of a scene."""
    generator = torch.Generator().manual_seed(seed)
    dark = scene / ratio
    noise = torch.randn(dark.shape, generator=generator)
    return dark + (A * dark + B).sqrt() * noise


def cloudy(scene: torch.Tensor, capture: torch.Tensor, ratio: float = RATIO) -> torch.Tensor:
    """Return what a network makes that keeps what is coarse of the noise and nothing finer."""
    noise = F.avg_pool2d(capture * ratio - scene, 15, 1, 7, count_include_pad=False)
    return scene + F.avg_pool2d(noise, 15, 1, 7, count_include_pad=False)


def color_error(planes: torch.Tensor, scene: torch.Tensor) -> float:
    """Return the root mean square of errors of color in means of 16 x 16."""
    red, first, second, blue = F.avg_pool2d((planes - scene) / PLANES, 16)
    green = (first + second) / 2
    return float(torch.stack([red - green, blue - green]).square().mean().sqrt())


def brightness(planes: torch.Tensor) -> torch.Tensor:
    """Return means of 32 x 32 of how bright balanced light looks."""
    red, first, second, blue = F.avg_pool2d(planes / PLANES, 32)
    return 0.25 * red + 0.3 * (first + second) + 0.15 * blue


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_clouds_of_color_shrink_and_brightness_stays(seed: int) -> None:
    scene = wall()
    capture = captured(scene, seed=seed)
    clouds = cloudy(scene, capture)
    settled = settle_colors(clouds.clone(), capture, told(), NEUTRAL)
    assert color_error(settled, scene) < 0.75 * color_error(clouds, scene)
    assert torch.allclose(brightness(settled), brightness(clouds), rtol=2e-3)


def test_colors_of_things_stay() -> None:
    scene = wall()
    scene[0, :, 128:256] *= 1.8
    scene[3, 128:256] *= 1.5
    capture = captured(scene)
    clouds = cloudy(scene, capture)
    settled = settle_colors(clouds.clone(), capture, told(), NEUTRAL)
    assert color_error(settled, scene) < color_error(clouds, scene)


def test_nothing_is_done_where_there_is_little_noise() -> None:
    scene = wall()
    clouds = scene + 0.01 * torch.randn(4, 1, 1)
    kept = settle_colors(clouds.clone(), scene, told(1.0, 1e-5, 1e-8), NEUTRAL)
    assert torch.equal(kept, clouds)


def test_lamps_keep_their_color() -> None:
    scene = wall(256)
    scene[:, 96:112, 96:112] = torch.tensor([6.0, 3.0, 3.0, 1.0])[:, None, None]
    capture = captured(scene)
    clouds = cloudy(wall(256), capture.minimum(wall(256)))
    clouds[:, 96:112, 96:112] = scene[:, 96:112, 96:112]
    settled = settle_colors(clouds.clone(), capture, told(), NEUTRAL)
    assert torch.allclose(settled[:, 96:112, 96:112], clouds[:, 96:112, 96:112])
    assert not torch.allclose(settled, clouds)


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (33, 47), (130, 250)], ids=str)
def test_any_size(shape: tuple[int, int]) -> None:
    scene = (torch.full(shape, 0.2) * PLANES).contiguous()
    settled = settle_colors(scene.clone(), captured(scene), told(), NEUTRAL)
    assert settled.shape == scene.shape
    assert torch.isfinite(settled).all()


def test_means_are_those_of_what_is_there() -> None:
    cells = cells_of(wall(20), wall(20) / RATIO, told(), NEUTRAL)
    assert cells.restored.shape == (1, 3, 3, 3)
    corner = wall(20)[0, 16:, 16:].mean()
    assert float(cells.restored[0, 0, 2, 2]) == pytest.approx(float(corner))
    assert torch.allclose(cells.captured, cells.restored, rtol=1e-4)


def test_the_scale_to_the_eye_and_back() -> None:
    light = torch.linspace(-0.5, 8, 1001, dtype=torch.float64)
    assert torch.allclose(to_light(to_eye(light)), light, atol=1e-12)
    assert (to_eye(light).diff() > 0).all()


def test_an_untrained_network_changes_nothing() -> None:
    cells = cells_of(wall(64), captured(wall(64)), told(), NEUTRAL)
    assert not ColorNetwork()(cells).any()


def test_the_shipped_network_is_small() -> None:
    state = load_file(colors._WEIGHTS)
    assert {value.dtype for value in state.values()} == {torch.float16}
    assert colors._WEIGHTS.stat().st_size < 3_000_000


@pytest.mark.parametrize(("pattern", "times"), [("GRBG", 1), (None, 0)])
def test_photos_of_a_color_sensor_are_settled(
    tiny_restorer, synthetic_raw, monkeypatch, pattern, times
) -> None:
    seen = []

    def settle(restored, capture, conditioning, neutral):
        seen.append(neutral.tolist())
        return restored

    monkeypatch.setattr("nightfix.restore.restorer.settle_colors", settle)
    raw = synthetic_raw(cfa_pattern=pattern, shape=(64, 64))
    tiny_restorer.restore(raw, told(16.0), Settings(steps=1))
    assert len(seen) == times
    assert all(np.allclose(one, raw.as_shot_neutral) for one in seen)
