"""Example: light on surfaces, seen by rays.

Surfaces are ordered from far to near and each covers what lies behind it, so no depth
is compared. Light is radiance with 1.0 for white at the target exposure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from night_street.canvas import Array, Canvas, Color, noise

Vector = tuple[float, float, float]

#: Light scattered by damp air, and the distance over which it replaces 63 % [m].
_HAZE: Color = (0.040, 0.028, 0.022)
_HAZE_DISTANCE = 180.0

#: Light from everywhere: the sky and what the walls pass on.
_AMBIENT: Color = (0.055, 0.047, 0.050)


#: Irradiance below which a light is left out, and intensity from which it casts shadows.
_FAINT = 0.004
_CASTS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rays:
    """N half-lines: ``origins`` of shape (N, 3) [m], unit ``directions`` of shape (N, 3)."""

    origins: Array
    directions: Array

    def take(self, index: NDArray[np.intp]) -> Rays:
        """Return some of the rays."""
        return Rays(origins=self.origins[index], directions=self.directions[index])


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """Where M of N rays meet a surface, and what it is made of there.

    Parameters
    ----------
    index : ndarray, shape (M,)
        Which rays.
    points, normals : ndarray, shape (M, 3)
        Position [m] and unit normal.
    albedo, light : ndarray, shape (M, 3)
        Reflected share and own radiance, both times coverage.
    coverage : ndarray, shape (M,)
        1 where the surface hides everything behind it.
    mirror : ndarray, shape (M, 2)
        Reflectance of the smooth and of the rough wet film on it.
    soft : float
        0 for a matte surface, 1 for one that light passes through as well.
    polished : ndarray, shape (M,), or None
        Reflectance of a polish that mirrors the rest of the scene.
    """

    index: NDArray[np.intp]
    points: Array
    normals: Array
    albedo: Array
    light: Array
    coverage: Array
    mirror: Array
    soft: float = 0.0
    polished: Array | None = None


class Surface(Protocol):
    """Something that rays can meet."""

    def hit(self, rays: Rays) -> Hit | None:
        """Return where the rays meet it, None if none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """A point that shines: ``position`` [m], ``intensity`` at 1 m, down only if ``hooded``."""

    position: Vector
    intensity: Color
    hooded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """An ellipsoid that stands for something that casts a soft shadow."""

    center: Vector
    radii: Vector
    opacity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything there is: surfaces from far to near, lights, shadows, and clouds."""

    surfaces: tuple[Surface, ...]
    lights: tuple[Light, ...]
    blobs: tuple[Blob, ...]
    clouds: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A painted rectangle in space.

    Parameters
    ----------
    corner : tuple
        Where the lower left corner of the canvas is [m].
    right, up : tuple
        Unit vectors along its width and its height.
    canvas : Canvas
        What is painted on it.
    soft : float
        As in :class:`Hit`.
    """

    corner: Vector
    right: Vector
    canvas: Canvas
    up: Vector = (0.0, 1.0, 0.0)
    soft: float = 0.0

    def hit(self, rays: Rays) -> Hit | None:
        """Return where the rays meet the painted part."""
        right, upward = np.array(self.right, np.float32), np.array(self.up, np.float32)
        normal = np.cross(right, upward).astype(np.float32)
        offset = np.array(self.corner, np.float32) - rays.origins
        toward = rays.directions @ normal
        t = (offset @ normal) / np.where(np.abs(toward) < 1e-6, 1e-6, toward)
        along = t * (rays.directions @ right) - offset @ right
        up = t * (rays.directions @ upward) - offset @ upward
        inside = (along > 0) & (along < self.canvas.width) & (up > 0) & (up < self.canvas.height)
        index = np.flatnonzero(inside & (t > 0.01))
        if not index.size:
            return None
        texels = sample(self.canvas, along[index], up[index])
        facing = np.where(toward[index] > 0, -1.0, 1.0).astype(np.float32)
        return Hit(
            index=index,
            points=rays.origins[index] + t[index, None] * rays.directions[index],
            normals=facing[:, None] * normal,
            albedo=texels[:, 0:3],
            light=texels[:, 3:6],
            coverage=texels[:, 6],
            mirror=np.zeros((index.size, 2), np.float32),
            soft=self.soft,
        )


def sample(canvas: Canvas, x: Array, y: Array) -> Array:
    """Interpolate the texels of a canvas bilinearly at positions [m], shape (M, 7)."""
    rows, columns = canvas.samples.shape[:2]
    column = np.clip(x * canvas.density - 0.5, 0, columns - 1.001)
    row = np.clip(y * canvas.density - 0.5, 0, rows - 1.001)
    j, i = column.astype(np.int32), row.astype(np.int32)
    fx, fy = (column - j)[:, None], (row - i)[:, None]
    lower = canvas.samples[i, j] * (1 - fx) + canvas.samples[i, j + 1] * fx
    upper = canvas.samples[i + 1, j] * (1 - fx) + canvas.samples[i + 1, j + 1] * fx
    return np.asarray(lower * (1 - fy) + upper * fy, np.float32)


def length(vectors: Array) -> Array:
    """Return the lengths of vectors of shape (N, 3)."""
    lengths: Array = np.sqrt(np.einsum("nc,nc->n", vectors, vectors))
    return lengths


def normalized(vectors: Array) -> Array:
    """Scale vectors of shape (N, 3) to length 1."""
    return vectors / length(vectors)[:, None]


