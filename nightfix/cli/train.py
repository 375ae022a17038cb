"""Command line: ``nightfix train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nightfix.cli.console import Display
from nightfix.cli.options import DeviceOption


def train(
    recipe: Annotated[
        Path | None, typer.Argument(help="Recipe, a TOML file.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; an existing run is continued.", show_default=False),
    ] = None,
    photos: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of photographs, HDR panoramas or RAW files, or a pack; may be repeated.",
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
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            help="Minutes that the run may take in all; it ends by itself before. "
            "Default: all steps of the recipe.",
            show_default=False,
        ),
    ] = None,
    compile_network: Annotated[
        bool, typer.Option("--compile", help="Compile the network; for long runs on a GPU.")
    ] = False,
    pack: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.npz",
            help="Do not train: cut, reduce and compress --photos into one file, "
            "which --photos takes elsewhere.",
            show_default=False,
        ),
    ] = None,
    pack_megabytes: Annotated[
        float, typer.Option(min=0.1, help="Largest size of a pack, in MB.")
    ] = 48.0,
) -> None:
    """Train weights from photographs, panoramas, RAW files or real pairs.

    A run that was stopped continues where it was. On several GPUs: torchrun
    --nproc-per-node N -m nightfix train ...

    Example: nightfix train weights/recipes/base.toml --photos photos/ --output runs/base
    """
    if pack is not None:
        if pairs or not photos:
            raise typer.BadParameter("--pack takes --photos, and no --pairs")
        _pack(photos, pack, pack_megabytes)
        return
    if not photos and not pairs:
        raise typer.BadParameter("give --photos, --pairs or both")
    if recipe is None or output is None:
        raise typer.BadParameter("give a recipe and --output")
    from nightfix.training import read_recipe

    checked = read_recipe(recipe)
    from nightfix.training import train as run

    with Display(task="training") as display:
        path = run(
            checked,
            photos or [],
            output,
            pairs=pairs or [],
            init=init,
            device=device,
            checkpoint_minutes=checkpoint_minutes,
            minutes=minutes,
            compiled=compile_network,
            progress=display.progress,
        )
    print(path)


def _pack(photos: list[Path], path: Path, megabytes: float) -> None:
    """Pack references and tell what was left out."""
    from nightfix.training import pack_references

    with Display(task="packing") as display:
        packed = pack_references(photos, path, megabytes=megabytes, progress=display.progress)
        left_out = [name for name, share in packed.items() if share == 0]
        for name in left_out:
            display.say(f"left out, too little of it would fit: {name}")
        whole = sum(share == 1 for share in packed.values())
        kept = [share for share in packed.values() if share]
        display.say(
            f"{path.stat().st_size / 1e6:.1f} MB: {whole} of {len(packed)} references whole, "
            f"{len(kept) - whole} cut or reduced, {len(left_out)} left out; "
            f"{100 * sum(kept) / max(1, len(kept)):.0f} % of the pixels of each on average"
        )
    print(path)
