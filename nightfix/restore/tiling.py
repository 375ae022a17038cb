"""Restore: large frames in windows that leave no seams, and those in strips.

Every window is read with a border as wide as the network's reach, starts on the
network's own grid, and fades into its neighbor; the frame itself is continued to that
grid by its mirror image. So the same pixels come out whatever the size of the windows.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

#: Half the width over which neighboring windows fade into each other [packed px].
FADE = 8

#: Samples that one level of a network works on at once, in a strip or in small windows. Its
#: widest features, 64 channels of 16 bit, stay below the 32 MB above which the C library maps
#: and unmaps memory at every call.
_STRIP = 170_000


class Tile(NamedTuple):
    """One window of a frame, in packed pixels: what it answers for, without its fade."""

    top: int
    left: int
    height: int
    width: int


class Area(NamedTuple):
    """Rows and columns of a frame."""

    rows: range
    columns: range

    def of(self, frame: Tensor) -> Tensor:
        """Return a view of them, shape (..., len(rows), len(columns))."""
        rows, columns = self
        return frame[..., rows.start : rows.stop, columns.start : columns.stop]

    def seen_from(self, other: Area) -> Area:
        """Return the same rows and columns, counted from the first ones of another area."""
        pairs = zip(self, other, strict=True)
        return Area(*(range(a.start - b.start, a.stop - b.start) for a, b in pairs))

    def grown(self, by: int, multiple: int, size: Sequence[int]) -> Area:
        """Return it with so many around it and up to a grid, but not beyond a frame's size."""
        return Area(
            *(
                range(
                    max(0, a.start - by) // multiple * multiple, min(n, _up(a.stop + by, multiple))
                )
                for a, n in zip(self, size, strict=True)
            )
        )


class _Window(NamedTuple):
    """A tile of a frame, the area read for it, and the area it answers for, with its fade."""

    part: Tile
    read: Area
    answered: Area


