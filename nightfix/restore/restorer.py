"""Restore: RawImage and Conditioning in, RawImage out; only the mosaic changes."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nightfix.condition import (
    Conditioning,
    Settings,
    capture_passes,
    ceiling,
    detail_share,
    passes,
    saturated_to_white,
)
from nightfix.errors import DeviceMemoryError
from nightfix.progress import Progress, no_progress
from nightfix.read import (
    CFA_PATTERNS,
    RawImage,
    has_three_colors,
    packed_planes,
    sampled,
    transpose_planes,
    unpack_bayer,
)
from nightfix.restore.anchoring import anchor_brightness, keep_saturated, keep_what_is_clean
from nightfix.restore.blending import blend
from nightfix.restore.colors import settle_colors
from nightfix.restore.detail import PLACES, draw_detail, told_place
from nightfix.restore.device import (
    SMALLEST_TILE,
    choose_device,
    choose_tile,
    compute_dtype,
    is_out_of_memory,
)
from nightfix.restore.diffusion import exposure_schedule, simulate_exposure
from nightfix.restore.motion.deconvolution import choose_smoothness, context_of, deconvolve
from nightfix.restore.motion.estimate import find_shake
from nightfix.restore.motion.kernels import MotionFound, ignore_motion, motion_of
from nightfix.restore.network import Condition, Denoiser, condition_of
from nightfix.restore.tiling import (
    FADE,
    Area,
    border_of,
    local_maximum,
    map_tiles,
    tiles,
)
from nightfix.restore.weights import (
    DEFAULT_WEIGHTS,
    DETAIL_WEIGHTS,
    MOTION_WEIGHTS,
    load_weights,
)

#: Restored values between which the highlights' own restoration takes over.
_HIGHLIGHTS = (0.9, 1.4)

#: Border read around a lamp, beyond which what the network sees brings it no nearer to the truth
#: where there is so much light; and sides of the windows it may lie in [packed px].
_LAMP_CONTEXT, _LAMP_TILES = 32, (32, 64, 128, 256, 512)

#: What a network is told of a shake: the first passes keep it, the pass after them undoes it.
_KEEP_SHAKE, _UNDO_SHAKE = -1.0, 1.0

#: Side of the windows in which a shake is deconvolved [packed px].
_DECONVOLVED_TILE = 1024

#: Stops above white that are kept of streaks until they are lights again.
_STREAKS = 6.0

#: Deconvolved values between which they take over from the network, which is shown none above.
_LIGHTS = (1.2, 1.8)

#: Rows of a plane in which light is drawn.
_ROWS = 64


class Restorer:
    """A network on a device, to be used for any number of photos.

    Parameters
    ----------
    weights : str or path-like
        A known name or a ``.safetensors`` file.
    device : str
        ``"auto"``, ``"cuda"``, ``"mps"`` or ``"cpu"``.

    Raises
    ------
    WeightsError, DeviceError
        If one of them cannot be had.
    """

    def __init__(
        self, weights: str | os.PathLike[str] = DEFAULT_WEIGHTS, device: str = "auto"
    ) -> None:
        self.device = choose_device(device)
        self.dtype = compute_dtype(self.device)
        network, self.info = load_weights(weights)
        self.network = self._placed(network)

    def _placed(self, network: Denoiser) -> Denoiser:
        placed: Denoiser = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return placed

    @cached_property
    def motion_network(self) -> Denoiser:
        """The network of the pass that undoes a shake, loaded when a photo needs it."""
        return self._placed(load_weights(MOTION_WEIGHTS)[0])

    @cached_property
    def detail_network(self) -> Denoiser:
        """The network that draws detail, loaded when a photo needs it."""
        return self._placed(load_weights(DETAIL_WEIGHTS)[0])

    def tile(self, settings: Settings) -> int:
        """Return the side of the tiles that will be used [mosaic px]."""
        multiple: int = 2 * self.network.multiple
        wanted = settings.tile or choose_tile(self.device)
        return max(multiple, wanted // multiple * multiple)

    def restore(
        self,
        raw: RawImage,
        conditioning: Conditioning,
        settings: Settings | None = None,
        progress: Progress = no_progress,
        moved: MotionFound = ignore_motion,
    ) -> RawImage:
        """Remove noise and shake from a photo and bring it to the target's brightness.

        Parameters
        ----------
        raw : RawImage
            The photo as read.
        conditioning : Conditioning
            Its amplification and noise.
        settings : Settings or None
            Passes, strength, headroom, seed, tile.
        progress : callable
            Called with tiles done and tiles in all.
        moved : callable
            Called with the motion of the camera where it is undone, in mosaic px of the sensor.

        Returns
        -------
        RawImage
            The same photo; ``mosaic * 2**baseline_exposure`` is in reference units (1.0 =
            white at the target exposure, lamps up to ``2**headroom``).

        Raises
        ------
        DeviceMemoryError
            If even the smallest tile does not fit.
        """
        settings = settings or Settings()
        raw = saturated_to_white(raw, conditioning.saturation)
        restore = self._restore_colors if has_three_colors(raw) else self._restore_mosaic
        mosaic = restore(raw, conditioning, settings, progress, moved)
        whole = replace(raw, mosaic=np.ascontiguousarray(mosaic))
        ratio = conditioning.amplification.ratio
        highest = ceiling(raw, ratio, settings)
        return blend(raw, whole, ratio=ratio, strength=settings.strength, ceiling=highest)

    def _restore_mosaic(
        self,
        raw: RawImage,
        conditioning: Conditioning,
        settings: Settings,
        progress: Progress,
        moved: MotionFound,
    ) -> NDArray[np.float32]:
        """Return the restored mosaic of a photo, shape (H, W)."""
        capture = torch.from_numpy(packed_planes(raw))
        # The planes are on the mosaic's scale, whose white is not the reference's.
        own = replace(settings, headroom=settings.headroom - raw.baseline_exposure)
        colored = raw.cfa_pattern is not None and raw.as_shot_neutral is not None
        neutral = torch.from_numpy(raw.as_shot_neutral) if colored else None
        detail = detail_share(raw, conditioning, settings)
        restored = self.restore_packed(
            capture, conditioning, own, progress, moved, neutral=neutral, detail=detail
        )
        shape = (raw.mosaic.shape[0], raw.mosaic.shape[1])
        return unpack_bayer(restored.numpy(), raw.cfa_pattern or "RGGB", shape)

    def _restore_colors(
        self,
        raw: RawImage,
        conditioning: Conditioning,
        settings: Settings,
        progress: Progress,
        moved: MotionFound,
    ) -> NDArray[np.float32]:
        """Return a photo of three colors a pixel restored, shape (H, W, 3).

        A mosaic is taken of it in each of the four phases and restored: so every pixel has its
        red and its blue once and its green twice, of which the mean is taken. A shake is measured
        once for all.
        """
        conditioning = self.with_shake(raw, conditioning, settings)
        settings = replace(settings, detail=0.0)
        light = np.zeros_like(raw.mosaic)
        for index, cfa_pattern in enumerate(CFA_PATTERNS):
            one = sampled(raw, cfa_pattern)
            part = _part_of(progress, index, len(CFA_PATTERNS))
            told = moved if index == 0 else ignore_motion
            mosaic = self._restore_mosaic(one, conditioning, settings, part, told)
            for site, letter in enumerate(cfa_pattern):
                places = np.s_[site // 2 :: 2, site % 2 :: 2]
                light[(*places, "RGB".index(letter))] += mosaic[places]
        light[..., 1] /= 2
        return light

    def with_shake(
        self,
        raw: RawImage,
        conditioning: Conditioning,
        settings: Settings | None = None,
        progress: Progress = no_progress,
    ) -> Conditioning:
        """Measure a photo's shake, so that parts of it can be restored as the whole would be.

        One pass is run over the photo.

        Parameters
        ----------
        raw, conditioning, settings, progress
            As for :meth:`restore`.

        Returns
        -------
        Conditioning
            With the shake, or with ``blur`` False where none is found; as it was given where
            :meth:`restore` would measure none.

        Raises
        ------
        DeviceMemoryError
        """
        if conditioning.blur is False:
            return conditioning
        raw = saturated_to_white(raw, conditioning.saturation)
        capture = torch.from_numpy(packed_planes(raw))
        kernel = _Frame(self, capture, conditioning, settings or Settings(), progress).shake()
        known = None if kernel is None else kernel[0].numpy()
        return replace(conditioning, blur=kernel is not None, shake=known)

    def restore_packed(
        self,
        capture: Tensor,
        conditioning: Conditioning,
        settings: Settings | None = None,
        progress: Progress = no_progress,
        moved: MotionFound = ignore_motion,
        *,
        neutral: Tensor | None = None,
        detail: float = 0.0,
    ) -> Tensor:
        """Do the work of :meth:`restore`, at full strength, on planes that are no photo's.

        Parameters
        ----------
        capture : Tensor, shape (4, h, w), float32
            Planes in the order of :func:`nightfix.read.bayer.pack_bayer`, black-subtracted, 1.0 =
            white level, finite.
        conditioning, settings, progress, moved
            As for :meth:`restore`.
        neutral : Tensor or None, shape (3,)
            Camera RGB of white, green 1; None leaves clouds of color as they are.
        detail : float
            Share of drawn detail, 0 to 1 (:func:`nightfix.condition.detail_share`).

        Returns
        -------
        Tensor, shape (4, h, w), float32
            At the target's brightness, at most ``min(ratio, 2**headroom)``.
        """
        settings = settings or Settings()
        ratio = conditioning.amplification.ratio
        frame = _Frame(self, capture, conditioning, settings, progress)
        restored = frame.restore(moved, neutral, detail)
        return restored.clamp_(max=min(ratio, 2**settings.headroom))


def _part_of(progress: Progress, index: int, count: int) -> Progress:
    """Tell the progress of one of several equal parts as that of the whole."""
    return lambda done, total: progress(index * total + done, count * total)


class _Frame:
    """One photo on its way through the passes."""

    def __init__(
        self,
        restorer: Restorer,
        capture: Tensor,
        conditioning: Conditioning,
        settings: Settings,
        progress: Progress,
    ) -> None:
        self.restorer, self.device, self.dtype = restorer, restorer.device, restorer.dtype
        self.capture, self.conditioning, self.settings = capture, conditioning, settings
        self.tile = restorer.tile(settings) // 2
        self.progress = progress
        self.done = 0
        reference = float(self._condition(1.0).reference)
        self.schedule = exposure_schedule(reference, passes(settings, conditioning))
        self.passes = len(self.schedule)

    def shake(self) -> Tensor | None:
        """Return the shake as the first pass's result shows it, shape (1, k, k)."""
        return self._measure_shake(self._predict(self._condition(1.0)))

    def restore(self, moved: MotionFound, neutral: Tensor | None, detail: float) -> Tensor:
        """Return the restored planes at target brightness."""
        self.passes += len(PLACES) if detail else 0
        ratio = self.conditioning.amplification.ratio
        restored, kernel = self._sample()
        restored = anchor_brightness(restored, self.capture, self.conditioning)
        kept = self.settings.headroom if kernel is None else max(_STREAKS, self.settings.headroom)
        lower = max(1.0, ratio / 2**kept)
        if lower < ratio:
            restored = self._merge_highlights(restored, ratio, lower)
        if neutral is not None:
            restored = settle_colors(restored, self.capture, self.conditioning, neutral)
        if kernel is not None:
            moved(motion_of(kernel[0].numpy()))
            # Saturated samples of a shake are streaks, to be gathered.
            restored = self._without_shake(restored, kernel)
        else:
            restored = keep_what_is_clean(restored, self.capture, self.conditioning)
            restored = keep_saturated(restored, self.capture, self.conditioning)
        if detail:
            restored = self._with_detail(restored, detail)
        self.progress(self.done, self.done)
        return restored

    def _sample(self) -> tuple[Tensor, Tensor | None]:
        """Run Algorithm 2: alternate the network's estimate and the exposure step.

        Of three passes or more the second sees the capture as the first does, but transposed:
        its errors are partly others. Light is drawn from the mean of the passes there have been,
        and the mean of all is the result. The network is told to keep a shake, which is measured
        before light is drawn.

        Returns the picture and the kernel of a shake that is to be undone.
        """
        generator = torch.Generator().manual_seed(self.settings.seed)
        told = self._condition(1.0)
        light = self._predict(told)
        seen = capture_passes(len(self.schedule))
        if seen == 2:
            light.lerp_(self._predict(told, transposed=True), 1 / 2)
        kernel = self._measure_shake(light)
        for done in range(seen, len(self.schedule)):
            told = self._condition(self.schedule[done])
            sample = self._expose(light, told, generator)
            light.lerp_(self._predict(told, sample), 1 / (done + 1))
        return light, kernel

    def _measure_shake(self, picture: Tensor) -> Tensor | None:
        """Estimate the shake; None if there is none or it is not to be undone."""
        wanted, known = self.conditioning.blur, self.conditioning.shake
        if wanted is False:
            return None
        if known is not None:
            kernel: Tensor | None = torch.from_numpy(known)
        else:
            ratio, noise = self.conditioning.amplification.ratio, self.conditioning.noise
            # The network, which is shown no lights above its ceiling, makes plateaus of them.
            amplified = self.capture * ratio
            seen = torch.where(picture > _HIGHLIGHTS[0], amplified, picture)
            kernel = find_shake(
                self.capture, seen, ratio=ratio, a=noise.a, b=noise.b, insist=wanted is True
            )
        return None if kernel is None else kernel[None]

    def _expose(self, light: Tensor, told: Condition, generator: torch.Generator) -> Tensor:
        """Draw the light of the missing time, a few rows at a time to save memory."""
        sample = torch.empty_like(light)
        for plane, captured, seen in zip(sample, self.capture, light, strict=True):
            for rows in zip(*(p.split(_ROWS) for p in (plane, captured, seen)), strict=True):
                normal = None
                if not self.settings.deterministic:
                    normal = torch.randn(rows[0].shape, generator=generator)
                numbers = (number[0, 0] for number in (told.ratio, told.exposure, told.a))
                ratio, exposure, a = numbers
                amplified = rows[1] * ratio
                rows[0].copy_(
                    simulate_exposure(
                        amplified, rows[2], ratio=ratio, exposure=exposure, a=a, normal=normal
                    )
                )
        return sample

    def _condition(self, exposure: float, ratio: float | None = None) -> Condition:
        """Return what the network is told, on the CPU; ``ratio`` stands in for the photo's."""
        noise = self.conditioning.noise
        ratio = ratio or self.conditioning.amplification.ratio
        return condition_of((ratio, exposure, noise.a, noise.b, _KEEP_SHAKE))

    def _without_shake(self, picture: Tensor, kernel: Tensor) -> Tensor:
        """Undo the shake of a picture: by physics, then by a pass of the motion network.

        That pass is a later one, whose sample has seen all the light there is. It sees the
        shaken picture, the capture and what deconvolution made of them.
        """
        ratio, noise = self.conditioning.amplification.ratio, self.conditioning.noise
        smoothness = choose_smoothness(picture, a=noise.a * ratio, b=noise.b * ratio**2)
        undo = partial(deconvolve, kernel=kernel, saturation=ratio, smoothness=smoothness)
        undone = map_tiles(
            lambda tile, inner: inner.of(undo(tile)),
            (picture,),
            tile=_DECONVOLVED_TILE,
            context=context_of(kernel),
            multiple=1,
        )
        told = self._condition(1.0)._replace(blur=torch.full((1, 1, 1, 1), _UNDO_SHAKE))
        told = told._replace(exposure=told.reference)
        network = self.restorer.motion_network
        sharp = self._predict(told, picture, undone, network=network)
        low, high = _LIGHTS
        weight = ((undone.amax(0, keepdim=True) - low) / (high - low)).clamp_(0, 1)
        return sharp.lerp_(undone, weight)

    def _with_detail(self, picture: Tensor, share: float) -> Tensor:
        """Draw detail into a picture, in passes of the detail network."""
        network = self.restorer.detail_network

        def estimate(m: Tensor, u: float) -> Tensor:
            told = told_place(self._condition(1.0), torch.full((1, 1, 1, 1), u))
            return self._predict(told, m, picture, network=network)

        return draw_detail(picture, estimate, share=share, seed=self.settings.seed)

    def _merge_highlights(self, restored: Tensor, ratio: float, lower: float) -> Tensor:
        """Put lamps back that are brighter than the network is shown at the full ratio."""
        # One weight for the four planes, a little wider than the lamp: no colored rims.
        bright, (low, high) = restored.amax(0, keepdim=True), _HIGHLIGHTS
        if not bool((bright > low).any()):
            return restored
        bright = F.avg_pool2d(local_maximum(bright, 2), 5, 1, 2, count_include_pad=False)
        weight = ((bright - low) / (high - low)).clamp(0, 1)
        del bright
        lamps = self._predict(self._condition(1.0, lower), wanted=weight[0] > 0)
        return restored.lerp_(lamps.mul_(ratio / lower), weight)

    def _predict(
        self,
        told: Condition,
        *samples: Tensor,
        network: Denoiser | None = None,
        wanted: Tensor | None = None,
        transposed: bool = False,
    ) -> Tensor:
        """Run one pass over the frame; halve the tiles as long as memory runs out.

        ``samples``: none where the sample is the capture, else it and what deconvolution made
        of it, if anything; ``network``: another than that of the photo's weights;
        ``transposed``: whether it sees every tile so.
        """
        condition = Condition(*(number.to(self.device) for number in told))
        whole = wanted is None
        network = network or self.restorer.network
        reach, multiple = network.receptive_radius, network.multiple
        advance = self._advance if whole else lambda: None
        while True:
            done = self.done
            try:
                return map_tiles(
                    partial(self._network, network, condition, transposed=transposed),
                    (self.capture, *samples),
                    tile=self.tile if wanted is None else min(_lamp_tile(wanted), self.tile),
                    context=reach if whole else _LAMP_CONTEXT,
                    multiple=multiple,
                    fade=FADE if whole else 0,
                    at_once=(self.tile + 2 * border_of(reach, multiple)) ** 2,
                    wanted=wanted,
                    advance=advance,
                )
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if 2 * self.tile <= SMALLEST_TILE:
                    raise DeviceMemoryError(str(self.device), 2 * self.tile) from error
            self.done = done
            self.tile = max(self.tile // 2, multiple)

    @torch.inference_mode()
    def _network(
        self,
        network: Denoiser,
        condition: Condition,
        *frames: Tensor,
        inner: Area,
        transposed: bool,
    ) -> Tensor:
        """Run a network on tiles of the capture, and of a sample that is another."""
        capture, *samples = (
            (transpose_planes(frame) if transposed else frame).to(
                self.device, memory_format=torch.channels_last
            )
            for frame in frames
        )
        capture.mul_(condition.ratio)  # a copy of its own, so the frame stays as it is
        sample, *others = samples or [capture]
        inner = Area(inner.columns, inner.rows) if transposed else inner
        reduced = self.dtype != torch.float32
        with torch.autocast(self.device.type, self.dtype, enabled=reduced):
            answer: Tensor = network(sample, capture, condition, *others, inner=inner)
        answer = answer.float().cpu()
        return transpose_planes(answer) if transposed else answer

    def _advance(self) -> None:
        self.done += 1
        network = self.restorer.network
        shape, multiple = (self.capture.shape[1], self.capture.shape[2]), network.multiple
        border = border_of(network.receptive_radius, multiple)
        total = self.passes * len(tiles(shape, self.tile, multiple, border))
        self.progress(self.done, max(total, self.done))


def _lamp_tile(wanted: Tensor) -> int:
    """Return the side of the windows that have the least to compute around wanted samples.

    It follows from the photo alone, so lamps come out the same whatever the tile, unless that
    is smaller.
    """

    def pixels(side: int) -> float:
        cells = F.max_pool2d(wanted[None].float(), side, ceil_mode=True)
        return float(cells.sum()) * (side + 2 * _LAMP_CONTEXT) ** 2

    return min(_LAMP_TILES, key=pixels)
