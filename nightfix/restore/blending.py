"""Restore: blend restored picture and capture, gray grain and color noise separately."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nightfix.read import RawImage, has_three_colors, pack_bayer, unpack_bayer

#: Share of each packed plane in the gray part: every sample counts the same.
_GRAY = np.full(4, 0.25, np.float32)
_GRAY_OF_THREE = np.array([0.25, 0.5, 0.25], np.float32)


def blend(
    captured: RawImage,
    restored: RawImage,
    *,
    ratio: float,
    strength: float = 100.0,
    chroma: float | None = None,
    ceiling: float = float("inf"),
) -> RawImage:
    """Blend some of the captured grain back into a restored picture.

    Film grain in gray pleases where colored blotches do not: both have a share of
    their own. Blending RAW values keeps the light linear and costs no network pass.

    Parameters
    ----------
    captured : RawImage
        The photo as read.
    restored : RawImage
        The same photo, fully restored; its mosaic is ``ratio`` times as bright.
    ratio : float
        Amplification that brings the capture to the restored brightness, >= 1 [-].
    strength : float
        0 (the amplified capture) to 100 (the restored picture), for gray detail and noise.
    chroma : float or None
        The same for what is colored in the difference; None is the same as ``strength``.
        A monochrome sensor has none.
    ceiling : float
        Largest value of the blend, on the scale of the restored mosaic.

    Returns
    -------
    RawImage
        ``restored`` with the blended mosaic; itself where both shares are 100.

    Raises
    ------
    ValueError
        If a share is outside 0 to 100.

    Notes
    -----
    With D = ratio * capture - restored in each of the four planes i, g the gains that
    make the scene's white gray, and s, c the two shares in 0 to 1:

        gray = mean_i(g_i D_i),    D_i = gray / g_i + color_i
        blend_i = restored_i + (1 - s) gray / g_i + (1 - c) color_i
    """
    chroma = strength if chroma is None or captured.cfa_pattern is None else chroma
    if not (0 <= strength <= 100 and 0 <= chroma <= 100):
        raise ValueError("strength and chroma are between 0 and 100")
    if strength == chroma == 100:
        return restored
    packed = _planes(restored)
    removed = _planes(captured) * np.float32(ratio) - packed
    if strength == chroma:
        packed += np.float32(1 - strength / 100) * removed
    else:
        gains = _gains(captured)
        share = _GRAY if len(gains) == 4 else _GRAY_OF_THREE
        gray = np.tensordot(share * gains, removed, axes=1) / gains[:, None, None]
        packed += np.float32(1 - chroma / 100) * removed
        packed += np.float32((chroma - strength) / 100) * gray
    return replace(restored, mosaic=_together(np.minimum(packed, ceiling), restored))


def _planes(raw: RawImage) -> NDArray[np.float32]:
    """Return the packed planes of a mosaic, or a photo's three colors, shape (planes, h, w)."""
    if has_three_colors(raw):
        return np.moveaxis(raw.mosaic, -1, 0).copy()
    return pack_bayer(raw.mosaic, raw.cfa_pattern or "RGGB")


def _together(planes: NDArray[np.float32], raw: RawImage) -> NDArray[np.float32]:
    if has_three_colors(raw):
        return np.ascontiguousarray(np.moveaxis(planes, 0, -1))
    shape = (raw.mosaic.shape[0], raw.mosaic.shape[1])
    return np.ascontiguousarray(unpack_bayer(planes, raw.cfa_pattern or "RGGB", shape))


def _gains(raw: RawImage) -> NDArray[np.float32]:
    """Return the white-balance gain of each plane, shape (planes,); 1 where unknown."""
    neutral = np.ones(3) if raw.as_shot_neutral is None else raw.as_shot_neutral
    colors = (0, 1, 2) if has_three_colors(raw) else (0, 1, 1, 2)
    return (1 / neutral[[*colors]]).astype(np.float32)
