from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from raw_images import plain_raw
from tiff_tree import make_raw, read_tree

from nightfix.develop.develop import develop_raw
from nightfix.read.opcodes import (
    Opcode,
    OpcodeLists,
    correct_shading,
    encode_opcodes,
    first_curves,
    gain_maps,
    parse_opcodes,
    shift_areas,
    without_first,
    without_gain_maps,
)
from nightfix.read.reader import apply_gain_maps, read_raw
from nightfix.write.dng import write_dng

WARP = Opcode(1, 0x01030000, 1, bytes(range(40)))


def gain_map(
    gains: np.ndarray,
    *,
    area: tuple[int, int, int, int] = (0, 0, 999, 999),
    pitch: tuple[int, int] = (1, 1),
    spacing: tuple[float, float] | None = None,
    plane: int = 0,
) -> Opcode:
    """A gain map over the whole picture, its points evenly spaced from border to border."""
    rows, columns = gains.shape
    steps = spacing or (1 / max(rows - 1, 1), 1 / max(columns - 1, 1))
    head = struct.pack(">10I4dI", *area, plane, 1, *pitch, rows, columns, *steps, 0, 0, 1)
    return Opcode(9, 0x01030000, 0, head + gains.astype(">f4").tobytes())


def lists(*opcodes: Opcode) -> OpcodeLists:
    return OpcodeLists(linear=encode_opcodes(opcodes))


def test_lists_are_read_and_written_back() -> None:
    data = encode_opcodes((WARP, gain_map(np.ones((2, 2)))))
    assert parse_opcodes(data)[0] == WARP
    assert encode_opcodes(parse_opcodes(data)) == data
    assert encode_opcodes(()) == b""


@pytest.mark.parametrize("cut", [0, 3, 4, 12, 25], ids=lambda n: f"{n} bytes")
def test_a_list_that_is_cut_off_holds_nothing(cut: int) -> None:
    assert parse_opcodes(encode_opcodes((WARP,))[:cut]) == ()


def test_one_point_is_one_factor() -> None:
    mosaic = np.full((4, 6), 0.25, np.float32)
    corrected = correct_shading(mosaic, lists(gain_map(np.array([[2.0]]))))
    np.testing.assert_array_equal(corrected, np.full((4, 6), 0.5))


def test_gains_are_linear_between_the_points() -> None:
    """Pixel centers stand at (n + 1/2) / size of the way from the first point to the last."""
    mosaic = np.full((4, 8), 0.1, np.float32)
    corrected = correct_shading(mosaic, lists(gain_map(np.array([[1.0, 3.0], [2.0, 4.0]]))))
    down, across = (np.arange(4) + 0.5) / 4, (np.arange(8) + 0.5) / 8
    expected = 0.1 * (1 + down[:, None] + 2 * across)
    np.testing.assert_allclose(corrected, expected, rtol=1e-6)


def test_gains_are_constant_beyond_the_points() -> None:
    mosaic = np.full((1, 8), 0.1, np.float32)
    opcode = gain_map(np.array([[1.0, 2.0]]), spacing=(1.0, 0.25))
    corrected = correct_shading(mosaic, lists(opcode))
    np.testing.assert_allclose(corrected[0, 2:], 0.2, rtol=1e-6)


def test_each_site_has_its_own_map() -> None:
    opcodes = lists(
        *(
            gain_map(np.array([[gain]]), area=(row, column, 999, 999), pitch=(2, 2))
            for (row, column), gain in zip(np.ndindex(2, 2), (1.0, 2.0, 3.0, 4.0), strict=True)
        )
    )
    corrected = correct_shading(np.full((5, 7), 0.1, np.float32), opcodes)
    cell = np.array([[0.1, 0.2], [0.3, 0.4]])
    np.testing.assert_allclose(corrected, np.tile(cell, (3, 4))[:5, :7], rtol=1e-6)


