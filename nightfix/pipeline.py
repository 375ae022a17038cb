"""Entry: one photo from file to file. Read, condition, restore, develop, write."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nightfix.amplification import format_exposure_time
from nightfix.conditioning import Conditioning, Settings, auto_steps, condition
from nightfix.formats import TABLE, Format, WriteOptions, write_results
from nightfix.isp import WhiteBalance, choose_white_balance
from nightfix.metadata import Metadata
from nightfix.output import check_target
from nightfix.progress import Progress, no_progress, say_nothing
from nightfix.raw import RawImage, read_raw
from nightfix.record import Record
from nightfix.sensor_data import Compression
from nightfix.tiff import Depth

if TYPE_CHECKING:
    from nightfix.restorer import Restorer

#: What the noise model's source is called in the facts line.
_NOISE_SOURCES = {
    "tag": "file's NoiseProfile",
    "table": "camera table",
    "photo": "the photo itself",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EnhanceOptions:
    """What to make of a photo.

    Parameters
    ----------
    output : Path or None
        Folder of the results; None is the photo's own.
    formats : tuple of {"tiff", "dng", "linear-dng", "jpeg", "png", "avif"}
        Files to write.
    compression : {"lossless", "none"}
        Of TIFF and DNG.
    depth : {16, 32}
        Bits of a TIFF; 32 is linear light in floats.
    suffix : str
        Added to the photo's name.
    overwrite : bool
        Replace results that are there.
    allow_truncated : bool
        Take what is there of a photo that was cut off.
    restore : bool
        False leaves the mosaic as it was read.
    ratio, ev, target_exposure : float or None
        The amplification in one of three ways [-, EV, s]; none of them meters.
    deblur : bool or None
        Whether to treat the photo as shaken; None leaves it to the network.
    settings : Settings
        Passes, strength, headroom, seed, tile.
    white_balance : WhiteBalance
        ``"as-shot"``, ``"auto"``, ``"daylight"`` or three gains.
    color_space : str
        Color space of developed pictures.
    tone : {"natural", "linear"}
        Tone curve of developed pictures.
    """

    output: Path | None = None
    formats: tuple[Format, ...] = ("tiff",)
    compression: Compression = "lossless"
    depth: Depth = 16
    suffix: str = "_nightfix"
    overwrite: bool = False
    allow_truncated: bool = False
    restore: bool = True
    ratio: float | None = None
    ev: float | None = None
    target_exposure: float | None = None
    deblur: bool | None = None
    settings: Settings = field(default_factory=Settings)
    white_balance: WhiteBalance = "as-shot"
    color_space: str = "srgb"
    tone: Literal["natural", "linear"] = "natural"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a photo.

    ``path`` of the photo, ``outputs`` written, the ``conditioning`` used (None if the
    mosaic was left alone) and the ``seconds`` it took.
    """

    path: Path
    outputs: tuple[Path, ...]
    conditioning: Conditioning | None
    seconds: float


def output_paths(path: Path, options: EnhanceOptions) -> dict[Format, Path]:
    """Return where each format of a photo's result goes.

    Raises
    ------
    OutputExistsError, OutputWriteError
        If one is there already, or is the photo itself, which is never written to.
    ValueError
        If two of the formats would have one name.
    """
    folder = options.output or path.parent
    paths = {
        kind: folder / f"{path.stem}{options.suffix}{TABLE[kind].suffix}"
        for kind in options.formats
    }
    if len(set(paths.values())) < len(paths):
        raise ValueError(f"{' and '.join(paths)} would be written under one name")
    for target in paths.values():
        check_target(target, overwrite=options.overwrite, source=path)
    return paths


