"""nightfix preview, compare and doctor, as a user calls them."""

from __future__ import annotations

from dataclasses import fields

import imageio.v3 as iio
import numpy as np
import pytest
from typer.testing import CliRunner

from nightfix.cli.app import app
from nightfix.cli.commands import Commands
from nightfix.cli.photo_options import PhotoOptions
from nightfix.cli.self_test import Finding
from nightfix.condition import ExposureTarget, Settings
from nightfix.develop.develop import develop_raw
from nightfix.errors import PictureError, SelfTestError
from nightfix.pipeline import EnhanceOptions
from nightfix.pipeline.compare import read_picture, split
from nightfix.write.dng import write_dng
from nightfix.write.tiff import write_tiff

runner = CliRunner()


@pytest.fixture
def photo(tmp_path, synthetic_raw):
    path = tmp_path / "photo.dng"
    write_dng(path, synthetic_raw(shape=(96, 128)), restored=False)
    return path


@pytest.fixture
def run(tiny_weights, tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path / "cache")

    def run(*arguments: object):
        return runner.invoke(app, [str(argument) for argument in arguments])

    return run


def test_preview_writes_a_png_and_replaces_its_own(run, photo, tiny_weights):
    words = ("preview", photo, "--weights", tiny_weights, "--crop", "10,20,60,40")
    for strength in ("100", "30"):
        result = run(*words, "--strength", strength)
        assert result.exit_code == 0, result.stderr
        target = photo.with_name("photo_preview.png")
        assert result.stdout == f"{target}\n"
        assert iio.imread(target).shape == (40, 124, 3)
    assert "from the cache" in result.stderr


def test_preview_replaces_nobody_else_s(run, photo, tiny_weights, tmp_path):
    target = tmp_path / "mine.png"
    iio.imwrite(target, np.zeros((4, 4, 3), np.uint8))
    result = run("preview", photo, "--weights", tiny_weights, "-o", target)
    assert result.exit_code == 6
    assert iio.imread(target).shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--crop", "1,2,3"), 2, "left,top,width,height"),
        (("--crop", "100,0,60,40"), 3, "128 x 96"),
        (("-o", "x.gif"), 2, ".png"),
    ],
    ids=str,
)
def test_preview_says_what_is_wrong(run, photo, words, code, said):
    result = run("preview", photo, *words)
    assert result.exit_code == code
    assert said in result.stderr


def test_compare_splits_before_and_after(run, photo, tmp_path, synthetic_raw):
    raw = synthetic_raw(shape=(96, 128))
    after = tmp_path / "after.tif"
    write_tiff(after, develop_raw(raw), raw, color_space="srgb")
    result = run("compare", photo, after, "--at", "25", "--ratio", "4")
    assert result.exit_code == 0, result.stderr
    joined = iio.imread(tmp_path / "after_compare.png") / 255
    assert np.abs(joined[:, 34:] - develop_raw(raw)[:, 34:]).max() < 0.01
    assert joined[:, :30].mean() > 1.5 * develop_raw(raw)[:, :30].mean(), "amplified by 4"
    assert (joined[:, 31] == 1).all()


def test_compare_wants_equal_sizes(run, tmp_path):
    for name, width in (("a.png", 8), ("b.png", 9)):
        iio.imwrite(tmp_path / name, np.zeros((6, width, 3), np.uint8))
    result = run("compare", tmp_path / "a.png", tmp_path / "b.png")
    assert result.exit_code == 3
    assert "8 x 6" in result.stderr
    assert "9 x 6" in result.stderr


@pytest.mark.parametrize("name", ["none.png", "none.dng", "bad.png", "bad.tif"])
def test_compare_says_what_is_no_picture(run, tmp_path, name):
    if name.startswith("bad"):
        (tmp_path / name).write_bytes(b"no picture")
    result = run("compare", tmp_path / name, tmp_path / name)
    assert result.exit_code == 3
    assert name in result.stderr


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.full((2, 3), 255, np.uint8), 1.0),
        (np.full((2, 3, 4), 128, np.uint8), 128 / 255),
        (np.full((2, 3, 3), 32768, np.uint16), 32768 / 65535),
    ],
    ids=["gray", "alpha", "16 bit"],
)
def test_pictures_of_every_kind(tmp_path, pixels, expected):
    path = tmp_path / "picture.png"
    if pixels.dtype == np.uint16:
        path = path.with_suffix(".tif")
    iio.imwrite(path, pixels)
    picture = read_picture(path)
    assert picture.shape == (2, 3, 3)
    np.testing.assert_allclose(picture, expected, atol=1e-6)


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(PictureError):
        read_picture(tmp_path)


def test_split_wants_equal_shapes():
    with pytest.raises(ValueError, match="fit"):
        split(np.zeros((2, 3, 3), np.float32), np.zeros((2, 4, 3), np.float32))


@pytest.mark.weights
def test_doctor_finds_this_machine_well(run):
    result = run("doctor", "--device", "cpu")
    assert result.exit_code == 0, result.stdout
    names = ("NightFix:", "Python:", "memory", "torch", "LibRaw:", "weights:", "cuda", "mps:")
    assert [name for name in names if name not in result.stdout] == []
    assert "self test:       cpu in" in result.stdout


def test_doctor_fails_where_the_network_does_not_restore(run, tiny_weights):
    result = run("doctor", "--device", "cpu", "--weights", tiny_weights)
    assert result.exit_code == 5
    assert "weights verify" in result.stderr


def test_doctor_reports_missing_weights(run):
    result = run("doctor", "--weights", "none")
    assert result.exit_code == 4
    assert "weights:         none: no such weights" in result.stdout


def test_a_finding_has_its_error():
    assert Finding(name="x", text="y", error=SelfTestError(1, 2)).error.hint


@pytest.mark.parametrize("name", ["enhance", "preview"])
def test_the_options_of_a_photo_are_those_of_both_commands(name):
    options = {parameter.name: parameter for parameter in Commands()[name].params}
    assert {field.name for field in fields(PhotoOptions)} <= set(options)
    assert "photo" not in options
    assert "--target-exposure" in options["target_exposure"].opts


def test_options_of_a_photo_become_those_of_the_pipeline():
    given = PhotoOptions(ratio=16, steps=2, strength=70.0, chroma=90.0, detail=40.0, deblur=False)
    options = given.added_to(EnhanceOptions(formats=("dng",)), tile=512)
    assert options.formats == ("dng",)
    assert options.exposure == ExposureTarget(ratio=16)
    assert options.settings == Settings(steps=2, strength=70.0, detail=40.0, tile=512)
    assert (options.chroma, options.deblur) == (90.0, False)
