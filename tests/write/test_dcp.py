"""Looks as DNG camera profiles: read by the specification's mathematics, and by other programs."""

from __future__ import annotations

import colorsys
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from raw_images import NO_METADATA, plain_raw
from scipy.interpolate import CubicSpline
from scipy.ndimage import map_coordinates
from tiff_tree import Directory, read_bytes

from nightfix.develop.color import COLOR_SPACES, camera_to_rgb
from nightfix.develop.develop import develop_raw
from nightfix.develop.look import Look, color_difference
from nightfix.develop.look_fit import plain_matrix
from nightfix.develop.look_profile import profile_difference, profile_of
from nightfix.read.reader import ColorMatrix, RawImage
from nightfix.write.dcp import write_dcp
from nightfix.write.dng import write_dng

SRGB = COLOR_SPACES["srgb"]
NEUTRAL = np.array([0.5, 1.0, 0.65])

#: Standard illuminant A, and D65 [K].
WARM, COLD = 2856.0, 6504.0
MATRICES = (
    ColorMatrix(
        illuminant=17,
        matrix=np.array([[0.95, -0.28, -0.12], [-0.42, 1.2, 0.24], [-0.04, 0.15, 0.60]]),
    ),
    ColorMatrix(
        illuminant=21,
        matrix=np.array([[0.80, -0.25, -0.08], [-0.40, 1.18, 0.24], [-0.06, 0.16, 0.62]]),
    ),
)
#: Linear ProPhoto RGB to XYZ, and linear sRGB to XYZ, both of D50, as Lindbloom publishes them.
PROPHOTO = np.array(
    [[0.7976749, 0.1351917, 0.0313534], [0.2880402, 0.7118741, 0.0000857], [0, 0, 0.8252100]]
)
SRGB_D50 = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def film(balance: tuple[float, float, float] = (1, 1, 1)) -> Look:
    """A saturated look with an S-curve and blues towards cyan, deep colors darker."""
    gray = np.tile(SRGB.rgb_to_xyz[1], (3, 1))
    saturated = gray + 1.25 * (np.eye(3) - gray)
    encoded = (1.6 * (np.arange(65) / 64) ** 2.4) ** (1 / 2.2)
    curve = encoded / (1 + encoded**5) ** 0.2
    curve = curve - 0.03 * np.sin(2 * np.pi * curve)
    red, green, blue = np.meshgrid(*[np.linspace(0, 1, 9)] * 3, indexing="ij")
    spread = np.ptp(np.stack([red, green, blue]), axis=0)
    table = np.stack([red, green, blue], axis=-1) * (-0.1 * spread[..., None])
    table[..., 1] += 0.1 * np.clip(blue - red, 0, 1) * spread
    return Look(
        matrix=(np.diag(balance) @ saturated @ plain_matrix()).astype(np.float32),
        curve=curve.astype(np.float32),
        table=table.astype(np.float32),
    )


def black_and_white() -> Look:
    shares = np.tile(np.array([0.5, 0.4, 0.1]), (3, 1))
    return replace(film(), matrix=(shares @ plain_matrix()).astype(np.float32))


def photo(light: np.ndarray, **known: object) -> RawImage:
    """A mosaic of balanced camera RGB, shape (H, W, 3)."""
    camera = light * NEUTRAL
    mosaic = camera[..., 1].astype(np.float32)
    mosaic[0::2, 0::2] = camera[0::2, 0::2, 0]
    mosaic[1::2, 1::2] = camera[1::2, 1::2, 2]
    metadata = replace(NO_METADATA, make="Kamera", model="Eins", unique_camera_model="Kamera Eins")
    return replace(
        plain_raw(mosaic, as_shot_neutral=NEUTRAL, color_matrices=MATRICES, metadata=metadata),
        **known,  # type: ignore[arg-type]
    )


def patches(seed: int) -> np.ndarray:
    """Soft patches of all colors, below the light from where lamps are pressed, (288, 432, 3)."""
    rng = np.random.default_rng(seed)
    small = 2 ** rng.uniform(-5.5, -1.5, (12, 18, 1)) * rng.uniform(0.3, 1, (12, 18, 3))
    planes = [
        np.asarray(Image.fromarray(small[..., c].astype(np.float32)).resize((432, 288)))
        for c in range(3)
    ]
    return np.clip(np.stack(planes, axis=-1), 0, 1)


# --- the specification's mathematics, without the package


def profile_tags(path: Path) -> Directory:
    data = path.read_bytes()
    assert data[:4] == b"IIRC"
    return read_bytes(b"II*\0" + data[4:])["0"]


