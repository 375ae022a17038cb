from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from nightfix.develop.color import (
    COLOR_SPACES,
    D50,
    D65,
    SRGB_TO_XYZ,
    ColorSpace,
    adapt_white,
    camera_to_rgb,
    color_temperature,
    interpolate_matrix,
    neutral_to_xy,
    white_xyz,
    xy_to_neutral,
)
from nightfix.develop.icc import icc_profile
from nightfix.read.reader import ColorMatrix

WARM = ColorMatrix(
    illuminant=17,
    matrix=np.array([[0.95, -0.35, -0.06], [-0.45, 1.25, 0.22], [-0.05, 0.14, 0.55]]),
)
COLD = ColorMatrix(
    illuminant=21,
    matrix=np.array([[0.80, -0.25, -0.08], [-0.40, 1.18, 0.24], [-0.06, 0.16, 0.62]]),
)
SPACES = [pytest.param(space, id=name) for name, space in COLOR_SPACES.items()]


def test_srgb_matrix_follows_from_its_primaries() -> None:
    assert COLOR_SPACES["srgb"].rgb_to_xyz == pytest.approx(np.array(SRGB_TO_XYZ), abs=5e-4)


def test_srgb_matrix_is_plain_numbers() -> None:
    assert isinstance(SRGB_TO_XYZ, tuple)
    assert {type(value) for row in SRGB_TO_XYZ for value in row} == {float}


@pytest.mark.parametrize("space", SPACES)
def test_curve_goes_there_and_back(space: ColorSpace) -> None:
    encoded = np.linspace(0, 1, 1025, dtype=np.float32)
    linear = space.decode(encoded)
    assert (np.diff(linear) > 0).all()
    assert space.encode(linear) == pytest.approx(encoded, abs=2e-4)
    assert (linear[0], linear[-1]) == pytest.approx((0, 1))


@pytest.mark.parametrize(
    "name, linear, encoded",
    [
        ("srgb", 0.18, 0.461356),
        ("srgb", 0.002, 0.02584),
        ("display-p3", 0.18, 0.461356),
        ("adobe-rgb", 0.18, 0.458523),
        ("prophoto", 0.18, 0.385711),
        ("prophoto", 0.001, 0.016),
        ("rec2020", 0.18, 0.408848),
        ("rec2020", 0.01, 0.045),
    ],
)
def test_curve_has_the_standards_values(name: str, linear: float, encoded: float) -> None:
    value = COLOR_SPACES[name].encode(np.array([linear], np.float32))
    assert value[0] == pytest.approx(encoded, abs=1e-5)


def test_encoding_clips() -> None:
    values = COLOR_SPACES["srgb"].encode(np.array([-1, 2], np.float32))
    assert values.tolist() == pytest.approx([0, 1])


def test_adaptation_carries_white_to_white() -> None:
    assert adapt_white(D65, D50) @ white_xyz(D65) == pytest.approx(white_xyz(D50), abs=1e-12)


def test_adaptation_matches_the_published_matrix() -> None:
    published = [
        [1.0478112, 0.0228866, -0.0501270],
        [0.0295424, 0.9904844, -0.0170491],
        [-0.0092345, 0.0150436, 0.7521316],
    ]
    assert adapt_white(D65, D50) == pytest.approx(np.array(published), abs=3e-4)


@pytest.mark.parametrize(
    "xy, kelvin", [(D65, 6504), (D50, 5003), ((0.4476, 0.4074), 2856)], ids=str
)
def test_temperature_of_standard_lights(xy: tuple[float, float], kelvin: float) -> None:
    assert color_temperature(xy) == pytest.approx(kelvin, rel=0.003)


@pytest.mark.parametrize(
    "temperature, share",
    [
        (2000.0, 1.0),
        (2856.0, 1.0),
        (1 / (0.5 / 2856 + 0.5 / 6504), 0.5),
        (6504.0, 0.0),
        (9000, 0.0),
    ],
    ids=["below", "warm", "middle", "cold", "above"],
)
def test_matrices_mix_by_inverse_temperature(temperature: float, share: float) -> None:
    mixed = interpolate_matrix((COLD, WARM), temperature)
    assert mixed == pytest.approx(share * WARM.matrix + (1 - share) * COLD.matrix)


@pytest.mark.parametrize("xy", [D65, D50, (0.4476, 0.4074), (0.40, 0.39)], ids=str)
def test_neutral_and_light_tell_each_other(xy: tuple[float, float]) -> None:
    found = neutral_to_xy((WARM, COLD), xy_to_neutral((WARM, COLD), xy))
    assert found == pytest.approx(xy, abs=1e-4)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("matrices", [(), (COLD,), (WARM, COLD)], ids=["none", "one", "two"])
def test_neutral_becomes_white(space: ColorSpace, matrices: tuple[ColorMatrix, ...]) -> None:
    matrix = camera_to_rgb(matrices, np.array([0.5, 1, 0.6]), space)
    assert matrix @ np.ones(3, np.float32) == pytest.approx(np.ones(3), abs=2e-6)