def test_each_of_three_colors_has_its_own_map() -> None:
    opcodes = lists(
        *(gain_map(np.array([[1.0 + color]]), plane=color) for color in range(3)),
        vignette(1.0, 0, 0, 0, 0),
    )
    corrected = correct_shading(np.full((5, 7, 3), 0.1, np.float32), opcodes)
    np.testing.assert_allclose(corrected[2, 3], [0.1, 0.2, 0.3], rtol=1e-6)
    np.testing.assert_allclose(corrected[0, 0], [0.2, 0.4, 0.6], rtol=1e-6)


@pytest.mark.parametrize(("lamp", "limit"), [(0.9, 1.0), (1.0, 1.0), (4.0, 4.0)])
def test_lamps_stay_at_one_level(lamp: float, limit: float) -> None:
    """Every color of a lamp fills up at one level; a gain of its own would tint it."""
    mosaic = np.array([[lamp, 0.1]], np.float32)
    corrected = correct_shading(mosaic, lists(gain_map(np.array([[3.0]]))))
    np.testing.assert_allclose(corrected, [[min(3 * lamp, limit), 0.3]], rtol=1e-6)


@pytest.mark.parametrize(
    "opcode",
    [
        gain_map(np.array([[-1.0]])),
        gain_map(np.array([[np.nan]])),
        gain_map(np.ones((2, 2)), pitch=(0, 1)),
        gain_map(np.ones((2, 2)), plane=1),
        gain_map(np.ones((2, 2)))._replace(parameters=b"short"),
        gain_map(np.ones((2, 2)))._replace(
            parameters=gain_map(np.ones((2, 2))).parameters[:-4],
        ),
    ],
    ids=["negative", "nan", "pitch 0", "plane 1", "short", "cut off"],
)
def test_maps_that_cannot_be_true_are_left_out(opcode: Opcode) -> None:
    mosaic = np.ones((4, 4), np.float32)
    assert gain_maps(lists(opcode)) == ()
    assert correct_shading(mosaic, lists(opcode)) is mosaic


def test_maps_are_applied_once() -> None:
    raw = plain_raw(np.full((4, 4), 0.1), opcodes=lists(WARP, gain_map(np.array([[2.0]]))))
    once = apply_gain_maps(raw)
    assert apply_gain_maps(once) is once
    assert parse_opcodes(once.opcodes.linear) == (WARP,)
    assert without_gain_maps(lists(gain_map(np.array([[2.0]])))).linear == b""


@pytest.mark.parametrize(
    ("top", "left", "area"),
    [(0, 0, (0, 1, 8, 9)), (2, 0, (0, 1, 6, 9)), (0, 1, (0, 0, 8, 8)), (1, 2, (1, 1, 7, 7))],
)
def test_areas_move_with_the_origin(top: int, left: int, area: tuple[int, ...]) -> None:
    opcode = gain_map(np.array([[2.0]]), area=(0, 1, 8, 9), pitch=(2, 2))
    (moved, warp) = parse_opcodes(shift_areas(encode_opcodes((opcode, WARP)), top, left))
    assert struct.unpack_from(">4I", moved.parameters) == area
    assert moved.parameters[16:] == opcode.parameters[16:]
    assert warp == WARP


def test_developing_corrects_the_shading() -> None:
    flat = make_raw(np.full((64, 64), 1000, np.uint16))
    shaded = replace(flat, opcodes=lists(gain_map(np.array([[2.0]]))))
    expected = develop_raw(replace(flat, mosaic=flat.mosaic * 2))
    np.testing.assert_allclose(develop_raw(shaded), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("restored", "linear", "present"),
    [
        (False, False, {51008, 51009, 51022}),
        (True, False, {51022}),
        (False, True, {51022}),
        (True, True, {51022}),
    ],
    ids=["as shot", "restored", "as shot, linear", "restored, linear"],
)
def test_lists_of_the_sensor_s_numbers_stay_with_them(
    tmp_path: Path, restored: bool, linear: bool, present: set[int]
) -> None:
    third = encode_opcodes((WARP,))
    second = encode_opcodes((gain_map(np.array([[2.0]])),))
    opcodes = OpcodeLists(stored=third, linear=second, demosaiced=third)
    raw = replace(make_raw(np.full((64, 64), 1000, np.uint16)), opcodes=opcodes)
    write_dng(tmp_path / "a.dng", raw, restored=restored, linear=linear)
    samples = read_tree(tmp_path / "a.dng")["0/330.0"]
    assert present == {51008, 51009, 51022} & set(samples.codes)
    assert samples.values[51022] == third
    assert samples.values.get(51009, second) == second


