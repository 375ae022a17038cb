"""Entry: the Typer application and its commands."""

from __future__ import annotations

from typing import Annotated

import typer

from nightfix import __version__
from nightfix.cli.benchmark import benchmark
from nightfix.cli.boundary import Boundary
from nightfix.cli.config import config
from nightfix.cli.doctor import doctor
from nightfix.cli.enhance import enhance
from nightfix.cli.evaluate import evaluate
from nightfix.cli.info import info
from nightfix.cli.seeing import compare, preview
from nightfix.cli.train import train
from nightfix.cli.weights import weights

app = typer.Typer(
    cls=Boundary,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Restore photos taken too dark and not quite still, from camera RAW.",
)

_PHOTOS, _SETUP, _MAKING = "Photos", "This machine", "Your own weights"

for command in (enhance, preview, compare, info):
    app.command(rich_help_panel=_PHOTOS)(command)
app.command(rich_help_panel=_SETUP)(doctor)
app.command(rich_help_panel=_SETUP)(benchmark)
app.add_typer(weights, name="weights", rich_help_panel=_SETUP)
app.add_typer(config, name="config", rich_help_panel=_SETUP)
app.command(rich_help_panel=_MAKING)(train)
app.command(rich_help_panel=_MAKING)(evaluate)


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
