"""Looks from folders of RAW files and pictures, and what becomes of photos developed with them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from raw_images import plain_raw
from typer.testing import CliRunner

from nightfix.cli.app import app
from nightfix.develop.color import COLOR_SPACES
from nightfix.develop.develop import develop_raw
from nightfix.develop.icc import icc_profile
from nightfix.develop.look import (
    CURVE_GAMMA,
    CURVE_SIZE,
    TABLE_SIZE,
    Look,
    color_difference,
    read_look,
)
from nightfix.develop.look_fit import plain_matrix
from nightfix.develop.orientation import undo_orientation
from nightfix.errors import LookError
from nightfix.pipeline import look as module
from nightfix.pipeline import region
from nightfix.pipeline.fingerprint import settings_fingerprint
from nightfix.pipeline.look import learn_look, look_of, save_look
from nightfix.pipeline.options import EnhanceOptions
from nightfix.pipeline.pairs import before_after
from nightfix.pipeline.photo import enhance
from nightfix.read.reader import ColorMatrix, RawImage, read_raw
from nightfix.write.dng import write_dng
from nightfix.write.formats import WriteOptions
from nightfix.write.xmp import record_of_file

MATRIX = ColorMatrix(
    illuminant=21,
    matrix=np.array([[0.80, -0.25, -0.08], [-0.40, 1.18, 0.24], [-0.06, 0.16, 0.62]]),
)
SRGB = COLOR_SPACES["srgb"]


def scene(seed: int, *, orientation: int = 1) -> RawImage:
    """A mosaic of soft patches of all colors, bright and dark."""
    rng = np.random.default_rng(seed)
    small = 2 ** rng.uniform(-5.5, -0.3, (12, 18, 1)) * rng.uniform(0.15, 1, (12, 18, 3))
    planes = [
        np.asarray(Image.fromarray(small[..., c].astype(np.float32)).resize((432, 288)))
        for c in range(3)
    ]
    light = np.clip(np.stack(planes, axis=-1), 0, 1) * np.array([0.5, 1.0, 0.65])
    mosaic = light[..., 1].astype(np.float32)
    mosaic[0::2, 0::2] = light[0::2, 0::2, 0]
    mosaic[1::2, 1::2] = light[1::2, 1::2, 2]
    return plain_raw(
        mosaic,
        as_shot_neutral=np.array([0.5, 1.0, 0.65]),
        color_matrices=(MATRIX,),
        orientation=orientation,
    )


def film(raw: RawImage) -> np.ndarray:
    """What the camera makes of it: warm, saturated, contrasty; encoded sRGB."""
    light = develop_raw(raw, color_space="rec2020", tone="scene")
    linear = np.maximum(light @ plain_matrix().T, 0)
    gray = linear @ SRGB.rgb_to_xyz[1]
    linear = np.maximum(gray[..., None] + 1.3 * (linear - gray[..., None]), 0) * [1.15, 1, 0.85]
    encoded = np.clip(1.4 * linear, 0, 1) ** (1 / 2.2)
    encoded = encoded - 0.05 * np.sin(2 * np.pi * encoded)
    encoded[..., 1] += 0.1 * np.clip(encoded[..., 2] - encoded[..., 0], 0, 1)
    return np.clip(encoded, 0, 1)


def save_pair(folder: Path, name: str, raw: RawImage, picture: np.ndarray, **more: object) -> None:
    folder.mkdir(exist_ok=True)
    write_dng(folder / f"{name}.dng", raw, restored=False)
    image = Image.fromarray(np.rint(picture * 255).astype(np.uint8))
    image.save(folder / f"{name}.JPG", "JPEG", quality=95, **more)  # type: ignore[arg-type]


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIGHTFIX_LOOKS_DIR", str(tmp_path / "looks"))
    for seed in range(3):
        raw = scene(seed)
        save_pair(tmp_path / "pairs", f"IMG_{seed}", raw, film(raw))
    return tmp_path / "pairs"


def difference(shown: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    inside = (wanted > 0.02).all(axis=-1) & (wanted < 0.97).all(axis=-1)
    return color_difference(shown[inside], wanted[inside])


def test_a_look_learned_from_files_fits_a_photo_held_out(pairs: Path) -> None:
    learned = learn_look(pairs)
    assert [path.name for path in learned.pairs] == ["IMG_0.dng", "IMG_1.dng", "IMG_2.dng"]
    assert learned.left_out == ()
    assert learned.without.mean > 5
    assert learned.with_look.mean < 1
    raw = scene(7)
    before = difference(develop_raw(raw), film(raw))
    after = difference(develop_raw(raw, look=learned.look), film(raw))
    print(before.mean(), np.percentile(before, 95), after.mean(), np.percentile(after, 95))
    assert before.mean() > 5
    assert after.mean() < 1
    assert np.percentile(after, 95) < 2.5


@pytest.mark.parametrize("color_space", ["display-p3", "rec2020"])
def test_a_look_is_the_same_in_every_color_space(pairs: Path, color_space: str) -> None:
    look, raw = learn_look(pairs).look, scene(7)
    shown = develop_raw(raw, look=look, color_space=color_space)
    space = COLOR_SPACES[color_space]
    to_srgb = np.linalg.solve(SRGB.rgb_to_xyz, space.rgb_to_xyz)
    back = SRGB.encode((space.decode(shown) @ to_srgb.T).astype(np.float32))
    assert difference(back, develop_raw(raw, look=look)).mean() < 0.3


@pytest.mark.parametrize("kept", ["upright pixels", "as the sensor has it", "by its EXIF"])
def test_pictures_may_lie_on_their_side(tmp_path: Path, kept: str) -> None:
    raw = scene(3, orientation=6)
    picture, more = film(raw), {}
    if kept != "upright pixels":
        picture = undo_orientation(picture, 6)
    if kept == "by its EXIF":
        exif = Image.Exif()
        exif[274] = 6
        more = {"exif": exif}
    save_pair(tmp_path, "IMG", raw, picture, **more)
    learned = learn_look(tmp_path)
    assert learned.with_look.mean < 1.2


@pytest.mark.parametrize("told", ["profile", "EXIF"])
def test_adobe_rgb_is_known_as_such(tmp_path: Path, pairs: Path, told: str) -> None:
    raw = scene(3)
    adobe = COLOR_SPACES["adobe-rgb"]
    to_adobe = np.linalg.solve(adobe.rgb_to_xyz, SRGB.rgb_to_xyz)
    linear = SRGB.decode(film(raw).astype(np.float32)) @ to_adobe.T
    exif = Image.Exif()
    exif.get_ifd(34665)[0xA005] = {1: "R03"}
    more = {"icc_profile": icc_profile(adobe)} if told == "profile" else {"exif": exif}
    save_pair(tmp_path / "adobe", "IMG", raw, adobe.encode(linear.astype(np.float32)), **more)
    learned = learn_look(tmp_path / "adobe")
    shown = develop_raw(scene(7), look=learned.look)
    assert difference(shown, film(scene(7))).mean() < 1.5


def test_what_is_no_pair_is_left_out_with_a_reason(pairs: Path) -> None:
    save_pair(pairs, "other", scene(8), film(scene(9)))
    save_pair(pairs, "long", scene(8), film(scene(8))[:, :300])
    save_pair(pairs, "black", replace(scene(8), mosaic=scene(8).mosaic * 0), film(scene(8)) * 0)
    save_pair(pairs, "broken", scene(8), film(scene(8)))
    (pairs / "broken.JPG").write_bytes(b"\xff\xd8\xff nothing")
    (pairs / "damaged.dng").write_bytes(b"II*\0")
    learned = learn_look(pairs)
    assert len(learned.pairs) == 3
    reasons = {path.stem: reason for path, reason in learned.left_out}
    assert set(reasons) == {"other", "long", "black", "broken", "damaged"}
    assert "something else" in reasons["other"]
    assert "another shape" in reasons["long"]
    assert "cannot be read" in reasons["broken"]
    assert learned.with_look.mean < 1


def test_moved_pictures_teach_the_same(tmp_path: Path) -> None:
    """A lens correction of the camera moves pixels; things have moved between two shots."""
    raw = scene(3)
    picture = np.roll(film(raw), (2, 3), axis=(0, 1))
    picture[100:160, 200:280] = 0.3
    save_pair(tmp_path, "IMG", raw, picture)
    shown = develop_raw(scene(7), look=learn_look(tmp_path).look)
    assert difference(shown, film(scene(7))).mean() < 3, "of 8.3 without a look"


@pytest.mark.parametrize("there", ["no folder", "empty", "no pictures"])
def test_nothing_to_learn_from_is_an_error(tmp_path: Path, there: str) -> None:
    folder = tmp_path / "pairs"
    if there != "no folder":
        folder.mkdir()
    if there == "no pictures":
        write_dng(folder / "a.dng", replace(scene(1), mosaic=scene(1).mosaic * 0), restored=False)
    with pytest.raises(LookError) as caught:
        learn_look(folder)
    assert "RAW files" in caught.value.hint


# --- a photo's own preview


@pytest.fixture
def with_preview(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RawImage:
    """A photo six stops too dark, and the preview that its camera made of it."""
    raw = scene(4)
    preview = io.BytesIO()
    dark = SRGB.encode((SRGB.decode(film(raw).astype(np.float32)) / 6).astype(np.float32))
    Image.fromarray(np.rint(dark * 255).astype(np.uint8)).save(preview, "JPEG", quality=95)
    monkeypatch.setattr(module, "read_preview", lambda _: preview.getvalue())
    return raw


def test_the_camera_s_colors_are_taken_from_a_dark_preview(with_preview: RawImage) -> None:
    look, note = look_of(with_preview, WriteOptions(look="camera"))
    assert look is not None
    assert look.curve is None
    assert "white balance" in note

    def colors(picture: np.ndarray) -> np.ndarray:
        linear = SRGB.decode(picture.astype(np.float32))
        level = linear.mean(axis=-1, keepdims=True) / 0.2
        return SRGB.encode((linear / np.maximum(level, 1e-4)).astype(np.float32))

    wanted = colors(film(with_preview))
    before = difference(colors(develop_raw(with_preview)), wanted).mean()
    after = difference(colors(develop_raw(with_preview, look=look)), wanted).mean()
    print(before, after)
    assert after < 0.5 * before


@pytest.mark.parametrize("what", ["none", "black", "monochrome"])
def test_without_a_usable_preview_a_note_tells(
    with_preview: RawImage, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    raw = with_preview
    if what == "none":
        monkeypatch.setattr(module, "read_preview", lambda _: b"")
    elif what == "black":
        black = io.BytesIO()
        Image.new("RGB", (432, 288)).save(black, "JPEG")
        monkeypatch.setattr(module, "read_preview", lambda _: black.getvalue())
    else:
        raw = replace(raw, cfa_pattern=None)
    look, note = look_of(raw, WriteOptions(look="camera"))
    assert look is None
    assert note.startswith("no look:")


def test_a_preview_is_read_from_a_file(tmp_path: Path) -> None:
    from nightfix.read.preview import read_preview

    write_dng(tmp_path / "a.dng", scene(4), restored=False)
    with Image.open(io.BytesIO(read_preview(tmp_path / "a.dng"))) as image:
        assert image.size == (432, 288)


NEF = Path(__file__).parents[2].parent / "shared" / "raw" / "odd" / "issue247-1.nef"


@pytest.mark.skipif(not NEF.exists(), reason="needs shared/")
def test_a_real_preview_is_read() -> None:
    from nightfix.read.preview import read_preview

    with Image.open(io.BytesIO(read_preview(NEF))) as image:
        assert image.format == "JPEG"


# --- the command line


def run(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_learn_list_export_and_use(pairs: Path, tmp_path: Path) -> None:
    done = run("look", "learn", pairs, "--name", "film")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "looks/film.json")
    assert "learned from 3 of 3 photos" in done.stderr
    assert run("look", "list").stdout == f"film\t{tmp_path / 'looks/film.json'}\n"
    assert run("look", "learn", pairs, "--name", "film").exit_code == 6
    assert run("look", "learn", pairs, "--name", "film", "--overwrite").exit_code == 0
    assert run("look", "export", "film", tmp_path / "film.cube").exit_code == 0
    assert (tmp_path / "film.cube").read_text().startswith('TITLE "film"\nLUT_3D_SIZE 33\n')
    photo = pairs / "IMG_1.dng"
    for name in ("film", tmp_path / "looks/film.json"):
        out = tmp_path / f"out{len(str(name))}"
        done = run("enhance", photo, "--no-restore", "--format", "png", "--look", name, "-o", out)
        assert done.exit_code == 0, done.stderr
        with Image.open(out / "IMG_1_nightfix.png") as image:
            shown = np.asarray(image, np.float32) / 255
        wanted = develop_raw(read_raw(photo), look=read_look("film"))
        assert np.abs(shown - wanted).max() < 0.003
        assert difference(shown, film(scene(1))).mean() < 1


def save_saturated() -> None:
    """Keep a look that leaves gray gray, with NightFix's own tones."""
    gray = np.tile(SRGB.rgb_to_xyz[1], (3, 1))
    matrix = (gray + 1.3 * (np.eye(3) - gray)) @ plain_matrix()
    levels = (np.arange(CURVE_SIZE, dtype=np.float32) / (CURVE_SIZE - 1)) ** CURVE_GAMMA
    table = np.zeros((TABLE_SIZE, TABLE_SIZE, TABLE_SIZE, 3), np.float32)
    look = Look(matrix=matrix.astype(np.float32), curve=SRGB.encode(levels), table=table)
    save_look(look, "street")


