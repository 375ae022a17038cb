"""Entry: ``nightfix preview`` and ``nightfix compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightfix.cli.console import Display, Verbosity, print_line
from nightfix.cli.options import (
    DEFAULTS,
    SETTINGS,
    ChromaOption,
    DeblurOption,
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
    ToneChoice,
    ToneOption,
    WeightsOption,
    WhiteBalanceOption,
    check_one_exposure,
    option,
    parse_crop,
)
from nightfix.condition import Settings
from nightfix.errors import PictureError
from nightfix.pipeline import EnhanceOptions, read_picture, side_by_side, split
from nightfix.pipeline import preview as run
from nightfix.restore import weights_sha256
from nightfix.write import VIEW_SUFFIXES, write_view

if TYPE_CHECKING:
    from nightfix.restore import Restorer


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
    ratio: RatioOption = "auto",  # type: ignore[assignment]
    ev: EvOption = None,
    target_exposure: TargetExposureOption = None,
    headroom: HeadroomOption = SETTINGS.headroom,
    steps: StepsOption = str(SETTINGS.steps),  # type: ignore[assignment]
    strength: StrengthOption = SETTINGS.strength,
    chroma: ChromaOption = DEFAULTS.chroma,
    deblur: DeblurOption = DEFAULTS.deblur,
    hot_pixels: HotPixelsOption = HotPixelsChoice.auto,
    seed: SeedOption = SETTINGS.seed,
    deterministic: DeterministicOption = SETTINGS.deterministic,
    weights: WeightsOption = "nightfix-base",
    device: DeviceOption = "auto",
    white_balance: WhiteBalanceOption = DEFAULTS.white_balance,
    tone: ToneOption = ToneChoice.natural,
    quiet: QuietOption = False,
) -> None:
    """Restore one region to a picture, the original beside it.

    The region is kept: another --strength or --chroma takes no time.

    Example: nightfix preview photo.ARW --crop 1200,800,600,400 --strength 70
    """
    check_one_exposure(ratio, ev, target_exposure)
    options = EnhanceOptions(
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
        ),
        chroma=chroma,
        white_balance=white_balance,
        tone=tone.value,
    )
    target = output or file.with_name(f"{file.stem}_preview.png")
    check_shown(target)

    def load() -> Restorer:
        from nightfix.restore import Restorer

        return Restorer(weights, device)

    with Display(Verbosity.quiet if quiet else Verbosity.normal) as display:
        seen = run(
            file,
            options,
            weights=weights_sha256(weights),
            load=load,
            crop=crop,
            announce=display.announce,
            progress=display.progress,
        )
        amplified = seen.conditioning.amplification
        display.announce(
            f"{file.name}: ratio {amplified.ratio:.4g} ({amplified.reason}), left as captured, "
            f"right restored" + (" (kept from before)" if seen.cached else "")
        )
    write_view(target, side_by_side(seen.before, seen.after), source=file)
    print_line(target)


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
) -> None:
    """Join two pictures at a line: before on the left, after on the right.

    A RAW file is amplified first; --ratio says how much.

    Example: nightfix compare photo.ARW photo_nightfix.tif
    """
    target = output or after.with_name(f"{after.stem}_compare.png")
    check_shown(target)
    left, right = (read_picture(path, ratio=ratio or None) for path in (before, after))
    if left.shape != right.shape:
        (height, width), (wanted_height, wanted_width) = left.shape[:2], right.shape[:2]
        what = f"{width} x {height} px, but {after} is {wanted_width} x {wanted_height}"
        raise PictureError(before, what)
    write_view(target, split(left, right, at=at / 100))
    print_line(target)


def check_shown(path: Path) -> None:
    """Refuse a name whose format is not written."""
    if path.suffix.lower() not in VIEW_SUFFIXES:
        raise typer.BadParameter(f"{path.name} ends in none of {', '.join(VIEW_SUFFIXES)}")
