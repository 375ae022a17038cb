"""Files of the sensors in the table of nightfix/README.md: restored, or refused by name."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dng_files
import numpy as np
import pytest
from dng_files import LINEAR_RAW, DngSpec, coded_samples, write_test_dng

from nightfix.condition.noise import measure_noise
from nightfix.develop.demosaic import compress_range, demosaic, expand_range
from nightfix.errors import RawReadError, UnsupportedSensorError
from nightfix.read import reader
from nightfix.read.bayer import CFA_PATTERNS, CfaPattern
from nightfix.read.reader import RawImage, read_raw, sampled, to_dn
from nightfix.write.dng import write_dng

QUAD = "RRGGRRGGGGBBGGBB"
X_TRANS = "GBGGRGRGRBGBGBGGRGGRGGBGBGBRGRGRGGBG"


@pytest.mark.parametrize(
    ("letters", "planes"),
    [("RGGBRGGBRGGBRGGB", "RGB"), ("GMCY", "GMCY"), ("RGBC", "RGBC")],
    ids=["4 x 4", "gmcy", "rgbc"],
)
def test_other_arrays_are_refused_by_name(tmp_path: Path, letters: str, planes: str) -> None:
    spec = DngSpec(coded_samples(96, 96), cfa_pattern=letters, planes=planes)
    path = write_test_dng(tmp_path / "odd.dng", spec)
    with pytest.raises(UnsupportedSensorError) as caught:
        read_raw(path)
    assert caught.value.kind
    assert "Bayer, X-Trans and monochrome" in caught.value.hint


@pytest.mark.parametrize(
    ("white", "black"), [(1023, 64), (4095, 256), (16383, 512), (65535, 2048)], ids=str
)
@pytest.mark.parametrize("photometric", [dng_files.CFA, LINEAR_RAW], ids=["bayer", "mono"])
def test_every_bit_depth_is_read_to_the_same_light(
    tmp_path: Path, photometric: int, white: int, black: int
) -> None:
    light = np.linspace(-0.02, 1, 64 * 96).reshape(64, 96)
    samples = np.clip(np.rint(light * (white - black) + black), 0, white).astype(np.uint16)
    spec = DngSpec(samples, white=white, black=(float(black),), photometric=photometric)
    raw = read_raw(write_test_dng(tmp_path / "photo.dng", spec))
    np.testing.assert_allclose(raw.mosaic, light, atol=0.6 / (white - black))
    assert raw.bit_depth == max(white, 1).bit_length()


# --- X-Trans

#: Light of a gray card in camera colors [white].
CARD = {"R": 0.06, "G": 0.12, "B": 0.075}
A, B = 4e-4, 4e-6


def x_trans(tmp_path: Path, side: int, dark: float) -> Path:
    """Photograph a card of that brightness, its lower half a third darker, with noise."""
    rng = np.random.default_rng(5)
    cell = np.array([CARD[letter] for letter in X_TRANS]).reshape(6, 6)
    light = np.tile(cell, (side // 6 + 1, side // 6 + 1))[:side, :side] * dark
    light[side // 2 :] *= 2 / 3
    noisy = A * rng.poisson(light / A) + rng.normal(0, B**0.5, light.shape)
    samples = np.clip(np.rint(noisy * (16383 - 512) + 512), 0, 16383).astype(np.uint16)
    return write_test_dng(tmp_path / "x.dng", DngSpec(samples, X_TRANS, black=(512.0,)))


@pytest.mark.parametrize("dark", [1.0, 0.01], ids=["light", "dark"])
def test_x_trans_becomes_a_bayer_mosaic_of_the_same_light(tmp_path: Path, dark: float) -> None:
    raw = read_raw(x_trans(tmp_path, 540, dark))
    assert (raw.origin, raw.cfa_pattern, raw.mosaic.shape) == ("x-trans", "RGGB", (540, 540))
    upper = raw.mosaic[8:262]
    means = [upper[row::2, column::2].mean() for row, column in ((0, 0), (0, 1), (1, 0), (1, 1))]
    expected = np.array([CARD[letter] for letter in "RGGB"]) * dark
    np.testing.assert_allclose(means, expected, rtol=0.01, atol=5e-5)
    assert (raw.mosaic.min() < 0) == (dark < 1)  # what is below black is kept


def test_the_noise_of_x_trans_is_that_of_its_sensor(tmp_path: Path) -> None:
    raw = read_raw(x_trans(tmp_path, 540, 1.0))
    seen, true = measure_noise(raw).std(0.1), (A * 0.1 + B) ** 0.5
    assert 0.75 < seen / true < 1.33


def test_x_trans_too_small_for_libraw_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(RawReadError, match="X-Trans of less than 512 px"):
        read_raw(x_trans(tmp_path, 510, 1.0))


# --- Linear DNG


def write_linear(path: Path, rgb: np.ndarray) -> Path:
    """Write three colors a pixel, black 0."""
    samples = np.clip(np.rint(rgb * 16383), 0, 16383).astype(np.uint16)
    return write_test_dng(path, DngSpec(samples, photometric=LINEAR_RAW))


def noisy_mosaic(side: int = 256) -> np.ndarray:
    rng = np.random.default_rng(6)
    y, x = np.indices((side, side)) / side
    light = 0.2 + 0.1 * np.sin(9 * x + 5 * y) + 0.1 * (x > y)
    return (light + rng.normal(0, 0.01, light.shape)).astype(np.float32)


def interpolated(mosaic: np.ndarray, pattern: CfaPattern) -> np.ndarray:
    return expand_range(demosaic(compress_range(mosaic), pattern))


@pytest.mark.parametrize("pattern", CFA_PATTERNS)
def test_a_linear_dng_gives_its_mosaic_back(tmp_path: Path, pattern: CfaPattern) -> None:
    mosaic = noisy_mosaic()
    raw = read_raw(write_linear(tmp_path / "linear.dng", interpolated(mosaic, pattern)))
    assert (raw.origin, raw.cfa_pattern) == ("demosaiced", pattern)
    np.testing.assert_allclose(to_dn(raw, raw.mosaic), mosaic * 16383, atol=1)


def test_a_result_of_ours_that_is_linear_can_be_read_again(
    tmp_path: Path, synthetic_raw: Callable[..., RawImage]
) -> None:
    source = synthetic_raw(shape=(256, 256), cfa_pattern="GBRG")
    write_dng(tmp_path / "linear.dng", source, restored=False, linear=True)
    again = read_raw(tmp_path / "linear.dng")
    light = again.mosaic * 2**again.baseline_exposure
    np.testing.assert_allclose(light, source.mosaic.clip(0, 1), atol=2e-4)


def reduced(rgb: np.ndarray) -> np.ndarray:
    height, width = rgb.shape[0] // 2, rgb.shape[1] // 2
    return rgb.reshape(height, 2, width, 2, 3).mean((1, 3))


CHANGED = {
    "reduced": reduced,
    "flat": lambda rgb: np.full_like(rgb, 0.25),
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_a_linear_dng_without_a_mosaic_keeps_its_three_colors(
    tmp_path: Path, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    """Taken for a mosaic, a reduced picture would lose more than restoring it gains."""
    rgb = change(interpolated(noisy_mosaic(512), "RGGB"))
    raw = read_raw(write_linear(tmp_path / "linear.dng", rgb))
    assert (raw.origin, raw.cfa_pattern, raw.mosaic.shape) == ("rgb", "RGGB", rgb.shape)
    np.testing.assert_allclose(raw.mosaic, rgb, atol=1e-4)


def test_each_of_three_colors_has_its_own_black(tmp_path: Path) -> None:
    light = np.random.default_rng(2).uniform(-0.01, 1, (64, 96, 3))
    black = np.array([200.0, 300.0, 400.0])
    samples = np.rint(light * (16383 - black) + black).astype(np.uint16)
    spec = DngSpec(samples, photometric=LINEAR_RAW, black=(*black,), black_repeat=(1, 1))
    raw = read_raw(write_test_dng(tmp_path / "linear.dng", spec))
    np.testing.assert_allclose(raw.mosaic, light, atol=1e-4)


@pytest.mark.parametrize("pattern", CFA_PATTERNS)
def test_a_mosaic_is_taken_of_three_colors(tmp_path: Path, pattern: CfaPattern) -> None:
    rgb = np.broadcast_to([0.1, 0.2, 0.3], (64, 64, 3))
    mosaic = sampled(read_raw(write_linear(tmp_path / "linear.dng", rgb)), pattern).mosaic
    seen = [mosaic[row::2, column::2].mean() for row in (0, 1) for column in (0, 1)]
    expected = [{"R": 0.1, "G": 0.2, "B": 0.3}[letter] for letter in pattern]
    np.testing.assert_allclose(seen, expected, atol=1e-4)


# --- Quad-Bayer


def quad_bayer(tmp_path: Path, start: tuple[int, int] = (0, 0), **declared: Any) -> RawImage:
    """Photograph a card; the sensor's active area starts at some row and column of a block."""
    cell = np.roll(np.array(list(QUAD)).reshape(4, 4), (-start[0], -start[1]), (0, 1))
    light = np.tile(np.vectorize(CARD.get)(cell), (33, 48)).astype(float)
    noisy = light + np.random.default_rng(7).normal(0, 0.01, light.shape)
    samples = np.rint(noisy * (16383 - 512) + 512).astype(np.uint16)
    spec = DngSpec(samples, "".join(cell.ravel()), black=(512.0,), black_repeat=(1, 1), **declared)
    return read_raw(write_test_dng(tmp_path / "quad.dng", spec))


