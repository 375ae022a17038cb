"""Command line: ``nightfix look``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nightfix.cli.console import Display, print_line
from nightfix.develop import known_looks
from nightfix.pipeline import export_cube, export_profile, learn_look, new_look_path, save_look

#: 95th percentile of CIEDE2000 from which pictures are no matter of one look.
_TOO_FAR = 6.0

look = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Learn, list and export looks: the colors and tones of other pictures of yours.",
    rich_markup_mode="rich",
)


@look.command()
def learn(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Folder of well-exposed RAW files with their JPEGs (or previews in them).",
            show_default=False,
        ),
    ],
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the look.", show_default=False)
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a look of that name.")
    ] = False,
) -> None:
    """Learn a look from RAW files and their finished pictures.

    Example: nightfix look learn pairs/ --name xt3
    """
    new_look_path(name, overwrite=overwrite)  # before the work
    with Display() as display:
        learned = learn_look(folder, progress=display.progress)
        path = save_look(learned.look, name, overwrite=overwrite)
        for photo, reason in learned.left_out:
            display.announce(f"note: left out {photo.name}: {reason}")
        before, after = learned.without, learned.with_look
        display.announce(
            f"{name}: learned from {len(learned.pairs)} of "
            f"{len(learned.pairs) + len(learned.left_out)} photos; their pictures differ by "
            f"{after.mean:.1f} CIEDE2000 on average ({before.mean:.1f} without the look), 95 % by "
            f"at most {after.percentile95:.1f} ({before.percentile95:.1f})"
        )
        display.announce(f"use it with --look {name}, or in editors: nightfix look export --help")
        if after.percentile95 > _TOO_FAR:
            display.announce(
                "note: the pictures do not agree on one look; are they of one camera and setting?"
            )
    print_line(path)


@look.command("list")
def list_looks() -> None:
    """List the looks that were learned: name and file, separated by a tab.

    Example: nightfix look list
    """
    known = known_looks()
    for name, path in known.items():
        print(name, path, sep="\t")
    if not known:
        with Display() as display:
            display.announce("no looks yet: nightfix look learn FOLDER --name NAME makes one")


@look.command()
def export(
    name: Annotated[str, typer.Argument(metavar="NAME|PATH", help="The look.", show_default=False)],
    target: Annotated[
        Path,
        typer.Argument(metavar="FILE.cube|FILE.dcp", help="File to write.", show_default=False),
    ],
    photo: Annotated[
        Path | None,
        typer.Option(
            metavar="RAW",
            help="Any RAW file of the camera that a .dcp is for.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.")
    ] = False,
) -> None:
    """Write a look for editors: a camera profile for your DNGs (.dcp), or a table (.cube).

    A .dcp is for one camera: --photo says which. Editors offer it for the DNGs that NightFix
    writes of that camera's photos. A .cube is for pictures without a tone curve, of any camera.

    Example: nightfix look export xt3 xt3.dcp --photo photo.RAF
    """
    kind = target.suffix.lower()
    if kind not in (".cube", ".dcp"):
        raise typer.BadParameter(f"{target.name} must end in .cube or .dcp")
    if kind == ".cube":
        if photo is not None:
            raise typer.BadParameter("--photo is for a .dcp; a .cube is for every camera")
        export_cube(name, target, overwrite=overwrite)
    else:
        if photo is None:
            raise typer.BadParameter("a .dcp is for one camera: add --photo and a RAW file of it")
        with Display() as display:
            camera, (mean, percentile95) = export_profile(
                name, target, photo=photo, overwrite=overwrite
            )
            display.announce(
                f"{name}: for {camera}; its colors differ by {mean:.1f} CIEDE2000 on average from "
                f"NightFix's own, 95 % by at most {percentile95:.1f}"
            )
    print_line(target)
