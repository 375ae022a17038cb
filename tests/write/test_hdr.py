"""HDR pictures, read back by other people's decoders and by formulas written anew here."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from raw_images import plain_raw
from tiff_tree import make_metadata, packet, read_bytes

from nightfix.develop.color import COLOR_SPACES
from nightfix.develop.develop import develop_raw
from nightfix.pipeline.fingerprint import is_whole
from nightfix.read.reader import RawImage
from nightfix.read.tags import ExifTag
from nightfix.write.avif import pq_decode, pq_encode, read_hdr_avif
from nightfix.write.formats import WriteOptions, write_results
from nightfix.write.gain_map import measure_gain
from nightfix.write.record import Record
from nightfix.write.xmp import record_of_file

RECORD = Record(restored=True, ratio=12.5, weights="tiny")
NAME = b"urn:iso:std:iso:ts:21496:-1\0"


def night(**lamps: float) -> RawImage:
    """A dim scene with square lamps (camera RGB is taken for sRGB)."""
    mosaic = np.tile(np.linspace(0.02, 0.42, 192, dtype=np.float32), (128, 1))
    for number, brightness in enumerate(lamps.values()):
        mosaic[40:72, 16 + 40 * number : 48 + 40 * number] = brightness
    return plain_raw(mosaic, as_shot_neutral=np.ones(3), metadata=make_metadata())


@pytest.fixture
def raw() -> RawImage:
    found = night(two=2.0, four=4.0, eight=8.0)
    red = found.mosaic[90:118, 16:56]  # what red and blue lamps do to a mosaic
    red[:] = 0.05
    red[0::2, 0::2] = 6.0
    blue = found.mosaic[90:118, 80:120]
    blue[:] = 0.05
    blue[1::2, 1::2] = 3.0
    return found


def written(folder: Path, raw: RawImage, kind: str, **options: object) -> Path:
    suffix = {"jpeg": "jpg"}.get(kind, kind)
    path = folder / f"{'_'.join(map(str, options.values())) or 'plain'}.{suffix}"
    write_results(raw, {kind: path}, RECORD, WriteOptions(**options))  # type: ignore[dict-item, arg-type]
    return path


def decode_jpeg(path: Path) -> np.ndarray:
    """Let libultrahdr put both pictures together; linear light, 1 = white."""
    return imagecodecs.ultrahdr_decode(path.read_bytes(), dtype="float16")[..., :3].astype(float)


def segments(data: bytes) -> list[tuple[int, bytes]]:
    """Return marker and content of what is before a JPEG's samples."""
    found, position = [], 2
    while data[position + 1] != 0xDA:
        marker, size = struct.unpack_from(">xBH", data, position)
        found.append((marker, data[position + 4 : position + 2 + size]))
        position += 2 + size
    return [*found, (0xDA, data[position:])]


# --- JPEG


@pytest.mark.parametrize("color_space", ["srgb", "display-p3"])
def test_lamps_come_out_as_bright_as_they_are(
    tmp_path: Path, raw: RawImage, color_space: str
) -> None:
    light = decode_jpeg(written(tmp_path, raw, "jpeg", hdr=True, color_space=color_space))
    for number, brightness in enumerate((2, 4, 8)):
        lamp = light[50:62, 26 + 40 * number : 38 + 40 * number]
        assert lamp.mean() == pytest.approx(brightness, rel=0.02)
        assert lamp == pytest.approx(np.full(lamp.shape, brightness), rel=0.04)


@pytest.mark.parametrize("tone", ["natural", "linear"])
def test_all_of_the_light_comes_back(tmp_path: Path, raw: RawImage, tone: str) -> None:
    light = decode_jpeg(written(tmp_path, raw, "jpeg", hdr=True, tone=tone))
    truth = develop_raw(raw, tone="scene")
    # Shadows are opened in both renditions alike; of edges JPEG makes something of its own.
    clear = np.ones(truth.shape[:2], bool)
    clear[30:] = False
    clear[50:62, 26:38] = clear[50:62, 66:78] = clear[50:62, 106:118] = True
    clear[98:110, 26:46] = clear[98:110, 90:110] = True
    lamps = clear & (truth.max(axis=-1) > 1)
    assert lamps.sum() > 800
    error = np.abs(light - truth)[lamps] / truth.max(axis=-1)[lamps][:, None]
    assert error.mean() < 0.015
    assert error.max() < 0.06
    plain = COLOR_SPACES["srgb"].decode(develop_raw(raw, tone=tone))  # type: ignore[arg-type]
    dim = clear & (truth.max(axis=-1) < 0.4)
    assert np.abs(light - plain)[dim].max() < 0.01


