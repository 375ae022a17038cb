"""Entry: texts of the command line turned into values, with an error that says what is wanted."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import typer

from nightfix.formats import FORMATS, TABLE, Format
from nightfix.tiff import Depth


class CompressionChoice(str, Enum):
    """What ``--compression`` takes."""

    lossless = "lossless"
    none = "none"


class DepthChoice(str, Enum):
    """What ``--depth`` takes."""

    sixteen = "16"
    thirty_two = "32"

    def to_depth(self) -> Depth:
        """Return the bits a sample."""
        return 32 if self is DepthChoice.thirty_two else 16


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


def parse_formats(text: str) -> tuple[Format, ...]:
    """Parse one or several formats; ``both`` is TIFF and DNG."""
    names = text.replace("both", "tiff,dng").split(",")
    formats = tuple(name for name in FORMATS if name in names)
    if set(names) - set(FORMATS):
        raise typer.BadParameter(f"{text!r} is not both or any of {', '.join(FORMATS)}")
    if len({TABLE[name].suffix for name in formats}) < len(formats):
        raise typer.BadParameter("dng and linear-dng would have the same name; give one of them")
    return formats