def array(tags: Directory, code: int, *shape: int) -> np.ndarray:
    return np.array(tags.numbers(code), float).reshape(shape)


def chromaticity(xyz: np.ndarray) -> np.ndarray:
    return xyz[:2] / xyz.sum()


def camera_to_prophoto(tags: Directory, neutral: np.ndarray) -> np.ndarray:
    """Chapter 6: the two matrices mixed by temperature, and Bradford's adaptation to D50."""
    warm, cold = array(tags, 50721, 3, 3), array(tags, 50722, 3, 3)
    assert [tags.numbers(50778), tags.numbers(50779)] == [[17], [21]]
    d50 = np.array([0.3457, 0.3585])
    xy = d50
    for _ in range(60):
        n = (xy[0] - 0.3320) / (0.1858 - xy[1])
        kelvin = np.clip(449 * n**3 + 3525 * n**2 + 6823.3 * n + 5520.33, WARM, COLD)
        share = (1 / kelvin - 1 / COLD) / (1 / WARM - 1 / COLD)
        matrix = share * warm + (1 - share) * cold
        xy = (xy + chromaticity(np.linalg.solve(matrix, neutral))) / 2
    whites = [BRADFORD @ [x / y, 1, (1 - x - y) / y] for x, y in (xy, d50)]
    adapt = np.linalg.solve(BRADFORD, np.diag(whites[1] / whites[0]) @ BRADFORD)
    return np.asarray(np.linalg.solve(PROPHOTO, adapt @ np.linalg.inv(matrix)))


def looked_up(tags: Directory, rgb: np.ndarray) -> np.ndarray:
    """Apply the look table to ProPhoto RGB, shape (n, 3)."""
    hues, saturations, values = (int(each) for each in tags.numbers(50981))
    assert tags.numbers(51108) == [1]
    table = array(tags, 50982, values, hues, saturations, 3)
    assert (table[:, :, 0, 2] == 1).all()
    around = np.concatenate([table, table[:, :1]], axis=1)
    hsv = np.array([colorsys.rgb_to_hsv(*color) for color in np.clip(rgb, 0, 1)])
    encoded = SRGB.encode(hsv[:, 2].astype(np.float32)).astype(float)
    places = np.stack(
        [encoded * (values - 1), hsv[:, 0] * hues, hsv[:, 1] * (saturations - 1)], axis=0
    )
    shift, more_color, more_light = (
        map_coordinates(around[..., part], places, order=1) for part in range(3)
    )
    value = SRGB.decode(np.clip(encoded * more_light, 0, 1).astype(np.float32))
    turned = ((hsv[:, 0] + shift / 360) % 1, np.clip(hsv[:, 1] * more_color, 0, 1), value)
    return np.array([colorsys.hsv_to_rgb(*color) for color in zip(*turned, strict=True)])


def toned(tags: Directory, rgb: np.ndarray) -> np.ndarray:
    """Apply the tone curve, a cubic spline: largest and smallest by it, the third between."""
    points = array(tags, 50940, -1, 2)
    assert points[0].tolist() == [0, 0]
    assert points[-1].tolist() == [1, 1]
    curve = CubicSpline(*points.T, bc_type="natural")
    order = np.argsort(rgb, axis=1)
    low, middle, high = np.take_along_axis(rgb, order, axis=1).T
    share = (middle - low) / np.maximum(high - low, 1e-9)
    low, high = curve(low), curve(high)
    found = np.empty_like(rgb)
    ordered = np.stack([low, low + share * (high - low), high], axis=1)
    np.put_along_axis(found, order, ordered, axis=1)
    return np.clip(found, 0, 1)


def shown_by(path: Path, camera: np.ndarray) -> np.ndarray:
    """Return encoded sRGB of what an editor makes of camera RGB, shape (n, 3)."""
    tags = profile_tags(path)
    rgb = toned(tags, looked_up(tags, camera @ camera_to_prophoto(tags, NEUTRAL).T))
    linear = np.linalg.solve(SRGB_D50, PROPHOTO @ rgb.T).T
    return SRGB.encode(linear.astype(np.float32))


def own(look: Look, balanced: np.ndarray) -> np.ndarray:
    matrix = camera_to_rgb(MATRICES, NEUTRAL, COLOR_SPACES["rec2020"])
    return look.apply((balanced @ matrix.T).T.astype(np.float32), 1.0).T


