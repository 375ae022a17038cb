"""Restore: point-spread functions of a shaken camera."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Side of a kernel, and of one that lights tell of a long shake [mosaic px].
KERNEL_SIZE, LONG_KERNEL_SIZE = 33, 65

#: Shortest shake that is told from a lens's blur [mosaic px].
SHORTEST_SHAKE = 3.3


@dataclass(frozen=True, slots=True)
class CameraMotion:
    """How the camera moved while the shutter was open.

    Parameters
    ----------
    kernel : ndarray, shape (side, side), float32
        Its point-spread function, non-negative, sum 1 [px].
    length : float
        Length of the straight stroke that spreads as far [px].
    direction : float
        Of its longest axis: 0 is horizontal, 90 vertical, 45 to the upper right [degrees].
    """

    kernel: NDArray[np.float32] = field(repr=False, compare=False)
    length: float
    direction: float


#: Called with the motion of a camera that is undone.
MotionFound = Callable[[CameraMotion], None]


def ignore_motion(motion: CameraMotion) -> None:
    """Do nothing."""


def motion_of(kernel: NDArray[np.float32]) -> CameraMotion:
    """Describe a kernel, non-negative, sum 1, its centroid in the middle."""
    contiguous = np.ascontiguousarray(kernel, np.float32)
    deviation, axis = kernel_axis(torch.from_numpy(contiguous))
    return CameraMotion(contiguous, math.sqrt(12) * deviation, math.degrees(axis))


def still(batch: int = 1, side: int = KERNEL_SIZE) -> Tensor:
    """Return kernels of a camera that was not shaken, shape (batch, side, side)."""
    kernel = torch.zeros(batch, side, side)
    kernel[:, side // 2, side // 2] = 1
    return kernel


def center_kernel(kernel: Tensor) -> Tensor:
    """Move a kernel's centroid to its middle, by a bilinear shift.

    Parameters
    ----------
    kernel : Tensor, shape (side, side)
        Non-negative, sum 1.
    """
    side = kernel.shape[0]
    place = torch.arange(side, dtype=kernel.dtype) - side // 2
    move = [-float((kernel.sum(1) * place).sum()), -float((kernel.sum(0) * place).sum())]
    moved = kernel
    for axis, distance in enumerate(move):
        whole = math.floor(distance)
        part = distance - whole
        near, far = torch.roll(moved, whole, axis), torch.roll(moved, whole + 1, axis)
        moved = (1 - part) * near + part * far
    return moved / moved.sum()


def kernel_axis(kernel: Tensor) -> tuple[float, float]:
    """Return a kernel's standard deviation along its longest axis, and that axis's direction.

    Parameters
    ----------
    kernel : Tensor, shape (side, side)
        Non-negative, sum 1; its centroid may lie anywhere.

    Returns
    -------
    deviation : float
        [px].
    direction : float
        From the rows' direction, to the right, upwards, in [0, pi) [rad].
    """
    rows, columns = kernel.sum(1), kernel.sum(0)
    y, x = (torch.arange(len(line), dtype=kernel.dtype) for line in (rows, columns))
    y, x = y - (rows * y).sum(), x - (columns * x).sum()
    down, along = float((rows * y**2).sum()), float((columns * x**2).sum())
    both = float((kernel * y[:, None] * x).sum())
    deviation = math.sqrt((down + along) / 2 + math.hypot((down - along) / 2, both))
    return deviation, (math.atan2(-2 * both, along - down) / 2) % math.pi


def shake_length(kernel: Tensor) -> float:
    """Return the length of the straight stroke that spreads as far as a kernel does [px].

    Parameters
    ----------
    kernel : Tensor, shape (side, side)
        Non-negative, sum 1; its centroid may lie anywhere.
    """
    return math.sqrt(12) * kernel_axis(kernel)[0]
