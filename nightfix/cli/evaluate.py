"""Command line: ``nightfix evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nightfix.cli.console import Display
from nightfix.cli.options import DeviceOption, StepCountsOption, WeightsOption, numbers

if TYPE_CHECKING:
    from nightfix.evaluation import Row


def evaluate(
    photos: Annotated[
        Path | None,
        typer.Option(
            help="Folder of clean photographs to make test cases from.", show_default=False
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="Folder of real short and long exposures.", show_default=False),
    ] = None,
    protocol: Annotated[
        Literal["sid", "eld"], typer.Option(help="Layout and test list of --pairs.")
    ] = "sid",
    weights: WeightsOption = "nightfix-base",
    ratio: Annotated[
        Any,
        typer.Option(
            metavar="R,...", parser=numbers(1, 10000), help="Amplification ratios of --photos."
        ),
    ] = "1,8,100,250,300",
    steps: StepCountsOption = "1,3",
    blur: Annotated[bool, typer.Option("--blur", help="Add test cases with camera shake.")] = False,
    device: DeviceOption = "auto",
    seed: Annotated[int, typer.Option(help="Seed of noise and camera shake.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Measure weights on photos whose clean version is known.

    PSNR and SSIM are of packed RAW values, without any brightness alignment; "aligned" is
    the PSNR after the one that the tables of SID and ELD use. 0 passes is the amplified
    capture.

    Example: nightfix evaluate --photos photos/ --ratio 100,300 --steps 1,2,3 --blur
    """
    if (photos is None) == (pairs is None):
        raise typer.BadParameter("give either --photos or --pairs")
    from nightfix.evaluation import evaluate as run
    from nightfix.evaluation import real_cases, synthetic_cases
    from nightfix.restore import Restorer

    if photos is not None:
        cases = synthetic_cases(photos, ratio, blur=blur, seed=seed)
    else:
        assert pairs is not None
        cases = real_cases(pairs, protocol)
    with Display() as display:
        rows = run(Restorer(weights, device), cases, steps, announce=display.announce)
    print("\n".join(json.dumps(row.as_json()) for row in rows) if as_json else _table(rows))


def _table(rows: list[Row]) -> str:
    lines = [f"{'case':14} {'steps':>5} {'PSNR':>7} {'SSIM':>7} {'aligned':>8} {'n':>4}"]
    for row in rows:
        lines.append(
            f"{row.group:14} {row.steps:5} {row.psnr:7.2f} {row.ssim:7.4f} "
            f"{row.aligned:8.2f} {row.cases:4}"
        )
    return "\n".join(lines)
