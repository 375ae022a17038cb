from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from numpy.typing import NDArray
from raw_images import metadata_with, plain_raw

from nightfix import raw_from_array
from nightfix.condition.noise import choose_noise, measure_noise
from nightfix.read.bayer import CFA_PATTERNS, CfaPattern
from nightfix.read.reader import RawImage, sampled

Floats = NDArray[np.float64]
SENSITIVITIES = [1e-4, 3e-4, 1e-3, 3e-3]


def make_raw(
    mosaic: NDArray[np.floating],
    *,
    cfa_pattern: CfaPattern | None = "RGGB",
    black_level: float = 512,
    white_level: float = 16383,
    model: str = "",
    iso_speed: float | None = None,
    noise_profile: tuple[tuple[float, float], ...] = (),
) -> RawImage:
    return plain_raw(
        mosaic,
        cfa_pattern=cfa_pattern,
        black_level=np.full((2, 2), black_level, np.float32),
        white_level=white_level,
        metadata=metadata_with(
            make=model.split(" ", maxsplit=1)[0],
            model=model,
            unique_camera_model=model,
            iso_speed=iso_speed,
            noise_profile=noise_profile,
        ),
    )


def expose(
    clean: Floats, a: float, read_noise: float, rng: np.random.Generator, dn: float = 15871
) -> Floats:
    """Photons, read noise and rounding; nothing is clipped."""
    noisy = a * rng.poisson(np.maximum(clean, 0) / a) + rng.normal(0, read_noise, clean.shape)
    return np.round(noisy * dn) / dn


def read_noise_at(a: float) -> float:
    """A sensor with about 2.5 electrons, more at low ISO."""
    return max(2.5 * a, 4e-4)


def textured_scene(rng: np.random.Generator, shape: tuple[int, int] = (512, 768)) -> Floats:
    """Ramps, rectangles with sharp edges and 1/f texture, as a mosaic of three colors."""
    height, width = shape
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    scene = 0.02 + 0.5 * x * y
    for top, left, down, right in rng.integers((0, 0, 10, 10), (*shape, 160, 160), (40, 4)):
        scene[top : top + down, left : left + right] *= rng.uniform(0.15, 2)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = 1
    phases = np.exp(2j * np.pi * rng.random(frequency.shape))
    texture = np.fft.irfft2(phases / frequency**1.2, shape)
    scene = np.clip(scene * np.exp(0.25 * texture / texture.std()), 0, 1)
    scene[::2, ::2] *= 0.5
    scene[1::2, 1::2] *= 0.6
    return scene


def kodak_mosaic(shared: Path, number: int) -> Floats:
    rgb = iio.imread(shared / "validation" / "kodak" / f"kodim{number:02d}.png")
    linear = (rgb[..., :3] / 255.0) ** 2.2
    mosaic = linear[..., 1].copy()
    mosaic[::2, ::2] = linear[::2, ::2, 0]
    mosaic[1::2, 1::2] = linear[1::2, 1::2, 2]
    return mosaic


# ---------------------------------------------------------------------------------------
# From the photo


@pytest.mark.parametrize(
    ("a", "ratio", "tolerance"),
    [
        (1e-4, 10, 0.3),  # texture everywhere, stronger than the noise
        (1e-4, 40, 0.2),
        (3e-4, 10, 0.2),
        (3e-4, 40, 0.2),
        (1e-3, 10, 0.2),
        (1e-3, 40, 0.2),
        (3e-3, 10, 0.2),
        (3e-3, 40, 0.2),
    ],
)
def test_textured_scene_is_measured(
    a: float, ratio: float, tolerance: float, rng: np.random.Generator
) -> None:
    read_noise = read_noise_at(a)
    mosaic = expose(textured_scene(rng) / ratio, a, read_noise, rng)
    noise = measure_noise(make_raw(mosaic))
    assert noise.a == pytest.approx(a, rel=tolerance)
    assert math.sqrt(noise.b) == pytest.approx(read_noise, rel=tolerance)


@pytest.mark.parametrize("a", SENSITIVITIES, ids="a={:g}".format)
def test_photographs_are_measured_within_a_fifth_but_for_the_odd_one(
    a: float, shared: Path
) -> None:
    errors = []
    for number in range(2, 25, 4):
        rng = np.random.default_rng(number)
        ratio = 8 * 8 ** rng.random()
        mosaic = expose(kodak_mosaic(shared, number) / ratio, a, read_noise_at(a), rng)
        noise = measure_noise(make_raw(mosaic))
        errors.append((noise.a / a - 1, math.sqrt(noise.b) / read_noise_at(a) - 1))
    misses = np.abs(errors)
    assert (np.quantile(misses, 0.8, axis=0) < 0.2).all(), errors


