"""Pipeline: one region of a photo, captured and restored, in seconds.

Metering, noise and shake are those of the whole photo, so the region looks as it will in
the result; the shake is measured where the photo has most detail. What the network made of
the region, and the shake, are kept in the user's cache: other strengths cost no pass.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import platformdirs
from numpy.typing import NDArray

from nightfix.condition import Conditioning, ceiling, detail_share
from nightfix.develop import LensCorrection, Look, develop_raw, lens_correction, orient, source_area
from nightfix.errors import CropError
from nightfix.pipeline.fingerprint import settings_fingerprint
from nightfix.pipeline.look import look_of
from nightfix.pipeline.measuring import (
    blend_with_capture,
    detail_note,
    measure_photo,
    motion_note,
    upright_motion,
)
from nightfix.pipeline.options import EnhanceOptions
from nightfix.progress import Progress, no_progress, say_nothing
from nightfix.read import RawImage, Rectangle, read_raw

if TYPE_CHECKING:
    from nightfix.restore import CameraMotion, Restorer

Rgb = NDArray[np.float32]

#: Size of the region where none is asked for [px].
DEFAULT_SIZE = (640, 480)

#: Pixels around the region that the network sees as well, for the edges to be right.
_MARGIN = 256

#: Pitch on which it is cut out: even, for the pattern, and that of the anchored brightness [px].
_GRID = 32

#: Regions and shakes that are kept in the cache.
_KEPT = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A region before and after, developed alike.

    ``before`` is the amplified capture as read, ``after`` the blend that was asked for, both of
    shape (H, W, 3) in [0, 1]; ``conditioning`` is the photo's; ``cached`` tells that no
    network ran.
    """

    before: Rgb
    after: Rgb
    conditioning: Conditioning
    cached: bool


def preview(
    path: str | os.PathLike[str],
    options: EnhanceOptions,
    *,
    weights: str,
    load: Callable[[], Restorer],
    crop: tuple[int, int, int, int] | None = None,
    cache: str | os.PathLike[str] | None = None,
    announce: Callable[[str], None] = say_nothing,
    progress: Progress = no_progress,
) -> Preview:
    """Restore one region of a photo and develop it, before and after.

    Parameters
    ----------
    path : str or path-like
        A camera RAW file.
    options : EnhanceOptions
        As for the whole photo.
    weights : str
        SHA-256 of the weights.
    load : callable
        Loads the network; called only where it has to run.
    crop : (left, top, width, height) or None
        In pixels of the upright picture, its lens corrected; None is a region in its middle.
    cache : str, path-like or None
        Folder of kept regions; None is in the user's cache.
    announce : callable
        Takes notes on the photo.
    progress : callable
        Called with tiles done and tiles in all.

    Returns
    -------
    Preview

    Raises
    ------
    CropError
        If the region is not in the picture.
    NightFixError
        As for :func:`nightfix.pipeline.photo.enhance`.
    """
    path, cache = Path(path), None if cache is None else Path(cache)
    captured = read_raw(path)
    region = sensor_area(captured, crop or _middle(captured))
    raw, conditioning, _, notes = measure_photo(captured, options)
    look, said = look_of(captured, options.writing)
    asked = options.settings.detail
    drawn = detail_note(raw, asked, detail_share(raw, conditioning, options.settings))
    for note in (*notes, *filter(None, [said, drawn])):
        announce(f"note: {note}")
    full_strength = replace(
        options, settings=replace(options.settings, strength=100.0), chroma=None
    )
    lens = lens_correction(captured, options.writing.lens)
    seen = source_area(replace(captured, crop=region), lens)
    around = _around(seen, raw.mosaic.shape)
    key = _cache_key(cache, path, full_strength, weights)
    kept = key.with_name(f"{key.name}-{'-'.join(map(str, around))}.npy")
    part = _cut(raw, around)
    mosaic = _load_kept(kept, part.mosaic.shape)
    if mosaic is None:
        restorer = load()
        with_shake = _with_shake(
            conditioning,
            key.with_name(f"{key.name}-shake.npy"),
            lambda: restorer.with_shake(raw, conditioning, full_strength.settings, progress),
        )
        restored = restorer.restore(
            part,
            with_shake,
            full_strength.settings,
            progress,
            lambda motion: announce(f"note: {_noted(motion, raw, options)}"),
        )
        _keep(kept, restored.mosaic)
    else:
        restored = replace(part, mosaic=mosaic)
    mixed = blend_with_capture(part, restored, conditioning, options)
    ratio = conditioning.amplification.ratio
    highest = ceiling(raw, ratio, options.settings)
    amplified = np.minimum(captured.mosaic * np.float32(ratio), np.float32(highest))
    frame = replace(captured, mosaic=amplified, crop=region)
    before = _develop(frame, options, lens, look)
    rows, columns = _slices(around)
    amplified[rows, columns] = mixed.mosaic
    return Preview(
        before=before,
        after=_develop(frame, options, lens, look),
        conditioning=conditioning,
        cached=mosaic is not None,
    )


def _noted(motion: CameraMotion, raw: RawImage, options: EnhanceOptions) -> str:
    upright = upright_motion(motion, raw.orientation)
    return motion_note(upright.length, upright.direction, options.deblur)


