"""A photo with lens corrections of its own, on its whole way."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from importlib.resources import files

import imageio.v3 as iio
import jsonschema
import numpy as np
import pytest
from typer.testing import CliRunner

from nightfix.batch.events import result_event
from nightfix.cli.app import app
from nightfix.condition import ExposureTarget
from nightfix.condition.conditioning import Settings
from nightfix.develop.develop import develop_raw
from nightfix.pipeline.compare import read_picture
from nightfix.pipeline.pairs import before_after
from nightfix.pipeline.photo import EnhanceOptions, enhance
from nightfix.pipeline.region import preview
from nightfix.read.opcodes import Opcode, OpcodeLists, encode_opcodes
from nightfix.read.reader import read_raw
from nightfix.write.dng import write_dng
from nightfix.write.dng_preview import make_preview
from nightfix.write.formats import WriteOptions
from nightfix.write.xmp import record_of_file

runner = CliRunner()

#: A barrel that moves corners by 60 px, and what it left dark.
WARP = np.array([1.0, -0.2, 0, 0, 0, 0, 0.5, 0.5], ">f8").tobytes()
CODES = (
    Opcode(3, 0x01030000, 1, struct.pack(">7d", 0.5, 0, 0, 0, 0, 0.5, 0.5)),
    Opcode(1, 0x01030000, 1, struct.pack(">I", 1) + WARP),
)
TOLD = "distortion and vignetting (as the file says)"


@pytest.fixture
def photo(tmp_path, synthetic_raw):
    raw = synthetic_raw(shape=(420, 600))
    opcodes = OpcodeLists(demosaiced=encode_opcodes(CODES))
    path = tmp_path / "photo.dng"
    write_dng(path, replace(raw, opcodes=opcodes, orientation=6), restored=False)
    return path


def options(lens="auto", **others):
    return EnhanceOptions(
        exposure=ExposureTarget(ratio=16),
        settings=Settings(steps=1),
        writing=WriteOptions(lens=lens),
        **others,
    )


def test_pictures_are_corrected_and_say_so(photo, tiny_restorer):
    said = []
    result = enhance(
        photo,
        options(formats=("png", "dng")),
        restorer=tiny_restorer,
        announce=said.append,
    )
    assert f"corrects {TOLD}" in said[0]
    png, dng = sorted(result.outputs, key=lambda path: path.suffix, reverse=True)
    record = record_of_file(png)
    assert record.lens == TOLD
    assert "--lens" not in record.options
    # The DNG keeps its opcodes, and is not corrected.
    restored = read_raw(dng)
    assert restored.opcodes.demosaiced == encode_opcodes(CODES)
    assert record_of_file(dng).lens == ""
    corrected = develop_raw(restored)
    assert np.abs(iio.imread(png) / 255 - corrected).max() < 0.02
    assert np.abs(develop_raw(restored, lens="off") - corrected).max() > 0.1
    event = result_event(result)
    assert event["lens"] == {
        "source": "file",
        "corrected": ["distortion", "vignetting"],
        "profile": "",
    }
    schema = json.loads(files("nightfix").joinpath("batch/events.schema.json").read_text("utf-8"))
    jsonschema.validate(json.loads(json.dumps(event)), schema)


def test_lens_off_leaves_them_and_is_repeated(photo, tiny_restorer):
    said = []
    result = enhance(
        photo, options("off", formats=("png",)), restorer=tiny_restorer, announce=said.append
    )
    assert "corrects" not in said[0]
    record = record_of_file(result.outputs[0])
    assert record.lens == "off"
    assert record.options.endswith("--lens off")
    assert result.lens is None
    assert result_event(result)["lens"] is None


def test_nothing_is_told_where_no_picture_is_made(photo, tiny_restorer):
    said = []
    result = enhance(photo, options(formats=("dng",)), restorer=tiny_restorer, announce=said.append)
    assert "corrects" not in said[0]
    assert result.lens is None


@pytest.mark.parametrize("crop", [(0, 0, 70, 50), (300, 500, 100, 90), (20, 30, 100, 60)])
def test_a_preview_is_that_of_the_corrected_picture(photo, tiny_restorer, tmp_path, crop):
    seen = preview(
        photo,
        options(),
        weights=tiny_restorer.info.sha256,
        load=lambda: tiny_restorer,
        crop=crop,
        cache=tmp_path / "cache",
    )
    result = enhance(photo, options(formats=("png",)), restorer=tiny_restorer)
    left, top, width, height = crop
    whole = iio.imread(result.outputs[0]) / 255
    part = whole[top : top + height, left : left + width]
    assert seen.after.shape == seen.before.shape == part.shape
    assert np.abs(seen.after - part).max() < 0.01
    assert np.abs(seen.before - part).mean() < 0.1


@pytest.mark.parametrize("crop", [(0, 0, 70, 50), (350, 550, 70, 50)])
def test_the_network_sees_all_that_a_preview_shows(
    photo, tiny_restorer, tmp_path, monkeypatch, crop
):
    """Also where corners are moved by more than the margin: here the network returns black."""

    def black(captured, restored, *_):
        return replace(restored, mosaic=np.zeros_like(restored.mosaic))

    monkeypatch.setattr("nightfix.pipeline.region._MARGIN", 16)
    monkeypatch.setattr("nightfix.pipeline.region.blend_with_capture", black)
    seen = preview(
        photo,
        options(),
        weights="0",
        load=lambda: tiny_restorer,
        crop=crop,
        cache=tmp_path / "cache",
    )
    assert seen.before.max() > 0.1
    assert seen.after.max() < 1e-3


def test_before_and_after_are_corrected_alike(photo, tiny_restorer):
    for lens in ("auto", "off"):
        chosen = options(lens, formats=("png",), overwrite=True)
        result = enhance(photo, chosen, restorer=tiny_restorer)
        pair = before_after(photo, result.outputs[0], chosen)
        apart = np.abs(pair.before.astype(float) - pair.after).mean()
        if lens == "auto":
            corrected = apart
        told = dict(pair.facts).get("Lens corrected")
        assert told == (TOLD if lens == "auto" else None)
        other = before_after(photo, result.outputs[0], options("off" if lens == "auto" else "auto"))
        assert np.abs(other.before.astype(float) - other.after).mean() > 1.1 * apart
    assert corrected > 0


def test_the_preview_in_a_dng_is_what_editors_show(photo):
    raw = read_raw(photo)
    small = make_preview(replace(raw, orientation=1))
    wanted = develop_raw(replace(raw, orientation=1)) * 255
    assert np.abs(small - wanted).max() < 1


def test_raw_files_are_compared_as_pictures_are(photo):
    shown = {lens: read_picture(photo, ratio=16, lens=lens) for lens in ("auto", "off")}
    raw = read_raw(photo)
    brighter = replace(raw, mosaic=raw.mosaic * np.float32(16))
    np.testing.assert_array_equal(shown["auto"], develop_raw(brighter))
    np.testing.assert_array_equal(shown["off"], develop_raw(brighter, lens="off"))


def test_what_is_not_carried_out_is_noted(photo, tiny_restorer):
    raw = read_raw(photo)
    codes = (*CODES, Opcode(7, 0x01030000, 0, bytes(40)))
    raw = replace(raw, opcodes=OpcodeLists(demosaiced=encode_opcodes(codes)))
    asking = photo.with_name("asking.dng")
    write_dng(asking, raw, restored=False)
    for lens in ("auto", "off"):
        chosen = options(lens, formats=("png",), overwrite=True)
        result = enhance(asking, chosen, restorer=tiny_restorer)
        assert any("MapTable" in note for note in result.notes) == (lens == "auto")


def test_the_commands_know_it(photo, tmp_path):
    def run(*words):
        result = runner.invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.stderr
        return result

    assert f"lens correction: {TOLD}" in run("info", photo).stdout
    out = tmp_path / "out"
    common = ("enhance", photo, "--no-restore", "--format", "png", "-o", out)
    run(*common)
    corrected = iio.imread(out / "photo_nightfix.png")
    assert f"lens corrected:  {TOLD}" in run("info", out / "photo_nightfix.png").stdout
    run(*common, "--lens", "off", "--overwrite")
    plain = iio.imread(out / "photo_nightfix.png")
    assert np.abs(plain.astype(float) - corrected).max() > 5
    made = run("info", out / "photo_nightfix.png").stdout
    assert "--no-restore --lens off" in made
    assert "lens corrected" not in made
    for lens, expected in (("off", plain), ("auto", corrected)):
        target = out / f"{lens}.png"
        words = ("--ratio", 1, "--at", 100, "--lens", lens, "-o", target)
        run("compare", photo, out / "photo_nightfix.png", *words)
        assert np.abs(iio.imread(target)[:, :-4].astype(float) - expected[:, :-4]).max() <= 1
