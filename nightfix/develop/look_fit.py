"""Develop: a look from pixels of which both the scene's light and the finished color are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightfix.develop.color import COLOR_SPACES, between_spaces
from nightfix.develop.look import (
    CURVE_GAMMA,
    CURVE_SIZE,
    LIGHT_SPACE,
    LOOK_SPACE,
    TABLE_SIZE,
    Look,
    apply_curve,
    curve_position,
    table_corners,
)
from nightfix.develop.tone import fit_gamut

Colors = NDArray[np.float64]

#: Rounds of the curve alone, of matrix and curve in turn, and of the table.
_FIRST_ROUNDS, _ROUNDS, _TABLE_ROUNDS = 5, 12, 3

#: How smooth the curve and the table are, and how much the table stays at zero, against one pixel
#: of a million; found on looks that are known.
_CURVE_SMOOTHNESS, _TABLE_SMOOTHNESS, _TABLE_REST = 3e-3, 2e-4, 1e-5

#: Encoded values of pictures that say nothing: clipped, or lost in black.
_DARKEST, _LIGHTEST = 0.01, 0.985

#: Below this share of white the light of a pixel weighs no more for its ratio to another's.
_FLOOR = 0.01

#: How near the colors of a preview's matrix stay to the plain one's.
_PREVIEW_REST = 1e-3

_LUMINANCE = COLOR_SPACES[LOOK_SPACE].rgb_to_xyz[1]


def plain_matrix() -> Colors:
    """Return linear BT.2020 to linear sRGB, the matrix of no look, shape (3, 3)."""
    return between_spaces(COLOR_SPACES[LIGHT_SPACE], COLOR_SPACES[LOOK_SPACE])


def fit_look(
    light: NDArray[np.float32],
    shown: NDArray[np.float32],
    photos: NDArray[np.intp] | None = None,
) -> Look:
    """Learn a look from pixels.

    Parameters
    ----------
    light : ndarray, shape (n, 3), float32
        Linear BT.2020, balanced, 1.0 = white.
    shown : ndarray, shape (n, 3), float32
        The same pixels of finished pictures, encoded sRGB. What is clipped or black is
        left out here.
    photos : ndarray, shape (n,), optional
        Number of the photo that each pixel is of, from 0. Photos may have been made
        brighter or darker than the others; the look is as bright as their median.

    Returns
    -------
    Look
        With matrix, curve and table.

    Notes
    -----
    Iteratively reweighted least squares with Cauchy's weights, so that what moved, was
    retouched or reflects other light does not count. In turn: the matrix to the light that
    the curve says the finished colors were, errors in proportion to the light; then the
    curve, piecewise linear with small second differences, made to rise. Of what is left,
    a table of trilinear patches with small differences between neighbors, shrunk towards
    zero where no pixel says anything.

    References
    ----------
    Holland and Welsch, "Robust regression using iteratively reweighted least-squares",
    1977; Kim et al., "A new in-camera imaging model for color computer vision and its
    application", PAMI 2012 (matrix, table, curve); Lin et al., "Nonuniform lattice
    regression for modeling the camera imaging pipeline", ECCV 2012 (smooth tables).
    """
    known = (shown > _DARKEST).all(axis=1) & (shown < _LIGHTEST).all(axis=1)
    seen, wanted = light[known].astype(np.float64), shown[known].astype(np.float64)
    number = np.zeros(len(seen), np.intp) if photos is None else photos[known]
    matrix, weights = plain_matrix(), np.ones(len(seen))
    linear = _through(matrix, seen)
    for _ in range(_FIRST_ROUNDS):  # until what is no match at all counts little
        curve = _fit_curve(linear, wanted, weights)
        weights = _robust(wanted - apply_curve(curve, linear))
    for _ in range(_ROUNDS):
        seen *= _gains(linear, _undo(curve, wanted), number)[number, None]
        matrix = _fit_matrix(seen, _undo(curve, wanted), weights)
        linear = _through(matrix, seen)
        curve = _fit_curve(linear, wanted, weights)
        weights = _robust(wanted - apply_curve(curve, linear))
    left = wanted - apply_curve(curve, linear)
    table = np.zeros((TABLE_SIZE**3, 3))
    places, shares = table_corners(apply_curve(curve, linear).T)
    for _ in range(_TABLE_ROUNDS):
        table = _fit_table(places, shares, left, weights)
        weights = _robust(left - np.einsum("kn,knc->nc", shares, table[places]))
    return Look(
        matrix=matrix.astype(np.float32),
        curve=curve.astype(np.float32),
        table=table.reshape(TABLE_SIZE, TABLE_SIZE, TABLE_SIZE, 3).astype(np.float32),
    )


def fit_preview(light: NDArray[np.float32], shown: NDArray[np.float32]) -> Look:
    """Learn what a preview tells of color whatever its brightness.

    Parameters
    ----------
    light, shown : ndarray, shape (n, 3), float32
        As for :func:`fit_look`; only the proportions of their channels count.

    Returns
    -------
    Look
        With a matrix alone: white balance, hue and saturation. White stays as bright as
        it is.

    Notes
    -----
    Both are brought to the same luminance, and the matrix is fitted to the linear colors by
    least squares with Cauchy's weights; where the picture has few colors it stays near the
    one of no look.
    """
    known = (shown > _DARKEST).all(axis=1) & (shown < _LIGHTEST).all(axis=1)
    seen = light[known].astype(np.float64)
    color = COLOR_SPACES[LOOK_SPACE].decode(shown[known]).astype(np.float64)
    color /= np.maximum(color @ _LUMINANCE, 1e-6)[:, None]
    matrix, weights = plain_matrix(), np.ones(len(seen))
    for _ in range(_ROUNDS):
        level = np.maximum(seen @ matrix.T @ _LUMINANCE, 1e-6)[:, None]
        matrix = _solve(seen / level, color, weights, _PREVIEW_REST * len(seen), plain_matrix())
        weights = _robust(color - seen / level @ matrix.T)
    return Look(matrix=(matrix / (matrix.sum(axis=1) @ _LUMINANCE)).astype(np.float32))


def _through(matrix: Colors, light: Colors) -> NDArray[np.float32]:
    """Return light behind the matrix, brought into the gamut as the look itself does it."""
    rgb = (matrix @ light.T).astype(np.float32)
    fit_gamut(rgb, _LUMINANCE.astype(np.float32))
    return np.ascontiguousarray(rgb.T)


def _gains(linear: NDArray[np.float32], undone: Colors, photos: NDArray[np.intp]) -> Colors:
    """Return by how much each photo is brighter than the others: the median of its pixels'."""
    levels = np.log2(np.maximum(undone @ _LUMINANCE, _FLOOR / 10))
    levels -= np.log2(np.maximum(linear @ _LUMINANCE, _FLOOR / 10))
    gains = np.zeros(int(photos.max()) + 1)
    present = np.unique(photos)
    for photo in present:
        gains[photo] = np.median(levels[photos == photo])
    gains[present] -= np.median(gains[present])
    return np.asarray(2 ** np.clip(gains, -1, 1))


