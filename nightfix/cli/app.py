"""Entry: the Typer application; its commands are in :mod:`nightfix.cli.commands`."""

from __future__ import annotations

from typing import Annotated

import typer

from nightfix import __version__
from nightfix.cli.boundary import Boundary

app = typer.Typer(
    cls=Boundary,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Restore photos taken too dark and not quite still, from camera RAW.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"nightfix {__version__}")
        raise typer.Exit


@app.callback()
def nightfix(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Restore photos taken too dark and not quite still, from camera RAW."""
