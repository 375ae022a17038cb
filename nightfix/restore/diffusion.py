"""Restore: exposure diffusion as mathematics, without a network.

Symbols follow Wang et al., "ExposureDiffusion: Learning to Expose for Low-light
Image Enhancement", ICCV 2023: ``lambda_T`` is the captured exposure (1 here),
``lambda_ref`` the exposure at which the picture is clean, ``lambda_t`` the exposure a
sample has reached. Every sample is held at the brightness of the target exposure
(the amplification ``ratio``), so that only its noise tells how much light it has seen:

    x_t = X_t * ratio / lambda_t,    var(x_t | x) = A x + B,
    A = a * ratio / lambda_t,        B = b * (ratio / lambda_t)^2

with ``a``, ``b`` of the capture (variance = a*x + b, 1.0 = white level).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Shot noise, variance per signal, that does not show at target brightness.
_CLEAN = 2e-6

#: Rates below this are drawn by summing the distribution, above it by its expansion.
_SMALL_RATE = 8.0
_SMALL_RATE_TERMS = 32


@dataclass(frozen=True, slots=True)
class VarianceStabilizer:
    """Generalized Anscombe transform scaled so that black is 0 and white is 1.

    After it, noise of variance ``a*x + b`` has one standard deviation,
    ``noise``, at every brightness. The map is monotone on the whole line and
    nothing is clipped: below the zero of the square root it goes on linearly.

    Parameters
    ----------
    a, b : Tensor, shape (B, 1, 1, 1)
        Noise of what is transformed, after amplification; a > 0, b >= 0.

    Notes
    -----
    With c = 3/8 a^2 + b, f(x) = 2/a sqrt(a x + c) has unit variance; then

        v = (f(x) - f(0)) / (f(1) - f(0))
          = x (sqrt(a + c) + sqrt(c)) / (sqrt(a x + c) + sqrt(c)),
        noise = 1 / (f(1) - f(0)) = (sqrt(a + c) + sqrt(c)) / 2

    The second form of v does not cancel where a is small.

    References
    ----------
    Starck, Murtagh and Bijaoui, "Image Processing and Data Analysis", 1998
    (the generalized transform); Makitalo and Foi, TIP 2013.
    """

    a: Tensor
    b: Tensor

    @property
    def _offset(self) -> Tensor:
        return torch.sqrt(0.375 * self.a**2 + self.b)

    @property
    def noise(self) -> Tensor:
        """Standard deviation of the noise after the transform, shape (B, 1, 1, 1)."""
        return (torch.sqrt(self.a + self._offset**2) + self._offset) / 2

    def stabilize(self, x: Tensor) -> Tensor:
        """Transform linear values (1.0 = white) to the stabilized scale."""
        offset = self._offset
        # Not quite 0, where the square root's slope would be infinite.
        root = torch.sqrt((self.a * x + offset**2).clamp_min(1e-20))
        return x * (2 * self.noise) / (root + offset)

    def linearize(self, v: Tensor) -> Tensor:
        """Undo :meth:`stabilize` exactly (no bias correction: targets are stabilized alike)."""
        offset, span = self._offset, 2 * self.noise
        return v * (offset + (offset + v * self.a / span).clamp_min(0)) / span


def reference_exposure(ratio: Tensor, a: Tensor) -> Tensor:
    """Return lambda_ref / lambda_T: the target exposure, or longer until its light is clean.

    Parameters
    ----------
    ratio : Tensor
        Target exposure over captured exposure, >= 1 [-].
    a : Tensor, same shape
        Shot noise of the capture, variance per signal.

    Returns
    -------
    Tensor, same shape
        max(ratio, a ratio / 2e-6); the shot noise at this exposure is then at most
        0.06 % of white in the midtones.

    Notes
    -----
    The paper takes X_0 for the clean picture "if its exposure time is long enough".
    A target exposure is not, at a low ratio or a high ISO: its own shot noise, drawn
    between the passes, would be as large as the error of the prediction it replaces.
    """
    return torch.maximum(ratio, a * ratio / _CLEAN)


def exposure_schedule(reference: float, steps: int) -> list[float]:
    """Return the exposure of the sample at each pass, linear from capture to reference.

    Parameters
    ----------
    reference : float
        lambda_ref / lambda_T, >= 1 [-].
    steps : int
        Network passes, >= 1.

    Returns
    -------
    list of float
        lambda_t / lambda_T, ascending from 1. Where the capture is clean already
        (``reference`` 1), every pass would see the capture itself: one is all there is.

    Raises
    ------
    ValueError
        If ``reference`` or ``steps`` is below 1.

    Examples
    --------
    >>> exposure_schedule(101, 3)
    [1.0, 51.0, 101.0]
    >>> exposure_schedule(1, 3)
    [1.0]

    References
    ----------
    Wang et al., ICCV 2023, Algorithm 2.
    """
    if reference < 1 or steps < 1:
        raise ValueError(f"reference {reference} and steps {steps} must be at least 1")
    if reference == 1 or steps == 1:
        return [1.0]
    return [1.0 + (reference - 1.0) * k / (steps - 1) for k in range(steps)]


def poisson_quantile(rate: Tensor, normal: Tensor) -> Tensor:
    """Turn standard normal numbers into Poisson counts, each by its own quantile.

    The random numbers are drawn apart from the rates, so a rate that differs
    in the last digit (another tile, another thread count) gives the same count,
    and no sampler of the device is needed.

    Parameters
    ----------
    rate : Tensor
        Expected counts, >= 0.
    normal : Tensor, same shape
        Independent standard normal numbers.

    Returns
    -------
    Tensor
        Counts, whole numbers >= 0, monotone in both arguments.

    Notes
    -----
    Below a rate of 8 the cumulative distribution is summed. Above it the
    Cornish-Fisher expansion to third order is rounded; its mean is right to
    1e-3 of the standard deviation and its variance to 1 %.

    References
    ----------
    Abramowitz and Stegun, 26.2.49 (Cornish-Fisher).
    """
    root = rate.sqrt()
    large = rate + root * normal + (normal**2 - 1) / 6
    large = large + (normal - normal**3) / (72 * root.clamp_min(1))
    counts = large.round().clamp_min(0)
    small = rate < _SMALL_RATE
    if bool(small.any()):
        counts[small] = _invert_poisson(rate[small], torch.special.ndtr(normal[small]))
    return counts


def _invert_poisson(rate: Tensor, uniform: Tensor) -> Tensor:
    """Count how many values of the cumulative distribution lie below ``uniform``."""
    term = torch.exp(-rate)
    cumulative, counts = term.clone(), torch.zeros_like(rate)
    for k in range(1, _SMALL_RATE_TERMS):
        counts += uniform > cumulative
        term = term * rate / k
        cumulative += term
    return counts


def simulate_exposure(
    captured: Tensor,
    predicted: Tensor,
    *,
    ratio: Tensor,
    exposure: Tensor,
    a: Tensor,
    normal: Tensor | None,
) -> Tensor:
    """Extend the captured exposure to ``exposure`` with photons drawn from the prediction.

    The captured photons are kept as they are; only the light of the missing
    time is drawn anew, so the capture is never lost on the way.

    Parameters
    ----------
    captured : Tensor, shape (B, 4, h, w)
        Capture, black-subtracted, amplified by ``ratio``; 1.0 = target white.
        Negative values are valid and kept.
    predicted : Tensor, same shape
        Estimate of the fully exposed scene, same scale. Negative values count
        as 0 for the rate of the draw only. Gradients pass straight through it.
    ratio : Tensor, shape (B, 1, 1, 1)
        Target brightness over the capture's, >= 1 [-].
    exposure : Tensor, shape (B, 1, 1, 1)
        lambda_t / lambda_T, >= 1 [-].
    a : Tensor, shape (B, 1, 1, 1)
        Shot noise of the capture: variance per signal, K / (white - black).
    normal : Tensor or None
        Standard normal numbers of the same shape; None adds the expected light
        without its shot noise (the deterministic variant).

    Returns
    -------
    Tensor
        Sample x_t at target brightness. Not clipped.

    Notes
    -----
    With r the ratio, l the exposure, y the amplified capture, x the prediction:

        n ~ Poisson((l - 1) x / (r a)),    x_t = (y + r a n) / l

    Without the draw this is x_t = y + alpha (x - y), alpha = 1 - 1 / l.

    References
    ----------
    Wang et al., ICCV 2023, Eq. (10); the deterministic update is that of the
    conditional variant's section 4.2.
    """
    light = (exposure - 1) * predicted
    if normal is not None:
        photon = ratio * a
        with torch.no_grad():
            expected = light.clamp_min(0)
            noise = photon * poisson_quantile(expected / photon, normal) - expected
        light = light + noise
    return (captured + light) / exposure
