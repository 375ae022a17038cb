"""Training: sensor noise as a sum of named parts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nightfix.training.unprocessing import uniform


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorNoise:
    """Noise of one capture, in units of white level minus black level.

    Parameters
    ----------
    shot : float
        Variance per signal, K / (white - black), > 0.
    read : float
        Standard deviation of the read noise, >= 0.
    tail : float or None
        Shape of the Tukey-lambda distribution the read noise is drawn from, in
        (-0.5, 0.5); None draws it from a Gaussian. Scaled to standard deviation ``read``.
    row : float
        Standard deviation of each row's offset (banding), >= 0.
    quantization : float
        One digital number, 0 for none.
    black_error : float
        Standard deviation of each plane's black-level error.
    hot : float
        Share of pixels that are hot; each adds up to a hundred standard deviations of
        the read noise, most of them little.

    References
    ----------
    Wei et al., "A Physics-based Noise Formation Model for Extreme Low-light Raw
    Denoising", CVPR 2020.
    """

    shot: float
    read: float
    tail: float | None = None
    row: float = 0.0
    quantization: float = 0.0
    black_error: float = 0.0
    hot: float = 0.0

    @property
    def variance_at_black(self) -> float:
        """B of variance = a*x + b: everything that does not depend on light."""
        return self.read**2 + self.row**2 + self.quantization**2 / 12


def tukey_lambda_deviation(shape: float) -> float:
    """Return the standard deviation of the Tukey-lambda distribution of scale 1.

    Examples
    --------
    >>> round(tukey_lambda_deviation(0.14), 2)
    1.45
    """
    if abs(shape) < 1e-3:
        return math.pi / math.sqrt(3)
    ratio = math.exp(2 * math.lgamma(shape + 1) - math.lgamma(2 * shape + 2))
    return math.sqrt(2 / shape**2 * (1 / (1 + 2 * shape) - ratio))


def _read_noise(noise: SensorNoise, like: Tensor, generator: torch.Generator) -> Tensor:
    if noise.tail is None:
        return noise.read * torch.randn(like.shape, generator=generator)
    u = torch.rand(like.shape, generator=generator).clamp(1e-7, 1 - 1e-7)
    if abs(noise.tail) < 1e-3:
        drawn = torch.log(u / (1 - u))
    else:
        drawn = (u**noise.tail - (1 - u) ** noise.tail) / noise.tail
    return noise.read / tukey_lambda_deviation(noise.tail) * drawn


def add_noise(light: Tensor, noise: SensorNoise, generator: torch.Generator) -> Tensor:
    """Capture packed light with a noisy sensor.

    Parameters
    ----------
    light : Tensor, shape (4, h, w)
        Light at the capture's exposure, 1.0 = white level; brighter saturates.
    noise : SensorNoise
        The sensor.
    generator : torch.Generator
        Source of every draw.

    Returns
    -------
    Tensor, shape (4, h, w)
        Black-subtracted capture, at most 1; negative values are kept.
    """
    expected = light.clamp_min(0) / noise.shot
    y = noise.shot * torch.poisson(expected, generator=generator)
    y = y + _read_noise(noise, light, generator)
    if noise.row:
        # A mosaic row runs through two planes: R with Gr, and Gb with B.
        rows = noise.row * torch.randn(2, 1, light.shape[1], 1, generator=generator)
        y = y + rows.repeat_interleave(2, 0).flatten(0, 1)
    if noise.hot:
        dice = torch.rand(light.shape, generator=generator)
        heat = noise.read * torch.exp(4.6 * torch.rand(light.shape, generator=generator))
        y = y + torch.where(dice < noise.hot, heat, 0)
    if noise.black_error:
        y = y + noise.black_error * torch.randn(4, 1, 1, generator=generator)
    if noise.quantization:
        y = torch.round(y / noise.quantization) * noise.quantization
    return y.clamp_max(1.0)


def random_sensor(generator: torch.Generator, long_tails: float) -> SensorNoise:
    """Draw a sensor between a large one at base ISO and a phone at its highest.

    Parameters
    ----------
    generator : torch.Generator
        Source of every draw.
    long_tails : float
        Share of sensors with long-tailed read noise and rows, 0 to 1; the rest are
        Poisson-Gaussian.

    Notes
    -----
    The gain K is log-uniform over 0.08 to 80 of 16000 DN per electron, which makes
    ``shot`` 5e-6 to 5e-3, in 60 % of the draws over 0.2 to 10, where cameras are mostly
    used; the read noise follows the measured log-log lines of five
    cameras (Wei et al.), log(sigma) = 0.55 log(K) + 1.2 +- 0.5 [DN].
    """
    scale = 16000.0
    common_gain = float(torch.rand(1, generator=generator)) < 0.6
    low, high = (0.2, 10.0) if common_gain else (0.08, 80.0)
    gain = math.exp(float(uniform(math.log(low), math.log(high), generator, 1)))
    deviation = 1.2 + 0.5 * float(torch.randn(1, generator=generator))
    read = math.exp(0.55 * math.log(gain) + min(max(deviation, 0.0), 2.4)) / scale
    quantization = float(uniform(0.0, 1.0, generator, 1)) ** 3 * 4 / scale
    common = {"shot": gain / scale, "quantization": quantization}
    if float(torch.rand(1, generator=generator)) >= long_tails:
        return SensorNoise(read=read, **common)
    return SensorNoise(
        read=read,
        tail=float(uniform(-0.24, 0.15, generator, 1)),
        row=read * float(uniform(0.02, 0.25, generator, 1)),
        black_error=read * 0.03,
        hot=max(0.0, float(uniform(-2e-4, 2e-4, generator, 1))),
        **common,
    )
