"""DNGs that LibRaw cannot decode: JPEG XL, lossy JPEG, Deflate, floating-point numbers.

Codecs are imagecodecs', containers tifffile's or those of ``dng_files``. Where Adobe's own reader
is installed (``pip install dngpy``), it says what the samples are.
"""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from dng_files import (
    CFA,
    LINEAR_RAW,
    LONG,
    RATIONAL,
    SHORT,
    UNDEFINED,
    Coding,
    DngSpec,
    coded_samples,
    write_test_dng,
)
from PIL import Image

from nightfix.condition.conditioning import condition_raw
from nightfix.develop.demosaic import compress_range, demosaic, expand_range
from nightfix.develop.develop import develop_raw
from nightfix.errors import InputError, RawReadError, UnsupportedSensorError
from nightfix.read import decoder
from nightfix.read.bayer import CFA_PATTERNS, CfaPattern
from nightfix.read.reader import RawImage, apply_gain_maps, read_raw
from nightfix.write.dng import write_dng

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))

from mutations import mutate

JPEG_XL, LOSSY_JPEG, DEFLATE = 52546, 34892, 8
FLOAT = 3

Encode = Callable[[np.ndarray], bytes]


def jxl(bits: int = 16, **options: Any) -> Encode:
    """Return an encoder to JPEG XL, without loss unless told otherwise."""
    options = options or {"lossless": True}

    def encode(piece: np.ndarray) -> bytes:
        samples = piece.astype(np.uint8 if bits == 8 else np.uint16)
        depth = None if bits == 8 else bits
        return bytes(imagecodecs.jpegxl_encode(samples, effort=1, bitspersample=depth, **options))

    return encode


def lossless_xl(bits: int = 16, **more: Any) -> Coding:
    return Coding(JPEG_XL, jxl(bits), bits=bits, **more)


def lossy_jpeg(piece: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(piece.astype(np.uint8), level=98))


def float24(piece: np.ndarray) -> bytes:
    return bytes(imagecodecs.float24_encode(np.ascontiguousarray(piece, np.float32)))


def floats24_predicted(piece: np.ndarray) -> bytes:
    """Byte planes of a row, highest first, as differences (TIFF Technical Note 3)."""
    rows, columns = piece.shape
    known = np.frombuffer(float24(piece), np.uint8).reshape(rows, columns, 3)
    planes = known[..., ::-1].transpose(0, 2, 1).reshape(rows, -1)
    return zlib.compress(np.diff(planes, axis=1, prepend=np.uint8(0)).tobytes())


def as_floats(kind: str) -> Encode:
    return lambda piece: piece.astype(kind).tobytes()


def deflated(kind: str) -> Encode:
    return lambda piece: zlib.compress(piece.astype(kind).tobytes())


SAMPLES = coded_samples(90, 140)
SMOOTH = np.linspace(200, 16000, 90 * 140).reshape(90, 140).astype(np.uint16)


def stored_as(path: Path, coding: Coding, **other: Any) -> RawImage:
    return read_raw(write_test_dng(path / "photo.dng", DngSpec(SAMPLES, coding=coding, **other)))


# --- The same photo as without compression, whatever it is stored by


