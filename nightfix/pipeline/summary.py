"""Pipeline: the physical facts of a photo and of the work on it, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nightfix.condition import Conditioning, Settings, format_exposure_time, passes
from nightfix.read import Metadata, RawImage

if TYPE_CHECKING:
    from nightfix.develop import LensFacts
    from nightfix.restore import Restorer

#: What the noise model's source is called in the line that is shown first.
_NOISE_SOURCES = {
    "tag": "file's NoiseProfile",
    "table": "camera table",
    "photo": "the photo itself",
}


#: Shown for samples that were not a Bayer or monochrome mosaic in the file.
ORIGINS = {
    "mosaic": "",
    "x-trans": "X-Trans, interpolated to Bayer",
    "quad-bayer": "quad-Bayer, averaged to half its size",
    "demosaiced": "Linear DNG, taken back to its mosaic",
    "rgb": "three colors a pixel",
}


def camera_name(metadata: Metadata) -> str:
    """Return make and model, without a make that the model repeats; empty if unknown."""
    make, model = metadata.make, metadata.model
    repeated = bool(make) and model.lower().startswith(make.split()[0].lower())
    return model if repeated else f"{make} {model}".strip() or metadata.unique_camera_model


def describe(
    raw: RawImage, conditioning: Conditioning | None, lens: LensFacts | None = None
) -> str:
    """State the physical facts of a photo in one line, and what is corrected of its lens."""
    metadata, exposure = raw.metadata, raw.metadata.exposure
    camera = camera_name(metadata) or "unknown camera"
    iso = "unknown ISO" if exposure.iso_speed is None else f"ISO {exposure.iso_speed:g}"
    seconds = exposure.exposure_time
    shutter = "unknown exposure time" if seconds is None else format_exposure_time(seconds)
    parts = [camera, *filter(None, [ORIGINS[raw.origin]]), shutter, iso]
    if conditioning is not None:
        amplification, noise = conditioning.amplification, conditioning.noise
        parts.append(f"ratio {amplification.ratio:.4g} ({amplification.reason})")
        parts.append(f"noise a {noise.a:.2g} b {noise.b:.2g} (from {_NOISE_SOURCES[noise.source]})")
    if lens is not None:
        parts.append(f"corrects {lens}")
    return f"{raw.path.name}: " + ", ".join(parts)


def describe_work(settings: Settings, conditioning: Conditioning, restorer: Restorer) -> str:
    """State what will be done to a photo, and where."""
    steps = str(passes(settings, conditioning))
    plural = "step" if steps == "1" else "steps"
    return (
        f"{steps} {plural}, {restorer.info.name} on {restorer.device} "
        f"in {precision(restorer)}, tile {restorer.tile(settings)}"
    )


def precision(restorer: Restorer) -> str:
    """Return the number format that a restorer computes in."""
    return str(restorer.dtype).removeprefix("torch.")
