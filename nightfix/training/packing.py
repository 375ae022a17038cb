"""Training: references cut, reduced and compressed into one small file.

A pack is an ``.npz`` of one array of bytes a reference, each a JPEG XL picture, whose type tells
what it is: 8 bits a photograph, floats a panorama, 16 bits the four planes of a RAW file, one
below the other.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from nightfix.errors import InputError
from nightfix.progress import Progress, no_progress
from nightfix.write import replacing

PACK_SUFFIX = ".npz"

#: JPEG XL's distance from the original, in just noticeable differences, and its effort.
_DISTANCES, _EFFORT = {torch.uint8: 0.5, torch.float32: 0.2, torch.float16: 0.0}, 3

#: Code of a RAW file's samples: steps between black and white, and how far below black it goes.
_STEPS, _BELOW = 32768, 0.25

#: Smallest side that is kept [px], largest reduction, and bytes that the file adds to a reference.
_SMALLEST, _MOST_REDUCED, _OVERHEAD = 320, 2.2, 300

#: How often a reference is cut and reduced further until it fits.
_TRIES = 6


def write_pack(
    path: Path,
    references: Sequence[Tensor],
    *,
    megabytes: float,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> list[float]:
    """Write references into one file of a given size.

    Small ones stay whole. Of the rest each gets an equal share of what is left: photographs are
    reduced by half of the way and cut to their richest part by the other, panoramas are reduced,
    RAW files are cut.

    Parameters
    ----------
    path : Path
        File to write, ``.npz``.
    references : sequence of Tensor
        Photographs (3, H, W) uint8, panoramas (3, H, W) float32, RAW files (4, H, W) float16.
    megabytes : float
        Size of the file at most [10^6 bytes].
    overwrite : bool
        Whether the file may exist.
    progress : callable
        Called with references done and references in all.

    Returns
    -------
    list of float
        How much of each reference's pixels is kept, 0 (left out) to 1 (whole).

    Raises
    ------
    OutputError
        If the file exists or cannot be written.
    """
    with replacing(path, overwrite=overwrite) as temporary:
        whole = []
        for number, reference in enumerate(references):
            whole.append(_encode(reference))
            progress(number, 2 * len(references))
        left, kept = 1e6 * megabytes - _OVERHEAD, [0.0] * len(references)
        codes: dict[str, NDArray[np.uint8]] = {}
        order = sorted(range(len(references)), key=lambda n: len(whole[n]))
        for done, number in enumerate(order):
            share = left / (len(order) - done) - _OVERHEAD
            fitting = _fit(references[number], whole[number], share)
            if fitting is not None:
                code, kept[number] = fitting
                codes[f"{number:06d}"] = np.frombuffer(code, np.uint8)
                left -= len(code) + _OVERHEAD
            progress(len(references) + done + 1, 2 * len(references))
        with temporary.open("wb") as file:
            np.savez(file, **codes)  # type: ignore[arg-type]
    return kept


def read_pack(path: Path) -> Iterator[Tensor]:
    """Yield the references of a pack, as :func:`write_pack` takes them.

    Raises
    ------
    InputError
        If the file is no pack, or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            for name in sorted(held.files):
                yield _decode(held[name])
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        hint = "nightfix train --photos FOLDER --pack OUT.npz makes one"
        raise InputError(f"{path}: not a pack of references ({error})", hint) from error


def _encode(reference: Tensor) -> bytes:
    distance = _DISTANCES[reference.dtype]
    if reference.dtype == torch.float16:
        code = ((reference.float() + _BELOW) * _STEPS).round().clamp(0, 65535)
        picture = code.flatten(0, 1).numpy().astype(np.uint16)
    else:
        picture = reference.permute(1, 2, 0).contiguous().numpy()
    lossless = distance == 0
    return bytes(
        imagecodecs.jpegxl_encode(
            picture, lossless=lossless, distance=None if lossless else distance, effort=_EFFORT
        )
    )


def _decode(code: NDArray[np.uint8]) -> Tensor:
    picture = np.ascontiguousarray(imagecodecs.jpegxl_decode(code.tobytes()))
    if picture.dtype == np.uint16:
        planes = torch.from_numpy(picture.astype(np.float32))
        return (planes.view(4, -1, planes.shape[1]) / _STEPS - _BELOW).half()
    return torch.from_numpy(picture).permute(2, 0, 1).contiguous()


def _fit(reference: Tensor, whole: bytes, share: float) -> tuple[bytes, float] | None:
    """Return a reference's code of at most ``share`` bytes, and how much of it that is.

    None where too little would be left.
    """
    code, part, side = whole, reference, 1.0
    for _ in range(_TRIES):
        if len(code) <= share:
            return code, part[0].numel() / reference[0].numel()
        side *= 0.97 * math.sqrt(max(share, 0) / len(code))
        if side * min(reference.shape[1:]) < _SMALLEST:
            return None
        part = _smaller(reference, side)
        code = _encode(part)
    return None


def _smaller(reference: Tensor, side: float) -> Tensor:
    """Return a reference whose sides are shorter by a factor."""
    if reference.dtype == torch.float16:
        return _richest(reference, side)
    if reference.dtype == torch.float32:
        return resized(reference, side)
    reduction = max(math.sqrt(side), 1 / _MOST_REDUCED)
    return _richest(resized(reference, reduction), side / reduction)


def resized(picture: Tensor, factor: float) -> Tensor:
    """Return a picture (C, H, W), uint8 or float32, whose sides are longer by a factor."""
    size = [max(1, round(side * factor)) for side in picture.shape[1:]]
    return F.interpolate(picture[None], size, mode="bilinear", antialias=True)[0]


def _richest(picture: Tensor, side: float) -> Tensor:
    """Cut the part with the most detail, of nine, whose sides are shorter by a factor."""
    height, width = picture.shape[1:]
    rows, columns = (round(side * length) for length in (height, width))
    parts = [
        picture[:, top : top + rows, left : left + columns]
        for top in ((height - rows) * n // 2 for n in range(3))
        for left in ((width - columns) * n // 2 for n in range(3))
    ]
    return max(parts, key=lambda part: float(part[1].float().diff(dim=0).abs().mean()))