def test_read_noise_is_seen_in_a_very_dark_photo(rng: np.random.Generator) -> None:
    mosaic = expose(textured_scene(rng) / 300, 1e-3, 2.5e-3, rng)
    assert math.sqrt(measure_noise(make_raw(mosaic)).b) == pytest.approx(2.5e-3, rel=0.1)


@pytest.mark.parametrize("level", [0.0, 0.002, 0.05, 0.4])
def test_one_flat_level_keeps_its_variance(level: float, rng: np.random.Generator) -> None:
    mosaic = expose(np.full((256, 384), level), 1e-3, 2.5e-3, rng)
    expected = math.sqrt(1e-3 * level + 2.5e-3**2)
    assert measure_noise(make_raw(mosaic)).std(level) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("cfa_pattern", [*CFA_PATTERNS, None], ids=str)
def test_any_pattern_is_measured_by_its_own_greens(
    cfa_pattern: CfaPattern | None, rng: np.random.Generator
) -> None:
    scene = textured_scene(rng) / 10
    if cfa_pattern is None:
        scene[1::2, :] = scene[::2, :]
        scene[:, ::2] = scene[:, 1::2]
    else:
        red = divmod(cfa_pattern.index("R"), 2)
        scene = np.roll(scene, red, (0, 1))[2:, 2:]
    noise = measure_noise(make_raw(expose(scene, 1e-3, 2.5e-3, rng), cfa_pattern=cfa_pattern))
    assert noise.a == pytest.approx(1e-3, rel=0.2)
    assert math.sqrt(noise.b) == pytest.approx(2.5e-3, rel=0.2)


def test_greens_of_unequal_gain_are_not_noise(rng: np.random.Generator) -> None:
    mosaic = expose(textured_scene(rng) / 10, 1e-4, 4e-4, rng)
    even = measure_noise(make_raw(mosaic))
    mosaic[::2, 1::2] += 0.01
    assert measure_noise(make_raw(mosaic)).std(0.02) == pytest.approx(even.std(0.02), rel=0.1)


def test_banding_is_not_noise_of_a_sample(rng: np.random.Generator) -> None:
    mosaic = expose(textured_scene(rng) / 10, 3e-4, 8e-4, rng)
    mosaic += rng.normal(0, 4e-4, (mosaic.shape[0], 1))
    assert math.sqrt(measure_noise(make_raw(mosaic)).b) == pytest.approx(8e-4, rel=0.2)


def test_samples_cut_at_zero_are_allowed_for(rng: np.random.Generator) -> None:
    mosaic = np.maximum(expose(textured_scene(rng) / 30, 1e-3, 2.5e-3, rng, dn=16383), 0)
    noise = measure_noise(make_raw(mosaic, black_level=0))
    assert noise.a == pytest.approx(1e-3, rel=0.2)
    assert math.sqrt(noise.b) == pytest.approx(2.5e-3, rel=0.2)


def test_saturated_areas_are_left_out(rng: np.random.Generator) -> None:
    mosaic = expose(textured_scene(rng) / 6, 1e-3, 2.5e-3, rng)
    mosaic[:300] = 1.0
    assert measure_noise(make_raw(mosaic)).a == pytest.approx(1e-3, rel=0.2)


def test_noise_below_rounding_is_floored_there(rng: np.random.Generator) -> None:
    mosaic = expose(textured_scene(rng) / 200, 1e-6, 1e-6, rng)
    assert measure_noise(make_raw(mosaic)).b >= 0.999 / 12 / 15871**2


@pytest.mark.parametrize("black_level", [0, 512])
@pytest.mark.parametrize("cfa_pattern", ["GRBG", None], ids=str)
@pytest.mark.parametrize(
    "mosaic",
    [
        pytest.param(np.zeros((64, 64)), id="black"),
        pytest.param(np.ones((64, 64)), id="white"),
        pytest.param(np.full((64, 64), 0.3), id="gray"),
        pytest.param(np.full((64, 64), -5.0), id="far below black"),
        pytest.param(np.zeros((2, 2)), id="2x2"),
        pytest.param(np.full((1, 400), 0.1), id="one row"),
        pytest.param(np.full((400, 1), 0.1), id="one column"),
        pytest.param(np.full((16, 16), 0.1), id="one window"),
        pytest.param(np.full((64, 64), np.nan), id="nan"),
        pytest.param(np.full((64, 64), np.inf), id="infinite"),
        pytest.param(np.where(np.arange(4096).reshape(64, 64) % 97, 0.2, np.nan), id="some nan"),
    ],
)
def test_nothing_to_measure_gives_a_usable_model(
    mosaic: Floats, cfa_pattern: CfaPattern | None, black_level: float
) -> None:
    noise = measure_noise(make_raw(mosaic, cfa_pattern=cfa_pattern, black_level=black_level))
    assert 0 < noise.a < 0.01
    assert 0 < noise.b < 0.01
    assert noise.source == "photo"


