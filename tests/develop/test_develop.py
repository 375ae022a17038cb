from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from raw_images import plain_raw

from nightfix import raw_from_array
from nightfix.develop import demosaic as demosaic_module
from nightfix.develop.color import COLOR_SPACES
from nightfix.develop.develop import choose_white_balance, convert_light, develop_raw
from nightfix.develop.highlights import recover_highlights, saturation_levels
from nightfix.develop.orientation import orient, undo_orientation
from nightfix.develop.tone import KNEE, fit_gamut, natural_curve, tone_map
from nightfix.develop.white_balance import WhiteBalance, estimate_neutral
from nightfix.read.bayer import CFA_PATTERNS, CfaPattern, shift_pattern, site_values
from nightfix.read.reader import ColorMatrix, RawImage, Rectangle

NEUTRAL = np.array([0.5, 1.0, 0.65])
MATRIX = ColorMatrix(
    illuminant=21,
    matrix=np.array([[0.80, -0.25, -0.08], [-0.40, 1.18, 0.24], [-0.06, 0.16, 0.62]]),
)


def make_raw(mosaic: np.ndarray, **changes: Any) -> RawImage:
    known: dict[str, Any] = {"as_shot_neutral": NEUTRAL, "color_matrices": (MATRIX,)}
    return plain_raw(mosaic, **(known | changes))


