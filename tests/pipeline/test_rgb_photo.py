"""A photo of three colors a pixel, from file to file."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dng_files import LINEAR_RAW, DngSpec, write_test_dng
from typer.testing import CliRunner

from nightfix.cli.app import app
from nightfix.condition.amplification import ExposureTarget
from nightfix.condition.conditioning import Settings
from nightfix.condition.dark import mismatch, read_dark_frames
from nightfix.errors import DarkFrameError
from nightfix.pipeline.compare import read_picture
from nightfix.pipeline.measuring import measure_photo
from nightfix.pipeline.options import EnhanceOptions
from nightfix.pipeline.photo import enhance
from nightfix.pipeline.region import preview
from nightfix.read.reader import apply_gain_maps, read_raw
from nightfix.write.dng_preview import reduce_raw

HEIGHT, WIDTH, BLACK = 300, 440, 512
OPTIONS = EnhanceOptions(exposure=ExposureTarget(ratio=16), settings=Settings(steps=1))


@pytest.fixture
def photo(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Write a reduced Linear DNG with a crop, held upright."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] / 300
    light = np.stack([0.01 + 0.02 * x, 0.03 * y, 0.03 - 0.01 * x * y], -1)
    noisy = np.clip(light + rng.normal(0, 0.003, light.shape), -0.02, 1)
    samples = np.rint(noisy * (16383 - BLACK) + BLACK).astype(np.uint16)
    spec = DngSpec(
        samples,
        photometric=LINEAR_RAW,
        black=(BLACK,) * 3,
        black_repeat=(1, 1),
        default_crop=(8, 6, 420, 280),
        orientation=6,
        noise_profile=(4e-4, 4e-7),
    )
    return write_test_dng(tmp_path / "photo.dng", spec)


def test_all_formats_are_written(tmp_path: Path, photo: Path, tiny_restorer) -> None:
    formats = ("tiff", "dng", "jpeg")
    options = replace(OPTIONS, formats=formats, output=tmp_path / "out")
    lines: list[str] = []
    result = enhance(photo, options, restorer=tiny_restorer, announce=lines.append)
    assert [path.suffix for path in result.outputs] == [".tif", ".dng", ".jpg"]
    assert "three colors a pixel" in lines[0]
    assert any("is a Linear DNG" in note for note in result.notes)
    assert any("shake is not looked for" in note for note in result.notes)
    assert result.conditioning.blur is False
    again = read_raw(result.outputs[1])
    source = read_raw(photo)
    assert (again.mosaic.shape[:2], again.crop) == ((HEIGHT, WIDTH), source.crop)
    assert again.orientation == source.orientation
    np.testing.assert_allclose(again.as_shot_neutral, source.as_shot_neutral, atol=1e-4)


def test_notes_are_told_once(photo: Path, tiny_weights: Path) -> None:
    words = ["enhance", photo, "--ratio", "16", "--steps", "1", "--weights", tiny_weights]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.stderr
    assert " ".join(done.stderr.split()).count("shake is not looked for") == 1


@pytest.mark.parametrize("deblur", [True, False])
def test_a_shake_is_looked_for_where_that_is_asked(photo: Path, deblur: bool) -> None:
    measured = measure_photo(read_raw(photo), replace(OPTIONS, deblur=deblur))
    assert measured.conditioning.blur is deblur
    assert measured.notes == ()


def test_unrestored_its_own_numbers_are_written(tmp_path: Path, photo: Path) -> None:
    options = EnhanceOptions(formats=("dng",), restore=False, output=tmp_path / "out")
    copy = read_raw(enhance(photo, options).outputs[0])
    source = read_raw(photo)
    assert (copy.origin, copy.white_level, copy.black_level[0, 0]) == ("rgb", 16383, BLACK)
    np.testing.assert_array_equal(copy.mosaic, source.mosaic)
    assert copy.metadata.noise_profile == source.metadata.noise_profile


def test_lens_shading_that_the_file_asks_for_is_corrected(tmp_path: Path) -> None:
    """OpcodeList2: red twice as bright."""
    head = struct.pack(">10I4dI", 0, 0, 999, 999, 0, 1, 1, 1, 1, 1, 1.0, 1.0, 0.0, 0.0, 1)
    doubled = struct.pack(">4I", 9, 0x01030000, 0, len(head) + 4) + head + struct.pack(">f", 2)
    samples = np.full((64, 64, 3), 4000, np.uint16)
    files = [
        write_test_dng(tmp_path / name, DngSpec(samples, photometric=LINEAR_RAW, image=rows))
        for name, rows in {
            "plain.dng": [],
            "shaded.dng": [(51009, 7, len(doubled) + 4, struct.pack(">I", 1) + doubled)],
        }.items()
    ]
    plain, shaded = (apply_gain_maps(read_raw(path)).mosaic for path in files)
    np.testing.assert_allclose(shaded, plain * [2, 1, 1], rtol=1e-5)


def test_a_region_is_that_of_the_whole_result(tmp_path: Path, photo: Path, tiny_restorer) -> None:
    options = replace(OPTIONS, deblur=False, formats=("tiff",))

    def see():
        return preview(
            photo,
            options,
            weights=tiny_restorer.info.sha256,
            load=lambda: tiny_restorer,
            crop=(40, 60, 100, 80),
            cache=tmp_path / "cache",
        )

    first, again = see(), see()
    assert (first.cached, again.cached) == (False, True)
    assert first.after.shape == (80, 100, 3)
    np.testing.assert_array_equal(first.after, again.after)
    assert not np.array_equal(first.before, first.after)


def test_it_is_compared_with_its_result(tmp_path: Path, photo: Path, tiny_restorer) -> None:
    options = replace(OPTIONS, formats=("tiff",), output=tmp_path / "out")
    output = enhance(photo, options, restorer=tiny_restorer).outputs[0]
    before, after = read_picture(photo, ratio=16), read_picture(output)
    assert before.shape == after.shape == (420, 280, 3)
    np.testing.assert_allclose(before.mean((0, 1)), after.mean((0, 1)), atol=0.1)


@pytest.mark.parametrize("factor", [2, 3])
def test_a_small_photo_has_the_same_light(photo: Path, factor: int) -> None:
    raw = read_raw(photo)
    small = reduce_raw(raw, factor)
    assert small.mosaic.shape == (HEIGHT // factor, WIDTH // factor)
    red = small.mosaic[::2, ::2].mean()
    assert red == pytest.approx(raw.mosaic[..., 0].mean(), rel=0.02)


def test_it_is_no_dark_frame_and_has_none(photo: Path, synthetic_raw) -> None:
    with pytest.raises(DarkFrameError, match="three colors a pixel"):
        read_dark_frames([photo])
    frame = synthetic_raw(shape=(HEIGHT, WIDTH))
    known = read_raw(photo)
    frame = replace(frame, metadata=known.metadata)
    assert mismatch(frame, known) == "of other patterns"
