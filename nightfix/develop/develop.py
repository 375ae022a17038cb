"""Develop: from the mosaic, captured or restored, to a picture that is ready to look at.

One step a file, in this order: white balance, highlights, demosaic, lens, color, tone,
orientation. It works on tiles, so a picture of any size needs little more memory
than itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from nightfix.develop.color import COLOR_SPACES, ColorSpace, between_spaces, camera_to_rgb
from nightfix.develop.demosaic import (
    compress_range,
    demosaic_block,
    demosaic_tiles,
    expand_range,
    take_block,
)
from nightfix.develop.highlights import (
    raise_saturated,
    recover_highlights,
    saturation_levels,
)
from nightfix.develop.lens import LensChoice, LensCorrection, lens_correction, needed_range
from nightfix.develop.look import LIGHT_SPACE, LOOK_SPACE, Look
from nightfix.develop.orientation import orient, undo_orientation
from nightfix.develop.tone import fit_gamut, open_shadows, tone_map
from nightfix.develop.white_balance import Balance, WhiteBalance, choose_white_balance
from nightfix.parallel import in_parallel
from nightfix.read import (
    CfaPattern,
    RawImage,
    apply_gain_maps,
    finite,
    has_three_colors,
    phase,
    sampled,
)

__all__ = [
    "Balance",
    "Tone",
    "WhiteBalance",
    "choose_white_balance",
    "convert_light",
    "demosaic_camera",
    "develop_raw",
]

Tone = Literal["natural", "linear", "scene", "natural-hdr"]
Plane = NDArray[np.float32]

#: Tones whose pictures are linear light, with lamps above white.
LINEAR_TONES: frozenset[Tone] = frozenset({"scene", "natural-hdr"})

#: The brightest light that is not simply white: eight times white, balanced by two [-].
_BRIGHTEST = 16.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    """What every tile needs to know of the whole picture."""

    scale: np.float32
    gains: Plane
    ceilings: Plane | None
    to_rgb: Plane
    luminance: Plane
    brightest: float
    space: ColorSpace
    tone: Tone
    look: Look | None = None
    hold_colors: bool = True
    lens: LensCorrection | None = None


def develop_raw(
    raw: RawImage,
    *,
    white_balance: WhiteBalance = "as-shot",
    color_space: str = "srgb",
    tone: Tone = "natural",
    lens: LensChoice = "auto",
    look: Look | None = None,
) -> NDArray[np.float32]:
    """Develop a RAW into a picture.

    Parameters
    ----------
    raw : RawImage
        Captured or restored. ``mosaic * 2**baseline_exposure`` is developed, so
        1.0 of that is white and lamps may be above.
    white_balance : {"as-shot", "auto", "daylight"} or (R, G, B)
        See :func:`choose_white_balance`, which tells what was used in the end.
    color_space : str
        A name in :data:`nightfix.develop.color.COLOR_SPACES`.
    tone : {"natural", "linear", "scene", "natural-hdr"}
        "natural" opens shadows a little and keeps lamps' gradation below white;
        "linear" keeps the light as it is and clips at white. "scene" and "natural-hdr"
        are what these two would be without an upper end: neither clipped nor encoded.
    lens : {"auto", "off"} or LensCorrection
        See :func:`nightfix.develop.lens.lens_correction`: "auto" corrects the lens's distortion,
        lateral chromatic aberration and vignetting where the file or lensfun says how. Where
        ``crop`` is not the photo's own, a correction that was found for the whole.
    look : Look or None
        Colors and tones in place of the natural ones; of tone "natural" alone.

    Returns
    -------
    ndarray, shape (H, W, 3), float32
        Values in [0, 1], encoded by the color space's curve; of "scene" and "natural-hdr",
        linear light with white at 1 and lamps above. Cropped to the default crop and
        upright, with lens shading that the file wants corrected before demosaicing
        (OpcodeList2) corrected in any case.

    Raises
    ------
    ValueError
        If the color space, the tone or the white balance is unknown, a look is to be
        joined with another tone, or the crop holds no pixel of the mosaic.
    """
    if color_space not in COLOR_SPACES:
        raise ValueError(f"color space {color_space!r} is none of {', '.join(COLOR_SPACES)}")
    if tone not in get_args(Tone):
        raise ValueError(f"tone {tone!r} is none of {', '.join(get_args(Tone))}")
    if look is not None and tone != "natural":
        raise ValueError(f"a look has tones of its own, and does not go with tone {tone!r}")
    correction = lens_correction(raw, lens)
    raw = apply_gain_maps(raw)
    raw = replace(raw, mosaic=finite(raw.mosaic))
    balance = choose_white_balance(raw, white_balance)
    recipe = _plan(raw, balance, COLOR_SPACES[color_space], tone, look)
    recipe = replace(recipe, lens=correction)
    rows, columns = _crop(raw)
    upright = orient(np.empty((len(rows), len(columns), 3), np.bool_), raw.orientation).shape
    picture = np.empty(upright, np.float32)
    sensor_view = undo_orientation(picture, raw.orientation)

    def develop_one(part: tuple[range, range]) -> None:
        tile_rows, tile_columns = part
        tile = _develop_tile(raw, recipe, tile_rows, tile_columns)
        top, left = tile_rows.start - rows.start, tile_columns.start - columns.start
        area = sensor_view[top : top + len(tile_rows), left : left + len(tile_columns)]
        for channel, plane in enumerate(tile):
            area[..., channel] = plane

    for _ in in_parallel(develop_one, demosaic_tiles(rows, columns)):
        pass
    return picture


def _apply_look(light: Plane, look: Look, recipe: _Recipe) -> Plane:
    shown = look.apply(light, recipe.brightest)
    own = COLOR_SPACES[LOOK_SPACE]
    if recipe.space == own:
        return shown
    linear = np.moveaxis(own.decode(shown), 0, -1)
    return recipe.space.encode(np.moveaxis(convert_light(linear, own, recipe.space), -1, 0))


def convert_light(
    light: NDArray[np.float32], source: ColorSpace, target: ColorSpace
) -> NDArray[np.float32]:
    """Bring a picture's light from one space into another.

    Parameters
    ----------
    light : ndarray, shape (H, W, 3), float32
        Linear RGB of ``source``, 1.0 = white.
    source, target : ColorSpace
        Where from and where to; white stays white (Bradford where the whites differ).

    Returns
    -------
    ndarray, same shape
        Linear RGB of ``target``, >= 0: colors that it lacks are brought into it by
        :func:`nightfix.develop.tone.fit_gamut`. What is above 1 stays.
    """
    matrix = between_spaces(source, target).astype(np.float32)
    rgb = np.tensordot(matrix, light, axes=([1], [2]))
    fit_gamut(rgb, target.rgb_to_xyz[1].astype(np.float32))
    return np.ascontiguousarray(np.moveaxis(rgb, 0, -1))


def demosaic_camera(raw: RawImage) -> NDArray[np.float32]:
    """Demosaic a RAW and leave it at that: camera RGB, for a Linear DNG.

    Parameters
    ----------
    raw : RawImage
        Of a Bayer sensor, or with three colors a pixel; captured or restored.

    Returns
    -------
    ndarray, shape (H, W, 3), float32
        Linear, neither balanced nor clipped, on the scale of ``raw.mosaic``; the whole
        mosaic in sensor orientation. Highlights stay as the sensor has them.
    """
    if has_three_colors(raw):
        return raw.mosaic.copy()
    if raw.cfa_pattern is None:
        raise ValueError("a monochrome sensor has no mosaic of colors")
    recipe = _plan(raw, choose_white_balance(raw), COLOR_SPACES["srgb"], "linear")
    plain = replace(recipe, scale=np.float32(1), ceilings=None, hold_colors=False)
    height, width = raw.mosaic.shape
    picture = np.empty((height, width, 3), np.float32)
    for rows, columns in demosaic_tiles(range(height), range(width)):
        camera = _camera_rgb(raw, plain, rows, columns)
        area = picture[rows.start : rows.stop, columns.start : columns.stop]
        area[...] = np.moveaxis(camera, 0, -1) / recipe.gains
    return picture


def _plan(
    raw: RawImage, balance: Balance, space: ColorSpace, tone: Tone, look: Look | None = None
) -> _Recipe:
    """Take the few numbers of the whole picture that its tiles depend on."""
    working = space if look is None else COLOR_SPACES[LIGHT_SPACE]
    scale, gains = np.float32(2**raw.baseline_exposure), balance.gains.astype(np.float32)
    ceilings = None
    if raw.cfa_pattern is None:
        brightest = float(raw.mosaic.max()) * float(scale)
    else:
        mosaic = sampled(raw).mosaic
        levels = saturation_levels(mosaic, raw.cfa_pattern, scale=float(scale))
        ceilings = None if levels is None else levels * gains
        brightest = float((_peaks(mosaic, raw.cfa_pattern) * gains).max()) * float(scale)
    return _Recipe(
        scale=scale,
        gains=gains,
        ceilings=ceilings,
        to_rgb=camera_to_rgb(raw.color_matrices, balance.neutral, working),
        luminance=working.rgb_to_xyz[1].astype(np.float32),
        brightest=min(max(brightest, 1.0), _BRIGHTEST),
        space=space,
        tone=tone,
        look=look,
    )


def _peaks(mosaic: Plane, cfa_pattern: CfaPattern) -> Plane:
    """Return the maximum of red, green, blue (0 where a tiny mosaic lacks one), shape (3,)."""
    row, column = phase(cfa_pattern)
    red, blue = mosaic[row::2, column::2], mosaic[1 - row :: 2, 1 - column :: 2]
    greens = (mosaic[row::2, 1 - column :: 2], mosaic[1 - row :: 2, column::2])
    green = max(float(plane.max(initial=0)) for plane in greens)
    return np.array([red.max(initial=0), green, blue.max(initial=0)], np.float32)


def _crop(raw: RawImage) -> tuple[range, range]:
    """Return the rows and columns of the default crop that the mosaic has."""
    height, width = raw.mosaic.shape[:2]
    crop = raw.crop
    rows = range(height)[max(crop.top, 0) : crop.top + crop.height]
    columns = range(width)[max(crop.left, 0) : crop.left + crop.width]
    if not rows or not columns:
        raise ValueError(f"crop {tuple(crop)} lies outside the mosaic of {height} x {width}")
    return rows, columns


def _develop_tile(raw: RawImage, recipe: _Recipe, rows: range, columns: range) -> Plane:
    """Develop one tile, upright as the sensor has it, shape (3, h, w)."""
    if recipe.lens is None:
        camera = _camera_rgb(raw, recipe, rows, columns)
    else:
        camera = _corrected_rgb(raw, recipe, recipe.lens, rows, columns)
    rgb = np.tensordot(recipe.to_rgb, camera, axes=1) if raw.cfa_pattern else camera
    light = (camera[0] + camera[1] + camera[2]) / np.float32(3) if raw.cfa_pattern else None
    fit_gamut(rgb, recipe.luminance, light)
    if recipe.look is not None:
        return _apply_look(rgb, recipe.look, recipe)
    if recipe.tone == "natural":
        rgb = tone_map(rgb, recipe.brightest)
    elif recipe.tone == "natural-hdr":
        rgb = open_shadows(rgb)
    return rgb if recipe.tone in LINEAR_TONES else recipe.space.encode(rgb)


def _corrected_rgb(
    raw: RawImage, recipe: _Recipe, lens: LensCorrection, rows: range, columns: range
) -> Plane:
    """Return a tile as :func:`_camera_rgb` does, with the lens corrected: interpolated once."""
    from nightfix.restore import resample

    traced = lens.trace(rows, columns)
    height, width = raw.mosaic.shape[:2]
    needed_rows = needed_range(traced.rows, height)
    needed_columns = needed_range(traced.columns, width)
    camera = resample(
        _camera_rgb(raw, recipe, needed_rows, needed_columns),
        np.clip(traced.rows, 0, height - 1) - needed_rows.start,
        np.clip(traced.columns, 0, width - 1) - needed_columns.start,
    )
    if traced.gains is not None:
        camera *= traced.gains.astype(np.float32)
    return camera


def _camera_rgb(raw: RawImage, recipe: _Recipe, rows: range, columns: range) -> Plane:
    """Return a tile in balanced camera RGB, linear, in reference units, shape (3, h, w)."""
    if raw.cfa_pattern is None:
        gray = raw.mosaic[rows.start : rows.stop, columns.start : columns.stop] * recipe.scale
        return np.repeat(gray[None], 3, axis=0)
    if has_three_colors(raw):
        part = raw.mosaic[rows.start : rows.stop, columns.start : columns.stop]
        camera = np.moveaxis(part, -1, 0) * (recipe.gains * recipe.scale)[:, None, None]
        if recipe.ceilings is not None:
            raise_saturated(camera, recipe.ceilings)
        return camera
    block, top, left = take_block(raw.mosaic, raw.cfa_pattern, rows, columns)
    red, green, blue = recipe.gains * recipe.scale
    block[0::2, 0::2] *= red
    block[0::2, 1::2] *= green
    block[1::2, 0::2] *= green
    block[1::2, 1::2] *= blue
    if recipe.ceilings is not None:
        recover_highlights(block, recipe.ceilings)
    planes = demosaic_block(
        compress_range(block), top, left, rows, columns, hold_colors=recipe.hold_colors
    )
    return expand_range(planes)