def test_a_plain_viewer_gets_the_same_bytes(tmp_path: Path, raw: RawImage) -> None:
    plain, both = written(tmp_path, raw, "jpeg"), written(tmp_path, raw, "jpeg", hdr=True)
    ours = [(m, c) for m, c in segments(both.read_bytes()) if not c.startswith((NAME, b"MPF"))]
    for (marker, content), (known, other) in zip(ours, segments(plain.read_bytes()), strict=True):
        assert marker == known
        if content.startswith(b"http://ns.adobe.com/xap/1.0/"):  # says what is behind, too
            continue
        assert content[: len(other)] == other
    with Image.open(plain) as first, Image.open(both) as second:
        assert second.format == "JPEG"
        assert np.array_equal(np.asarray(first), np.asarray(second))
        assert first.info["icc_profile"] == second.info["icc_profile"]
        assert first.info["exif"] == second.info["exif"]
        assert second.getexif()[18246] == 4
    assert record_of_file(both) == RECORD


def test_the_second_picture_is_where_both_directories_say(tmp_path: Path, raw: RawImage) -> None:
    data = written(tmp_path, raw, "jpeg", hdr=True).read_bytes()
    parts = segments(data)
    (index,) = (content for _, content in parts if content.startswith(b"MPF\0"))
    entries = read_bytes(index[4:])["0"].values[0xB002]
    kind, first_size, first_offset, _ = struct.unpack_from("<IIII", entries)  # type: ignore[arg-type]
    _, second_size, second_offset, _ = struct.unpack_from("<IIII", entries, 16)  # type: ignore[arg-type]
    start = data.index(b"MPF\0") + 4 + second_offset
    assert (kind, first_offset, first_size) == (0x030000, 0, start)
    assert data[start : start + 2] == b"\xff\xd8"
    assert start + second_size == len(data)
    xmp = next(content for _, content in parts if b"xpacket" in content)
    (length,) = re.findall(rb'Item:Length="(\d+)"', xmp)
    assert int(length) == second_size
    assert data[:start].endswith(b"\xff\xd9")


def test_xmp_and_iso_say_the_same(tmp_path: Path, raw: RawImage) -> None:
    data = written(tmp_path, raw, "jpeg", hdr=True).read_bytes()
    parts = segments(data[data.rindex(b"\xff\xd8\xff") :])
    (iso,) = (content[len(NAME) :] for _, content in parts if content.startswith(NAME))
    assert iso[:5] == b"\0\0\0\0\x40"
    numbers = struct.unpack(">" + 7 * "iI", iso[5:])
    base, headroom, low, high, gamma, *offsets = (
        number / under for number, under in zip(numbers[::2], numbers[1::2], strict=True)
    )
    (xmp,) = (content.decode() for _, content in parts if b"xpacket" in content)
    told = {name: float(v) for name, v in re.findall(r'hdrgm:(\w+)="([-\d.]+)"', xmp)}
    wanted = {"HDRCapacityMin": base, "HDRCapacityMax": headroom, "GainMapMin": low}
    wanted |= {"GainMapMax": high, "Gamma": gamma, "OffsetSDR": offsets[0], "Version": 1.0}
    assert told == pytest.approx(wanted | {"OffsetHDR": offsets[1]}, abs=2e-6)
    assert headroom == pytest.approx(3, abs=0.01), "eight times white"
    assert offsets == [1 / 64, 1 / 64]


def test_a_photo_without_lamps_is_the_plain_file(tmp_path: Path) -> None:
    raw = night(white=0.9)
    plain, both = written(tmp_path, raw, "jpeg"), written(tmp_path, raw, "jpeg", hdr=True)
    assert plain.read_bytes() == both.read_bytes()


def test_other_formats_are_as_without(tmp_path: Path, raw: RawImage) -> None:
    plain, both = written(tmp_path, raw, "png"), written(tmp_path, raw, "png", hdr=True)
    assert plain.read_bytes() == both.read_bytes()


def test_what_is_the_same_in_both_renditions_is_one_sample() -> None:
    light = np.full((8, 8, 3), 0.2, np.float32)
    light[:2] = 3.0
    light[2:4] = (3.0, 0.0, 0.0)
    rgb = COLOR_SPACES["srgb"].encode(np.minimum(light, 1))
    rgb[2:4, :, 1:] = 0.5  # bleached
    gain = measure_gain(rgb, light, COLOR_SPACES["srgb"])
    assert gain is not None
    step = (gain.high - gain.low) / 255
    assert np.all(gain.low + step * gain.samples[4:] == pytest.approx(0, abs=1e-6))
    assert gain.low >= -2.0001 - step
    assert gain.high >= np.log2((3 + 1 / 64) / (1 + 1 / 64)) - step / 2


