from __future__ import annotations

import dataclasses
import json
import struct
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from nightfix.cli.app import app
from nightfix.condition.conditioning import Settings
from nightfix.errors import InputError
from nightfix.evaluation.cases import real_cases, synthetic_cases
from nightfix.evaluation.metrics import align, measure, psnr, ssim
from nightfix.evaluation.report import evaluate
from nightfix.read.tags import ExifTag
from nightfix.training.config import Recipe
from nightfix.training.data import make_batch
from nightfix.training.pairs import find_pairs, read_pair
from nightfix.training.references import References
from nightfix.training.sources import load_sources
from nightfix.write.dng import write_dng

runner = CliRunner()


@pytest.fixture
def photos(tmp_path, rng) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        shades = rng.integers(20, 230, (12, 16, 3), dtype=np.uint8)
        iio.imwrite(folder / name, np.kron(shades, np.ones((8, 8, 1), np.uint8)))
    return folder


@pytest.fixture
def save(tmp_path, synthetic_raw):
    """Write a DNG of a scene exposed for 10 s over ``ratio``."""

    def save(name: str, ratio: float, seed: int = 1) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = synthetic_raw(shape=(96, 128), ratio=ratio, seed=seed)
        tags = (
            ExifTag(33434, 5, 1, struct.pack("<2I", 100000, round(10000 * ratio))),
            ExifTag(34855, 3, 1, struct.pack("<H", 800)),
        )
        metadata = replace(raw.metadata, exif=tags)
        write_dng(path, replace(raw, metadata=metadata), restored=False)
        return path

    return save


def test_psnr_of_a_known_error():
    truth = torch.full((4, 20, 20), 0.5)
    assert psnr(truth + 0.1, truth) == pytest.approx(20, abs=1e-3)


