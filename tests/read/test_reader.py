from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rawpy
from dng_files import (
    DAYLIGHT_MATRIX,
    LINEAR_RAW,
    TUNGSTEN_MATRIX,
    DngSpec,
    coded_samples,
    write_test_dng,
)

from nightfix.errors import NightFixError, RawReadError, UnsupportedSensorError
from nightfix.read import reader as raw_module
from nightfix.read.bayer import CFA_PATTERNS, CfaPattern, shift_pattern
from nightfix.read.decoder import DecoderError, decode
from nightfix.read.reader import RawImage, Rectangle, read_raw, to_dn
from nightfix.read.tags import ExifTag, FileTags, Ifd
from nightfix.write.dng import write_dng

HEIGHT, WIDTH = 41, 53
SITE_BLACK = (64.0, 96.0, 128.0, 160.0)


def declare(path: Path, samples: np.ndarray | None = None, **declared: Any) -> Path:
    """Write a test DNG with these declarations."""
    samples = coded_samples(HEIGHT, WIDTH) if samples is None else samples
    return write_test_dng(path / "photo.dng", DngSpec(samples, **declared))


# --- samples, phase, levels


@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
@pytest.mark.parametrize(
    "shape", [(40, 52), (41, 53), (40, 53), (22, 22)], ids=lambda s: f"{s[0]}x{s[1]}"
)
def test_samples_return_exactly_with_one_black_level_a_site(
    tmp_path: Path, cfa_pattern: CfaPattern, shape: tuple[int, int]
) -> None:
    samples = coded_samples(*shape)
    path = declare(tmp_path, samples, cfa_pattern=cfa_pattern, black=SITE_BLACK)

    raw = read_raw(path)

    assert raw.cfa_pattern == cfa_pattern
    np.testing.assert_array_equal(raw.black_level, np.reshape(SITE_BLACK, (2, 2)))
    np.testing.assert_array_equal(to_dn(raw, raw.mosaic), samples)


@pytest.mark.parametrize("cfa_pattern", CFA_PATTERNS)
@pytest.mark.parametrize(
    "active_area",
    [(0, 0, 41, 53), (2, 4, 40, 50), (1, 0, 41, 53), (0, 1, 41, 53), (3, 5, 40, 52)],
    ids=["whole", "even", "odd row", "odd column", "odd both"],
)
def test_masked_margins_keep_colors_and_black_levels_at_their_samples(
    tmp_path: Path, cfa_pattern: CfaPattern, active_area: tuple[int, int, int, int]
) -> None:
    samples = coded_samples(HEIGHT, WIDTH)
    path = declare(
        tmp_path, samples, cfa_pattern=cfa_pattern, active_area=active_area, black=SITE_BLACK
    )

    raw = read_raw(path)

    # LibRaw starts at an even row and column, up to one inside the declared area.
    top, left = (edge + edge % 2 for edge in active_area[:2])
    inside = samples[top : active_area[2], left : active_area[3]]
    shift = (-(top - active_area[0]), -(left - active_area[1]))
    np.testing.assert_array_equal(to_dn(raw, raw.mosaic), inside)
    assert raw.cfa_pattern == shift_pattern(cfa_pattern, -shift[0], -shift[1])
    expected_black = np.roll(np.reshape(SITE_BLACK, (2, 2)), shift, (0, 1))
    np.testing.assert_array_equal(raw.black_level, expected_black)


@pytest.mark.parametrize(
    ("black", "repeat", "expected"),
    [
        ((), (1, 1), [[0, 0], [0, 0]]),
        ((512.0,), (1, 1), [[512, 512], [512, 512]]),
        ((64.25, 96.5, 128.0, 160.75), (2, 2), [[64.25, 96.5], [128.0, 160.75]]),
        ((100.0, 200.0), (1, 2), [[100, 200], [100, 200]]),
        ((100.0, 200.0), (2, 1), [[100, 100], [200, 200]]),
        (tuple(range(16)), (4, 4), [[5, 6], [9, 10]]),
        ((10.0, 20.0, 60.0), (3, 1), [[30, 30], [30, 30]]),
    ],
    ids=["none", "one", "fractions", "1x2", "2x1", "4x4", "3x1"],
)
def test_black_level_patterns_reach_the_sites(
    tmp_path: Path,
    black: tuple[float, ...],
    repeat: tuple[int, int],
    expected: list[list[float]],
) -> None:
    raw = read_raw(declare(tmp_path, black=black, black_repeat=repeat))
    np.testing.assert_allclose(raw.black_level, expected)