def _undo(curve: Colors, shown: Colors) -> Colors:
    """Return the light that a curve makes finished values of."""
    rising = curve + np.arange(CURVE_SIZE) * 1e-9
    position = np.interp(shown, rising, np.arange(CURVE_SIZE) / (CURVE_SIZE - 1))
    return np.asarray(position**CURVE_GAMMA)


def _fit_matrix(light: Colors, linear: Colors, weights: Colors) -> Colors:
    """Fit the matrix, errors relative to the light; neutral light stays as bright as it is."""
    level = np.maximum(linear @ _LUMINANCE, light @ plain_matrix().T @ _LUMINANCE) + _FLOOR
    matrix = _solve(
        light / level[:, None], linear / level[:, None], weights, 1e-9 * len(light), plain_matrix()
    )
    return np.asarray(matrix / (matrix.sum(axis=1) @ _LUMINANCE))


def _solve(seen: Colors, wanted: Colors, weights: Colors, rest: float, resting: Colors) -> Colors:
    """Return the matrix from ``seen`` to ``wanted`` by least squares, drawn to ``resting``."""
    weighted = seen * weights[:, None]
    normal = weighted.T @ seen + rest * np.eye(3)
    return np.asarray(np.linalg.solve(normal, weighted.T @ wanted + rest * resting.T).T)


def _fit_curve(linear: NDArray[np.float32], shown: Colors, weights: Colors) -> Colors:
    position = curve_position(linear).ravel().astype(np.float64)
    below = np.minimum(position.astype(np.intp), CURVE_SIZE - 2)
    share, weight = position - below, np.repeat(weights, 3)
    size = CURVE_SIZE
    normal, right = np.zeros(size * size), np.zeros(size)
    sides = ((below, 1 - share), (below + 1, share))
    for row, one in sides:
        right += np.bincount(row, weight * one * shown.ravel(), size)
        for column, other in sides:
            normal += np.bincount(row * size + column, weight * one * other, size * size)
    bends = np.diff(np.eye(size), 2, axis=0)
    smooth = _CURVE_SMOOTHNESS * len(position) * bends.T @ bends
    black = np.zeros((size, size))
    black[0, 0] = 1e-2 * len(position)  # no light is black
    curve = np.linalg.solve(normal.reshape(size, size) + smooth + black, right)
    return np.asarray(np.clip(np.maximum.accumulate(curve), 0, 1))


def _fit_table(
    places: NDArray[np.intp], shares: NDArray[np.float32], left: Colors, weights: Colors
) -> Colors:
    size = TABLE_SIZE**3
    normal, right = np.zeros(size * size), np.zeros((size, 3))
    for row, one in zip(places, shares, strict=True):
        for channel in range(3):
            right[:, channel] += np.bincount(row, weights * one * left[:, channel], size)
        for column, other in zip(places, shares, strict=True):
            normal += np.bincount(row * size + column, weights * one * other, size * size)
    steps = np.diff(np.eye(TABLE_SIZE), 1, axis=0)
    along, same = steps.T @ steps, np.eye(TABLE_SIZE)
    rough = np.kron(np.kron(along, same), same) + np.kron(np.kron(same, along), same)
    rough += np.kron(np.kron(same, same), along)
    bound = len(left) * (_TABLE_SMOOTHNESS * rough + _TABLE_REST * np.eye(size))
    return np.asarray(np.linalg.solve(normal.reshape(size, size) + bound, right))


def _robust(error: Colors) -> Colors:
    """Return Cauchy's weights of errors (n, 3), with the scale from their median."""
    size = np.sqrt((error**2).sum(axis=1))
    scale = max(2.385 * 1.4826 * float(np.median(size)), 1e-3)
    return np.asarray(1 / (1 + (size / scale) ** 2))
