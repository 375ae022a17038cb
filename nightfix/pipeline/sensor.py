"""Entry: what is mended of the sensor before a photo is restored, and told of its levels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nightfix.condition import (
    Conditioning,
    DarkFrames,
    mend_hot_pixels,
    read_dark_frames,
    saturation_dn,
    subtract_dark,
)
from nightfix.read import RawImage, correct_black, has_three_colors

if TYPE_CHECKING:
    from nightfix.pipeline.options import EnhanceOptions

#: What masked pixels must add to black for a note on it [DN].
_WORTH_A_NOTE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """A photo whose sensor's faults are mended.

    ``hot_pixels`` is how many of them were mended, None if none were looked for; ``notes`` are
    what a user is told.
    """

    raw: RawImage
    hot_pixels: int | None
    notes: tuple[str, ...]


def mend_sensor(raw: RawImage, options: EnhanceOptions) -> Mended:
    """Correct black and mend hot pixels, as far as the options want it.

    Before anything is measured.
    """
    count, known = None, None
    notes = []
    if options.black == "masked":
        notes += [black_note(levels_of(raw, None))]
        raw = correct_black(raw)
    if options.dark:
        dark = _dark_frames(tuple(map(_known_by, options.dark)))
        raw, note = subtract_dark(raw, dark)
        notes += [note]
        known = dark.hot
    if options.hot_pixels == "auto" and not has_three_colors(raw):  # spread over their neighbors
        raw, count = mend_hot_pixels(raw, known=known)
        notes += [hot_pixels_note(count)]
    return Mended(raw=raw, hot_pixels=count, notes=tuple(filter(None, notes)))


def _known_by(name: str | os.PathLike[str]) -> tuple[Path, int, int]:
    """Return a file's path and what changes when it is written anew."""
    path = Path(name)
    try:
        state = path.stat()
    except OSError:
        return path, 0, 0  # reading it will say what is wrong
    return path, state.st_size, state.st_mtime_ns


@lru_cache(maxsize=1)
def _dark_frames(files: tuple[tuple[Path, int, int], ...]) -> DarkFrames:
    """Read dark frames once for all photos of a batch."""
    return read_dark_frames([path for path, *_ in files])


def hot_pixels_note(count: int) -> str:
    """Return what a user is told of hot, dead and stuck pixels that were mended; "" of none."""
    if not count:
        return ""
    pixels = "pixel" if count == 1 else "pixels"
    return f"repaired {count} hot or dead {pixels}; --hot-pixels off leaves them"


def black_note(levels: Levels) -> str:
    """Return what a user is told where masked pixels correct the black level; "" if by little."""
    most = max(map(abs, levels.black_added or (0.0,)))
    if most < _WORTH_A_NOTE and not levels.black_of_rows:
        return ""
    rows = ", and each row's" if levels.black_of_rows else ""
    return f"masked pixels correct black by up to {most:.1f} DN{rows}; --black stated leaves it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """A photo's levels in the file's own numbers.

    Attributes
    ----------
    black : tuple of four float
        As the file states them, by site of the mosaic: row % 2, column % 2 [DN].
    black_added : tuple of four float, or None
        What masked pixels around the picture add to that; None without any [DN].
    black_of_rows : float or None
        Standard deviation of what each row has besides; None where rows do not differ [DN].
    white : float
        As the file states it [DN].
    saturation : tuple of four (float or None), or None
        From where red, green on red rows, green on blue rows and blue are cut; None each where
        the photo does not show, and where nobody looked [DN].
    """

    black: tuple[float, ...]
    white: float
    saturation: tuple[float | None, ...] | None = None
    black_added: tuple[float, ...] | None = None
    black_of_rows: float | None = None


def levels_of(raw: RawImage, conditioning: Conditioning | None) -> Levels:
    """Gather the levels of a photo as it was read; ``conditioning`` None where nobody looked."""
    masked = raw.masked
    rows = None if masked is None or masked.rows is None else float(np.std(masked.rows))
    return Levels(
        black=tuple(float(level) for level in raw.black_level.ravel()),
        black_added=(
            None if masked is None else tuple(round(float(d), 2) for d in masked.offsets.ravel())
        ),
        black_of_rows=None if rows is None else round(rows, 2),
        white=raw.white_level,
        saturation=None if conditioning is None else saturation_dn(raw, conditioning.saturation),
    )


def say_black(levels: Levels) -> str:
    """Return in words what masked pixels say of the black level.

    Examples
    --------
    >>> say_black(Levels(black=(512.0,) * 4, white=16383, black_added=(1.02, 0.0, -0.02, -1.1)))
    'masked pixels add +1.0 +0.0 -0.0 -1.1 DN'
    """
    if levels.black_added is None:
        return "as stated; no masked pixels"
    added = " ".join(f"{value:+.1f}" for value in levels.black_added)
    rows = f", rows differ by {levels.black_of_rows:.1f} DN" if levels.black_of_rows else ""
    return f"masked pixels add {added} DN{rows}"


def say_saturation(levels: Levels) -> str:
    """Return in words where the planes are cut; empty where the photo does not show.

    Examples
    --------
    >>> seen = (None, 15100, 15100, 16383)
    >>> say_saturation(Levels(black=(512.0,) * 4, white=16383, saturation=seen))
    'green from 15100, blue from 16383 DN; red: not seen'
    """
    red, one, other, blue = levels.saturation or (None,) * 4
    named = {"red": {red}, "green": {one, other}, "blue": {blue}}
    known = {name: sorted(filter(None, found)) for name, found in named.items()}
    seen = [f"{name} from {' and '.join(map('{:g}'.format, v))}" for name, v in known.items() if v]
    unseen = [name for name, found in known.items() if not found]
    if not seen:
        return ""
    return f"{', '.join(seen)} DN" + (f"; {', '.join(unseen)}: not seen" if unseen else "")