@pytest.mark.parametrize(
    ("white", "bit_depth"),
    [(1023, 10), (1024, 12), (4095, 12), (15000, 14), (16383, 14), (16384, 16), (65535, 16)],
)
def test_white_level_is_one_and_gives_the_bit_depth(
    tmp_path: Path, white: int, bit_depth: int
) -> None:
    samples = coded_samples(HEIGHT, WIDTH, white)
    samples[5, 7] = white

    raw = read_raw(declare(tmp_path, samples, white=white, black=(50.0,)))

    assert (raw.white_level, raw.bit_depth) == (white, bit_depth)
    assert raw.mosaic[5, 7] == 1.0
    np.testing.assert_array_equal(to_dn(raw, raw.mosaic), samples)


def test_values_beyond_the_levels_are_not_clipped(tmp_path: Path) -> None:
    samples = np.full((HEIGHT, WIDTH), 1000, np.uint16)
    samples[0, :2] = (0, 16000)
    raw = read_raw(declare(tmp_path, samples, white=8000, black=(1000.0,)))
    np.testing.assert_allclose(raw.mosaic[0, :3], [-1 / 7, 15 / 7, 0], rtol=1e-6)


def test_to_dn_rounds_and_clips(tmp_path: Path) -> None:
    raw = read_raw(declare(tmp_path, white=1000, black=(0.0,)))
    mosaic = np.array([[-1.0, 0.0014], [0.0016, 90.0]], np.float32)
    np.testing.assert_array_equal(to_dn(raw, mosaic), [[0, 1], [2, 65535]])


def test_every_16_bit_value_returns_exactly(tmp_path: Path) -> None:
    samples = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    raw = read_raw(declare(tmp_path, samples, white=65535, black=(2047.75, 1.0, 0.0, 4096.5)))
    np.testing.assert_array_equal(to_dn(raw, raw.mosaic), samples)


def test_the_mosaic_outlives_libraw(tmp_path: Path) -> None:
    raw = read_raw(declare(tmp_path))
    assert raw.mosaic.base is None
    assert raw.mosaic.dtype == np.float32


def test_the_white_of_a_dng_is_its_own_whatever_the_model(
    tmp_path: Path, synthetic_raw: Callable[..., RawImage]
) -> None:
    """LibRaw knows a lower level at which this model's sensor stops."""
    made = synthetic_raw()
    metadata = replace(made.metadata, make="NIKON CORPORATION", model="NIKON D850")
    write_dng(tmp_path / "d850.dng", replace(made, metadata=metadata), restored=False)
    with (tmp_path / "d850.dng").open("rb") as file, rawpy.imread(file) as libraw:
        assert libraw.camera_white_level_per_channel[0] < 16383
    assert read_raw(tmp_path / "d850.dng").white_level == 16383


@pytest.mark.parametrize(
    ("own", "nominal", "expected"),
    [
        (None, 16383, 16383),
        ([15300, 15000, 15100, 15000], 16383, 15000),
        ([0, 15000, 15000, 15000], 16383, 16383),
        ([4000] * 4, 16383, 16383),
        ([65535] * 4, 4095, 4095),
    ],
    ids=["none", "smallest", "one missing", "other bit depth below", "other bit depth above"],
)
def test_the_cameras_white_counts_where_it_is_believable(
    own: list[int] | None, nominal: int, expected: float
) -> None:
    libraw: Any = SimpleNamespace(camera_white_level_per_channel=own, white_level=nominal)
    assert raw_module._white_level(libraw, 512.0, is_dng=False) == expected


# --- crop, orientation


@pytest.mark.parametrize(
    ("active_area", "default_crop", "expected"),
    [
        (None, None, Rectangle(0, 0, 41, 53)),
        (None, (3, 5, 40, 30), Rectangle(5, 3, 30, 40)),
        ((2, 4, 40, 52), (3, 5, 40, 30), Rectangle(5, 3, 30, 40)),
        ((1, 3, 41, 53), (3, 5, 40, 30), Rectangle(4, 2, 30, 40)),
        (None, (10, 10, 400, 300), Rectangle(10, 10, 31, 43)),
        (None, (0, 0, 4, 3), Rectangle(0, 0, 41, 53)),
    ],
    ids=["none", "plain", "in an active area", "in a moved area", "too large", "absurd"],
)
def test_the_default_crop_counts_from_the_mosaic(
    tmp_path: Path,
    active_area: tuple[int, int, int, int] | None,
    default_crop: tuple[int, int, int, int] | None,
    expected: Rectangle,
) -> None:
    path = declare(tmp_path, active_area=active_area, default_crop=default_crop)
    assert read_raw(path).crop == expected


