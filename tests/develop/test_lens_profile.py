"""Lens profiles of lensfun, compared with the library called directly on the whole picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from raw_images import metadata_with, plain_raw

from nightfix.develop import lens_profile
from nightfix.develop.develop import develop_raw
from nightfix.develop.lens import lens_correction
from nightfix.read.opcodes import Opcode, OpcodeLists, encode_opcodes
from nightfix.read.reader import RawImage, Rectangle

lensfunpy = pytest.importorskip("lensfunpy")

CANON = {"make": "Canon", "model": "Canon EOS 5D Mark III", "lens": "EF24-105mm f/4L IS USM"}
APS_C = CANON | {"model": "Canon EOS 550D"}
AT = {"focal_length": 24.0, "f_number": 4.0}
NAME = "Canon EF 24-105mm f/4L IS USM"


def photo(
    names: dict[str, str] = CANON,
    *,
    shape: tuple[int, int] = (240, 360),
    crop: Rectangle | None = None,
    cfa_pattern: Any = "RGGB",
    opcodes: OpcodeLists | None = None,
    **exposure: float | None,
) -> RawImage:
    metadata = metadata_with(**names)
    metadata = replace(metadata, exposure=replace(metadata.exposure, **(AT | exposure)))
    return plain_raw(
        np.full(shape, 0.1),
        metadata=metadata,
        crop=crop or Rectangle(0, 0, *shape),
        cfa_pattern=cfa_pattern,
        opcodes=opcodes or OpcodeLists(),
        as_shot_neutral=np.ones(3),
    )


def expected(crop_factor: float, size: tuple[int, int], distance: float, aperture: float = 4.0):
    """Places (h, w, 3, 2) and gains (h, w, 3) by the library itself."""
    database = lensfunpy.Database()
    camera = database.find_cameras("Canon", "Canon EOS 5D Mark III")[0]
    lens = next(x for x in database.find_lenses(camera, None, NAME) if x.model == NAME)
    height, width = size
    modifier = lensfunpy.Modifier(lens, crop_factor, width, height)
    modifier.initialize(24.0, aperture, distance, pixel_format=np.float32)
    gains = np.ones((height, width, 3), np.float32)
    modifier.apply_color_modification(gains)
    return modifier.apply_subpixel_geometry_distortion(), gains


@pytest.mark.parametrize(
    ("names", "crop_factor"), [(CANON, 1.0), (APS_C, 1.6130000352859497)], ids=["full", "APS-C"]
)
@pytest.mark.parametrize("focus", [None, 0.9, float("inf")])
@pytest.mark.parametrize("aperture", [4.0, 8.0])
def test_camera_lens_distance_and_aperture_reach_the_library(
    names: dict[str, str], crop_factor: float, focus: float | None, aperture: float
) -> None:
    crop = Rectangle(6, 10, 220, 330)
    raw = photo(names, crop=crop, focus_distance=focus, f_number=aperture)
    correction = lens_correction(raw)
    assert correction is not None
    assert correction.facts.source == "lensfun"
    assert correction.facts.profile == NAME
    assert correction.facts.corrected == ("distortion", "lateral color", "vignetting")
    places, gains = expected(crop_factor, (220, 330), 0.9 if focus == 0.9 else 1000.0, aperture)
    traced = correction.trace(range(6, 226), range(10, 340))
    np.testing.assert_allclose(traced.rows - 6, np.moveaxis(places[..., 1], -1, 0), atol=1e-3)
    np.testing.assert_allclose(traced.columns - 10, np.moveaxis(places[..., 0], -1, 0), atol=1e-3)
    profile = lens_profile.find_profile(raw)
    assert profile is not None
    known = profile.gains(*np.mgrid[6:226, 10:340].astype(np.float64))
    np.testing.assert_allclose(known, gains[..., 1], rtol=0.003)
    np.testing.assert_allclose(traced.gains, profile.gains(traced.rows, traced.columns))
    part = correction.trace(range(40, 50), range(100, 130))
    # The library works on pairs of pixels, which another beginning groups otherwise.
    np.testing.assert_allclose(part.rows, traced.rows[:, 34:44, 90:120], atol=0.05)


def test_distance_and_crop_factor_matter() -> None:
    near, far = expected(1.0, (220, 330), 0.9)[1], expected(1.0, (220, 330), 1000.0)[1]
    assert np.abs(near / far - 1).max() > 0.02
    small = expected(1.613, (220, 330), 1000.0)[0]
    assert np.abs(small - expected(1.0, (220, 330), 1000.0)[0]).max() > 1


def test_a_shaded_frame_becomes_flat() -> None:
    """Vignetted by the library's own gains, at full size."""
    _, gains = expected(1.0, (240, 360), 1000.0)
    raw = photo()
    raw = replace(raw, mosaic=np.asarray(0.3 / gains[..., 1], np.float32))
    picture = develop_raw(raw, white_balance=(1.0, 1.0, 1.0), tone="scene")
    assert raw.mosaic.min() < 0.1
    np.testing.assert_allclose(picture, 0.3, rtol=0.01)


def test_gray_sensors_get_no_colors() -> None:
    picture = develop_raw(photo(cfa_pattern=None), tone="scene")
    np.testing.assert_array_equal(picture[..., 0], picture[..., 2])


def test_vignetting_is_not_corrected_twice() -> None:
    parameters = np.array([0.5, 0, 0, 0, 0, 0.5, 0.5], ">f8").tobytes()
    shading = OpcodeLists(linear=encode_opcodes((Opcode(3, 0x01030000, 0, parameters),)))
    correction = lens_correction(photo(opcodes=shading))
    assert correction is not None
    assert correction.facts.corrected == ("distortion", "lateral color")
    correction = lens_correction(photo(f_number=None))
    assert correction is not None
    assert "vignetting" not in correction.facts.corrected


def test_what_the_file_says_goes_first() -> None:
    parameters = np.array([0.5, 0, 0, 0, 0, 0.5, 0.5], ">f8").tobytes()
    own = OpcodeLists(demosaiced=encode_opcodes((Opcode(3, 0x01030000, 0, parameters),)))
    correction = lens_correction(photo(opcodes=own))
    assert correction is not None
    assert correction.facts.source == "file"


@pytest.mark.parametrize(
    "names",
    [
        CANON | {"model": "Canon EOS Nothing"},
        CANON | {"model": ""},
        CANON | {"lens": ""},
        CANON | {"lens": "EF24-105mm f/4.5L IS USM"},
        CANON | {"lens": "EF24-105mm f/4L IS III USM"},
        CANON | {"lens": "50mm"},
    ],
)
def test_a_lens_that_only_resembles_one_is_left_alone(names: dict[str, str]) -> None:
    assert lens_correction(photo(names)) is None


@pytest.mark.parametrize("focal_length", [None, 20.0, 200.0])
def test_a_focal_length_that_the_lens_has_not_is_another_lens(focal_length: float | None) -> None:
    assert lens_correction(photo(focal_length=focal_length)) is None


def test_built_in_lenses_need_no_name() -> None:
    names = {"make": "SONY", "model": "DSC-RX100", "lens": ""}
    correction = lens_correction(photo(names, focal_length=10.4, f_number=1.8))
    assert correction is not None
    assert "RX100" in correction.facts.profile


def test_off_and_without_the_library_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lens_correction(photo(), "off") is None
    monkeypatch.setattr(lens_profile, "find_spec", lambda name: None)
    assert lens_correction(photo()) is None
