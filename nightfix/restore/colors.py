"""Restore: the coarse colors of a noisy photo, by a small network that sees the whole frame.

Noise leaves clouds of color that are larger than what a network tells from a tile in detail, and
that a capture's means hold no better. A network of its own sees the frame as means of squares:
what was restored, and what the capture says in units of the noise that such means have. It
answers how far colors are off; brightness stays.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from nightfix.condition import Conditioning
from nightfix.restore.anchoring import away_from_lamps, without_outliers

#: Side of the squares whose means are taken [packed px].
CELL = 8

#: Its weights, made by ``weights/train_colors.py``.
_WEIGHTS = Path(__file__).with_suffix(".safetensors")

#: Channels a level, finest first.
_WIDTHS = (32, 48, 64, 96, 128)

#: Slope of the scale to the eye at black: it is that of a square root beyond this [white].
_TOE = 0.004

#: Samples of each color in a packed pixel, and the shares of balanced red, green and blue in
#: what looks bright.
_SAMPLES, _BRIGHTNESS = (1.0, 2.0, 1.0), (0.25, 0.6, 0.15)

#: Least variance at black that the network is told of [white^2].
_LEAST = 1e-9

#: Noise on the stabilized scale from which colors are settled, and where all of it is.
_NOISE = (0.02, 0.03)


def to_eye(light: Tensor) -> Tensor:
    """Put linear light on a scale of even steps to the eye.

    Parameters
    ----------
    light : Tensor, any shape
        1.0 = white. Negative values are mirrored.

    Returns
    -------
    Tensor, same shape
        sign(x) (sqrt(|x| + t) - sqrt(t)), with t = 0.004.
    """
    return light.sign() * ((light.abs() + _TOE).sqrt() - math.sqrt(_TOE))


def to_light(seen: Tensor) -> Tensor:
    """Undo :func:`to_eye`."""
    return seen.sign() * ((seen.abs() + math.sqrt(_TOE)).square() - _TOE)


class Cells(NamedTuple):
    """A batch of frames as means of squares, and what they were captured with.

    ``restored`` and ``captured``, shape (B, 3, h, w), red, green and blue at target brightness;
    ``texture``, (B, 1, h, w), the standard deviation of restored green to the eye; ``numbers``,
    (B, 3), ratio and the capture's noise a, b; ``neutral``, (B, 3), camera RGB of white.
    """

    restored: Tensor
    captured: Tensor
    texture: Tensor
    numbers: Tensor
    neutral: Tensor


def cells_of(
    restored: Tensor, capture: Tensor, conditioning: Conditioning, neutral: Tensor
) -> Cells:
    """Take the means of a frame.

    Parameters
    ----------
    restored : Tensor, shape (4, h, w)
        Restored planes at target brightness.
    capture : Tensor, same shape
        The capture before amplification.
    conditioning : Conditioning
        Ratio and noise.
    neutral : Tensor, shape (3,)
        Camera RGB of white, green 1.

    Returns
    -------
    Cells
        A batch of one, of ceil(h / 8) x ceil(w / 8) means.
    """
    ratio, noise = conditioning.amplification.ratio, conditioning.noise
    seen, told = [], []
    # Plane by plane, to save memory.
    for plane, captured in zip(restored[:, None], capture[:, None], strict=True):
        seen.append(_means(plane))
        told.append(_means(without_outliers(captured, plane, conditioning)).mul_(ratio))
    green = (restored[1:2] + restored[2:3]) / 2
    level = _means(green)
    spread = (_means(green.square()) - level.square()).clamp_min(0).sqrt()
    return Cells(
        _three_colors(torch.cat(seen))[None],
        _three_colors(torch.cat(told))[None],
        (spread / _slope(level))[None],
        torch.tensor([[ratio, noise.a, noise.b]]),
        neutral[None].float(),
    )


def _means(planes: Tensor) -> Tensor:
    return F.avg_pool2d(planes, CELL, ceil_mode=True)


def _three_colors(planes: Tensor) -> Tensor:
    red, first, second, blue = planes
    return torch.stack([red, (first + second) / 2, blue])


def _slope(light: Tensor) -> Tensor:
    """Return the change of light over that of what the eye sees of it."""
    return 2 * (light.abs() + _TOE).sqrt()


class _Block(nn.Module):
    """A residual block of two 3 x 3 convolutions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.match = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        matched: Tensor = self.match(x)
        change: Tensor = self.second(F.silu(self.first(F.silu(x))))
        return matched + change


