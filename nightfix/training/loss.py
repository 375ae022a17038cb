"""Training: how far a prediction is from the scene."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from nightfix.network import CEILING, Condition

#: Added to the noise that divides the loss, so that clean samples do not outweigh the rest.
_FLOOR = 0.005
_POOL = 16


def stabilized_l1(predicted: Tensor, target: Tensor, condition: Condition) -> Tensor:
    """Return the mean absolute error on the capture's stabilized scale, in units of its noise.

    Paper 2 uses L1 for its Eq. 11 (supplement, section 1); the scale makes a dark and
    a bright pixel, a clean and a noisy photo count alike.
    """
    scale = condition.stabilizer()
    error = scale.stabilize(predicted.clamp_max(CEILING)) - scale.stabilize(target)
    return (error.abs() / (scale.noise + _FLOOR)).mean()


def brightness_error(predicted: Tensor, target: Tensor, condition: Condition) -> Tensor:
    """Return the error of local means of linear light, in units of one pixel's noise.

    L1 on a square-root scale finds a median, which lies below the mean where detail
    is lost in noise; means over 16 x 16 samples of a plane keep shadows from darkening.
    """
    predicted, target = F.avg_pool2d(predicted, _POOL), F.avg_pool2d(target, _POOL)
    scale = condition.stabilizer()
    noise = (scale.a * target.clamp_min(0) + scale.b).sqrt()
    return ((predicted - target).abs() / (noise + _FLOOR)).mean()
