from __future__ import annotations

import numpy as np
import pytest

from nightfix.pipeline.measuring import motion_note, upright_motion
from nightfix.restore import motion_of


def stroke(down: int, across: int) -> np.ndarray:
    """Return a straight kernel of nine samples."""
    kernel = np.zeros((33, 33), np.float32)
    for step in range(-4, 5):
        kernel[16 + step * down, 16 + step * across] = 1 / 9
    return kernel


@pytest.mark.parametrize(
    ("down", "across", "way"),
    [
        (0, 1, "horizontal"),
        (1, 0, "vertical"),
        (-1, 1, "rising to the right"),
        (1, 1, "falling to the right"),
    ],
)
def test_the_note_tells_length_and_direction(down, across, way):
    motion = motion_of(stroke(down, across))
    length = round(motion.length)
    said = f"removed camera shake of about {length} px, mostly {way}"
    assert motion_note(motion.length, motion.direction, deblur=True) == said
    assert (
        motion_note(motion.length, motion.direction, deblur=None) == f"{said}; --no-deblur keeps it"
    )


@pytest.mark.parametrize(("orientation", "direction"), [(1, 0), (3, 0), (6, 90), (8, 90)])
def test_a_direction_is_that_of_the_upright_picture(orientation, direction):
    motion = upright_motion(motion_of(stroke(0, 1)), orientation)
    assert motion.direction == pytest.approx(direction, abs=1e-3)