def test_directories_of_the_source_s_own_file_are_left_out(tmp_path: Path, raw: RawImage) -> None:
    stale = packet('hdrgm:Version="1.0" xmp:Rating="4"').replace(
        b"xmlns:rdf", b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:rdf', 1
    )
    raw = replace(raw, metadata=replace(raw.metadata, xmp=stale))
    assert b"hdrgm:Version" not in written(tmp_path, raw, "jpeg").read_bytes()
    both = written(tmp_path, raw, "jpeg", hdr=True).read_bytes()
    assert both[: both.rindex(b"\xff\xd8\xff")].count(b"hdrgm:Version") == 1


def test_a_long_packet_does_not_cost_the_gain_map(tmp_path: Path, raw: RawImage) -> None:
    xmp = packet(f'dc:source="{"x" * 65000}"')
    raw = replace(raw, metadata=replace(raw.metadata, xmp=xmp))
    path = written(tmp_path, raw, "jpeg", hdr=True)
    assert record_of_file(path) == RECORD
    assert decode_jpeg(path).max() > 7


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
@pytest.mark.parametrize("kind", ["jpeg", "avif"])
def test_exiftool_has_nothing_to_say_against_it(tmp_path: Path, raw: RawImage, kind: str) -> None:
    path = written(tmp_path, raw, kind, hdr=True)
    said = subprocess.run(
        ["exiftool", "-validate", "-warning", "-error", "-a", path],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    complaints = [line.split(": ")[-1] for line in said.splitlines() if "Validate" not in line]
    known = ("Rating", "[minor] Unknown APP2 segment")  # an exiftool older than ISO 21496-1
    assert [one for one in complaints if not one.endswith(known)] == []


# --- AVIF


def perceptual_quantizer(signal: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084's EOTF, in cd/m2, from its table of constants."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = signal ** (1 / m2)
    return 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


def test_the_light_of_an_avif(tmp_path: Path, raw: RawImage) -> None:
    data = written(tmp_path, raw, "avif", hdr=True).read_bytes()
    samples = imagecodecs.avif_decode(data)
    assert samples.dtype == np.uint16
    assert samples.max() > 255, "ten bit"
    light = perceptual_quantizer(samples / 1023) / 203
    for number, brightness in enumerate((2, 4, 8)):
        lamp = light[50:62, 26 + 40 * number : 38 + 40 * number]
        assert lamp == pytest.approx(np.full(lamp.shape, brightness), rel=0.03)
    truth = develop_raw(raw, color_space="rec2020", tone="natural-hdr")
    error = np.abs(light - truth)[:30]
    assert error.max() < 0.02
    for place in (np.s_[98:110, 26:46], np.s_[98:110, 90:110]):
        assert light[place].mean(axis=(0, 1)) == pytest.approx(
            truth[place].mean(axis=(0, 1)), abs=0.06 * float(truth[place].max())
        )


def test_an_avif_says_what_it_is(tmp_path: Path, raw: RawImage) -> None:
    path = written(tmp_path, raw, "avif", hdr=True)
    assert b"colrnclx\0\x09\0\x10\0\x09\x80" in path.read_bytes(), "BT.2020, PQ, full range"
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("AVIF", (192, 128))
        exif = picture.getexif()
        assert b"nightfix" in picture.info["xmp"]
    assert (exif[271], exif[272]) == ("Nightcam", "N1")
    assert exif.get_ifd(34665)[34855] == 3200
    assert exif.get_ifd(34853)[1] == "N"
    assert record_of_file(path) == RECORD
    assert is_whole(path)
    path.write_bytes(path.read_bytes()[:-20])
    assert not is_whole(path)


def test_an_avif_of_a_photo_that_says_nothing(tmp_path: Path, raw: RawImage) -> None:
    comment = ExifTag(37510, 7, 70000, b"x" * 70000)
    raw = replace(raw, metadata=replace(raw.metadata, exif=(comment,), xmp=b""))
    path = written(tmp_path, raw, "avif", hdr=True)
    with Image.open(path) as picture:
        assert 271 not in picture.getexif(), "too long"
    assert record_of_file(path) == RECORD


def test_pq_is_undone() -> None:
    light = np.array([0, 1e-4, 0.18, 1, 4, 49], np.float32)
    assert pq_decode(pq_encode(light)) == pytest.approx(light, rel=2e-3, abs=1e-7)
    assert perceptual_quantizer(pq_encode(light).astype(float)) / 203 == pytest.approx(
        light, rel=2e-3, abs=1e-7
    )


def test_only_hdr_avifs_are_read_as_light(tmp_path: Path, raw: RawImage) -> None:
    assert read_hdr_avif(written(tmp_path, raw, "avif").read_bytes()) is None
    light = read_hdr_avif(written(tmp_path, raw, "avif", hdr=True).read_bytes())
    assert light is not None
    assert light[56, 112].mean() == pytest.approx(8, rel=0.03)
