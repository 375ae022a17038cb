from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import rawpy
from tiff_tree import (
    Directory,
    complaints,
    make_metadata,
    make_raw,
    rational,
    read_bytes,
    read_tree,
    text,
)

from nightfix import __version__
from nightfix.develop.develop import demosaic_camera
from nightfix.errors import OutputExistsError, OutputWriteError
from nightfix.read.bayer import CFA_PATTERNS, CfaPattern, site_values
from nightfix.read.metadata import Exposure, Metadata
from nightfix.read.reader import RawImage, Rectangle, read_raw, to_dn
from nightfix.read.tags import ExifTag
from nightfix.write.dng import scale_to_fit, write_dng
from nightfix.write.dng_samples import Compression


class ReadBack(NamedTuple):
    """What LibRaw makes of a file."""

    samples: np.ndarray
    pattern: str | None
    black: list[int]
    white: int
    white_balance: list[float]
    crop: Rectangle
    flip: int


def read_back(path: Path) -> ReadBack:
    with path.open("rb") as file, rawpy.imread(file) as raw:
        pattern = None if raw.num_colors == 1 else raw.raw_pattern
        names = raw.color_desc.decode()
        sizes = raw.sizes
        return ReadBack(
            samples=raw.raw_image_visible.copy(),
            pattern=None if pattern is None else "".join(names[i] for i in pattern.ravel()),
            black=list(raw.black_level_per_channel),
            white=raw.white_level,
            white_balance=[gain / raw.camera_whitebalance[1] for gain in raw.camera_whitebalance],
            crop=Rectangle(
                sizes.crop_top_margin - sizes.top_margin,
                sizes.crop_left_margin - sizes.left_margin,
                sizes.crop_height,
                sizes.crop_width,
            ),
            flip=sizes.flip,
        )


def noise(rng: np.random.Generator, shape: tuple[int, int], white: int) -> np.ndarray:
    """Every value there is, so that no tile compresses well."""
    return rng.integers(0, white + 1, shape, dtype=np.uint16)


@pytest.fixture
def written(tmp_path: Path, rng: np.random.Generator) -> Path:
    raw = make_raw(noise(rng, (70, 90), 4095), crop=Rectangle(2, 4, 60, 80), orientation=6)
    write_dng(tmp_path / "out.dng", raw, restored=False)
    return tmp_path / "out.dng"


@pytest.fixture
def directory(written: Path) -> Directory:
    return read_tree(written)["0"]


def samples_of(path: Path) -> Directory:
    """Return the directory of the full-resolution samples."""
    return read_tree(path)["0/330.0"]


@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
@pytest.mark.parametrize(
    "shape", [(64, 64), (63, 65), (65, 64), (40, 1041), (530, 37)], ids=lambda s: f"{s[0]}x{s[1]}"
)
def test_samples_and_pattern_survive(
    tmp_path: Path, rng: np.random.Generator, cfa_pattern: CfaPattern, shape: tuple[int, int]
) -> None:
    samples = noise(rng, shape, 4095)
    write_dng(tmp_path / "a.dng", make_raw(samples, cfa_pattern=cfa_pattern), restored=False)
    back = read_back(tmp_path / "a.dng")
    np.testing.assert_array_equal(back.samples, samples)
    assert back.pattern == cfa_pattern


@pytest.mark.parametrize("bit_depth", [10, 12, 14, 16])
def test_bit_depths_survive(tmp_path: Path, rng: np.random.Generator, bit_depth: int) -> None:
    white = 2**bit_depth - 1
    samples = noise(rng, (48, 80), white)
    raw = make_raw(samples, white=white, black=(64,) * 4, bit_depth=bit_depth)
    write_dng(tmp_path / "a.dng", raw, restored=False)
    back = read_back(tmp_path / "a.dng")
    np.testing.assert_array_equal(back.samples, samples)
    assert (back.white, back.black) == (white, [64] * 4)


