"""Entry: ``nightfix evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nightfix.cli.console import Display

if TYPE_CHECKING:
    from nightfix.evaluation.report import Row

_NUMBERS = "a comma-separated list of numbers"


def _numbers(text: str, option: str, smallest: float) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or min(values) < smallest:
        raise typer.BadParameter(
            f"{text!r} is not {_NUMBERS}, each >= {smallest:g}", param_hint=option
        )
    return values


def evaluate(
    photos: Annotated[
        Path | None,
        typer.Option(help="Folder of clean photographs to make cases of.", show_default=False),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="Folder of real short and long exposures.", show_default=False),
    ] = None,
    protocol: Annotated[
        Literal["sid", "eld"], typer.Option(help="Layout and test list of --pairs.")
    ] = "sid",
    weights: Annotated[
        str, typer.Option(metavar="NAME|PATH", help="Weights to evaluate.")
    ] = "nightfix-base",
    ratio: Annotated[
        str, typer.Option(metavar="R,R,...", help="Amplification ratios of --photos.")
    ] = "1,8,100,250,300",
    steps: Annotated[
        str, typer.Option(metavar="N,N,...", help="Numbers of network passes.")
    ] = "1,3",
    blur: Annotated[bool, typer.Option("--blur", help="Add shaken cases of --photos.")] = False,
    device: Annotated[
        str, typer.Option(metavar="auto|cuda|mps|cpu", help="Where to run.")
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of noise and shakes.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Measure weights on captures whose truth is known.

    PSNR and SSIM are of packed RAW values, without any brightness alignment; "aligned" is
    the PSNR after the one that the tables of SID and ELD use. 0 passes is the amplified
    capture.

    Example: nightfix evaluate --photos photos/ --ratio 100,300 --steps 1,2,3 --blur
    """
    ratios = _numbers(ratio, "--ratio", 1)
    counts = [int(count) for count in _numbers(steps, "--steps", 1)]
    if (photos is None) == (pairs is None):
        raise typer.BadParameter("give either --photos or --pairs")
    from nightfix.evaluation.cases import real_cases, synthetic_cases
    from nightfix.evaluation.report import evaluate as run
    from nightfix.restorer import Restorer

    if photos is not None:
        cases = synthetic_cases(photos, ratios, blur=blur, seed=seed)
    else:
        assert pairs is not None
        cases = real_cases(pairs, protocol)
    with Display() as display:
        rows = run(Restorer(weights, device), cases, counts, announce=display.announce)
    print("\n".join(json.dumps(row.as_json()) for row in rows) if as_json else _table(rows))


def _table(rows: list[Row]) -> str:
    lines = [f"{'case':14} {'steps':>5} {'PSNR':>7} {'SSIM':>7} {'aligned':>8} {'n':>4}"]
    for row in rows:
        lines.append(
            f"{row.group:14} {row.steps:5} {row.psnr:7.2f} {row.ssim:7.4f} "
            f"{row.aligned:8.2f} {row.cases:4}"
        )
    return "\n".join(lines)
