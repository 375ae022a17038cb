from __future__ import annotations

import io
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tiff_tree import Directory, complaints, make_metadata, make_raw, read_tree, text

from nightfix import __version__
from nightfix.develop.color import COLOR_SPACES
from nightfix.develop.icc import icc_profile
from nightfix.errors import OutputExistsError, OutputWriteError
from nightfix.read.metadata import Exposure
from nightfix.read.reader import RawImage
from nightfix.read.tags import ExifTag
from nightfix.write.dng_samples import Compression
from nightfix.write.ifd import IfdNode, write_tree
from nightfix.write.tiff import Depth, write_tiff


@pytest.fixture
def raw() -> RawImage:
    return make_raw(np.zeros((60, 80), np.uint16), orientation=6)


@pytest.fixture
def written(tmp_path: Path, rng: np.random.Generator, raw: RawImage) -> Path:
    rgb = rng.random((80, 60, 3), np.float32)
    write_tiff(tmp_path / "a.tif", rgb, raw, color_space="srgb")
    return tmp_path / "a.tif"


@pytest.fixture
def directory(written: Path) -> Directory:
    return read_tree(written)["0"]


@pytest.mark.parametrize(
    "shape", [(1, 1), (7, 1), (1, 9), (33, 47), (250, 1501)], ids=lambda s: f"{s[0]}x{s[1]}"
)
def test_pixels_survive(
    tmp_path: Path, rng: np.random.Generator, raw: RawImage, shape: tuple[int, int]
) -> None:
    samples = rng.integers(0, 65536, (*shape, 3), dtype=np.uint16)
    rgb = (samples / 65535).astype(np.float32)
    write_tiff(tmp_path / "a.tif", rgb, raw, color_space="srgb")
    back = tifffile.imread(tmp_path / "a.tif")
    np.testing.assert_array_equal(back.reshape(samples.shape), samples)


