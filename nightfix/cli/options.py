"""Command line: options that commands share, and the parsers of their values."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from nightfix.condition import Settings
from nightfix.errors import did_you_mean
from nightfix.pipeline import EnhanceOptions
from nightfix.write import FILE_FORMATS, FORMATS, VIEW_SUFFIXES, Depth, Format

if TYPE_CHECKING:
    from nightfix.batch import Shard

DEFAULTS = EnhanceOptions()
SETTINGS = Settings()

#: Groups of the help.
PHOTOS, OUTPUT, EXPOSURE = "Photos", "Output", "Brightness"
RESTORATION, DEVELOPMENT, TALK = "Restoration", "Development (not for DNG)", "Messages"


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


class BlackChoice(str, Enum):
    """What ``--black`` takes."""

    masked = "masked"
    stated = "stated"


class EngineChoice(str, Enum):
    """What ``--engine`` takes."""

    local = "local"
    ray = "ray"


class HotPixelsChoice(str, Enum):
    """What ``--hot-pixels`` takes."""

    auto = "auto"
    off = "off"


class LensChoice(str, Enum):
    """What ``--lens`` takes."""

    auto = "auto"
    off = "off"


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
    from nightfix.condition import parse_exposure_time

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
    for name in sorted(set(names) - set(FORMATS)):
        what = f"{text!r} is none of both, {', '.join(FORMATS)}"
        raise typer.BadParameter(f"{what}. {did_you_mean(name, FORMATS, '')}".rstrip(". "))
    if len({FILE_FORMATS[name].suffix for name in formats}) < len(formats):
        raise typer.BadParameter("dng and linear-dng would have the same name; choose one of them")
    return formats


def parse_crop(text: str) -> tuple[int, int, int, int]:
    """Parse a region such as ``1200,800,600,400``: left, top, width, height."""
    try:
        left, top, width, height = (int(part) for part in text.split(","))
    except ValueError:
        left = top = width = height = -1
    if min(left, top) < 0 or min(width, height) < 1:
        raise typer.BadParameter(f"{text!r} is not left,top,width,height such as 1200,800,600,400")
    return left, top, width, height


def parse_share(text: str) -> Shard:
    """Parse the share of a job, such as ``3/16``."""
    from nightfix.batch import parse_shard

    try:
        return parse_shard(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def parse_page(text: str) -> Path:
    """Parse the name of a page."""
    if Path(text).suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"{text!r} is not the name of a page, such as out/index.html")
    return Path(text)


def option(*names: str, group: str | None = None, **settings: Any) -> Any:
    """Return an option of a group of the help, with the environment variable of its name.

    ``--color-space`` can be given as ``NIGHTFIX_COLOR_SPACE``.
    """
    name = max(names, key=len).split("/")[0].strip("-").replace("-", "_").upper()
    return typer.Option(
        *names, envvar=f"NIGHTFIX_{name}", show_envvar=False, rich_help_panel=group, **settings
    )


def _read_defaults(ctx: typer.Context, preset: str | None) -> str | None:
    """Take options that are not given from the configuration file and a preset."""
    if ctx.resilient_parsing or ctx.parent is None:
        return preset
    from nightfix.cli.config_file import config_path, read_config

    config = read_config(config_path(), configurable(ctx.parent.command))
    ctx.default_map = dict(config.values(ctx.info_name or "", preset))
    return preset


def configurable(group: Any) -> dict[str, set[str]]:
    """Return the names of the options of each command that the configuration file may hold."""
    options = {
        name: {one.name for one in command.params if one.param_type_name == "option"}
        for name, command in group.commands.items()
    }
    return {name: has - {"preset", "help"} for name, has in options.items() if "preset" in has}


def _preset_names(incomplete: str) -> list[str]:
    """Complete the name of a preset."""
    from nightfix.cli.config_file import config_path, preset_names

    return [name for name in preset_names(config_path()) if name.startswith(incomplete)]


def _weights_names(incomplete: str) -> list[str]:
    """Complete the name of weights."""
    from nightfix.restore import PHOTO_WEIGHTS

    return [name for name in PHOTO_WEIGHTS if name.startswith(incomplete)]


def _look_names(incomplete: str) -> list[str]:
    """Complete the name of a look."""
    from nightfix.develop import known_looks

    return [name for name in (*known_looks(), "camera", "none") if name.startswith(incomplete)]


PresetOption = Annotated[
    str | None,
    option(
        "--preset",
        metavar="NAME",
        help="Use a named set of options from the configuration file.",
        is_eager=True,
        callback=_read_defaults,
        autocompletion=_preset_names,
    ),
]
RatioOption = Annotated[
    float,
    option(
        "--ratio",
        group=EXPOSURE,
        metavar="X|auto",
        parser=number_or_auto(1, whole=False),
        help="Brightening: target exposure / captured exposure. auto meters the scene.",
    ),
]
EvOption = Annotated[
    float | None,
    option(
        "--ev",
        group=EXPOSURE,
        min=0,
        metavar="EV",
        help="The same in stops (4 is ratio 16).",
    ),
]
TargetExposureOption = Annotated[
    float | None,
    option(
        "--target-exposure",
        group=EXPOSURE,
        metavar="TIME",
        parser=parse_time,
        help="The same as the exposure time the photo should have had, such as 4s or 1/2.",
    ),
]
HeadroomOption = Annotated[
    float,
    option(
        "--headroom",
        group=EXPOSURE,
        min=0,
        max=8,
        metavar="EV",
        help="Stops of highlights to keep above white. darktable shows a DNG darker by the "
        "stops in use.",
    ),
]
StepsOption = Annotated[
    int,
    option(
        "--steps",
        group=RESTORATION,
        metavar="N|auto",
        parser=number_or_auto(1, whole=True),
        help="Network passes. auto: 1, or 3 for a very noisy photo.",
    ),
]
StrengthOption = Annotated[
    float,
    option(
        "--strength",
        group=RESTORATION,
        min=0,
        max=100,
        help="0 only brightens, 100 restores fully.",
    ),
]
ChromaOption = Annotated[
    float | None,
    option(
        "--chroma",
        group=RESTORATION,
        min=0,
        max=100,
        help="Strength for color noise. (default: same as --strength)",
    ),
]
DetailOption = Annotated[
    float,
    option(
        "--detail",
        group=RESTORATION,
        min=0,
        max=100,
        help="Draw detail that noise has taken: plausible, not captured. 0 draws none.",
    ),
]
DeblurOption = Annotated[
    bool | None,
    option(
        "--deblur/--no-deblur",
        group=RESTORATION,
        help="Always remove camera shake, or never. (default: only where it is found)",
    ),
]
BlackOption = Annotated[
    BlackChoice,
    option(
        "--black",
        group=RESTORATION,
        help="Black level: that of masked pixels around the picture, where there are any, or as "
        "the file states it.",
    ),
]
DarkOption = Annotated[
    list[Path],
    option(
        "--dark",
        group=RESTORATION,
        metavar="FRAME",
        help="Dark frame, taken with the cap on; can be given several times. Its hot pixels are "
        "mended; glow and pattern are subtracted if it was exposed as the photo was.",
        show_default=False,
    ),
]
HotPixelsOption = Annotated[
    HotPixelsChoice,
    option(
        "--hot-pixels",
        group=RESTORATION,
        help="Repair hot, dead and stuck pixels first, or leave them.",
    ),
]
EngineOption = Annotated[
    EngineChoice,
    option(
        "--engine",
        group=PHOTOS,
        help="Work on this machine, or on all machines of a Ray cluster (needs the extra ray).",
    ),
]
AddressOption = Annotated[
    str | None,
    option(
        "--address",
        group=PHOTOS,
        metavar="HOST:PORT",
        help="Address of the Ray cluster. (default: that of this machine, else this machine alone)",
    ),
]
SeedOption = Annotated[
    int,
    option(
        "--seed",
        group=RESTORATION,
        min=0,
        help="Random seed of the light simulated between passes, and of drawn detail.",
    ),
]
DeterministicOption = Annotated[
    bool,
    option(
        "--deterministic",
        group=RESTORATION,
        help="Simulate that light without random noise.",
    ),
]
WeightsOption = Annotated[
    str,
    option(
        "--weights",
        group=RESTORATION,
        metavar="NAME|PATH",
        help="Network weights to use.",
        autocompletion=_weights_names,
    ),
]
DeviceOption = Annotated[
    str,
    option("--device", group=RESTORATION, metavar="auto|cuda|mps|cpu", help="Device to run on."),
]
TileOption = Annotated[
    int,
    option(
        "--tile",
        group=RESTORATION,
        metavar="N|auto",
        parser=number_or_auto(32, whole=True),
        help="Tile size in pixels. Smaller needs less memory; the result stays the same.",
    ),
]
WhiteBalanceOption = Annotated[
    Any,
    option(
        "--white-balance",
        group=DEVELOPMENT,
        metavar="as-shot|auto|daylight|R,G,B",
        parser=parse_white_balance,
        help="White balance.",
    ),
]
ToneOption = Annotated[ToneChoice, option("--tone", group=DEVELOPMENT, help="Tone curve.")]
LensOption = Annotated[
    LensChoice,
    option(
        "--lens",
        group=DEVELOPMENT,
        help="Correct distortion, colored edges and dark corners: as the file says, else as "
        "lensfun knows the lens.",
    ),
]
LookOption = Annotated[
    str,
    option(
        "--look",
        group=DEVELOPMENT,
        metavar="NAME|PATH|camera|none",
        help="Colors and tones: a look that you taught NightFix (nightfix look learn), or camera: "
        "the colors of the photo's own preview.",
        autocompletion=_look_names,
    ),
]
QuietOption = Annotated[bool, option("-q", "--quiet", group=TALK, help="Print only errors.")]
VerboseOption = Annotated[
    bool, option("-v", "--verbose", group=TALK, help="Also print how long each stage took.")
]


def on_ray(engine: EngineChoice, address: str | None) -> bool:
    """Tell whether a Ray cluster is to work; an address needs one."""
    if address is not None and engine is not EngineChoice.ray:
        raise typer.BadParameter("--address needs --engine ray")
    return engine is EngineChoice.ray


def read_names(names: list[Path], stdin: TextIO | None) -> list[Path]:
    """Replace ``-`` by the paths that are read from standard input."""
    from nightfix.batch import split_list

    listed = split_list(stdin.buffer.read()) if stdin and Path("-") in names else []
    return [path for name in names for path in (listed if name == Path("-") else [name])]


def numbers(low: float, high: float, *, whole: bool = False) -> Callable[[str], list[float]]:
    """Return a parser of numbers with commas between, each from ``low`` to ``high``."""

    def parse(text: str) -> list[float]:
        try:
            values = [int(part) if whole else float(part) for part in text.split(",")]
        except ValueError:
            values = [low - 1]
        if not all(low <= value <= high for value in values):
            kind = "whole numbers" if whole else "numbers"
            raise typer.BadParameter(f"{text!r} is not {kind} from {low:g} to {high:g}")
        return values

    return parse


StepCountsOption = Annotated[
    Any,
    typer.Option(metavar="N,...", parser=numbers(1, 16, whole=True), help="Network passes."),
]


def require_view_suffix(path: Path) -> None:
    """Refuse a name whose format is not written."""
    if path.suffix.lower() not in VIEW_SUFFIXES:
        raise typer.BadParameter(f"{path.name} must end in {', '.join(VIEW_SUFFIXES)}")
