"""Example: a parked car, a solid given by its distance function."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from night_street.canvas import Array, Canvas, Color, blank, paint, text
from night_street.render import Hit, Rays, fresnel, length, normalized, sample

_STEPS = 56
_HALF = np.array((1.02, 0.82, 2.25), np.float32)


def rounded_box(p: Array, center: Color, half: Color, radius: float) -> Array:
    """Return the distance to a box with rounded edges [m]."""
    q = np.abs(p - np.array(center, np.float32)) - np.array(half, np.float32) + radius
    deepest = np.maximum(np.maximum(q[:, 0], q[:, 1]), q[:, 2])
    return length(np.maximum(q, 0)) + np.minimum(deepest, 0) - np.float32(radius)


def wheel(p: Array, z: float) -> Array:
    """Return the distance to a pair of wheels on an axle at z [m]."""
    radius = np.hypot(p[:, 1] - 0.32, p[:, 2] - z)
    return np.asarray(np.maximum(radius - 0.32, np.abs(np.abs(p[:, 0]) - 0.76) - 0.10), np.float32)


def cabin(p: Array) -> Array:
    """Return the distance to the roof and windows, which lean inward [m]."""
    up = np.clip(p[:, 1] - 0.85, 0, 1)
    leaning = p.copy()
    leaning[:, 0] = p[:, 0] * (1 + 0.38 * up)
    middle = 2.25
    leaning[:, 2] = middle + (p[:, 2] - middle) * (1 + 0.62 * up)
    return 0.75 * rounded_box(leaning, (0, 1.08, middle), (0.80, 0.40, 1.42), 0.12)


def car_distance(p: Array) -> Array:
    """Return the distance to the car's surface, its rear at z = 0 [m]."""
    body = rounded_box(p, (0, 0.60, 2.15), (0.86, 0.34, 2.15), 0.16)
    top = cabin(p)
    blend = np.clip(0.5 + 0.5 * (top - body) / 0.08, 0, 1)
    joined = top * (1 - blend) + body * blend - 0.08 * blend * (1 - blend)
    arches = np.minimum(
        np.hypot(p[:, 1] - 0.32, p[:, 2] - 0.82), np.hypot(p[:, 1] - 0.32, p[:, 2] - 3.45)
    )
    joined = np.maximum(joined, np.minimum(0.39 - arches, np.abs(p[:, 0]) - 0.5))
    distance: Array = np.minimum(joined, np.minimum(wheel(p, 0.82), wheel(p, 3.45)))
    return distance


def car_normals(p: Array) -> Array:
    """Return the unit normals of the surface from differences of the distance."""
    base = car_distance(p)
    steps = 0.004 * np.eye(3, dtype=np.float32)
    return normalized(np.stack([car_distance(p + step) - base for step in steps], 1) + 1e-9)


def number_plate() -> Canvas:
    """Letter the number plate."""
    plate = blank(0.56, 0.13, 500, (0.55, 0.53, 0.48))
    paint(plate, text(plate, "NF 3200", 0.28, 0.026, 0.115, bold=0.002), (0.02, 0.02, 0.02))
    return plate


@dataclass(frozen=True, slots=True, kw_only=True)
class Car:
    """A car parked with its rear at ``place`` [m], painted in ``color``."""

    place: tuple[float, float, float]
    color: Color

    def hit(self, rays: Rays) -> Hit | None:
        """March along the rays that pass the car's box until they meet its surface."""
        index, start = self.near(rays)
        if not index.size:
            return None
        directions = rays.directions[index]
        p = rays.origins[index] - np.array(self.place, np.float32) + start[:, None] * directions
        for _ in range(_STEPS):
            p = p + car_distance(p)[:, None] * directions
        met = car_distance(p) < 0.012
        if not met.any():
            return None
        index, p, directions = index[met], p[met], directions[met]
        normals = car_normals(p)
        albedo, light, shine = self.finish(p)
        facing = -np.einsum("nc,nc->n", directions, normals)
        return Hit(
            index=index,
            points=p + np.array(self.place, np.float32) + 0.02 * normals,
            normals=normals,
            albedo=albedo,
            light=light,
            coverage=np.ones(index.size, np.float32),
            mirror=np.zeros((index.size, 2), np.float32),
            polished=fresnel(facing, 0.06) * shine,
        )

    def near(self, rays: Rays) -> tuple[NDArray[np.intp], Array]:
        """Return the rays that pass the box around the car, and how far it is."""
        center = np.array(self.place, np.float32) + np.array((0, 0.80, 2.2), np.float32)
        with np.errstate(divide="ignore"):
            inverse = 1 / rays.directions
        low = (center - _HALF - rays.origins) * inverse
        high = (center + _HALF - rays.origins) * inverse
        # A ray may start inside the box: on the road under the car.
        enter = np.minimum(low, high).max(1).clip(0.02)
        leave = np.maximum(low, high).min(1)
        index = np.flatnonzero(enter < leave)
        return index, enter[index]

    def finish(self, p: Array) -> tuple[Array, Array, Array]:
        """Return albedo, own light and shine by place: paint, glass, tires, lamps, plate."""
        x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
        albedo = np.tile(np.array(self.color, np.float32), (len(p), 1))
        light = np.zeros_like(albedo)
        shine = np.ones(len(p), np.float32)
        side = (
            (x > 0.5)
            & (np.abs((z - 2.25) * (1 + 0.5 * (y - 0.85))) < 1.1)
            & (np.abs(z - 2.2) > 0.05)
        )
        ends = (x < 0.62) & ((z < 1.35) | (z > 3.2))
        glass = (y > 0.98) & (y < 1.36) & (side | ends)
        albedo[glass] = (0.01, 0.011, 0.013)
        tires = (cabin(p) > 0.02) & (np.minimum(wheel(p, 0.82), wheel(p, 3.45)) < 0.02)
        albedo[tires], shine[tires] = (0.02, 0.02, 0.02), 0.15
        under = (y < 0.40) & ~tires
        albedo[under], shine[under] = (0.03, 0.03, 0.032), 0.4
        lamps = (z < 0.16) & (x > 0.52) & (y > 0.66) & (y < 0.80)
        albedo[lamps], light[lamps] = (0.45, 0.02, 0.015), (0.30, 0.008, 0.006)
        plate = (z < 0.1) & (x < 0.28) & (np.abs(y - 0.565) < 0.065)
        texels = sample(number_plate(), p[plate, 0] + 0.28, y[plate] - 0.5)
        albedo[plate], shine[plate] = texels[:, :3], 0.1
        return albedo, light, shine