@pytest.mark.parametrize("stored", [(16, "none"), (32, "none"), (32, "lossless")], ids=str)
@pytest.mark.parametrize("shape", [(7, 1), (33, 47), (250, 1501)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_depths_and_compressions_survive(
    tmp_path: Path,
    rng: np.random.Generator,
    raw: RawImage,
    shape: tuple[int, int],
    stored: tuple[Depth, Compression],
) -> None:
    depth, compression = stored
    rgb = rng.random((*shape, 3), np.float32) * (9 if depth == 32 else 1)
    path = tmp_path / "a.tif"
    write_tiff(path, rgb, raw, color_space="srgb", depth=depth, compression=compression)
    back = tifffile.imread(path).reshape(rgb.shape)
    expected = rgb if depth == 32 else np.rint(rgb * 65535).astype(np.uint16)
    np.testing.assert_array_equal(back, expected)
    assert complaints(path) == []
    assert read_tree(path)["0"].values[258] == [depth] * 3
    assert read_tree(path)["0"].values[339] == [3 if depth == 32 else 1] * 3


def test_floats_have_a_linear_profile(tmp_path: Path, raw: RawImage) -> None:
    path = tmp_path / "a.tif"
    write_tiff(path, np.zeros((8, 8, 3), "f4"), raw, color_space="rec2020", depth=32)
    with tifffile.TiffFile(path) as file:
        profile = bytes(file.pages.first.iccprofile)
    curve = b"para" + bytes(4) + bytes(4) + (65536).to_bytes(4, "big")
    assert profile == icc_profile(COLOR_SPACES["rec2020"].linear)
    assert curve in profile
    assert "Linear Rec. ITU-R BT.2020".encode("utf-16-be") in profile


def test_out_of_range_is_clipped(tmp_path: Path, raw: RawImage) -> None:
    rgb = np.array([[[-0.5, 0.0, 1.5], [1.0, 0.5, 1e-6]]], np.float32)
    write_tiff(tmp_path / "a.tif", rgb, raw, color_space="srgb")
    back = tifffile.imread(tmp_path / "a.tif")
    assert back.ravel().tolist() == [0, 0, 65535, 65535, 32768, 0]


def test_smooth_picture_compresses(tmp_path: Path, raw: RawImage) -> None:
    ramp = np.linspace(0, 1, 600, dtype=np.float32)[None, :, None] * np.ones((400, 1, 3), "f4")
    write_tiff(tmp_path / "a.tif", ramp, raw, color_space="srgb")
    assert (tmp_path / "a.tif").stat().st_size < 0.1 * ramp.size * 2


def test_several_strips(tmp_path: Path, raw: RawImage) -> None:
    write_tiff(tmp_path / "a.tif", np.zeros((250, 1501, 3), "f4"), raw, color_space="srgb")
    directory = read_tree(tmp_path / "a.tif")["0"]
    (rows,) = directory.numbers(278)
    assert len(directory.numbers(273)) == -(-250 // rows) > 1


@pytest.mark.parametrize("color_space", ["srgb", "display-p3", "adobe-rgb", "prophoto", "rec2020"])
def test_profile_of_the_color_space(tmp_path: Path, raw: RawImage, color_space: str) -> None:
    write_tiff(tmp_path / "a.tif", np.zeros((8, 8, 3), "f4"), raw, color_space=color_space)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages.first.iccprofile == icc_profile(COLOR_SPACES[color_space])


@pytest.mark.parametrize(("color_space", "exif"), [("srgb", 1), ("rec2020", 65535)])
def test_exif_color_space_is_not_the_camera_s(
    tmp_path: Path, raw: RawImage, color_space: str, exif: int
) -> None:
    write_tiff(tmp_path / "a.tif", np.zeros((8, 8, 3), "f4"), raw, color_space=color_space)
    assert read_tree(tmp_path / "a.tif")["0/34665"].values[40961] == [exif]


def test_unknown_color_space_is_a_wrong_call(tmp_path: Path, raw: RawImage) -> None:
    with pytest.raises(KeyError):
        write_tiff(tmp_path / "a.tif", np.zeros((8, 8, 3), "f4"), raw, color_space="cmyk")
    assert list(tmp_path.iterdir()) == []


def test_tags_of_the_picture(directory: Directory) -> None:
    assert directory.values[256] == [60]
    assert directory.values[257] == [80]
    assert directory.values[258] == [16, 16, 16]
    assert directory.values[259] == [8]
    assert directory.values[274] == [1]
    assert directory.values[282] == directory.values[283] == [300]
    assert directory.values[296] == [2]
    assert directory.values[317] == [2]
    assert directory.values[271] == b"Nightcam\0"
    assert directory.values[272] == b"N1\0"
    assert directory.values[305] == f"NightFix {__version__}".encode() + b"\0"
    assert directory.values[306] == b"2026:01:02 03:04:05\0"
    assert directory.values[270] == b"a street\0"
    assert directory.values[33432] == b"nobody\0"


def test_date_of_the_source_wins_over_the_capture(tmp_path: Path, raw: RawImage) -> None:
    image = (*raw.metadata.image, text(306, "2026:02:03 04:05:06"))
    dated = replace(raw, metadata=replace(raw.metadata, image=image))
    write_tiff(tmp_path / "a.tif", np.zeros((8, 8, 3), "f4"), dated, color_space="srgb")
    assert read_tree(tmp_path / "a.tif")["0"].values[306] == b"2026:02:03 04:05:06\0"


def test_no_tag_makes_it_a_dng(written: Path) -> None:
    tree = read_tree(written)
    assert [code for d in tree.values() for code in d.codes if code >= 50706] == []


def test_edits_of_the_raw_are_not_applied_twice(directory: Directory) -> None:
    packet = bytes(map(int, directory.numbers(700)))
    assert b"Exposure2012" not in packet
    assert b"tiff:Orientation" not in packet
    assert b'xmp:Rating="4"' in packet
    assert "n\u00e4chtlich".encode() in packet


def test_exif_and_gps_are_carried_over(written: Path) -> None:
    tree = read_tree(written)
    exif, gps = tree["0/34665"], tree["0/34853"]
    assert exif.values[33434] == [1 / 30]
    assert exif.values[34855] == [3200]
    assert exif.values[42036] == b"35mm F2\0"
    assert (exif.values[40962], exif.values[40963]) == ([60], [80])
    assert gps.values[2] == [48, 6, 0]


def test_no_metadata_at_all(tmp_path: Path, raw: RawImage) -> None:
    bare = replace(
        make_metadata(),
        make="",
        model="",
        unique_camera_model="",
        captured="",
        image=(),
        exif=(),
        gps=(),
        lens="",
        exposure=Exposure(exposure_time=None, iso_speed=None, f_number=None, focal_length=None),
    )
    write_tiff(
        tmp_path / "a.tif",
        np.zeros((8, 8, 3), "f4"),
        replace(raw, metadata=bare),
        color_space="srgb",
    )
    tree = read_tree(tmp_path / "a.tif")
    assert tree["0/34665"].codes == [36864, 40960, 40961]
    assert list(tree) == ["0", "0/34665"]
    assert {271, 272, 306}.isdisjoint(tree["0"].codes)


def test_structure(written: Path) -> None:
    assert complaints(written) == []
    assert sorted(read_tree(written)) == ["0", "0/34665", "0/34853"]


def test_tifffile_sees_one_rgb_page(written: Path) -> None:
    with tifffile.TiffFile(written) as file:
        assert len(file.pages) == 1
        assert file.pages.first.photometric == tifffile.PHOTOMETRIC.RGB
        assert not file.pages.first.is_dng


#: Deflate is no compression of the EXIF standard, but every TIFF reader's; the pixel sizes
#: are meant for JPEG only, but cameras write them into every file.
ACCEPTED_WARNINGS = {
    "Invalid value for IFD0 tag 0x0103 Compression",
    "[minor] ExifIFD tag 0xa002 ExifImageWidth is not allowed in TIFF",
    "[minor] ExifIFD tag 0xa003 ExifImageHeight is not allowed in TIFF",
}


def test_exiftool_finds_nothing_else_to_complain_of(tmp_path: Path, raw: RawImage) -> None:
    if shutil.which("exiftool") is None:
        pytest.skip("needs exiftool")
    # Rating is a tag of Microsoft's, which -validate calls non-standard.
    image = tuple(kept for kept in raw.metadata.image if kept.code != 18246)
    exif = (*raw.metadata.exif, ExifTag(40960, 7, 4, b"0100"))
    gps = (*raw.metadata.gps, ExifTag(27, 7, 11, b"ASCII\0\0\0GPS"))
    plain = replace(raw, metadata=replace(raw.metadata, image=image, exif=exif, gps=gps))
    write_tiff(tmp_path / "a.tif", np.zeros((8, 8, 3), "f4"), plain, color_space="srgb")
    answer = subprocess.run(
        ["exiftool", "-s3", "-a", "-validate", "-warning", "-error", str(tmp_path / "a.tif")],
        capture_output=True,
        text=True,
        check=True,
    )
    count, *complaints = answer.stdout.splitlines()
    assert set(complaints) == ACCEPTED_WARNINGS
    assert count == "3 Warnings (2 minor)"


def test_file_beyond_four_gigabytes_is_refused() -> None:
    file = io.BytesIO()
    with pytest.raises(OSError, match="4 GiB"):
        write_tree(file, IfdNode(tags=[], pieces=[bytes(2**28)] * 16))
    assert file.tell() == 0


def test_existing_file_is_kept(written: Path, raw: RawImage) -> None:
    before = written.read_bytes()
    with pytest.raises(OutputExistsError):
        write_tiff(written, np.zeros((8, 8, 3), "f4"), raw, color_space="srgb")
    assert written.read_bytes() == before


def test_source_is_never_overwritten(written: Path, raw: RawImage) -> None:
    with pytest.raises(OutputWriteError, match="photo itself"):
        write_tiff(
            written,
            np.zeros((8, 8, 3), "f4"),
            replace(raw, path=written),
            color_space="srgb",
            overwrite=True,
        )
