from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from xml.dom.minidom import parseString

import numpy as np
import pytest
from tiff_tree import make_raw, packet

from nightfix.errors import OutputWriteError
from nightfix.write.dng import write_dng
from nightfix.write.picture import PictureFormat, write_picture
from nightfix.write.record import Record, from_properties, properties
from nightfix.write.tiff import write_tiff
from nightfix.write.xmp import copy_sidecars, make_packet, read_record, record_of_file

RECORD = Record(
    version="9.8.7",
    restored=True,
    weights='my "own" <weights> & more',
    weights_sha256="ab" * 32,
    ratio=16.842131262608763,
    steps=3,
    strength=80,
    headroom=3,
    seed=7,
    deterministic=True,
    deblur=False,
    hot_pixels=412,
    black="stated",
    dark="a.dng, b.dng",
    shake=8.9,
    shake_direction=30,
    noise=(0.0001, 1e-07),
    computed="cpu bfloat16",
    chroma=80,
    detail=60,
    detail_drawn=45,
    lens="distortion (as the file says)",
    look="street",
    fingerprint="cd" * 32,
)
SOURCE = packet('xmp:Rating="4" crs:Exposure2012="+1.50" tiff:Orientation="8" tiff:Make="Acme"')


@pytest.mark.parametrize("record", [RECORD, Record()], ids=["full", "bare"])
@pytest.mark.parametrize("source", [SOURCE, b"", b"<xmp>", b"\0\xff"], ids=["xmp", "", "bad", "no"])
@pytest.mark.parametrize("developed", [False, True])
def test_a_record_is_read_back(record: Record, source: bytes, developed: bool) -> None:
    made = make_packet(source, record, developed=developed)
    assert read_record(made) == record
    parseString(made)


def test_a_dng_keeps_all_of_the_packet() -> None:
    made = make_packet(SOURCE, RECORD, developed=False)
    for part in ("Rating", "Exposure2012", "tiff:Orientation", "tiff:Make", "n\u00e4chtlich"):
        assert part.encode() in made


def test_a_picture_keeps_what_is_not_about_the_raw() -> None:
    made = make_packet(SOURCE, RECORD, developed=True)
    kept = [p for p in ("Rating", "tiff:Make", "n\u00e4chtlich") if p.encode() in made]
    assert kept == ["Rating", "tiff:Make", "n\u00e4chtlich"]
    assert b"Exposure2012" not in made
    assert b"tiff:Orientation" not in made


def test_edits_written_as_elements_are_left_out_too() -> None:
    edits = b"<crs:ToneCurve><rdf:Seq><rdf:li>0, 0</rdf:li></rdf:Seq></crs:ToneCurve><dc:subject>"
    source = SOURCE.replace(b"<dc:subject>", edits)
    assert b"ToneCurve" in make_packet(source, RECORD, developed=False)
    assert b"ToneCurve" not in make_packet(source, RECORD, developed=True)


def test_the_newer_record_replaces_the_older() -> None:
    first = make_packet(SOURCE, RECORD, developed=False)
    second = make_packet(first, Record(ratio=2), developed=False)
    assert read_record(second) == Record(ratio=2)
    assert second.count(b"Version=") == 1


GENERATED = b"digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


@pytest.mark.parametrize("developed", [False, True])
def test_generated_detail_is_told_in_the_words_of_agencies(developed: bool) -> None:
    captured = b"digitalsourcetype/digitalCapture"
    said = (
        b'<rdf:Description xmlns:x="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        b'x:DigitalSourceType="http://cv.iptc.org/newscodes/' + captured + b'"/></rdf:RDF>'
    )
    source = SOURCE.replace(b"</rdf:RDF>", said)
    assert captured in source
    made = make_packet(source, RECORD, developed=developed)
    parseString(made)
    assert made.count(b"DigitalSourceType") == 1
    assert GENERATED in made
    plain = make_packet(source, Record(restored=True), developed=developed)
    assert captured in plain
    assert GENERATED not in plain


def test_entities_are_not_expanded() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "boom">]>' + SOURCE[SOURCE.index(b"<x:") :]
    made = make_packet(bomb, RECORD, developed=False)
    assert b"Rating" not in made
    assert read_record(bomb) is None


def test_a_foreign_packet_has_no_record() -> None:
    assert read_record(SOURCE) is None
    assert read_record(b"") is None


