"""Example: flat surfaces to paint on, and the shapes that paint covers.

A shape is an array of coverage, 0 to 1, over the texels of a canvas; ``paint`` lays
color where a shape covers. Coordinates are meters from the lower left corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Array = NDArray[np.floating[Any]]
Color = tuple[float, float, float]
Point = tuple[float, float]

BLACK: Color = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """A rectangle of texels, from the bottom row up.

    Parameters
    ----------
    samples : ndarray, shape (h, w, 7)
        Albedo (3), own light (3) in fractions of white, both times coverage, and
        coverage (1).
    density : float
        Texels per meter.
    left, bottom : float
        Coordinates of the first texel's corner [m].
    """

    samples: Array
    density: float
    left: float = 0.0
    bottom: float = 0.0

    @property
    def width(self) -> float:
        """Width [m]."""
        return float(self.samples.shape[1] / self.density)

    @property
    def height(self) -> float:
        """Height [m]."""
        return float(self.samples.shape[0] / self.density)

    def grid(self) -> tuple[Array, Array]:
        """Return x as a row and y as a column of texel centers [m]."""
        rows, columns = self.samples.shape[:2]
        x = self.left + (np.arange(columns, dtype=np.float32) + 0.5) / self.density
        y = self.bottom + (np.arange(rows, dtype=np.float32) + 0.5) / self.density
        return x[None, :], y[:, None]

    def part(self, x: float, y: float, width: float, height: float) -> Canvas:
        """Return the rectangle at (x, y) as a canvas with its own origin, cut at the edge."""
        rows, columns = self.samples.shape[:2]
        left = round((x - self.left) * self.density)
        bottom = round((y - self.bottom) * self.density)
        right = min(left + max(round(width * self.density), 1), columns)
        top = min(bottom + max(round(height * self.density), 1), rows)
        first_row, first_column = max(bottom, 0), max(left, 0)
        return Canvas(
            samples=self.samples[first_row : max(top, 0), first_column : max(right, 0)],
            density=self.density,
            left=(first_column - left) / self.density,
            bottom=(first_row - bottom) / self.density,
        )


def blank(width: float, height: float, density: float, albedo: Color | None = None) -> Canvas:
    """Make a canvas of a size in meters, transparent unless it has an albedo."""
    shape = (max(round(height * density), 2), max(round(width * density), 2), 7)
    samples = np.zeros(shape, np.float32)
    if albedo is not None:
        samples[:] = (*albedo, *BLACK, 1.0)
    return Canvas(samples=samples, density=density)


def paint(
    canvas: Canvas,
    coverage: Array | float,
    albedo: Color | Array = BLACK,
    light: Color | Array = BLACK,
) -> None:
    """Lay paint of an albedo and a light of its own where ``coverage`` is above 0."""
    shape = canvas.samples.shape[:2]
    full = np.broadcast_to(np.asarray(coverage, np.float32), shape)
    covered = bounds(full)
    c = full[covered][..., None]
    samples = canvas.samples[covered]
    samples *= 1 - c
    for first, color in ((0, albedo), (3, light)):
        layer = np.broadcast_to(np.asarray(color, np.float32), (*shape, 3))
        samples[..., first : first + 3] += c * layer[covered]
    samples[..., 6:7] += c


def bounds(coverage: Array) -> tuple[slice, slice]:
    """Return the rows and columns within which anything is covered."""
    rows, columns = (np.flatnonzero((coverage > 0).any(axis)) for axis in (1, 0))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def shade(canvas: Canvas, factor: Array) -> None:
    """Multiply the color of what is painted by ``factor``, shape (h, w)."""
    canvas.samples[..., :6] *= factor[..., None]


def box(canvas: Canvas, x: float, y: float, width: float, height: float) -> Array:
    """Cover an upright rectangle."""
    columns, rows = canvas.grid()
    across = np.minimum(columns - x, x + width - columns) * canvas.density + 0.5
    up = np.minimum(rows - y, y + height - rows) * canvas.density + 0.5
    coverage: Array = np.clip(across, 0, 1) * np.clip(up, 0, 1)
    return coverage


def ellipse(
    canvas: Canvas, x: float, y: float, rx: float, ry: float, *, soft: float = 0.0
) -> Array:
    """Cover an ellipse whose edge fades over ``soft`` of its radius."""
    columns, rows = canvas.grid()
    radius = np.sqrt(((columns - x) / rx) ** 2 + ((rows - y) / ry) ** 2)
    edge = max(soft, 1 / (canvas.density * min(rx, ry)))
    ramp = np.clip((1 - radius) / edge + 0.5, 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def polygon(canvas: Canvas, corners: Sequence[Point]) -> Array:
    """Cover a polygon, by counting the edges to the right of each texel."""
    x, y = canvas.grid()
    inside = np.zeros(canvas.samples.shape[:2], bool)
    for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True):
        if y0 != y1:
            crosses = (y < y0) != (y < y1)
            inside ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside.astype(np.float32)


def stroke(canvas: Canvas, points: Sequence[Point], width: float) -> Array:
    """Cover a line of a width through points; finer than a texel, it covers in part."""
    x, y = canvas.grid()
    distance = np.full(canvas.samples.shape[:2], np.inf, np.float32)
    for (x0, y0), (x1, y1) in zip(points[:-1], points[1:], strict=True):
        dx, dy = x1 - x0, y1 - y0
        t = np.clip(((x - x0) * dx + (y - y0) * dy) / max(dx * dx + dy * dy, 1e-9), 0, 1)
        distance = np.minimum(distance, np.hypot(x - x0 - t * dx, y - y0 - t * dy))
    wide = max(width * canvas.density, 1.0)
    thin = min(width * canvas.density, 1.0)
    coverage: Array = thin * np.clip(wide / 2 - distance * canvas.density + 0.5, 0, 1)
    return coverage


def text(
    canvas: Canvas, line: str, x: float, y: float, height: float, *, bold: float = 0.0
) -> Array:
    """Cover a line of text centered at x, its baseline at y.

    Parameters
    ----------
    canvas : Canvas
        What is written on.
    line : str
        The text.
    x, y : float
        Middle and baseline [m].
    height : float
        Size of the type [m]; capitals have about 0.7 of it.
    bold : float
        Width added around the letters [m].
    """
    rows, columns = canvas.samples.shape[:2]
    image = Image.new("L", (columns, rows))
    anchor = ((x - canvas.left) * canvas.density, rows - (y - canvas.bottom) * canvas.density)
    ImageDraw.Draw(image).text(
        anchor,
        line,
        fill=255,
        font=ImageFont.load_default(size=max(height * canvas.density, 1.0)),
        anchor="ms",
        stroke_width=bold * canvas.density,
    )
    return np.asarray(image, np.float32)[::-1] / 255


def tube(canvas: Canvas, line: str, x: float, y: float, height: float, *, width: float) -> Array:
    """Cover the outline of a line of text, as a bent neon tube."""
    outer = text(canvas, line, x, y, height, bold=width)
    return np.clip(outer - text(canvas, line, x, y, height), 0, 1)


def noise_grid(rng: np.random.Generator) -> Array:
    """Draw the random values that :func:`noise` is made of, (256, 256), 0 to 1."""
    return rng.random((256, 256), np.float32)


def noise(grid: Array, x: Array, y: Array) -> Array:
    """Interpolate random values smoothly: value noise with cells of side 1, 0 to 1."""
    column, row = np.floor(x), np.floor(y)
    fx, fy = x - column, y - row
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    i, j = row.astype(np.int32) & 255, column.astype(np.int32) & 255
    below, right = (i + 1) & 255, (j + 1) & 255
    upper = grid[i, j] * (1 - fx) + grid[i, right] * fx
    lower = grid[below, j] * (1 - fx) + grid[below, right] * fx
    value: Array = upper * (1 - fy) + lower * fy
    return value
