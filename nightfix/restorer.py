"""Restore: RawImage and Conditioning in, RawImage out; only the mosaic changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nightfix.bayer import CfaPattern, pack_bayer, unpack_bayer
from nightfix.conditioning import AUTO_STEPS, Conditioning, Settings, worth_going_on
from nightfix.device import (
    SMALLEST_TILE,
    choose_device,
    choose_tile,
    compute_dtype,
    is_out_of_memory,
)
from nightfix.diffusion import expose, exposure_schedule
from nightfix.errors import DeviceMemoryError
from nightfix.network import CEILING, Condition, condition_of
from nightfix.progress import Progress, no_progress
from nightfix.raw import RawImage
from nightfix.shake import deconvolve, estimate_shake, is_shake, remaining_error, shake
from nightfix.tiling import local_mean, map_tiles, tiles
from nightfix.weights import DEFAULT_WEIGHTS, load_weights

#: Samples of a plane over which brightness is anchored [packed px].
_ANCHOR = 32

#: Restored values between which the highlights' own restoration takes over.
_HIGHLIGHTS = (0.9, 1.4)


class Restorer:
    """A network on a device, to be used for any number of photos.

    Parameters
    ----------
    weights : str
        A known name or a ``.safetensors`` file.
    device : str
        ``"auto"``, ``"cuda"``, ``"mps"`` or ``"cpu"``.

    Raises
    ------
    WeightsError, DeviceError
        If one of them cannot be had.
    """

    def __init__(self, weights: str = DEFAULT_WEIGHTS, device: str = "auto") -> None:
        self.device = choose_device(device)
        self.dtype = compute_dtype(self.device)
        network, self.info = load_weights(weights)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

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

        Returns
        -------
        RawImage
            The same photo; its mosaic is in reference units (1.0 = white at the target
            exposure, lamps up to ``2**headroom``), its baseline exposure 0.

        Raises
        ------
        DeviceMemoryError
            If even the smallest tile does not fit.
        """
        pattern = _pattern(raw)
        capture = torch.from_numpy(pack_bayer(_finite(raw.mosaic), pattern))
        restored = self.restore_packed(capture, conditioning, settings, progress)
        shape = (raw.mosaic.shape[0], raw.mosaic.shape[1])
        mosaic = unpack_bayer(restored.numpy(), pattern, shape)
        return replace(raw, mosaic=np.ascontiguousarray(mosaic), baseline_exposure=0.0)

    def restore_packed(
        self,
        capture: Tensor,
        conditioning: Conditioning,
        settings: Settings | None = None,
        progress: Progress = no_progress,
    ) -> Tensor:
        """Do the work of :meth:`restore` on planes that are no photo's.

        Parameters
        ----------
        capture : Tensor, shape (4, h, w), float32
            Planes in the order of :func:`nightfix.bayer.pack_bayer`, black-subtracted, 1.0 =
            white level, finite. Changed where the strength is below 100.
        conditioning, settings, progress
            As for :meth:`restore`.

        Returns
        -------
        Tensor, shape (4, h, w), float32
            In reference units, at most ``min(ratio, 2**headroom)``.
        """
        settings = settings or Settings()
        ratio = conditioning.amplification.ratio
        restored = _Frame(self, capture, conditioning, settings, progress).restore()
        mix = settings.strength / 100
        # The amplified capture is scaled in place: it is not needed again.
        mixed = restored.lerp_(capture.mul_(ratio), 1 - mix) if mix < 1 else restored
        return mixed.clamp_(max=min(ratio, 2**settings.headroom))


def _pattern(raw: RawImage) -> CfaPattern:
    """Return the pattern to pack by; a monochrome sensor's planes are its four sites."""
    return raw.cfa_pattern or "RGGB"


