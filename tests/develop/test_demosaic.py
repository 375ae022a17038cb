from __future__ import annotations

import io
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import rawpy
import tifffile

from nightfix.develop import demosaic as module
from nightfix.develop.demosaic import compress_range, demosaic, expand_range
from nightfix.read.bayer import CFA_PATTERNS, CfaPattern, shift_pattern

CHANNELS = {"R": 0, "G": 1, "B": 2}
KODAK = (1, 5, 8, 13, 19, 23)
BORDER = 10


def mosaic_of(rgb: np.ndarray, cfa_pattern: CfaPattern) -> np.ndarray:
    mosaic = np.empty(rgb.shape[:2], np.float32)
    for site, color in enumerate(cfa_pattern):
        row, column = divmod(site, 2)
        mosaic[row::2, column::2] = rgb[row::2, column::2, CHANNELS[color]]
    return mosaic


def librawed(rgb: np.ndarray, algorithm: rawpy.DemosaicAlgorithm) -> np.ndarray:
    """Let LibRaw demosaic the same RGGB samples, from a small DNG in memory."""
    samples = np.round(mosaic_of(rgb, "RGGB") * 65535).astype(np.uint16)
    identity = (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)
    tags = [
        (50706, "B", 4, (1, 4, 0, 0), True),
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, (0, 1, 1, 2), True),
        (50714, "H", 1, 0, True),
        (50717, "H", 1, 65535, True),
        (50721, "2i", 9, identity, True),
        (50728, "2I", 3, (1, 1, 1, 1, 1, 1), True),
        (50778, "H", 1, 21, True),
    ]
    file = io.BytesIO()
    tifffile.imwrite(file, samples, photometric=32803, extratags=tags, metadata=None)
    file.seek(0)
    with rawpy.imread(file) as raw:
        developed = raw.postprocess(
            demosaic_algorithm=algorithm,
            output_color=rawpy.ColorSpace.raw,
            gamma=(1, 1),
            no_auto_bright=True,
            no_auto_scale=True,
            user_wb=[1, 1, 1, 1],
            output_bps=16,
        )
    return developed.astype(np.float32) / 65535


def cpsnr(rgb: np.ndarray, truth: np.ndarray) -> float:
    inside = (slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    error = np.round(np.clip(rgb[inside], 0, 1) * 255) - truth[inside] * 255
    return float(10 * np.log10(255**2 / np.mean(error**2)))


@pytest.fixture
def smooth() -> np.ndarray:
    """A scene of soft waves in which the three colors differ, (40, 44, 3)."""
    y, x = np.mgrid[:40, :44]
    waves = [0.4 + 0.2 * np.sin(0.15 * y + 0.1 * x + k) for k in (0.0, 0.2, 0.4)]
    return np.stack(waves, axis=-1).astype(np.float32)


def test_beats_libraws_ahd_and_dht_on_kodak(shared: Path) -> None:
    scores = {"own": 0.0, "AHD": 0.0, "DHT": 0.0}
    for number in KODAK:
        path = shared / "validation" / "kodak" / f"kodim{number:02}.png"
        truth = np.asarray(iio.imread(path), np.float32) / 255
        scores["own"] += cpsnr(demosaic(mosaic_of(truth, "RGGB"), "RGGB"), truth) / len(KODAK)
        for name in ("AHD", "DHT"):
            theirs = librawed(truth, rawpy.DemosaicAlgorithm[name])
            scores[name] += cpsnr(theirs, truth) / len(KODAK)
    assert scores["own"] > scores["AHD"] + 2, scores
    assert scores["own"] > scores["DHT"] + 2, scores
    assert scores["own"] > 39.2, scores


def test_libraw_sees_the_same_samples(smooth: np.ndarray) -> None:
    theirs = librawed(smooth, rawpy.DemosaicAlgorithm.AHD)
    assert mosaic_of(theirs, "RGGB") == pytest.approx(mosaic_of(smooth, "RGGB"), abs=1e-5)


@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
def test_every_phase_gives_the_scene(smooth: np.ndarray, cfa_pattern: CfaPattern) -> None:
    rgb = demosaic(mosaic_of(smooth, cfa_pattern), cfa_pattern)
    assert np.abs(rgb - smooth)[4:-4, 4:-4].max() < 0.008
    assert np.abs(rgb - smooth).max() < 0.05


@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
def test_samples_stay_as_they_are(rng: np.random.Generator, cfa_pattern: CfaPattern) -> None:
    mosaic = rng.normal(0.5, 1.0, (31, 29)).astype(np.float32)
    assert mosaic_of(demosaic(mosaic, cfa_pattern), cfa_pattern) == pytest.approx(mosaic, abs=1e-6)


@pytest.mark.parametrize("top, left", [(0, 1), (1, 0), (1, 1), (3, 6)])
def test_moving_the_origin_moves_the_picture(smooth: np.ndarray, top: int, left: int) -> None:
    mosaic = mosaic_of(smooth, "RGGB")
    whole = demosaic(mosaic, "RGGB")[top:, left:]
    part = demosaic(mosaic[top:, left:], shift_pattern("RGGB", top, left))
    inside = (slice(12, None), slice(12, None))
    assert part[inside] == pytest.approx(whole[inside], abs=1e-5)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2), (2, 2), (1, 9), (9, 1), (3, 5), (13, 2)], ids=str
)
@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
def test_tiny_mosaics_work(shape: tuple[int, int], cfa_pattern: CfaPattern) -> None:
    rgb = demosaic(np.full(shape, 0.25, np.float32), cfa_pattern)
    assert rgb.shape == (*shape, 3)
    assert rgb == pytest.approx(0.25, abs=1e-6)


