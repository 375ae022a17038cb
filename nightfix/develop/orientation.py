"""Develop: from the sensor's orientation to the photographer's."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Scalar = TypeVar("_Scalar", bound=np.generic)

#: EXIF Orientation: (transpose first, then flip rows, then flip columns).
_STEPS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}

#: The orientation that undoes each one: all but the quarter turns undo themselves.
INVERSE_ORIENTATION = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}


def orient(image: NDArray[_Scalar], orientation: int) -> NDArray[_Scalar]:
    """Turn an image upright.

    Parameters
    ----------
    image : ndarray, shape (H, W) or (H, W, C)
        In the sensor's orientation.
    orientation : int
        EXIF Orientation, 1 to 8: 1 is upright, 6 and 8 are quarter turns. What is
        not one of these (some cameras write 0) counts as 1.

    Returns
    -------
    ndarray
        A view, no copy: writing to it writes to ``image``.

    References
    ----------
    CIPA DC-008 (Exif 2.32), tag 0x0112.

    Examples
    --------
    >>> orient(np.array([[1, 2, 3], [4, 5, 6]]), 6).tolist()
    [[4, 1], [5, 2], [6, 3]]
    """
    transpose, flip_rows, flip_columns = _STEPS.get(orientation, _STEPS[1])
    turned = np.swapaxes(image, 0, 1) if transpose else image
    return turned[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def undo_orientation(image: NDArray[_Scalar], orientation: int) -> NDArray[_Scalar]:
    """View an upright image in the sensor's orientation again: undoes :func:`orient`."""
    return orient(image, INVERSE_ORIENTATION.get(orientation, 1))
