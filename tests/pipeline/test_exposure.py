"""A source's BaselineExposure is counted once: in metering, and in every result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from nightfix.condition import Settings, ceiling, condition_raw
from nightfix.develop import develop_raw
from nightfix.pipeline import EnhanceOptions, enhance, preview, read_picture
from nightfix.read import RawImage, read_raw
from nightfix.restore import Restorer
from nightfix.write import Format, write_dng

FORMATS: tuple[Format, ...] = ("tiff", "jpeg", "png", "dng")
SHIFTS = (2.0, 1 / 3, -1.5)
STEPS = Settings(steps=1, deterministic=True)

Write = Callable[[float], Path]


@pytest.fixture
def photo(tmp_path: Path, synthetic_raw: Callable[..., RawImage]) -> Write:
    """Write one capture with any BaselineExposure: dark enough to be amplified with all."""
    raw = synthetic_raw(ratio=160.0, lamp=400.0, a=1e-5, b=1e-8)

    def write(shift: float) -> Path:
        path = tmp_path / f"photo{shift:+.2f}.dng"
        write_dng(path, replace(raw, baseline_exposure=shift), restored=False, overwrite=True)
        return path

    return write


def light(path: Path) -> np.ndarray:
    """What a result shows: of a DNG, by the line that other programs rely on."""
    if path.suffix == ".dng":
        raw = read_raw(path)
        return np.asarray(raw.mosaic * 2**raw.baseline_exposure)
    return np.asarray(tifffile.imread(path) if path.suffix == ".tif" else iio.imread(path))


def results(photo: Path, restorer: Restorer, options: EnhanceOptions) -> dict[str, np.ndarray]:
    kinds = {"raw": FORMATS, "linear": ("linear-dng",)}
    found = {}
    for name, formats in kinds.items():
        told = replace(options, formats=formats, output=photo.parent / name)
        made = enhance(photo, told, restorer=restorer)
        found |= {kind: light(path) for kind, path in zip(formats, made.outputs, strict=True)}
    return found


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("headroom", [0.0, 3.0])
def test_every_format_is_as_bright_as_without_it(
    photo: Write, tiny_restorer: Restorer, shift: float, headroom: float
) -> None:
    # What an untrained network makes of noise may look like a shake at one brightness.
    options = EnhanceOptions(settings=replace(STEPS, headroom=headroom), deblur=False)
    plain = results(photo(0.0), tiny_restorer, options)
    shifted = results(photo(shift), tiny_restorer, options)
    assert set(plain) == {*FORMATS, "linear-dng"}
    for kind, expected in plain.items():
        assert expected.mean() > 0, kind
        assert shifted[kind].mean() == pytest.approx(expected.mean(), rel=0.02), kind
        # What is of middle brightness, and lamps at the top.
        assert np.median(shifted[kind]) == pytest.approx(np.median(expected), rel=0.03), kind
        assert shifted[kind].max() == pytest.approx(expected.max(), rel=0.03), kind


@pytest.mark.parametrize("shift", SHIFTS)
def test_unrestored_results_are_as_much_brighter_as_it_says(
    photo: Write, tiny_restorer: Restorer, shift: float
) -> None:
    made = results(photo(shift), tiny_restorer, EnhanceOptions(restore=False))
    raw = read_raw(photo(0.0))
    brighter = replace(raw, mosaic=raw.mosaic * np.float32(2**shift))
    assert made["dng"].mean() == pytest.approx(brighter.mosaic.mean(), rel=1e-3)
    assert made["linear-dng"].mean() == pytest.approx(brighter.mosaic.mean(), rel=0.02)
    expected = develop_raw(brighter).mean()
    for kind, white in (("tiff", 65535), ("jpeg", 255), ("png", 255)):
        assert made[kind].mean() / white == pytest.approx(expected, rel=0.02), kind


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_preview_is_as_bright_with_and_without_its_cache(
    photo: Write, tiny_restorer: Restorer, tmp_path: Path, shift: float
) -> None:
    def see(path: Path) -> tuple[np.ndarray, np.ndarray]:
        seen = preview(
            path,
            EnhanceOptions(settings=STEPS, deblur=False),
            weights=tiny_restorer.info.sha256,
            load=lambda: tiny_restorer,
            crop=(0, 0, 128, 96),
            cache=tmp_path / "cache",
        )
        return seen.before, seen.after

    plain = see(photo(0.0))
    for _ in range(2):  # the second time from the cache
        for shown, expected in zip(see(photo(shift)), plain, strict=True):
            assert shown.mean() == pytest.approx(expected.mean(), rel=0.02)


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_raw_is_compared_as_bright_as_it_is_restored(photo: Write, shift: float) -> None:
    plain = read_picture(photo(0.0), ratio=64.0)
    shifted = read_picture(photo(shift), ratio=64.0 / 2**shift)
    assert shifted.mean() == pytest.approx(plain.mean(), rel=0.02)


@pytest.mark.parametrize("shift", [0.0, *SHIFTS])
def test_it_stays_with_the_restored_photo(
    photo: Write, tiny_restorer: Restorer, shift: float
) -> None:
    raw = read_raw(photo(shift))
    told = condition_raw(raw)
    restored = tiny_restorer.restore(raw, told, replace(STEPS, headroom=1.0))
    assert restored.baseline_exposure == raw.baseline_exposure
    highest = ceiling(raw, told.amplification.ratio, replace(STEPS, headroom=1.0))
    assert restored.mosaic.max() == pytest.approx(highest, rel=1e-3)
    assert highest * 2**raw.baseline_exposure == pytest.approx(2, rel=1e-3)
