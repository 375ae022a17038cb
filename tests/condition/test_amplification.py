from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from raw_images import metadata_with, plain_raw

from nightfix.condition import ExposureTarget
from nightfix.condition.amplification import (
    MAX_METERED_RATIO,
    NIGHT_KEY,
    choose_amplification,
    metered_ratio,
    parse_exposure_time,
)
from nightfix.errors import MissingMetadataError
from nightfix.read.bayer import CFA_PATTERNS, CfaPattern
from nightfix.read.reader import RawImage, Rectangle, read_raw

NEUTRAL = np.array([0.5, 1.0, 0.625])


def make_raw(
    mosaic: NDArray[np.floating],
    *,
    cfa_pattern: CfaPattern | None = "RGGB",
    exposure_time: float | None = 1 / 30,
    neutral: NDArray[np.float64] | None = None,
    baseline_exposure: float = 0.0,
) -> RawImage:
    return plain_raw(
        mosaic,
        cfa_pattern=cfa_pattern,
        as_shot_neutral=neutral,
        baseline_exposure=baseline_exposure,
        metadata=metadata_with(exposure_time=exposure_time),
    )


def gray(level: float, shape: tuple[int, int] = (128, 192)) -> NDArray[np.float64]:
    return np.full(shape, level)


# ---------------------------------------------------------------------------------------
# Given


def test_given_ratio_is_kept() -> None:
    chosen = choose_amplification(make_raw(gray(0.1)), ExposureTarget(ratio=137.5))
    assert (chosen.ratio, chosen.source) == (137.5, "given")


def test_stops_are_powers_of_two() -> None:
    chosen = choose_amplification(make_raw(gray(0.1)), ExposureTarget(ev=6.5))
    assert (chosen.ratio, chosen.source) == (2**6.5, "ev")
    assert chosen.reason == "+6.5 EV"


def test_target_exposure_is_over_the_captured_one() -> None:
    chosen = choose_amplification(make_raw(gray(0.1)), ExposureTarget(exposure_time=4.0))
    assert chosen.ratio == pytest.approx(120)
    assert chosen.source == "target exposure"
    assert chosen.reason == "1/30 s to 4 s"


def test_shorter_target_exposure_leaves_the_photo_as_it_is() -> None:
    chosen = choose_amplification(make_raw(gray(0.1)), ExposureTarget(exposure_time=1 / 60))
    assert chosen.ratio == 1.0
    assert "long enough" in chosen.reason


@pytest.mark.parametrize("exposure_time", [None, 0.0, math.nan], ids=str)
def test_target_exposure_needs_the_captured_one(exposure_time: float | None) -> None:
    with pytest.raises(MissingMetadataError, match="exposure time") as error:
        choose_amplification(
            make_raw(gray(0.1), exposure_time=exposure_time), ExposureTarget(exposure_time=4.0)
        )
    assert "--ratio" in error.value.hint


@pytest.mark.parametrize(
    "ways",
    [
        {"ratio": 2.0, "ev": 1.0},
        {"ev": 1.0, "exposure_time": 1.0},
        {"ratio": 2.0, "ev": 1.0, "exposure_time": 1.0},
        {"ratio": 0.5},
        {"ratio": math.inf},
        {"ratio": math.nan},
        {"ev": -1.0},
        {"exposure_time": -4.0},
    ],
    ids=str,
)
def test_wrong_calls_are_refused(ways: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"only one|at least"):
        ExposureTarget(**ways)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("4s", 4.0),
        ("4", 4.0),
        ("1/2", 0.5),
        ("1/30 s", 1 / 30),
        ("0.5", 0.5),
        (".5s", 0.5),
        ("2.5 sec", 2.5),
        ('10"', 10.0),
        (" 1 S ", 1.0),
    ],
)
def test_exposure_times_are_read(text: str, seconds: float) -> None:
    assert parse_exposure_time(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "s", "fast", "-1", "0", "0s", "1/0", "0/2", "1/2/3", "nan", "inf", "4m", "1e9", "1,5"],
)
def test_nonsense_is_no_exposure_time(text: str) -> None:
    with pytest.raises(ValueError, match="not an exposure time"):
        parse_exposure_time(text)


