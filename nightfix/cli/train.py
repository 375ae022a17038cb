"""Command line: ``nightfix train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nightfix.cli.console import Display
from nightfix.cli.options import DeviceOption


def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe, a TOML file.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(help="Folder of the run; an existing run is continued.", show_default=False),
    ],
    photos: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of photographs, HDR panoramas or RAW files; may be repeated.",
            show_default=False,
        ),
    ] = None,
    pairs: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of real short and long exposures (SID, ELD); may be repeated.",
            show_default=False,
        ),
    ] = None,
    init: Annotated[
        str | None, typer.Option(metavar="NAME|PATH", help="Weights to start from.")
    ] = None,
    device: DeviceOption = "auto",
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0.01, help="Minutes between checkpoints.")
    ] = 5.0,
) -> None:
    """Train weights from photographs, panoramas, RAW files or real pairs.

    A run that was stopped continues where it was. On several GPUs: torchrun
    --nproc-per-node N -m nightfix train ...

    Example: nightfix train weights/recipes/base.toml --photos photos/ --output runs/base
    """
    if not photos and not pairs:
        raise typer.BadParameter("give --photos, --pairs or both")
    from nightfix.training import read_recipe

    checked = read_recipe(recipe)
    from nightfix.training import train as run

    with Display() as display:
        path = run(
            checked,
            photos or [],
            output,
            pairs=pairs or [],
            init=init,
            device=device,
            checkpoint_minutes=checkpoint_minutes,
            progress=display.progress,
        )
    print(path)
