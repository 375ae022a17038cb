"""Training: pictures of many sizes in one tensor on the training device, cut in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nightfix.errors import InputError


class Draws(NamedTuple):
    """Where a batch's random numbers come from.

    ``numbers``: a generator on the processor, of what is one number for a whole sample: it
    decides what is done, so nothing waits for the device. ``samples``: a generator on the
    device, of what differs from sample to sample of a plane.
    """

    numbers: torch.Generator
    samples: torch.Generator

    @classmethod
    def of(cls, seed: int, device: torch.device) -> Draws:
        """Return generators that a number seeds."""
        numbers, samples = torch.Generator(), torch.Generator(device)
        return cls(numbers.manual_seed(seed), samples.manual_seed(seed + 2**31))


class Turns(NamedTuple):
    """How each window is turned, (n,) bool each: transposed, then rows and columns flipped."""

    rows: Tensor
    columns: Tensor
    transposed: Tensor


@dataclass(frozen=True, slots=True)
class Frames:
    """Pictures of many sizes, row by row one after the other.

    Parameters
    ----------
    samples : Tensor, shape (N, C)
        Pixels of all pictures, as the files have them, on the training device.
    start, height, width : Tensor, shape (F,), int32
        Where each picture begins in ``samples``, and its sides [px]; on the processor.
    """

    samples: Tensor
    start: Tensor
    height: Tensor
    width: Tensor

    @classmethod
    def of(cls, pictures: Sequence[Tensor], device: torch.device) -> Frames:
        """Put pictures (C, H, W) of one type and number of channels together.

        Raises
        ------
        InputError
            If they have more pixels in all than a number of 32 bits can count.
        """
        height, width = torch.tensor([p.shape[1:] for p in pictures], dtype=torch.int32).T
        ends = (height.long() * width).cumsum(0)
        if ends[-1] >= 2**31:
            raise InputError("too many references for one run", "--pack makes them smaller")
        samples = torch.empty(
            (int(ends[-1]), len(pictures[0])), dtype=pictures[0].dtype, device=device
        )
        start = torch.cat([torch.zeros(1, dtype=torch.long), ends[:-1]])
        for picture, first, end in zip(pictures, start.tolist(), ends.tolist(), strict=True):
            samples[first:end] = picture.permute(1, 2, 0).reshape(end - first, -1).to(device)
        return cls(samples, start.to(torch.int32), height, width)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.start)

    def at(self, index: Tensor) -> Tensor:
        """Return the pixels at places in ``samples``, (..., C) of int32 (...)."""
        return self.samples.index_select(0, index.flatten()).view(*index.shape, -1)

    def windows(self, chosen: Tensor, top: Tensor, left: Tensor, side: int, turns: Turns) -> Tensor:
        """Cut a square out of each of some pictures.

        Parameters
        ----------
        chosen : Tensor, shape (n,)
            Which pictures; on the processor.
        top, left : Tensor, shape (n,)
            First row and column, >= 0, such that the square lies inside [px].
        side : int
            Its side [px].
        turns : Turns
            How the squares are turned; on the processor.

        Returns
        -------
        Tensor, shape (n, C, side, side)
            Of the type of the pictures, on their device.
        """
        device = self.samples.device
        pitch = self.width[chosen]
        steps = torch.stack(
            [torch.where(turns.transposed, 1, pitch), torch.where(turns.transposed, pitch, 1)]
        )
        numbers = torch.stack([*steps, turns.rows, turns.columns, self.start[chosen], pitch])
        down, right, rows, columns, start, pitch = moved(numbers.to(torch.int32), device)[..., None]
        axis = torch.arange(side, dtype=torch.int32, device=device)
        back = side - 1 - axis
        first = start + moved(top, device)[:, None] * pitch + moved(left, device)[:, None]
        row = first + down * torch.where(rows > 0, back, axis)
        column = right * torch.where(columns > 0, back, axis)
        cut = self.at(row[:, :, None] + column[:, None])
        return cut.permute(0, 3, 1, 2).contiguous()


def moved(numbers: Tensor, device: torch.device) -> Tensor:
    """Return numbers on a device, without waiting for what it is doing."""
    return numbers.to(device, non_blocking=True)


def each(numbers: Tensor, like: Tensor) -> Tensor:
    """Return one number a sample, (n,), so that it multiplies frames (n, C, H, W)."""
    return moved(numbers, like.device)[:, None, None, None]