@pytest.mark.parametrize(
    ("start", "pattern", "shape"),
    [
        ((0, 0), "RGGB", (66, 96)),
        ((0, 2), "GRBG", (66, 96)),
        ((1, 0), "GBRG", (65, 96)),
        ((3, 3), "RGGB", (65, 95)),
    ],
    ids=str,
)
def test_the_blocks_of_a_quad_bayer_mosaic_are_averaged(
    tmp_path: Path, start: tuple[int, int], pattern: CfaPattern, shape: tuple[int, int]
) -> None:
    raw = quad_bayer(tmp_path, start)
    assert (raw.origin, raw.cfa_pattern, raw.mosaic.shape) == ("quad-bayer", pattern, shape)
    assert raw.crop == (0, 0, *shape)
    for letter, row, column in zip(pattern, (0, 0, 1, 1), (0, 1, 0, 1), strict=True):
        plane = raw.mosaic[row::2, column::2]
        assert plane.mean() == pytest.approx(CARD[letter], abs=1e-3)
        assert plane.std() == pytest.approx(0.005, rel=0.1)


def test_what_a_quad_bayer_file_states_is_stated_of_the_averages(tmp_path: Path) -> None:
    raw = quad_bayer(tmp_path, default_crop=(8, 4, 160, 120), noise_profile=(4e-4, 8e-6))
    assert raw.crop == (2, 4, 60, 80)
    np.testing.assert_allclose(raw.metadata.noise_profile, [(1e-4, 2e-6)])
    write_dng(tmp_path / "bayer.dng", raw, restored=False)
    again = read_raw(tmp_path / "bayer.dng")
    assert (again.origin, again.cfa_pattern, again.crop) == ("mosaic", "RGGB", raw.crop)
    np.testing.assert_allclose(again.mosaic, raw.mosaic, atol=1e-4)