def test_large_photos_are_sampled_alike_every_time(rng: np.random.Generator) -> None:
    mosaic = np.tile(expose(textured_scene(rng) / 10, 1e-3, 2.5e-3, rng), (4, 4))
    first, second = (measure_noise(make_raw(mosaic)) for _ in range(2))
    assert first == second
    assert first.a == pytest.approx(1e-3, rel=0.2)


# ---------------------------------------------------------------------------------------
# From the tag and the table

GRAY = np.full((64, 64), 0.1)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        pytest.param(((1e-4, 1e-7),), (1e-4, 1e-7), id="one plane"),
        pytest.param(((1e-4, 1e-7), (2e-4, 2e-7), (3e-4, 3e-7)), (2e-4, 2e-7), id="three"),
        pytest.param(((1e-4, 0.0),) * 4, (1e-4, 0.0), id="four"),
    ],
)
def test_tag_comes_first(
    profile: tuple[tuple[float, float], ...], expected: tuple[float, float]
) -> None:
    noise, _ = choose_noise(
        make_raw(GRAY, model="NIKON D850", iso_speed=800, noise_profile=profile)
    )
    assert noise.source == "tag"
    assert (noise.a, noise.b) == pytest.approx(expected)


@pytest.mark.parametrize(
    "pair", [(0.0, 1e-7), (-1e-4, 1e-7), (1e-4, -1e-7), (math.nan, 0.0), (1e-4, math.inf), (5.0, 0)]
)
def test_absurd_tag_is_ignored(pair: tuple[float, float]) -> None:
    noise, _ = choose_noise(make_raw(GRAY, noise_profile=(pair,)))
    assert noise.source == "photo"


@pytest.mark.parametrize(
    ("model", "iso_speed", "gain", "read"),
    [
        pytest.param("ILCE-7SM2", 3200, 3.06, 3.92, id="A7S II listed"),
        pytest.param("SONY ILCE-7SM2", 1600, 1.53, 6.30, id="A7S II low gain"),
        pytest.param("ILCE-7SM2", 1700, 1.626, 6.69, id="A7S II nearer the low gain"),
        pytest.param("ILCE-7SM2", 1900, 1.817, 2.52, id="A7S II nearer the high gain"),
        pytest.param("ILCE-7SM2", 51200, 48.96, 51.7, id="A7S II beyond the list"),
        pytest.param("NIKON D850", 1000, 4.15, 4.96, id="D850"),
        pytest.param("Canon EOS 70D", 400, 1.63, 9.74, id="70D"),
        pytest.param("Canon EOS Kiss X7i", 800, 3.58, 18.4, id="700D in Japan"),
        pytest.param("Canon EOS REBEL T5i", 800, 3.58, 18.4, id="700D in America"),
        pytest.param("canon eos 5d mark iv", 1600, 3.49, 10.6, id="5D Mark IV, any case"),
    ],
)
def test_table_gives_the_measured_noise(
    model: str, iso_speed: float, gain: float, read: float
) -> None:
    noise, _ = choose_noise(make_raw(GRAY, model=model, iso_speed=iso_speed))
    assert noise.source == "table"
    assert noise.a == pytest.approx(gain / 15871, rel=0.07)
    # Rows and rounding come on top.
    assert math.sqrt(noise.b) == pytest.approx(read / 15871, rel=0.07)


def test_table_interpolates_between_listed_speeds() -> None:
    noises = [
        choose_noise(make_raw(GRAY, model="ILCE-7SM2", iso_speed=iso))[0]
        for iso in (6400, math.sqrt(6400 * 8000), 8000)
    ]
    assert noises[1].a == pytest.approx(math.sqrt(noises[0].a * noises[2].a), rel=1e-3)
    assert noises[1].b == pytest.approx(math.sqrt(noises[0].b * noises[2].b), rel=1e-3)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.4])
@pytest.mark.parametrize("darkening", [400, 2], ids=["dark", "bright"])
def test_a_dark_photo_corrects_the_table_s_read_noise(
    rng: np.random.Generator, factor: float, darkening: float
) -> None:
    model, iso = "NIKON D850", 1000
    listed, _ = choose_noise(make_raw(GRAY, model=model, iso_speed=iso))
    read = factor * math.sqrt(listed.b)
    mosaic = expose(textured_scene(rng) / darkening, listed.a, read, rng)
    noise, warning = choose_noise(make_raw(mosaic, model=model, iso_speed=iso))
    assert noise.source == "table"
    assert noise.a == listed.a
    assert warning == ""
    wanted = read if darkening == 400 else math.sqrt(listed.b)
    assert math.sqrt(noise.b) == pytest.approx(wanted, rel=0.1)