@pytest.mark.parametrize(
    ("crop", "expected"),
    [
        ((0, 0, 0, 0), Rectangle(0, 0, 100, 150)),
        ((30, 14, 120, 80), Rectangle(4, 10, 80, 120)),
        ((0, 0, 150, 100), Rectangle(0, 0, 90, 130)),
    ],
    ids=["none", "plain", "from the masked corner"],
)
def test_libraws_crop_counts_from_the_masked_corner(
    crop: tuple[int, int, int, int], expected: Rectangle
) -> None:
    left, top, width, height = crop
    sizes: Any = SimpleNamespace(
        height=100,
        width=150,
        top_margin=10,
        left_margin=20,
        crop_left_margin=left,
        crop_top_margin=top,
        crop_width=width,
        crop_height=height,
    )
    assert raw_module._crop(sizes, raw_module._Frame(Ifd(), 0, 0)) == expected


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_kept_mirrored_ones_too(tmp_path: Path, orientation: int) -> None:
    assert read_raw(declare(tmp_path, orientation=orientation)).orientation == orientation


@pytest.mark.parametrize("orientation", [None, 0, 9], ids=["absent", "0", "9"])
def test_no_or_invalid_orientation_is_upright(tmp_path: Path, orientation: int | None) -> None:
    assert read_raw(declare(tmp_path, orientation=orientation)).orientation == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_libraws_flip_means_the_same_orientation(tmp_path: Path, orientation: int) -> None:
    path = declare(tmp_path, orientation=orientation)
    with path.open("rb") as file:
        assert raw_module._orientation(decode(file), FileTags()) == orientation


# --- color


def test_color_comes_from_the_dngs_own_tags(tmp_path: Path) -> None:
    matrices = ((17, TUNGSTEN_MATRIX), (21, DAYLIGHT_MATRIX))
    path = declare(tmp_path, matrices=matrices, neutral=(0.4, 0.8, 0.5), baseline_exposure=(-3, 10))

    raw = read_raw(path)

    assert [m.illuminant for m in raw.color_matrices] == [17, 21]
    np.testing.assert_allclose(raw.color_matrices[0].matrix.ravel(), TUNGSTEN_MATRIX)
    np.testing.assert_allclose(raw.color_matrices[1].matrix.ravel(), DAYLIGHT_MATRIX)
    assert raw.as_shot_neutral is not None
    np.testing.assert_allclose(raw.as_shot_neutral, [0.5, 1.0, 0.625])
    assert raw.baseline_exposure == pytest.approx(-0.3)


def test_unknown_color_stays_unknown(tmp_path: Path) -> None:
    path = declare(tmp_path, matrices=(), neutral=None, baseline_exposure=(0, 0))
    raw = read_raw(path)
    assert raw.color_matrices == ()
    assert raw.as_shot_neutral is None
    assert raw.baseline_exposure == 0.0


def test_a_matrix_without_illuminant_is_of_illuminant_0(tmp_path: Path) -> None:
    raw = read_raw(declare(tmp_path, matrices=((None, DAYLIGHT_MATRIX),)))
    assert [m.illuminant for m in raw.color_matrices] == [0]


@pytest.mark.parametrize(
    "neutral", [(0.0, 1.0, 0.5), (0.5, 1.0), (0.5, 0.0, 0.5)], ids=["zero red", "two", "no green"]
)
def test_an_impossible_neutral_is_unknown(tmp_path: Path, neutral: tuple[float, ...]) -> None:
    assert read_raw(declare(tmp_path, neutral=neutral)).as_shot_neutral is None


def test_a_white_point_becomes_a_neutral_by_the_matrix(tmp_path: Path) -> None:
    raw = read_raw(declare(tmp_path, neutral=None, white_xy=(0.3127, 0.329)))
    xyz = np.array([0.3127 / 0.329, 1.0, (1 - 0.3127 - 0.329) / 0.329])
    camera = np.reshape(DAYLIGHT_MATRIX, (3, 3)) @ xyz
    assert raw.as_shot_neutral is not None
    np.testing.assert_allclose(raw.as_shot_neutral, camera / camera[1], rtol=1e-4)


