"""What editors make of our DNG: the same as of the photo itself."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from dng_files import DAYLIGHT_MATRIX, TUNGSTEN_MATRIX, DngSpec, write_test_dng
from PIL import Image
from tiff_tree import make_raw

from nightfix.condition.amplification import ExposureTarget
from nightfix.condition.conditioning import Settings, condition_raw
from nightfix.develop.develop import develop_raw
from nightfix.read.arrays import raw_from_array
from nightfix.read.reader import RawImage, read_raw
from nightfix.restore.restorer import Restorer
from nightfix.write.dng import write_dng
from nightfix.write.dng_samples import Compression
from nightfix.write.tiff import write_tiff

#: Largest mean difference of two exports, of 255: an editor's own dither is not repeatable.
SAME = 0.05


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}")
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where exports go, and darktable's settings, so that the user's own do not matter."""
    return tmp_path_factory.mktemp("editors")


def export(editor: str, source: Path, folder: Path) -> np.ndarray:
    """Return what an editor's command line makes of a photo without being told anything."""
    target = folder / f"{source.stem}_{editor}.png"
    target.unlink(missing_ok=True)  # darktable would choose another name
    if editor == "darktable-cli":
        keep = ["--core", "--configdir", str(folder), "--cachedir", str(folder / "cache")]
        command = [program(editor), str(source), str(target), *keep, "--library", ":memory:"]
    else:
        # Neutral, unless its default profile is wanted, which fits its curve to the preview.
        name, *default = editor.split()
        command = [program(name), "-o", str(target), *default, "-n", "-Y", "-c", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert target.exists(), done.stdout[-500:] + done.stderr[-500:]
    with Image.open(target) as picture:
        return np.asarray(picture.convert("RGB")).astype(np.float64)


def scene(shape: tuple[int, int], white: int, black: int) -> np.ndarray:
    """Return samples of colored fields, brighter to the right, with something in each corner."""
    rows, columns = np.indices(shape)
    light = 0.05 + 0.5 * columns / shape[1]
    light = light * np.where((rows // 2 + columns // 2) % 2, 1.1, 0.9)
    tint = np.array([[0.5, 1.0], [1.0, 0.62]])[rows % 2, columns % 2]
    reddish = np.where((rows < shape[0] // 3) & (rows % 2 == 0) & (columns % 2 == 0), 1.6, 1)
    light = light * tint * reddish
    light[: shape[0] // 5, : shape[1] // 6] *= 0.2
    return np.rint(black + light * (white - black)).astype(np.uint16)


def photo_of(path: Path, *, orientation: int = 1, odd: int = 0) -> Path:
    """Write a DNG as another program would."""
    spec = DngSpec(
        scene((280, 400), 16383, 512),
        default_crop=(8 + odd, 4 + odd, 380, 270),
        active_area=(0, 0, 280, 400),
        black=(512.0,) * 4,
        orientation=orientation,
        matrices=((17, TUNGSTEN_MATRIX), (21, DAYLIGHT_MATRIX)),
        baseline_exposure=(1, 2),
    )
    return write_test_dng(path, spec)


EDITORS = ["darktable-cli", "rawtherapee-cli"]


class Exported(NamedTuple):
    """An upright photo, and what an editor makes of it."""

    editor: str
    raw: RawImage
    picture: np.ndarray
    folder: Path

    def of(self, raw: RawImage, *, restored: bool = False, linear: bool = False) -> np.ndarray:
        """Return what the editor makes of another raw."""
        path = self.folder / f"other_{self.editor}.dng"
        write_dng(path, raw, restored=restored, linear=linear, overwrite=True)
        return export(self.editor, path, self.folder)


@pytest.fixture(scope="module", params=EDITORS)
def exported(request: pytest.FixtureRequest, folder: Path) -> Exported:
    photo = photo_of(folder / "photo.dng")
    picture = export(request.param, photo, folder)
    assert picture.std() > 10, "the scene is there"
    return Exported(request.param, read_raw(photo), picture, folder)


@pytest.mark.parametrize(
    ("orientation", "odd", "compression"),
    [(1, 0, "none"), (6, 0, "lossless"), (3, 1, "lossless")],
    ids=["uncompressed", "quarter turn", "odd crop"],
)
@pytest.mark.parametrize("editor", EDITORS)
def test_an_untouched_dng_is_exported_like_the_photo(
    tmp_path: Path,
    folder: Path,
    editor: str,
    *,
    orientation: int,
    odd: int,
    compression: Compression,
) -> None:
    photo, ours = tmp_path / "photo.dng", tmp_path / "ours.dng"
    photo_of(photo, orientation=orientation, odd=odd)
    write_dng(ours, read_raw(photo), restored=False, compression=compression)
    expected = export(editor, photo, folder)
    shown = export(editor, ours, folder)
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).mean() < SAME


def test_white_balance_counts(exported: Exported) -> None:
    """The comparison would see another white balance."""
    other = replace(exported.raw, as_shot_neutral=np.array([0.6, 1.0, 0.5]))
    assert np.abs(exported.of(exported.raw) - exported.picture).mean() < SAME
    assert np.abs(exported.of(other) - exported.picture).mean() > 20 * SAME


def test_a_restored_dng_keeps_color_and_place(exported: Exported) -> None:
    """Only brightness differs, by the BaselineExposure that neither editor reads.

    Both are rounded to a restored file's 16 bit: at the photo's own 14, half of its light
    is no whole number, and the editors' demosaicing decides by that rounding (a mean
    difference of 1.3 in darktable and 0.4 in RawTherapee; none where the halves are whole).
    """
    mosaic = exported.raw.mosaic.copy()
    mosaic[200:204, 200:204] = 2.0
    lit = replace(exported.raw, mosaic=mosaic)
    darker = replace(exported.raw, mosaic=exported.raw.mosaic / 2, baseline_exposure=1.5)
    shown, expected = exported.of(lit, restored=True), exported.of(darker, restored=True)
    away = np.s_[: shown.shape[0] // 2]
    assert shown.shape == exported.picture.shape
    assert np.abs(shown - expected)[away].mean() < SAME
    assert expected.mean() < exported.picture.mean() - 10


def lamp_lit(raw: RawImage, level: float) -> RawImage:
    """Return a gray wall with a lamp in its middle, at a share of the brightest light."""
    rng = np.random.default_rng(1)  # RawTherapee opens no file below 100 000 bytes
    rows, columns = np.indices(raw.mosaic.shape)
    assert raw.as_shot_neutral is not None
    red, green, blue = raw.as_shot_neutral
    gray = np.array([[red, green], [green, blue]])[rows % 2, columns % 2]
    mosaic = 0.2 * gray + rng.normal(scale=1e-4, size=gray.shape)
    mosaic[120:160, 180:220] = level * 8
    mosaic[10:12, 10:12] = 8
    return replace(raw, mosaic=mosaic.astype(np.float32), baseline_exposure=0.0)


def test_a_restored_dng_has_white_lamps_and_clean_borders(exported: Exported) -> None:
    """A lamp that filled every color is white; a little below the white level it is purple."""
    shown = exported.of(lamp_lit(exported.raw, 1.0), restored=True)
    rows, columns = (slice(side // 2 - 8, side // 2 + 8) for side in shown.shape[:2])
    assert shown[rows, columns].min() > 248
    inside = shown[60:90, 60:120].mean((0, 1))
    borders = [shown[:6, 40:], shown[-6:], shown[40:, :6], shown[:, -6:]]
    assert max(np.abs(border - inside).max() for border in borders) <= 2
    below = exported.of(lamp_lit(exported.raw, 0.9), restored=True)[rows, columns]
    assert below.mean((0, 1))[1] < 240


def test_rawtherapee_opens_a_restored_dng_as_bright_as_its_preview(folder: Path) -> None:
    """Its default profile makes up for the BaselineExposure that it does not read."""
    raw = read_raw(photo_of(folder / "photo.dng"))
    mosaic = raw.mosaic.copy()
    mosaic[200:230, 200:230] = 8.0
    raw = replace(raw, mosaic=mosaic, baseline_exposure=0.0)
    path = folder / "restored.dng"
    write_dng(path, raw, restored=True, overwrite=True)
    default, neutral = (export(f"rawtherapee-cli{way}", path, folder) for way in (" -d", ""))
    wanted = float(develop_raw(raw).mean()) * 255
    assert abs(default.mean() - wanted) < 0.2 * wanted  # it matches the curve, not the mean
    assert neutral.mean() < 0.5 * wanted


def test_a_linear_dng_is_shown_in_the_same_colors(exported: Exported) -> None:
    rows, columns = np.indices(exported.raw.mosaic.shape)
    tint = np.array([[0.5, 1.0], [1.0, 0.6]])[rows % 2, columns % 2]
    smooth = (0.01 + 0.4 * columns / columns.max()) * tint
    raw = replace(exported.raw, mosaic=smooth.astype(np.float32))
    expected, shown = exported.of(raw), exported.of(raw, linear=True)
    # RawTherapee cuts four pixels of a mosaic's border.
    assert np.abs(np.subtract(shown.shape, expected.shape)).max() <= 8
    colors = [picture.mean((0, 1)) for picture in (shown, expected)]
    np.testing.assert_allclose(colors[0], colors[1], atol=4)


@pytest.mark.parametrize("name", ["canon-x4-colorchart.dng"])
@pytest.mark.parametrize("editor", EDITORS)
def test_a_camera_s_file_is_exported_like_the_photo(
    shared: Path, tmp_path: Path, folder: Path, editor: str, name: str
) -> None:
    source, ours = shared / "raw" / name, tmp_path / f"ours_{name}"
    write_dng(ours, read_raw(source), restored=False)
    expected = export(editor, source, folder)
    shown = export(editor, ours, folder)
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).mean() < SAME


@pytest.mark.parametrize("kind", ["dng", "linear", "tif"])
def test_exiv2_reads_every_tag(tmp_path: Path, kind: str) -> None:
    raw = make_raw(scene((64, 96), 4095, 256))
    path = tmp_path / f"a.{'tif' if kind == 'tif' else 'dng'}"
    if kind == "tif":
        write_tiff(path, develop_raw(raw), raw, color_space="srgb")
    else:
        write_dng(path, raw, restored=True, linear=kind == "linear")
    done = subprocess.run(
        [program("exiv2"), "-PEIXkv", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    tags = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if " " in line)
    assert tags["Exif.Photo.ExposureTime"].strip() == "1/30"
    assert tags["Exif.Photo.LensModel"].strip() == "35mm F2"
    assert tags["Exif.GPSInfo.GPSLatitude"].strip() == "48/1 6/1 0/1"
    assert tags["Xmp.xmp.Rating"].strip() == "4"
    assert tags["Xmp.nightfix.Restored"].strip() == str(kind != "tif")
    assert tags["Exif.Image.Orientation"].strip() == "1"


def test_lamps_are_white_though_green_is_cut_below_the_white_level(folder, rng):
    """Greens that stop at 15 100 of 16 383 made them magenta."""
    y, x = np.mgrid[:256, :384]
    light = np.where(np.hypot(y - 120, x - 200) < 20, 4.0, 0.01)
    tint = np.array([[0.5, 1.0], [1.0, 0.6]])[y % 2, x % 2]
    photo = 2e-4 * rng.poisson(light * tint / 2e-4)
    samples = np.minimum(np.rint(512 + photo * 15871), np.where(tint == 1, 15100, 16383))
    raw = raw_from_array(
        samples,
        black_level=512,
        white_level=16383,
        noise=(2e-4, 1e-8),
        as_shot_neutral=(0.5, 1.0, 0.6),
        color_matrix=np.reshape(DAYLIGHT_MATRIX, (3, 3)),
    )
    told = condition_raw(raw, ExposureTarget(ratio=3), deblur=False)
    restored = Restorer("nightfix-fast", "cpu").restore(raw, told, Settings(steps=1))
    path = folder / "lamps.dng"
    write_dng(path, restored, restored=True, overwrite=True)
    core = export("darktable-cli", path, folder)[110:130, 190:210]
    assert core.min() > 240
    assert np.ptp(core, -1).max() < 12
