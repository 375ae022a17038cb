"""Entry: ``nightfix train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nightfix.cli.console import Display


def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe, a TOML file.", show_default=False)],
    photos: Annotated[Path, typer.Option(help="Folder of clean photographs.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(help="Folder of the run; one that is there goes on.", show_default=False),
    ],
    init: Annotated[
        str | None, typer.Option(metavar="NAME|PATH", help="Weights to start from.")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="auto|cuda|mps|cpu", help="Where to run.")
    ] = "auto",
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0.01, help="Minutes between checkpoints.")
    ] = 5.0,
) -> None:
    """Train weights from photographs.

    Example: nightfix train weights/recipes/base.toml --photos photos/ --output runs/base
    """
    from nightfix.training.config import read_recipe

    checked = read_recipe(recipe)
    from nightfix.training.trainer import train as run

    with Display() as display:
        path = run(
            checked,
            photos,
            output,
            init=init,
            device=device,
            checkpoint_minutes=checkpoint_minutes,
            progress=display.progress,
        )
    print(path)