def test_a_white_point_between_two_matrices_is_not_guessed(tmp_path: Path) -> None:
    matrices = ((17, TUNGSTEN_MATRIX), (21, DAYLIGHT_MATRIX))
    path = declare(tmp_path, neutral=None, white_xy=(0.3127, 0.329), matrices=matrices)
    assert read_raw(path).as_shot_neutral is None


def test_balance_and_calibration_of_the_unit_are_in_the_matrix(tmp_path: Path) -> None:
    balance = (1.0, 0.8, 1.25)
    calibration = np.array([[1.1, 0.1, 0.0], [0.0, 1.0, 0.0], [0.0, -0.1, 0.9]])
    rows = [
        (50723, 10, 9, tuple(n for v in calibration.ravel() for n in (round(v * 100), 100))),
        (50727, 5, 3, tuple(n for v in balance for n in (round(v * 100), 100))),
    ]
    raw = read_raw(declare(tmp_path, image=rows))
    expected = np.diag(balance) @ calibration @ np.reshape(DAYLIGHT_MATRIX, (3, 3))
    np.testing.assert_allclose(raw.color_matrices[0].matrix, expected)


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ([2.0, 1.0, 1.6, 0.0], [0.5, 1.0, 0.625]),
        ([570.0, 263.0, 438.0, 263.0], [263 / 570, 1.0, 263 / 438]),
        ([0.0, 1.0, 0.0, 0.0], None),
        ([0.0, 0.0, 0.0, 0.0], None),
    ],
    ids=["unit green", "any scale", "green alone", "zeros"],
)
def test_libraws_gains_are_the_reciprocal_of_the_neutral(
    gains: list[float], expected: list[float] | None
) -> None:
    libraw: Any = SimpleNamespace(camera_whitebalance=gains)
    neutral = raw_module._as_shot_neutral(libraw, FileTags(), ())
    assert (neutral is None) == (expected is None)
    np.testing.assert_allclose(neutral if expected else 0.0, expected or 0.0)


@pytest.mark.parametrize(
    ("scale", "count"), [(1.0, 1), (0.0, 0)], ids=["known camera", "unknown camera"]
)
def test_libraws_matrix_is_of_daylight(scale: float, count: int) -> None:
    table = np.vstack([np.reshape(DAYLIGHT_MATRIX, (3, 3)), np.zeros((1, 3))]) * scale
    libraw: Any = SimpleNamespace(rgb_xyz_matrix=table)
    matrices = raw_module._color_matrices(libraw, FileTags())
    assert [(m.illuminant, m.matrix.shape) for m in matrices] == [(21, (3, 3))] * count


# --- other sensors


def test_a_monochrome_sensor_has_no_pattern_and_no_color(tmp_path: Path) -> None:
    samples = coded_samples(HEIGHT, WIDTH)
    path = declare(tmp_path, samples, photometric=LINEAR_RAW, black=(100.0,))
    raw = read_raw(path)
    assert (raw.cfa_pattern, raw.color_matrices, raw.as_shot_neutral) == (None, (), None)
    np.testing.assert_array_equal(to_dn(raw, raw.mosaic), samples)


def sensor(
    shape: tuple[int, int] | None, colors: str = "RGBG", sites: str = "RGGB", **fields: Any
) -> Any:
    """Return a decoded file of that color filter array."""
    described = {
        "samples": np.zeros((4, 4), np.uint16),
        "origin": "mosaic",
        "num_colors": 3,
        "color_desc": colors,
        "pattern_shape": shape,
        "sites": tuple(colors.index(letter) for letter in sites),
    }
    return SimpleNamespace(**(described | fields))


def of(make: str = "", dng: bool = False) -> FileTags:
    """Return the tags of a file of that maker."""
    tags = {271: ExifTag(271, 2, len(make) + 1, make.encode() + b"\0")}
    if dng:
        tags[50706] = ExifTag(50706, 1, 4, b"\1\4\0\0")
    return FileTags(main=Ifd(tags))