@pytest.mark.parametrize(("black", "white"), [(128, 4095), (2048, 65532)], ids=["12 bit", "16 bit"])
def test_table_is_scaled_to_the_levels_of_the_file(black: float, white: float) -> None:
    at_14_bit, _ = choose_noise(make_raw(GRAY, model="NIKON D850", iso_speed=800))
    noise, _ = choose_noise(
        make_raw(GRAY, model="NIKON D850", iso_speed=800, black_level=black, white_level=white)
    )
    assert noise.a == pytest.approx(at_14_bit.a, rel=1e-3)
    assert noise.b == pytest.approx(at_14_bit.b, rel=1e-3)


@pytest.mark.parametrize(
    ("model", "iso_speed"),
    [
        ("NIKON D850", None),
        ("NIKON D850", 0.0),
        ("NIKON D850", math.nan),
        ("Canon EOS 6D", 800),
        ("", 800),
    ],
    ids=str,
)
def test_without_tag_or_table_the_photo_is_measured(model: str, iso_speed: float | None) -> None:
    raw = make_raw(GRAY, model=model, iso_speed=iso_speed)
    assert choose_noise(raw) == (measure_noise(raw), "")


# ---------------------------------------------------------------------------------------
# Disagreement


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        pytest.param(0.25, "photo shows", id="photo much noisier"),
        pytest.param(0.8, "", id="about right"),
        pytest.param(1.25, "", id="about right, above"),
        pytest.param(4.0, "states", id="photo much cleaner"),
    ],
)
def test_only_a_large_disagreement_is_told(
    factor: float, words: str, rng: np.random.Generator
) -> None:
    raw = make_raw(
        expose(textured_scene(rng) / 25, 1e-3, 2.5e-3, rng),
        noise_profile=((1e-3 * factor**2, 2.5e-3**2 * factor**2),),
    )
    noise, warning = choose_noise(raw)
    assert noise.source == "tag"
    assert bool(warning) == bool(words)
    assert words in warning


@pytest.mark.parametrize("number", [1, 8, 13, 24])
def test_texture_is_not_told_as_noise(number: int, shared: Path) -> None:
    rng = np.random.default_rng(number)
    mosaic = expose(kodak_mosaic(shared, number), 1e-5, 1e-4, rng)
    _, warning = choose_noise(make_raw(mosaic, noise_profile=((1e-5, 1e-8),)))
    assert warning == ""


def test_table_is_named_where_it_disagrees(rng: np.random.Generator) -> None:
    raw = make_raw(
        expose(textured_scene(rng) / 25, 1e-3, 2.5e-3, rng), model="NIKON D850", iso_speed=100
    )
    noise, warning = choose_noise(raw)
    assert noise.source == "table"
    assert "camera table" in warning


def test_model_is_frozen() -> None:
    noise = measure_noise(make_raw(GRAY))
    with pytest.raises(dataclasses.FrozenInstanceError):
        noise.a = 1.0  # type: ignore[misc]


# --- three colors a pixel


def smooth(noise: Floats, times: int) -> Floats:
    """Average neighbors, as interpolation does; low frequencies stay as they are."""
    for _ in range(times):
        for axis in (0, 1):
            noise = (noise + np.roll(noise, 1, axis)) / 2
    return noise


@pytest.mark.parametrize(
    ("times", "least", "most"), [(0, 1.1, 1.6), (1, 0.4, 1.25), (2, 0.08, 1.25)]
)
def test_noise_of_three_colors_is_that_of_their_low_frequencies(
    rng: np.random.Generator, times: int, least: float, most: float
) -> None:
    """Smoothed noise has a smaller variance; what the network meets has not."""
    noise = smooth(rng.normal(0, 0.01, (512, 512, 3)), times)
    raw = raw_from_array(65535 * (0.1 + noise), white_level=65535, noise=(1e-7, 1e-9))
    model, warning = choose_noise(raw)
    assert (model.source, warning) == ("photo", "")
    assert least < model.std(0.1) ** 2 / 1e-4 < most
    if times:
        assert model.std(0.1) > 1.5 * measure_noise(sampled(raw)).std(0.1)


def test_a_flat_picture_of_three_colors_has_no_noise_to_measure() -> None:
    raw = raw_from_array(np.full((64, 64, 3), 8000), white_level=65535)
    assert 0 < choose_noise(raw)[0].std(0.1) < 1e-3
