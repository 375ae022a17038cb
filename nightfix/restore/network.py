"""Restore: the conditional denoiser F(X_t, Y, lambda_t, lambda_T, lambda_ref, ISO, t).

One network for every camera, ratio and step. It sees the current sample and the
capture, each through the variance-stabilizing transform of its own noise, and
answers in units of the capture's noise. All that is one number for the whole
frame (noise, exposures, blur) enters through feature-wise modulation (FiLM) in
every block, so no statistics of a tile are ever taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nightfix.restore.diffusion import VarianceStabilizer, reference_exposure
from nightfix.restore.tiling import Area, in_strips, middle_rows

#: Brightest value, in units of the target's white, that the network is shown.
CEILING = 2.0

#: Unit of what a shake has moved, on the stabilized scale.
_SHIFT = 0.05

#: Unit of an estimate that starts from black, and the noise of a capture of which half is left
#: to start from, on the stabilized scale.
_ABSOLUTE, _NOISY = 0.3, 0.1

_SLOPE = 0.2
_CONDITION_NUMBERS = 9

#: How far the capture's own encoder and the means of its surroundings look [packed px].
_ENCODER_REACH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """What is needed to build a network before its weights are loaded.

    Parameters
    ----------
    backbone : str
        ``"unet"`` or ``"nafnet"``.
    widths : tuple of int
        Channels a level, finest first.
    blocks : int
        Blocks a level (NAFNet only; the U-Net has one of two convolutions).
    capture_width : int
        Channels of the capture's own encoder; 0 leaves it out.
    embedding : int
        Width of the condition's embedding.
    deconvolution : bool
        Whether the network is also shown the sample with its measured shake undone.
    absolute : bool
        Whether the direct estimate starts from black, rather than from the capture, where
        that is mostly noise.
    conditional : bool
        Whether the network sees the capture beside the sample (the condition Y).
    adaptive : bool
        Whether a mask joins a direct estimate and a residual; else there is only a residual.
    """

    backbone: str = "unet"
    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    blocks: int = 1
    capture_width: int = 16
    embedding: int = 128
    deconvolution: bool = False
    absolute: bool = False
    conditional: bool = True
    adaptive: bool = True


class Condition(NamedTuple):
    """Numbers that hold for the whole frame, each of shape (B, 1, 1, 1), float32.

    ``ratio``, the target's brightness over the capture's; ``exposure``, lambda_t in units
    of the captured exposure; ``a``, ``b``, the capture's noise before amplification;
    ``blur``, 1 where a shake is to be undone, -1 where it is to be kept, 0 where the
    network must find out whether there is one.
    """

    ratio: Tensor
    exposure: Tensor
    a: Tensor
    b: Tensor
    blur: Tensor

    @property
    def reference(self) -> Tensor:
        """Return lambda_ref in units of the captured exposure."""
        return reference_exposure(self.ratio, self.a)

    def stabilizer(self, exposure: Tensor | float = 1.0) -> VarianceStabilizer:
        """Return the transform for a sample that has reached ``exposure``."""
        remaining = self.ratio / exposure
        return VarianceStabilizer(self.a * remaining, self.b * remaining**2)

    def numbers(self) -> Tensor:
        """Return the condition as numbers of order one, shape (B, 9)."""
        own, capture = self.stabilizer(self.exposure), self.stabilizer()
        time = (self.exposure - 1) / (self.reference - 1).clamp_min(1e-6)
        columns = [
            torch.log(capture.noise) / 2 + 1.5,
            torch.log(own.noise) / 2 + 1.5,
            torch.log(self.ratio) / 3,
            torch.log(self.exposure) / 3,
            time.clamp(0, 1),
            torch.log(capture.a) / 4 + 1.5,
            torch.log(capture.b + 1e-9) / 8 + 1,
            self.blur.clamp_min(0),
            (-self.blur).clamp_min(0),
        ]
        return torch.cat([column.flatten(1) for column in columns], 1)


class FiLM(nn.Module):
    """Scale and shift features by the embedded condition (Perez et al., AAAI 2018)."""

    def __init__(self, embedding: int, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(embedding, 2 * channels)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.project(embedding)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(x + shift, x, scale)

    def after(self, layer: nn.Conv2d, x: Tensor, embedding: Tensor, *, inside: bool) -> Tensor:
        """Modulate what a convolution makes of features; of one frame, in its weights."""
        if len(embedding) > 1:
            return self(_convolve(layer, x, inside=inside), embedding)  # type: ignore[no-any-return]
        assert layer.bias is not None
        scale, shift = self.project(embedding)[0].float().chunk(2)
        weight, bias = layer.weight * (1 + scale)[:, None, None, None], layer.bias * (1 + scale)
        return F.conv2d(x, weight, bias + shift, padding=_padding(inside=inside))


def _draw(weight: Tensor, std: float) -> None:
    """Start with normal numbers, unless weights will be loaded (a second's work for torch)."""
    if not weight.is_meta:
        nn.init.normal_(weight, std=std)


def _conv3(inputs: int, outputs: int) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, 3, padding=1)
    _draw(layer.weight, math.sqrt(2 / (1 + _SLOPE**2) / (9 * inputs)))
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def _padding(*, inside: bool) -> tuple[int, int]:
    """Return the zeros around features, which where rows go on ``inside`` a frame have none."""
    return (0, 1) if inside else (1, 1)