@pytest.mark.parametrize(
    ("libraw", "tags", "named"),
    [
        (sensor((2, 2), origin="rgb"), of("SIGMA"), "Foveon"),
        (sensor((2, 2), origin="demosaiced"), of("SIGMA"), "Foveon"),
        (sensor(None, samples=None), of("SIGMA"), "Foveon"),
        (sensor(None, samples=None), of("Canon"), "not red, green and blue"),
        (sensor(None, samples=None), of("Acme", dng=True), "not red, green and blue"),
        (sensor(None), of(), "already demosaiced"),
        (sensor((0, 0)), of(), "unknown color filter array"),
        (sensor((2, 2), "GMCY", "GMCY", num_colors=4), of(), "colors GMCY"),
        (sensor((2, 2), "RGBE", "RGEB", num_colors=4), of(), "colors RGBE"),
        (sensor((4, 4)), of(), "4 x 4"),
        (sensor((2, 2), sites="RGRG"), of(), "array of RGRG"),
    ],
    ids=[
        "foveon",
        "foveon with a pattern",
        "foveon without samples",
        "canon",
        "linear",
        "no array",
        "unknown",
        "gmcy",
        "rgbe",
        "4x4",
        "rgrg",
    ],
)
def test_other_sensors_are_refused_by_name(libraw: Any, tags: FileTags, named: str) -> None:
    with pytest.raises(UnsupportedSensorError, match=named):
        raw_module._cfa_pattern(Path("photo.raw"), libraw, tags)


@pytest.mark.parametrize("make", ["Canon", "NIKON CORPORATION"])
def test_a_raw_that_the_camera_reduced_keeps_its_three_colors(make: str) -> None:
    libraw = sensor((2, 2), origin="rgb", samples=np.zeros((4, 4, 3), np.uint16))
    assert raw_module._cfa_pattern(Path("photo.raw"), libraw, of(make)) == "RGGB"


@pytest.mark.parametrize("name", ["06_PGTM2_unsigned16.dng", "08_PGTM2_float32.dng"])
def test_a_linear_dng_without_a_mosaic_keeps_its_three_colors(shared: Path, name: str) -> None:
    raw = read_raw(shared / "raw" / name)
    assert (raw.origin, raw.mosaic.shape) == ("rgb", (200, 200, 3))
    np.testing.assert_allclose(raw.mosaic, 8000 / 65535, atol=1e-5)


# --- damaged and wrong files


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RawReadError, match=r"absent\.dng: no such file"):
        read_raw(tmp_path / "absent.dng")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(RawReadError, match="is a folder"):
        read_raw(tmp_path)


def test_a_file_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = declare(tmp_path)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(RawReadError, match="cannot be read: Permission denied") as caught:
        read_raw(path)
    assert isinstance(caught.value.__cause__, PermissionError)


@pytest.mark.parametrize(
    "content",
    [b"", b"II", b"not a raw file\n", b"II*\0\x08\0\0\0", b"MM\0*" + b"\xff" * 60, bytes(4096)],
    ids=["empty", "two bytes", "text", "no directory", "wild offset", "zeros"],
)
def test_what_is_no_raw_is_an_error_with_its_cause(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "photo.arw"
    path.write_bytes(content)
    with pytest.raises(RawReadError, match="no RAW file|not a RAW file") as caught:
        read_raw(path)
    assert isinstance(caught.value.__cause__, DecoderError)


def test_a_name_beyond_ascii_is_read(tmp_path: Path) -> None:
    path = declare(tmp_path).rename(tmp_path / "Nacht – 夜.dng")
    assert read_raw(path).path == path


@pytest.mark.parametrize("tile", [None, (64, 64)], ids=["strips", "tiles"])
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.999])
def test_a_truncated_dng_is_refused(
    tmp_path: Path, tile: tuple[int, int] | None, kept: float
) -> None:
    path = declare(tmp_path, coded_samples(192, 256), tile=tile)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(RawReadError, match="truncated"):
        read_raw(path)


def test_a_black_level_above_white_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RawReadError, match="black level 5000 is not below white level 4095"):
        read_raw(declare(tmp_path, white=4095, black=(5000.0,)))


@pytest.mark.parametrize("seed", range(60))
def test_damaged_headers_never_escape_as_another_error(tmp_path: Path, seed: int) -> None:
    path = declare(tmp_path, exif=[(33434, 5, 1, (1, 30))], gps=[(1, 2, 2, "N")])
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    rng = np.random.default_rng(seed)
    data[rng.integers(8, 600, 1 + seed % 12)] = rng.integers(0, 256, 1 + seed % 12)
    path.write_bytes(data.tobytes())
    assert isinstance(outcome(path), (raw_module.RawImage, NightFixError))