def test_a_profile_is_exported_for_the_camera_of_a_photo(pairs: Path, tmp_path: Path) -> None:
    save_saturated()
    raw = scene(1)
    metadata = replace(raw.metadata, unique_camera_model="Kamera Eins")
    write_dng(tmp_path / "a.dng", replace(raw, metadata=metadata), restored=False)
    words = ("look", "export", "street", tmp_path / "street.dcp", "--photo", tmp_path / "a.dng")
    done = run(*words)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "street.dcp")
    assert "street: for Kamera Eins; its colors differ by 0." in done.stderr
    assert (tmp_path / "street.dcp").read_bytes()[:4] == b"IIRC"
    assert run(*words).exit_code == 6
    assert run(*words, "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("lacks", "said"),
    [("name", "does not tell its camera"), ("matrix", "no color matrix"), ("gray", "tints gray")],
)
def test_a_profile_that_would_be_wrong_is_refused(
    pairs: Path, tmp_path: Path, lacks: str, said: str
) -> None:
    save_saturated()
    save_look(learn_look(pairs).look, "warm")
    raw = scene(1)
    model = "" if lacks == "name" else "Kamera Eins"
    raw = replace(raw, metadata=replace(raw.metadata, unique_camera_model=model))
    photo, target = tmp_path / "a.dng", tmp_path / "film.dcp"
    write_dng(photo, raw, restored=False)
    if lacks == "matrix":
        monochrome = replace(raw, cfa_pattern=None, as_shot_neutral=None, color_matrices=())
        write_dng(photo, monochrome, restored=False, overwrite=True)
    name = "warm" if lacks == "gray" else "street"
    done = run("look", "export", name, target, "--photo", photo)
    assert done.exit_code == 3
    assert said in done.stderr
    assert f"hint: nightfix look export {name} {target.with_suffix('.cube')}" in done.stderr
    assert not target.exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("film", "a.txt"), 2, "must end in .cube or .dcp"),
        (("film", "a.dcp"), 2, "add --photo"),
        (("film", "a.cube", "--photo", "a.dng"), 2, "for every camera"),
        (("camera", "a.cube"), 3, "no look that was learned"),
    ],
    ids=["suffix", "no photo", "photo", "camera"],
)
def test_wrong_exports_are_told(words: tuple[str, ...], code: int, said: str) -> None:
    done = run("look", "export", *words)
    assert done.exit_code == code
    assert said in " ".join(done.stderr.replace("│", " ").split())


