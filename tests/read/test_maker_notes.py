"""What maker notes say, and that none of them costs a photo."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from dng_files import (
    ASCII,
    LONG,
    SHORT,
    UNDEFINED,
    DngSpec,
    Row,
    coded_samples,
    ifd_bytes,
    text,
    write_test_dng,
)

from nightfix.batch import events
from nightfix.condition import ExposureTarget, condition_raw
from nightfix.pipeline import EnhanceOptions, enhance
from nightfix.read import CameraSettings, decoder, decoder_process, read_raw
from nightfix.read.maker_notes import KEYS, camera_settings

SAMPLES = coded_samples(48, 64)
UNKNOWN = CameraSettings()


def nikon_note(strength: int = 4, dark: str = "FPNR") -> bytes:
    rows: list[Row] = [
        (0x0089, SHORT, 1, 1),
        text(0x0095, dark),
        (0x00A7, LONG, 1, 12345),
        text(0x00AC, "VR-ON"),
        (0x00B1, SHORT, 1, strength),
    ]
    return b"Nikon\0\2\x10\0\0II*\0\x08\0\0\0" + ifd_bytes(rows, 8)


def canon_note(offset: int) -> bytes:
    """Settings of drive (5) and stabilization (34), and of the file (8: dark frame)."""
    settings, file = [0] * 47, [0] * 20
    settings[5], settings[34], file[8] = 1, 1, 2
    rows: list[Row] = [(0x0001, SHORT, 47, tuple(settings)), (0x0093, SHORT, 20, tuple(file))]
    return ifd_bytes(rows, offset)


def with_note(path: Path, make: str, note: bytes, count: int | None = None) -> Path:
    exif: list[Row] = [(37500, UNDEFINED, len(note) if count is None else count, note)]
    return write_test_dng(path, DngSpec(SAMPLES, make=make, model="Body", exif=exif))


@pytest.fixture
def nikon(tmp_path: Path) -> Path:
    return with_note(tmp_path / "nikon.dng", "NIKON CORPORATION", nikon_note())


def test_a_nikon_tells(nikon: Path) -> None:
    assert read_raw(nikon).metadata.camera == CameraSettings(
        high_iso_noise_reduction="Normal",
        long_exposure_noise_reduction="On",
        image_stabilization="VR-ON",
        drive_mode="Continuous, no bracketing",
        shutter_count=12345,
    )


def test_a_canon_tells(tmp_path: Path) -> None:
    path = with_note(tmp_path / "canon.dng", "Canon", canon_note(0))
    data = path.read_bytes()
    place = data.index(canon_note(0)[:6])
    path.write_bytes(data.replace(canon_note(0), canon_note(place)))
    assert read_raw(path).metadata.camera == CameraSettings(
        long_exposure_noise_reduction="On", image_stabilization="On", drive_mode="Continuous"
    )


def test_a_photo_without_a_note_tells_nothing(tmp_path: Path) -> None:
    path = write_test_dng(tmp_path / "photo.dng", DngSpec(SAMPLES))
    assert read_raw(path).metadata.camera == UNKNOWN


@pytest.mark.parametrize(
    ("notes", "facts"),
    [
        (
            {"MakerNote HighISONoiseReduction2": "Low", "MakerNote ReleaseMode": "Normal"},
            CameraSettings(high_iso_noise_reduction="Low", drive_mode="Normal"),
        ),
        (
            {"Image Make": "OLYMPUS CORPORATION", "MakerNote NoiseReduction": "On"},
            CameraSettings(high_iso_noise_reduction="On"),
        ),
        (
            {"Image Make": "FUJIFILM", "MakerNote MotorOrBracket": "On"},
            CameraSettings(drive_mode="Continuous or bracketing"),
        ),
        ({"MakerNote HighISONoiseReduction": "17", "MakerNote ImageStabilization": "N/A"}, UNKNOWN),
        ({"MakerNote TotalShutterReleases": str(2**32 - 1)}, UNKNOWN),
        ({"MakerNote TotalShutterReleases": "[1, 2]"}, UNKNOWN),
    ],
    ids=["sony", "olympus", "fujifilm", "no words", "never written", "list"],
)
def test_entries_become_facts(notes: dict[str, str], facts: CameraSettings) -> None:
    assert set(notes) <= set(KEYS)
    assert camera_settings(notes) == facts


@pytest.mark.parametrize(("strength", "warns"), [(0, False), (1, True), (6, True)])
def test_noise_reduced_in_the_camera_is_a_note(tmp_path: Path, strength: int, warns: bool) -> None:
    """The dark frame that is subtracted in all three of them is none."""
    path = with_note(tmp_path / "photo.dng", "NIKON", nikon_note(strength))
    warning = condition_raw(read_raw(path), ExposureTarget(ratio=2.0)).warning
    assert ("high-ISO noise reduction was on" in warning) == warns


def test_info_tells(nikon: Path) -> None:
    call = [sys.executable, "-m", "nightfix", "info", str(nikon)]
    said = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    rows = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
    rows = {name: value.strip() for name, value in rows.items()}
    assert rows["in the camera"] == "noise reduction: high ISO Normal, long exposure On"
    assert rows["stabilization"] == "VR-ON"
    assert rows["drive mode"] == "Continuous, no bracketing"
    assert rows["shutter count"] == "12345"


def test_programs_are_told_by_the_schema(nikon: Path, tmp_path: Path) -> None:
    options = EnhanceOptions(output=tmp_path / "out", restore=False)
    event = events.result_event(enhance(nikon, options))
    schema = json.loads(files("nightfix").joinpath("batch/events.schema.json").read_text("utf-8"))
    jsonschema.validate(event, schema)
    assert event["camera"]["shutter_count"] == 12345
    assert event["camera"]["high_iso_noise_reduction"] == "Normal"
    jsonschema.validate(event | {"camera": dict.fromkeys(event["camera"])}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(event | {"camera": {"shutter_count": "many"}}, schema)


# --- files made to keep us busy


@pytest.mark.parametrize("make", ["NIKON", "Canon", "SONY", "FUJIFILM", "Acme"])
@pytest.mark.parametrize("count", [10**6, 2**32 - 1])
def test_a_note_that_declares_far_more_than_there_is(tmp_path: Path, make: str, count: int) -> None:
    read_raw(write_test_dng(tmp_path / "plain.dng", DngSpec(SAMPLES)))  # its process runs
    path = with_note(tmp_path / "hostile.dng", make, b"MAKER" + bytes(11), count)
    started = time.perf_counter()
    raw = read_raw(path)
    assert time.perf_counter() - started < 4
    assert raw.mosaic.shape == SAMPLES.shape
    assert raw.metadata.camera == UNKNOWN


def test_forty_megabytes_of_note(tmp_path: Path) -> None:
    read_raw(write_test_dng(tmp_path / "plain.dng", DngSpec(SAMPLES)))
    path = with_note(tmp_path / "hostile.dng", "NIKON", b"\xff" * 40_000_000)
    started = time.perf_counter()
    raw = read_raw(path)
    assert time.perf_counter() - started < 4
    assert raw.metadata.camera == UNKNOWN
    expected = read_raw(tmp_path / "plain.dng").mosaic
    np.testing.assert_array_equal(raw.mosaic, expected)


@pytest.mark.parametrize("error", [ValueError, MemoryError, RecursionError, AssertionError])
def test_exifread_failing_inside_gives_no_notes(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error("deep inside")

    monkeypatch.setattr("exifread.process_file", fail)
    assert decoder_process.maker_notes(b"II*\0") == {}


def test_long_texts_are_cut(tmp_path: Path) -> None:
    rows: list[Row] = [(0x00AC, ASCII, 5001, "x" * 5000)]
    note = b"Nikon\0\2\x10\0\0II*\0\x08\0\0\0" + ifd_bytes(rows, 8)
    path = with_note(tmp_path / "photo.dng", "NIKON", note)
    assert read_raw(path).metadata.camera.image_stabilization == "x" * 128


HEAD = "import sys, json, time; sys.path[:] = sys.argv[1:]\n"
TAKEN_OVER = (
    HEAD + "from nightfix.read import decoder_process as p\n"
    "def lie(data): return {!r}\n"
    "p.maker_notes = lie\n"
    "p.serve()\n"
)


@pytest.mark.parametrize(
    "said", [{"Image Make": "y" * 70_000}, [1], 7, {"MakerNote NoiseReduction": {"a": 1}}], ids=repr
)
def test_a_process_that_lies_about_notes_costs_no_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: object
) -> None:
    decoder._close()
    monkeypatch.setattr(decoder, "_CHILD", TAKEN_OVER.format(said))
    path = write_test_dng(tmp_path / "photo.dng", DngSpec(SAMPLES))
    for _ in range(2):
        assert read_raw(path).metadata.camera == UNKNOWN
    decoder._close()


def test_a_process_that_hangs_over_notes_costs_no_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder._close()
    hang = TAKEN_OVER.format({}).replace("return {}", "time.sleep(60)")
    monkeypatch.setattr(decoder, "_CHILD", hang)
    monkeypatch.setattr(decoder, "NOTES_TIME_LIMIT", 0.3)
    path = write_test_dng(tmp_path / "photo.dng", DngSpec(SAMPLES))
    assert read_raw(path).mosaic.shape == SAMPLES.shape
    monkeypatch.undo()
    assert read_raw(path).mosaic.shape == SAMPLES.shape
