from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from nightfix.batch.runner import Outcome
from nightfix.cli.app import app
from nightfix.condition import ExposureTarget
from nightfix.condition.conditioning import Settings, condition_raw
from nightfix.errors import RawReadError
from nightfix.evaluation import benchmark
from nightfix.evaluation.benchmark import (
    BatchMeasurement,
    BenchmarkCase,
    Measurement,
    as_json,
    make_photo,
    measure_batch,
    measure_darktable,
)
from nightfix.read.reader import read_raw
from nightfix.restore import tiling
from nightfix.restore.network import condition_of
from nightfix.restore.restorer import Restorer


def measurement(**known: object) -> Measurement:
    seconds = {"read": 1.0, "condition": 1, "restore": 14, "develop": 2, "write": 2, "all": 20}
    facts = {
        "case": BenchmarkCase(megapixels=24, weights="nightfix-base", steps=3),
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


def test_lamps_count_alike_in_windows_computed_together_and_alone(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = read_raw(make_photo(tmp_path / "photo.dng", 1.2))
    told = condition_raw(raw, ExposureTarget(ratio=benchmark._RATIO))
    counted = []
    for together in (tiling._together, lambda windows, _: ([window] for window in windows)):
        monkeypatch.setattr(tiling, "_together", together)
        restorer = Restorer(str(tiny_weights), "cpu")
        inside = benchmark._Inside(restorer)
        restorer.restore(raw, told, Settings(steps=1))
        counted.append(inside.lamps)
    assert counted[0] == pytest.approx(counted[1])
    assert counted[0] > 0


@pytest.mark.parametrize(
    ("strip", "twice"), [(10**9, 0.0), (64 * 16, 0.1)], ids=["at once", "strips"]
)
def test_what_is_computed_twice_is_counted(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, strip: int, twice: float
) -> None:
    """Strips have rows in common, and no more of them than a level looks at."""
    monkeypatch.setattr(tiling, "_STRIP", strip)
    restorer = Restorer(str(tiny_weights), "cpu")
    inside = benchmark._Inside(restorer)
    frame, told = torch.rand(1, 4, 64, 64), condition_of((100.0, 1.0, 1e-4, 1e-7, -1.0))
    with torch.no_grad():
        restorer.network(frame, frame, told)
    assert inside.frame / 64**2 - 1 == pytest.approx(twice, abs=0.01)


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


def test_a_batch_is_twelve_photos_over_their_network(tmp_path: Path, tiny_weights: Path) -> None:
    target = tmp_path / "figures.json"
    call = ["benchmark", "--megapixels", "0.02", "--steps", "1", "--weights", str(tiny_weights)]
    done = CliRunner().invoke(app, [*call, "--batch", "--json", str(target)])
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(target.read_text())["batches"]
    assert row["photos"] == 12
    assert row["seconds"] > row["network"] > 0
    assert row["ratio"] == pytest.approx(row["seconds"] / row["network"])
    assert f"12 photos of 0.02 MP, steps 1: {row['seconds']:.1f} s" in done.stdout


def test_a_photo_that_fails_ends_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    error = RawReadError(Path("0.dng"), "broken")
    outcome = Outcome(path=Path("0.dng"), error=error)
    monkeypatch.setattr("nightfix.batch.enhance_many", lambda *_, **__: iter([outcome]))
    monkeypatch.setattr("nightfix.restore.Restorer", lambda *_: None)
    with pytest.raises(RawReadError, match="broken"):
        measure_batch(BenchmarkCase(megapixels=0.02, weights="any", steps=1))


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
    batch = BatchMeasurement(case=measurement().case, photos=12, seconds=330.0, network=300.0)
    figures = json.loads(as_json([measurement()], [batch], {24.0: 5.0}))
    assert figures["batches"][0]["ratio"] == pytest.approx(1.1)
    assert figures["machine"]["processor"] == benchmark.processor_name()
    assert figures["cases"][0]["ratio"] == pytest.approx(2)
    assert figures["darktable"] == {"24": 5.0}


def test_without_darktable_there_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert measure_darktable(0.1) is None


@pytest.mark.skipif(shutil.which("darktable-cli") is None, reason="needs darktable")
def test_darktable_denoises_our_photo() -> None:
    assert measure_darktable(0.1) is not None
