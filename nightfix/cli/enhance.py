"""Entry: ``nightfix enhance``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nightfix.batch import enhance_many
from nightfix.cli.boundary import finish
from nightfix.cli.console import Display
from nightfix.cli.options import (
    ColorSpaceChoice,
    CompressionChoice,
    DepthChoice,
    ToneChoice,
    number_or_auto,
    parse_formats,
    parse_time,
    parse_white_balance,
)
from nightfix.conditioning import Settings
from nightfix.formats import FORMATS
from nightfix.pipeline import EnhanceOptions

_DEFAULTS = EnhanceOptions()
_SETTINGS = Settings()

_EXPOSURE, _RESTORATION = "How bright", "Restoration"
_DEVELOPMENT, _OUTPUT = "Development (not DNG)", "Output"


def enhance(
    files: Annotated[list[Path], typer.Argument(help="Camera RAW files.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Folder of the results. (default: beside each photo)",
            rich_help_panel=_OUTPUT,
        ),
    ] = _DEFAULTS.output,
    format: Annotated[
        Any,
        typer.Option(
            metavar="NAME,...",
            parser=parse_formats,
            help=f"{', '.join(FORMATS)}, several with commas between, or both (tiff,dng). "
            "DNGs open as raw in an editor; the others are ready to look at.",
            rich_help_panel=_OUTPUT,
        ),
    ] = "tiff",
    compression: Annotated[
        CompressionChoice,
        typer.Option(
            help="Of DNG (lossless JPEG) and TIFF (deflate).",
            rich_help_panel=_OUTPUT,
        ),
    ] = CompressionChoice.lossless,
    depth: Annotated[
        DepthChoice,
        typer.Option(
            help="Bits of a TIFF. 32: linear light in floats, lamps above 1, no tone curve.",
            rich_help_panel=_OUTPUT,
        ),
    ] = DepthChoice.sixteen,
    suffix: Annotated[
        str, typer.Option(help="Added to the photo's name.", rich_help_panel=_OUTPUT)
    ] = _DEFAULTS.suffix,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace results that are there.", rich_help_panel=_OUTPUT
        ),
    ] = _DEFAULTS.overwrite,
    allow_truncated: Annotated[
        bool,
        typer.Option("--allow-truncated", help="Take what is there of a photo that was cut off."),
    ] = _DEFAULTS.allow_truncated,
    ratio: Annotated[
        float,
        typer.Option(
            metavar="X|auto",
            parser=number_or_auto(1, whole=False),
            help="Amplification: target exposure over captured exposure. auto meters the scene.",
            rich_help_panel=_EXPOSURE,
        ),
    ] = "auto",  # type: ignore[assignment]
    ev: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="EV",
            help="The same in stops (4 is ratio 16).",
            rich_help_panel=_EXPOSURE,
        ),
    ] = None,
    target_exposure: Annotated[
        float | None,
        typer.Option(
            metavar="TIME",
            parser=parse_time,
            help="The same as the exposure time the photo should have had, such as 4s or 1/2.",
            rich_help_panel=_EXPOSURE,
        ),
    ] = None,
    headroom: Annotated[
        float,
        typer.Option(
            min=0,
            max=8,
            metavar="EV",
            help="Stops kept above white, for lamps.",
            rich_help_panel=_EXPOSURE,
        ),
    ] = _SETTINGS.headroom,
    steps: Annotated[
        int,
        typer.Option(
            metavar="N|auto",
            parser=number_or_auto(1, whole=True),
            help="Network passes. auto chooses by the noise.",
            rich_help_panel=_RESTORATION,
        ),
    ] = str(_SETTINGS.steps),  # type: ignore[assignment]
    strength: Annotated[
        float,
        typer.Option(
            min=0,
            max=100,
            help="0 is only amplified, 100 fully restored.",
            rich_help_panel=_RESTORATION,
        ),
    ] = _SETTINGS.strength,
    deblur: Annotated[
        bool | None,
        typer.Option(
            "--deblur/--no-deblur",
            help="Tell that the photo is shaken, or that it is not (default: leave it open).",
            rich_help_panel=_RESTORATION,
        ),
    ] = _DEFAULTS.deblur,
    restore: Annotated[
        bool,
        typer.Option(
            "--restore/--no-restore",
            help="Run the network at all.",
            rich_help_panel=_RESTORATION,
        ),
    ] = _DEFAULTS.restore,
    seed: Annotated[
        int,
        typer.Option(
            min=0, help="Seed of the photons drawn between passes.", rich_help_panel=_RESTORATION
        ),
    ] = _SETTINGS.seed,
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic",
            help="Add expected light between passes, not drawn photons.",
            rich_help_panel=_RESTORATION,
        ),
    ] = _SETTINGS.deterministic,
    weights: Annotated[
        str,
        typer.Option(metavar="NAME|PATH", help="Weights to use.", rich_help_panel=_RESTORATION),
    ] = "nightfix-base",
    device: Annotated[
        str,
        typer.Option(
            metavar="auto|cuda|mps|cpu", help="Where to run.", rich_help_panel=_RESTORATION
        ),
    ] = "auto",
    tile: Annotated[
        int,
        typer.Option(
            metavar="N|auto",
            parser=number_or_auto(32, whole=True),
            help="Side of a tile in pixels. Smaller needs less memory; pixels stay the same.",
            rich_help_panel=_RESTORATION,
        ),
    ] = "auto",  # type: ignore[assignment]
    white_balance: Annotated[
        Any,
        typer.Option(
            metavar="as-shot|auto|daylight|R,G,B",
            parser=parse_white_balance,
            help="White balance.",
            rich_help_panel=_DEVELOPMENT,
        ),
    ] = _DEFAULTS.white_balance,
    color_space: Annotated[
        ColorSpaceChoice, typer.Option(help="Color space.", rich_help_panel=_DEVELOPMENT)
    ] = ColorSpaceChoice.srgb,
    tone: Annotated[
        ToneChoice, typer.Option(help="Tone curve.", rich_help_panel=_DEVELOPMENT)
    ] = ToneChoice.natural,
) -> None:
    """Restore dark, noisy, shaken RAW photos.

    Example: nightfix enhance photo.ARW --steps 3
    """
    if sum((ratio != 0, ev is not None, target_exposure is not None)) > 1:
        raise typer.BadParameter("give one of --ratio, --ev and --target-exposure")
    if depth is DepthChoice.thirty_two and "tiff" not in format:
        raise typer.BadParameter("--depth 32 is for --format tiff")
    options = EnhanceOptions(
        output=output,
        formats=format,
        compression=compression.value,
        depth=depth.to_depth(),
        suffix=suffix,
        overwrite=overwrite,
        allow_truncated=allow_truncated,
        restore=restore,
        ratio=ratio or None,
        ev=ev,
        target_exposure=target_exposure,
        deblur=deblur,
        settings=Settings(
            steps=steps,
            strength=strength,
            headroom=headroom,
            seed=seed,
            deterministic=deterministic,
            tile=tile or None,
        ),
        white_balance=white_balance,
        color_space=color_space.value,
        tone=tone.value,
    )
    _run(files, options, weights, device)


def _run(files: list[Path], options: EnhanceOptions, weights: str, device: str) -> None:
    """Enhance every file, print what was written, and fail with the first failure's code."""
    restorer = None
    if options.restore:
        from nightfix.restorer import Restorer

        restorer = Restorer(weights, device)
    failures = []
    with Display() as display:
        for outcome in enhance_many(
            files,
            options,
            restorer=restorer,
            announce=display.announce,
            progress=display.progress,
        ):
            if outcome.error is not None:
                failures.append(outcome.error)
            if outcome.result is not None:
                for path in outcome.result.outputs:
                    print(path, flush=True)
    finish(failures)