def test_every_field_has_a_property_of_its_own() -> None:
    assert len(properties(RECORD)) == len(fields(Record))
    assert from_properties(properties(RECORD)) == RECORD
    assert properties(RECORD)["WeightsSha256"] == "ab" * 32
    assert properties(RECORD)["Noise"] == "0.0001 1e-07"
    assert properties(Record(steps=0))["Steps"] == "auto"


@pytest.mark.parametrize("name", ["Restored", "Ratio", "Steps", "Deblur", "HotPixels", "Noise"])
def test_values_of_somebody_else_count_as_none(name: str) -> None:
    assert from_properties({**properties(Record()), name: "?"}) == Record()


@pytest.mark.parametrize(
    ("record", "options"),
    [
        (Record(), "--no-restore"),
        (
            Record(restored=True, ratio=4.5, steps=1, seed=0, deterministic=False),
            "--ratio 4.5 --steps 1 --seed 0 --hot-pixels off",
        ),
        (
            Record(
                restored=True, ratio=4.5, detail=60, deterministic=True, deblur=True, hot_pixels=0
            ),
            "--ratio 4.5 --detail 60 --deterministic --deblur",
        ),
    ],
)
def test_options_that_repeat_a_result(record: Record, options: str) -> None:
    assert record.options == options


@pytest.mark.parametrize("kind", ["dng", "linear", "tif", "JPEG", "PNG", "AVIF"])
def test_every_format_holds_the_record(tmp_path: Path, kind: str) -> None:
    raw, path = make_raw(np.full((32, 48), 900, np.uint16)), tmp_path / "result"
    rgb = np.zeros((32, 48, 3), np.float32)
    kinds: dict[str, PictureFormat] = {"JPEG": "JPEG", "PNG": "PNG", "AVIF": "AVIF"}
    if kind in kinds:
        write_picture(path, rgb, raw, kinds[kind], color_space="srgb", record=RECORD)
    elif kind == "tif":
        write_tiff(path, rgb, raw, color_space="srgb", record=RECORD)
    else:
        write_dng(path, raw, restored=True, linear=kind == "linear", record=RECORD)
    assert record_of_file(path) == RECORD


@pytest.mark.parametrize("content", [b"", b"II*\0", b"\xff\xd8\xff\xe1", SOURCE], ids=repr)
def test_other_files_have_no_record(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert record_of_file(tmp_path / "file") is None
    assert record_of_file(tmp_path / "none") is None


# --- sidecars


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "DSC_1.ARW"
    path.write_bytes(b"raw")
    return path


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("DSC_1.xmp", "out.xmp"),
        ("DSC_1.XMP", "out.xmp"),
        ("DSC_1.ARW.xmp", "out.dng.xmp"),
    ],
)
def test_sidecars_are_copied_as_they_are(photo: Path, source: str, target: str) -> None:
    photo.with_name(source).write_bytes(SOURCE)
    copy_sidecars(photo, photo.parent / "results" / "out.dng")
    (copied,) = (photo.parent / "results").iterdir()
    assert copied.name == target
    assert copied.read_bytes() == SOURCE
    assert photo.with_name(source).read_bytes() == SOURCE


def test_no_sidecar_makes_none(photo: Path) -> None:
    copy_sidecars(photo, photo.parent / "results" / "out.dng")
    assert not (photo.parent / "results").exists()


def test_a_sidecar_of_the_result_is_kept(photo: Path) -> None:
    photo.with_name("DSC_1.xmp").write_bytes(SOURCE)
    photo.with_name("out.xmp").write_bytes(b"edits of the result")
    copy_sidecars(photo, photo.with_name("out.dng"))
    assert photo.with_name("out.xmp").read_bytes() == b"edits of the result"


def test_a_result_of_the_photo_s_name_shares_its_sidecar(photo: Path) -> None:
    photo.with_name("DSC_1.xmp").write_bytes(SOURCE)
    copy_sidecars(photo, photo.with_name("DSC_1.dng"))
    assert photo.with_name("DSC_1.xmp").read_bytes() == SOURCE


def test_a_sidecar_that_cannot_be_written_is_told(photo: Path) -> None:
    photo.with_name("DSC_1.xmp").write_bytes(SOURCE)
    (photo.parent / "results").write_bytes(b"a file")
    with pytest.raises(OutputWriteError):
        copy_sidecars(photo, photo.parent / "results" / "out.dng")