def _convolve(layer: nn.Conv2d, x: Tensor, *, inside: bool) -> Tensor:
    return F.conv2d(x, layer.weight, layer.bias, padding=_padding(inside=inside))


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE, inplace=True)


class ConvBlock(nn.Module):
    """Two plain 3x3 convolutions, the first one modulated by the condition.

    Of rows ``inside`` a frame the outermost two at both ends are not computed.
    """

    radius = 2

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.first = _conv3(inputs, outputs)
        self.film = FiLM(embedding, outputs)
        self.second = _conv3(outputs, outputs)

    def forward(self, x: Tensor, embedding: Tensor, *, inside: bool = False) -> Tensor:
        x = _activate(self.film.after(self.first, x, embedding, inside=inside))
        return _activate(_convolve(self.second, x, inside=inside))


class NAFBlock(nn.Module):
    """Gated depthwise block without an activation function.

    After Chen et al., "Simple Baselines for Image Restoration", ECCV 2022, but
    without its normalization and its pooled channel attention: both take
    statistics of the tile, which would move its brightness. FiLM stands in.
    """

    radius = 1

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.match = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.expand = nn.Conv2d(outputs, 2 * outputs, 1)
        self.spread = nn.Conv2d(2 * outputs, 2 * outputs, 3, padding=1, groups=2 * outputs)
        self.film = FiLM(embedding, outputs)
        self.project = nn.Conv2d(outputs, outputs, 1)
        self.widen = nn.Conv2d(outputs, 2 * outputs, 1)
        self.narrow = nn.Conv2d(outputs, outputs, 1)
        self.scales = nn.Parameter(torch.full((2, outputs, 1, 1), 0.1))

    def forward(self, x: Tensor, embedding: Tensor, *, inside: bool = False) -> Tensor:  # noqa: ARG002
        x = self.match(x)
        gate, value = self.spread(self.expand(x)).chunk(2, 1)
        x = x + self.scales[0] * self.project(self.film(gate * value, embedding))
        gate, value = self.widen(x).chunk(2, 1)
        narrow: Tensor = self.narrow(gate * value)
        return x + self.scales[1] * narrow


_BLOCKS: dict[str, type[ConvBlock] | type[NAFBlock]] = {"unet": ConvBlock, "nafnet": NAFBlock}


