"""Detail that is drawn, from file to file: what is told of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nightfix.cli.app import app
from nightfix.condition import ExposureTarget, Settings
from nightfix.pipeline.measuring import detail_note
from nightfix.pipeline.options import EnhanceOptions
from nightfix.pipeline.pairs import before_after
from nightfix.pipeline.photo import enhance
from nightfix.pipeline.region import preview
from nightfix.write.dng import write_dng
from nightfix.write.xmp import record_of_file

OPTIONS = EnhanceOptions(
    exposure=ExposureTarget(ratio=100),
    settings=Settings(steps=1, detail=60),
    formats=("tiff", "dng", "jpeg", "png"),
)
NOTE = "detail was generated (60 %): fine texture is plausible, not captured"


@pytest.fixture
def drawing(tiny_restorer):
    tiny_restorer.detail_network = tiny_restorer.network
    return tiny_restorer


@pytest.fixture
def photo(tmp_path: Path, synthetic_raw) -> Path:
    path = tmp_path / "photo.dng"
    write_dng(path, synthetic_raw(shape=(300, 420), ratio=100.0), restored=False)
    return path


def test_results_say_that_detail_was_generated(photo: Path, drawing) -> None:
    result = enhance(photo, OPTIONS, restorer=drawing)
    assert NOTE in result.notes
    for path in result.outputs:
        record = record_of_file(path)
        assert record is not None
        assert (record.detail, record.detail_drawn) == (60, 60)
        assert "--detail 60" in record.options
        assert b"compositeWithTrainedAlgorithmicMedia" in path.read_bytes()
        told = CliRunner().invoke(app, ["info", str(path)]).stdout
        assert "60 % generated" in told
    pair = before_after(photo, result.outputs[0], OPTIONS)
    assert NOTE in pair.notes
    assert ("Detail", "60 % generated") in pair.facts


def test_a_clean_photo_has_all_its_detail(tmp_path: Path, synthetic_raw, drawing) -> None:
    path = tmp_path / "clean.dng"
    write_dng(path, synthetic_raw(ratio=1.0, a=1e-5, b=1e-8), restored=False)
    options = EnhanceOptions(
        exposure=ExposureTarget(ratio=1), settings=Settings(steps=1, detail=60)
    )
    result = enhance(path, options, restorer=drawing)
    assert any("too little noise" in note for note in result.notes)
    record = record_of_file(result.outputs[0])
    assert record is not None
    assert (record.detail, record.detail_drawn) == (60, None)
    assert b"AlgorithmicMedia" not in result.outputs[0].read_bytes()


def test_a_monochrome_photo_gets_none(tmp_path: Path, synthetic_raw, drawing) -> None:
    path = tmp_path / "gray.dng"
    write_dng(path, synthetic_raw(ratio=100.0, cfa_pattern=None), restored=False)
    result = enhance(path, OPTIONS, restorer=drawing)
    assert any("color mosaic alone" in note for note in result.notes)


def test_an_unknown_balance_is_the_reason_that_is_told(synthetic_raw) -> None:
    raw = replace(synthetic_raw(), as_shot_neutral=None)
    assert "white balance" in detail_note(raw, 60, 0)


def test_a_preview_draws_and_says_so(tmp_path: Path, photo: Path, drawing) -> None:
    told: list[str] = []
    keywords = {
        "weights": drawing.info.sha256,
        "load": lambda: drawing,
        "crop": (40, 30, 100, 60),
        "cache": tmp_path / "cache",
        "announce": told.append,
    }
    drawn = preview(photo, OPTIONS, **keywords)
    assert f"note: {NOTE}" in told
    plain = preview(
        photo, EnhanceOptions(exposure=OPTIONS.exposure, settings=Settings(steps=1)), **keywords
    )
    assert not plain.cached
    assert drawn.after.std() > 0
    assert abs(drawn.after - plain.after).max() > 1e-3
    assert preview(photo, OPTIONS, **keywords).cached


@pytest.mark.parametrize("value", ["-1", "101", "much"])
def test_a_share_is_between_0_and_100(photo: Path, value: str) -> None:
    done = CliRunner().invoke(app, ["enhance", str(photo), "--detail", value])
    assert done.exit_code == 2
    assert "--detail" in done.stderr
    assert not photo.with_name("photo_nightfix.tif").exists()
