"""Command line: the Typer application; its commands are in :mod:`nightfix.cli.commands`."""

from __future__ import annotations

from typing import Annotated

import typer

from nightfix import __version__
from nightfix.cli.boundary import Boundary
from nightfix.cli.overview import OPTIONS

app = typer.Typer(
    cls=Boundary,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"nightfix {__version__}")
        raise typer.Exit


@app.callback()
def nightfix(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help=OPTIONS["--version"]),
    ] = False,
) -> None:
    """Take the program's own options; its help is :func:`nightfix.cli.overview.overview`."""
