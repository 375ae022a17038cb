"""Lens corrections, on scenes whose distortion is drawn by formulas of the tests' own."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from raw_images import plain_raw

from nightfix.develop.develop import develop_raw
from nightfix.develop.lens import lens_correction, other_opcodes, own_correction, source_area
from nightfix.develop.orientation import orient
from nightfix.read.opcodes import Opcode, OpcodeLists, encode_opcodes
from nightfix.read.reader import RawImage, Rectangle

SHAPE = (360, 480)
#: How far lines of the grid are apart, and half their width [px].
PITCH, WIDTH = 60.0, 2.0

Move = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def warp(*sets: tuple[float, ...], number: int = 1, center: tuple[float, float] = (0.5, 0.5)):
    numbers = np.array([*np.ravel(sets), *center], ">f8")
    return Opcode(number, 0x01030000, 1, struct.pack(">I", len(sets)) + numbers.tobytes())


def vignette(*factors: float, center: tuple[float, float] = (0.5, 0.5)) -> Opcode:
    return Opcode(3, 0x01030000, 1, struct.pack(">7d", *factors, *center))


def gain_map(gains: list[list[list[float]]], plane: int, planes: int, pitch: int = 1) -> Opcode:
    """A map of shape (rows, columns, planes) over the whole picture."""
    values = np.array(gains)
    rows, columns, map_planes = values.shape
    head = struct.pack(">4I2I2I2I", 0, 0, *SHAPE, plane, planes, pitch, pitch, rows, columns)
    head += struct.pack(">4dI", 1 / (rows - 1), 1 / (columns - 1), 0, 0, map_planes)
    return Opcode(9, 0x01030000, 1, head + values.astype(">f4").tobytes())


def lists(*codes: Opcode) -> OpcodeLists:
    return OpcodeLists(demosaiced=encode_opcodes(codes))


def photo(light: np.ndarray, *codes: Opcode, **known: Any) -> RawImage:
    """A photo that sees (H, W, 3) through an RGGB mosaic."""
    mosaic = light[..., 1].copy()
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = light[0::2, 0::2, 0], light[1::2, 1::2, 2]
    return plain_raw(mosaic, opcodes=lists(*codes), **known)


def scene(raw: RawImage, **options: Any) -> np.ndarray:
    return develop_raw(raw, white_balance=(1.0, 1.0, 1.0), tone="scene", **options)


def from_center(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Distances from the middle, as shares of the furthest."""
    middle = np.array([(SHAPE[0] - 1) / 2, (SHAPE[1] - 1) / 2])
    reach = float(np.hypot(*middle))
    return (rows - middle[0]) / reach, (columns - middle[1]) / reach, reach