def test_a_restored_dng_has_its_gains_in_the_samples(tmp_path: Path) -> None:
    opcodes = lists(gain_map(np.array([[2.0]])))
    raw = replace(make_raw(np.full((64, 64), 1024, np.uint16)), opcodes=opcodes)
    write_dng(tmp_path / "a.dng", raw, restored=True)
    again = read_raw(tmp_path / "a.dng")
    np.testing.assert_allclose(again.mosaic, raw.mosaic * 2, rtol=1e-4)
    assert again.opcodes == OpcodeLists()


def test_lists_survive_an_untouched_dng(shared: Path, tmp_path: Path) -> None:
    raw = read_raw(shared / "raw" / "HERO7_GOPR9231.dng")
    maps = gain_maps(raw.opcodes)
    assert [known.gains.shape for known in maps] == [(23, 22)] * 4
    assert {(known.top, known.left) for known in maps} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    write_dng(tmp_path / "a.dng", raw, restored=False)
    assert read_raw(tmp_path / "a.dng").opcodes == raw.opcodes


def test_lens_corrections_of_a_camera_are_kept(shared: Path, tmp_path: Path) -> None:
    raw = read_raw(shared / "raw" / "Fusion_GPFR7066.dng")
    write_dng(tmp_path / "a.dng", raw, restored=True)
    assert read_raw(tmp_path / "a.dng").opcodes.demosaiced == raw.opcodes.demosaiced
    assert len(raw.opcodes.demosaiced) == 184


@pytest.mark.parametrize("shape", [(257, 1), (1, 257), (1_000_000, 1)], ids=str)
def test_a_grid_finer_than_any_camera_s_is_left_out(shape: tuple[int, int]) -> None:
    """A million points a side would take gigabytes for each of them and each row."""
    opcode = gain_map(np.full(shape, 2.0))
    assert gain_maps(lists(opcode)) == ()
    mosaic = np.full((4, 6), 0.25, np.float32)
    assert correct_shading(mosaic, lists(opcode)) is mosaic


def test_a_grid_that_is_not_all_there_is_left_out() -> None:
    opcode = gain_map(np.ones((3, 3)))
    assert gain_maps(lists(opcode._replace(parameters=opcode.parameters[:-3]))) == ()


# --- Curves


def curve_of(number: int, parameters: bytes, area: tuple[int, ...]) -> bytes:
    body = struct.pack(">8I", *area) + parameters
    return struct.pack(">4I", number, 0x01030000, 0, len(body)) + body


def polynomial(*terms: float, area: tuple[int, ...] = (0, 0, 4, 6, 0, 1, 1, 1)) -> bytes:
    return curve_of(8, struct.pack(f">I{len(terms)}d", len(terms) - 1, *terms), area)


def listed(*codes: bytes) -> bytes:
    return struct.pack(">I", len(codes)) + b"".join(codes)


def bent(data: bytes, light: np.ndarray) -> np.ndarray:
    light = light.astype(np.float32)
    for curve in first_curves(data):
        curve.apply(light)
    return light