def test_an_empty_list_tells_how_to_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTFIX_LOOKS_DIR", str(tmp_path))
    done = run("look", "list")
    assert done.stdout == ""
    assert "nightfix look learn FOLDER --name NAME" in done.stderr


def test_a_name_that_is_taken_is_told_before_the_work(
    pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_saturated()
    monkeypatch.setattr("nightfix.cli.look.learn_look", lambda *_, **__: pytest.fail("learned"))
    assert run("look", "learn", pairs, "--name", "street").exit_code == 6
    assert run("look", "learn", pairs, "--name", "camera").exit_code == 3


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--look", "film"), 3, "nightfix look learn"),
        (("--look", "camera", "--tone", "linear"), 2, "tone curve"),
        (("--look", "camera", "--hdr", "--format", "jpeg"), 2, "--hdr"),
    ],
    ids=["unknown", "tone", "hdr"],
)
def test_wrong_looks_are_told_before_any_work(
    pairs: Path, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = run("enhance", pairs / "IMG_1.dng", "--no-restore", "-o", tmp_path / "out", *words)
    assert done.exit_code == code
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["camera", "none", "a/b", "../x", ".x", "-x", "", "a\nb"])
def test_some_names_are_refused(pairs: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(LookError):
        save_look(learn_look(pairs).look, name)
    assert not list(tmp_path.glob("looks/*"))


def test_a_look_that_was_learned_anew_makes_other_results(pairs: Path, tmp_path: Path) -> None:
    photo, options = pairs / "IMG_1.dng", EnhanceOptions(writing=WriteOptions(look="film"))
    prints = {settings_fingerprint(photo, EnhanceOptions(), "")}
    look = learn_look(pairs).look
    save_look(look, "film")
    prints.add(settings_fingerprint(photo, options, ""))
    assert look.table is not None
    save_look(replace(look, table=look.table * 0.5), "film", overwrite=True)
    prints.add(settings_fingerprint(photo, options, ""))
    prints.add(settings_fingerprint(photo, EnhanceOptions(writing=WriteOptions(look="camera")), ""))
    assert len(prints) == 4


def test_pictures_tell_the_look_that_they_have(pairs: Path) -> None:
    save_look(learn_look(pairs).look, "film")
    options = EnhanceOptions(
        restore=False, formats=("png", "dng"), writing=WriteOptions(look="film")
    )
    result = enhance(pairs / "IMG_1.dng", options)
    told = {path.suffix: record_of_file(path) for path in result.outputs}
    assert told[".png"].look == "film"
    assert told[".png"].options == "--no-restore --look film"
    assert told[".dng"].look == ""
    assert not any("no look" in note for note in result.notes)
    alone = enhance(pairs / "IMG_2.dng", replace(options, formats=("dng",)))
    assert any("nightfix look export" in note for note in alone.notes)
    (png,) = (path for path in result.outputs if path.suffix == ".png")
    assert "look:            film\n" in run("info", png).stdout


def test_a_look_that_is_not_there_to_be_taken_is_not_told(tmp_path: Path) -> None:
    photo = tmp_path / "a.dng"
    write_dng(photo, replace(scene(4), cfa_pattern=None, as_shot_neutral=None), restored=False)
    options = EnhanceOptions(restore=False, formats=("png",), writing=WriteOptions(look="camera"))
    (png,) = enhance(photo, options).outputs
    assert record_of_file(png).look == ""


def test_a_look_and_another_tone_are_a_wrong_call() -> None:
    with pytest.raises(ValueError, match="tones of its own"):
        develop_raw(scene(1), tone="scene", look=Look(matrix=np.eye(3, dtype=np.float32)))


def test_galleries_and_previews_have_the_look(pairs: Path, tmp_path: Path) -> None:
    save_look(learn_look(pairs).look, "film")
    options = EnhanceOptions(restore=False, formats=("png",), writing=WriteOptions(look="film"))
    photo = pairs / "IMG_1.dng"
    (output,) = enhance(photo, options).outputs
    shown = before_after(photo, output, options)
    before, after = shown.before.astype(int), shown.after.astype(int)
    assert np.abs(before - after).max() <= 1
    raw = read_raw(photo)
    wanted = develop_raw(raw, look=read_look("film"))
    assert region._develop(raw, options, None, read_look("film")) == pytest.approx(wanted, abs=1e-6)
    assert np.abs(after / 255 - wanted).max() < 0.01
