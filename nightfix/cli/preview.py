"""Command line: ``nightfix preview``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightfix.cli.console import Display, Verbosity, print_line
from nightfix.cli.options import (
    PresetOption,
    QuietOption,
    option,
    parse_crop,
    require_view_suffix,
)
from nightfix.cli.photo_options import PhotoOptions, with_photo_options
from nightfix.pipeline import EnhanceOptions, side_by_side
from nightfix.pipeline import preview as run
from nightfix.restore import weights_sha256
from nightfix.write import write_view

if TYPE_CHECKING:
    from nightfix.restore import Restorer


@with_photo_options
def preview(
    file: Annotated[Path, typer.Argument(help="A camera RAW file.", show_default=False)],
    preset: PresetOption = None,
    crop: Annotated[
        Any,
        option(
            "--crop",
            metavar="X,Y,W,H",
            parser=parse_crop,
            help="Region of the upright picture in pixels. (default: its middle)",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="PNG or JPEG to write. (default: NAME_preview.png beside the photo)",
        ),
    ] = None,
    *,
    photo: PhotoOptions,
    quiet: QuietOption = False,
) -> None:
    """Restore one region to a picture, the original beside it.

    The region is cached: another --strength or --chroma takes no time.

    Example: nightfix preview photo.ARW --crop 1200,800,600,400 --strength 70
    """
    options = photo.added_to(EnhanceOptions())
    target = output or file.with_name(f"{file.stem}_preview.png")
    require_view_suffix(target)

    def load() -> Restorer:
        from nightfix.restore import Restorer

        return Restorer(photo.weights, photo.device)

    with Display(Verbosity.quiet if quiet else Verbosity.normal) as display:
        seen = run(
            file,
            options,
            weights=weights_sha256(photo.weights),
            load=load,
            crop=crop,
            announce=display.announce,
            progress=display.progress,
        )
        amplification = seen.conditioning.amplification
        display.announce(
            f"{file.name}: ratio {amplification.ratio:.4g} ({amplification.reason}); "
            "left: captured, right: restored" + (" (from the cache)" if seen.cached else "")
        )
    write_view(target, side_by_side(seen.before, seen.after), source=file)
    print_line(target)