def outcome(path: Path) -> raw_module.RawImage | NightFixError:
    """Return what reading gives, known errors included."""
    try:
        return read_raw(path)
    except (RawReadError, UnsupportedSensorError) as error:
        return error


# --- files of real cameras

READABLE = {
    "DSC_1339_768x512_rggb.raw": ("RGGB", (768, 1024), 255, 1),
    "Fusion_GPFR7066.dng": ("RGGB", (3000, 3104), 16383, 2),
    "HERO7_GOPR9231.dng": ("RGGB", (3000, 4000), 16383, 2),
    "Image__1.qtk": ("GRBG", (480, 640), 1023, 1),
    "Mistigri.qtk": ("GRBG", (240, 320), 1023, 1),
    "RAW_KODAK_DC50.KDC": ("GRBG", (512, 768), 16383, 1),
    "canon-x4-colorchart.dng": ("RGGB", (1156, 1734), 15000, 1),
    "webcam-no-exif.dng": ("GBRG", (480, 640), 1023, 1),
}

BROKEN = [
    "exiftool__CanonRaw.cr2",
    "exiftool__CanonRaw.crw",
    "exiftool__FujiFilm.raf",
    "exiftool__Minolta.mrw",
    "exiftool__Panasonic.rw2",
    "exiftool__Sigma.x3f",
    "exiv2__2018-01-09-exiv2-crash-001.tiff",
    "exiv2__2018-01-09-exiv2-crash-003.tiff",
    "exiv2__IMG_1361.dng",
    "exiv2__ReaganLargeTiff.tiff",
    "exiv2__exiv2-bug1044.tif",
    "exiv2__exiv2-canon-powershot-s40.crw",
    "exiv2__exiv2_0-26_exiv2_uncontrolled-recursion_printIFDStructure.tif",
    "exiv2__issue_1097_poc.crw",
    "exiv2__issue_1791_new.raf",
    "exiv2__issue_1827_poc.crw",
    "exiv2__issue_1838_poc.crw",
    "exiv2__issue_1920_poc.tiff",
    "exiv2__issue_2339_poc.tiff",
    "exiv2__issue_712_poc.tif",
    "exiv2__issue_841_poc.crw",
    "exiv2__issue_857_coverage.raf",
    "exiv2__issue_9324_poc.crw",
    "exiv2__issue_ghsa_9mxq_4j5g_5wrp.crw",
    "exiv2__issue_ghsa_m479_7frc_gqqg_poc.crw",
    "exiv2__test.tiff",
    "issue247-1.nef",
    "issue247-3.nef",
    "issue419.rw2",
    "serp_text_stub.arw",
    "serp_text_stub.cr3",
]


@pytest.mark.parametrize("name", sorted(READABLE))
def test_camera_files_are_read(shared: Path, name: str) -> None:
    cfa_pattern, shape, white_level, orientation = READABLE[name]
    raw = read_raw(shared / "raw" / name)
    assert raw.cfa_pattern == cfa_pattern
    assert raw.mosaic.shape == shape
    assert raw.white_level == white_level
    assert raw.orientation == orientation


@pytest.mark.parametrize("name", BROKEN)
def test_broken_camera_files_are_refused(shared: Path, name: str) -> None:
    path = shared / "raw" / "odd" / name
    with pytest.raises(RawReadError, match="truncated|not a RAW file"):
        read_raw(path)


def test_every_camera_file_is_in_these_tests(shared: Path) -> None:
    others = {"06_PGTM2_unsigned16.dng", "08_PGTM2_float32.dng", "Hero6_GOPR0024.GPR"}
    files = {path.name for path in (shared / "raw").rglob("*") if path.is_file()}
    assert files <= READABLE.keys() | set(BROKEN) | others


def test_a_compression_libraw_lacks_is_an_error(shared: Path) -> None:
    with pytest.raises(RawReadError):
        read_raw(shared / "raw" / "Hero6_GOPR0024.GPR")


def test_an_action_cameras_own_color_is_used(shared: Path) -> None:
    raw = read_raw(shared / "raw" / "HERO7_GOPR9231.dng")
    assert [m.illuminant for m in raw.color_matrices] == [3, 23]
    assert raw.as_shot_neutral is not None
    np.testing.assert_allclose(raw.as_shot_neutral, [0.565121, 1.0, 0.527835])