def exposed(
    light: np.ndarray, cfa_pattern: CfaPattern = "RGGB", *, ceiling: float = np.inf
) -> np.ndarray:
    """What a sensor of NEUTRAL makes of gray light (H, W), up to its ceiling."""
    response = site_values(NEUTRAL[[0, 1, 1, 2]].astype(np.float32), cfa_pattern)
    height, width = light.shape
    return np.minimum(
        light * np.tile(response, (height // 2 + 1, width // 2 + 1))[:height, :width], ceiling
    )


def linear(picture: np.ndarray) -> np.ndarray:
    return COLOR_SPACES["srgb"].decode(picture)


def lamp(brightness: float, size: int = 64) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    distance = np.hypot(y - size / 2, x - size / 2)
    return 0.02 + brightness / (1 + np.exp((distance - size / 5) / 1.5))


# --- white balance ---


@pytest.mark.parametrize("space", COLOR_SPACES)
@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
def test_gray_comes_out_gray(space: str, cfa_pattern: CfaPattern) -> None:
    raw = make_raw(exposed(np.full((20, 22), 0.18), cfa_pattern), cfa_pattern=cfa_pattern)
    picture = develop_raw(raw, color_space=space, tone="linear")
    expected = COLOR_SPACES[space].encode(np.array([0.18], np.float32))[0]
    assert picture == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(
    "asked, changes, source, noted",
    [
        ("as-shot", {}, "as-shot", False),
        ("as-shot", {"as_shot_neutral": None}, "auto", True),
        ("as-shot", {"as_shot_neutral": np.array([0.0, 1, 1])}, "auto", True),
        ("auto", {}, "auto", False),
        ("daylight", {}, "daylight", False),
        ("daylight", {"color_matrices": ()}, "as-shot", True),
        ("daylight", {"color_matrices": (), "as_shot_neutral": None}, "auto", True),
        ((2.0, 1.0, 1.5), {}, "given", False),
        ("as-shot", {"cfa_pattern": None}, "none", False),
    ],
)
def test_balance_says_what_was_used(
    asked: WhiteBalance, changes: dict[str, Any], source: str, noted: bool
) -> None:
    balance = choose_white_balance(make_raw(exposed(np.full((64, 64), 0.2)), **changes), asked)
    assert balance.source == source
    assert bool(balance.note) == noted
    assert balance.gains[1] == 1


def test_as_shot_gains_undo_the_neutral() -> None:
    balance = choose_white_balance(make_raw(np.zeros((4, 4))))
    assert balance.gains == pytest.approx(1 / NEUTRAL)


def test_given_gains_count_in_proportion() -> None:
    balance = choose_white_balance(make_raw(np.zeros((4, 4))), (4.0, 2.0, 3.0))
    assert balance.gains.tolist() == [2.0, 1.0, 1.5]


def test_daylight_is_the_cameras_answer_to_d65() -> None:
    balance = choose_white_balance(make_raw(np.zeros((4, 4))), "daylight")
    answer = MATRIX.matrix @ [0.3127 / 0.3290, 1, 0.3583 / 0.3290]
    assert balance.neutral == pytest.approx(answer / answer[1], abs=1e-6)


@pytest.mark.parametrize(
    "asked",
    [(1.0, 0.0, 1.0), (1.0, -1.0, 1.0), (1.0, float("nan"), 1.0), (1.0, 2.0), "tungsten"],
    ids=str,
)
def test_wrong_balance_is_refused(asked: Any) -> None:
    with pytest.raises(ValueError, match="white balance"):
        choose_white_balance(make_raw(np.zeros((4, 4))), asked)


def colorful(rng: np.random.Generator, neutral: np.ndarray) -> np.ndarray:
    """Patches of random gray-on-average colors under a light, as RGGB."""
    patches = rng.uniform(0.02, 0.5, (6, 8, 3)) * neutral
    rgb = patches.repeat(64, axis=0).repeat(64, axis=1)
    mosaic = rgb[..., 1].copy()
    mosaic[0::2, 0::2] = rgb[0::2, 0::2, 0]
    mosaic[1::2, 1::2] = rgb[1::2, 1::2, 2]
    return mosaic.astype(np.float32)


def test_estimate_finds_the_light(rng: np.random.Generator) -> None:
    light = np.array([0.65, 1, 0.5])
    found = estimate_neutral(colorful(rng, light), "RGGB", expected=NEUTRAL)
    assert found == pytest.approx(light, rel=0.15)


def test_estimate_does_not_see_one_red_lamp(rng: np.random.Generator) -> None:
    mosaic = colorful(rng, NEUTRAL)
    mosaic[4:20:2, 4:20:2] = 8
    found = estimate_neutral(mosaic, "RGGB", expected=NEUTRAL)
    assert found == pytest.approx(NEUTRAL, rel=0.2)


def test_estimate_keeps_a_sodium_street_warm(rng: np.random.Generator) -> None:
    found = estimate_neutral(colorful(rng, np.array([1.5, 1, 0.05])), "RGGB", expected=NEUTRAL)
    assert found == pytest.approx([2 * NEUTRAL[0], 1, NEUTRAL[2] / 2])


@pytest.mark.parametrize("level", [0.0, 1.0], ids=["black", "white"])
def test_estimate_of_nothing_is_what_was_expected(level: float) -> None:
    found = estimate_neutral(np.full((64, 64), level, np.float32), "RGGB", expected=NEUTRAL)
    assert found == pytest.approx(NEUTRAL)


# --- highlights ---


@pytest.mark.parametrize("tone", ["natural", "linear"])
@pytest.mark.parametrize(
    "brightness, ceiling",
    [(6.0, 1.0), (1.4, 1.0), (1.7, 1.0), (6.0, 0.93), (60.0, 8.0), (12.0, 8.0)],
    ids=[
        "all full",
        "green full",
        "green and blue full",
        "below white",
        "restored",
        "restored green",
    ],
)
def test_saturated_lamp_is_white(tone: Any, brightness: float, ceiling: float) -> None:
    raw = make_raw(exposed(lamp(brightness), ceiling=ceiling))
    core = linear(develop_raw(raw, tone=tone))[26:38, 26:38]
    assert np.ptp(core, axis=-1).max() / core.max() < 0.02


def test_both_renditions_are_the_same_where_nothing_is_pressed_below_white() -> None:
    raw = make_raw(exposed(lamp(6.0)))
    plain, scene = linear(develop_raw(raw)), develop_raw(raw, tone="scene")
    light = develop_raw(raw, tone="natural-hdr")
    below = scene.max(axis=-1) < 0.45
    assert light[below] == pytest.approx(plain[below], abs=1e-5)
    assert light[~below] == pytest.approx(scene[~below], rel=0.03)
    assert (light >= plain - 1e-5).all()
    assert light.max() == pytest.approx(scene.max(), rel=0.003)
    assert light.max() > 5


@pytest.mark.parametrize("target", ["srgb", "prophoto"])
def test_light_of_one_space_is_that_of_another(target: str) -> None:
    raw = make_raw(np.random.default_rng(4).uniform(0.1, 0.5, (32, 32)).astype(np.float32))
    wide = develop_raw(raw, color_space="rec2020", tone="scene")
    found = convert_light(wide, COLOR_SPACES["rec2020"], COLOR_SPACES[target])
    assert (found >= 0).all()
    expected = develop_raw(raw, color_space=target, tone="scene")
    inside = expected.min(axis=-1) > 0.06
    assert inside.mean() > 0.3
    assert found[inside] == pytest.approx(expected[inside], abs=5e-3)


def test_edge_of_a_saturated_lamp_is_not_magenta() -> None:
    picture = linear(develop_raw(make_raw(exposed(lamp(6.0), ceiling=1.0))))
    excess = (picture[..., 0] + picture[..., 2]) / 2 - picture[..., 1]
    assert excess.max() < 0.1


def three_colors(light: np.ndarray, *, ceiling: float = np.inf) -> RawImage:
    """What a sensor of NEUTRAL makes of gray light, three colors a pixel, up to its ceiling."""
    colors = np.minimum(light[..., None] * NEUTRAL, ceiling)
    raw = raw_from_array(colors, as_shot_neutral=NEUTRAL)
    return replace(raw, color_matrices=(MATRIX,))


def test_three_colors_a_pixel_are_developed_like_a_mosaic() -> None:
    light = np.linspace(0.05, 0.6, 48)[:, None] * np.linspace(0.8, 1, 64)
    whole = develop_raw(three_colors(light), tone="scene")
    mosaic = develop_raw(make_raw(exposed(light)), tone="scene")
    assert whole.shape == (48, 64, 3)
    np.testing.assert_allclose(whole, np.repeat(light[..., None], 3, -1), atol=1e-4)
    np.testing.assert_allclose(whole[4:-4, 4:-4], mosaic[4:-4, 4:-4], atol=5e-3)


def test_edge_of_a_lamp_that_saturates_three_colors_is_not_magenta() -> None:
    picture = linear(develop_raw(three_colors(lamp(6.0), ceiling=1.0)))
    excess = (picture[..., 0] + picture[..., 2]) / 2 - picture[..., 1]
    assert excess.max() < 0.1


def test_saturated_red_lamp_stays_red() -> None:
    block = np.tile(np.array([[2.0, 0.4], [0.4, 0.2]], np.float32), (4, 4))
    before = block.copy()
    recover_highlights(block, np.array([2.0, 1.0, 1.5], np.float32))
    assert block == pytest.approx(before)


def test_brightening_light_stays_white() -> None:
    ceilings = np.array([[2.0, 1.0], [1.0, 1.5]], np.float32)
    light = np.linspace(0.1, 3, 400, dtype=np.float32).repeat(2)
    block = np.minimum(np.tile(light, (8, 1)), np.tile(ceilings, (4, 400)))
    recover_highlights(block, np.array([2.0, 1.0, 1.5], np.float32))
    cells = np.stack([block[0::2, 0::2], block[0::2, 1::2], block[1::2, 0::2], block[1::2, 1::2]])
    assert np.ptp(cells, axis=0).max() < 0.04
    assert cells.max() == pytest.approx(2.0)


def test_unsaturated_photo_has_no_ceiling(rng: np.random.Generator) -> None:
    mosaic = rng.uniform(0, 1, (64, 64)).astype(np.float32) ** 3
    assert saturation_levels(mosaic, "RGGB") is None


def test_dark_flat_photo_has_no_ceiling() -> None:
    assert saturation_levels(np.full((64, 64), 0.3, np.float32), "RGGB") is None


def test_smeared_ceiling_is_found(rng: np.random.Generator) -> None:
    mosaic = rng.uniform(0, 0.6, (128, 128)).astype(np.float32)
    mosaic[40:80, 40:80] = rng.normal(0.94, 0.006, (40, 40))
    mosaic[0, 0] = 1.0
    levels = saturation_levels(mosaic, "RGGB")
    assert levels == pytest.approx([0.94] * 3, abs=0.01)


def test_ceiling_is_told_in_reference_units() -> None:
    mosaic = exposed(lamp(9), ceiling=1.0).astype(np.float32)
    levels = saturation_levels(mosaic, "RGGB", scale=8.0)
    assert levels == pytest.approx([8] * 3, rel=0.01)


# --- tone ---


@pytest.mark.parametrize("brightest", [1.0, 1.5, 4.0, 16.0])
def test_curve_rises_smoothly_from_black_to_white(brightest: float) -> None:
    level = np.linspace(0, brightest, 20001, dtype=np.float32)
    shown = natural_curve(level, brightest).astype(np.float64)
    slope = np.diff(shown) / np.diff(level.astype(np.float64))
    assert (shown[0], shown[-1]) == pytest.approx((0, 1), abs=1e-5)
    assert slope.min() > 0
    assert np.abs(np.diff(slope[level[:-1] > 0.1])).max() < 0.03


def test_curve_opens_shadows_gently() -> None:
    level = np.array([1e-4, 1e-3, 0.01, 0.05, 0.2], np.float32)
    gain = natural_curve(level, 8.0) / level
    assert (gain >= 1).all()
    assert (gain <= 1.4).all()
    assert (np.diff(gain) < 0).all()


def test_curve_leaves_the_middle_alone() -> None:
    level = np.array([0.2, 0.3, 0.4], np.float32)
    assert natural_curve(level, 8.0) == pytest.approx(level, rel=0.06)
    assert level.max() < KNEE


@pytest.mark.parametrize("color", [(1, 0.3, 0.1), (0.1, 0.2, 1), (0.2, 1, 0.3)], ids=str)
def test_lamps_keep_their_hue(color: tuple[float, float, float]) -> None:
    light = np.array([0.05, 0.5, 1, 2, 4, 8], np.float32)
    rgb = np.array(color, np.float32)[:, None] * light
    shown = tone_map(rgb.copy(), 8.0)
    ordered, before = np.sort(shown, axis=0), np.sort(rgb, axis=0)
    share = (ordered[1] - ordered[0]) / (ordered[2] - ordered[0])
    assert share == pytest.approx((before[1] - before[0]) / (before[2] - before[0]), abs=1e-4)
    saturation = 1 - ordered[0] / ordered[2]
    assert (np.diff(saturation) <= 1e-6).all()
    assert saturation[-1] > 0.3


def test_shadows_keep_their_color_exactly() -> None:
    rgb = np.array([0.05, 0.02, 0.01], np.float32)[:, None]
    shown = tone_map(rgb.copy(), 8.0)
    assert shown / shown[0] == pytest.approx(rgb / rgb[0], abs=1e-6)


def test_gamut_is_entered_at_the_same_luminance() -> None:
    luminance = np.array([0.2, 0.7, 0.1], np.float32)
    rgb = np.array([[0.5, 0.2, -0.01], [-0.2, 0.3, -0.02], [3.0, 0.1, 0.01]], np.float32)
    before = luminance @ rgb
    fit_gamut(rgb, luminance)
    assert rgb.min() >= 0
    assert luminance @ rgb == pytest.approx(np.maximum(before, 0), abs=1e-6)


def test_colors_inside_are_left_alone() -> None:
    rgb = np.array([[0.5], [0.2], [3.0]], np.float32)
    before = rgb.copy()
    fit_gamut(rgb, np.array([0.2, 0.7, 0.1], np.float32))
    assert (rgb == before).all()


# --- orientation and crop ---


ARROW = np.array([[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    "orientation, upright",
    [
        (1, [[1, 2, 3], [4, 5, 6]]),
        (2, [[3, 2, 1], [6, 5, 4]]),
        (3, [[6, 5, 4], [3, 2, 1]]),
        (4, [[4, 5, 6], [1, 2, 3]]),
        (5, [[1, 4], [2, 5], [3, 6]]),
        (6, [[4, 1], [5, 2], [6, 3]]),
        (7, [[6, 3], [5, 2], [4, 1]]),
        (8, [[3, 6], [2, 5], [1, 4]]),
        (0, [[1, 2, 3], [4, 5, 6]]),
    ],
)
def test_orientations(orientation: int, upright: list[list[int]]) -> None:
    turned = orient(ARROW, orientation)
    assert turned.tolist() == upright
    assert undo_orientation(turned, orientation).tolist() == ARROW.tolist()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_development_is_upright(rng: np.random.Generator, orientation: int) -> None:
    mosaic = exposed(rng.uniform(0.1, 0.5, (18, 26)))
    plain = develop_raw(make_raw(mosaic))
    turned = develop_raw(make_raw(mosaic, orientation=orientation))
    assert turned == pytest.approx(orient(plain, orientation), abs=0)
    assert turned.flags.c_contiguous


@pytest.mark.parametrize("top, left", [(0, 0), (1, 0), (4, 7), (13, 11)])
def test_crop_sees_beyond_its_border(rng: np.random.Generator, top: int, left: int) -> None:
    raw = make_raw(exposed(rng.uniform(0.1, 0.5, (40, 44))))
    whole = develop_raw(raw)
    part = develop_raw(replace(raw, crop=Rectangle(top, left, 15, 17)))
    assert part == pytest.approx(whole[top : top + 15, left : left + 17], abs=1e-5)


def test_crop_outside_the_mosaic_is_refused() -> None:
    with pytest.raises(ValueError, match="outside the mosaic"):
        develop_raw(make_raw(np.zeros((8, 8)), crop=Rectangle(8, 0, 4, 4)))


# --- the whole ---


def test_tiles_leave_no_seam(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = make_raw(exposed(rng.uniform(0, 3, (60, 70)), ceiling=1.0))
    whole = develop_raw(raw)
    monkeypatch.setattr(demosaic_module, "TILE", (16, 24))
    assert develop_raw(raw) == pytest.approx(whole, abs=1e-4)


def test_baseline_exposure_counts() -> None:
    light = exposed(lamp(5))
    plain = develop_raw(make_raw(light))
    shifted = develop_raw(make_raw(light / 8, baseline_exposure=3.0))
    assert shifted == pytest.approx(plain, abs=1e-4)


def test_monochrome_sensor_gives_gray(rng: np.random.Generator) -> None:
    mosaic = rng.uniform(-0.05, 0.6, (15, 21)).astype(np.float32)
    picture = develop_raw(make_raw(mosaic, cfa_pattern=None, as_shot_neutral=None), tone="linear")
    assert linear(picture) == pytest.approx(np.clip(mosaic, 0, 1)[..., None] * [1, 1, 1], abs=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 7), (7, 1), (3, 3)], ids=str)
@pytest.mark.parametrize("cfa_pattern", [*CFA_PATTERNS, None])
@pytest.mark.parametrize("asked", ["as-shot", "auto"])
def test_tiny_photos_develop(
    shape: tuple[int, int], cfa_pattern: CfaPattern | None, asked: WhiteBalance
) -> None:
    raw = make_raw(np.full(shape, 0.3), cfa_pattern=cfa_pattern)
    picture = develop_raw(raw, white_balance=asked)
    assert picture.shape == (*shape, 3)
    assert np.isfinite(picture).all()


@pytest.mark.parametrize("tone", ["natural", "linear"])
def test_result_is_in_range_with_lamps_and_noise(rng: np.random.Generator, tone: Any) -> None:
    mosaic = rng.normal(0, 0.05, (64, 64))
    mosaic[20:30, 20:30] = 8
    picture = develop_raw(make_raw(mosaic), tone=tone)
    assert picture.dtype == np.float32
    assert picture.min() >= 0
    assert picture.max() <= 1


def test_noise_around_black_gets_no_cast(rng: np.random.Generator) -> None:
    picture = linear(
        develop_raw(make_raw(rng.normal(0, 0.004, (128, 128)) + exposed(np.full((128, 128), 0.02))))
    )
    mean = picture.mean(axis=(0, 1))
    assert np.ptp(mean) / mean.mean() < 0.08


def test_lamps_up_to_eight_keep_their_gradation() -> None:
    light = np.repeat(np.repeat([[0.5, 1, 2, 4, 8]], 40, axis=0), 24, axis=1)
    picture = develop_raw(make_raw(exposed(light)))
    steps = picture[20, 12::24, 1]
    assert (np.diff(steps) > 0.02).all()


@pytest.mark.parametrize(
    "wrong", [{"color_space": "cmyk"}, {"tone": "hdr"}, {"white_balance": "warm"}], ids=str
)
def test_wrong_calls_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cmyk|hdr|warm"):
        develop_raw(make_raw(np.zeros((8, 8))), **wrong)


@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
def test_all_phases_show_one_picture(rng: np.random.Generator, cfa_pattern: CfaPattern) -> None:
    mosaic = exposed(rng.uniform(0.1, 0.5, (41, 43)))
    whole = develop_raw(make_raw(mosaic))
    top, left = divmod(cfa_pattern.index("R"), 2)
    part = make_raw(mosaic[top:, left:], cfa_pattern=shift_pattern("RGGB", top, left))
    assert develop_raw(part)[14:, 14:] == pytest.approx(whole[top:, left:][14:, 14:], abs=1e-4)
