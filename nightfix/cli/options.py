"""Entry: texts of the command line turned into values, with an error that says what is wanted."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import typer

from nightfix.pipeline import Format


class FormatChoice(str, Enum):
    """What ``--format`` takes."""

    tiff = "tiff"
    dng = "dng"
    both = "both"

    def to_formats(self) -> tuple[Format, ...]:
        """Return the files to write."""
        return ("tiff", "dng") if self is FormatChoice.both else (self.value,)


class ColorSpaceChoice(str, Enum):
    """What ``--color-space`` takes."""

    srgb = "srgb"
    display_p3 = "display-p3"
    adobe_rgb = "adobe-rgb"
    prophoto = "prophoto"
    rec2020 = "rec2020"


class ToneChoice(str, Enum):
    """What ``--tone`` takes."""

    natural = "natural"
    linear = "linear"


def number_or_auto(low: float, whole: bool) -> Callable[[str], float]:
    """Return a parser of ``auto`` (which gives 0) or a number of at least ``low``."""

    def parse(text: str) -> float:
        if text == "auto":
            return 0
        try:
            value = int(text) if whole else float(text)
        except ValueError:
            value = -1
        if not low <= value < float("inf"):
            kind = "whole number" if whole else "number"
            raise typer.BadParameter(f"{text!r} is not 'auto' or a {kind} of at least {low:g}")
        return value

    return parse


def parse_time(text: str) -> float:
    """Parse an exposure time such as ``4s``, ``1/2`` or ``0.5``."""
    from nightfix.amplification import parse_exposure_time

    try:
        return parse_exposure_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def parse_white_balance(text: str) -> str | tuple[float, float, float]:
    """Parse the name of a white balance or three gains."""
    if text in ("as-shot", "auto", "daylight"):
        return text
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        red = green = blue = 0.0
    if not all(0 < gain < 100 for gain in (red, green, blue)):
        raise typer.BadParameter(
            f"{text!r} is not as-shot, auto, daylight or three gains such as 2.1,1,1.6"
        )
    return red, green, blue
