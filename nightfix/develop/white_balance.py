"""Develop: the gains that make a white surface white under the scene's light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from nightfix.develop.color import D65, usable_matrices, xy_to_neutral
from nightfix.read import CfaPattern, pack_bayer, sampled

if TYPE_CHECKING:
    from nightfix.read import RawImage

WhiteBalance = Literal["as-shot", "auto", "daylight"] | tuple[float, float, float]

#: Exponent of the Minkowski mean; the value Finlayson and Trezzi found best.
_MINKOWSKI = 6

#: How far an estimated balance may leave the expected one, per channel against green [EV].
_MAX_SHIFT = 1.0

#: What an unknown sensor is expected to see in daylight (camera RGB of white).
_TYPICAL_NEUTRAL = (0.5, 1.0, 0.65)

#: Side of the blocks whose means stand for the scene's surfaces, in packed samples.
_BLOCK = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The white balance that was really used.

    Parameters
    ----------
    gains : ndarray, shape (3,)
        Factors of camera red, green, blue; green is 1.
    source : {"as-shot", "auto", "daylight", "given", "none"}
        Where they come from. "none": a monochrome sensor, nothing to balance.
    note : str
        One sentence if this is not what was asked for, else "".
    """

    gains: NDArray[np.float64]
    source: Literal["as-shot", "auto", "daylight", "given", "none"]
    note: str = ""

    @property
    def neutral(self) -> NDArray[np.float64]:
        """Camera RGB of white, the reciprocal of the gains, shape (3,)."""
        return 1 / self.gains


def choose_white_balance(raw: RawImage, asked: WhiteBalance = "as-shot") -> Balance:
    """Find the white balance for a photo, with a note if it is not the one asked for.

    Parameters
    ----------
    raw : RawImage
        The photo.
    asked : {"as-shot", "auto", "daylight"} or (R, G, B)
        What the camera recorded; an estimate from the photo; the camera's
        response to D65 by its matrices; or gains, all > 0, of which only the
        proportions count.

    Returns
    -------
    Balance
        Where the file lacks what was asked for: "auto" for "as-shot", and
        "as-shot" for "daylight", each with a note.

    Raises
    ------
    ValueError
        If gains are given that are not three positive numbers, or an unknown name.
    """
    if isinstance(asked, tuple):
        return _given(asked)
    if asked not in ("as-shot", "auto", "daylight"):
        raise ValueError(f"white balance {asked!r} is not as-shot, auto, daylight or three gains")
    if raw.cfa_pattern is None:
        return Balance(gains=np.ones(3), source="none")
    note = ""
    if asked == "daylight":
        matrices = usable_matrices(raw.color_matrices)
        if matrices:
            return Balance(gains=1 / xy_to_neutral(matrices, D65), source="daylight")
        note = "the file has no color matrix to derive daylight from; "
    if asked != "auto" and _is_usable(raw.as_shot_neutral):
        note = f"{note}the as-shot white balance is used" if note else ""
        return Balance(gains=1 / _recorded_neutral(raw), source="as-shot", note=note)
    if asked != "auto":
        note += "the file has no white balance; it is estimated from the photo"
    neutral = estimate_neutral(
        sampled(raw).mosaic, raw.cfa_pattern, expected=_expected_neutral(raw)
    )
    return Balance(gains=1 / neutral, source="auto", note=note)


def _given(gains: tuple[float, float, float]) -> Balance:
    values = np.asarray(gains, np.float64)
    if values.shape != (3,) or not np.isfinite(values).all() or (values <= 0).any():
        raise ValueError(f"white balance gains {gains} must be three positive numbers")
    return Balance(gains=values / values[1], source="given")


def _is_usable(neutral: NDArray[np.float64] | None) -> bool:
    return neutral is not None and bool(np.isfinite(neutral).all() and (neutral > 0).all())


def _recorded_neutral(raw: RawImage) -> NDArray[np.float64]:
    neutral = np.asarray(raw.as_shot_neutral, np.float64)
    return np.asarray(neutral / neutral[1])


def _expected_neutral(raw: RawImage) -> NDArray[np.float64]:
    """Return what white is before looking at the photo: recorded, else daylight, else typical."""
    if _is_usable(raw.as_shot_neutral):
        return _recorded_neutral(raw)
    matrices = usable_matrices(raw.color_matrices)
    return xy_to_neutral(matrices, D65) if matrices else np.array(_TYPICAL_NEUTRAL)


def estimate_neutral(
    mosaic: NDArray[np.float32], cfa_pattern: CfaPattern, *, expected: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Estimate the camera RGB of white from the photo alone ("shades of gray").

    Between gray-world, which a large lit facade misleads, and white-patch, which
    one lamp does. Night light is not white to the eye either, so the estimate
    is held near what is expected: a street under sodium lamps stays warm.

    Parameters
    ----------
    mosaic : ndarray, shape (H, W), float32
        Black-subtracted, 1.0 = white.
    cfa_pattern : CfaPattern
        Phase of the mosaic.
    expected : ndarray, shape (3,)
        Camera RGB of white as recorded or in daylight, green = 1.

    Returns
    -------
    ndarray, shape (3,), float64
        Camera RGB of white, green = 1; red and blue at most one stop from ``expected``.

    Notes
    -----
    With m the means of blocks of 32 x 32 px in which nothing nears the
    brightest level of the photo, e_c = (mean m_c^6)^(1/6).

    References
    ----------
    Finlayson and Trezzi, "Shades of gray and colour constancy", CIC 2004.
    """
    means, peaks = _block_statistics(pack_bayer(mosaic, cfa_pattern))
    whole = (peaks < 0.95 * peaks.max()).all(axis=0)
    if not whole.any():
        return expected
    surfaces = np.maximum(means[:, whole], 0).astype(np.float64)
    # Scaled first: the sixth power of a dark photo would leave the numbers there are.
    scale = max(float(surfaces.max()), 1e-12)
    levels = np.mean((surfaces / scale) ** _MINKOWSKI, axis=1) ** (1 / _MINKOWSKI)
    neutral = np.array([levels[0], (levels[1] + levels[2]) / 2, levels[3]])
    if not (neutral > 0).all():
        return expected
    shift = np.clip(np.log2(neutral / neutral[1] / expected), -_MAX_SHIFT, _MAX_SHIFT)
    return np.asarray(expected * 2**shift)


def _block_statistics(
    packed: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and maximum of each block of the four planes, shape (4, blocks) both."""
    planes, height, width = packed.shape
    side = min(_BLOCK, height, width)
    rows, columns = height // side, width // side
    blocks = packed[:, : rows * side, : columns * side].reshape(planes, rows, side, columns, side)
    flat = (planes, rows * columns)
    return blocks.mean(axis=(2, 4)).reshape(flat), blocks.max(axis=(2, 4)).reshape(flat)
