"""Restore: find out how the camera moved, from whatever a photo has to tell it by."""

from __future__ import annotations

from torch import Tensor

from nightfix.restore.motion.edges import find_shake_in_edges, kernel_from_edges
from nightfix.restore.motion.kernels import shake_length
from nightfix.restore.motion.light_streaks import kernel_from_lights


def find_shake(
    capture: Tensor, picture: Tensor, *, ratio: float, a: float, b: float, insist: bool = False
) -> Tensor | None:
    """Estimate the shake of a photo, or tell that there is none.

    Parameters
    ----------
    capture : Tensor, shape (4, h, w)
        Planes as captured, 1.0 = the sensor's white.
    picture : Tensor, same shape
        The same denoised and brought to target brightness, still shaken.
    ratio : float
        Target brightness over the capture's [-].
    a, b : float
        Noise of the capture, variance = a*x + b.
    insist : bool
        Whether a shake is to be estimated even where none is found.

    Returns
    -------
    Tensor, shape (33, 33) or, of long streaks, (65, 65), or None
        Non-negative, sum 1, its centroid in the middle [mosaic px].

    Notes
    -----
    Lights tell more than edges, and where there are some, edges are mostly those of their
    streaks. So edges are looked at only where there are too few lights to tell.
    """
    kernel = kernel_from_lights(capture, picture, ratio=ratio, a=a, b=b)
    if kernel is not None and shake_length(kernel):
        return kernel
    if insist:
        return kernel_from_edges(picture)
    return find_shake_in_edges(picture) if kernel is None else None