@pytest.mark.parametrize("look", [film(), black_and_white()], ids=["film", "black and white"])
def test_by_the_specification_a_profile_shows_the_look(tmp_path: Path, look: Look) -> None:
    path, light = tmp_path / "film.dcp", patches(1)
    write_dcp(path, profile_of(look), name="film", camera=photo(light))
    balanced = light[::12, ::12].reshape(-1, 3)
    wanted = own(look, balanced)
    without = color_difference(
        own(Look(matrix=plain_matrix().astype(np.float32)), balanced), wanted
    )
    found = color_difference(shown_by(path, balanced * NEUTRAL), wanted)
    print(without.mean(), found.mean(), np.percentile(found, 95), found.max())
    assert without.mean() > 3
    assert found.mean() < 0.2
    assert np.percentile(found, 95) < 0.5


def test_grays_stay_gray_and_have_the_tones_of_the_look(tmp_path: Path) -> None:
    write_dcp(tmp_path / "a.dcp", profile_of(film()), name="a", camera=photo(patches(1)))
    gray = np.tile(np.linspace(0.002, 0.9, 200)[:, None], (1, 3))
    found = shown_by(tmp_path / "a.dcp", gray * NEUTRAL)
    assert np.ptp(found, axis=1).max() < 2e-3
    assert np.abs(found - own(film(), gray)).max() < 6e-3


def test_the_tint_of_grays_and_the_difference_of_colors_are_told() -> None:
    assert profile_of(film()).tint < 0.2
    tinted = profile_of(film((1.1, 1.0, 0.9)))
    assert 2 < tinted.tint < 6
    found = profile_difference(film(), profile_of(film()))
    print(found.mean(), np.percentile(found, 95))
    assert found.mean() < 0.5
    assert profile_difference(film((1.1, 1.0, 0.9)), tinted).mean() > 1


# --- other programs


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}")
    return found


def test_exiftool_reads_the_tags(tmp_path: Path) -> None:
    path = tmp_path / "Straße.dcp"
    write_dcp(path, profile_of(film()), name="Straße", camera=photo(patches(1)))
    done = subprocess.run(
        [program("exiftool"), "-j", "-n", "-G1", str(path)], capture_output=True, check=True
    )
    (read,) = json.loads(done.stdout)
    told = {name.removeprefix("IFD0:"): value for name, value in read.items()}
    assert told["File:FileType"] == "DCP"
    assert told["UniqueCameraModel"] == "Kamera Eins"
    assert told["ProfileLookTableDims"] == "36 16 32"
    assert told["DefaultBlackRender"] == 1
    found = np.array(told["ColorMatrix2"].split(), float).reshape(3, 3)
    assert found == pytest.approx(MATRICES[1].matrix, abs=1e-6)


SETTINGS = """[Version]
AppVersion=5.9
Version=349
[White Balance]
Setting=Camera
[Color Management]
InputProfile=file:{profile}
ToneCurve={applied}
ApplyLookTable={applied}
DCPIlluminant=0
WorkingProfile=ProPhoto
OutputProfile=RTv4_sRGB
"""


def developed_by_rawtherapee(folder: Path, *, applied: bool) -> np.ndarray:
    """Return what RawTherapee makes of ``photo.dng`` with the matrices or all of ``film.dcp``."""
    settings = SETTINGS.format(profile=folder / "film.dcp", applied=str(applied).lower())
    (folder / "film.pp3").write_text(settings)
    target = folder / f"{applied}.png"
    command = [program("rawtherapee-cli"), "-o", target, "-p", folder / "film.pp3", "-n", "-Y"]
    done = subprocess.run(
        [*map(str, command), "-c", str(folder / "photo.dng")],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert target.exists(), done.stdout[-500:] + done.stderr[-500:]
    with Image.open(target) as picture:
        return np.asarray(picture.convert("RGB"), np.float32) / 255


def test_rawtherapee_shows_the_look(tmp_path: Path) -> None:
    raw = photo(patches(2))
    write_dng(tmp_path / "photo.dng", raw, restored=False)
    write_dcp(tmp_path / "film.dcp", profile_of(film()), name="film", camera=raw)
    wanted = develop_raw(raw, look=film())[4:-4, 4:-4]  # its border
    without, found = (
        color_difference(
            developed_by_rawtherapee(tmp_path, applied=applied).reshape(-1, 3),
            wanted.reshape(-1, 3),
        )
        for applied in (False, True)
    )
    print(without.mean(), found.mean(), np.percentile(found, 95))
    assert without.mean() > 3
    assert found.mean() < 0.6
    assert np.percentile(found, 95) < 1.5
