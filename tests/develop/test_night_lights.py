"""Lights of one color alone: blue, red, green, violet LEDs and neon, in every output space."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from raw_images import plain_raw

from nightfix.develop.color import COLOR_SPACES, D50, adapt_white, camera_to_rgb, white_xyz
from nightfix.develop.demosaic import compress_range, demosaic, expand_range
from nightfix.develop.develop import develop_raw
from nightfix.develop.tone import fit_gamut
from nightfix.read.bayer import CFA_PATTERNS, CfaPattern
from nightfix.read.reader import ColorMatrix, RawImage

NEUTRAL = np.array([0.5, 1.0, 0.55])
#: XYZ to camera RGB of the Nikon D850's kind: it gives pure blue a negative luminance.
MATRIX = np.array(
    [[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]]
)
BLUE = np.array([0.03, 0.18, 1.0])
LEDS = [(0.03, 0.18, 1.0), (0.9, 0.10, 0.04), (0.05, 0.9, 0.25), (0.5, 0.12, 0.9)]

#: CIE L*a*b* (D50) of ColorChecker patches: X-Rite, "Colorimetric values for
#: ColorChecker family of targets", before November 2014.
PATCHES = {
    "dark skin": (37.986, 13.555, 14.059),
    "light skin": (65.711, 18.130, 17.810),
    "blue sky": (49.927, -4.880, -21.925),
    "foliage": (43.139, -13.095, 21.905),
    "white": (96.539, -0.425, 1.186),
    "neutral 8": (81.257, -0.638, -0.335),
    "neutral 6.5": (66.766, -0.734, -0.504),
    "neutral 5": (50.867, -0.153, -0.270),
    "neutral 3.5": (35.656, -0.421, -1.231),
    "black": (20.461, -0.079, -0.973),
}


def raw_of(light: np.ndarray) -> RawImage:
    """An RGGB photo of camera light (H, W, 3), before the white balance."""
    mosaic = light[..., 1].astype(np.float32)
    mosaic[0::2, 0::2] = light[0::2, 0::2, 0]
    mosaic[1::2, 1::2] = light[1::2, 1::2, 2]
    matrix = ColorMatrix(illuminant=21, matrix=MATRIX)
    return plain_raw(mosaic, as_shot_neutral=NEUTRAL, color_matrices=(matrix,))


def luminance(picture: np.ndarray, space: str) -> np.ndarray:
    chosen = COLOR_SPACES[space]
    return np.asarray(chosen.decode(picture) @ chosen.rgb_to_xyz[1])


def disc(color: np.ndarray, level: float, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A disc of 16 px with a soft rim over a dim gray wall, and the distance from its center."""
    y, x = np.mgrid[:size, :size]
    distance = np.hypot(y - size / 2, x - size / 2)
    share = np.clip(16.5 - distance, 0, 1) + 0.06 * np.exp(-np.maximum(distance - 16, 0) / 6)
    return 0.04 * NEUTRAL + level * share[..., None] * color, distance