def enhance(
    path: Path | str,
    options: EnhanceOptions | None = None,
    *,
    restorer: Restorer | None = None,
    announce: Callable[[str], None] = say_nothing,
    progress: Progress = no_progress,
) -> Result:
    """Restore one photo and write the results beside it.

    Parameters
    ----------
    path : Path or str
        A camera RAW file. It is never written to.
    options : EnhanceOptions or None
        What to make of it.
    restorer : Restorer or None
        The network to use; None loads the default weights.
    announce : callable
        Takes one line of physical facts, before work starts.
    progress : callable
        Called with tiles done and tiles in all.

    Returns
    -------
    Result

    Raises
    ------
    NightFixError
        Of the family that fits: input, weights, device or output.
    """
    path, options, started = Path(path), options or EnhanceOptions(), time.perf_counter()
    raw = read_raw(path, allow_truncated=options.allow_truncated)
    paths = output_paths(path, options)
    conditioning = None
    if options.restore:
        if restorer is None:
            from nightfix.restorer import Restorer

            restorer = Restorer()
        conditioning = condition(
            raw,
            ratio=options.ratio,
            ev=options.ev,
            target_exposure=options.target_exposure,
            deblur=options.deblur,
        )
        announce(
            describe(raw, conditioning) + "; " + describe_work(conditioning, options, restorer)
        )
        if conditioning.warning:
            announce(f"note: {conditioning.warning}")
        raw = restorer.restore(raw, conditioning, options.settings, progress)
    else:
        announce(describe(raw, None) + "; not restored")
    developed = any(TABLE[kind].developed for kind in paths)
    if developed and (note := choose_white_balance(raw, options.white_balance).note):
        announce(f"note: {note}")
    write_results(
        raw,
        paths,
        _record(options, conditioning, restorer),
        WriteOptions(
            white_balance=options.white_balance,
            color_space=options.color_space,
            tone=options.tone,
            depth=options.depth,
            compression=options.compression,
            overwrite=options.overwrite,
        ),
    )
    return Result(
        path=path,
        outputs=tuple(paths.values()),
        conditioning=conditioning,
        seconds=time.perf_counter() - started,
    )


def _record(
    options: EnhanceOptions, conditioning: Conditioning | None, restorer: Restorer | None
) -> Record:
    """Write down how a result is made."""
    if conditioning is None or restorer is None:
        return Record()
    settings, noise = options.settings, conditioning.noise
    return Record(
        restored="True",
        weights=restorer.info.name,
        weights_sha256=restorer.info.sha256,
        ratio=repr(conditioning.amplification.ratio),
        steps=str(settings.steps or auto_steps(conditioning)),
        strength=f"{settings.strength:g}",
        headroom=f"{settings.headroom:g}",
        seed=str(settings.seed),
        deterministic=str(settings.deterministic),
        deblur="" if conditioning.blur is None else str(conditioning.blur),
        noise=f"{noise.a!r} {noise.b!r}",
        computed=f"{restorer.device} {precision(restorer)}",
    )


def camera_name(metadata: Metadata) -> str:
    """Return make and model, without a make that the model repeats; empty if unknown."""
    make, model = metadata.make, metadata.model
    repeated = bool(make) and model.lower().startswith(make.split()[0].lower())
    return model if repeated else f"{make} {model}".strip() or metadata.unique_camera_model


def describe(raw: RawImage, conditioning: Conditioning | None) -> str:
    """State the physical facts of a photo in one line."""
    metadata, exposure = raw.metadata, raw.metadata.exposure
    camera = camera_name(metadata) or "unknown camera"
    iso = "unknown ISO" if exposure.iso_speed is None else f"ISO {exposure.iso_speed:g}"
    seconds = exposure.exposure_time
    shutter = "unknown exposure time" if seconds is None else format_exposure_time(seconds)
    facts = [camera, shutter, iso]
    if conditioning is not None:
        amplified, noise = conditioning.amplification, conditioning.noise
        facts.append(f"ratio {amplified.ratio:.4g} ({amplified.reason})")
        facts.append(f"noise a {noise.a:.2g} b {noise.b:.2g} (from {_NOISE_SOURCES[noise.source]})")
    return f"{raw.path.name}: " + ", ".join(facts)


def describe_work(conditioning: Conditioning, options: EnhanceOptions, restorer: Restorer) -> str:
    """State what will be done to a photo, and where."""
    settings = options.settings
    steps = settings.steps or auto_steps(conditioning)
    plural = "step" if steps == 1 else "steps"
    how = "" if settings.steps else " (auto)"
    return (
        f"{steps} {plural}{how}, {restorer.info.name} on {restorer.device} "
        f"in {precision(restorer)}, tile {restorer.tile(settings)}"
    )


def precision(restorer: Restorer) -> str:
    """Return the number format that a restorer computes in."""
    return str(restorer.dtype).removeprefix("torch.")
