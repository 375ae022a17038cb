"""Command line: ``nightfix compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nightfix.cli.console import print_line
from nightfix.cli.options import LensChoice, LensOption, RatioOption, require_view_suffix
from nightfix.errors import PictureError
from nightfix.pipeline import read_picture, split
from nightfix.write import write_view


def compare(
    before: Annotated[Path, typer.Argument(help="Picture or RAW file.", show_default=False)],
    after: Annotated[Path, typer.Argument(help="Picture or RAW file.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="PNG or JPEG to write. (default: AFTER_compare.png)",
        ),
    ] = None,
    at: Annotated[
        float, typer.Option(min=0, max=100, metavar="PERCENT", help="Where the line is.")
    ] = 50.0,
    ratio: RatioOption = "auto",  # type: ignore[assignment]
    lens: LensOption = LensChoice.auto,
) -> None:
    """Join two pictures at a line: before on the left, after on the right.

    A RAW file is amplified first; --ratio says how much. Use --lens off where the other picture
    was made with it.

    Example: nightfix compare photo.ARW photo_nightfix.tif
    """
    target = output or after.with_name(f"{after.stem}_compare.png")
    require_view_suffix(target)
    left, right = (
        read_picture(path, ratio=ratio or None, lens=lens.value) for path in (before, after)
    )
    if left.shape != right.shape:
        (height, width), (wanted_height, wanted_width) = left.shape[:2], right.shape[:2]
        what = f"{width} x {height} px, but {after} is {wanted_width} x {wanted_height}"
        raise PictureError(before, what)
    write_view(target, split(left, right, at=at / 100))
    print_line(target)
