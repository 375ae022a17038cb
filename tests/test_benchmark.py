from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from nightfix import benchmark
from nightfix.benchmark import Case, Measurement, as_json, make_photo, measure_darktable
from nightfix.cli import app
from nightfix.raw import read_raw


def measurement(**known: object) -> Measurement:
    seconds = {"read": 1.0, "condition": 1, "restore": 14, "develop": 2, "write": 2, "all": 20}
    facts = {
        "case": Case(megapixels=24, weights="nightfix-base", steps=3),
        "megapixels": 24.0,
        "seconds": seconds,
        "network": 12.0,
        "overlap": 0.15,
        "lamps": 0.05,
        "precision": "bfloat16",
        "tile": 2048,
        "memory": 1500.0,
        "device_memory": None,
    }
    return Measurement(**facts | known)  # type: ignore[arg-type]


def test_the_bare_network_computes_each_pixel_once() -> None:
    assert measurement().bare == pytest.approx(10)
    assert measurement().ratio == pytest.approx(2)


def test_the_made_up_photo_is_a_dark_noisy_photo(tmp_path: Path) -> None:
    raw = read_raw(make_photo(tmp_path / "photo.dng", 0.6))
    assert raw.mosaic.size == pytest.approx(0.6e6, rel=0.02)
    assert raw.cfa_pattern == "RGGB"
    assert 0.001 < float(np.median(raw.mosaic)) < 0.1
    assert raw.metadata.noise_profile == ((2e-4, 2e-7),)


def test_figures_are_printed_and_written(tmp_path: Path, tiny_weights: Path) -> None:
    target = tmp_path / "figures.json"
    call = ["benchmark", "--megapixels", "0.2", "--steps", "2", "--weights", str(tiny_weights)]
    done = CliRunner().invoke(app, [*call, "--json", str(target)])
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(target.read_text())["cases"]
    stages = ("read", "condition", "restore", "develop", "write")
    assert all(row["seconds"][stage] > 0 for stage in stages)
    assert row["seconds"]["all"] == pytest.approx(sum(row["seconds"][stage] for stage in stages))
    assert 0 < row["network"] < row["seconds"]["restore"]
    assert row["overlap"] > 0
    assert "tiny" in done.stdout.splitlines()[2]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--megapixels", "0"], 2),
        (["--megapixels", "12,big"], 2),
        (["--steps", "1.5"], 2),
        (["--megapixels", "0.1", "--weights", "none"], 4),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_calls_have_their_code(arguments: list[str], code: int) -> None:
    done = CliRunner().invoke(app, ["benchmark", *arguments])
    assert done.exit_code == code
    assert "Traceback" not in done.stderr


def test_json_has_the_machine_and_what_is_derived() -> None:
    figures = json.loads(as_json([measurement()], {24.0: 5.0}))
    assert figures["machine"]["processor"] == benchmark.processor_name()
    assert figures["cases"][0]["ratio"] == pytest.approx(2)
    assert figures["darktable"] == {"24": 5.0}


def test_without_darktable_there_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert measure_darktable(0.1) is None


@pytest.mark.skipif(shutil.which("darktable-cli") is None, reason="needs darktable")
def test_darktable_denoises_our_photo() -> None:
    assert measure_darktable(0.1) is not None
