"""Develop: what the lens did to the picture, undone: distortion, colored edges, dark corners.

Each pixel of the corrected picture is traced back, through all corrections in turn, to where it
lies on the sensor, for each color on its own. So the picture is interpolated once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nightfix.develop.lens_profile import Profile, find_profile
from nightfix.read import (
    GainMap,
    RawImage,
    Rectangle,
    Vignette,
    Warp,
    map_gains,
    moves_colors_apart,
    moves_green,
    picture_corrections,
    vignette_gains,
    warped,
)

Lens = Literal["auto", "off"]

Places = NDArray[np.floating]
Plane = NDArray[np.float32]


class Traced(NamedTuple):
    """Where pixels of the corrected picture come from.

    ``rows`` and ``columns`` of the mosaic, shape (1, h, w) for all colors or (3, h, w) [px], and
    ``gains`` by which the light there is multiplied, of the same shape; None for none.
    """

    rows: Places
    columns: Places
    gains: Places | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LensFacts:
    """What is corrected of a photo's lens.

    Attributes
    ----------
    source : {"file", "lensfun"}
        Who says how: the DNG itself, or the lens's profile in lensfun's database.
    corrected : tuple of {"distortion", "lateral color", "vignetting"}
        What, at least one.
    profile : str
        The lens's name in lensfun's database; "" of a file's own corrections.
    """

    source: Literal["file", "lensfun"]
    corrected: tuple[str, ...]
    profile: str = ""

    def __str__(self) -> str:
        """Tell it to a photographer."""
        *first, last = self.corrected
        what = f"{', '.join(first)} and {last}" if first else last
        return f"{what} ({f'lensfun: {self.profile}' if self.profile else 'as the file says'})"


@dataclass(frozen=True, slots=True, kw_only=True)
class LensCorrection:
    """How a photo's lens is corrected.

    Attributes
    ----------
    facts : LensFacts
        What is corrected.
    trace : callable
        Tells of rows and columns of the mosaic's frame where those of the corrected picture
        come from.
    """

    facts: LensFacts
    trace: Callable[[range, range], Traced]


#: What ``develop_raw`` takes: how to find the correction, or the correction itself.
LensChoice: TypeAlias = "Lens | LensCorrection"


def lens_correction(raw: RawImage, lens: LensChoice = "auto") -> LensCorrection | None:
    """Find out how a photo's lens is corrected.

    Parameters
    ----------
    raw : RawImage
        The photo, with its whole mosaic and its own crop.
    lens : {"auto", "off"} or LensCorrection
        "auto" is what the file says, else the lens's profile in lensfun's database where the
        library is installed and knows the lens. A correction is returned as it is.

    Returns
    -------
    LensCorrection or None
        None if nothing is to be corrected.
    """
    if isinstance(lens, LensCorrection):
        return lens
    if lens == "off":
        return None
    own = own_correction(raw)
    if own is not None:
        return own
    return _by_profile(raw, find_profile(raw))


def own_correction(raw: RawImage) -> LensCorrection | None:
    """Return how a DNG's own OpcodeList3 corrects its lens; None if it does not.

    Warps (WarpRectilinear, WarpFisheye, WarpRectilinear2), FixVignetteRadial and GainMap, in the
    file's order. The list's other opcodes are left out.
    """
    colors = 1 if raw.cfa_pattern is None else 3
    steps = [each for each in picture_corrections(raw.opcodes, colors)[0] if _does_something(each)]
    if not steps:
        return None
    warps = [each for each in steps if isinstance(each, Warp)]
    told = {
        "distortion": any(map(moves_green, warps)),
        "lateral color": any(map(moves_colors_apart, warps)),
        "vignetting": len(warps) < len(steps),
    }
    # Colors that are treated alike are traced once.
    alike = all(
        each.sets == 1 if isinstance(each, Warp) else isinstance(each, Vignette) for each in steps
    )
    return LensCorrection(
        facts=LensFacts(source="file", corrected=tuple(name for name, has in told.items() if has)),
        trace=partial(_trace_steps, tuple(steps), raw.mosaic.shape[:2], 1 if alike else colors),
    )


def other_opcodes(raw: RawImage) -> tuple[str, ...]:
    """Return the names of what a DNG's OpcodeList3 asks for besides, which is not carried out."""
    return picture_corrections(raw.opcodes, 1 if raw.cfa_pattern is None else 3)[1]