@pytest.mark.parametrize("tile", [None, (64, 48)], ids=["strip", "tiles"])
@pytest.mark.parametrize(
    "coding",
    [
        lossless_xl(),
        lossless_xl(fields=(2, 2)),
        lossless_xl(cut=True),
        Coding(JPEG_XL, jxl(14), bits=14),
        Coding(JPEG_XL, jxl(lossless=True, usecontainer=True)),
        Coding(DEFLATE, deflated("<u2")),
        Coding(1, as_floats("<u2"), fields=(2, 2)),
        Coding(1, as_floats("<u2"), fields=(1, 2)),
    ],
    ids=["jxl", "jxl in fields", "jxl cut", "14 bit", "container", "deflate", "fields", "columns"],
)
@pytest.mark.parametrize("shape", [(90, 140), (91, 139)], ids=["even", "odd"])
def test_a_mosaic_is_the_same_as_without_compression(
    tmp_path: Path, coding: Coding, tile: tuple[int, int] | None, shape: tuple[int, int]
) -> None:
    gain_map = struct.pack(">3I", 1, 9, 0x01030000) + struct.pack(
        ">2I10I4dI4f", 0, 92, 1, 1, 80, 130, 0, 1, 2, 2, 2, 2, 1, 1, 0, 0, 1, 1, 1.5, 2, 1
    )
    spec = DngSpec(
        coded_samples(*shape),
        cfa_pattern="GBRG",
        active_area=(4, 8, 88, 130),
        default_crop=(6, 2, 100, 70),
        black=(500, 502, 504, 506),
        orientation=6,
        noise_profile=(1e-4, 1e-7),
        exif=[(33434, RATIONAL, 1, (1, 32)), (34855, SHORT, 1, 6400)],
        image=[(51009, UNDEFINED, len(gain_map), gain_map)],
        tile=tile,
    )
    plain = read_raw(write_test_dng(tmp_path / "plain.dng", spec))
    other = read_raw(write_test_dng(tmp_path / "other.dng", replace(spec, coding=coding)))
    assert np.array_equal(other.mosaic, plain.mosaic)
    assert np.array_equal(other.black_level, plain.black_level)
    corrected = [apply_gain_maps(raw).mosaic for raw in (other, plain)]
    assert np.array_equal(*corrected)
    for name in ("cfa_pattern", "white_level", "bit_depth", "crop", "orientation", "origin"):
        assert getattr(other, name) == getattr(plain, name), name
    assert other.metadata.exposure == plain.metadata.exposure
    assert other.metadata.noise_profile == plain.metadata.noise_profile
    assert np.array_equal(np.array(other.as_shot_neutral), np.array(plain.as_shot_neutral))


def test_an_active_area_may_begin_anywhere(tmp_path: Path) -> None:
    raw = stored_as(tmp_path, lossless_xl(), active_area=(3, 5, 80, 130), black=(1, 2, 3, 4))
    assert (raw.cfa_pattern, raw.mosaic.shape) == ("RGGB", (77, 125))
    black = np.tile([[1, 2], [3, 4]], (39, 63))[:77, :125]
    expected = (SAMPLES[3:80, 5:130] - black.astype(float)) / (16383 - black)
    np.testing.assert_allclose(raw.mosaic, expected, atol=1e-6)


def test_masked_pixels_around_a_jpeg_xl_are_used(tmp_path: Path, rng: np.random.Generator) -> None:
    samples = np.clip(rng.normal(515, 8, (300, 320)), 0, 16383).astype(np.uint16)
    samples[:, 40:] += (rng.random((300, 280)) * 4000).astype(np.uint16)
    spec = DngSpec(samples, active_area=(0, 40, 300, 320), black=(512.0,), tile=(128, 128))
    plain = read_raw(write_test_dng(tmp_path / "plain.dng", spec))
    other = read_raw(write_test_dng(tmp_path / "xl.dng", replace(spec, coding=lossless_xl())))
    assert plain.masked is not None
    assert other.masked is not None
    assert np.array_equal(other.masked.offsets, plain.masked.offsets)


@pytest.mark.parametrize("pattern", CFA_PATTERNS)
def test_every_phase_of_a_jpeg_xl_is_known(tmp_path: Path, pattern: CfaPattern) -> None:
    assert stored_as(tmp_path, lossless_xl(), cfa_pattern=pattern).cfa_pattern == pattern


