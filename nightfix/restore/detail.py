"""Restore: detail, drawn where noise has taken it on a path to a sharp picture.

Symbols follow DiffRAW: ``y`` is the sharp picture, ``x`` the restored one, ``m`` what lies
between, ``f`` the network's estimate of y, ``e`` and ``z`` standard normal numbers; all on a scale
of even steps to the eye. Its domain transform, Eq. (12) to (17),

    m_t = sqrt(abar_t) y + sqrt(1 - abar_t) [gamma_s (x - y) + e],
    gamma_s = sqrt(abar_s / (1 - abar_s)),

divided by sqrt(abar_t) is the straight path

    m = (1 - u) y + u (x + tau e),    u = k_t / k_s,    tau = k_s,
    k_t = sqrt((1 - abar_t) / abar_t),

which starts at u = 1 from the restored picture with a little noise, and ends at u = 0 with the
sharp one. So no schedule of abar is needed: times are shares u, and tau is the only number.
The network sees m, the capture and x, and answers with the sharp picture, counted from x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nightfix.restore.colors import to_eye, to_light
from nightfix.restore.network import Condition
from nightfix.restore.tiling import local_maximum, local_mean

#: Noise added to the restored picture, on the scale of the path.
TAU = 0.05

#: Places on the path at which the network is asked: once was nearest to the truth, see the model
#: card.
PLACES = (1.0,)

#: Restored values between which detail fades out toward lamps [white], and how far around them
#: [packed px].
_LAMPS, _LAMP_REACH = (0.9, 1.2), 4

#: Side of the squares whose means stay [packed px], and how often they are put right.
_SQUARE, _ROUNDS = 32, 4


def on_the_way(y: Tensor, x: Tensor, e: Tensor, *, u: Tensor | float, tau: float) -> Tensor:
    """Return m = (1 - u) y + u (x + tau e): what training shows the network.

    Parameters
    ----------
    y, x, e : Tensor, same shape
        Sharp picture, restored picture, standard normal numbers.
    u : Tensor or float
        Place on the way, 1 (restored) to 0 (sharp).
    tau : float
        Noise added to the restored picture, >= 0.
    """
    return (1 - u) * y + u * (x + tau * e)


def straight_step(m: Tensor, f: Tensor, *, u: float, to: float) -> Tensor:
    """Go from u to a smaller one by Euler's rule along (m - f) / u: the deterministic sampler.

    Parameters
    ----------
    m, f : Tensor, same shape
        Sample and the network's estimate of the sharp picture.
    u, to : float
        Where it is and where it goes, 1 >= u > to >= 0.
    """
    return m + (to - u) * (m - f) / u


def drawn_step(
    m: Tensor, f: Tensor, x: Tensor, z: Tensor, *, u: float, to: float, tau: float
) -> Tensor:
    """Go from u to a smaller one with noise drawn anew: the sampler of Eq. (23) to (25).

    Parameters
    ----------
    m, f, x, z : Tensor, same shape
        Sample, estimate, restored picture, standard normal numbers.
    u, to, tau : float
        As for :func:`straight_step` and :func:`on_the_way`.

    Notes
    -----
    With r = to / u, of the noise that m has, r^2 stays and tau to sqrt(1 - r^2) is drawn.
    """
    r = to / u
    noise = m - (1 - u) * f - u * x
    return (1 - to) * f + to * x + r**2 * noise + tau * to * math.sqrt(1 - r**2) * z


def told_place(condition: Condition, u: Tensor) -> Condition:
    """Return what the network is told at places u, shape (B, 1, 1, 1): a sample with all light."""
    return condition._replace(blur=u, exposure=condition.reference)


def draw_detail(
    restored: Tensor,
    estimate: Callable[[Tensor, float], Tensor],
    *,
    share: float,
    seed: int,
    places: Sequence[float] = PLACES,
    drawn: bool = False,
) -> Tensor:
    """Draw detail into restored planes.

    Parameters
    ----------
    restored : Tensor, shape (4, h, w)
        Planes at target brightness; changed in place.
    estimate : callable
        Takes m as light of the planes, and u; returns light of the sharp picture.
    share : float
        How far to go from the restored picture x to the drawn one, 0 to 1.
    seed : int
        Of the noise that detail is made of.
    places : sequence of float
        Where on the path the network is asked, from 1 down.
    drawn : bool
        Whether noise is drawn anew at each step (Eq. 23 to 25), else Euler's steps.

    Returns
    -------
    Tensor, shape (4, h, w)
        x + share (y - x), less toward lamps; means of regions of each plane are those of x.

    References
    ----------
    "DiffRAW", Eq. (12) to (25).
    """
    generator, x = torch.Generator().manual_seed(seed), to_eye(restored)
    m = torch.randn(x.shape, generator=generator).mul_(TAU).add_(x)
    for u, to in zip(places, (*places[1:], 0.0), strict=True):
        f = to_eye(estimate(to_light(m), u))
        if drawn:
            z = torch.randn(x.shape, generator=generator)
            m = drawn_step(m, f, x, z, u=u, to=to, tau=TAU)
        else:
            m = straight_step(m, f, u=u, to=to)
    weight = below_white(restored)
    # Plane by plane, to save memory.
    for plane, drawn_plane in zip(restored[:, None], to_light(m)[:, None], strict=True):
        plane.add_(without_means(drawn_plane - plane, weight), alpha=share)
    return restored


def below_white(restored: Tensor) -> Tensor:
    """Return 0 at lamps and around them, 1 elsewhere, (1, h, w) of planes (4, h, w)."""
    low, high = _LAMPS
    bright = local_maximum(restored.amax(0, keepdim=True), _LAMP_REACH)
    bright = F.avg_pool2d(bright, 5, 1, 2, count_include_pad=False)
    return ((high - bright) / (high - low)).clamp_(0, 1)


def without_means(detail: Tensor, weight: Tensor) -> Tensor:
    """Weigh detail and take the means of squares of 32 x 32 samples out of each plane.

    Parameters
    ----------
    detail : Tensor, shape (C, h, w)
        Any number of planes.
    weight : Tensor, shape (1, h, w) or (C, h, w)
        0 where nothing may change, to 1.

    Returns
    -------
    Tensor, shape (C, h, w)

    Notes
    -----
    Means are measured every 16 samples and interpolated between; what that leaves is taken out
    again.
    """
    height, width = detail.shape[1:]
    share = local_mean(weight, _SQUARE).clamp_min_(1e-3)
    pitch = _SQUARE // 2
    size = ((share.shape[1] - 1) * pitch + 1, (share.shape[2] - 1) * pitch + 1)
    for _ in range(_ROUNDS):
        means = local_mean(detail * weight, _SQUARE) / share
        smooth = F.interpolate(means[None], size, mode="bilinear", align_corners=True)[0]
        detail = detail - smooth[:, :height, :width]
    return detail * weight