# --- Small RAW of Nikon


def small_raw(path: Path, size: int | None = None) -> Path:
    """Write a NEF of three bytes a pixel, of two gray pixels each: Y, Y, Cb and Cr in 12 bit."""
    place, height, width = 512, 424, 640
    text = {271: b"NIKON CORPORATION\0", 272: b"NIKON D810\0"}
    tags = {254: 0, 256: width, 257: height, 258: 12, 259: 34713, 262: 32803, **text}
    tags |= {273: place, 277: 1, 278: height, 279: 3 * width * height}
    rows, texts = b"", b""
    for code, value in sorted(tags.items()):
        if isinstance(value, bytes):
            rows += struct.pack("<HHII", code, 2, len(value), 14 + 12 * len(tags) + len(texts))
            texts += value + b"\0" * (len(value) % 2)
        else:
            rows += struct.pack("<HHII", code, 4, 1, value)
    header = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + rows + struct.pack("<I", 0) + texts
    pairs = bytes([0x80, 0x02, 0x28, 0x00, 0x08, 0x80]) * (width * height // 2)
    path.write_bytes((header.ljust(place, b"\0") + pairs)[:size])
    return path


def test_a_small_raw_keeps_its_three_colors_and_its_balance(tmp_path: Path) -> None:
    raw = read_raw(small_raw(tmp_path / "small.nef"))
    assert (raw.origin, raw.mosaic.shape) == ("rgb", (424, 640, 3))
    np.testing.assert_array_equal(raw.as_shot_neutral, 1)
    assert raw.mosaic.min() == raw.mosaic.max() > 0


def test_balanced_colors_are_told_from_the_camera_s_own(
    synthetic_raw: Callable[..., RawImage],
) -> None:
    raw = synthetic_raw()
    balanced = reader._with_gray_white(raw)
    light = np.array([0.2, 0.5, 0.4])
    own = raw.color_matrices[0].matrix @ light / raw.as_shot_neutral
    np.testing.assert_allclose(balanced.color_matrices[0].matrix @ light, own)
    np.testing.assert_array_equal(balanced.as_shot_neutral, 1)


def test_a_small_raw_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RawReadError, match="truncated"):
        read_raw(small_raw(tmp_path / "small.nef", 400_000))
