from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tiff_tree import make_raw

from nightfix.develop.develop import develop_raw
from nightfix.pipeline.photo import EnhanceOptions, output_names
from nightfix.write import formats
from nightfix.write.formats import FILE_FORMATS, FORMATS, WriteOptions, write_results
from nightfix.write.record import Record
from nightfix.write.xmp import record_of_file


def test_the_table_has_every_format() -> None:
    assert tuple(FILE_FORMATS) == FORMATS


@pytest.mark.parametrize("kind", FORMATS)
def test_a_format_writes_its_file_and_the_sidecar(tmp_path: Path, kind: formats.Format) -> None:
    raw = replace(make_raw(np.full((32, 48), 900, np.uint16)), path=tmp_path / "photo.ARW")
    (tmp_path / "photo.xmp").write_bytes(b"edits")
    path = tmp_path / "out" / f"result{FILE_FORMATS[kind].suffix}"
    write_results(raw, {kind: path}, Record(), WriteOptions())
    assert record_of_file(path) == Record()
    assert path.with_suffix(".xmp").read_bytes() == b"edits"


def test_a_picture_is_developed_once_for_all_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(*arguments: object, **options: object) -> object:
        calls.append(options)
        return develop_raw(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(formats, "develop_raw", counted)
    raw = make_raw(np.full((32, 48), 900, np.uint16))
    paths = {kind: tmp_path / f"a.{kind}" for kind in FORMATS}
    write_results(raw, paths, Record(), WriteOptions(color_space="prophoto"))
    assert [call["color_space"] for call in calls] == ["prophoto"]


def test_two_formats_of_one_name_are_a_wrong_call() -> None:
    options = EnhanceOptions(formats=("dng", "linear-dng"))
    with pytest.raises(ValueError, match="dng and linear-dng"):
        output_names(Path("photo.ARW"), options)


def test_floats_are_the_light_of_the_scene(tmp_path: Path) -> None:
    raw = make_raw(np.full((32, 48), 3000, np.uint16))
    raw.mosaic[8:16, 8:16] *= 6
    options = WriteOptions(depth=32, color_space="rec2020", tone="natural")
    write_results(raw, {"tiff": tmp_path / "a.tif"}, Record(), options)
    light = tifffile.imread(tmp_path / "a.tif")
    assert light.dtype == np.float32
    assert light.max() > 3
    np.testing.assert_array_equal(light, develop_raw(raw, color_space="rec2020", tone="scene"))
