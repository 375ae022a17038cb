"""Example: the ground, wet after rain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from night_street.canvas import Array, noise
from night_street.render import Hit, Rays, fresnel, normalized

#: Where the road ends and the pavement starts, to the left and right [m].
CURBS = (-3.35, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The plane y = 0: a road between two pavements.

    Parameters
    ----------
    grid : ndarray, shape (256, 256)
        Random values that grain, patches and puddles come from.
    """

    grid: Array

    def hit(self, rays: Rays) -> Hit | None:
        """Return where the rays meet the ground."""
        index = np.flatnonzero((rays.directions[:, 1] < -1e-4) & (rays.origins[:, 1] > 1e-3))
        if not index.size:
            return None
        down = rays.directions[index]
        t = -rays.origins[index, 1] / down[:, 1]
        points = rays.origins[index] + t[:, None] * down
        albedo, wet = self.finish(points[:, 0], points[:, 2], t)
        film = fresnel(-down[:, 1], 0.03)
        return Hit(
            index=index,
            points=points,
            normals=np.tile(np.array((0, 1, 0), np.float32), (index.size, 1)),
            albedo=albedo,
            light=np.zeros_like(albedo),
            coverage=np.ones(index.size, np.float32),
            mirror=wet * film[:, None],
        )

    def finish(self, x: Array, z: Array, distance: Array) -> tuple[Array, Array]:
        """Return the albedo, and the share of smooth and of rough wet film."""
        near = np.clip(9 / distance, 0, 1) ** 2
        grain = near * (noise(self.grid, x * 38, z * 38) - 0.5)
        patches = noise(self.grid, x * 0.7 + 9, z * 0.35)
        tone = 1 + 0.9 * grain + 0.5 * (patches - 0.5)
        road: Array = (0.058 * tone)[:, None] * np.array((1.0, 0.98, 0.97), np.float32)
        road = paint_marks(road, x, z, patches)
        slabs, paved = self.pavement(x, z, near)
        puddle = self.puddles(x, z) * (1 - 0.85 * paved)
        albedo = road * (1 - paved)[:, None] + slabs * paved[:, None]
        albedo = albedo * (1 - 0.55 * puddle)[:, None]
        rough = (0.62 - 0.30 * paved + 0.25 * grain) * (1 - puddle)
        return np.asarray(albedo, np.float32), np.stack([0.92 * puddle, rough], 1)

    def pavement(self, x: Array, z: Array, near: Array) -> tuple[Array, Array]:
        """Return the albedo of slabs and curbs, and where they lie."""
        beyond = np.maximum(CURBS[0] - x, x - CURBS[1])
        paved = np.clip(beyond / 0.02 + 0.5, 0, 1)
        joint = np.maximum(np.abs((x / 0.6) % 1 - 0.5), np.abs((z / 0.6 + 0.25) % 1 - 0.5))
        gap = 1 - 0.6 * np.sqrt(near) * np.clip(1 - (0.5 - joint) / 0.03, 0, 1)
        slab = noise(self.grid, np.floor(x / 0.6) * 7.3, np.floor(z / 0.6) * 3.7)
        fine = noise(self.grid, x * 21, z * 21)
        tone = (0.13 + 0.07 * slab + 0.05 * near * (fine - 0.5)) * gap
        stone = beyond < 0.22
        tone = np.where(stone, 0.24 + 0.05 * fine, tone)
        tone = np.where(beyond < 0.045, 0.03, tone)
        return tone[:, None] * np.array((1.0, 0.97, 0.92), np.float32), paved

    def puddles(self, x: Array, z: Array) -> Array:
        """Return where water stands: hollows of the road, and along the curbs."""
        hollow = 0.7 * noise(self.grid, x * 0.55 + 3, z * 0.33 + 31) + 0.3 * noise(
            self.grid, x * 1.9, z * 1.3
        )
        gutter = np.exp(-np.minimum(x - CURBS[0], CURBS[1] - x).clip(0) / 0.35)
        return np.asarray(np.clip((hollow + 0.12 * gutter - 0.52) * 9, 0, 1), np.float32)

    def ripples(self, x: Array, z: Array) -> Array:
        """Return unit normals of the water, disturbed by a light wind, shape (N, 3)."""
        normals = np.empty((x.size, 3), np.float32)
        normals[:, 0] = 0.008 * (noise(self.grid, x * 5, z * 5) - 0.5)
        normals[:, 1] = 1
        normals[:, 2] = 0.03 * (noise(self.grid, x * 4 + 50, z * 6) - 0.5)
        return normalized(normals)


def paint_marks(road: Array, x: Array, z: Array, patches: Array) -> Array:
    """Paint a worn zebra crossing and the dashes of the middle line on the road."""
    stripe = (np.abs((x + 0.2) / 0.95 % 1 - 0.5) < 0.26) & (z > 8.3) & (z < 10.9)
    dash = (np.abs(x - 0.32) < 0.06) & (z > 12.5) & (z % 4.0 < 2.0)
    between = (x > CURBS[0] + 0.3) & (x < CURBS[1] - 0.3)
    worn = np.clip(1.5 - 1.4 * patches, 0.25, 1)
    share = ((stripe | dash) & between) * worn
    marked: Array = road * (1 - share)[:, None] + 0.34 * share[:, None]
    return marked