def _finite(mosaic: NDArray[np.float32]) -> NDArray[np.float32]:
    return mosaic if np.isfinite(mosaic).all() else np.nan_to_num(mosaic, posinf=1.0, neginf=0.0)


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
        self.network, self.device, self.dtype = restorer.network, restorer.device, restorer.dtype
        self.capture, self.conditioning, self.settings = capture, conditioning, settings
        self.steps = settings.steps or AUTO_STEPS
        self.tile = restorer.tile(settings) // 2
        self.progress = progress
        self.done = 0
        blur = conditioning.blur
        self.told = 0.0 if blur is None else 1.0 if blur else -1.0
        self.kernel: Tensor | None = None
        self.schedule = exposure_schedule(float(self._condition(1.0).reference), self.steps)

    def restore(self) -> Tensor:
        """Return the restored planes at target brightness."""
        ratio = self.conditioning.amplification.ratio
        restored = self._sample(ratio)
        lower = max(1.0, ratio / 2**self.settings.headroom)
        if lower < ratio:
            restored = self._merge_highlights(restored, ratio, lower)
        self.progress(self.done, self.done)
        return anchor_brightness(restored, self.capture, self.conditioning)

    def _sample(self, ratio: float) -> Tensor:
        """Run Algorithm 2: alternate the network's estimate and the exposure step.

        Where there are later passes to undo a shake, the first one keeps it, and the
        shake is measured on its result. From then on light is drawn as the shaken camera
        would have gone on seeing it.
        """
        capture = self.capture * ratio
        generator = torch.Generator().manual_seed(self.settings.seed)
        measured = len(self.schedule) > 1 and self.network.config.deconvolution
        if measured:
            self.told = -1.0
        predicted = self._predict(capture, capture, self._condition(1.0))
        if measured:
            self._measure_shake(predicted)
        shaken = self.kernel is not None
        if not self.settings.steps and not worth_going_on(self.conditioning, shaken=shaken):
            self.schedule = self.schedule[:1]
        for number, exposure in enumerate(self.schedule[1:]):
            # The first pass has kept the shake; from the second on it is put back.
            light = self._shaken(predicted) if number and shaken else predicted
            sample = self._expose(capture, light, self._condition(exposure), generator)
            predicted = self._predict(sample, capture, self._condition(exposure))
        return predicted

    def _measure_shake(self, picture: Tensor) -> None:
        """Estimate the shake, and keep it unless it is none or is not to be undone."""
        wanted = self.conditioning.blur
        if wanted is False:
            return
        kernel = estimate_shake(picture)
        if wanted or is_shake(kernel):
            self.kernel, self.told = kernel[None], 1.0

    def _expose(
        self, capture: Tensor, light: Tensor, told: Condition, generator: torch.Generator
    ) -> Tensor:
        normal = None
        if not self.settings.deterministic:
            normal = torch.randn(capture.shape, generator=generator)
        return expose(
            capture,
            light,
            ratio=told.ratio[0],
            exposure=told.exposure[0],
            a=told.a[0],
            normal=normal,
        )

    def _condition(self, exposure: float, ratio: float | None = None) -> Condition:
        """Return what the network is told, on the CPU; ``ratio`` stands in for the photo's."""
        noise = self.conditioning.noise
        ratio = ratio or self.conditioning.amplification.ratio
        return condition_of((ratio, exposure, noise.a, noise.b, self.told))

    def _shaken(self, planes: Tensor) -> Tensor:
        """Shake sharp planes as the camera was, one plane at a time to save memory."""
        assert self.kernel is not None
        return torch.cat([shake(plane[None, None], self.kernel)[0] for plane in planes])

    def _deconvolved(self, sample: Tensor, told: Condition) -> Tensor | None:
        """Undo the shake of a sample as far as Wiener's filter can."""
        if self.kernel is None:
            return None
        light = sample.clamp(0, 1).mean()
        noise = remaining_error(told.ratio * told.a * light + told.ratio**2 * told.b)
        planes = (plane[None, None].clamp_max(CEILING) for plane in sample)
        return torch.cat([deconvolve(plane, self.kernel, noise)[0] for plane in planes])

    def _merge_highlights(self, restored: Tensor, ratio: float, lower: float) -> Tensor:
        """Put lamps back that are brighter than the network is shown at the full ratio."""
        # One weight for the four planes, a little wider than the lamp: no colored rims.
        bright = restored.amax(0, keepdim=True)
        bright = F.avg_pool2d(F.max_pool2d(bright[None], 5, 1, 2), 5, 1, 2)[0]
        low, high = _HIGHLIGHTS
        weight = ((bright - low) / (high - low)).clamp(0, 1)
        if not bool(weight.any()):
            return restored
        capture = self.capture * lower
        told = self._condition(1.0, lower)
        lamps = self._predict(capture, capture, told, wanted=weight[0] > 0)
        return torch.lerp(restored, lamps * (ratio / lower), weight)

    def _predict(
        self,
        sample: Tensor,
        capture: Tensor,
        told: Condition,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """Run one pass over the frame; halve the tiles as long as memory runs out."""
        condition = Condition(*(number.to(self.device) for number in told))
        frames = [sample, capture]
        if (deconvolved := self._deconvolved(sample, told)) is not None:
            frames.append(deconvolved)
        while True:
            done = self.done
            try:
                return map_tiles(
                    lambda *tiles: self._network(condition, *tiles),
                    tuple(frames),
                    tile=self.tile,
                    context=self.network.receptive_radius,
                    multiple=self.network.multiple,
                    wanted=wanted,
                    advance=self._advance,
                )
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if 2 * self.tile <= SMALLEST_TILE:
                    raise DeviceMemoryError(str(self.device), 2 * self.tile) from error
            self.done = done
            self.tile = max(self.tile // 2, self.network.multiple)

    @torch.inference_mode()
    def _network(
        self,
        condition: Condition,
        sample: Tensor,
        capture: Tensor,
        deconvolved: Tensor | None = None,
    ) -> Tensor:
        def moved(frame: Tensor) -> Tensor:
            return frame.to(self.device, memory_format=torch.channels_last)

        given = None if deconvolved is None else moved(deconvolved)
        reduced = self.dtype != torch.float32
        with torch.autocast(self.device.type, self.dtype, enabled=reduced):
            answer: Tensor = self.network(moved(sample), moved(capture), condition, given)
        return answer.float().cpu()

    def _advance(self) -> None:
        self.done += 1
        shape = (self.capture.shape[1], self.capture.shape[2])
        total = len(self.schedule) * sum(1 for _ in tiles(shape, self.tile))
        self.progress(self.done, max(total, self.done))


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
    percent, what is beyond that is added back, interpolated between the means.
    """
    ratio, noise = conditioning.amplification.ratio, conditioning.noise
    known = _away_from_lamps(restored)
    share = local_mean(known, _ANCHOR)
    wanted = local_mean(capture * known, _ANCHOR).mul_(ratio / share.clamp_min(1e-6))
    missing = wanted - local_mean(restored * known, _ANCHOR) / share.clamp_min(1e-6)
    variance = noise.a * ratio * wanted.clamp_min(0) + noise.b * ratio**2
    allowed = (variance / share.clamp_min(1e-6)).sqrt() / (2 * _ANCHOR) + 0.0025 * wanted.abs()
    missing = missing.sign() * (missing.abs() - allowed).clamp_min(0)
    pitch = _ANCHOR // 2
    height, width = restored.shape[1:]
    size = ((missing.shape[1] - 1) * pitch + 1, (missing.shape[2] - 1) * pitch + 1)
    smooth = F.interpolate(missing[None], size, mode="bilinear", align_corners=True)[0]
    return restored.add_(smooth[:, :height, :width])


def _away_from_lamps(restored: Tensor) -> Tensor:
    """Return 0 near what is well above white and 1 elsewhere, shape (1, h, w)."""
    bright = (restored.amax(0, keepdim=True) > _HIGHLIGHTS[1]).to(restored.dtype)
    coarse = F.max_pool2d(bright, 8, ceil_mode=True)
    near = F.max_pool2d(coarse, 5, 1, 2)[0]
    near = near.repeat_interleave(8, 0).repeat_interleave(8, 1)
    return 1 - near[None, : restored.shape[1], : restored.shape[2]]