def test_camera_color_is_recovered() -> None:
    space, rgb = COLOR_SPACES["srgb"], np.array([0.6, 0.3, 0.1])
    camera = COLD.matrix @ space.rgb_to_xyz @ rgb
    neutral = COLD.matrix @ white_xyz(D65)
    found = camera_to_rgb((COLD,), neutral / neutral[1], space) @ (camera / neutral)
    assert found == pytest.approx(rgb, abs=1e-5)


def test_without_a_matrix_camera_color_is_taken_for_srgb() -> None:
    matrix = camera_to_rgb((), np.array([0.5, 1, 0.6]), COLOR_SPACES["srgb"])
    assert matrix == pytest.approx(np.eye(3), abs=1e-6)


@pytest.mark.parametrize(
    "matrix",
    [np.zeros((3, 3)), np.full((3, 3), np.nan), -np.eye(3)],
    ids=["zero", "nan", "negative"],
)
def test_useless_matrix_counts_as_none(matrix: np.ndarray) -> None:
    matrices = (ColorMatrix(illuminant=21, matrix=matrix),)
    found = camera_to_rgb(matrices, np.ones(3), COLOR_SPACES["srgb"])
    assert found == pytest.approx(np.eye(3), abs=1e-6)


def test_impossible_neutral_still_gives_a_matrix() -> None:
    matrix = camera_to_rgb((WARM, COLD), np.array([0.01, 1, 5.0]), COLOR_SPACES["srgb"])
    assert np.isfinite(matrix).all()


def tags_of(profile: bytes) -> dict[bytes, tuple[int, int]]:
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = [struct.unpack_from(">4sII", profile, 132 + 12 * k) for k in range(count)]
    return {signature: (offset, size) for signature, offset, size in entries}


@pytest.mark.parametrize("space", SPACES)
def test_profile_is_well_formed(space: ColorSpace) -> None:
    profile = icc_profile(space)
    tags = tags_of(profile)
    assert struct.unpack_from(">I", profile)[0] == len(profile)
    assert (profile[36:40], profile[12:24]) == (b"acsp", b"mntrRGB XYZ ")
    assert [offset % 4 for offset, _ in tags.values()] == [0] * len(tags)
    assert max(offset + size for offset, size in tags.values()) <= len(profile)
    required = {b"desc", b"cprt", b"wtpt", b"chad", b"rXYZ", b"gXYZ", b"bXYZ"}
    assert required | {b"rTRC", b"gTRC", b"bTRC"} == set(tags)


@pytest.mark.parametrize("space", SPACES)
def test_profile_colorants_sum_to_the_connection_white(space: ColorSpace) -> None:
    profile = icc_profile(space)
    tags = tags_of(profile)
    values = [
        struct.unpack_from(">3i", profile, tags[name][0] + 8)
        for name in (b"rXYZ", b"gXYZ", b"bXYZ")
    ]
    assert np.sum(values, axis=0).tolist() == [0xF6D6, 0x10000, 0xD32D]


@pytest.mark.parametrize("space", SPACES)
def test_profile_opens_in_littlecms(space: ColorSpace) -> None:
    opened = ImageCms.getOpenProfile(io.BytesIO(icc_profile(space)))
    assert ImageCms.getProfileDescription(opened).strip() == space.description
    assert opened.profile.version == pytest.approx(4.3)
    assert opened.profile.is_matrix_shaper


def to_srgb(space: ColorSpace, encoded: np.ndarray) -> np.ndarray:
    image = Image.fromarray(np.round(encoded * 255).astype(np.uint8), "RGB")
    source = ImageCms.getOpenProfile(io.BytesIO(icc_profile(space)))
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"))
    assert converted is not None
    return np.asarray(converted, np.float32) / 255


def test_own_srgb_profile_is_srgb() -> None:
    ramp = np.linspace(0, 1, 256)
    colors = np.stack([ramp, ramp[::-1], np.roll(ramp, 80)], axis=-1)[None]
    assert np.abs(to_srgb(COLOR_SPACES["srgb"], colors) - colors).max() <= 1.01 / 255


@pytest.mark.parametrize("space", SPACES)
def test_profile_says_what_the_encoding_did(space: ColorSpace) -> None:
    srgb = COLOR_SPACES["srgb"]
    linear = np.array([[0.5, 0.5, 0.5], [0.5, 0.3, 0.2], [0.2, 0.4, 0.25], [0.3, 0.3, 0.6]])
    to_space = np.linalg.solve(
        space.rgb_to_xyz, adapt_white(srgb.white, space.white) @ srgb.rgb_to_xyz
    )
    encoded = space.encode((linear @ to_space.T).astype(np.float32))
    shown = to_srgb(space, encoded[None])[0]
    assert shown == pytest.approx(srgb.encode(linear.astype(np.float32)), abs=2.5 / 255)
