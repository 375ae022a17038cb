"""Restore: what holds a restored picture to its capture.

A network is right in detail and may be off in the mean of a region, where noise is next to
nothing, and of lamps. There the capture knows better.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nightfix.condition import Conditioning
from nightfix.restore.tiling import local_maximum, local_mean

#: Samples of a plane over which brightness is anchored [packed px].
_ANCHOR = 32

#: Noise beyond which a sample does not count for its region's brightness [standard deviations].
_OUTLIER = 8.0

#: Share of the saturation that the network leaves of lamps (at least 0.89 was seen).
_STILL_A_LAMP = 0.75

#: Root mean square of what the network gets wrong where there is no noise [white].
_SMALLEST_ERROR = 1e-3

#: Brightness at which that is weighed against the noise [white].
_SHADOWS = 0.1

#: Rows of a plane that are worked on at once.
_ROWS = 64

#: Restored value beyond which something is a lamp.
_LAMP = 1.4


def keep_what_is_clean(restored: Tensor, capture: Tensor, conditioning: Conditioning) -> Tensor:
    """Blend the restored picture with the amplified capture by what each has of error.

    Parameters and result are those of :func:`anchor_brightness`.

    Notes
    -----
    With the noise's standard deviation s and the network's own smallest error e, which does
    not fall with the noise, s^4 / (s^4 + e^4) is taken of the restored picture: of a photo
    with noise to remove all but a trace, of a clean one next to nothing.
    """
    ratio, noise = conditioning.amplification.ratio, conditioning.noise
    variance = noise.a * ratio * _SHADOWS + noise.b * ratio**2
    share = variance**2 / (variance**2 + _SMALLEST_ERROR**4)
    return restored.mul_(share).add_(capture, alpha=ratio * (1 - share))


def keep_saturated(restored: Tensor, capture: Tensor, conditioning: Conditioning) -> Tensor:
    """Raise lamps that saturated the sensor to one level again.

    Editors take a lamp for white where every color reaches the white level; one that the
    network leaves a little below it shows as a purple speck. So samples are at least the ratio
    where the capture is saturated and the network agrees that it is light, not a hot pixel.

    Parameters and result are those of :func:`anchor_brightness`.
    """
    ratio = conditioning.amplification.ratio
    lamp = (capture >= 1) & (restored >= _STILL_A_LAMP * ratio)
    restored[lamp] = restored[lamp].clamp_min(ratio)
    return restored


def anchor_brightness(restored: Tensor, capture: Tensor, conditioning: Conditioning) -> Tensor:
    """Hold every region's mean at that of the amplified capture.

    Parameters
    ----------
    restored : Tensor, shape (4, h, w)
        Restored planes at target brightness; changed in place.
    capture : Tensor, same shape
        The capture before amplification.
    conditioning : Conditioning
        Ratio and noise, which say how far a mean may be off by chance.

    Returns
    -------
    Tensor, shape (4, h, w)

    Notes
    -----
    Means of each plane are taken over 32 x 32 samples, every 16, without what lies
    within a shake's reach of a lamp, whose streaks the restoration gathers. Where they
    differ by more than half a standard error of the capture's mean and a quarter of a
    percent, what is beyond that is added back, interpolated between the means. A sample of
    the capture counts as differing by at most eight standard deviations and the restored
    value, of which 1/1024 is less than that: no single one moves a region.
    """
    ratio, noise = conditioning.amplification.ratio, conditioning.noise
    known = away_from_lamps(restored)
    share = local_mean(known, _ANCHOR).clamp_min_(1e-6)
    pitch, (height, width) = _ANCHOR // 2, restored.shape[1:]
    size = ((share.shape[1] - 1) * pitch + 1, (share.shape[2] - 1) * pitch + 1)
    # Plane by plane, to save memory.
    for plane, captured in zip(restored[:, None], capture[:, None], strict=True):
        seen = without_outliers(captured, plane, conditioning)
        wanted = local_mean(seen * known, _ANCHOR).mul_(ratio / share)
        missing = wanted - local_mean(plane * known, _ANCHOR) / share
        variance = noise.a * ratio * wanted.clamp_min(0) + noise.b * ratio**2
        allowed = (variance / share).sqrt() / (2 * _ANCHOR) + 0.0025 * wanted.abs()
        missing = missing.sign() * (missing.abs() - allowed).clamp_min(0)
        smooth = F.interpolate(missing[None], size, mode="bilinear", align_corners=True)[0]
        plane.add_(smooth[:, :height, :width])
    return restored


def without_outliers(captured: Tensor, plane: Tensor, conditioning: Conditioning) -> Tensor:
    """Bring what of a capture's plane is far from the restored plane nearer to it.

    Parameters
    ----------
    captured, plane : Tensor, shape (1, h, w)
        The plane before amplification and restored.
    conditioning : Conditioning
        Ratio and noise.

    Returns
    -------
    Tensor, shape (1, h, w)
        ``captured`` with other values only where it is beyond.
    """
    ratio, noise = conditioning.amplification.ratio, conditioning.noise
    limited = []
    # A few rows at a time, to save memory.
    for top in range(0, plane.shape[1], _ROWS):
        seen, light = (whole[:, top : top + _ROWS] for whole in (captured, plane))
        variance = light.clamp_min(0) * (noise.a * ratio) + noise.b * ratio**2
        reach = light.abs() + _OUTLIER * variance.sqrt_()
        limited.append(seen.clamp((light - reach) / ratio, (light + reach) / ratio))
    return torch.cat(limited, 1)


def away_from_lamps(restored: Tensor) -> Tensor:
    """Return 0 near what is well above white and 1 elsewhere, shape (1, h, w)."""
    bright = (restored.amax(0, keepdim=True) > _LAMP).to(restored.dtype)
    coarse = F.max_pool2d(bright, 8, ceil_mode=True)
    near = local_maximum(coarse, 2)[0]
    near = near.repeat_interleave(8, 0).repeat_interleave(8, 1)
    return 1 - near[None, : restored.shape[1], : restored.shape[2]]