def test_a_monochrome_jpeg_xl_is_read(tmp_path: Path) -> None:
    raw = stored_as(tmp_path, lossless_xl(), photometric=LINEAR_RAW)
    assert (raw.cfa_pattern, raw.origin) == (None, "mosaic")
    np.testing.assert_allclose(raw.mosaic, SAMPLES / 16383, atol=1e-6)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_few_bits_are_read_on_their_own_scale(tmp_path: Path, bits: int) -> None:
    white = (1 << bits) - 1
    samples = (SAMPLES.astype(int) * white // 16383).astype(np.uint16)
    spec = DngSpec(samples, white=white, coding=lossless_xl(bits))
    raw = read_raw(write_test_dng(tmp_path / "photo.dng", spec))
    assert raw.white_level == white
    np.testing.assert_allclose(raw.mosaic, samples / white, atol=1e-6)


@pytest.mark.parametrize(
    ("bits", "white"), [(16, 65535), (10, 65535), (16, 1023), (10, 1000), (10, None)], ids=str
)
def test_white_says_what_the_bits_of_a_codestream_stand_for(
    tmp_path: Path, bits: int, white: int | None
) -> None:
    samples = (SAMPLES.astype(int) * 1023 // 16383).astype(np.uint16)
    spec = DngSpec(samples, white=white, coding=Coding(JPEG_XL, jxl(10), bits=bits))
    raw = read_raw(write_test_dng(tmp_path / "photo.dng", spec))
    largest = 1000 if white == 1000 else 1023
    np.testing.assert_allclose(raw.mosaic, samples / largest, atol=1e-5)
    assert raw.white_level == (1023 if white is None else white)


@pytest.mark.parametrize("coding", [lossless_xl(), Coding(DEFLATE, deflated("<u2"))])
def test_the_white_level_that_is_not_stated_is_the_largest_number(
    tmp_path: Path, coding: Coding
) -> None:
    assert stored_as(tmp_path, coding, white=None).white_level == 65535


def test_a_linearization_table_is_applied(tmp_path: Path) -> None:
    table = tuple(int(65535 * (index / 255) ** 2) for index in range(256))
    samples = (SAMPLES.astype(int) * 255 // 16383).astype(np.uint16)
    rows = [(50712, SHORT, 256, table)]
    spec = DngSpec(samples, white=65535, image=rows, coding=lossless_xl(8))
    raw = read_raw(write_test_dng(tmp_path / "photo.dng", spec))
    np.testing.assert_allclose(raw.mosaic, np.array(table)[samples] / 65535, atol=1e-6)


def opcode(number: int, parameters: bytes, area: Sequence[int] = (0, 0, 90, 140)) -> bytes:
    every = struct.pack(">8I", *area, 0, 3, 1, 1)
    return struct.pack(">4I", number, 0x01030000, 0, 32 + len(parameters)) + every + parameters


CURVES = {
    "MapTable": (
        opcode(
            7, struct.pack(">I", 65536) + (np.arange(65536.0) ** 2 / 65535).astype(">u2").tobytes()
        ),
        lambda x: x**2,
    ),
    "MapPolynomial": (
        opcode(8, struct.pack(">I4d", 3, 0, 0.1, 0.4, 0.5)),
        lambda x: 0.1 * x + 0.4 * x**2 + 0.5 * x**3,
    ),
}


@pytest.mark.parametrize(("data", "curve"), CURVES.values(), ids=CURVES)
def test_curves_that_eight_bits_are_stored_by_are_applied_once(
    tmp_path: Path, data: bytes, curve: Callable[[np.ndarray], np.ndarray]
) -> None:
    other = opcode(6, b"")
    rows = [(51009, UNDEFINED, 4 + len(data + other), struct.pack(">I", 2) + data + other)]
    samples = (SMOOTH.astype(int) * 255 // 16383).astype(np.uint16)
    spec = DngSpec(samples, white=255, image=rows, coding=lossless_xl(8))
    raw = read_raw(write_test_dng(tmp_path / "photo.dng", spec))
    np.testing.assert_allclose(raw.mosaic, curve(samples / 255), atol=2e-5)
    assert raw.opcodes.linear == struct.pack(">I", 1) + other


# --- Floating-point numbers

FLOATS = np.linspace(-0.03, 1, 90 * 140, dtype=np.float32).reshape(90, 140) ** 3

FLOATING = {
    "32": Coding(1, as_floats("<f4"), 32, FLOAT),
    "16": Coding(1, as_floats("<f2"), 16, FLOAT),
    "24": Coding(1, float24, 24, FLOAT),
    "32 deflate": Coding(DEFLATE, deflated("<f4"), 32, FLOAT),
    "16 deflate": Coding(DEFLATE, deflated("<f2"), 16, FLOAT),
    "24 deflate": Coding(DEFLATE, lambda piece: zlib.compress(float24(piece)), 24, FLOAT),
    "24 predicted": Coding(DEFLATE, floats24_predicted, 24, FLOAT, 3),
}


@pytest.mark.parametrize("tile", [None, (64, 48)], ids=["strip", "tiles"])
@pytest.mark.parametrize("coding", FLOATING.values(), ids=FLOATING)
def test_floats_are_read_as_they_are(
    tmp_path: Path, coding: Coding, tile: tuple[int, int] | None
) -> None:
    spec = DngSpec(FLOATS, white=1, coding=coding, tile=tile, noise_profile=(1e-4, 1e-7))
    raw = read_raw(write_test_dng(tmp_path / "photo.dng", spec))
    step = {16: 2**-11, 24: 2**-17, 32: 2**-22}[coding.bits]
    np.testing.assert_allclose(raw.mosaic, FLOATS, rtol=step, atol=1e-6)
    assert (raw.baseline_exposure, raw.white_level) == (0, 65535)
    assert raw.metadata.noise_profile == ((1e-4, 1e-7),)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("predictor", [None, 3, 34894, 34895])
@pytest.mark.parametrize("kind", ["f4", "f2"])
@pytest.mark.parametrize("tile", [None, (64, 48)], ids=["strips", "tiles"])
def test_floats_of_another_writer_are_read(
    tmp_path: Path, kind: str, predictor: int | None, order: str, tile: tuple[int, int] | None
) -> None:
    samples = np.abs(FLOATS).astype(kind)
    path = write_by_tifffile(
        tmp_path / "photo.dng",
        samples,
        tile=tile,
        compression=DEFLATE,
        predictor=predictor,
        byteorder=order,
        rowsperstrip=None if tile else 32,
    )
    np.testing.assert_allclose(read_raw(path).mosaic, samples.astype(np.float32), atol=1e-6)


@pytest.mark.parametrize("predictor", [None, 2])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["u1", "u2", "u4"])
def test_numbers_of_another_writer_are_read(
    tmp_path: Path, kind: str, predictor: int | None, order: str
) -> None:
    largest = np.iinfo(kind).max
    samples = (SAMPLES.astype(np.uint64) * largest // 16383).astype(kind)
    path = write_by_tifffile(
        tmp_path / "photo.dng",
        samples,
        compression=DEFLATE,
        predictor=predictor,
        byteorder=order,
        white=largest,
    )
    np.testing.assert_allclose(read_raw(path).mosaic, samples / largest, atol=1e-6)


#: Version (2), color filter array (3), color (2).
DNG_TAGS = [
    (50706, 1, 4, b"\1\7\1\0", True),
    (50707, 1, 4, b"\1\7\1\0", True),
    (33421, 3, 2, (2, 2), True),
    (33422, 1, 4, b"\0\1\1\2", True),
    (50710, 1, 3, b"\0\1\2", True),
    (50721, 10, 9, (8, 10, -2, 10, 0, 10, -4, 10, 12, 10, 2, 10, -1, 10, 2, 10, 6, 10), True),
    (50728, 5, 3, (1, 2, 1, 1, 5, 8), True),
]


def write_by_tifffile(
    path: Path, samples: np.ndarray, *, white: int = 1, photometric: int = CFA, **options: Any
) -> Path:
    """Write a DNG of tifffile's own container."""
    tags = [*DNG_TAGS, (50717, 4, 1, white, True)]
    options = {"photometric": photometric, "metadata": None, "subfiletype": 0} | options
    tifffile.imwrite(path, samples, extratags=tags, software=False, **options)
    return path


def test_a_photo_below_its_previews_is_found(tmp_path: Path) -> None:
    """As Adobe's converter writes it: a thumbnail, and below it the samples and a preview."""
    path = tmp_path / "photo.dng"
    small, preview = np.full((32, 48, 3), 90, np.uint8), np.full((200, 300, 3), 90, np.uint8)
    of_file, of_samples = DNG_TAGS[:2] + DNG_TAGS[5:], [*DNG_TAGS[2:5], (50717, 4, 1, 16383, True)]
    fields = [(50975, 4, 1, 2, True), (52547, 4, 1, 2, True)]
    stored = np.block([[SAMPLES[y::2, x::2] for x in (0, 1)] for y in (0, 1)])
    every = {"software": False, "metadata": None}
    with tifffile.TiffWriter(path) as file:
        file.write(small, subifds=2, subfiletype=1, extratags=of_file, **every)
        file.write(
            stored,
            photometric=CFA,
            compression=JPEG_XL,
            compressionargs={"lossless": True},
            tile=(64, 48),
            extratags=[*of_samples, *fields],
            **every,
        )
        file.write(preview, subfiletype=1, compression=7, photometric="ycbcr", **every)
    raw = read_raw(path)
    np.testing.assert_allclose(raw.mosaic, SAMPLES / 16383, atol=1e-6)
    assert raw.cfa_pattern == "RGGB"
    assert raw.as_shot_neutral is not None


@pytest.mark.parametrize("brightest", [1.5, 3.0, 17.0])
def test_light_above_white_is_kept(tmp_path: Path, brightest: float) -> None:
    light = FLOATS * brightest
    spec = DngSpec(
        light,
        white=1,
        coding=FLOATING["32"],
        noise_profile=(1e-4, 1e-7),
        baseline_exposure=(1, 2),
    )
    raw = read_raw(write_test_dng(tmp_path / "photo.dng", spec))
    stops = raw.baseline_exposure - 0.5
    assert 0.5 < raw.mosaic.max() <= 1
    np.testing.assert_allclose(raw.mosaic * 2**stops, light, rtol=1e-6, atol=1e-5)
    assert raw.metadata.noise_profile == ((1e-4 / 2**stops, 1e-7 / 4**stops),)
    write_dng(tmp_path / "again.dng", raw, restored=False)
    again = read_raw(tmp_path / "again.dng")
    assert again.baseline_exposure == raw.baseline_exposure
    np.testing.assert_allclose(again.mosaic, raw.mosaic, atol=1 / 65535)


def test_what_is_no_number_becomes_one(tmp_path: Path) -> None:
    light = FLOATS.copy()
    light[5, 5:8] = np.nan, np.inf, -np.inf
    light[6, 5:7] = 1e38, -1e38
    spec = DngSpec(light, white=1, coding=FLOATING["32"])
    raw = read_raw(write_test_dng(tmp_path / "photo.dng", spec))
    assert np.isfinite(raw.mosaic).all()
    assert raw.baseline_exposure == 6
    assert raw.mosaic[5, 5] == pytest.approx(0, abs=1e-6)
    assert raw.mosaic[5, 6] == raw.mosaic[6, 5] == pytest.approx(1)


def test_black_and_white_of_floats_are_those_of_the_file(tmp_path: Path) -> None:
    light = FLOATS * 1000 + 250
    spec = DngSpec(light, white=1250, black=(250.0,), coding=FLOATING["32"])
    raw = read_raw(write_test_dng(tmp_path / "photo.dng", spec))
    np.testing.assert_allclose(raw.mosaic, FLOATS, atol=1e-6)


# --- With loss


def test_jpeg_xl_with_loss_is_near(tmp_path: Path) -> None:
    spec = DngSpec(SMOOTH, coding=Coding(JPEG_XL, jxl(distance=0.5), fields=(2, 2)))
    raw = read_raw(write_test_dng(tmp_path / "photo.dng", spec))
    assert np.abs(raw.mosaic - SMOOTH / 16383).mean() < 0.005


@pytest.mark.parametrize("tile", [None, (64, 48)], ids=["strip", "tiles"])
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
def test_lossy_jpeg_of_a_mosaic_is_near(
    tmp_path: Path, tile: tuple[int, int] | None, cut: bool
) -> None:
    samples = (SMOOTH.astype(int) * 255 // 16383).astype(np.uint16)
    coding = Coding(LOSSY_JPEG, lossy_jpeg, 8, cut=cut)
    spec = DngSpec(samples, white=255, coding=coding, tile=tile)
    raw = read_raw(write_test_dng(tmp_path / "photo.dng", spec))
    np.testing.assert_allclose(raw.mosaic, samples / 255, atol=0.02)


def test_a_jpeg_may_have_its_tables_in_the_directory(tmp_path: Path) -> None:
    samples = (SMOOTH.astype(int) * 255 // 16383).astype(np.uint8)

    def part(piece: np.ndarray, which: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(piece.astype(np.uint8)).save(file, "JPEG", quality=95, streamtype=which)
        return file.getvalue()

    tables = part(samples, 1)
    coding = Coding(LOSSY_JPEG, lambda piece: part(piece, 2), 8)
    rows = [(347, UNDEFINED, len(tables), tables)]
    spec = DngSpec(samples, white=255, coding=coding, tile=(64, 48), image=rows)
    raw = read_raw(write_test_dng(tmp_path / "photo.dng", spec))
    np.testing.assert_allclose(raw.mosaic, samples / 255, atol=0.02)


# --- Linear DNGs


def linear(tmp_path: Path, coding: Coding, rgb: np.ndarray, white: int) -> Path:
    samples = np.clip(rgb * white, 0, white)
    samples = samples if coding.sample_format == FLOAT else np.rint(samples).astype(np.uint16)
    spec = DngSpec(samples, photometric=LINEAR_RAW, white=white, coding=coding, tile=(64, 64))
    return write_test_dng(tmp_path / "linear.dng", spec)


LINEAR = {
    "jxl": (lossless_xl(), 65535),
    "jxl 12": (lossless_xl(12), 4095),
    "lossy jpeg": (Coding(LOSSY_JPEG, lossy_jpeg, 8), 255),
    "floats": (FLOATING["32"], 1),
    "16 bit floats": (FLOATING["16 deflate"], 1),
}


def night(rng: np.random.Generator) -> np.ndarray:
    """Return a mosaic of noise around a few tones."""
    light = np.repeat(np.repeat(rng.uniform(0.2, 0.6, (8, 8)), 24, 0), 24, 1)
    return np.clip(light + rng.normal(0, 0.05, light.shape), 0, 1).astype(np.float32)


@pytest.mark.parametrize("name", [name for name in LINEAR if name != "lossy jpeg"])
@pytest.mark.parametrize("pattern", CFA_PATTERNS)
def test_the_mosaic_of_a_linear_dng_is_found(
    tmp_path: Path, rng: np.random.Generator, name: str, pattern: CfaPattern
) -> None:
    coding, white = LINEAR[name]
    mosaic = night(rng)
    rgb = expand_range(demosaic(compress_range(mosaic), pattern))
    raw = read_raw(linear(tmp_path, coding, rgb, white))
    assert (raw.origin, raw.cfa_pattern) == ("demosaiced", pattern)
    np.testing.assert_allclose(raw.mosaic, mosaic, atol=2e-3)


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_dng_without_a_mosaic_keeps_its_three_colors(
    tmp_path: Path, rng: np.random.Generator, name: str
) -> None:
    coding, white = LINEAR[name]
    fine = night(rng)[..., None] * [0.8, 1, 0.9]
    rgb = fine.reshape(96, 2, 96, 2, 3).mean((1, 3))
    raw = read_raw(linear(tmp_path, coding, rgb, white))
    assert (raw.origin, raw.mosaic.shape) == ("rgb", rgb.shape)
    np.testing.assert_allclose(raw.mosaic, rgb, atol=0.05 if name == "lossy jpeg" else 2e-3)


# --- Damage, and files made to harm


@pytest.mark.parametrize(
    "coding",
    [lossless_xl(), Coding(LOSSY_JPEG, lossy_jpeg, 8), Coding(DEFLATE, deflated("<u2"))],
    ids=["jxl", "jpeg", "deflate"],
)
@pytest.mark.parametrize("damage", ["half", "no start", "other size", "nothing"])
def test_a_damaged_tile_is_one_error(tmp_path: Path, coding: Coding, damage: str) -> None:
    def encode(piece: np.ndarray) -> bytes:
        whole = coding.encode(piece)
        return {
            "half": whole[: len(whole) // 2],
            "no start": bytes(20) + whole[20:],
            "other size": coding.encode(piece[:32, :16]),
            "nothing": b"\0",
        }[damage]

    with pytest.raises(RawReadError, match=r"damaged: piece 1 of its samples \(") as caught:
        stored_as(tmp_path, replace(coding, encode=encode), tile=(64, 48), white=255)
    assert "copy it again" in caught.value.hint


def rewritten(path: Path, code: int, number: int, *, kind: int = LONG) -> Path:
    """Replace the value of a tag."""
    data = bytearray(path.read_bytes())
    entry = data.index(struct.pack("<HHI", code, kind, 1))
    data[entry + 8 : entry + 12] = struct.pack("<I", number)
    path.write_bytes(data)
    return path


def photo(tmp_path: Path, coding: Coding | None = None) -> Path:
    spec = DngSpec(SAMPLES, coding=coding or lossless_xl(), tile=(64, 48))
    return write_test_dng(tmp_path / "photo.dng", spec)


LIES = {
    "wide": (256, 30_000, LONG, "declares|truncated"),
    "high": (257, 4_000_000_000, LONG, "declares"),
    "no width": (256, 0, LONG, "damaged"),
    "wide tiles": (322, 1_000_000_000, LONG, "damaged: pieces of 1000000000 x 64"),
    "no tiles": (323, 0, LONG, "damaged"),
    "short tiles": (323, 8, LONG, "damaged: 6 pieces of samples, fewer"),
    "other tiles": (322, 80, LONG, "damaged: piece 1"),
    "bits": (258, 20, SHORT, "samples of 20 bits and JPEG XL, which NightFix does not read"),
    "planes": (277, 3, SHORT, "several samples at each site"),
    "many planes": (277, 5, SHORT, "damaged"),
}


@pytest.mark.parametrize(("code", "number", "kind", "what"), LIES.values(), ids=LIES)
def test_sizes_that_lie_are_one_error(
    tmp_path: Path, code: int, number: int, kind: int, what: str
) -> None:
    with pytest.raises(RawReadError, match=what):
        read_raw(rewritten(photo(tmp_path), code, number, kind=kind))


def test_one_strip_of_more_pixels_than_the_file_can_hold_is_refused(tmp_path: Path) -> None:
    path = write_test_dng(tmp_path / "photo.dng", DngSpec(SAMPLES, coding=lossless_xl()))
    for code in (256, 257, 278):
        rewritten(path, code, 20_000)
    with pytest.raises(RawReadError, match=r"truncated: \d+ bytes for 400000000 pixels"):
        read_raw(path)


STRANGE = {
    "predictor": (Coding(DEFLATE, deflated("<u2"), predictor=3), "predictor 3"),
    "sign": (Coding(DEFLATE, deflated("<u2"), sample_format=2), "samples with a sign"),
    "lossless": (Coding(7, as_floats("<u2"), fields=(2, 2)), "compression 7 of rows in fields"),
    "fields": (Coding(1, as_floats("<u2"), fields=(90, 1)), "rows or columns in 90 fields"),
    "double": (Coding(1, as_floats("<f8"), 64, FLOAT), "floating-point samples of 64 bits"),
}


@pytest.mark.parametrize(("coding", "what"), STRANGE.values(), ids=STRANGE)
def test_what_is_not_read_is_named(tmp_path: Path, coding: Coding, what: str) -> None:
    with pytest.raises(RawReadError, match=f"a DNG with {what}.*does not read") as caught:
        stored_as(tmp_path, coding)
    assert "convert it" in caught.value.hint


def test_a_codestream_that_would_unpack_into_gigabytes_is_not_unpacked(tmp_path: Path) -> None:
    bomb = bytes(imagecodecs.jpegxl_encode(np.zeros((9000, 9000), np.uint16), effort=1))
    deflated_bomb = zlib.compress(bytes(300 << 20), 9)
    for coding in (
        Coding(JPEG_XL, lambda _: bomb),
        Coding(DEFLATE, lambda _: deflated_bomb),
    ):
        path = photo(tmp_path, coding)
        before = peak_of_the_decoder()
        if coding.compression == JPEG_XL:
            with pytest.raises(RawReadError, match="damaged: piece 1"):
                read_raw(path)
        else:
            assert not read_raw(path).mosaic.any()
        assert peak_of_the_decoder() - before < 40_000


def peak_of_the_decoder() -> int:
    """Return the most memory that the running decoder has held [KiB]."""
    status = Path(f"/proc/{decoder._running_child().process.pid}/status")
    if not status.exists():
        pytest.skip("measures by /proc")
    return int(status.read_text().split("VmHWM:")[1].split()[0])


@pytest.mark.parametrize("coding", [lossless_xl(), FLOATING["32 deflate"]], ids=["jxl", "floats"])
def test_of_a_file_that_was_cut_off_the_rest_is_black(tmp_path: Path, coding: Coding) -> None:
    path = photo(tmp_path, coding)
    whole = read_raw(path).mosaic
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(RawReadError, match=r"truncated: \d+ of at least \d+ bytes"):
        read_raw(path)
    part = read_raw(path, allow_truncated=True).mosaic
    scale = whole[:64, :48].max() / part[:64, :48].max()
    np.testing.assert_allclose(part[:64, :96] * scale, whole[:64, :96], rtol=1e-5, atol=1e-5)
    assert not part[64:, 96:].any()


@pytest.mark.parametrize(
    "command", [["info"], ["enhance", "--no-restore"]], ids=["info", "enhance"]
)
def test_a_damaged_file_ends_with_the_code_of_an_input(tmp_path: Path, command: list[str]) -> None:
    path = photo(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[:-9000] + bytes(9000))
    call = [sys.executable, "-m", "nightfix", *command, str(path)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["error", "hint"]
    assert "of its samples (JPEG XL)" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["photo.dng"]


def test_black_above_white_is_damaged(tmp_path: Path) -> None:
    for coding in (lossless_xl(), FLOATING["32"]):
        with pytest.raises(RawReadError, match="damaged: its black level"):
            stored_as(tmp_path, coding, black=(900.0,), white=1)


def test_other_arrays_are_refused_by_name(tmp_path: Path) -> None:
    pattern = "GBGGRGRGRBGBGBGGRGGRGGBGBGBRGRGRGGBG"
    with pytest.raises(UnsupportedSensorError, match="a color filter array of"):
        stored_as(tmp_path, lossless_xl(), cfa_pattern=pattern)


def test_a_quad_bayer_mosaic_is_averaged(tmp_path: Path) -> None:
    raw = stored_as(tmp_path, lossless_xl(), cfa_pattern="RRGGRRGGGGBBGGBB")
    whole = stored_as(tmp_path, lossless_xl())
    height, width = (side // 2 for side in whole.mosaic.shape)
    means = whole.mosaic[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3))
    assert (raw.origin, raw.cfa_pattern) == ("quad-bayer", "RGGB")
    np.testing.assert_allclose(raw.mosaic, means, atol=1e-6)


def test_a_preview_in_jpeg_xl_is_not_taken_for_the_photo(tmp_path: Path) -> None:
    path = rewritten(photo(tmp_path), 254, 1)
    with pytest.raises(InputError):
        read_raw(path)


# --- Adobe's own reader

LOSSY_XL = jxl(distance=1.0)
AGREED: dict[str, tuple[np.ndarray, Coding, int]] = {
    "jxl": (SAMPLES, lossless_xl(), 65535),
    "jxl 8": (SAMPLES // 64, lossless_xl(8), 255),
    "jxl 10 over 16": (SAMPLES // 16, Coding(JPEG_XL, jxl(10)), 65535),
    "jxl in fields": (SAMPLES, lossless_xl(fields=(2, 2)), 65535),
    "jxl with loss": (SMOOTH, Coding(JPEG_XL, LOSSY_XL), 65535),
    "fields": (SAMPLES, Coding(1, as_floats("<u2"), fields=(2, 2)), 65535),
    **{f"float {name}": (np.abs(FLOATS), coding, 1) for name, coding in FLOATING.items()},
}


@pytest.mark.parametrize("odd", [False, True], ids=["even", "odd"])
@pytest.mark.parametrize(("samples", "coding", "white"), AGREED.values(), ids=AGREED)
def test_adobes_reader_finds_the_same_samples(
    tmp_path: Path, samples: np.ndarray, coding: Coding, white: int, odd: bool
) -> None:
    dngpy = pytest.importorskip("dngpy")
    samples = samples[:89, :139] if odd else samples
    spec = DngSpec(samples, white=white, coding=coding, tile=(64, 48))
    path = write_test_dng(tmp_path / "photo.dng", spec)
    data = bytearray(path.read_bytes())
    for code in (50706, 50707):  # what the version allows is looked at
        entry = data.index(struct.pack("<HHI", code, 1, 4))
        data[entry + 8 : entry + 12] = b"\1\7\1\0"
    path.write_bytes(data)
    theirs = dngpy.Dng(str(path)).raw_pixels[..., 0].astype(np.float64)
    largest = 255 if coding.bits == 8 else white
    rounding = 1.1 / largest if coding.encode is LOSSY_XL else 2e-6
    np.testing.assert_allclose(read_raw(path).mosaic, theirs / largest, atol=rounding, rtol=2e-6)


# --- Damage of all kinds, the same every time

FUZZED = [
    lossless_xl(),
    lossless_xl(fields=(2, 2)),
    Coding(LOSSY_JPEG, lossy_jpeg, 8),
    Coding(DEFLATE, deflated("<u2")),
    FLOATING["24 predicted"],
    FLOATING["16"],
]


@pytest.mark.parametrize("seed", range(180))
def test_a_damaged_file_is_a_photo_or_one_error(tmp_path: Path, seed: int) -> None:
    coding = FUZZED[seed % len(FUZZED)]
    spec = DngSpec(
        SAMPLES[:64, :96] if coding.sample_format == 1 else FLOATS[:64, :96],
        white=None,
        black=(10.0,) * 4 if coding.sample_format == 1 else (),
        noise_profile=(1e-4, 1e-7),
        tile=(32, 32) if seed % 4 else None,
        coding=coding,
        image=[
            (
                51009,
                UNDEFINED,
                4 + len(CURVES["MapPolynomial"][0]),
                struct.pack(">I", 1) + CURVES["MapPolynomial"][0],
            )
        ]
        if seed % 3 == 0
        else [],
    )
    path = write_test_dng(tmp_path / "photo.dng", spec)
    path.write_bytes(mutate(path.read_bytes(), seed))
    try:
        raw = read_raw(path, allow_truncated=bool(seed % 2))
    except InputError as error:
        assert str(path) in error.message
        assert "\n" not in error.message
        assert error.hint
        assert "crashed" not in error.message
        assert "invalid data" not in error.message
    else:
        condition_raw(raw)
        assert np.isfinite(raw.mosaic).all()
        assert np.isfinite(develop_raw(raw)).all()