@pytest.mark.parametrize("space", COLOR_SPACES)
@pytest.mark.parametrize("level", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("color", LEDS, ids=["blue", "red", "green", "violet"])
def test_led_is_brighter_than_the_wall_and_even(color: tuple, level: float, space: str) -> None:
    light, distance = disc(np.array(color), level)
    picture = develop_raw(raw_of(light), color_space=space)
    seen, core = luminance(picture, space), distance < 14
    assert seen[core].min() > 1.3 * np.median(seen[distance > 31])
    assert np.ptp(seen[core]) < 0.05 * seen[core].max()
    assert picture[core].min() < 0.8 * picture[core].max(), "it has a color"
    # No speckles and no black ring: nothing around it is much darker than the wall.
    assert seen.min() > 0.25 * np.median(seen[distance > 31])


@pytest.mark.parametrize("space", COLOR_SPACES)
def test_lamps_fall_off_monotonically_in_all_hues(space: str) -> None:
    matrix = camera_to_rgb(raw_of(np.zeros((2, 2, 3))).color_matrices, NEUTRAL, COLOR_SPACES[space])
    weights = COLOR_SPACES[space].rgb_to_xyz[1].astype(np.float32)
    level = np.geomspace(8, 0.01, 200)
    for hue in np.arange(0, 1, 1 / 48):
        for saturation in (0.8, 0.97, 1.0):
            camera = np.array(colorsys.hsv_to_rgb(hue, saturation, 1.0))[:, None] * level
            rgb = (matrix @ camera).astype(np.float32)
            fit_gamut(rgb, weights, camera.mean(axis=0).astype(np.float32))
            seen = weights @ rgb
            assert (np.diff(seen) < 0).all()
            assert (seen > 0.15 * camera.mean(axis=0)).all()
            assert rgb.min() >= 0


@pytest.mark.parametrize("space", COLOR_SPACES)
def test_glow_falls_off_in_the_picture(space: str) -> None:
    y, x = np.mgrid[:96, :96]
    falloff = 8 * np.exp(-np.hypot(y - 48, x - 48) / 9)
    for hue in np.arange(0, 1, 1 / 12):
        color = np.array(colorsys.hsv_to_rgb(hue, 0.97, 1.0)) * NEUTRAL
        picture = develop_raw(raw_of(falloff[..., None] * color), color_space=space)
        seen = luminance(picture, space)[48, 50:90]
        assert (np.diff(seen) < 1e-3 * seen[:-1]).all()


def test_hue_is_kept_and_saturation_falls_smoothly() -> None:
    weights = np.array([0.2126, 0.7152, 0.0722], np.float32)
    beyond = np.linspace(0.5, 4, 400)
    color = np.array([-0.3, -0.6, 2.0])
    rgb = (0.3 + beyond * (color - weights @ color)[:, None] * 0.3).astype(np.float32)
    before = rgb.copy()
    fit_gamut(rgb, weights)
    turned = (rgb[0] - rgb[1]) / (rgb[2] - rgb[1])
    assert turned == pytest.approx((before[0] - before[1]) / (before[2] - before[1]), abs=1e-4)
    assert weights @ rgb == pytest.approx(weights @ before, abs=1e-5)
    assert rgb.min() > 0
    assert (np.diff(rgb[2]) > 0).all(), "gradation is left beyond the border"


def test_luminance_is_raised_without_a_step() -> None:
    weights = np.array([0.2126, 0.7152, 0.0722], np.float32)
    blue = np.linspace(1, 20, 4000)
    camera = np.stack([np.ones_like(blue), np.ones_like(blue), blue])
    light = camera.mean(axis=0).astype(np.float32)
    matrix = np.array([[1.6, -0.4, -0.2], [-0.2, 1.6, -0.4], [0.0, -0.5, 1.5]])
    rgb = (matrix @ camera).astype(np.float32)
    assert (weights @ rgb)[-1] < 0
    fit_gamut(rgb, weights, light)
    assert np.abs(np.diff(weights @ rgb)).max() < 0.003
    assert (weights @ rgb).min() > 0.5, "gray with blue light on it does not turn black"


@pytest.mark.parametrize("space", COLOR_SPACES)
@pytest.mark.parametrize("patch", PATCHES)
def test_skin_foliage_and_gray_stay_as_they_are(patch: str, space: str) -> None:
    """To the bit, so their CIEDE2000 difference is 0."""
    chosen = COLOR_SPACES[space]
    lightness, a, b = PATCHES[patch]
    f = (lightness + 16) / 116 + np.array([a / 500, 0, -b / 200])
    relative = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    xyz = adapt_white(D50, chosen.white) @ (relative * white_xyz(D50))
    rgb = np.linalg.solve(chosen.rgb_to_xyz, xyz).astype(np.float32)[:, None]
    to_rgb = camera_to_rgb(raw_of(np.zeros((2, 2, 3))).color_matrices, NEUTRAL, chosen)
    camera = np.linalg.solve(to_rgb, rgb)
    before = rgb.copy()
    fit_gamut(rgb, chosen.rgb_to_xyz[1].astype(np.float32), camera.mean(axis=0))
    assert (rgb == before).all()


@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
@pytest.mark.parametrize("level", [2.0, 8.0])
def test_rim_of_a_blue_disc_has_no_speckles(cfa_pattern: CfaPattern, level: float) -> None:
    light, distance = disc(BLUE, level)
    balanced = light / NEUTRAL
    mosaic = np.empty(distance.shape, np.float32)
    for site, color in enumerate(cfa_pattern):
        row, column = divmod(site, 2)
        mosaic[row::2, column::2] = balanced[row::2, column::2, "RGB".index(color)]
    rgb = expand_range(demosaic(compress_range(mosaic), cfa_pattern))
    for channel in (0, 1):
        assert rgb[..., channel].min() > 0.8 * balanced[..., channel].min()
        assert rgb[..., channel].max() < 1.05 * balanced[..., channel].max()


@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize("upright", [True, False])
def test_thin_blue_neon_is_no_checkerboard(width: int, upright: bool) -> None:
    light = np.ones((48, 48, 1)) * 0.04 * NEUTRAL
    light[:, 23 : 23 + width] += 4 * BLUE
    picture = develop_raw(raw_of(light if upright else light.swapaxes(0, 1)))
    seen = luminance(picture if upright else picture.swapaxes(0, 1), "srgb")[8:-8]
    stroke = seen[:, 23 : 23 + width]
    assert stroke.min() > 1.2 * np.median(seen[:, :12])
    assert (np.ptp(stroke, axis=0) < 0.05 * stroke.mean()).all()
