"""Training: the references on the training device, and what a sensor sees of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nightfix.errors import InputError
from nightfix.training.camera_shake import MOSAIC_KERNEL, PLANE_KERNEL, Shake, blur
from nightfix.training.frames import Draws, Frames, moved
from nightfix.training.packing import resized
from nightfix.training.scenes import (
    SIZES,
    Panoramas,
    Photographs,
    RawPhotos,
    cut_planes,
    radiance_code,
)
from nightfix.training.sources import Pair, Panorama, Photograph, RawPhoto, Source
from nightfix.training.unprocessing import mosaic_planes, uniform


class Seen(NamedTuple):
    """Light of the planes, (n, 4, p, p), 1.0 = target white: still, and as shaken as it fell."""

    sharp: Tensor
    seen: Tensor


@dataclass(frozen=True, slots=True)
class Pairs:
    """Real short and long exposures: eight planes, float16; ratio, a and b, (F,) each."""

    frames: Frames
    ratio: Tensor
    a: Tensor
    b: Tensor

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.frames)

    def cut(self, chosen: Tensor, patch: int, draws: Draws) -> tuple[Tensor, Tensor]:
        """Cut the same square out of both exposures of each, (n, 4, patch, patch) twice."""
        short, long = cut_planes(self.frames, chosen, patch, draws.numbers).chunk(2, 1)
        return short, long


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Clean pictures of all kinds on one device; None where there are none of a kind.

    Their numbers go through the kinds in the order of the fields.
    """

    device: torch.device
    photographs: Photographs | None
    panoramas: Panoramas | None
    raw_photos: RawPhotos | None
    pairs: Pairs | None

    @classmethod
    def of(
        cls, sources: Sequence[Source], *, patch: int, seed: int, device: torch.device
    ) -> References:
        """Put references on a device.

        Parameters
        ----------
        sources : sequence of Source
            What was read.
        patch : int
            Side of the samples to be made [packed px].
        seed : int
            Of the sizes to which photographs are reduced.
        device : torch.device
            Where samples are made.

        Raises
        ------
        InputError
            If a RAW file is smaller than a sample.
        """
        generator = torch.Generator().manual_seed(seed)
        side = 2 * patch + MOSAIC_KERNEL - 1
        photographs, panoramas, raw_photos = list[Tensor](), list[Tensor](), list[Tensor]()
        pairs = [source for source in sources if isinstance(source, Pair)]
        for source in sources:
            if isinstance(source, Photograph):
                photographs += _sizes(source.pixels, side, generator)
            elif isinstance(source, Panorama):
                panoramas.append(radiance_code(source.radiance))
            elif isinstance(source, RawPhoto):
                raw_photos.append(_large_enough(source.planes, patch + PLANE_KERNEL - 1))
        both = [_large_enough(torch.cat([pair.short, pair.long]), patch) for pair in pairs]
        numbers = torch.tensor([(pair.ratio, pair.a, pair.b) for pair in pairs])
        return cls(
            device=device,
            photographs=Photographs(Frames.of(photographs, device)) if photographs else None,
            panoramas=Panoramas(Frames.of(panoramas, device)) if panoramas else None,
            raw_photos=RawPhotos(Frames.of(raw_photos, device)) if raw_photos else None,
            pairs=Pairs(Frames.of(both, device), *numbers.T) if pairs else None,
        )

    def __len__(self) -> int:
        """Return the number of references."""
        return sum(self._counts())

    def _counts(self) -> list[int]:
        kinds = (self.photographs, self.panoramas, self.raw_photos, self.pairs)
        return [len(kind) if kind else 0 for kind in kinds]

    def by_kind(self, chosen: Tensor) -> list[Tensor]:
        """Return the numbers (n,) of references, sorted, as numbers within each of four kinds."""
        parts, first = list[Tensor](), 0
        for count in self._counts():
            parts.append(chosen[(chosen >= first) & (chosen < first + count)] - first)
            first += count
        return parts

    def see(
        self, kinds: Sequence[Tensor], shake: Shake, shaken: Tensor, patch: int, draws: Draws
    ) -> Seen:
        """Return the light that falls on the sensor, of all kinds but pairs.

        Parameters
        ----------
        kinds : sequence of Tensor
            Numbers of photographs, panoramas and RAW files.
        shake, shaken : Shake and Tensor
            The path of the camera in each sample, in this order, and whether it was shaken.
        patch : int
            Side of the samples [packed px].
        draws : Draws
            Sources of every draw.
        """
        side, margin = 2 * patch + MOSAIC_KERNEL - 1, PLANE_KERNEL - 1
        seen, first = list[Seen](), 0
        for kind, chosen in zip(
            (self.photographs, self.panoramas, self.raw_photos), kinds, strict=False
        ):
            if kind is None or not len(chosen):
                continue
            whole, last = kind is not self.raw_photos, first + len(chosen)
            light = kind.light(chosen, side if whole else patch + margin, draws)
            path, moving = shake.path[first:last], shaken[first:last]
            seen.append(_fallen(light, Shake(path), moving, whole=whole))
            first = last
        return Seen(*(torch.cat(light) for light in zip(*seen, strict=True)))


def _fallen(light: Tensor, shake: Shake, shaken: Tensor, *, whole: bool) -> Seen:
    """Return what planes see of light with a border of half a kernel; shaken before the mosaic.

    ``whole``: camera RGB of every pixel, or planes, of which each is shaken on its own.
    """
    size, scale = (MOSAIC_KERNEL, 1.0) if whole else (PLANE_KERNEL, 0.5)
    margin = size // 2

    def planes(light: Tensor) -> Tensor:
        return mosaic_planes(light) if whole else light

    sharp = seen = planes(light[..., margin:-margin, margin:-margin])
    (places,) = shaken.nonzero(as_tuple=True)
    if len(places):
        kernel = moved(Shake(shake.path[places]).kernel(size, scale), light.device)
        places = moved(places, light.device)
        seen = sharp.index_copy(0, places, planes(blur(light[places], kernel)))
    return Seen(sharp, seen)


def _sizes(pixels: Tensor, side: int, generator: torch.Generator) -> list[Tensor]:
    """Return a photograph in three sizes: its own, and reduced by up to 1.6 and by up to 2.2.

    None is smaller than a window.
    """
    zooms = [1.0, *(float(uniform(a, b, generator)) for a, b in ((1.0, 1.6), (1.6, 2.2)))]
    smallest = min(pixels.shape[1:])
    assert len(zooms) == SIZES
    return [
        pixels if factor == 1 else resized(pixels, factor)
        for factor in (max(1 / zoom, side / smallest) for zoom in zooms)
    ]


def _large_enough(planes: Tensor, side: int) -> Tensor:
    height, width = planes.shape[1:]
    if min(height, width) < side:
        raise InputError(
            f"a RAW of {2 * width} x {2 * height} px is smaller than a patch", "a smaller patch"
        )
    return planes
