"""Entry: ``nightfix enhance``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nightfix.cli.batch import Batch
from nightfix.cli.console import Verbosity
from nightfix.cli.options import (
    DEFAULTS,
    DEVELOPMENT,
    OUTPUT,
    PHOTOS,
    RESTORATION,
    SETTINGS,
    TALK,
    ChromaOption,
    ColorSpaceChoice,
    CompressionChoice,
    DeblurOption,
    DepthChoice,
    DeterministicOption,
    DeviceOption,
    EvOption,
    HeadroomOption,
    HotPixelsChoice,
    HotPixelsOption,
    PresetOption,
    QuietOption,
    RatioOption,
    SeedOption,
    StepsOption,
    StrengthOption,
    TargetExposureOption,
    TileOption,
    ToneChoice,
    ToneOption,
    VerboseOption,
    WeightsOption,
    WhiteBalanceOption,
    check_one_exposure,
    option,
    parse_formats,
    read_names,
)
from nightfix.condition import Settings
from nightfix.pipeline import EnhanceOptions
from nightfix.write import FORMATS


def enhance(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Camera RAW files, folders, patterns such as *.NEF; - reads names from stdin.",
            show_default=False,
        ),
    ],
    preset: PresetOption = None,
    recursive: Annotated[
        bool, option("-r", "--recursive", group=PHOTOS, help="Also the folders inside folders.")
    ] = False,
    watch: Annotated[
        bool,
        option("--watch", group=PHOTOS, help="Go on with photos that arrive, until Ctrl-C."),
    ] = False,
    dry_run: Annotated[
        bool,
        option(
            "-n",
            "--dry-run",
            group=PHOTOS,
            help="Only say what would be done, how large it gets and how long it takes.",
        ),
    ] = False,
    allow_truncated: Annotated[
        bool,
        option(
            "--allow-truncated",
            group=PHOTOS,
            help="Take what is there of a photo that was cut off.",
        ),
    ] = DEFAULTS.allow_truncated,
    jobs: Annotated[
        int,
        option(
            "--jobs",
            group=PHOTOS,
            min=1,
            metavar="N",
            help="Photos read or written at once beside the network.",
        ),
    ] = 1,
    output: Annotated[
        Path | None,
        option(
            "-o",
            "--output",
            group=OUTPUT,
            metavar="DIR",
            help="Folder of the results, with the tree of named folders. "
            "(default: beside each photo)",
        ),
    ] = None,
    format: Annotated[
        Any,
        option(
            "--format",
            group=OUTPUT,
            metavar="NAME,...",
            parser=parse_formats,
            help=f"{', '.join(FORMATS)}, several with commas between, or both (tiff,dng). "
            "DNGs open as raw in an editor; the others are ready to look at.",
        ),
    ] = "tiff",
    compression: Annotated[
        CompressionChoice,
        option("--compression", group=OUTPUT, help="Of DNG (lossless JPEG) and TIFF (deflate)."),
    ] = CompressionChoice.lossless,
    depth: Annotated[
        DepthChoice,
        option(
            "--depth",
            group=OUTPUT,
            help="Bits of a TIFF. 32: linear light in floats, lamps above 1, no tone curve.",
        ),
    ] = DepthChoice.sixteen,
    suffix: Annotated[
        str, option("--suffix", group=OUTPUT, help="Added to the photo's name.")
    ] = DEFAULTS.suffix,
    overwrite: Annotated[
        bool, option("--overwrite", group=OUTPUT, help="Replace results that are there.")
    ] = DEFAULTS.overwrite,
    ratio: RatioOption = "auto",  # type: ignore[assignment]
    ev: EvOption = None,
    target_exposure: TargetExposureOption = None,
    headroom: HeadroomOption = SETTINGS.headroom,
    steps: StepsOption = str(SETTINGS.steps),  # type: ignore[assignment]
    strength: StrengthOption = SETTINGS.strength,
    chroma: ChromaOption = DEFAULTS.chroma,
    deblur: DeblurOption = DEFAULTS.deblur,
    hot_pixels: HotPixelsOption = HotPixelsChoice.auto,
    restore: Annotated[
        bool,
        option("--restore/--no-restore", group=RESTORATION, help="Run the network at all."),
    ] = DEFAULTS.restore,
    seed: SeedOption = SETTINGS.seed,
    deterministic: DeterministicOption = SETTINGS.deterministic,
    weights: WeightsOption = "nightfix-base",
    device: DeviceOption = "auto",
    tile: TileOption = "auto",  # type: ignore[assignment]
    white_balance: WhiteBalanceOption = DEFAULTS.white_balance,
    color_space: Annotated[
        ColorSpaceChoice, option("--color-space", group=DEVELOPMENT, help="Color space.")
    ] = ColorSpaceChoice.srgb,
    tone: ToneOption = ToneChoice.natural,
    json: Annotated[
        bool, option("--json", group=TALK, help="Write one JSON object a line on stdout.")
    ] = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Restore dark, noisy, shaken RAW photos.

    \b
    Examples:
      nightfix enhance photo.ARW --steps 3
      nightfix enhance -r card/ -o restored/ --format dng
      find . -name '*.NEF' -print0 | nightfix enhance - --json
    """  # noqa: D301
    check_one_exposure(ratio, ev, target_exposure)
    if depth is DepthChoice.thirty_two and "tiff" not in format:
        raise typer.BadParameter("--depth 32 is for --format tiff")
    if Path(f"x{suffix}").name != f"x{suffix}":
        raise typer.BadParameter("--suffix is a part of a name; -o takes a folder")
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
        hot_pixels=hot_pixels.value,
        settings=Settings(
            steps=steps,
            strength=strength,
            headroom=headroom,
            seed=seed,
            deterministic=deterministic,
            tile=tile or None,
        ),
        chroma=chroma,
        white_balance=white_balance,
        color_space=color_space.value,
        tone=tone.value,
    )
    batch = Batch(
        names=read_names(files, sys.stdin),
        recursive=recursive,
        options=options,
        weights=weights,
        device=device,
        jobs=jobs,
        json=json,
        verbosity=Verbosity.quiet if quiet else Verbosity(1 + verbose),
    )
    if dry_run:
        batch.forecast()
    elif watch:
        batch.watch()
    else:
        batch.run()
