"""Training: pictures of how a run goes, for the eye."""

from __future__ import annotations

import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from nightfix.write import replacing

#: Steps over which a curve is smoothed, in rows of the metrics.
_SMOOTH = 25


def write_curves(folder: Path) -> None:
    """Draw ``metrics.jsonl`` as ``curves.png``: losses and the gradient's norm over steps."""
    metrics = folder / "metrics.jsonl"
    if not metrics.exists():
        return
    rows = [json.loads(line) for line in metrics.read_text("utf-8").splitlines()]
    figure = Figure(figsize=(9, 4), layout="constrained")
    losses, norms = figure.subplots(1, 2)
    for key in sorted({key for row in rows for key in row} - {"step", "time"}):
        steps, values = np.array([(row["step"], row[key]) for row in rows if key in row]).T
        width = min(_SMOOTH, len(values))
        smooth = np.convolve(values, np.ones(width) / width, "valid")
        axes = norms if key == "norm" else losses
        (line,) = axes.plot(steps, values, alpha=0.2, linewidth=0.7)
        axes.plot(steps[width - 1 :], smooth, color=line.get_color(), label=key)
    norms.set_yscale("log")
    for axes, title in ((losses, "loss"), (norms, "gradient norm")):
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.legend()
    with replacing(folder / "curves.png", overwrite=True) as temporary:
        figure.savefig(temporary, dpi=110)


def write_crops(path: Path, rows: list[list[Tensor]]) -> None:
    """Write rows of packed pictures, each (4, h, w), as one PNG of half-size previews."""
    picture = np.vstack([np.hstack([_preview(planes) for planes in row]) for row in rows])
    with replacing(path, overwrite=True) as temporary:
        iio.imwrite(temporary, picture)


def _preview(planes: Tensor) -> np.ndarray:
    red, green, other, blue = planes.float().cpu().clamp(0, 1).numpy()
    rgb = np.stack([red, (green + other) / 2, blue], -1)
    return (255 * rgb ** (1 / 2.2) + 0.5).astype(np.uint8)
