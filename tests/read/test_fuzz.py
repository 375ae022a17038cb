"""Damaged files, the same ones every time; ``tests/fuzz`` has the long runs."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from dng_files import DngSpec, Row, coded_samples, text, write_test_dng
from hypothesis import given, settings
from hypothesis import strategies as st

from nightfix.condition.conditioning import condition_raw
from nightfix.develop.develop import develop_raw
from nightfix.errors import InputError
from nightfix.read.reader import RawImage, read_raw
from nightfix.read.tags import read_tags
from nightfix.read.truncation import declared_size
from nightfix.write.record import Record
from nightfix.write.xmp import make_packet, read_record

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))

from mutations import mutate

EXIF: list[Row] = [(33434, 5, 1, (1, 30)), (34855, 3, 1, 6400), text(36867, "2024:11:05 21:30:59")]


def outcome(path: Path) -> RawImage | InputError:
    """Return a photo, or the known error; anything else is raised and fails the test."""
    try:
        return read_raw(path)
    except InputError as error:
        return error


@pytest.mark.parametrize("seed", range(400))
def test_a_damaged_dng_is_a_photo_or_one_error(tmp_path: Path, seed: int) -> None:
    spec = DngSpec(
        coded_samples(64, 96),
        black=(512.0,) * 4,
        noise_profile=(1e-4, 1e-7),
        exif=EXIF,
        gps=[(1, 2, 2, "N")],
        tile=(32, 32) if seed % 2 else None,
    )
    path = write_test_dng(tmp_path / "photo.dng", spec)
    path.write_bytes(mutate(path.read_bytes(), seed))
    found = outcome(path)
    if isinstance(found, RawImage):
        condition_raw(found)
        assert np.isfinite(develop_raw(found)).all()
    else:
        assert str(path) in found.message
        assert "\n" not in found.message
        assert found.hint


@pytest.mark.parametrize("seed", range(3))
def test_damaged_camera_files_are_photos_or_errors(shared: Path, tmp_path: Path, seed: int) -> None:
    files = [*(shared / "raw" / "odd").iterdir(), *(shared / "raw").glob("*.[qwK]*")]
    for file in sorted(files):
        path = tmp_path / f"damaged{file.suffix}"
        path.write_bytes(mutate(file.read_bytes(), seed))
        assert outcome(path)


#: An entry of a directory, of fields that matter and of any.
ENTRIES = st.tuples(
    st.sampled_from([330, 34665, 34853, 50706, 271, 273, 279, 262]) | st.integers(0, 65535),
    st.integers(0, 14) | st.integers(0, 65535),
    st.integers(0, 8) | st.integers(0, 2**32 - 1),
    st.integers(0, 300) | st.integers(0, 2**32 - 1),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from("<>"), st.lists(ENTRIES, max_size=20), st.binary(max_size=200))
def test_any_directory_is_read(order: str, entries: list[tuple[int, ...]], rest: bytes) -> None:
    mark = b"II" if order == "<" else b"MM"
    data = struct.pack(f"{order}2sHIH", mark, 42, 8, len(entries))
    data += b"".join(struct.pack(f"{order}HHII", *entry) for entry in entries) + rest
    file = io.BytesIO(data)
    tags = read_tags(file)
    assert declared_size(file, tags) >= 0
    for ifd in (tags.main, tags.exif, tags.gps, *tags.images):
        for code in ifd.tags:
            assert isinstance(ifd.text(code), str)
            assert len(ifd.numbers(code)) <= len(data)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.sampled_from([b"", b"II*\0", b"\0\0\0\x18ftypcrx CMT1", b"FUJIFILMCCD-RAW", b"\0MRM\0TTW"]),
    st.binary(max_size=400),
)
def test_any_bytes_are_read(start: bytes, rest: bytes) -> None:
    file = io.BytesIO(start + rest)
    assert declared_size(file, read_tags(file)) >= 0


RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
EVIL_PACKETS = {
    "deep": f"<rdf:RDF {RDF}>" + "<a>" * 50_000 + "</a>" * 50_000 + "</rdf:RDF>",
    "deep enough": f"<rdf:RDF {RDF}>" + "<a>" * 900 + "</a>" * 900 + "</rdf:RDF>",
    "many": f"<rdf:RDF {RDF}>" + "<a/>" * 300_000 + "</rdf:RDF>",
    "laughs": f"<!DOCTYPE x [<!ENTITY l0 'ha'>{LAUGHS}]><rdf:RDF {RDF}>&l9;</rdf:RDF>",
    "outside": f'<!DOCTYPE x SYSTEM "file:///etc/passwd"><rdf:RDF {RDF}/>',
    "cut": f"<rdf:RDF {RDF}><a",
    "no text": "\x00\x01\udcff",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("packet", EVIL_PACKETS.values(), ids=EVIL_PACKETS)
def test_an_evil_packet_counts_as_none(packet: str, encoding: str) -> None:
    data = packet.encode(encoding, "surrogatepass")
    assert read_record(data) is None
    made = make_packet(data, Record(), developed=False)
    assert made == make_packet(b"", Record(), developed=False)


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_packet_is_read(data: bytes) -> None:
    assert make_packet(
        b"<rdf:RDF " + RDF.encode() + b">" + data + b"</rdf:RDF>", Record(), developed=True
    )