def test_a_polynomial_goes_on_as_a_line_below_black_and_ends_at_white() -> None:
    light = np.array([-0.5, -0.1, 0, 0.5, 1, 2]).reshape(1, 6, 1)
    found = bent(listed(polynomial(0.1, 0.5, 0.6)), light)
    np.testing.assert_allclose(found.ravel(), [-0.15, 0.05, 0.1, 0.5, 1, 1], atol=1e-6)


def test_a_table_goes_on_as_its_ends() -> None:
    table = np.array([0, 65535, 32768, 65535], ">u2").tobytes()
    data = listed(curve_of(7, struct.pack(">I", 4) + table, (0, 0, 4, 6, 0, 1, 1, 1)))
    light = np.array([-1, 0, 0.5, 1, 2.5, 3]).reshape(1, 6, 1) / 65535
    np.testing.assert_allclose(bent(data, light).ravel(), [0, 0, 0.5, 1, 0.75, 1], atol=1e-5)


def test_a_curve_is_for_its_area_its_pitch_and_its_plane() -> None:
    light = np.full((4, 6, 3), 0.5)
    found = bent(listed(polynomial(0.25, area=(1, 2, 4, 6, 1, 1, 2, 3))), light)
    expected = light.copy()
    expected[1:4:2, 2:6:3, 1] = 0.25
    assert np.array_equal(found, expected)


def test_only_the_curves_that_a_list_begins_with_are_taken() -> None:
    other = struct.pack(">4I", 4, 0x01030000, 0, 0)
    data = listed(polynomial(0, 2), polynomial(0, 0.5), other, polynomial(1))
    assert len(first_curves(data)) == 2
    assert without_first(data, 2) == listed(other, polynomial(1))
    assert without_first(data, 0) is data
    assert without_first(data, 4) == b""


@pytest.mark.parametrize(
    "code",
    [
        polynomial(*range(10)),
        polynomial(0, np.nan),
        curve_of(8, struct.pack(">I", 2), (0,) * 8),
        curve_of(7, struct.pack(">I", 0), (0,) * 8),
        curve_of(7, struct.pack(">IH", 2, 1), (0,) * 8),
        curve_of(7, struct.pack(">I", 1 << 20) + bytes(2 << 20), (0,) * 8),
        struct.pack(">4I", 7, 0, 0, 8) + bytes(8),
    ],
    ids=["degree", "no number", "no terms", "empty", "cut", "large", "short"],
)
def test_a_damaged_curve_is_none(code: bytes) -> None:
    assert first_curves(listed(code)) == ()


def test_a_curve_that_reaches_beyond_the_picture_takes_no_time() -> None:
    area = (0, 0, 2**32 - 1, 2**32 - 1, 0, 2**32 - 1, 0, 0)
    found = bent(listed(polynomial(0.25, area=area)), np.ones((4, 6, 3)))
    assert (found == 0.25).all()


def vignette(*factors: float) -> Opcode:
    return Opcode(3, 0x01030000, 1, struct.pack(">7d", *factors, 0.5, 0.5))


def test_radial_vignetting_before_demosaicing_is_used_up() -> None:
    y, x = np.mgrid[:61, :81]
    r2 = ((y - 30) ** 2 + (x - 40) ** 2) / (30**2 + 40**2)
    flat = np.full((61, 81), 0.1, np.float32)
    both = lists(WARP, vignette(0.5, 0, 0.25, 0, 0), gain_map(np.array([[2.0]])))
    corrected = apply_gain_maps(plain_raw(flat / (1 + 0.5 * r2 + 0.25 * r2**3), opcodes=both))
    np.testing.assert_allclose(corrected.mosaic[::2, ::2], 0.2, rtol=1e-5)
    assert parse_opcodes(corrected.opcodes.linear) == (WARP,)
    assert apply_gain_maps(corrected) is corrected


def test_vignetting_that_cannot_be_true_is_left_out() -> None:
    mosaic = np.ones((4, 4), np.float32)
    assert correct_shading(mosaic, lists(vignette(-3, 0, 0, 0, 0))) is mosaic