def rectilinear(k0: float, k1: float, k2: float, t0: float = 0, t1: float = 0) -> Move:
    """The specification's formula, written a second time."""

    def move(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y, x, reach = from_center(rows, columns)
        r2 = x**2 + y**2
        f = k0 + k1 * r2 + k2 * r2**2
        dx = x * f + t0 * 2 * x * y + t1 * (r2 + 2 * x**2)
        dy = y * f + t1 * 2 * x * y + t0 * (r2 + 2 * y**2)
        return rows + reach * (dy - y), columns + reach * (dx - x)

    return move


def fisheye(k0: float, k1: float) -> Move:
    def move(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y, x, reach = from_center(rows, columns)
        r = np.maximum(np.hypot(x, y), 1e-12)
        angle = np.arctan(r)
        f = (k0 * angle + k1 * angle**3) / r
        return rows + reach * y * (f - 1), columns + reach * x * (f - 1)

    return move


def inverse(move: Move, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find what is moved to these places, by repeated correction."""
    y, x = rows.copy(), columns.copy()
    for _ in range(60):
        there_y, there_x = move(y, x)
        y += rows - there_y
        x += columns - there_x
    assert max(np.abs(move(y, x)[0] - rows).max(), np.abs(move(y, x)[1] - columns).max()) < 1e-6
    return y, x


def grid(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Dark lines on gray, every 60 px."""
    lines = [np.exp(-(((p + 30) % PITCH - 30) ** 2) / (2 * WIDTH**2)) for p in (rows, columns)]
    return np.asarray(0.5 - 0.4 * np.maximum(*lines))


def through_lens(*moves: Move) -> np.ndarray:
    """The grid as a lens with these distortions, of red, green and blue, draws it."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float64)
    return np.stack([grid(*inverse(move, rows, columns)) for move in moves], -1)


def line_errors(picture: np.ndarray) -> np.ndarray:
    """How far lines are from where they belong, away from crossings and border [px]."""
    found = []
    for plane in np.moveaxis(picture, -1, 0):
        errors = []
        for side in (plane, plane.T):
            for line in range(60, side.shape[1] - 30, 60):
                part = 0.5 - side[:, line - 7 : line + 8]
                centers = (part * np.arange(-7, 8)).sum(1) / part.sum(1)
                between = np.abs((np.arange(len(part)) + 30) % 60 - 30) > 14
                errors.append(centers[between & (np.arange(len(part)) > 30)][:-30])
        found.append(np.concatenate(errors))
    return np.array(found)


BARREL = (1.0, -0.10, 0.02, 0.0, 0.0, 0.0)
#: Red 1.5 px outside and blue 1.5 px inside of green in the corners.
APART = ((1.005, -0.10, 0.02, 0, 0, 0), BARREL, (0.995, -0.10, 0.02, 0, 0, 0))
TILTED = (1.0, -0.10, 0.02, 0.0, 0.004, -0.003)
FISHEYE = (1.0, 0.05, 0.0, 0.0)


@pytest.mark.parametrize(
    ("code", "moves"),
    [
        (warp(BARREL), [rectilinear(1, -0.10, 0.02)] * 3),
        (warp(TILTED), [rectilinear(1, -0.10, 0.02, 0.004, -0.003)] * 3),
        (warp(*APART), [rectilinear(k, -0.10, 0.02) for k in (1.005, 1, 0.995)]),
        (warp(FISHEYE, number=2), [fisheye(1, 0.05)] * 3),
        (
            warp((1.004, 0.05, 0, 0), FISHEYE, FISHEYE, number=2),
            [fisheye(1.004, 0.05), fisheye(1, 0.05), fisheye(1, 0.05)],
        ),
    ],
    ids=["barrel", "tangential", "lateral color", "fisheye", "fisheye with lateral color"],
)
def test_lines_are_straight_and_colors_in_register(code: Opcode, moves: list[Move]) -> None:
    raw = photo(through_lens(*moves), code)
    as_it_should_be = gray(grid(*np.mgrid[: SHAPE[0], : SHAPE[1]]))
    assert np.abs(scene(raw, lens="off") - as_it_should_be).max() > 0.3
    straight = line_errors(scene(raw))
    assert np.abs(straight).max() < 0.3
    assert np.abs(straight - straight[1]).max() < 0.15


def test_colors_alone_are_brought_together() -> None:
    sets = [(k, 0.0, 0.0, 0.0, 0.0, 0.0) for k in (1.006, 1.0, 0.994)]
    raw = photo(through_lens(*(rectilinear(k, 0, 0) for k in (1.006, 1, 0.994))), warp(*sets))
    assert np.ptp(line_errors(scene(raw, lens="off")), axis=0).max() > 1
    assert np.ptp(line_errors(scene(raw)), axis=0).max() < 0.15
    correction = lens_correction(raw)
    assert correction is not None
    assert correction.facts.corrected == ("lateral color",)


def radius_squared() -> np.ndarray:
    y, x, _ = from_center(*np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float64))
    return x**2 + y**2


def gray(level: np.ndarray) -> np.ndarray:
    return np.repeat(np.broadcast_to(level, SHAPE)[..., None], 3, -1)


def test_vignetting_becomes_flat() -> None:
    r2 = radius_squared()
    shaded = 0.4 / (1 + 0.6 * r2 + 0.3 * r2**2 + 0.1 * r2**5)
    picture = scene(photo(gray(shaded), vignette(0.6, 0.3, 0, 0, 0.1)))
    assert shaded.min() < 0.6 * shaded.max()
    np.testing.assert_allclose(picture, 0.4, rtol=0.01)


@pytest.mark.parametrize("first", ["vignetting", "distortion"])
def test_vignetting_and_distortion_keep_their_order(first: str) -> None:
    """Before the warp it is of the sensor's places, behind it of the corrected ones."""
    codes = [vignette(1.5, 0, 0, 0, 0), warp(BARREL)]
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float64)
    if first == "distortion":
        codes.reverse()
        rows, columns = inverse(rectilinear(1, -0.10, 0.02), rows, columns)
    y, x, _ = from_center(rows, columns)
    raw = photo(gray(0.2 / (1 + 1.5 * np.minimum(x**2 + y**2, 1))), *codes)
    picture = scene(raw)[8:-8, 8:-8]
    np.testing.assert_allclose(picture, 0.2, rtol=0.01)


def test_a_map_of_gains_is_for_the_planes_it_names() -> None:
    code = gain_map([[[2.0, 3.0], [2.0, 3.0]], [[2.0, 3.0], [2.0, 3.0]]], plane=1, planes=2)
    picture = scene(photo(gray(np.array(0.1)), code))
    np.testing.assert_allclose(picture, np.broadcast_to([0.1, 0.2, 0.3], picture.shape), rtol=1e-3)


def test_lamps_above_white_keep_their_light_and_get_no_ring() -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    lamps = (np.hypot((y % 45) - 22, (x % 45) - 22) < 5.0).astype(np.float64)
    raw = photo(gray(0.02 + 7.98 * lamps), warp(BARREL))
    before, after = scene(raw, lens="off"), scene(raw)
    assert after.max() > 7.9
    assert after.max() < before.max() + 0.2
    # Demosaicing leaves a little below; interpolation must not double it.
    assert after.min() >= min(before.min(), 0.01) - 1e-3


def test_a_photo_without_corrections_stays_the_same_to_the_bit() -> None:
    light = gray(np.random.default_rng(0).random(SHAPE))
    plain = photo(light)
    nothing = photo(light, warp((1, 0, 0, 0, 0, 0)), vignette(0, 0, 0, 0, 0))
    assert lens_correction(plain) is None
    assert lens_correction(nothing) is None
    np.testing.assert_array_equal(scene(nothing), scene(plain, lens="off"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_the_sensor_s_picture_that_is_corrected(orientation: int) -> None:
    crop = Rectangle(10, 20, 200, 300)
    code = warp(BARREL, center=(0.4, 0.55))
    raw = photo(through_lens(*[rectilinear(1, -0.1, 0.02)] * 3), code)
    turned = scene(replace(raw, crop=crop, orientation=orientation), lens=own_correction(raw))
    expected = orient(scene(raw)[10:210, 20:320], orientation)
    np.testing.assert_allclose(turned, expected, atol=2e-3)


def test_a_crop_is_made_of_the_area_that_is_told() -> None:
    raw = photo(through_lens(*[rectilinear(1, -0.1, 0.02)] * 3), warp(BARREL))
    cut = replace(raw, crop=Rectangle(20, 30, 60, 90))
    correction = own_correction(cut)
    area = source_area(cut, correction)
    assert source_area(cut, None) == cut.crop
    assert area.top > 20, "what is corrected of a barrel comes from further inside"
    mosaic = np.full_like(raw.mosaic, np.float32(0.9))
    # Demosaicing looks at 12 px around.
    part = np.s_[
        max(0, area.top - 14) : area.top + area.height + 14,
        max(0, area.left - 14) : area.left + area.width + 14,
    ]
    mosaic[part] = raw.mosaic[part]
    np.testing.assert_allclose(scene(replace(cut, mosaic=mosaic)), scene(cut), atol=1e-6)
    rows = slice(area.top + 3, area.top + area.height - 3)
    mosaic[rows, area.left + 3] = 0.9
    assert np.abs(scene(replace(cut, mosaic=mosaic)) - scene(cut)).max() > 0.01


def test_gray_sensors_are_corrected_by_a_set_for_all() -> None:
    light = through_lens(rectilinear(1, -0.1, 0.02))[..., 0]
    raw = plain_raw(light, cfa_pattern=None, opcodes=lists(warp(BARREL)))
    assert np.abs(line_errors(scene(raw))).max() < 0.3
    assert own_correction(replace(raw, opcodes=lists(warp(*APART)))) is None


def second_kind(radial: list[float], reciprocal: bool, valid: tuple[float, float]) -> Opcode:
    numbers = np.array([*radial, *[0] * (15 - len(radial)), 0, 0, *valid, 0.5, 0.5], ">f8")
    tail = struct.pack(">I", reciprocal)
    return Opcode(14, 0x01060000, 1, struct.pack(">I", 1) + numbers.tobytes() + tail)


@pytest.mark.parametrize(
    ("code", "move"),
    [
        (second_kind([1, 0, -0.10, 0, 0.02], False, (0, 1)), rectilinear(1, -0.10, 0.02)),
        (
            second_kind([1, -0.03], False, (0, 0.8)),
            lambda y, x: scaled(y, x, lambda r: 1 - 0.03 * np.minimum(r, 0.8)),
        ),
        (
            second_kind([1, 0, 0.08], True, (0, 1)),
            lambda y, x: scaled(y, x, lambda r: 1 / (1 + 0.08 * r**2)),
        ),
    ],
    ids=["as the first kind", "odd power up to a radius", "reciprocal"],
)
def test_the_second_kind_of_warp(code: Opcode, move: Move) -> None:
    raw = photo(through_lens(*[move] * 3), code)
    assert np.abs(line_errors(scene(raw))).max() < 0.3


def scaled(rows: np.ndarray, columns: np.ndarray, factor: Callable[[np.ndarray], np.ndarray]):
    y, x, reach = from_center(rows, columns)
    f = factor(np.hypot(x, y))
    return rows + reach * y * (f - 1), columns + reach * x * (f - 1)


@pytest.mark.parametrize(
    "code",
    [
        warp(BARREL, BARREL),
        warp((np.nan, 0, 0, 0, 0, 0)),
        warp((1e300, 1e300, 0, 0, 0, 0)),
        warp((40.0, 0, 0, 0, 0, 0)),
        warp(BARREL, center=(2.0, 0.5)),
        warp(BARREL)._replace(parameters=warp(BARREL).parameters[:-1]),
        warp(BARREL)._replace(parameters=b""),
        vignette(-2, 0, 0, 0, 0),
        vignette(1e9, 0, 0, 0, 0),
        vignette(np.inf, 0, 0, 0, 0),
        second_kind([1], False, (0.5, 0.2)),
        gain_map([[[2.0], [2.0]], [[2.0], [2.0]]], plane=0, planes=3, pitch=2),
        gain_map([[[-2.0], [2.0]], [[2.0], [2.0]]], plane=0, planes=3),
    ],
)
def test_corrections_that_cannot_be_true_are_left_out(code: Opcode) -> None:
    raw = photo(gray(np.array(0.2)), code)
    assert lens_correction(raw) is None
    assert len(other_opcodes(raw)) == 1


def test_chains_and_long_lists_are_left_out() -> None:
    wide = warp((1.9, 0, 0, 0, 0, 0))
    assert own_correction(photo(gray(np.array(0.2)), wide)) is not None
    raw = photo(gray(np.array(0.2)), wide, wide, wide)
    assert own_correction(raw) is None
    assert other_opcodes(raw) == ("a chain of warps",)
    many = photo(gray(np.array(0.2)), *[vignette(0.1, 0, 0, 0, 0)] * 20)
    assert other_opcodes(many) == ("FixVignetteRadial",) * 4
    brightest = 0.2 * 1.1**16
    np.testing.assert_allclose(scene(many).max(), brightest, rtol=0.01)


def test_what_else_the_file_asks_for_is_told() -> None:
    raw = photo(gray(np.array(0.2)), Opcode(8, 0x01030000, 0, bytes(40)), warp(BARREL))
    assert other_opcodes(raw) == ("MapPolynomial",)
    correction = lens_correction(raw)
    assert correction is not None
    assert str(correction.facts) == "distortion (as the file says)"
    raw = replace(raw, opcodes=lists(warp(*APART), vignette(0.1, 0, 0, 0, 0)))
    correction = lens_correction(raw)
    assert correction is not None
    told = "distortion, lateral color and vignetting (as the file says)"
    assert str(correction.facts) == told
