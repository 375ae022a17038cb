from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest

from nightfix.condition import ExposureTarget
from nightfix.condition.conditioning import Settings
from nightfix.pipeline.fingerprint import (
    is_whole,
    recorded_fingerprint,
    result_state,
    settings_fingerprint,
)
from nightfix.pipeline.photo import EnhanceOptions
from nightfix.write.formats import WriteOptions, write_results
from nightfix.write.record import Record

MARK = "0123456789abcdef" * 4

OLD_FINGERPRINT = "56cad7fd158b9e2a1dea4caade01058b3cc5ed67cc14103d073f8a5d5aadf913"
OLD_FINGERPRINT_OF_SETTINGS = "c81b0bc626edbf4fd8c46721c7eb183ab757ccd370f828a13efec7194b4d021c"


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.ARW"
    path.write_bytes(bytes(range(256)) * 1024)
    return path


def fingerprint(path, **changes) -> str:
    return settings_fingerprint(path, EnhanceOptions(**changes), "weights")


@pytest.mark.parametrize(
    "changes",
    [
        {"exposure": ExposureTarget(ratio=16.0)},
        {"restore": False},
        {"hot_pixels": "off"},
        {"chroma": 50.0},
        {"writing": WriteOptions(tone="linear")},
        {"writing": WriteOptions(white_balance=(2.0, 1.0, 1.5))},
        {"settings": Settings(seed=1)},
        {"settings": Settings(detail=40)},
    ],
    ids=str,
)
def test_what_changes_pixels_changes_the_fingerprint(photo, changes):
    assert fingerprint(photo) != fingerprint(photo, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"suffix": "_x"},
        {"overwrite": True},
        {"formats": ("dng",)},
        {"settings": Settings(tile=512)},
    ],
    ids=str,
)
def test_what_does_not_change_pixels_does_not(photo, changes):
    assert fingerprint(photo) == fingerprint(photo, **changes)


def test_other_weights_are_other_settings(photo):
    assert settings_fingerprint(photo, EnhanceOptions(), "other") != fingerprint(photo)


def test_results_of_earlier_versions_keep_their_fingerprint(photo):
    """Written down before the brightness became one choice."""
    options = {
        "exposure": ExposureTarget(exposure_time=4.0),
        "chroma": 50.0,
        "writing": WriteOptions(color_space="prophoto", depth=32),
    }
    assert fingerprint(photo, **options) == OLD_FINGERPRINT


def test_settings_of_earlier_versions_keep_theirs(photo):
    """Written down before there was detail to be drawn."""
    assert fingerprint(photo, settings=Settings(seed=1, steps=1)) == OLD_FINGERPRINT_OF_SETTINGS


@pytest.mark.parametrize("place", [0, -1], ids=["start", "end"])
def test_another_photo_of_the_same_name_is_another(photo, place):
    before = fingerprint(photo)
    data = bytearray(photo.read_bytes())
    data[place] ^= 255
    photo.write_bytes(data)
    assert fingerprint(photo) != before


def test_a_moved_photo_is_the_same(photo):
    before = fingerprint(photo)
    assert fingerprint(photo.rename(photo.with_name("other.ARW"))) == before


def write(path, raw):
    kind = {".jpg": "jpeg", ".tif": "tiff"}.get(path.suffix, path.suffix[1:])
    write_results(raw, {kind: path}, Record(restored=True, fingerprint=MARK), WriteOptions())
    return path


@pytest.fixture(params=["r.tif", "r.dng", "r.jpg", "r.png", "r.avif"])
def result(request, tmp_path, synthetic_raw):
    return write(tmp_path / request.param, synthetic_raw())


def test_results_carry_their_fingerprint(result):
    assert recorded_fingerprint(result) == MARK
    assert result_state(result, MARK) == "done"
    assert result_state(result, "f" * 64) == "different"


@pytest.mark.parametrize("kept", [0.999, 0.5, 0.0])
def test_a_result_that_was_cut_off_is_incomplete(result, kept):
    data = result.read_bytes()
    result.write_bytes(data[: int(len(data) * kept)])
    assert result_state(result, MARK) == "incomplete"


def test_wherever_a_result_is_cut_off_it_is_not_done(result):
    """Too little to tell whose it is is nobody's, and stays; the last byte may be padding."""
    data = result.read_bytes()
    for end in sorted(
        {*range(0, len(data), len(data) // 60), *range(len(data) - 40, len(data) - 1)}
    ):
        result.write_bytes(data[:end])
        assert result_state(result, MARK) in ("incomplete", "unrelated"), end


def test_what_is_none_of_ours_is_unrelated(tmp_path):
    path = tmp_path / "mine.tif"
    iio.imwrite(path, np.zeros((16, 16, 3), np.uint8))
    assert result_state(path, MARK) == "unrelated"
    assert result_state(tmp_path, MARK) == "unrelated"
    assert result_state(tmp_path / "nothing", MARK) == "absent"


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_jpeg_and_png_have_an_end(tmp_path, suffix):
    path = tmp_path / f"picture{suffix}"
    iio.imwrite(path, np.zeros((16, 16, 3), np.uint8))
    assert is_whole(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert not is_whole(path)


def test_a_result_of_a_release_without_fingerprints_is_of_other_settings(tmp_path, synthetic_raw):
    path = tmp_path / "old.tif"
    write_results(synthetic_raw(), {"tiff": path}, Record(), WriteOptions())
    assert recorded_fingerprint(path) == ""
    assert result_state(path, MARK) == "different"


def test_what_is_no_file_has_no_fingerprint(tmp_path):
    with pytest.raises(OSError, match="no file"):
        fingerprint(tmp_path)