def _does_something(step: Warp | Vignette | GainMap) -> bool:
    if isinstance(step, Warp):
        return moves_green(step) or moves_colors_apart(step)
    if isinstance(step, Vignette):
        return any(step.factors)
    return bool((step.gains != 1).any())


def _trace_steps(
    steps: tuple[Warp | Vignette | GainMap, ...],
    shape: tuple[int, int],
    colors: int,
    rows: range,
    columns: range,
) -> Traced:
    """Walk back through the file's corrections, the last one first."""
    traced = []
    for color in range(colors):
        down, across = np.meshgrid(  # 0.001 px is enough, and half the time
            np.arange(rows.start, rows.stop, dtype=np.float32),
            np.arange(columns.start, columns.stop, dtype=np.float32),
            indexing="ij",
        )
        gains = None
        for step in reversed(steps):
            if isinstance(step, Warp):
                down, across = warped(step, down, across, shape, color)
            else:
                factor = _gains_of(step, down, across, shape, color)
                gains = factor if gains is None else gains * factor
        traced.append((down, across, np.ones_like(down) if gains is None else gains))
    down, across, gains = map(np.stack, zip(*traced, strict=True))
    has_gains = any(not isinstance(step, Warp) for step in steps)
    return Traced(down, across, gains if has_gains else None)


def _gains_of(
    step: Vignette | GainMap, rows: Places, columns: Places, shape: tuple[int, int], color: int
) -> Places:
    if isinstance(step, Vignette):
        return vignette_gains(step, rows, columns, shape)
    if step.plane != color:
        return np.ones_like(rows)
    return map_gains(step, rows, columns, shape)


def _by_profile(raw: RawImage, profile: Profile | None) -> LensCorrection | None:
    if profile is None:
        return None
    return LensCorrection(
        facts=LensFacts(source="lensfun", corrected=profile.corrected, profile=profile.name),
        trace=partial(_trace_profile, profile, raw.cfa_pattern is None),
    )


def _trace_profile(profile: Profile, gray: bool, rows: range, columns: range) -> Traced:
    down, across = profile.places(rows, columns)
    if gray:  # seen as green is
        middle = slice(len(down) // 2, len(down) // 2 + 1)
        down, across = down[middle], across[middle]
    return Traced(down, across, profile.gains(down, across))


def source_area(raw: RawImage, correction: LensCorrection | None) -> Rectangle:
    """Return the part of the mosaic that the crop of a corrected picture is made of.

    Parameters
    ----------
    raw : RawImage
        Gives mosaic and crop.
    correction : LensCorrection or None
        None leaves every pixel where it is.
    """
    if correction is None:
        return raw.crop
    top, left, height, width = raw.crop
    rows, columns = range(top, top + height), range(left, left + width)
    # What is furthest out comes from the border.
    sides = [(rows[:1], columns), (rows[-1:], columns), (rows, columns[:1]), (rows, columns[-1:])]
    traced = [correction.trace(*side) for side in sides]
    height, width = raw.mosaic.shape[:2]
    down = needed_range(np.concatenate([each.rows.ravel() for each in traced]), height)
    across = needed_range(np.concatenate([each.columns.ravel() for each in traced]), width)
    return Rectangle(down.start, across.start, len(down), len(across))


def needed_range(places: Places, side: int) -> range:
    """Return the rows or columns, of ``side``, that interpolation at some places needs."""
    low, high = np.clip([places.min(), places.max()], 0, side - 1)
    return range(max(0, int(low) - 1), min(side, int(high) + 3))