class Level(nn.Module):
    """The blocks of one resolution."""

    def __init__(self, config: NetworkConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        block = _BLOCKS[config.backbone]
        self.blocks = nn.ModuleList(
            block(inputs if n == 0 else outputs, outputs, config.embedding)
            for n in range(config.blocks)
        )

    def forward(self, x: Tensor, embedding: Tensor, *, inside: bool = False) -> Tensor:
        for block in self.blocks:
            x = block(x, embedding, inside=inside)
        return x


class Backbone(nn.Module):
    """Encoder and decoder with skip connections, of blocks named by the configuration.

    The U-Net is that of Chen et al., "Learning to See in the Dark", CVPR 2018,
    with strided convolutions in place of max-pooling.
    """

    def __init__(self, config: NetworkConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        widths = config.widths
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        self.encoder = nn.ModuleList([Level(config, inputs, widths[0])])
        self.encoder.extend(Level(config, wide, wide) for _, wide in pairs)
        self.down = nn.ModuleList(nn.Conv2d(n, wide, 2, 2) for n, wide in pairs)
        self.up = nn.ModuleList(nn.ConvTranspose2d(wide, n, 2, 2) for n, wide in reversed(pairs))
        self.decoder = nn.ModuleList(Level(config, 2 * n, n) for n in reversed(widths[:-1]))
        self.radius = _BLOCKS[config.backbone].radius * config.blocks
        self.head = nn.Conv2d(widths[0], outputs, 1)
        _draw(self.head.weight, 1e-3)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(
        self,
        frames: Sequence[Tensor],
        embedding: Tensor,
        enter: Callable[..., Tensor],
        leave: Callable[..., Tensor],
        inner: Area,
    ) -> Tensor:
        """Run the levels, each of them strip by strip.

        ``enter`` makes the finest level's features of a strip of ``frames``, ``leave`` the
        result of the head's answer and that strip. Of every level the decoder computes what
        the result in ``inner`` depends on.
        """

        def answer(x: Tensor, *parts: Tensor) -> tuple[Tensor]:
            seen = (middle_rows(part, x.shape[2]) for part in parts[-len(frames) :])
            return (leave(self.head(x), *seen),)

        depth, skips = len(self.down), []
        start, inputs, reach = enter, tuple(frames), _ENCODER_REACH
        end: Callable[..., tuple[Tensor, ...]]
        for encoder, down in zip(self.encoder, self.down, strict=False):
            end = partial(_kept_and_reduced, down)
            skip, x = self._strips(encoder, embedding, inputs, start=start, end=end, reach=reach)
            skips.append(skip)
            start, inputs, reach = _unchanged, (x,), 0
        end = _alone if depth else answer
        (x,) = self._strips(self.encoder[-1], embedding, inputs, start=start, end=end, reach=reach)
        wanted, seen = self._areas(inner, frames[0].shape[2:])
        x = wanted[depth].of(x)
        for n, up, level in zip(reversed(range(depth)), self.up, self.decoder, strict=True):
            start, inputs = partial(_joined, up), (x, seen[n].of(skips.pop()))
            end, inputs = (_alone, inputs) if n else (answer, (*inputs, *map(seen[0].of, frames)))
            (x,) = self._strips(level, embedding, inputs, start=start, end=end)
            x = wanted[n].seen_from(seen[n]).of(x)
        return inner.seen_from(wanted[0]).of(x)

    def _areas(self, inner: Area, size: Sequence[int]) -> tuple[list[Area], list[Area]]:
        """Return what is wanted of each level's decoder, and what that has to see for it.

        The deepest level, which has no decoder, comes last among the first. All begins with
        ``inner`` up to the coarsest grid, so that whole frames stay whole.
        """
        depth = len(self.down)
        wanted, seen = [inner.grown(0, 1 << depth, size)], []
        for n in range(depth):
            seen.append(wanted[n].grown(self.radius, 2, [side >> n for side in size]))
            wanted.append(Area(*(range(a.start // 2, a.stop // 2) for a in seen[n])))
        return wanted, seen

    def _strips(
        self,
        level: nn.Module,
        embedding: Tensor,
        inputs: tuple[Tensor, ...],
        *,
        start: Callable[..., Tensor],
        end: Callable[..., tuple[Tensor, ...]],
        reach: int = 0,
    ) -> tuple[Tensor, ...]:
        """Run one level: on what ``start`` makes of a strip, and ``end`` of its features.

        ``reach``: how many rows up and down ``start`` looks.
        """

        def run(inside: bool, *parts: Tensor) -> tuple[Tensor, ...]:
            x = start(*parts)
            x = middle_rows(x, x.shape[2] - 2 * reach) if inside else x
            return end(level(x, embedding, inside=inside), *parts)

        return in_strips(run, inputs, halo=self.radius + reach, step=2)


def _unchanged(x: Tensor) -> Tensor:
    return x


def _alone(x: Tensor, *_: Tensor) -> tuple[Tensor]:
    return (x,)


def _kept_and_reduced(down: nn.Module, x: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
    return x, down(x)


def _joined(up: nn.Module, below: Tensor, skip: Tensor, *_: Tensor) -> Tensor:
    return torch.cat([up(below), skip], 1)


class Denoiser(nn.Module):
    """Predict the fully exposed scene from a sample, the capture and the condition.

    Parameters
    ----------
    config : NetworkConfig
        Its backbone and sizes.

    Notes
    -----
    The head has 2 * 4 + 1 channels, the adaptive residual layer: a direct
    estimate X, a residual R and a soft mask M,

        F = M X + (1 - M) (x_t + R)

    X is counted from the capture, on its stabilized scale and in units of its noise (with
    ``absolute`` the more from black, the noisier the capture: a network then need not carry
    the noise to take it away); R from the sample (where the shake is known, from what
    deconvolution made of it), on the sample's scale and in units of the geometric mean of
    both noises. The mask's odds start at one over the exposure. So a sample that has seen
    little light is estimated anew, and one that has seen much is kept unless there is reason
    to change it. The papers' clip to [0, 1] is left out: lamps lie above white, and noise
    below black.

    Beside the frames the backbone sees the capture's detail, less the mean of 5 x 5 samples of
    its plane, in units of its noise (an inverse hyperbolic sine leaves edges finite): on the
    frames' own scale the noise of a clean capture is next to nothing, less than a number of 16
    bits can hold, and a network has to learn first to amplify it.

    With deconvolution four more channels are added to both, where the shake is not to be
    kept: what it has moved, in units that do not shrink with the noise as the others do.

    References
    ----------
    Wang et al., ICCV 2023, Eq. (12); the condition Y is that of the conditional
    variant, section 2.2.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Sequential(
            nn.Linear(_CONDITION_NUMBERS, config.embedding),
            nn.SiLU(),
            nn.Linear(config.embedding, config.embedding),
            nn.SiLU(),
        )
        width = config.capture_width
        self.capture_encoder = (
            nn.Sequential(
                _conv3(4, width), nn.LeakyReLU(_SLOPE), _conv3(width, width), nn.LeakyReLU(_SLOPE)
            )
            if width
            else None
        )
        planes, answers = (16, 13) if config.deconvolution else (12, 9)
        self.backbone = Backbone(config, planes + width, answers)

    @property
    def multiple(self) -> int:
        """Packed sides must be a multiple of this [packed px]."""
        return int(2 ** (len(self.config.widths) - 1))

    @property
    def receptive_radius(self) -> int:
        """How far an input sample can reach, in packed pixels.

        Each block adds its radius at its level's pitch on the way down and up;
        each strided pair adds one pitch.
        """
        radius = self.backbone.radius
        depth = len(self.config.widths) - 1
        pitches = [1 << n for n in range(depth)]
        reach = sum(2 * radius * p + p for p in pitches) + radius * (1 << depth)
        return _ENCODER_REACH + reach

    def forward(
        self,
        sample: Tensor,
        capture: Tensor,
        condition: Condition,
        deconvolved: Tensor | None = None,
        *,
        inner: Area | None = None,
    ) -> Tensor:
        """Estimate the scene.

        Parameters
        ----------
        sample : Tensor, shape (B, 4, h, w), float32
            x_t at target brightness, 1.0 = target white. Values above
            :data:`CEILING` are shown as that; negative ones as they are.
        capture : Tensor, same shape
            The amplified capture, likewise.
        condition : Condition
            Exposures, noise and blur.
        deconvolved : Tensor or None, same shape
            The sample with its shake undone
            (:func:`nightfix.restore.motion.deconvolution.deconvolve`), where the
            shake is known; None takes the sample as it is.
        inner : Area or None
            The rows and columns that are wanted; None means all.

        Returns
        -------
        Tensor, shape (B, 4, h, w) or those of ``inner``, float32
            The fully exposed scene, same scale. Not clipped.
        """
        frames = (sample, capture) if deconvolved is None else (sample, capture, deconvolved)
        inner = inner or Area(*(range(side) for side in sample.shape[2:]))
        embedding = self.embed(condition.numbers())
        enter, leave = partial(self._enter, condition), partial(self._leave, condition)
        return self.backbone(frames, embedding, enter, leave, inner)  # type: ignore[no-any-return]

    def _enter(self, condition: Condition, *frames: Tensor) -> Tensor:
        """Return what the backbone sees of the frames."""
        v_t, v_y, v_d = _stabilized(condition, *frames)
        features = [v_t, v_y if self.config.conditional else torch.zeros_like(v_y)]
        if self.config.deconvolution:
            features.append(v_d - v_t)
        if self.capture_encoder is not None:
            features.append(self.capture_encoder(features[1]))
        features.append(_detail(features[1], condition.stabilizer().noise))
        return torch.cat(features, 1)

    def _leave(self, condition: Condition, head: Tensor, *frames: Tensor) -> Tensor:
        """Return the scene by the backbone's answer: the adaptive residual layer."""
        own, given = condition.stabilizer(condition.exposure), condition.stabilizer()
        v_t, v_y, v_d = _stabilized(condition, *frames)
        if not self.config.conditional:
            v_y, given = v_t, own
        sizes = [4, 4, 1, head.shape[1] - 9]
        direct, residual, mask, moved = torch.split(head.float(), sizes, 1)
        shift = _SHIFT * moved * (condition.blur >= 0) if self.config.deconvolution else 0
        corrected = own.linearize(v_d + (own.noise * given.noise).sqrt() * residual + shift)
        if not self.config.adaptive:
            return corrected
        mask = torch.sigmoid(mask - torch.log(condition.exposure))
        start, unit = v_y, given.noise
        if self.config.absolute:
            kept = 1 / (1 + (given.noise / _NOISY) ** 3)
            start, unit = kept * v_y, kept * given.noise + (1 - kept) * _ABSOLUTE
        estimate = given.linearize(start + unit * direct + shift)
        return torch.lerp(corrected, estimate, mask)


def _detail(frame: Tensor, noise: Tensor) -> Tensor:
    """Return what a stabilized frame has beside the means around it, in units of its noise.

    The inverse hyperbolic sine of that; torch's own, and its pooling, take several times longer.
    """
    detail = (frame - _means_around(frame)) / noise
    size = torch.addcmul(torch.ones_like(noise), detail, detail).sqrt() + detail.abs()
    return torch.copysign(size.log(), detail)


def _means_around(frame: Tensor) -> Tensor:
    """Return the mean of up to 5 x 5 samples around each, of those that lie in the frame."""
    reach, means = _ENCODER_REACH, frame
    for _ in range(2):
        means = means.mT
        length = means.shape[-1]
        place = torch.arange(length, device=frame.device)
        count = (place + reach).clamp_max(length - 1) - (place - reach).clamp_min(0) + 1
        padded = F.pad(means, (reach, reach))
        means = sum(padded.narrow(-1, step, length) for step in range(2 * reach + 1)) / count
    return means


def _stabilized(
    condition: Condition, sample: Tensor, capture: Tensor, deconvolved: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the frames on the scales of their noise, by default the sample for deconvolved."""
    own, given = condition.stabilizer(condition.exposure), condition.stabilizer()
    v_t = own.stabilize(sample.clamp_max(CEILING))
    v_y = given.stabilize(capture.clamp_max(CEILING))
    v_d = v_t if deconvolved is None else own.stabilize(deconvolved.clamp_max(CEILING))
    return v_t, v_y, v_d


def parameter_count(network: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(math.prod(p.shape) for p in network.parameters())


def condition_of(numbers: Sequence[float]) -> Condition:
    """Build the condition of one frame from (ratio, exposure, a, b, blur)."""
    return Condition(*(torch.full((1, 1, 1, 1), float(number)) for number in numbers))