def test_tiles_leave_no_seam(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    mosaic = rng.uniform(-0.1, 3, (70, 90)).astype(np.float32)
    whole = demosaic(mosaic, "GRBG")
    monkeypatch.setattr(module, "TILE", (17, 23))
    assert demosaic(mosaic, "GRBG") == pytest.approx(whole, abs=1e-6)


def test_lamps_and_noise_below_black_survive() -> None:
    mosaic = np.full((32, 32), -0.05, np.float32)
    mosaic[:, 16:] = 2.5
    rgb = demosaic(mosaic, "RGGB")
    assert rgb[:, :8] == pytest.approx(-0.05, abs=1e-5)
    assert rgb[:, 24:] == pytest.approx(2.5, abs=1e-5)


@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
@pytest.mark.parametrize("radius", [1.2, 2.5, 6.0])
def test_lamp_has_no_halo(cfa_pattern: CfaPattern, radius: float) -> None:
    y, x = np.mgrid[:48, :48]
    distance = np.hypot(y - 24.3, x - 23.6)
    light = 0.01 + 8 / (1 + np.exp(np.clip((distance - radius) / 0.4, -50, 50)))
    truth = np.repeat(light[..., None], 3, axis=-1).astype(np.float32)
    rgb = expand_range(demosaic(compress_range(mosaic_of(truth, cfa_pattern)), cfa_pattern))
    dark = distance > radius + 4
    assert rgb.min() > 0
    assert rgb[dark] == pytest.approx(0.01, abs=0.002)
    assert np.ptp(rgb[distance < radius - 2], axis=-1).max(initial=0) < 0.35


def test_hard_edge_of_a_lamp_does_not_ring() -> None:
    y, x = np.mgrid[:48, :48]
    inside = np.hypot(y - 24.3, x - 23.6) < 5
    mosaic = np.where(inside, 8, 0.01).astype(np.float32)
    rgb = expand_range(demosaic(compress_range(mosaic), "RGGB"))
    assert rgb.min() > 0.009
    assert rgb.max() < 8.01


def test_compressed_range_goes_back() -> None:
    linear = np.array([-0.3, -1e-4, 0, 1e-4, 0.18, 1, 8, 16], np.float32)
    assert expand_range(compress_range(linear)) == pytest.approx(linear, rel=1e-4, abs=1e-7)
    assert (np.diff(compress_range(linear)) > 0).all()


def test_noise_in_the_shadows_gets_no_cast(rng: np.random.Generator) -> None:
    mosaic = rng.normal(0.03, 0.01, (256, 256)).astype(np.float32)
    rgb = expand_range(demosaic(compress_range(mosaic), "RGGB"))
    assert rgb.mean(axis=(0, 1)) == pytest.approx(mosaic.mean(), rel=0.015)
