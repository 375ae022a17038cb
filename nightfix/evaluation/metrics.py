"""Evaluation: figures of merit on packed RAW values."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_WINDOW = 7
_SATURATED = 0.98


class Merit(NamedTuple):
    """PSNR [dB], SSIM [-], and PSNR after the published tables' brightness alignment [dB]."""

    psnr: float
    ssim: float
    aligned: float


def measure(restored: Tensor, truth: Tensor) -> Merit:
    """Measure a restored picture.

    Parameters
    ----------
    restored, truth : Tensor, shape (4, h, w)
        Reference units, 1.0 = white; the restored one is clipped to [0, 1].
    """
    restored = restored.clamp(0, 1)
    aligned = align(restored, truth).clamp(0, 1)
    return Merit(psnr(restored, truth), ssim(restored, truth), psnr(aligned, truth))


def psnr(restored: Tensor, truth: Tensor) -> float:
    """Return the peak signal-to-noise ratio for a peak of 1 [dB]."""
    error = float((restored.double() - truth.double()).square().mean())
    return float(-10 * torch.log10(torch.tensor(max(error, 1e-12))))


def align(restored: Tensor, truth: Tensor) -> Tensor:
    """Scale a picture by the one gain that fits the unsaturated truth best.

    Wei et al., CVPR 2020, section 5.1: what the SID and ELD tables are computed after.
    """
    known = truth < _SATURATED
    gain = (restored * truth)[known].sum() / restored[known].square().sum().clamp_min(1e-12)
    return restored * gain


def ssim(restored: Tensor, truth: Tensor) -> float:
    """Return the structural similarity, averaged over planes (uniform 7 x 7 window).

    References
    ----------
    Wang et al., TIP 2004.
    """
    x, y = restored.double()[None], truth.double()[None]

    def mean(frame: Tensor) -> Tensor:
        return F.avg_pool2d(frame, _WINDOW, 1)

    # Sample variances, as the reference implementation takes them.
    unbiased = _WINDOW**2 / (_WINDOW**2 - 1)
    mx, my = mean(x), mean(y)
    vx, vy = unbiased * (mean(x * x) - mx * mx), unbiased * (mean(y * y) - my * my)
    vxy = unbiased * (mean(x * y) - mx * my)
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mx * my + c1) * (2 * vxy + c2)
    similarity /= (mx**2 + my**2 + c1) * (vx + vy + c2)
    return float(similarity.mean())
