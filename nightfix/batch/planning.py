"""Batch: what a batch would do (``--dry-run``)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nightfix.batch.engine import options_for
from nightfix.batch.sources import Photo
from nightfix.condition import AUTO_STEPS, ExposureTarget, Settings, condition_raw
from nightfix.errors import NightFixError
from nightfix.pipeline import EnhanceOptions, missing_outputs, settings_fingerprint
from nightfix.read import raw_from_array, read_size
from nightfix.write import FILE_FORMATS, Format

if TYPE_CHECKING:
    from nightfix.restore import Restorer

#: Rough size of a pixel in a result, measured on the restored example; noise takes more [bytes].
_BYTES_PER_PIXEL: dict[Format, float] = {
    "tiff": 5.0,
    "dng": 1.3,
    "linear-dng": 3.0,
    "jpeg": 0.25,
    "png": 1.2,
    "avif": 0.1,
}
#: The same where only the preview is compressed, and the factor for floats.
_UNCOMPRESSED: dict[Format, float] = {"tiff": 6.0, "dng": 2.3, "linear-dng": 6.3}
_FLOATS = 1.8

#: Side of the picture on which the network's speed is measured [px].
_PROBE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What would become of one photo.

    Attributes
    ----------
    path : Path
        The photo.
    targets : tuple of Path
        Results that would be written; empty where all are there already.
    error : NightFixError or None
        What would stop it.
    pixels : int
        Size of the photo [px]; 0 where nothing would be written.
    size : int
        About what the results would take on the disk [bytes].
    """

    path: Path
    targets: tuple[Path, ...] = ()
    error: NightFixError | None = None
    pixels: int = 0
    size: int = 0

    @property
    def skipped(self) -> bool:
        """Whether there is nothing to do."""
        return self.error is None and not self.targets


def plan(photos: Iterable[Photo], options: EnhanceOptions, weights: str) -> list[Planned]:
    """Find out what a batch would do, from names and results alone.

    Parameters
    ----------
    photos : iterable of Photo
        As :func:`nightfix.batch.sources.find_photos` finds them.
    options : EnhanceOptions
        What is wanted.
    weights : str
        SHA-256 of the weights.

    Returns
    -------
    list of Planned
        Without sizes; see :func:`with_sizes`.
    """
    return [_plan_one(photo, options_for(photo, options), weights) for photo in photos]


def is_needed(photos: Iterable[Photo], options: EnhanceOptions, weights: str) -> bool:
    """Tell whether anything would be written, from as few photos as that takes.

    Parameters are those of :func:`plan`, which looks at all of them.
    """
    return any(_plan_one(photo, options_for(photo, options), weights).targets for photo in photos)


def _plan_one(photo: Photo, options: EnhanceOptions, weights: str) -> Planned:
    if photo.error is not None:
        return Planned(path=photo.path, error=photo.error)
    try:
        fingerprint = settings_fingerprint(photo.path, options, weights)
        targets = missing_outputs(photo.path, options, fingerprint)
    except OSError:
        return Planned(path=photo.path, targets=(photo.path,))  # reading it will say why
    except NightFixError as error:
        return Planned(path=photo.path, error=error)
    return Planned(path=photo.path, targets=tuple(targets.values()))


def with_sizes(planned: Planned, options: EnhanceOptions) -> Planned:
    """Add the size of a photo and of its results, from the photo's header."""
    if planned.error is not None or planned.skipped:
        return planned
    try:
        height, width = read_size(planned.path)
    except NightFixError as error:
        return replace(planned, targets=(), error=error)
    missing = {target.suffix for target in planned.targets}
    kinds = [kind for kind in options.formats if FILE_FORMATS[kind].suffix in missing]
    per_pixel = sum(_bytes_per_pixel(kind, options) for kind in kinds)
    return replace(planned, pixels=height * width, size=round(height * width * per_pixel))


def _bytes_per_pixel(kind: Format, options: EnhanceOptions) -> float:
    sizes = _BYTES_PER_PIXEL
    if options.writing.compression == "none":
        sizes = sizes | _UNCOMPRESSED
    return sizes[kind] * (_FLOATS if kind == "tiff" and options.writing.depth == 32 else 1)


def seconds_per_pixel(restorer: Restorer, settings: Settings) -> float:
    """Measure how long the network takes for a pixel, all passes together [s].

    It runs on a small gray picture; the first run, which warms up, is not counted.
    """
    settings = replace(settings, steps=settings.steps or AUTO_STEPS)
    raw = raw_from_array(np.full((_PROBE, _PROBE), 0.02), noise=(1e-4, 1e-6))
    # Without looking for shake, which takes the same time whatever the photo's size.
    conditioning = condition_raw(raw, ExposureTarget(ratio=16), deblur=False)
    restorer.restore(raw, conditioning, replace(settings, steps=1))
    started = time.perf_counter()
    restorer.restore(raw, conditioning, settings)
    return (time.perf_counter() - started) / _PROBE**2