def reflected(directions: Array, normals: Array) -> Array:
    """Mirror directions at surfaces of given normals."""
    cosine = np.einsum("nc,nc->n", directions, normals)
    mirrored: Array = directions - 2 * cosine[:, None] * normals
    return mirrored


def fresnel(cosine: Array, at_normal: float) -> Array:
    """Return the share of light reflected by a smooth film (Schlick 1994)."""
    return at_normal + (1 - at_normal) * (1 - np.clip(cosine, 0, 1)) ** 5


def shadow(points: Array, source: Array, blobs: Sequence[Blob]) -> Array:
    """Return how much light from ``source``, (3,) or (N, 3), passes the blobs, 0 to 1."""
    reach = np.ones(len(points), np.float32)
    for blob in blobs:
        radii = np.array(blob.radii, np.float32)
        start = (points - np.array(blob.center, np.float32)) / radii
        end = (source - np.array(blob.center, np.float32)) / radii
        path = end - start
        along = -np.einsum("nc,nc->n", start, path) / np.einsum("nc,nc->n", path, path)
        nearest = length(start + np.clip(along, 0, 1)[:, None] * path)
        reach *= 1 - blob.opacity * np.clip(1.6 - nearest, 0, 1)
    return reach


def irradiance(hit: Hit, lights: Sequence[Light], blobs: Sequence[Blob]) -> Array:
    """Sum the light that falls on a surface: inverse square of distance, cosine of angle."""
    total = np.tile(np.array(_AMBIENT, np.float32), (len(hit.points), 1))
    level = hit.normals[0, 1] > 0.99
    if level:
        total *= shadow(hit.points, hit.points + np.array((0, 9, 0), np.float32), blobs)[:, None]
    for light in lights:
        position = np.array(light.position, np.float32)
        path = position - hit.points
        squared = np.einsum("nc,nc->n", path, path) + 0.04
        if max(light.intensity) < _FAINT * squared.min():
            continue
        distance = np.sqrt(squared)
        cosine = np.einsum("nc,nc->n", path, hit.normals) / distance
        strength = np.maximum((1 - hit.soft) * cosine, 0)
        if hit.soft:
            strength += hit.soft * (0.3 + 0.5 * np.abs(cosine))
        if light.hooded:
            strength *= 0.22 + 0.78 * np.clip(path[:, 1] / distance, 0, 1)
        if level and max(light.intensity) > _CASTS:
            strength *= shadow(hit.points, position, blobs)
        total += (strength / squared)[:, None] * np.array(light.intensity, np.float32)
    return total


def sky(directions: Array, clouds: Array) -> Array:
    """Return the night sky: deep blue above, the glow of the city below, thin clouds."""
    up = np.clip(directions[:, 1], 0, 1)
    low = np.exp(-up / 0.16)[:, None]
    across = np.arctan2(directions[:, 0], directions[:, 2])
    layer = 0.65 * noise(clouds, across * 7 + 20, up * 22) + 0.35 * noise(
        clouds, across * 19, up * 53
    )
    cover = np.clip(layer * 2.4 - 0.9, 0, 1)[:, None]
    blue = np.array((0.0055, 0.0085, 0.0190), np.float32)
    glow = np.array((0.052, 0.033, 0.030), np.float32)
    lit = np.array((0.030, 0.022, 0.024), np.float32)
    return np.asarray(blue + low * glow + cover * lit * (0.35 + low), np.float32)


def trace(scene: Scene, rays: Rays) -> tuple[Array, Array, Array]:
    """Follow rays into the scene.

    Returns
    -------
    radiance : ndarray, shape (N, 3)
        Light that comes along each ray, without the wet film of the ground.
    mirror : ndarray, shape (N, 2)
        What a smooth and a rough wet film in view reflects; the caller adds it.
    clear : ndarray, shape (N,)
        1 where the sky is in view.
    """
    radiance = sky(rays.directions, scene.clouds)
    mirror = np.zeros((len(radiance), 2), np.float32)
    clear = np.ones(len(radiance), np.float32)
    for surface in scene.surfaces:
        hit = surface.hit(rays)
        if hit is None:
            continue
        light = hit.light + hit.albedo / np.pi * irradiance(hit, scene.lights, scene.blobs)
        if hit.polished is not None:
            light = light + polish(scene, surface, hit, rays.directions[hit.index])
        distance = length(hit.points - rays.origins[hit.index])
        through = np.exp(-distance / _HAZE_DISTANCE)[:, None]
        haze = (1 - through) * np.array(_HAZE, np.float32) * hit.coverage[:, None]
        behind = 1 - hit.coverage
        radiance[hit.index] = radiance[hit.index] * behind[:, None] + light * through + haze
        mirror[hit.index] = mirror[hit.index] * behind[:, None] + hit.mirror
        clear[hit.index] *= behind
    return radiance, mirror, clear


def polish(scene: Scene, surface: Surface, hit: Hit, directions: Array) -> Array:
    """Return what a polished surface mirrors of everything but itself."""
    others = Scene(
        surfaces=tuple(other for other in scene.surfaces if other is not surface),
        lights=scene.lights,
        blobs=scene.blobs,
        clouds=scene.clouds,
    )
    away = Rays(origins=hit.points, directions=reflected(directions, hit.normals))
    radiance, _, _ = trace(others, away)
    share = hit.polished if hit.polished is not None else np.zeros(len(radiance), np.float32)
    return np.asarray(radiance * share[:, None], np.float32)
