"""The script that trains nightfix-detail."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import imageio.v3 as iio
import torch
from torch.nn import functional as F

SCRIPT = Path(__file__).parents[2] / "weights/train_detail.py"
sys.path.append(str(SCRIPT.parent))  # as where a script is run
spec = importlib.util.spec_from_file_location("train_detail", SCRIPT)
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)

DISTANCES = """
class Lpips:
    def __init__(self, net):
        pass

    def __call__(self, a, b):
        return (a - b).square().mean((1, 2, 3))


class Dists(Lpips):
    def __init__(self):
        pass
"""


def test_from_photographs_to_scores(tmp_path, generator, capsys):
    photos, samples, run = (tmp_path / name for name in ("photos", "samples", "run"))
    photos.mkdir()
    coarse = torch.rand(1, 3, 60, 60, generator=generator)
    pixels = F.interpolate(coarse, (470, 470), mode="bicubic")[0].clamp(0, 1)
    iio.imwrite(photos / "one.png", (255 * pixels).byte().permute(1, 2, 0).numpy())
    distances = tmp_path / "distances.py"
    distances.write_text(DISTANCES, "utf-8")
    script.make(samples, [photos], count=1, seed=1, ratio=100.0)
    (made,) = samples.iterdir()
    assert script.load_sample(script.Sample, made).numbers[0] == 100
    before = made.stat().st_mtime_ns
    script.make(samples, [photos], count=1, seed=1, ratio=100.0)
    assert made.stat().st_mtime_ns == before
    script.make(samples, [photos], count=1, seed=2, shaken=True)
    script.train(samples, run, distances, minutes=0.04, seed=1)
    steps = torch.load(run / "checkpoint.pt", weights_only=True)["step"]
    script.train(samples, run, distances, minutes=0.08, seed=1)
    assert torch.load(run / "checkpoint.pt", weights_only=True)["step"] > steps > 0
    capsys.readouterr()
    picture = tmp_path / "rows.png"
    script.score(run / "nightfix-detail.safetensors", samples, distances, picture)
    without, drawn = capsys.readouterr().out.splitlines()
    assert without.startswith("detail 0: PSNR")
    assert drawn.startswith("detail 100: PSNR")
    assert iio.imread(picture).shape == (400, 800, 3)  # both samples
