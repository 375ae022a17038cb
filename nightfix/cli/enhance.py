"""Command line: ``nightfix enhance``."""

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
    TALK,
    AddressOption,
    ColorSpaceChoice,
    CompressionChoice,
    DepthChoice,
    EngineChoice,
    EngineOption,
    PresetOption,
    QuietOption,
    TileOption,
    VerboseOption,
    on_ray,
    option,
    parse_formats,
    parse_page,
    parse_share,
    read_names,
)
from nightfix.cli.photo_options import PhotoOptions, with_photo_options
from nightfix.pipeline import EnhanceOptions
from nightfix.write import FORMATS, WriteOptions


@with_photo_options
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
        bool, option("-r", "--recursive", group=PHOTOS, help="Search subfolders too.")
    ] = False,
    watch: Annotated[
        bool,
        option("--watch", group=PHOTOS, help="Process new photos as they arrive, until Ctrl-C."),
    ] = False,
    shard: Annotated[
        Any,
        option(
            "--shard",
            group=PHOTOS,
            metavar="K/N",
            parser=parse_share,
            help="Process only the K-th of N shares of the photos, for N machines.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        option(
            "-n",
            "--dry-run",
            group=PHOTOS,
            help="Only report what would be done, with sizes and times.",
        ),
    ] = False,
    allow_truncated: Annotated[
        bool,
        option(
            "--allow-truncated",
            group=PHOTOS,
            help="Use the readable part of a truncated photo.",
        ),
    ] = DEFAULTS.allow_truncated,
    jobs: Annotated[
        int,
        option(
            "--jobs",
            group=PHOTOS,
            min=1,
            metavar="N",
            help="Photos to read or write at the same time while the network runs.",
        ),
    ] = 1,
    engine: EngineOption = EngineChoice.local,
    address: AddressOption = None,
    output: Annotated[
        Path | None,
        option(
            "-o",
            "--output",
            group=OUTPUT,
            metavar="DIR",
            help="Folder for the results; subfolders are kept. (default: beside each photo)",
        ),
    ] = None,
    format: Annotated[
        Any,
        option(
            "--format",
            group=OUTPUT,
            metavar="NAME,...",
            parser=parse_formats,
            help=f"{', '.join(FORMATS)}; several separated by commas, or both (tiff,dng). "
            "DNGs are still raw for your editor; the others are finished pictures.",
        ),
    ] = "tiff",
    compression: Annotated[
        CompressionChoice,
        option(
            "--compression",
            group=OUTPUT,
            help="Compression of DNG (lossless JPEG) and TIFF (deflate).",
        ),
    ] = CompressionChoice.lossless,
    depth: Annotated[
        DepthChoice,
        option(
            "--depth",
            group=OUTPUT,
            help="Bits per channel of a TIFF. 32: linear floating point, highlights above 1, "
            "no tone curve.",
        ),
    ] = DepthChoice.sixteen,
    hdr: Annotated[
        bool,
        option(
            "--hdr",
            group=OUTPUT,
            help="Keep lamps brighter than white for HDR screens: a JPEG gets a gain map and looks "
            "the same elsewhere, an AVIF becomes 10 bit (PQ).",
        ),
    ] = DEFAULTS.writing.hdr,
    suffix: Annotated[
        str, option("--suffix", group=OUTPUT, help="Added to the photo's file name.")
    ] = DEFAULTS.suffix,
    overwrite: Annotated[
        bool, option("--overwrite", group=OUTPUT, help="Replace existing results.")
    ] = DEFAULTS.overwrite,
    gallery: Annotated[
        Any,
        option(
            "--gallery",
            group=OUTPUT,
            metavar="PAGE",
            parser=parse_page,
            help="Also make a web page of all photos, before and after, such as out/index.html.",
        ),
    ] = None,
    *,
    photo: PhotoOptions,
    restore: Annotated[
        bool,
        option(
            "--restore/--no-restore",
            group=RESTORATION,
            help="Run the network, or only convert the photo.",
        ),
    ] = DEFAULTS.restore,
    show_shake: Annotated[
        bool,
        option(
            "--show-shake",
            group=RESTORATION,
            help="Write a picture of the camera's path beside each result of a shaken photo.",
        ),
    ] = DEFAULTS.show_shake,
    tile: TileOption = "auto",  # type: ignore[assignment]
    color_space: Annotated[
        ColorSpaceChoice, option("--color-space", group=DEVELOPMENT, help="Color space.")
    ] = ColorSpaceChoice.srgb,
    json: Annotated[
        bool, option("--json", group=TALK, help="Print one JSON object per line on stdout.")
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
    if depth is DepthChoice.thirty_two and "tiff" not in format:
        raise typer.BadParameter("--depth 32 needs --format tiff")
    if hdr and not {"jpeg", "avif"} & {*format}:
        raise typer.BadParameter("--hdr needs --format jpeg or avif")
    if Path(f"x{suffix}").name != f"x{suffix}":
        raise typer.BadParameter("--suffix is added to the file name; use -o for a folder")
    options = EnhanceOptions(
        output=output,
        formats=format,
        suffix=suffix,
        overwrite=overwrite,
        allow_truncated=allow_truncated,
        restore=restore,
        show_shake=show_shake,
        writing=WriteOptions(
            color_space=color_space.value,
            depth=depth.to_depth(),
            compression=compression.value,
            hdr=hdr,
        ),
    )
    batch = Batch(
        names=read_names(files, sys.stdin),
        recursive=recursive,
        shard=shard,
        page=gallery,
        options=photo.added_to(options, tile=tile or None),
        weights=photo.weights,
        device=photo.device,
        jobs=jobs,
        ray=on_ray(engine, address),
        address=address,
        json=json,
        verbosity=Verbosity.quiet if quiet else Verbosity(1 + verbose),
    )
    if dry_run:
        batch.forecast()
    elif watch:
        batch.watch()
    else:
        batch.run()