def tiles(shape: tuple[int, int], tile: int, multiple: int, border: int) -> list[Tile]:
    """Cut a frame into windows of equal size, so that as little as possible is read twice.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the frame [packed px].
    tile : int
        A window has at most the area of a square of this side, unless the grid is coarser
        [packed px].
    multiple : int
        Grid on which the windows begin [packed px].
    border : int
        What is read around each [packed px].

    Returns
    -------
    list of Tile
        Row by row; the last of a row or column may be smaller.

    Examples
    --------
    >>> tiles((2000, 3000), 2000, 16, 128)
    [Tile(top=0, left=0, height=2000, width=1504), Tile(top=0, left=1504, height=2000, width=1496)]
    """
    units = [-(-side // multiple) for side in shape]
    largest = max(1, tile * tile // multiple**2)
    best, least = (1, 1), math.inf
    for rows in range(1, units[0] + 1):
        height = -(-units[0] // rows)
        width = min(units[1], max(1, largest // height))
        columns = -(-units[1] // width)
        # What all windows read together: each inner border is read from both sides.
        read = (shape[0] + 2 * border * (rows - 1)) * (shape[1] + 2 * border * (columns - 1))
        if (height * width <= largest or height == 1) and read < least:
            best, least = (height, -(-units[1] // columns)), read
    height, width = (unit * multiple for unit in best)
    return [
        Tile(top, left, min(height, shape[0] - top), min(width, shape[1] - left))
        for top in range(0, shape[0], height)
        for left in range(0, shape[1], width)
    ]


def reflect_indices(start: int, stop: int, size: int) -> Tensor:
    """Return the samples that stand at ``start`` to ``stop`` when a row is mirrored at its ends.

    Examples
    --------
    >>> reflect_indices(-2, 5, 3).tolist()
    [2, 1, 0, 1, 2, 1, 0]
    """
    if size == 1:
        return torch.zeros(stop - start, dtype=torch.long)
    period = 2 * (size - 1)
    indices = torch.arange(start, stop) % period
    return torch.minimum(indices, period - indices)


def window(start: int, length: int, size: int, fade: int = FADE) -> Tensor:
    """Return the weights of a window along one axis; those of all windows add up to one.

    Parameters
    ----------
    start, length : int
        What the window answers for.
    size : int
        The axis's length; there is no fade at its ends.
    fade : int
        Half its width.

    Returns
    -------
    Tensor, shape (length + 2 * fade,)
        From ``start - fade``: rising over 2 * fade samples, 1, falling alike.
    """
    ramp = (torch.arange(2 * fade, dtype=torch.float32) + 0.5) / max(1, 2 * fade)
    position = torch.arange(start - fade, start + length + fade)
    weights = torch.ones(length + 2 * fade)
    if start > 0:
        weights[: 2 * fade] = ramp
    if start + length < size:
        weights[length:] *= ramp.flip(0)
    return weights * ((position >= 0) & (position < size))


def map_tiles(
    function: Callable[..., Tensor],
    frames: tuple[Tensor, ...],
    *,
    tile: int,
    context: int,
    multiple: int,
    fade: int = FADE,
    at_once: int = 0,
    wanted: Tensor | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Tensor:
    """Apply a function of frames window by window.

    Parameters
    ----------
    function : callable
        Takes a tensor (n, 4, h, w) a frame, whose sides are multiples of ``multiple``, of one
        window or several small ones, and ``inner``, the :class:`Area` for which it is asked;
        returns the answer there, shape (n, 4, rows, columns).
    frames : tuple of Tensor, each of shape (4, H, W)
        Sample and capture, or whatever the function takes; packed.
    tile : int
        Side of a square as large as a window at most [packed px].
    context : int
        Border read around each window and thrown away [packed px].
    multiple : int
        Grid of the network [packed px].
    fade : int
        Half the width over which windows fade into each other, within their border [packed px].
    at_once : int
        Samples up to which small windows of one size are put together: to begin with one takes
        as long as to compute it.
    wanted : Tensor or None, shape (H, W), bool
        Windows without a wanted sample are left out and stay 0.
    advance : callable
        Called after each window.

    Returns
    -------
    Tensor, shape (4, H, W)
        On the device of ``frames``.
    """
    height, width = frames[0].shape[1:]
    border = border_of(context, multiple, fade)
    windows = []
    for part in tiles((height, width), tile, multiple, border):
        down, across = (part.top, part.height, height), (part.left, part.width, width)
        answered = Area(_faded(down, fade), _faded(across, fade))
        if wanted is None or bool(answered.of(wanted).any()):
            read = Area(_read(down, border, multiple), _read(across, border, multiple))
            windows.append(_Window(part, read, answered))
    result: Tensor | None = None
    for group in _together(windows, min(at_once, _STRIP)):
        answers = function(*(_cut(frame, group) for frame in frames), inner=_inner(group[0]))
        # Not before the first answer, when the function's own memory is free again.
        result = torch.zeros_like(frames[0]) if result is None else result
        for answer, place in zip(answers, group, strict=True):
            _blend(result, answer, place, fade)
            advance()
    return torch.zeros_like(frames[0]) if result is None else result


def border_of(context: int, multiple: int, fade: int = FADE) -> int:
    """Return the border that is read around a window, by the network's reach and grid [packed px].

    Windows begin on the grid, so what a sample's place on it adds to its reach is counted only
    for those that fade beyond the window.
    """
    return _up(max(0, context - multiple + 1), multiple) + _up(fade, multiple)


def _faded(place: tuple[int, int, int], fade: int) -> range:
    """Return what a window answers along one axis.

    ``place``: where it starts, its length and that of the axis.
    """
    start, length, size = place
    return range(max(0, start - fade), min(size, start + length + fade))


def _read(place: tuple[int, int, int], border: int, multiple: int) -> range:
    """Return the samples read along one axis for a window and its border, within the frame."""
    start, length, size = place
    stop = start + _up(length, multiple) + border
    return range(max(start - border, 0), min(stop, _up(size, multiple)))


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _together(windows: list[_Window], at_once: int) -> Iterator[list[_Window]]:
    """Put windows alike together that have no more samples than those."""
    for ((height, width), _), alike in itertools.groupby(windows, _shape):
        same, count = list(alike), max(1, at_once // (height * width))
        yield from (same[first : first + count] for first in range(0, len(same), count))


def _shape(window: _Window) -> tuple[tuple[int, int], Area]:
    """Return the size of the area that is read for a window, and the part of it that is wanted."""
    rows, columns = window.read
    return (len(rows), len(columns)), _inner(window)


def _inner(window: _Window) -> Area:
    return window.answered.seen_from(window.read)


def _cut(frame: Tensor, group: list[_Window]) -> Tensor:
    """Copy windows of one size from a frame that goes on as its mirror image, (n, C, h, w)."""
    size, _ = _shape(group[0])
    cuts = frame.new_empty(len(group), *size, frame.shape[0]).permute(0, 3, 1, 2)
    for cut, (_, read, _) in zip(cuts, group, strict=True):
        across, along = (
            reflect_indices(places.start, places.stop, length).to(frame.device)
            for places, length in zip(read, frame.shape[1:], strict=True)
        )
        inside = read.of(frame)
        height, width = inside.shape[1:]
        cut[:, :height, :width] = inside
        # Looking samples up by their indices is slow: only those beyond the frame.
        cut[:, height:] = frame[:, across[height:, None], along]
        cut[:, :height, width:] = frame[:, across[:height, None], along[width:]]
    return cuts


def _blend(result: Tensor, answer: Tensor, place: _Window, fade: int) -> None:
    """Add the answer of one window to where it belongs, weighted."""
    part, answered = place.part, place.answered
    across, along = (
        window(start, length, size, fade)[places.start - start + fade :][: len(places)]
        for start, length, size, places in zip(
            part[:2], part[2:], result.shape[1:], answered, strict=True
        )
    )
    weights = (across[:, None] * along).to(result.device)
    for whole, plane in zip(answered.of(result), answer.to(result.device), strict=True):
        whole.addcmul_(plane, weights)


def in_strips(
    function: Callable[..., tuple[Tensor, ...]],
    frames: Sequence[Tensor],
    *,
    halo: int,
    step: int,
) -> tuple[Tensor, ...]:
    """Apply a function of frames to strips of their rows, and put its answers together.

    So only its arguments and answers are held for the whole frame, not what it makes in
    between, and that stays near the processor. While gradients are recorded, and of a small
    frame, there is one strip.

    Parameters
    ----------
    function : callable
        Takes whether a strip has its halo at both ends, and tensors (B, C, rows, w); returns
        tensors. A row of an answer depends on rows nearby. Where the halo is there, an answer may
        leave rows of it out, as many at either end.
    frames : sequence of Tensor
        Its arguments; one may have more rows than another, by a whole factor.
    halo : int
        How far up and down an answer depends on the frame with the most rows [px].
    step : int
        Rows of that frame that belong together [px].

    Returns
    -------
    tuple of Tensor
        The same as ``function(False, *frames)``.
    """
    if torch.is_grad_enabled():
        return function(False, *frames)
    batch, _, rows, width = max(frames, key=lambda frame: frame.shape[2]).shape
    height = max(1, _STRIP // (batch * width * step)) * step
    if height >= rows:
        return function(False, *frames)
    halo = -(-halo // step) * step
    answers: list[Tensor] = []
    for top in range(0, rows, height):
        first, last = max(0, top - halo), min(rows, top + height + halo)
        bottom = min(rows, top + height)
        inside = first == top - halo and last == bottom + halo
        parts = function(inside, *(_rows(frame, first, last, rows) for frame in frames))
        answers = answers or [_stretched(part, rows, last - first) for part in parts]
        for answer, part in zip(answers, parts, strict=True):
            kept = _rows(answer, top, bottom, rows)
            if inside:
                kept.copy_(middle_rows(part, kept.shape[2]))
            else:
                kept.copy_(_rows(part, top - first, bottom - first, last - first))
    return tuple(answers)


def middle_rows(frame: Tensor, rows: int) -> Tensor:
    """Return so many rows of the middle of a frame (B, C, H, w)."""
    return frame.narrow(2, (frame.shape[2] - rows) // 2, rows)


def _rows(frame: Tensor, first: int, last: int, rows: int) -> Tensor:
    """Return the part of a frame at rows ``first`` to ``last`` of ``rows``."""
    height = frame.shape[2]
    return frame[:, :, first * height // rows : last * height // rows]


def _stretched(part: Tensor, rows: int, of: int) -> Tensor:
    """Return an empty frame with ``rows`` rows, like a part that has ``of`` of them."""
    batch, channels, height, width = part.shape
    frame = part.new_empty(batch, rows * height // of, width, channels)
    return frame.permute(0, 3, 1, 2)


def local_mean(frame: Tensor, size: int) -> Tensor:
    """Return means over squares of ``size``, one every ``size / 2``, reflected at the border.

    Parameters
    ----------
    frame : Tensor, shape (C, H, W)
    size : int
        Even [px].

    Returns
    -------
    Tensor, shape (C, ceil(2H / size) + 1, ceil(2W / size) + 1)
        The mean around each corner of a grid with pitch ``size / 2`` from the origin.
    """
    for axis in (-2, -1):
        cells = _cell_means(frame, size // 2, axis)
        count = cells.shape[axis] - 1
        frame = (cells.narrow(axis, 0, count) + cells.narrow(axis, 1, count)) / 2
    return frame


def _cell_means(frame: Tensor, side: int, axis: int) -> Tensor:
    """Return means of ``side`` neighbors along an axis, from one cell before to one beyond it.

    Only the outermost cells are mirrored, so that no copy of the frame is made; sums of a
    reshaped one are many times faster than torch's pooling.
    """
    length = frame.shape[axis]
    whole = length // side * side
    cells = [torch.unflatten(frame.narrow(axis, 0, whole), axis, (-1, side)).mean(axis)]
    for start, stop in ((-side, 0), (whole, _up(length, side) + side)):
        places = reflect_indices(start, stop, length).to(frame.device)
        ends = torch.unflatten(frame.index_select(axis, places), axis, (-1, side))
        cells.append(ends.mean(axis))
    inside, before, after = cells
    return torch.cat([before, inside, after], axis)


def local_maximum(frame: Tensor, reach: int) -> Tensor:
    """Return the largest value up to ``reach`` rows and columns away, of the same shape.

    That of torch's own pooling with a stride of 1, which takes ten times longer.

    Parameters
    ----------
    frame : Tensor, shape (..., H, W)
    reach : int
        [px].
    """
    for axis, sides in ((-2, (0, 0, reach, reach)), (-1, (reach, reach))):
        length, padded = frame.shape[axis], F.pad(frame, sides, value=-math.inf)
        shifted = (padded.narrow(axis, step, length) for step in range(2 * reach + 1))
        frame = functools.reduce(torch.maximum, shifted)
    return frame
