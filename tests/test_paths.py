"""Every public function that takes a file takes its name as text, a Path, or what is like one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import nightfix
from nightfix.condition import Settings
from nightfix.pipeline import preview, read_picture
from nightfix.read import RawImage, read_size
from nightfix.restore import find_weights, verify_weights, weights_sha256
from nightfix.write import (
    Record,
    WriteOptions,
    record_of_file,
    write_dng,
    write_results,
    write_tiff,
    write_view,
)
from nightfix.write.picture import write_picture

Name = Callable[[Path], "str | os.PathLike[str]"]

FAST = Settings(steps=1, deterministic=True)


class Like:
    """Has a path, and is none."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __fspath__(self) -> str:
        return self._path


@pytest.fixture(params=[str, Path, Like])
def name(request: pytest.FixtureRequest) -> Name:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def photo(tmp_path: Path, synthetic_raw: Callable[..., RawImage]) -> Path:
    path = tmp_path / "photo.dng"
    write_dng(path, synthetic_raw(shape=(64, 64)), restored=False)
    return path


def test_reading(photo: Path, name: Name) -> None:
    raw = nightfix.read_raw(name(photo))
    assert raw.path == photo
    assert read_size(name(photo)) == raw.mosaic.shape
    assert read_picture(name(photo), ratio=2.0).shape == (64, 64, 3)
    assert record_of_file(name(photo)) is not None
    assert nightfix.raw_from_array(np.ones((4, 4)), name=name(photo)).path == photo


def test_one_photo(photo: Path, name: Name, tiny_weights: Path, tmp_path: Path) -> None:
    restorer = nightfix.Restorer(name(tiny_weights), "cpu")
    options = nightfix.EnhanceOptions(output=name(tmp_path / "out"), settings=FAST)
    made = nightfix.enhance(name(photo), options, restorer=restorer)
    assert made.outputs == (tmp_path / "out" / "photo_nightfix.tif",)
    assert made.path == photo
    seen = preview(
        name(photo),
        options,
        weights=restorer.info.sha256,
        load=lambda: restorer,
        cache=name(tmp_path / "cache"),
    )
    assert seen.after.shape == (64, 64, 3)


def test_many_photos(photo: Path, name: Name, tmp_path: Path) -> None:
    options = nightfix.EnhanceOptions(output=name(tmp_path / "out"), restore=False)
    found = nightfix.find_photos([name(photo.parent)], output=name(tmp_path / "out")).photos
    assert [one.path for one in found] == [photo]
    (outcome,) = nightfix.enhance_many([name(photo)], options, restorer=None)
    assert outcome.result is not None
    assert outcome.result.outputs == (tmp_path / "out" / "photo_nightfix.tif",)


def test_weights(name: Name, tiny_weights: Path) -> None:
    assert find_weights(name(tiny_weights)) == tiny_weights
    assert verify_weights(name(tiny_weights))[0] == tiny_weights
    assert weights_sha256(name(tiny_weights)) == weights_sha256(str(tiny_weights))


def test_writing(photo: Path, name: Name, tmp_path: Path) -> None:
    raw, rgb = nightfix.read_raw(photo), np.full((64, 64, 3), 0.5, np.float32)
    write_dng(name(tmp_path / "a.dng"), raw, restored=True)
    write_tiff(name(tmp_path / "a.tif"), rgb, raw, color_space="srgb")
    write_picture(name(tmp_path / "a.jpg"), rgb, raw, "JPEG", color_space="srgb")
    write_view(name(tmp_path / "a.png"), rgb, source=name(photo))
    write_results(raw, {"png": name(tmp_path / "b.png")}, Record(), WriteOptions())
    assert {p.name for p in tmp_path.iterdir()} == {
        *("photo.dng", "a.dng", "a.tif", "a.jpg", "a.png", "b.png")
    }
