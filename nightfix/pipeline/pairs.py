"""Entry: a photo before and after, small, and what is known of it, from the files alone."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nightfix.condition import ceiling, format_exposure_time
from nightfix.develop import COLOR_SPACES, develop_raw
from nightfix.pipeline.compare import read_picture
from nightfix.pipeline.look import look_of
from nightfix.pipeline.measuring import generated_note, motion_note
from nightfix.pipeline.options import EnhanceOptions
from nightfix.pipeline.sensor import hot_pixels_note
from nightfix.pipeline.summary import camera_name
from nightfix.read import RawImage, read_raw
from nightfix.write import Record, record_of_file

#: Longest side of the pictures that are shown whole, and of the piece at full size [px].
SHOWN_SIDE, DETAIL_SIZE = 1600, (960, 640)

#: Results by how easily they are shown: pictures first, raws last.
_EASIEST = (".jpg", ".png", ".avif", ".tif", ".dng")

Shown = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeAfter:
    """A photo and its result, to be looked at beside each other.

    Attributes
    ----------
    before, after : ndarray, shape (h, w, 3), uint8
        The amplified photo, not restored, and the result; developed alike, of one size, the
        longest side at most :data:`SHOWN_SIDE`.
    detail_before, detail_after : ndarray, shape (h, w, 3), uint8
        The same piece of both at full size, where there is most to see.
    color_space : str
        Of all four, a name in ``COLOR_SPACES``.
    size : (int, int)
        Width and height of the whole picture [px].
    ratio : float
        The amplification [-]; 1 where nothing was restored.
    captured : str
        Local time as EXIF writes it; "" = unknown.
    facts : tuple of (str, str)
        Names and values, to be read by people.
    notes : tuple of str
        What the result's own record tells of hot pixels and shakes.
    """

    before: Shown
    after: Shown
    detail_before: Shown
    detail_after: Shown
    color_space: str
    size: tuple[int, int]
    ratio: float
    captured: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def easiest_to_show(outputs: tuple[Path, ...]) -> Path:
    """Return the result of several that shows best what a photo has become."""
    return min(outputs, key=lambda output: _EASIEST.index(output.suffix))


def before_after(
    path: str | os.PathLike[str], output: str | os.PathLike[str], options: EnhanceOptions
) -> BeforeAfter:
    """Make the pictures of a photo and of its result.

    Parameters
    ----------
    path : str or path-like
        A camera RAW file.
    output : str or path-like
        A result of it, of any format.
    options : EnhanceOptions
        With which the result was made.

    Raises
    ------
    InputError
        If one of the files cannot be read.
    """
    path, output = Path(path), Path(output)
    record = record_of_file(output) or Record()
    ratio = record.ratio or 1.0
    raw = read_raw(path, allow_truncated=options.allow_truncated)
    still_raw = output.suffix == ".dng"
    if still_raw:  # which no option of development touches
        options = EnhanceOptions(settings=options.settings)
    highest = np.float32(ceiling(raw, ratio, options.settings) if ratio > 1 else np.inf)
    amplified = np.minimum(raw.mosaic * np.float32(ratio), highest)
    tone = "linear" if _is_linear(output, options) else options.writing.tone
    before = _to_eight_bits(
        develop_raw(
            replace(raw, mosaic=amplified),
            white_balance=options.writing.white_balance,
            color_space=options.writing.color_space,
            tone=tone,
            look=look_of(raw, options.writing)[0] if tone == "natural" else None,
            lens=options.writing.lens,
        )
    )
    del amplified
    after = _to_eight_bits(_result(output, options))
    height, width = after.shape[:2]
    left, top = _most_detail(after)
    piece = np.s_[top : top + DETAIL_SIZE[1], left : left + DETAIL_SIZE[0]]
    return BeforeAfter(
        before=_shrink(before, (width, height)),
        after=_shrink(after, (width, height)),
        detail_before=np.ascontiguousarray(before[piece]),
        detail_after=np.ascontiguousarray(after[piece]),
        color_space=options.writing.color_space,
        size=(width, height),
        ratio=ratio,
        captured=raw.metadata.captured,
        facts=_facts(raw, record, ratio, (width, height)),
        notes=_notes(record),
    )


def _result(output: Path, options: EnhanceOptions) -> NDArray[np.float32]:
    """Return a result as it is to be seen, encoded in the curve of its color space."""
    picture = read_picture(output, color_space=options.writing.color_space)
    if _is_linear(output, options):
        picture = COLOR_SPACES[options.writing.color_space].encode(picture)
    return picture


def _is_linear(output: Path, options: EnhanceOptions) -> bool:
    """Tell whether a result holds linear light, which is not to be seen as it is."""
    return options.writing.depth == 32 and output.suffix == ".tif"


def _to_eight_bits(picture: NDArray[np.float32]) -> Shown:
    """Round a picture of our own making, which is spent by that: a large one is not copied."""
    picture *= np.float32(255)
    picture += np.float32(0.5)
    return picture.astype(np.uint8)


def _shrink(picture: Shown, size: tuple[int, int]) -> Shown:
    """Make a picture of some full size as small as it is shown."""
    scale = min(1.0, SHOWN_SIDE / max(size))
    small = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    if small == (picture.shape[1], picture.shape[0]):
        return picture
    return np.asarray(Image.fromarray(picture).resize(small, Image.Resampling.LANCZOS, None, 3.0))


def _most_detail(picture: Shown) -> tuple[int, int]:
    """Return the left upper corner of the piece whose brightness varies most, near the middle."""
    height, width = picture.shape[:2]
    step = max(1, min(height, width) // 200)
    gray = picture[::step, ::step, 1].astype(np.float32)
    rows, columns = max(1, DETAIL_SIZE[1] // step), max(1, DETAIL_SIZE[0] // step)
    if gray.shape[0] <= rows or gray.shape[1] <= columns:
        return max(0, (width - DETAIL_SIZE[0]) // 2), max(0, (height - DETAIL_SIZE[1]) // 2)
    edges = np.zeros((gray.shape[0] + 1, gray.shape[1] + 1), np.float64)
    down, right = np.gradient(gray)
    edges[1:, 1:] = np.cumsum(np.cumsum(np.hypot(down, right), 0), 1)
    sums = edges[rows:, columns:] - edges[:-rows, columns:]
    sums -= edges[rows:, :-columns] - edges[:-rows, :-columns]
    y, x = (np.linspace(-1, 1, count) for count in sums.shape)
    row, column = np.unravel_index(
        int(np.argmax(sums * (1 - 0.2 * np.hypot(y[:, None], x[None])))), sums.shape
    )
    return (
        min(int(column) * step, width - DETAIL_SIZE[0]),
        min(int(row) * step, height - DETAIL_SIZE[1]),
    )


def _facts(
    raw: RawImage, record: Record, ratio: float, size: tuple[int, int]
) -> tuple[tuple[str, str], ...]:
    """Return what a photographer asks of a photo and of the work on it."""
    metadata, exposure = raw.metadata, raw.metadata.exposure
    seconds = exposure.exposure_time
    told = {
        "Camera": camera_name(metadata),
        "Lens": metadata.lens,
        "Time": "" if seconds is None else format_exposure_time(seconds),
        "ISO": f"{exposure.iso_speed:g}" if exposure.iso_speed else "",
        "Aperture": f"f/{exposure.f_number:g}" if exposure.f_number else "",
        "Focal length": f"{exposure.focal_length:g} mm" if exposure.focal_length else "",
        "Taken": metadata.captured.replace(":", "-", 2),
        "Picture": f"{size[0]} x {size[1]} px",
        "Brightened": f"{ratio:.3g} times, {math.log2(ratio):.1f} stops" if ratio > 1 else "no",
        "Steps": "auto" if record.steps == 0 else str(record.steps or ""),
        "Strength": "" if record.strength in (None, 100) else f"{record.strength:g} %",
        "Color noise": "" if record.chroma is None else f"{record.chroma:g} %",
        "Detail": "" if not record.detail_drawn else f"{record.detail_drawn:.0f} % generated",
        "Lens corrected": "" if record.lens == "off" else record.lens,
        "Weights": record.weights if record.restored else "not restored",
    }
    return tuple((name, value) for name, value in told.items() if value)


def _notes(record: Record) -> tuple[str, ...]:
    notes = [hot_pixels_note(record.hot_pixels)] if record.hot_pixels else []
    if record.shake:
        notes.append(motion_note(record.shake, record.shake_direction, record.deblur))
    if record.detail_drawn:
        notes.append(generated_note(record.detail_drawn))
    return tuple(notes)
