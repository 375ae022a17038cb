"""Files of the sensors in the README's table of cameras: restored, or refused by name."""

from __future__ import annotations

from pathlib import Path

import dng_files
import numpy as np
import pytest
from dng_files import BYTE, LINEAR_RAW, SHORT, DngSpec, Row, coded_samples, write_test_dng

from nightfix.errors import UnsupportedSensorError
from nightfix.raw import read_raw

QUAD = "RRGGRRGGGGBBGGBB"
X_TRANS = "GBGGRGRGRBGBGBGGRGGRGGBGBGBRGRGRGGBG"


def write_with_array(
    path: Path, monkeypatch: pytest.MonkeyPatch, letters: str, planes: str = "RGB"
) -> Path:
    """Write a DNG that declares a color filter array of any size and colors."""
    side = int(len(letters) ** 0.5)
    codes = {"R": 0, "G": 1, "B": 2, "C": 3, "M": 4, "Y": 5, "W": 6}
    rows: list[Row] = [
        (33421, SHORT, 2, (side, side)),
        (33422, BYTE, len(letters), bytes(codes[letter] for letter in letters)),
        (50710, BYTE, len(planes), bytes(codes[letter] for letter in planes)),
        (50711, SHORT, 1, 1),
    ]
    monkeypatch.setattr(dng_files, "_cfa_rows", lambda _: rows)
    return write_test_dng(path, DngSpec(coded_samples(96, 96), make="FUJIFILM", model="Odd"))


@pytest.mark.parametrize(
    ("letters", "planes"),
    [(QUAD, "RGB"), (X_TRANS, "RGB"), ("GMCY", "GMCY"), ("RGBC", "RGBC")],
    ids=["quad-bayer", "x-trans", "gmcy", "rgbc"],
)
def test_other_arrays_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, letters: str, planes: str
) -> None:
    path = write_with_array(tmp_path / "odd.dng", monkeypatch, letters, planes)
    with pytest.raises(UnsupportedSensorError) as caught:
        read_raw(path)
    assert caught.value.kind
    assert "Bayer and monochrome" in caught.value.hint


@pytest.mark.parametrize(
    ("white", "black"), [(1023, 64), (4095, 256), (16383, 512), (65535, 2048)], ids=str
)
@pytest.mark.parametrize("photometric", [dng_files.CFA, LINEAR_RAW], ids=["bayer", "mono"])
def test_every_bit_depth_is_read_to_the_same_light(
    tmp_path: Path, photometric: int, white: int, black: int
) -> None:
    light = np.linspace(-0.02, 1, 64 * 96).reshape(64, 96)
    samples = np.clip(np.rint(light * (white - black) + black), 0, white).astype(np.uint16)
    spec = DngSpec(samples, white=white, black=(float(black),), photometric=photometric)
    raw = read_raw(write_test_dng(tmp_path / "photo.dng", spec))
    np.testing.assert_allclose(raw.mosaic, light, atol=0.6 / (white - black))
    assert raw.bit_depth == max(white, 1).bit_length()
