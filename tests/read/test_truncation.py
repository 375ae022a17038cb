from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from dng_files import DngSpec, coded_samples, ifd_bytes, text, write_test_dng
from typer.testing import CliRunner

from nightfix.cli.app import app
from nightfix.errors import RawReadError
from nightfix.read.reader import read_raw
from nightfix.read.tags import read_tags
from nightfix.read.truncation import declared_size, ends_without_data


def declared(data: bytes) -> int:
    file = io.BytesIO(data)
    return declared_size(file, read_tags(file))


def tiff(make: str, offset: int, count: int) -> bytes:
    rows = [text(271, make), (273, 4, 1, offset), (279, 4, 1, count)]
    return struct.pack("<2sHI", b"II", 42, 8) + ifd_bytes(rows, 8) + bytes(64)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        ("Canon", 5000),
        ("NIKON CORPORATION", 5000),
        ("SONY", 5000),
        ("PENTAX", 5000),
        ("Panasonic", 0),
        ("", 0),
    ],
)
def test_strips_count_where_their_maker_states_them_truly(make: str, expected: int) -> None:
    assert declared(tiff(make, 1000, 4000)) == expected


def box(name: bytes, length: int) -> bytes:
    return struct.pack(">I4s", length, name) + bytes(length - 8)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (box(b"ftyp", 24) + box(b"moov", 100) + struct.pack(">I4s", 9000, b"mdat"), 9124),
        (box(b"ftyp", 24) + struct.pack(">I4sQ", 1, b"mdat", 1 << 33), 24 + (1 << 33)),
        (box(b"ftyp", 24) + struct.pack(">I4sQ", 1, b"mdat", 2**64 - 1), 24 + 2**64 - 1),
        (box(b"ftyp", 24) + struct.pack(">I4s", 0, b"mdat") + bytes(100), 132),
        (box(b"ftyp", 24) + struct.pack(">I4s", 3, b"mdat") + bytes(100), 132),
    ],
    ids=["cut", "64 bit", "beyond any file", "to the end", "impossible length"],
)
def test_boxes_of_a_cr3_tell_its_end(data: bytes, expected: int) -> None:
    assert declared(data) == expected


def test_boxes_in_a_circle_end() -> None:
    assert declared(box(b"ftyp", 8) * 5000) <= 8 * 5000


def test_a_raf_tells_the_end_of_its_three_parts() -> None:
    head = b"FUJIFILMCCD-RAW ".ljust(84, b"\0")
    head += struct.pack(">6I", 200, 1000, 1200, 300, 2000, 70000)
    assert declared(head + bytes(100)) == 72000


@pytest.mark.parametrize("content", [b"", b"II", b"MM\0*", b"FUJIFILMCCD-RAW", b"\0\0\0\0ftyp"])
def test_stubs_declare_no_more_than_they_are(content: bytes) -> None:
    assert declared(content) <= len(content)


@pytest.mark.parametrize("value", [0, 40])
@pytest.mark.parametrize("rows", [8, 60, 120])
def test_an_end_of_one_value_is_an_end_without_data(rows: int, value: int) -> None:
    samples = coded_samples(128, 64) + np.uint16(1)
    samples[-rows:] = value
    assert ends_without_data(samples)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((64, 64), np.uint16),
        np.full((64, 64), 16383, np.uint16),
        coded_samples(64, 64),
        np.maximum(coded_samples(64, 64), np.uint16(16383) * (np.arange(64) > 40)[:, None]),
        coded_samples(1, 64),
        coded_samples(2, 2),
    ],
    ids=["black frame", "white frame", "photo", "burnt out below", "one row", "2 x 2"],
)
def test_samples_that_are_all_there_pass(samples: np.ndarray) -> None:
    assert not ends_without_data(samples)


@pytest.fixture
def cut_off(tmp_path: Path) -> Path:
    path = write_test_dng(tmp_path / "photo.dng", DngSpec(coded_samples(192, 256)))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    return path


def test_what_is_there_of_a_cut_off_photo_can_be_had(cut_off: Path) -> None:
    with pytest.raises(RawReadError, match="truncated") as caught:
        read_raw(cut_off)
    assert "--allow-truncated" in caught.value.hint
    raw = read_raw(cut_off, allow_truncated=True)
    expected = coded_samples(192, 256) / np.float32(16383)
    np.testing.assert_allclose(raw.mosaic[:128], expected[:128], atol=1e-6)
    assert not raw.mosaic[-40:].any()


def test_allow_truncated_is_an_option(cut_off: Path) -> None:
    call = ["enhance", str(cut_off), "--no-restore"]
    assert CliRunner().invoke(app, call).exit_code == 3
    assert CliRunner().invoke(app, [*call, "--allow-truncated"]).exit_code == 0
    assert cut_off.with_name("photo_nightfix.tif").exists()


def test_a_file_that_lacks_nearly_all_is_refused_all_the_same(cut_off: Path) -> None:
    cut_off.write_bytes(cut_off.read_bytes()[:1000])
    with pytest.raises(RawReadError, match="truncated") as caught:
        read_raw(cut_off, allow_truncated=True)
    assert "--allow-truncated" not in caught.value.hint
