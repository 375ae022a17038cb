"""Training: how far a prediction is from the scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from nightfix.restore import CEILING, Condition

if TYPE_CHECKING:
    from nightfix.training.config import Recipe

#: Added to the noise that divides the loss, so that clean samples do not outweigh the rest; and
#: where a shake is to be undone, whose error does not fall with the noise.
_FLOOR, _SHAKEN_FLOOR = 0.005, 0.03
_POOL = 16

#: Sides of the squares whose colors are compared [packed px].
_COLOR_POOLS = (4, 16, 64)


def _stabilized_error(predicted: Tensor, target: Tensor, condition: Condition) -> Tensor:
    """Return the error on the capture's stabilized scale, in units of its noise."""
    scale = condition.stabilizer()
    error = scale.stabilize(predicted.clamp_max(CEILING)) - scale.stabilize(target)
    return error / (scale.noise + _floor(condition))


def _floor(condition: Condition) -> Tensor:
    return torch.where(condition.blur < 0, _FLOOR, _SHAKEN_FLOOR)


def stabilized_l1(predicted: Tensor, target: Tensor, condition: Condition) -> Tensor:
    """Return the mean absolute error on the capture's stabilized scale, in units of its noise.

    Paper 2 uses L1 for its Eq. 11 (supplement, section 1); the scale makes a dark and
    a bright pixel, a clean and a noisy photo count alike.
    """
    return _stabilized_error(predicted, target, condition).abs().mean()


def charbonnier(predicted: Tensor, target: Tensor, condition: Condition) -> Tensor:
    """Return sqrt(e^2 + 0.1^2) - 0.1 on the scale of :func:`stabilized_l1`, averaged.

    Charbonnier et al., ICIP 1994; section 3 of the conditional variant.
    """
    error = _stabilized_error(predicted, target, condition)
    return ((error**2 + 0.01).sqrt() - 0.1).mean()


def poisson_divergence(predicted: Tensor, target: Tensor, condition: Condition) -> Tensor:
    """Return the Kullback-Leibler divergence of Poisson laws of two rates, averaged.

    F log(F / X) + X - F of paper 2's Eq. 11 (supplement, section 1), with both in captured
    electrons plus the read noise's variance, which makes it a shifted Poisson law.
    """
    scale = condition.stabilizer()
    electrons = scale.a + _FLOOR**2
    rate = (predicted.clamp(0, CEILING) + scale.b / electrons) / electrons + 1e-3
    wanted = (target + scale.b / electrons) / electrons + 1e-3
    return (rate * torch.log(rate / wanted) + wanted - rate).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor, Condition], Tensor]] = {
    "l1": stabilized_l1,
    "charbonnier": charbonnier,
    "kl": poisson_divergence,
}


def brightness_error(predicted: Tensor, target: Tensor, condition: Condition) -> Tensor:
    """Return the error of local means of linear light, in units of one pixel's noise.

    L1 on a square-root scale finds a median, which lies below the mean where detail
    is lost in noise; means over 16 x 16 samples of a plane keep shadows from darkening.
    """
    predicted, target = F.avg_pool2d(predicted, _POOL), F.avg_pool2d(target, _POOL)
    scale = condition.stabilizer()
    noise = (scale.a * target.clamp_min(0) + scale.b).sqrt()
    return ((predicted - target).abs() / (noise + _floor(condition))).mean()


def peak_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the logarithm of each sample's mean squared error in linear light, averaged.

    The peak signal-to-noise ratio up to a factor: every sample counts alike, however noisy.
    """
    error = predicted.clamp(-CEILING, CEILING) - target
    return (error.square().mean((1, 2, 3)) + 1e-7).log().mean()


def developed_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute error of a small developed preview.

    Planes to RGB at half size, balanced to the target's gray, display gamma.
    """
    gains = target.mean((2, 3), keepdim=True).clamp_min(1e-3)
    gray = gains.mean(1, keepdim=True)
    pictures = []
    for planes in (predicted, target):
        red, green, other, blue = (planes.clamp(1e-4, 1) * gray / gains).unbind(1)
        pictures.append(torch.stack([red, (green + other) / 2, blue], 1) ** (1 / 2.2))
    return (pictures[0] - pictures[1]).abs().mean()


def color_error(predicted: Tensor, target: Tensor, condition: Condition) -> Tensor:
    """Return the error of the colors of means over 4 x 4, 16 x 16 and 64 x 64 samples.

    Colored clouds in walls and skies are small beside a sample's noise, so the other terms
    hardly see them. Here means are balanced to the target's gray and gamma-compressed, as a
    picture is looked at; their two opponent colors, R - G and B - G, are compared in units of
    the noise over the square root of the side, between a sample's noise and that of the mean.
    """
    gains = target.mean((2, 3), keepdim=True).clamp_min(1e-3)
    gray = gains.mean(1, keepdim=True)
    noise = (condition.a * gray + condition.b).sqrt()
    error = predicted.new_zeros(())
    for side in _COLOR_POOLS:
        if side > min(target.shape[-2:]):
            continue
        opponents = []
        for planes in (predicted, target):
            means = (F.avg_pool2d(planes, side) * gray / gains).clamp(1e-4, 1) ** (1 / 2.2)
            red, green, other, blue = means.unbind(1)
            green = (green + other) / 2
            opponents.append(torch.stack([red - green, blue - green], 1))
        difference = (opponents[0] - opponents[1]).abs()
        error = error + (difference / (noise / side**0.5 + _FLOOR)).mean()
    return error / len(_COLOR_POOLS)


def total_loss(recipe: Recipe, predicted: Tensor, target: Tensor, condition: Condition) -> Tensor:
    """Return the sum that a recipe asks for, of one pass."""
    loss = LOSSES[recipe.loss](predicted, target, condition)
    if recipe.brightness:
        loss = loss + recipe.brightness * brightness_error(predicted, target, condition)
    if recipe.peak:
        loss = loss + recipe.peak * peak_error(predicted, target)
    if recipe.developed:
        loss = loss + recipe.developed * developed_error(predicted, target)
    if recipe.color:
        loss = loss + recipe.color * color_error(predicted, target, condition)
    return loss
