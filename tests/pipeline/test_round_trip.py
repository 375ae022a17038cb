"""Any photo there can be, read, written as a DNG and read again, is the same photo."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from dng_files import DAYLIGHT_MATRIX, TUNGSTEN_MATRIX, DngSpec, write_test_dng
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiff_tree import complaints, make_raw, read_tree

from nightfix.read.bayer import CFA_PATTERNS, CfaPattern
from nightfix.read.reader import RawImage, read_raw
from nightfix.write.dng import write_dng


@dataclass(frozen=True)
class Case:
    """A sensor, its masked margins, and how the camera crops and holds it."""

    pattern: CfaPattern
    size: tuple[int, int]
    margins: tuple[int, int, int, int]  # top, left, bottom, right
    crop: tuple[int, int, int, int]  # within the active area, the same
    bit_depth: int
    black: tuple[int, int, int, int]
    orientation: int
    matrices: int
    compression: Literal["lossless", "none"]
    seed: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    bit_depth = draw(st.sampled_from([10, 12, 14, 16]))
    few = st.integers(0, 3)
    return Case(
        pattern=draw(st.sampled_from(CFA_PATTERNS)),
        # LibRaw takes nothing smaller than 22 px for a raw, and may leave out a column.
        size=(draw(st.integers(24, 90)), draw(st.integers(24, 90))),
        margins=(draw(st.integers(0, 9)), draw(st.integers(0, 9)), draw(few), draw(few)),
        crop=(draw(few), draw(few), draw(few), draw(few)),
        bit_depth=bit_depth,
        black=tuple(draw(st.lists(st.integers(0, 2 ** (bit_depth - 2)), min_size=4, max_size=4))),
        orientation=draw(st.integers(1, 8)),
        matrices=draw(st.integers(0, 2)),
        compression=draw(st.sampled_from(["lossless", "none"])),
        seed=draw(st.integers(0, 99)),
    )


def source_of(folder: Path, case: Case) -> Path:
    """Write the case as another program would: masked margins around the active area."""
    (height, width), (top, left, bottom, right) = case.size, case.margins
    rng = np.random.default_rng(case.seed)
    shape = (top + height + bottom, left + width + right)
    samples = rng.integers(0, 2**case.bit_depth, shape, dtype=np.uint16)
    inner = case.crop
    spec = DngSpec(
        samples,
        cfa_pattern=case.pattern,
        active_area=(top, left, top + height, left + width),
        default_crop=(
            inner[1],
            inner[0],
            width - inner[1] - inner[3],
            height - inner[0] - inner[2],
        ),
        black=case.black,
        white=2**case.bit_depth - 1,
        orientation=case.orientation,
        matrices=[(17, TUNGSTEN_MATRIX), (21, DAYLIGHT_MATRIX)][: case.matrices],
        baseline_exposure=(1, 4),
    )
    return write_test_dng(folder / "source.dng", spec)


def assert_same(again: RawImage, raw: RawImage) -> None:
    np.testing.assert_array_equal(again.mosaic, raw.mosaic)
    np.testing.assert_array_equal(again.black_level, raw.black_level)
    np.testing.assert_allclose(again.as_shot_neutral, raw.as_shot_neutral, rtol=1e-6)
    assert [c.illuminant for c in again.color_matrices] == [
        c.illuminant for c in raw.color_matrices
    ]
    for ours, theirs in zip(again.color_matrices, raw.color_matrices, strict=True):
        np.testing.assert_array_equal(ours.matrix, theirs.matrix)
    names = ("cfa_pattern", "white_level", "bit_depth", "crop", "orientation", "baseline_exposure")
    assert [getattr(again, n) for n in names] == [getattr(raw, n) for n in names]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases())
def test_a_photo_read_and_written_is_the_same(case: Case) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw = read_raw(source_of(folder, case))
        write_dng(folder / "a.dng", raw, restored=False, compression=case.compression)
        assert complaints(folder / "a.dng") == []
        assert_same(read_raw(folder / "a.dng"), raw)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases(), peak=st.floats(0.2, 16))
def test_restored_light_is_the_same(case: Case, peak: float) -> None:
    """The line that other programs rely on holds for any levels and any brightest lamp."""
    height, width = case.size
    samples = np.zeros((height, width), np.uint16)
    white = 2**case.bit_depth - 1
    raw = make_raw(samples, cfa_pattern=case.pattern, black=case.black, white=white)
    light = np.random.default_rng(case.seed).random((height, width), np.float32) * np.float32(peak)
    raw = replace(raw, mosaic=light)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.dng"
        write_dng(path, raw, restored=True, compression=case.compression)
        assert complaints(path) == []
        again = read_raw(path)
        main = read_tree(path)["0"]
    exposure = main.numbers(50730)[0] - 0.25  # the source's own
    step = 2**exposure / (again.white_level - again.black_level.max())
    assert np.abs(again.mosaic * 2**exposure - light).max() <= 0.51 * step + 1e-6
    assert again.mosaic.max() <= 1