def test_ssim_is_that_of_uniform_windows(rng):
    from scipy.ndimage import uniform_filter

    x, y = rng.random((2, 4, 30, 40))
    y = 0.7 * x + 0.3 * y

    def plane(x, y):
        n = 49 / 48
        mx, my = uniform_filter(x, 7), uniform_filter(y, 7)
        vx, vy = (n * (uniform_filter(z * z, 7) - uniform_filter(z, 7) ** 2) for z in (x, y))
        vxy = n * (uniform_filter(x * y, 7) - mx * my)
        s = (2 * mx * my + 1e-4) * (2 * vxy + 9e-4)
        return (s / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))[3:-3, 3:-3].mean()

    wanted = np.mean([plane(*planes) for planes in zip(x, y, strict=True)])
    assert ssim(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(wanted, abs=1e-6)
    assert ssim(torch.from_numpy(x), torch.from_numpy(x)) == pytest.approx(1)


def test_alignment_undoes_one_gain_and_leaves_lamps_out(rng):
    truth = torch.from_numpy(rng.uniform(0, 0.9, (4, 20, 20)))
    truth[:, :2] = 1.0
    dark = truth * 0.8
    dark[:, :2] = 0.1
    assert torch.allclose(align(dark, truth)[:, 2:], truth[:, 2:])
    merit = measure(dark, truth)
    assert merit.aligned > merit.psnr


def test_cases_are_the_same_each_time_and_as_noisy_as_told(photos):
    cases = list(synthetic_cases(photos, [1.0, 64.0], blur=True))
    again = list(synthetic_cases(photos, [1.0, 64.0], blur=True))
    groups = ["x1", "x1 + blur", "x64", "x64 + blur"]
    assert [case.group for case in cases] == 2 * groups
    assert all(torch.equal(a.capture, b.capture) for a, b in zip(cases, again, strict=True))
    other = next(synthetic_cases(photos, [1.0], blur=False, seed=1))
    assert not torch.equal(other.capture, cases[0].capture)
    for case in (c for c in cases if "blur" not in c.group):
        noise, ratio = case.conditioning.noise, case.conditioning.amplification.ratio
        kept = case.truth < 0.9
        variance = (noise.a * case.truth / ratio + noise.b)[kept].mean().item()
        error = (case.capture - case.truth / ratio)[kept]
        assert error.square().mean().item() == pytest.approx(variance, rel=0.2)


def test_colors_are_settled_as_in_a_photo(tiny_restorer, photos):
    (case, *_) = synthetic_cases(photos, [64.0], blur=False)
    assert case.neutral is not None
    (_, row) = evaluate(tiny_restorer, [case], [1])
    (_, without) = evaluate(tiny_restorer, [replace(case, neutral=None)], [1])
    assert row.psnr != without.psnr


def test_shaken_cases_differ_from_their_truth_by_more_than_noise(photos):
    still, shaken = list(synthetic_cases(photos, [1.0], blur=True))[:2]
    assert psnr(shaken.capture, shaken.truth) < psnr(still.capture, still.truth) - 3


def test_rows_are_means_over_cases(tiny_restorer, photos):
    cases = list(synthetic_cases(photos, [16.0], blur=False))
    rows = evaluate(tiny_restorer, cases, [1, 2], Settings())
    assert [(row.group, row.steps, row.cases) for row in rows] == [
        ("x16", 0, 2),
        ("x16", 1, 2),
        ("x16", 2, 2),
    ]
    wanted = np.mean([measure(16 * case.capture, case.truth).psnr for case in cases])
    assert rows[0].psnr == pytest.approx(wanted)
    restored = [
        tiny_restorer.restore_packed(
            case.capture, case.conditioning, Settings(steps=1), neutral=case.neutral
        )
        for case in cases
    ]
    merits = [measure(r, case.truth) for r, case in zip(restored, cases, strict=True)]
    assert rows[1].ssim == pytest.approx(np.mean([merit.ssim for merit in merits]))


def test_the_command_prints_rows_for_people_and_for_programs(tiny_weights, photos):
    words = ["evaluate", "--photos", str(photos), "--weights", str(tiny_weights), "--blur"]
    words += ["--ratio", "4,16", "--steps", "1"]
    table = runner.invoke(app, words).stdout.splitlines()
    rows = [json.loads(line) for line in runner.invoke(app, [*words, "--json"]).stdout.splitlines()]
    assert len(table) == 1 + len(rows) == 9
    assert set(rows[0]) == {"group", "steps", "cases", "psnr", "ssim", "aligned"}
    assert {row["group"] for row in rows} == {"x4", "x4 + blur", "x16", "x16 + blur"}
    assert f"{rows[-1]['psnr']:.2f}" in table[-1]


@pytest.mark.parametrize(
    "words",
    [[], ["--photos", ".", "--pairs", "."], ["--photos", ".", "--ratio", "0.5"],
     ["--photos", ".", "--steps", "one"]],
    ids=["neither", "both", "ratio", "steps"],
)  # fmt: skip
def test_a_wrong_call_is_a_usage_error(words):
    assert runner.invoke(app, ["evaluate", *words]).exit_code == 2


def test_no_photographs_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no photographs"):
        next(synthetic_cases(tmp_path, [1.0], blur=False))


def test_pairs_of_sid_are_found_by_their_lists(tmp_path, save):
    save("Sony/long/00001_00_10s.ARW", 1)
    save("Sony/short/00001_00_0.1s.ARW", 100, seed=2)
    save("Sony/short/00001_00_0.02s.ARW", 500, seed=3)
    lines = [f"./Sony/short/00001_00_{s}s.ARW ./Sony/long/00001_00_10s.ARW ISO200 F8\n" for s in
             ("0.1", "0.02")]  # fmt: skip
    (tmp_path / "Sony_test_list.txt").write_text("".join(lines))
    (tmp_path / "Sony_train_list.txt").write_text(lines[0])
    assert [pair.ratio for pair in find_pairs(tmp_path, test=True)] == [100, 300]
    assert len(find_pairs(tmp_path)) == 1
    first = next(real_cases(tmp_path, "sid"))
    assert first.group == "x100"
    assert psnr(100 * first.capture, first.truth) > 15


def test_pairs_of_eld_go_to_the_nearest_reference(tmp_path, save):
    ratios = {1: 1, 2: 1, 4: 100, 5: 200, 6: 1}
    for number, ratio in ratios.items():
        save(f"NikonD850/scene-3/DSC_{number:04d}.nef", ratio, seed=number)
    test = [read_pair(pair) for pair in find_pairs(tmp_path, test=True)]
    assert [(p.short.path.stem, p.long.path.stem, round(p.ratio)) for p in test] == [
        ("DSC_0004", "DSC_0006", 100),
        ("DSC_0005", "DSC_0006", 200),
    ]
    assert [p.short.stem for p in find_pairs(tmp_path / "NikonD850")] == [
        "DSC_0002",
        "DSC_0004",
        "DSC_0005",
    ]


def test_real_pairs_can_be_learned_from(tmp_path, save):
    save("scene-1/IMG_0001.dng", 1)
    save("scene-1/IMG_0002.dng", 100, seed=2)
    recipe, cpu = Recipe(name="x", patch=32, blur_share=1.0), torch.device("cpu")
    sources = load_sources([], [tmp_path])
    references = References.of(sources, patch=recipe.patch, seed=1, device=cpu)
    batch = make_batch(references, recipe, 1, 1.0)
    ratio = batch.first.condition.ratio
    assert torch.allclose(ratio, torch.tensor(100.0), rtol=0.01)
    assert torch.equal(batch.first.target, batch.scene)
    assert torch.equal(batch.later.target, batch.scene)
    error = (batch.capture - batch.scene).mean().abs()
    assert error < 0.1 * batch.scene.mean()


def test_pairs_that_cannot_be_used_are_named(tmp_path, save):
    with pytest.raises(InputError, match="no pairs"):
        find_pairs(tmp_path)
    (tmp_path / "Sony_test_list.txt").write_text("./short/1_0.1s.ARW ./long/1_10s.ARW")
    with pytest.raises(InputError, match=r"1_0\.1s\.ARW: listed in"):
        find_pairs(tmp_path, "sid", test=True)
    save("scene-1/IMG_0001.dng", 100)
    save("scene-1/IMG_0002.dng", 1)
    (pair,) = find_pairs(tmp_path, "eld")
    with pytest.raises(InputError, match="exposed longer"):
        read_pair(pair)
    with pytest.raises(InputError, match="differ"):
        short = save("other.dng", 100)
        raw_long = save("long.dng", 1)
        from nightfix.training import pairs

        narrow = dataclasses.replace(pairs.read_raw(short), cfa_pattern="BGGR")
        write_dng(tmp_path / "bggr.dng", narrow, restored=False)
        read_pair(pairs.PairFiles(tmp_path / "bggr.dng", raw_long, 100.0))