def test_extreme_steps_survive(tmp_path: Path) -> None:
    """Lossless JPEG has a code of its own for a difference of 32768."""
    samples = (np.indices((32, 64)).sum(0) // 2 % 2 * 32768).astype(np.uint16)
    write_dng(tmp_path / "a.dng", make_raw(samples, white=65535, black=(0,) * 4), restored=False)
    np.testing.assert_array_equal(read_back(tmp_path / "a.dng").samples, samples)


def test_values_above_white_survive(tmp_path: Path) -> None:
    samples = np.full((32, 32), 16383, np.uint16)
    write_dng(tmp_path / "a.dng", make_raw(samples, white=15000), restored=False)
    np.testing.assert_array_equal(read_back(tmp_path / "a.dng").samples, samples)


@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
def test_black_of_each_site_survives(
    tmp_path: Path, rng: np.random.Generator, cfa_pattern: CfaPattern
) -> None:
    per_color = np.array([250, 251, 252, 253], np.float32)  # R, Gr, Gb, B
    raw = make_raw(
        noise(rng, (32, 48), 4095),
        cfa_pattern=cfa_pattern,
        black=tuple(site_values(per_color, cfa_pattern).astype(int).ravel()),
    )
    write_dng(tmp_path / "a.dng", raw, restored=False)
    with rawpy.imread(str(tmp_path / "a.dng")) as back:
        by_site = np.array(back.black_level_per_channel)[back.raw_colors[:2, :2]]
        np.testing.assert_array_equal(back.raw_image_visible, to_dn(raw, raw.mosaic))
    np.testing.assert_array_equal(by_site, raw.black_level)


def test_fractional_black_survives(tmp_path: Path, rng: np.random.Generator) -> None:
    raw = make_raw(noise(rng, (32, 32), 4095))
    raw = replace(raw, black_level=np.array([[255.25, 256.5], [256, 257]], np.float32))
    write_dng(tmp_path / "a.dng", raw, restored=False)
    assert samples_of(tmp_path / "a.dng").values[50714] == [255.25, 256.5, 256, 257]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_stays_a_tag(
    tmp_path: Path, rng: np.random.Generator, orientation: int
) -> None:
    samples = noise(rng, (33, 47), 4095)
    write_dng(tmp_path / "a.dng", make_raw(samples, orientation=orientation), restored=False)
    assert read_tree(tmp_path / "a.dng")["0"].values[274] == [orientation]
    back = read_back(tmp_path / "a.dng")
    np.testing.assert_array_equal(back.samples, samples)
    # LibRaw's flip: bit 0 mirrors left-right, bit 1 top-bottom, bit 2 transposes.
    assert back.flip == (0, 1, 3, 2, 4, 6, 7, 5)[orientation - 1]


@pytest.mark.parametrize(
    "crop",
    [Rectangle(0, 0, 60, 80), Rectangle(3, 5, 51, 70), Rectangle(2, 0, 58, 80)],
    ids=["whole", "odd", "rows"],
)
def test_crop_is_relative_to_the_mosaic(
    tmp_path: Path, rng: np.random.Generator, crop: Rectangle
) -> None:
    write_dng(tmp_path / "a.dng", make_raw(noise(rng, (60, 80), 4095), crop=crop), restored=False)
    directory = samples_of(tmp_path / "a.dng")
    assert directory.values[50719] == [crop.left, crop.top]
    assert directory.values[50720] == [crop.width, crop.height]
    assert directory.values[50829] == [0, 0, 60, 80]
    assert read_back(tmp_path / "a.dng").samples.shape == (60, 80)


def test_crop_is_what_libraw_reads(written: Path) -> None:
    assert read_back(written).crop == Rectangle(2, 4, 60, 80)


def test_color_survives(directory: Directory, written: Path) -> None:
    raw = make_raw(np.zeros((2, 2), np.uint16))
    assert directory.values[50778] == [17]
    assert directory.values[50779] == [21]
    assert directory.values[50721] == raw.color_matrices[0].matrix.ravel().tolist()
    assert directory.values[50722] == raw.color_matrices[1].matrix.ravel().tolist()
    assert directory.values[50728] == [0.512, 1.0, 0.634]
    assert read_back(written).white_balance[:3] == pytest.approx([1 / 0.512, 1, 1 / 0.634])


def test_unknown_color_is_left_out(tmp_path: Path) -> None:
    raw = replace(make_raw(np.zeros((32, 32), np.uint16)), color_matrices=(), as_shot_neutral=None)
    write_dng(tmp_path / "a.dng", raw, restored=False)
    assert {50721, 50722, 50728, 50778, 50779}.isdisjoint(read_tree(tmp_path / "a.dng")["0"].codes)


@pytest.mark.parametrize("shape", [(48, 64), (47, 601)], ids=["even", "odd, two tiles"])
def test_monochrome_survives(
    tmp_path: Path, rng: np.random.Generator, shape: tuple[int, int]
) -> None:
    samples = noise(rng, shape, 16383)
    raw = make_raw(samples, cfa_pattern=None, white=16383, black=(512,) * 4)
    write_dng(tmp_path / "a.dng", raw, restored=False)
    directory = samples_of(tmp_path / "a.dng")
    assert directory.values[262] == [34892]
    assert directory.values[277] == [1]
    assert {33421, 33422, 50710, 50711}.isdisjoint(directory.codes)
    assert {50721, 50728}.isdisjoint(read_tree(tmp_path / "a.dng")["0"].codes)
    back = read_back(tmp_path / "a.dng")
    np.testing.assert_array_equal(back.samples, samples)
    assert (back.pattern, back.white, back.black[0]) == (None, 16383, 512)


def test_tags_of_a_camera_file(directory: Directory, written: Path) -> None:
    assert directory.values[50706] == [1, 4, 0, 0]
    assert directory.numbers(50707) <= [1, 4, 0, 0]
    assert directory.values[271] == b"Nightcam\0"
    assert directory.values[272] == b"N1\0"
    assert directory.values[50708] == b"Nightcam N1 Unique\0"
    assert directory.values[305] == f"NightFix {__version__}".encode() + b"\0"
    assert directory.values[50827] == b"DSC_0001.NEF\0"
    assert directory.values[50730] == [0.25]
    samples = samples_of(written)
    assert samples.values[254] == [0]
    assert samples.values[262] == [32803]
    assert samples.values[33421] == [2, 2]
    assert samples.values[33422] == [0, 1, 1, 2]
    assert samples.values[50710] == [0, 1, 2]
    assert samples.values[50711] == [1]
    assert samples.values[50713] == [2, 2]
    assert samples.values[50718] == [1, 1]


@pytest.mark.parametrize(
    ("restored", "present", "absent"), [(False, 51041, 50935), (True, 50935, 51041)]
)
def test_noise_tags(tmp_path: Path, restored: bool, present: int, absent: int) -> None:
    write_dng(tmp_path / "a.dng", make_raw(np.zeros((32, 32), np.uint16)), restored=restored)
    directory = samples_of(tmp_path / "a.dng")
    assert present in directory.codes
    assert absent not in directory.codes


def test_noise_profile_survives(written: Path) -> None:
    assert samples_of(written).values[51041] == [3e-4, 2e-7]


def test_exif_and_gps_are_carried_over(written: Path) -> None:
    tree = read_tree(written)
    exif, gps = tree["0/34665"], tree["0/34853"]
    assert exif.values[33434] == [1 / 30]
    assert exif.values[34855] == [3200]
    assert exif.values[36867] == b"2026:01:02 03:04:05\0"
    assert exif.values[42036] == b"35mm F2\0"
    assert (exif.values[40962], exif.values[40963]) == ([80], [60])
    assert gps.values[2] == [48, 6, 0]
    assert tree["0"].values[270] == b"a street\0"
    assert tree["0"].values[18246] == [4]


def test_name_beyond_ascii(tmp_path: Path) -> None:
    raw = replace(make_raw(np.zeros((32, 32), np.uint16)), path=Path("Stra\u00dfe.ARW"))
    write_dng(tmp_path / "n\u00e4chtlich.dng", raw, restored=False)
    name = read_tree(tmp_path / "n\u00e4chtlich.dng")["0"].numbers(50827)
    assert bytes(map(int, name)) == "Stra\u00dfe.ARW\0".encode()


def test_no_metadata_at_all(tmp_path: Path, rng: np.random.Generator) -> None:
    bare = replace(
        make_metadata(),
        make="",
        model="",
        unique_camera_model="",
        captured="",
        noise_profile=(),
        image=(),
        exif=(),
        gps=(),
        xmp=b"",
        lens="",
        exposure=Exposure(exposure_time=None, iso_speed=None, f_number=None, focal_length=None),
    )
    samples = noise(rng, (32, 32), 4095)
    write_dng(tmp_path / "a.dng", make_raw(samples, metadata=bare), restored=False)
    assert sorted(read_tree(tmp_path / "a.dng")) == ["0", "0/330.0", "0/330.1"]
    np.testing.assert_array_equal(read_back(tmp_path / "a.dng").samples, samples)


def restored_raw(rng: np.random.Generator, peak: float, *, white: int, black: int) -> RawImage:
    raw = make_raw(np.zeros((61, 83), np.uint16), white=white, black=(black,) * 4)
    mosaic = rng.uniform(0, peak, raw.mosaic.shape).astype(np.float32)
    mosaic[11, 12] = peak
    return replace(raw, mosaic=mosaic, baseline_exposure=0.0)


@pytest.mark.parametrize("peak", [8.0, 7.3, 1.0, 0.3, 1.0000001], ids=lambda p: f"max {p}")
@pytest.mark.parametrize(
    ("white", "black", "shift"),
    [(1023, 64, 6), (4095, 256, 4), (15000, 2048, 2), (65535, 0, 0)],
    ids=["10 bit", "12 bit", "14 bit", "16 bit"],
)
def test_restored_light_is_read_back(
    tmp_path: Path, peak: float, white: int, black: int, shift: int
) -> None:
    raw = restored_raw(np.random.default_rng(5), peak, white=white, black=black)
    write_dng(tmp_path / "a.dng", raw, restored=True)
    back = read_back(tmp_path / "a.dng")
    (exposure,) = read_tree(tmp_path / "a.dng")["0"].numbers(50730)
    assert (back.white, back.black) == (white << shift, [black << shift] * 4)
    span = back.white - back.black[0]
    light = (back.samples.astype(np.float64) - back.black[0]) / span * 2**exposure
    assert np.abs(light - raw.mosaic).max() <= 0.52 / span * 2**exposure
    assert exposure == pytest.approx(max(0, np.log2(peak)), abs=1.01e-4)
    # At most the rounding of the gain to a ten-thousandth of a stop is lost at the top.
    assert back.samples.max() == pytest.approx(back.black[0] + min(1, peak) * span, abs=6)
    assert back.samples.max() <= back.white


@pytest.mark.parametrize(("peak", "exposure"), [(8.0, 3.0), (2.0, 1.0), (1.0, 0.0), (0.3, 0.0)])
def test_whole_stops_are_exact(rng: np.random.Generator, peak: float, exposure: float) -> None:
    scaled = scale_to_fit(restored_raw(rng, peak, white=4095, black=256))
    assert scaled.baseline_exposure == exposure


def test_baseline_exposure_of_the_input_adds_up(rng: np.random.Generator) -> None:
    raw = replace(restored_raw(rng, 8.0, white=4095, black=256), baseline_exposure=0.5)
    assert scale_to_fit(raw).baseline_exposure == 3.5


def test_noise_below_black_is_kept_down_to_zero(tmp_path: Path) -> None:
    raw = make_raw(np.zeros((32, 32), np.uint16))
    mosaic = np.full((32, 32), -0.01, np.float32)
    mosaic[0, 0] = -1.0
    write_dng(tmp_path / "a.dng", replace(raw, mosaic=mosaic), restored=True)
    samples = read_back(tmp_path / "a.dng").samples
    assert samples[0, 0] == 0
    assert samples[1, 1] == 4096 - round(0.01 * (65520 - 4096))


@pytest.mark.parametrize("shape", [(64, 64), (63, 65), (530, 37)], ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("cfa_pattern", ["GBRG", None])
def test_uncompressed_samples_survive(
    tmp_path: Path, rng: np.random.Generator, shape: tuple[int, int], cfa_pattern: CfaPattern | None
) -> None:
    samples = noise(rng, shape, 4095)
    raw = make_raw(samples, cfa_pattern=cfa_pattern)
    write_dng(tmp_path / "a.dng", raw, restored=False, compression="none")
    np.testing.assert_array_equal(read_back(tmp_path / "a.dng").samples, samples)
    assert samples_of(tmp_path / "a.dng").values[259] == [1]
    assert complaints(tmp_path / "a.dng") == []


@pytest.mark.parametrize("compression", ["lossless", "none"])
@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
def test_linear_dng_is_the_demosaiced_mosaic(
    tmp_path: Path, rng: np.random.Generator, cfa_pattern: CfaPattern, compression: Compression
) -> None:
    raw = make_raw(noise(rng, (63, 85), 4095), cfa_pattern=cfa_pattern, black=(250, 252, 254, 256))
    path = tmp_path / "a.dng"
    write_dng(path, raw, restored=False, linear=True, compression=compression)
    directory = samples_of(path)
    assert (directory.values[262], directory.values[277]) == ([34892], [3])
    assert directory.values[258] == [16] * 3
    assert 33422 not in directory.codes
    with rawpy.imread(str(path)) as back:
        samples = back.raw_image_visible[..., :3].astype(np.float64)
    black, white = directory.numbers(50714), directory.numbers(50717)
    assert (black, white) == ([0] * 3, [65535] * 3)
    light = samples / 65535 * 2 ** (read_tree(path)["0"].numbers(50730)[0] - 0.25)
    demosaiced = demosaic_camera(raw)
    # Below black and above white it is cut.
    fits = (samples > 0) & (samples < 65535)
    assert fits.mean() > 0.7
    assert np.abs(light - demosaiced)[fits].max() < 2e-5
    assert complaints(path) == []


def test_demosaicing_leaves_each_sample_as_it_is(rng: np.random.Generator) -> None:
    raw = make_raw(noise(rng, (60, 80), 4095))
    rgb = demosaic_camera(raw)
    np.testing.assert_allclose(rgb[0::2, 0::2, 0], raw.mosaic[0::2, 0::2], atol=1e-6)
    np.testing.assert_allclose(rgb[0::2, 1::2, 1], raw.mosaic[0::2, 1::2], atol=1e-6)
    np.testing.assert_allclose(rgb[1::2, 1::2, 2], raw.mosaic[1::2, 1::2], atol=1e-6)


def test_profile_of_the_source_survives(tmp_path: Path) -> None:
    profile = (
        text(50936, "Acme Standard"),
        ExifTag(50940, 11, 4, np.array([0, 0, 1, 1], "<f4").tobytes()),
        rational(51125, 0, 1, 0, 1, 1, 1, 1, 1),
    )
    metadata = replace(make_metadata(), profile=profile)
    raw = make_raw(np.zeros((32, 32), np.uint16), metadata=metadata)
    write_dng(tmp_path / "a.dng", raw, restored=True)
    main, samples = read_tree(tmp_path / "a.dng")["0"], samples_of(tmp_path / "a.dng")
    assert main.values[50936] == b"Acme Standard\0"
    assert 50940 in main.codes
    assert samples.values[51125] == [0, 0, 1, 1]
    assert 51125 not in main.codes
    again = read_raw(tmp_path / "a.dng").metadata.profile
    assert again[0].code == 50718  # DefaultScale, which every DNG of ours states
    assert again[1:] == profile


@pytest.mark.parametrize("restored", [False, True], ids=["as shot", "restored"])
def test_other_tags_of_a_dng_survive_as_long_as_they_are_true(
    tmp_path: Path, restored: bool
) -> None:
    profile = (
        rational(50718, 1, 1, 1, 2),  # DefaultScale
        rational(50731, 3, 2),  # BaselineNoise
        ExifTag(50733, 4, 1, b"\x07\0\0\0"),  # BayerGreenSplit
        ExifTag(50740, 1, 8, b"Acme\0\1\2\3"),  # DNGPrivateData
        rational(50780, 2, 1),  # BestQualityScale
    )
    raw = make_raw(
        np.zeros((32, 32), np.uint16), metadata=replace(make_metadata(), profile=profile)
    )
    write_dng(tmp_path / "a.dng", raw, restored=restored)
    tree = read_tree(tmp_path / "a.dng")
    main, samples = tree["0"].values, tree["0/330.0"].values
    assert (samples[50718], samples[50780]) == ([1, 0.5], [2])
    assert main[50740] == list(b"Acme\0\1\2\3")
    noise = (main.get(50731), samples.get(50733))
    assert noise == ((None, None) if restored else ([1.5], [7]))
    assert [known.code for known in read_raw(tmp_path / "a.dng").metadata.profile] == [
        known.code for known in profile if not (restored and known.code in {50731, 50733})
    ]


def test_even_light_compresses(tmp_path: Path) -> None:
    write_dng(tmp_path / "a.dng", make_raw(np.full((512, 512), 900, np.uint16)), restored=False)
    assert sum(size for _, size in samples_of(tmp_path / "a.dng").pieces) < 512 * 512 / 4


def test_structure(written: Path) -> None:
    assert complaints(written) == []
    tree = read_tree(written)
    assert sorted(tree) == ["0", "0/330.0", "0/330.1", "0/34665", "0/34853"]
    assert [name for name in tree if tree[name].pieces] == ["0", "0/330.1", "0/330.0"]


VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "as shot": ({}, {"restored": False}),
    "restored": ({}, {"restored": True}),
    "uncompressed": ({"cfa_pattern": "GRBG"}, {"restored": True, "compression": "none"}),
    "odd crop": ({"cfa_pattern": "GBRG", "crop": Rectangle(3, 5, 51, 70)}, {"restored": True}),
    "turned": ({"cfa_pattern": "BGGR", "orientation": 6}, {"restored": False}),
    "mirrored": ({"orientation": 7}, {"restored": False, "compression": "none"}),
    "linear": ({}, {"restored": True, "linear": True}),
    "linear, turned": ({"orientation": 8}, {"restored": False, "linear": True}),
    "linear, uncompressed": ({}, {"restored": True, "linear": True, "compression": "none"}),
    "monochrome": ({"cfa_pattern": None}, {"restored": True}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_exiftool_and_exiv2_find_nothing_to_complain_of(
    tmp_path: Path, rng: np.random.Generator, variant: str
) -> None:
    path = tmp_path / "a.dng"
    of_raw, of_file = VARIANTS[variant]
    raw = make_raw(noise(rng, (71, 93), 4095), metadata=plausible_metadata(), **of_raw)
    write_dng(path, raw, **of_file)
    assert complaints(path) == []
    assert exiftool_complaints(path) == ["0", "0", "0"]
    assert exiv2_complaints(path) == ""


def exiftool_complaints(path: Path) -> list[str]:
    """Return how many errors, warnings and minor warnings there are, and which."""
    if shutil.which("exiftool") is None:
        pytest.skip("needs exiftool")
    command = ["exiftool", "-s3", "-a", "-n", "-validate", "-warning", "-error", str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    counts, *said = answer.stdout.splitlines() or ["1 0 0"]
    return counts.split() + said


def exiv2_complaints(path: Path) -> str:
    """Return what exiv2 says on reading every tag; nothing is fine."""
    if shutil.which("exiv2") is None:
        pytest.skip("needs exiv2")
    command = ["exiv2", "-PEIXkv", str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stderr or ("" if answer.stdout else "no tags")


class Entry(NamedTuple):
    """A tag of IFD0 in a file's bytes: where it stands, and its value or offset."""

    place: int
    value: int


def entry(data: bytes, code: int, directory: str = "0") -> Entry:
    found = read_bytes(data)[directory]
    place = found.offset + 2 + 12 * found.codes.index(code)
    return Entry(place, struct.unpack_from("<I", data, place + 8)[0])


def patched(data: bytes, place: int, kind: str, *numbers: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(f"<{kind}", changed, place, *numbers)
    return bytes(changed)


def swap_first_tags(data: bytes) -> bytes:
    first = entry(data, 254).place
    swapped = data[first + 12 : first + 24] + data[first : first + 12]
    return data[:first] + swapped + data[first + 24 :]


def chain(data: bytes) -> bytes:
    tree = read_bytes(data)
    end = tree["0"].offset + 2 + 12 * len(tree["0"].codes)
    return patched(data, end, "I", tree["0/34665"].offset)


def odd_offset(data: bytes) -> bytes:
    place, offset = entry(data, 50721)
    return patched(data, place + 8, "I", offset + 1)


def shared_value(data: bytes) -> bytes:
    return patched(data, entry(data, 50721).place + 8, "I", entry(data, 50722).value)


def tiles_beyond_the_end(data: bytes) -> bytes:
    return patched(data, entry(data, 324, "0/330.0").value, "I", len(data))


def one_bit_depth_for_three_samples(data: bytes) -> bytes:
    return patched(data, entry(data, 277, "0/330.0").place + 8, "H", 3)


def no_bits_per_sample(data: bytes) -> bytes:
    return patched(data, entry(data, 258, "0/330.0").place, "H", 257)


def exif_of_an_unknown_type(data: bytes) -> bytes:
    return patched(data, entry(data, 33434, "0/34665").place + 2, "H", 99)


@pytest.mark.parametrize(
    "fault",
    [
        swap_first_tags,
        chain,
        odd_offset,
        shared_value,
        tiles_beyond_the_end,
        one_bit_depth_for_three_samples,
        no_bits_per_sample,
    ],
)
def test_a_fault_of_structure_is_seen(written: Path, fault: Callable[[bytes], bytes]) -> None:
    written.write_bytes(fault(written.read_bytes()))
    assert complaints(written) != []


@pytest.mark.parametrize("fault", [swap_first_tags, exif_of_an_unknown_type])
def test_a_fault_is_seen_by_exiftool(written: Path, fault: Callable[[bytes], bytes]) -> None:
    written.write_bytes(fault(written.read_bytes()))
    assert exiftool_complaints(written)[0] != "0" or exiftool_complaints(written)[1] != "0"


def test_a_fault_is_seen_by_exiv2(written: Path) -> None:
    written.write_bytes(exif_of_an_unknown_type(written.read_bytes()))
    assert exiv2_complaints(written) != ""


def test_exiftool_reads_the_gain_that_is_left(tmp_path: Path, rng: np.random.Generator) -> None:
    if shutil.which("exiftool") is None:
        pytest.skip("needs exiftool")
    write_dng(tmp_path / "a.dng", restored_raw(rng, 7.3, white=4095, black=256), restored=True)
    answer = subprocess.run(
        ["exiftool", "-s3", "-n", "-BaselineExposure", str(tmp_path / "a.dng")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(answer.stdout) == 2.8679


def plausible_metadata() -> Metadata:
    """Return metadata without the stand-ins that no camera writes."""
    metadata = make_metadata()
    image = [kept for kept in metadata.image if kept.code not in {700, 18246}]
    return replace(metadata, image=(*image, text(306, "2026:01:02 03:04:05")))


def test_existing_file_is_kept(written: Path) -> None:
    before = written.read_bytes()
    with pytest.raises(OutputExistsError):
        write_dng(written, make_raw(np.zeros((32, 32), np.uint16)), restored=False)
    assert written.read_bytes() == before


def test_source_is_never_overwritten(written: Path) -> None:
    raw = replace(make_raw(np.zeros((32, 32), np.uint16)), path=written)
    with pytest.raises(OutputWriteError, match="photo itself"):
        write_dng(written, raw, restored=False, overwrite=True)


@pytest.mark.parametrize("name", ["Fusion_GPFR7066.dng", "canon-x4-colorchart.dng"])
def test_camera_file_survives(shared: Path, tmp_path: Path, name: str) -> None:
    source = shared / "raw" / name
    raw = read_raw(source)
    write_dng(tmp_path / "a.dng", raw, restored=False)
    before, after = read_back(source), read_back(tmp_path / "a.dng")
    np.testing.assert_array_equal(after.samples, before.samples)
    assert after[1:4] == before[1:4]
    assert after.white_balance == pytest.approx(before.white_balance, rel=1e-6)
    assert after.flip == before.flip
    again = read_raw(tmp_path / "a.dng")
    np.testing.assert_array_equal(again.mosaic, raw.mosaic)
    np.testing.assert_array_equal(again.black_level, raw.black_level)
    assert [c.illuminant for c in again.color_matrices] == [
        c.illuminant for c in raw.color_matrices
    ]
    np.testing.assert_array_equal(
        [c.matrix for c in again.color_matrices], [c.matrix for c in raw.color_matrices]
    )
    np.testing.assert_allclose(again.as_shot_neutral, raw.as_shot_neutral, rtol=1e-6)
    assert (again.crop, again.orientation) == (raw.crop, raw.orientation)
    assert again.baseline_exposure == raw.baseline_exposure
    assert again.metadata.exposure == raw.metadata.exposure
    assert again.metadata.unique_camera_model == raw.metadata.unique_camera_model
