"""Photos of three colors a pixel, restored as mosaics that are taken of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nightfix import raw_from_array
from nightfix.condition.amplification import Amplification, ExposureTarget
from nightfix.condition.conditioning import Conditioning, Settings, condition_raw
from nightfix.condition.noise import NoiseModel
from nightfix.restore.blending import blend
from nightfix.restore.motion.kernels import still
from nightfix.restore.restorer import Restorer

NEUTRAL = (0.5, 1.0, 0.625)


def conditioning(ratio: float = 16.0) -> Conditioning:
    return Conditioning(
        amplification=Amplification(ratio=ratio, source="given", reason="given"),
        noise=NoiseModel(a=4e-4, b=4e-7, source="photo"),
    )


def street(rng: np.random.Generator) -> np.ndarray:
    """Boxes of muted colors on a ramp, camera light, (192, 256, 3)."""
    y, x = np.mgrid[0:192, 0:256] / 256
    light = np.repeat((0.05 + 0.25 * y + 0.05 * x)[..., None], 3, -1)
    for _ in range(60):
        top, left = rng.integers(0, 180), rng.integers(0, 240)
        height, width = rng.integers(5, 60, 2)
        light[top : top + height, left : left + width] = rng.uniform(0.02, 0.8) * rng.uniform(
            0.7, 1.3, 3
        )
    return light * NEUTRAL


def taken(light: np.ndarray, ratio: float, rng: np.random.Generator):
    """Expose it too little, with noise that is alike in neighbors, as reduced pictures have it."""
    dark = light / ratio
    noise = rng.normal(size=(*light.shape[:2], 3))
    for axis in (0, 1):
        noise = (noise + np.roll(noise, 1, axis)) / 2**0.5
    noisy = dark + noise * np.sqrt(1e-4 * dark + 1e-7)
    return raw_from_array(65535 * noisy, white_level=65535, as_shot_neutral=NEUTRAL)


@pytest.mark.parametrize("shape", [(96, 128), (33, 47), (2, 2), (9, 2)], ids=str)
def test_only_the_colors_change(tiny_restorer, rng, shape):
    raw = raw_from_array(rng.uniform(0, 0.05, (*shape, 3)))
    restored = tiny_restorer.restore(raw, conditioning(), Settings(steps=2))
    assert restored.mosaic.shape == (*shape, 3)
    assert np.isfinite(restored.mosaic).all()
    same = {f.name for f in dataclasses.fields(raw)} - {"mosaic"}
    assert {name for name in same if getattr(raw, name) is not getattr(restored, name)} == set()


def test_every_pixel_keeps_its_own_three_colors(tiny_restorer, rng, monkeypatch):
    """With a network that only amplifies, what comes out is what went in."""
    monkeypatch.setattr(
        Restorer,
        "restore_packed",
        lambda _, capture, told, *__, **___: capture * told.amplification.ratio,
    )
    raw = raw_from_array(rng.uniform(0, 0.05, (18, 21, 3)))
    restored = tiny_restorer.restore(raw, dataclasses.replace(conditioning(), blur=False))
    np.testing.assert_allclose(restored.mosaic, 16 * raw.mosaic, rtol=1e-6)


def test_progress_is_that_of_the_whole(tiny_restorer, rng):
    told = []
    raw = raw_from_array(rng.uniform(0, 0.05, (64, 64, 3)))
    known = dataclasses.replace(conditioning(), blur=False)
    tiny_restorer.restore(raw, known, progress=lambda *done: told.append(done))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]


def test_a_shake_is_measured_once_for_all(tiny_restorer, rng, monkeypatch):
    searched, moved = [], []
    kernel = still(1)
    kernel[0, 16, 15:18] = kernel.new_tensor([0.25, 0.5, 0.25])

    def find(*_, **__):
        searched.append(1)
        return kernel[0]

    monkeypatch.setattr("nightfix.restore.restorer.find_shake", find)
    raw = raw_from_array(rng.uniform(0, 0.05, (64, 64, 3)))
    tiny_restorer.restore(raw, conditioning(), moved=moved.append)
    assert (len(searched), len(moved)) == (1, 1)


@pytest.mark.parametrize("strength", [0, 50, 100])
def test_strength_and_chroma_blend_colors(rng, strength):
    captured = raw_from_array(rng.uniform(0, 0.05, (8, 9, 3)), as_shot_neutral=NEUTRAL)
    restored = dataclasses.replace(captured, mosaic=np.full((8, 9, 3), 0.3, np.float32))
    mixed = blend(captured, restored, ratio=10, strength=strength)
    expected = 0.3 + (1 - strength / 100) * (10 * captured.mosaic - 0.3)
    np.testing.assert_allclose(mixed.mosaic, expected, rtol=1e-5)


def test_color_noise_goes_alone(rng):
    light = rng.uniform(0.1, 0.3, (8, 9, 1)) * np.array(NEUTRAL)
    restored = raw_from_array(light, as_shot_neutral=NEUTRAL)
    gray = rng.normal(0, 0.02, (8, 9, 1)) * np.array(NEUTRAL)
    color = 0.01 * np.array([1, 0, -1]) * NEUTRAL
    captured = raw_from_array((light + gray + color) / 10, as_shot_neutral=NEUTRAL)
    mixed = blend(captured, restored, ratio=10, strength=0, chroma=100)
    np.testing.assert_allclose(mixed.mosaic, light + gray, atol=1e-5)


@pytest.mark.weights
@pytest.mark.parametrize("ratio", [8, 100])
def test_it_beats_each_color_as_a_monochrome_photo(rng, ratio):
    restorer = Restorer("nightfix-fast", device="cpu")
    light = street(rng)
    raw = taken(light, ratio, rng)

    def restored(raw):
        told = condition_raw(raw, ExposureTarget(ratio=ratio), deblur=False)
        return restorer.restore(raw, told, Settings(steps=1)).mosaic

    def psnr(seen):
        return -10 * np.log10(np.mean((np.clip(seen, 0, 1) - light) ** 2))

    planes = [
        dataclasses.replace(raw, mosaic=plane, cfa_pattern=None, origin="mosaic")
        for plane in np.ascontiguousarray(np.moveaxis(raw.mosaic, -1, 0))
    ]
    alone = np.stack([restored(plane) for plane in planes], -1)

    assert psnr(restored(raw)) > psnr(alone) + 0.1
    assert psnr(restored(raw)) > psnr(ratio * raw.mosaic) + 2