# ---------------------------------------------------------------------------------------
# Metered


@pytest.mark.parametrize("level", [0.0005, 0.004, 0.03])
def test_gray_is_brought_to_the_key(level: float) -> None:
    chosen = choose_amplification(make_raw(gray(level)))
    assert chosen.ratio * level == pytest.approx(NIGHT_KEY, rel=0.05)
    assert chosen.source == "metered"
    assert "to 0.06" in chosen.reason


@pytest.mark.parametrize(
    ("level", "ratio"),
    [(0.18, 1.0), (1.0, 1.0), (0.0, MAX_METERED_RATIO), (-0.01, MAX_METERED_RATIO)],
)
def test_ratio_stays_in_its_bounds(level: float, ratio: float) -> None:
    assert choose_amplification(make_raw(gray(level))).ratio == ratio


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (33, 47), (32, 32)], ids=str)
@pytest.mark.parametrize("cfa_pattern", [*CFA_PATTERNS, None], ids=str)
def test_any_pattern_and_size_is_metered(
    cfa_pattern: CfaPattern | None, shape: tuple[int, int]
) -> None:
    raw = make_raw(gray(0.006, shape), cfa_pattern=cfa_pattern)
    assert choose_amplification(raw).ratio == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
def test_white_balance_comes_before_luminance(cfa_pattern: CfaPattern) -> None:
    colors = {"R": NEUTRAL[0], "G": NEUTRAL[1], "B": NEUTRAL[2]}
    cell = np.array([colors[letter] for letter in cfa_pattern]).reshape(2, 2)
    raw = make_raw(0.006 * np.tile(cell, (32, 32)), cfa_pattern=cfa_pattern, neutral=NEUTRAL)
    assert choose_amplification(raw).ratio == pytest.approx(10, rel=0.01)


def test_pattern_is_that_of_the_crop() -> None:
    mosaic = gray(0.006, (65, 65))
    mosaic[1::2, 1::2] = 0.5
    raw = make_raw(mosaic, cfa_pattern="RGGB")
    shifted = dataclasses.replace(raw, crop=Rectangle(1, 1, 64, 64))
    assert choose_amplification(shifted).ratio == pytest.approx(10, rel=0.01)


def test_only_the_crop_counts() -> None:
    mosaic = gray(0.9)
    mosaic[32:96, 32:96] = 0.006
    raw = dataclasses.replace(make_raw(mosaic), crop=Rectangle(32, 32, 64, 64))
    assert choose_amplification(raw).ratio == pytest.approx(10, rel=0.01)


def test_baseline_exposure_counts_as_light() -> None:
    raw = make_raw(gray(0.006), baseline_exposure=2.0)
    assert choose_amplification(raw).ratio == pytest.approx(2.5, rel=0.01)


def test_noise_does_not_move_the_meter(rng: np.random.Generator) -> None:
    clean = gray(0.001, (512, 512))
    noisy = clean + rng.normal(0, 0.004, clean.shape)
    expected = metered_ratio(make_raw(clean))[0]
    assert metered_ratio(make_raw(noisy))[0] == pytest.approx(expected, rel=0.03)


def test_lamps_do_not_rule_the_meter() -> None:
    scene = gray(0.001, (512, 512))
    dark = choose_amplification(make_raw(scene)).ratio
    scene[:64, :32] = 1.0
    assert choose_amplification(make_raw(scene)).ratio == pytest.approx(dark, rel=0.1)


def test_subject_before_black_is_not_amplified_beyond_white() -> None:
    scene = gray(0.0, (512, 512))
    scene[256:] = 0.1
    assert choose_amplification(make_raw(scene)).ratio == pytest.approx(10, rel=0.01)


def test_broken_samples_do_not_break_the_meter() -> None:
    scene = gray(0.006, (512, 512))
    scene[5, 5] = np.nan
    assert choose_amplification(make_raw(scene)).ratio == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("name", ["Fusion_GPFR7066.dng", "HERO7_GOPR9231.dng"])
def test_daylight_photos_stay_as_they_are(name: str, shared: Path) -> None:
    assert 1 <= choose_amplification(read_raw(shared / "raw" / name)).ratio < 2
