"""Training: sensor noise as a sum of named parts."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from nightfix.training.frames import moved
from nightfix.training.unprocessing import uniform


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorNoise:
    """Noise of one capture, or of n of them, in units of white level minus black level.

    Each number is a float, or a Tensor of shape (n,) on the processor.

    Parameters
    ----------
    shot : float or Tensor
        Variance per signal, K / (white - black), > 0.
    read : float or Tensor
        Standard deviation of the read noise, >= 0.
    tail : float or Tensor
        Shape of the Tukey-lambda distribution the read noise is drawn from, in
        (-0.5, 0.5); NaN draws it from a Gaussian. Scaled to standard deviation ``read``.
    row : float or Tensor
        Standard deviation of each row's offset (banding), >= 0.
    quantization : float or Tensor
        One digital number, 0 for none.
    black_error : float or Tensor
        Standard deviation of each plane's black-level error.
    hot : float or Tensor
        Share of pixels that are hot; each adds up to a hundred standard deviations of
        the read noise, most of them little.

    References
    ----------
    Wei et al., "A Physics-based Noise Formation Model for Extreme Low-light Raw
    Denoising", CVPR 2020.
    """

    shot: Tensor | float
    read: Tensor | float
    tail: Tensor | float = math.nan
    row: Tensor | float = 0.0
    quantization: Tensor | float = 0.0
    black_error: Tensor | float = 0.0
    hot: Tensor | float = 0.0

    @property
    def variance_at_black(self) -> Tensor | float:
        """B of variance = a*x + b: everything that does not depend on light."""
        return self.read**2 + self.row**2 + self.quantization**2 / 12

    def where(self, kept: Tensor, other: SensorNoise) -> SensorNoise:
        """Return these captures' noise where ``kept``, (n,) bool, and another's elsewhere."""
        names = (f.name for f in fields(self))
        return SensorNoise(
            **{name: torch.where(kept, getattr(self, name), getattr(other, name)) for name in names}
        )


def tukey_lambda_deviation(shape: Tensor | float) -> Tensor:
    """Return the standard deviation of the Tukey-lambda distribution of scale 1.

    Examples
    --------
    >>> round(tukey_lambda_deviation(0.14).item(), 2)
    1.45
    """
    wide = torch.as_tensor(shape, dtype=torch.float64)
    logistic = wide.abs() < 1e-3
    wide = torch.where(logistic, 1.0, wide)
    ratio = torch.exp(2 * torch.lgamma(wide + 1) - torch.lgamma(2 * wide + 2))
    variance = 2 / wide**2 * (1 / (1 + 2 * wide) - ratio)
    return torch.where(logistic, math.pi**2 / 3, variance).sqrt().float()


def _numbers(value: Tensor | float, like: Tensor) -> Tensor:
    """Return a sensor's numbers so that they multiply frames (..., 4, h, w)."""
    return moved(torch.as_tensor(value, dtype=torch.float32), like.device)[..., None, None, None]


def _read_noise(noise: SensorNoise, like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw read noise by the quantiles of its distribution."""
    u = torch.rand(like.shape, generator=generator, device=like.device).clamp_(1e-7, 1 - 1e-7)
    shape = torch.as_tensor(noise.tail, dtype=torch.float32)
    gaussian = shape.isnan()
    drawn = None
    if not bool(gaussian.all()):
        # Near 0 the distribution is the logistic one, which the formula meets there.
        told = torch.where(gaussian | (shape.abs() < 1e-3), 1e-3, shape)
        scale = _numbers(1 / tukey_lambda_deviation(told) / told, like)
        power = _numbers(told, like)
        drawn = (torch.exp(power * u.log()) - torch.exp(power * torch.log1p(-u))) * scale
    if drawn is None or bool(gaussian.any()):
        normal = math.sqrt(2) * torch.erfinv(2 * u - 1)
        chosen = _numbers(gaussian, like) > 0
        drawn = normal if drawn is None else torch.where(chosen, normal, drawn)
    return drawn * _numbers(noise.read, like)


def add_noise(light: Tensor, noise: SensorNoise, generator: torch.Generator) -> Tensor:
    """Capture packed light with noisy sensors.

    Parameters
    ----------
    light : Tensor, shape (4, h, w) or (n, 4, h, w)
        Light at the capture's exposure, 1.0 = white level; brighter saturates.
    noise : SensorNoise
        The sensor, or n of them.
    generator : torch.Generator
        Source of every draw, on the device of ``light``.

    Returns
    -------
    Tensor, same shape
        Black-subtracted capture, at most 1; negative values are kept.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(*light.shape[:-3], *shape, generator=generator, device=light.device)

    height = light.shape[-2]
    shot, step = _numbers(noise.shot, light), _numbers(noise.quantization, light)
    y = torch.poisson(light.clamp_min(0) / shot, generator=generator).mul_(shot)
    y += _read_noise(noise, light, generator)
    # A mosaic row runs through two planes: R with Gr, and Gb with B.
    y += _numbers(noise.row, light) * normal(2, height, 1).repeat_interleave(2, -3)
    if bool((torch.as_tensor(noise.hot) > 0).any()):
        dice, heat = torch.rand(2, *light.shape, generator=generator, device=light.device)
        heat = heat.mul_(4.6).exp_() * _numbers(noise.read, light)
        y += heat * (dice < _numbers(noise.hot, light))
    y += _numbers(noise.black_error, light) * normal(4, 1, 1)
    # A step far below what a float can tell at white stands for none.
    step = step.clamp_min(1e-9)
    return y.div_(step).round_().mul_(step).clamp_max_(1.0)


def random_sensor(generator: torch.Generator, long_tails: float, *shape: int) -> SensorNoise:
    """Draw sensors between a large one at base ISO and a phone at its highest.

    Parameters
    ----------
    generator : torch.Generator
        Source of every draw, on the processor.
    long_tails : float
        Share of sensors with long-tailed read noise and rows, 0 to 1; the rest are
        Poisson-Gaussian.
    *shape : int
        Shape of the numbers; none for a single sensor.

    Notes
    -----
    The gain K is log-uniform over 0.08 to 80 of 16000 DN per electron, which makes
    ``shot`` 5e-6 to 5e-3, in 60 % of the draws over 0.2 to 10, where cameras are mostly
    used; the read noise follows the measured log-log lines of five
    cameras (Wei et al.), log(sigma) = 0.55 log(K) + 1.2 +- 0.5 [DN].
    """
    scale = 16000.0

    def draw(low: float, high: float) -> Tensor:
        return uniform(low, high, generator, *shape)

    common_gain = draw(0, 1) < 0.6
    usual, any_gain = (draw(math.log(a), math.log(b)) for a, b in ((0.2, 10.0), (0.08, 80.0)))
    log_gain = torch.where(common_gain, usual, any_gain)
    deviation = (1.2 + 0.5 * torch.randn(shape, generator=generator)).clamp(0.0, 2.4)
    read = torch.exp(0.55 * log_gain + deviation) / scale
    long = draw(0, 1) < long_tails
    return SensorNoise(
        shot=log_gain.exp() / scale,
        read=read,
        tail=torch.where(long, draw(-0.24, 0.15), math.nan),
        row=torch.where(long, read * draw(0.02, 0.25), 0.0),
        quantization=draw(0.0, 1.0) ** 3 * 4 / scale,
        black_error=torch.where(long, read * 0.03, 0.0),
        hot=torch.where(long, draw(-2e-4, 2e-4).clamp_min(0), 0.0),
    )
