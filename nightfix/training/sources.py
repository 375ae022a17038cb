"""Training: references as their files hold them: photographs, panoramas, RAW files, pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import imagecodecs
import imageio.v3 as iio
import numpy as np
import torch
from torch import Tensor

from nightfix.condition import choose_noise
from nightfix.errors import InputError
from nightfix.progress import Progress, no_progress
from nightfix.read import RAW_SUFFIXES, RawImage, packed_planes, read_raw
from nightfix.training.packing import PACK_SUFFIX, read_pack, write_pack
from nightfix.training.pairs import PairFiles, find_pairs, read_pair

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"}
_PANORAMAS = {".hdr"}


@dataclass(frozen=True, slots=True)
class Photograph:
    """A developed photograph, (3, H, W) uint8."""

    pixels: Tensor


@dataclass(frozen=True, slots=True)
class Panorama:
    """An equirectangular panorama of linear radiance, (3, H, W) float32."""

    radiance: Tensor


@dataclass(frozen=True, slots=True)
class RawPhoto:
    """A clean RAW file, taken as it is: the planes of its mosaic, (4, H, W) float16."""

    planes: Tensor


@dataclass(frozen=True, slots=True)
class Pair:
    """A real short exposure and the long one of the same scene, (4, H, W) float16 each.

    ``ratio`` of their exposures [-], and noise of the short one, variance = a*x + b.
    """

    short: Tensor
    long: Tensor
    ratio: float
    a: float
    b: float


Source: TypeAlias = Photograph | Panorama | RawPhoto | Pair


def load_sources(places: Sequence[Path], pairs: Sequence[Path] = ()) -> list[Source]:
    """Read every reference of some folders and packs.

    Parameters
    ----------
    places : sequence of Path
        Folders of photographs (JPEG, PNG, TIFF, WebP), panoramas (Radiance HDR) and RAW files,
        told apart by their suffix; packs that :func:`pack_references` wrote.
    pairs : sequence of Path
        Folders of real pairs in the layout of SID or ELD.

    Raises
    ------
    InputError
        If a folder is missing, a file cannot be read, or there is nothing to learn from.
    """
    sources = [source for _, source in _named(places)]
    sources += [_load_pair(pair) for folder in pairs for pair in find_pairs(folder)]
    if not sources:
        listed = ", ".join(str(folder) for folder in [*places, *pairs])
        hint = "--photos takes a folder of JPEG, PNG, HDR or RAW files"
        raise InputError(f"{listed}: no photographs here", hint)
    return sources


def pack_references(
    places: Sequence[Path],
    path: Path,
    *,
    megabytes: float = 48.0,
    progress: Progress = no_progress,
) -> dict[str, float]:
    """Write the references of some folders into one small file, which :func:`load_sources` takes.

    Parameters
    ----------
    places : sequence of Path
        As for :func:`load_sources`.
    path : Path
        File to write, ``.npz``.
    megabytes : float
        Its size at most [10^6 bytes].
    progress : callable
        Called with references done and references in all.

    Returns
    -------
    dict of float
        How much of each file's pixels was kept, 0 (left out) to 1 (whole).

    Raises
    ------
    InputError
        If a folder is missing, a file cannot be read, or there is nothing to pack.
    OutputError
        If the file exists or cannot be written.
    """
    if path.suffix != PACK_SUFFIX:
        raise InputError(f"{path}: a pack is an {PACK_SUFFIX} file", f"--pack {path.stem}.npz")
    named = list(_named(places))
    if not named:
        hint = "--photos takes a folder of JPEG, PNG, HDR or RAW files"
        raise InputError(f"{', '.join(map(str, places))}: no photographs here", hint)
    tensors = [_tensor(source) for _, source in named]
    kept = write_pack(path, tensors, megabytes=megabytes, progress=progress)
    return {name: share for (name, _), share in zip(named, kept, strict=True)}


def _named(places: Sequence[Path]) -> Iterator[tuple[str, Source]]:
    """Yield the references of folders and packs, with their names."""
    for place in places:
        if place.is_dir():
            for file in sorted(file for file in place.rglob("*") if file.is_file()):
                if (source := _load(file)) is not None:
                    yield str(file), source
        elif place.suffix == PACK_SUFFIX:
            for number, tensor in enumerate(read_pack(place)):
                yield f"{place}[{number}]", _source(tensor)
        else:
            raise InputError(f"{place}: no such folder", "--photos takes a folder of references")


def _source(tensor: Tensor) -> Source:
    if tensor.dtype == torch.uint8:
        return Photograph(tensor)
    return Panorama(tensor) if tensor.dtype == torch.float32 else RawPhoto(tensor)


def _tensor(source: Source) -> Tensor:
    """Return what a pack holds of a reference."""
    if isinstance(source, Photograph):
        return source.pixels
    if isinstance(source, Panorama):
        return source.radiance
    assert isinstance(source, RawPhoto)
    return source.planes


def read_photograph(file: Path) -> Tensor:
    """Read a developed photograph, (3, H, W) uint8.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    pixels = np.asarray(iio.imread(file, plugin="pillow", mode="RGB")).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(pixels))


def _load(file: Path) -> Source | None:
    suffix = file.suffix.lower()
    try:
        if suffix in PHOTO_SUFFIXES:
            return Photograph(read_photograph(file))
        if suffix in _PANORAMAS:
            radiance = imagecodecs.rgbe_decode(file.read_bytes()).transpose(2, 0, 1)
            return Panorama(torch.from_numpy(np.ascontiguousarray(radiance)))
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{file}: cannot be read ({error})", "move it out of --photos") from error
    return RawPhoto(_planes(_sharp(read_raw(file)))) if suffix in RAW_SUFFIXES else None


def _sharp(raw: RawImage) -> RawImage:
    """Return a photo whose samples are its sensor's own."""
    if raw.origin != "mosaic":
        raise InputError(
            f"{raw.path}: its mosaic was interpolated, which blurs", "move it out of --photos"
        )
    return raw


def _planes(raw: RawImage) -> Tensor:
    return torch.from_numpy(packed_planes(raw).astype(np.float16))


def _load_pair(files: PairFiles) -> Pair:
    pair = read_pair(files)
    noise, _ = choose_noise(pair.short)
    return Pair(_planes(pair.short), _planes(pair.long), pair.ratio, noise.a, noise.b)
