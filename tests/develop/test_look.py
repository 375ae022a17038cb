"""Looks that are known, learned from pixels and applied to others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nightfix.develop.color import COLOR_SPACES
from nightfix.develop.look import (
    CURVE_SIZE,
    TABLE_SIZE,
    Look,
    apply_curve,
    apply_table,
    ciede2000,
    color_difference,
    encode_cube,
    encode_look,
    known_looks,
    read_look,
)
from nightfix.develop.look_fit import fit_look, fit_preview, plain_matrix
from nightfix.errors import LookError

SRGB = COLOR_SPACES["srgb"]
Shown = Callable[[np.ndarray], np.ndarray]


def light_of(count: int, seed: int) -> np.ndarray:
    """Light of surfaces: mostly dull, some colored, from black to nearly white; BT.2020."""
    rng = np.random.default_rng(seed)
    level = 2 ** rng.uniform(-6.5, -0.2, (count, 1))
    color = np.exp(rng.normal(0, 0.35, (count, 3)) * rng.uniform(0, 1.3, (count, 1)))
    srgb = level * color / color.max(axis=1, keepdims=True)
    wide = np.linalg.inv(plain_matrix()) @ srgb.T
    return wide.T.astype(np.float32)


def camera(light: np.ndarray) -> np.ndarray:
    """A film-like look: warm, saturated, an S-curve, blues towards cyan, deep colors darker."""
    linear = np.maximum(light @ plain_matrix().T, 0)
    gray = linear @ np.array([0.2126, 0.7152, 0.0722])
    linear = np.maximum(gray[:, None] + 1.25 * (linear - gray[:, None]), 0) * [1.08, 1.0, 0.9]
    encoded = np.clip(1.7 * linear, 0, None) ** (1 / 2.2)
    encoded = encoded / (1 + encoded**4) ** 0.25
    encoded = encoded - 0.08 * np.sin(2 * np.pi * encoded) * 0.5
    spread = np.ptp(encoded, axis=1, keepdims=True)
    blue = np.clip(encoded[:, 2:] - encoded[:, :1], 0, 1)
    encoded[:, 1:2] += 0.15 * blue * spread
    encoded = encoded * (1 - 0.12 * spread)
    return np.clip(encoded, 0, 1).astype(np.float32)


def black_and_white(light: np.ndarray) -> np.ndarray:
    gray = np.maximum(light @ plain_matrix().T @ np.array([0.5, 0.4, 0.1]), 0)
    return np.repeat(np.clip(gray, 0, 1)[:, None] ** 0.5, 3, axis=1).astype(np.float32)


def faded(light: np.ndarray) -> np.ndarray:
    linear = np.clip(light @ plain_matrix().T, 0, 1)
    return (0.08 + 0.8 * SRGB.encode(linear.astype(np.float32))).astype(np.float32)


def differences(look: Look, light: np.ndarray, shown: np.ndarray) -> tuple[float, float]:
    inside = (shown > 0.01).all(axis=1) & (shown < 0.985).all(axis=1)
    found = color_difference(look.apply(light.T, 1.0).T[inside], shown[inside])
    return float(found.mean()), float(np.percentile(found, 95))


NO_LOOK = Look(matrix=plain_matrix().astype(np.float32))


@pytest.mark.parametrize(
    ("shown", "mean", "percentile95"),
    [(camera, 0.3, 1.0), (black_and_white, 0.1, 0.2), (faded, 0.1, 0.2)],
)
def test_a_known_look_is_learned(shown: Shown, mean: float, percentile95: float) -> None:
    learned = fit_look(light_of(40_000, 1), shown(light_of(40_000, 1)))
    held_out = light_of(20_000, 2)
    before, after = (differences(one, held_out, shown(held_out)) for one in (NO_LOOK, learned))
    print(shown.__name__, before, after)
    assert before[0] > 3
    assert after[0] < mean
    assert after[1] < percentile95


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_moved_and_retouched_pixels_do_not_count(share: float) -> None:
    light, held_out = light_of(40_000, 1), light_of(20_000, 2)
    shown = camera(light)
    wrong = np.random.default_rng(5).random(len(light)) < share
    shown[wrong] = camera(light_of(int(wrong.sum()), 9))
    mean, percentile95 = differences(fit_look(light, shown), held_out, camera(held_out))
    print(mean, percentile95)
    assert mean < 1.0
    assert percentile95 < 2.5


def test_photos_that_were_made_brighter_or_darker_teach_the_same() -> None:
    light, held_out = light_of(40_000, 1), light_of(20_000, 2)
    photos = np.arange(len(light)) % 5
    pushed = light * np.array([2, 1, 1.5, 0.5, 0.6], np.float32)[photos, None]
    learned = fit_look(light, camera(pushed), photos)
    mean, percentile95 = differences(learned, held_out, camera(held_out))
    print(mean, percentile95)
    assert mean < 0.6
    assert differences(fit_look(light, camera(pushed)), held_out, camera(held_out))[0] > 2 * mean


def test_noise_of_the_pictures_is_averaged() -> None:
    light, held_out = light_of(40_000, 1), light_of(20_000, 2)
    noise = np.random.default_rng(5).normal(0, 0.02, light.shape)
    shown = np.clip(camera(light) + noise, 0, 1).astype(np.float32)
    mean, _ = differences(fit_look(light, shown), held_out, camera(held_out))
    print(mean)
    assert mean < 0.8


def test_few_colors_teach_no_others_nonsense() -> None:
    """A gray street at night: other colors come out as the matrix and the curve say."""
    light = light_of(20_000, 1)
    dull = light.mean(axis=1, keepdims=True) + 0.1 * (light - light.mean(axis=1, keepdims=True))
    learned = fit_look(dull, faded(dull))
    colors = light_of(5_000, 3)
    mean, percentile95 = differences(learned, colors, faded(colors))
    print(mean, percentile95)
    assert mean < 2
    assert percentile95 < 6


def test_tones_rise_and_lamps_keep_their_gradation() -> None:
    learned = fit_look(light_of(40_000, 1), camera(light_of(40_000, 1)))
    assert learned.curve is not None
    assert (np.diff(learned.curve) >= 0).all()
    levels = np.geomspace(1e-4, 16, 300, dtype=np.float32)
    shown = learned.apply(np.tile(levels, (3, 1)), 16.0)
    assert (np.diff(shown.mean(axis=0)) >= -2e-3).all()
    lamps = shown.mean(axis=0)[levels > 1]
    assert np.ptp(lamps) > 0.03, "they are not all white"
    assert shown.max() <= 1


def test_pressed_lamps_keep_their_hue() -> None:
    srgb = np.array([[0.9], [0.2], [0.1]]) * np.array([0.2, 2, 6])
    red = (np.linalg.inv(plain_matrix()) @ srgb).astype(np.float32)
    identity = Look(
        matrix=plain_matrix().astype(np.float32),
        curve=SRGB.encode((np.arange(65) / 64).astype(np.float32) ** np.float32(2.4)),
        table=np.zeros((9, 9, 9, 3), np.float32),
    )
    shown = SRGB.decode(identity.apply(red, 8.0))
    assert (shown[0] > shown[1]).all()
    assert (shown[1] > shown[2]).all()
    assert shown[0, 1] < shown[0, 2] <= 1


def test_a_preview_tells_color_but_not_brightness() -> None:
    light, held_out = light_of(30_000, 1), light_of(10_000, 2)
    balance = np.array([1.3, 1.0, 0.7])

    def dark(light: np.ndarray) -> np.ndarray:
        linear = np.maximum(light @ plain_matrix().T, 0)
        gray = linear @ SRGB.rgb_to_xyz[1]
        linear = np.maximum(gray[:, None] + 1.3 * (linear - gray[:, None]), 0) * balance
        return SRGB.encode((0.2 * linear).astype(np.float32))

    learned = fit_preview(light, dark(light))
    assert learned.curve is None
    assert learned.table is None
    white = learned.matrix @ np.ones(3)
    assert white @ SRGB.rgb_to_xyz[1] == pytest.approx(1, abs=1e-3), "as bright as before"
    assert white / white[1] == pytest.approx(balance, rel=0.03)
    wanted = SRGB.decode(dark(held_out))
    found = np.maximum(held_out @ learned.matrix.T, 0)
    same = wanted.sum(axis=1, keepdims=True) / found.sum(axis=1, keepdims=True)
    inside = (wanted > 0.002).all(axis=1)
    error = color_difference(
        SRGB.encode((found * same).astype(np.float32))[inside], SRGB.encode(wanted)[inside]
    )
    assert error.mean() < 0.5


# --- files


def test_a_look_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTFIX_LOOKS_DIR", str(tmp_path))
    learned = fit_look(light_of(5_000, 1), camera(light_of(5_000, 1)))
    data = encode_look(learned)
    assert len(data) < 30_000
    (tmp_path / "film.json").write_bytes(data)
    assert list(known_looks()) == ["film"]
    light = light_of(1_000, 2)
    for name in ("film", tmp_path / "film.json"):
        assert read_look(name).apply(light.T, 1.0) == pytest.approx(
            learned.apply(light.T, 1.0), abs=1e-3
        )


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[]",
        b"{}",
        b'{"kind": "nightfix look"}',
        b'{"kind": "nightfix look", "matrix": [1], "curve": [], "table": []}',
        b"[" * 100_000,
        b"\xff\0",
        json.dumps({"kind": "nightfix look", "matrix": [float("nan")] * 9}).encode(),
    ],
    ids=lambda data: repr(data[:40]),
)
def test_a_damaged_look_is_an_error(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "bad.json").write_bytes(damage)
    with pytest.raises(LookError, match="damaged"):
        read_look(tmp_path / "bad.json")


def test_an_unknown_look_has_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTFIX_LOOKS_DIR", str(tmp_path))
    with pytest.raises(LookError) as caught:
        read_look("film")
    assert "nightfix look learn" in caught.value.hint
    (tmp_path / "films.json").write_bytes(b"{}")
    with pytest.raises(LookError) as caught:
        read_look("film")
    assert caught.value.hint == "did you mean films?"


def test_a_cube_is_the_look() -> None:
    learned = fit_look(light_of(20_000, 1), camera(light_of(20_000, 1)))
    lines = encode_cube(learned, 'fi"lm', size=17).decode().splitlines()
    assert lines[:2] == ['TITLE "film"', "LUT_3D_SIZE 17"]
    table = np.array([line.split() for line in lines[2:]], float).reshape(17, 17, 17, 3)
    red, green, blue = 12, 7, 3  # the file's fastest axis is red
    encoded = np.array([red, green, blue], np.float32) / 16
    wide = np.linalg.inv(plain_matrix()) @ SRGB.decode(encoded)
    wanted = learned.apply(wide.astype(np.float32)[:, None], 1.0)[:, 0]
    assert table[blue, green, red] == pytest.approx(wanted, abs=2e-3)
    assert table[0, 0, 16, 0] > table[0, 0, 16, 2]


# --- parts


def test_a_curve_and_a_table_are_straight_between_their_values() -> None:
    curve = np.linspace(0, 1, CURVE_SIZE, dtype=np.float32) ** 2
    at = (np.array([0, 10, 10.5, 64], np.float32) / 64) ** np.float32(2.4)
    expected = [0, curve[10], (curve[10] + curve[11]) / 2, 1]
    assert apply_curve(curve, at) == pytest.approx(np.array(expected), abs=1e-5)
    axis = np.linspace(0, 1, TABLE_SIZE, dtype=np.float32)
    table = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1) * [0.1, -0.2, 0.3]
    rgb = np.random.default_rng(3).random((3, 500), np.float32)
    assert apply_table(table.astype(np.float32), rgb) == pytest.approx(
        rgb * np.array([[0.1], [-0.2], [0.3]]), abs=1e-6
    )


def test_color_differences_are_those_of_the_published_pairs() -> None:
    """Sharma, Wu and Dalal 2005, table 1; and as an independent implementation has them."""
    color = pytest.importorskip("skimage.color")
    pairs = np.array(
        [
            [50, 2.6772, -79.7751, 50, 0, -82.7485, 2.0425],
            [50, -1.3802, -84.2814, 50, 0, -82.7485, 1.0],
            [50, 2.49, -0.001, 50, -2.49, 0.0011, 7.2195],
            [50, -0.001, 2.49, 50, 0.0011, -2.49, 4.7461],
            [60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644],
            [22.7233, 20.0904, -46.694, 23.0331, 14.973, -42.5619, 2.0373],
            [6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377],
            [2.0776, 0.0795, -1.135, 0.9033, -0.0636, -0.5514, 0.9082],
        ]
    )
    assert ciede2000(pairs[:, :3], pairs[:, 3:6]) == pytest.approx(pairs[:, 6], abs=6e-5)
    first, second = np.random.default_rng(3).random((2, 2_000, 3))
    wanted = color.deltaE_ciede2000(color.rgb2lab(first), color.rgb2lab(second))
    assert color_difference(first, second) == pytest.approx(wanted, abs=0.02)