class ColorNetwork(nn.Module):
    """Tell how far the colors of a restored frame are off.

    Notes
    -----
    A U-Net of residual blocks over means of 8 x 8 packed samples. Each coarser level is also
    told, in units of its own noise, what the capture's means there are beside the restored ones:
    four times as many samples tell a mean twice as well. It answers in units of the noise of the
    finest means, so where there is none nothing changes.
    """

    def __init__(self) -> None:
        super().__init__()
        pairs = list(zip(_WIDTHS[:-1], _WIDTHS[1:], strict=True))
        self.enter = nn.Conv2d(14, _WIDTHS[0], 3, padding=1)
        self.encoder = nn.ModuleList([_Block(_WIDTHS[0], _WIDTHS[0])])
        self.encoder.extend(_Block(fine + 7, coarse) for fine, coarse in pairs)
        self.decoder = nn.ModuleList(_Block(fine + coarse, fine) for fine, coarse in pairs)
        self.leave = nn.Conv2d(_WIDTHS[0], 3, 1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def forward(self, cells: Cells) -> Tensor:
        """Return what is to be added to balanced colors, to the eye.

        Parameters
        ----------
        cells : Cells
            A batch of frames.

        Returns
        -------
        Tensor, shape (B, 3, h, w)
            On the scale of :func:`to_eye`, of light divided by the neutral. Brightness, a sum of
            the three in linear light, stays.
        """
        ratio, a, b = (number[:, None, None, None] for number in cells.numbers.unbind(1))
        white, samples = cells.neutral[:, :, None, None], torch.tensor(_SAMPLES).view(3, 1, 1)
        b = b.clamp_min(_LEAST / ratio**2)
        variance = a * ratio * cells.restored.clamp_min(0) + b * ratio**2
        deviation = (variance / (CELL**2 * samples)).sqrt()
        missing = (cells.captured - cells.restored) / deviation
        balanced = cells.restored / white
        seen = to_eye(balanced)
        noise = deviation / white / _slope(balanced)
        green, flat = seen[:, 1:2], torch.ones_like(cells.texture)
        features = [seen, seen[:, :1] - green, seen[:, 2:] - green, torch.asinh(missing)]
        features += [noise.log() + 4, 10 * cells.texture, flat * (ratio / 60).log()]
        features += [flat * ((b * ratio**2).log() / 8 + 1)]
        told = torch.cat([seen, noise[:, 1:2].log() + 4], 1)
        x, skips = self.encoder[0](self.enter(torch.cat(features, 1))), []
        for depth, block in enumerate(self.encoder[1:], 1):
            skips.append(x)
            x = F.avg_pool2d(x, 2, ceil_mode=True)
            beside, around = (
                F.avg_pool2d(frame, 2**depth, ceil_mode=True) for frame in (missing, told)
            )
            x = block(torch.cat([x, torch.asinh(beside * 2**depth), around], 1))
        for skip, block in zip(reversed(skips), reversed(self.decoder), strict=True):
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            x = block(torch.cat([skip, x[..., : skip.shape[2], : skip.shape[3]]], 1))
        shift: Tensor = self.leave(x) * noise.mean(1, keepdim=True)
        bright = torch.tensor(_BRIGHTNESS).view(3, 1, 1) * _slope(balanced)
        return shift - (bright * shift).sum(1, keepdim=True) / bright.sum(1, keepdim=True)


def settle_colors(
    restored: Tensor, capture: Tensor, conditioning: Conditioning, neutral: Tensor
) -> Tensor:
    """Take clouds of color out of a restored frame.

    Parameters
    ----------
    restored : Tensor, shape (4, h, w)
        Restored planes at target brightness; changed in place.
    capture : Tensor, same shape
        The capture before amplification.
    conditioning : Conditioning
        Ratio and noise. Where there is little noise nothing is done.
    neutral : Tensor, shape (3,)
        Camera RGB of white, green 1.

    Returns
    -------
    Tensor, shape (4, h, w)
        Near lamps as it was.
    """
    low, high = _NOISE
    share = min(max((conditioning.amplified_noise - low) / (high - low), 0.0), 1.0)
    if share == 0:
        return restored
    with torch.inference_mode():
        shift = _network()(cells_of(restored, capture, conditioning, neutral))[0]
    shift = shift * share * F.max_pool2d(away_from_lamps(restored), CELL, ceil_mode=True)
    # Plane by plane, to save memory.
    for plane, color in zip(restored, (0, 1, 1, 2), strict=True):
        smooth = F.interpolate(shift[None, color : color + 1], scale_factor=CELL, mode="bilinear")
        white = float(neutral[color])
        seen = to_eye(plane / white).add_(smooth[0, 0, : plane.shape[0], : plane.shape[1]])
        plane.copy_(to_light(seen).mul_(white))
    return restored


@cache
def _network() -> ColorNetwork:
    network = ColorNetwork()
    network.load_state_dict({name: value.float() for name, value in load_file(_WEIGHTS).items()})
    return network.eval().requires_grad_(False)