def _with_shake(
    conditioning: Conditioning, kept: Path, measure: Callable[[], Conditioning]
) -> Conditioning:
    """Add the photo's shake, kept from before or measured; an empty kernel is kept for none."""
    from nightfix.restore import KERNEL_SIZE, LONG_KERNEL_SIZE

    shake = _load_kept(kept, *((side, side) for side in (0, KERNEL_SIZE, LONG_KERNEL_SIZE)))
    if shake is not None:
        return replace(conditioning, blur=shake.size > 0, shake=shake if shake.size else None)
    with_shake = measure()
    if with_shake is not conditioning:
        _keep(kept, np.zeros((0, 0), np.float32) if with_shake.shake is None else with_shake.shake)
    return with_shake


def _develop(
    raw: RawImage, options: EnhanceOptions, lens: LensCorrection | None, look: Look | None
) -> Rgb:
    writing = options.writing
    return develop_raw(
        raw,
        white_balance=writing.white_balance,
        tone=writing.tone,
        lens=lens or "off",
        look=look,
    )


def side_by_side(left: Rgb, right: Rgb) -> Rgb:
    """Put two pictures of one height beside each other, a white line between them."""
    line = np.ones((left.shape[0], 4, 3), np.float32)
    return np.concatenate([left, line, right], axis=1)


def _upright_size(raw: RawImage) -> tuple[int, int]:
    """Return width and height of the picture as it is seen."""
    empty = np.broadcast_to(np.False_, (raw.crop.height, raw.crop.width))
    height, width = orient(empty, raw.orientation).shape
    return width, height


def _middle(raw: RawImage) -> tuple[int, int, int, int]:
    size = _upright_size(raw)
    width, height = (min(wanted, there) for wanted, there in zip(DEFAULT_SIZE, size, strict=True))
    return (size[0] - width) // 2, (size[1] - height) // 2, width, height


def sensor_area(raw: RawImage, crop: tuple[int, int, int, int]) -> Rectangle:
    """Return the area of the mosaic that a region of the upright picture shows.

    Parameters
    ----------
    raw : RawImage
        Gives crop and orientation.
    crop : (left, top, width, height)
        In pixels of the upright picture.

    Raises
    ------
    CropError
        If the region is not in the picture.
    """
    left, top, width, height = crop
    full_width, full_height = _upright_size(raw)
    if left + width > full_width or top + height > full_height:
        raise CropError(raw.path, crop, (full_width, full_height))
    shape = (raw.crop.height, raw.crop.width)
    rows, columns = (
        orient(np.broadcast_to(index, shape), raw.orientation)[[top, top + height - 1]][
            :, [left, left + width - 1]
        ]
        for index in (np.arange(shape[0])[:, None], np.arange(shape[1])[None])
    )
    return Rectangle(
        top=raw.crop.top + int(rows.min()),
        left=raw.crop.left + int(columns.min()),
        height=int(np.ptp(rows)) + 1,
        width=int(np.ptp(columns)) + 1,
    )


def _around(region: Rectangle, shape: tuple[int, ...]) -> Rectangle:
    """Return the region with its margin, on the grid of the means that hold its brightness."""
    top = max(0, region.top - _MARGIN) // _GRID * _GRID
    left = max(0, region.left - _MARGIN) // _GRID * _GRID
    bottom = min(shape[0], region.top + region.height + _MARGIN)
    right = min(shape[1], region.left + region.width + _MARGIN)
    return Rectangle(top=top, left=left, height=bottom - top, width=right - left)


def _slices(area: Rectangle) -> tuple[slice, slice]:
    return (
        slice(area.top, area.top + area.height),
        slice(area.left, area.left + area.width),
    )


def _cut(raw: RawImage, area: Rectangle) -> RawImage:
    mosaic = np.ascontiguousarray(raw.mosaic[_slices(area)])
    return replace(raw, mosaic=mosaic, crop=Rectangle(0, 0, area.height, area.width))


def _cache_key(cache: Path | None, path: Path, options: EnhanceOptions, weights: str) -> Path:
    """Return the beginning of the names of cached files, by all that decides their content."""
    network = EnhanceOptions(
        black=options.black,
        dark=options.dark,
        hot_pixels=options.hot_pixels,
        exposure=options.exposure,
        deblur=options.deblur,
        settings=options.settings,
    )
    folder = cache or platformdirs.user_cache_path("nightfix") / "previews"
    return folder / settings_fingerprint(path, network, weights)[:32]


def _load_kept(path: Path, *shapes: tuple[int, ...]) -> Rgb | None:
    with suppress(OSError, ValueError, EOFError):
        array = np.load(path, allow_pickle=False)
        if array.shape in shapes and array.dtype == np.float32:
            return np.asarray(array)
    return None


def _keep(path: Path, array: Rgb) -> None:
    """Cache an array and drop the oldest ones; if the disk is full, nothing is cached."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)
        for old in sorted(path.parent.glob("*.npy"), key=lambda p: p.stat().st_mtime)[:-_KEPT]:
            old.unlink()
