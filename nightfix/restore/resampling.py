"""Restore: values of a picture between its pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample, pad

#: Overshoot that fine texture needs, as a share of the range of the pixels around; and the range
#: from which on there is none, that of a lamp before the dark.
_OVERSHOOT, _LAMP = 0.25, 1.5


def resample(
    planes: NDArray[np.float32], rows: NDArray[np.floating], columns: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Interpolate planes of linear light at any places, without rings around lamps.

    Parameters
    ----------
    planes : ndarray, shape (C, h, w), float32
        Linear light, about 1.0 = white. Nothing is clipped; lamps may be above 1, noise below 0.
    rows, columns : ndarray, shape (1, H, W) or (C, H, W)
        Places [px]; of all planes, or of each. Beyond the border its pixels are repeated.

    Returns
    -------
    ndarray, shape (C, H, W), float32
        At places that are whole numbers the pixels themselves.

    Notes
    -----
    Keys's cubic convolution with a = -0.75, which keeps fine texture best and places to 0.05 px,
    in two dimensions, held near the range [l, h] of the
    four pixels around: at most s above and min(s, |l| / 2) below it, with
    s = max(min(0.25 (h - l), 0.3 - 0.2 (h - l)), 0). So texture keeps its contrast, and nothing
    beside a lamp gets darker than half of what is darkest around.

    References
    ----------
    Keys, "Cubic convolution interpolation for digital image processing", IEEE Transactions on
    Acoustics, Speech, and Signal Processing 29 (6), 1981.
    """
    source = torch.from_numpy(np.ascontiguousarray(planes))
    places = torch.from_numpy(np.stack([columns, rows], -1).astype(np.float32))
    batch = source[:, None] if places.shape[0] > 1 else source[None]
    sampled = grid_sample(
        batch, _relative(places, batch), "bicubic", padding_mode="border", align_corners=True
    )
    # One pixel is repeated, so that each has four around it.
    wider = pad(batch, (0, 1, 0, 1), mode="replicate")
    extremes = torch.cat([_of_four(wider, torch.minimum), _of_four(wider, torch.maximum)], 1)
    around = grid_sample(
        extremes,
        _relative(places.floor(), batch),
        "nearest",
        padding_mode="border",
        align_corners=True,
    )
    low, high = around.chunk(2, dim=1)
    span = high - low
    slack = torch.minimum(_OVERSHOOT * span, 0.2 * (_LAMP - span)).clamp_min_(0)
    below = torch.minimum(slack, low.abs() / 2)
    held = torch.clamp(sampled, low - below, high + slack)
    return np.asarray(held.reshape(planes.shape[0], *rows.shape[1:]).numpy())


def _relative(places: Tensor, batch: Tensor) -> Tensor:
    """Return places as shares of the way between the first and last pixel, from -1 to 1."""
    height, width = batch.shape[-2:]
    last = torch.tensor([max(width - 1, 1), max(height - 1, 1)], dtype=places.dtype)
    return places * (2 / last) - 1


def _of_four(planes: Tensor, extreme: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Reduce each pixel with those to its right and below."""
    pairs = extreme(planes[..., :-1], planes[..., 1:])
    return extreme(pairs[..., :-1, :], pairs[..., 1:, :])
