"""Example: the camera's view of the street, with its mirror image on the wet ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from night_street.canvas import Array
from night_street.ground import Ground
from night_street.render import Rays, Scene, normalized, reflected, trace
from night_street.scene import build

#: Camera: height above the ground [m], turn to the left [rad], focal length over the
#: picture's width, and where the horizon lies from the top, over the height.
_EYE = 1.55
_YAW = 0.12
_FOCAL = 0.97
_HORIZON = 0.575

#: What the target exposure makes of the scene's light.
_EXPOSURE = 1.65

_BAND = 48
_STARS = 140


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A raster of rays: ``rows`` x ``columns``, ``scale`` samples a pixel and direction.

    ``margin`` pixels are added on every side of ``height`` x ``width``.
    """

    height: int
    width: int
    margin: int
    scale: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return (self.height + 2 * self.margin) * self.scale

    @property
    def columns(self) -> int:
        """Number of columns."""
        return (self.width + 2 * self.margin) * self.scale

    @property
    def horizon(self) -> int:
        """Return the first row, at one sample a pixel, that looks down."""
        return int(_HORIZON * self.height) + self.margin + 1

    def rays(self, first: int, last: int) -> Rays:
        """Return the rays of some rows, row by row."""
        y = (np.arange(first, last, dtype=np.float32) + 0.5) / self.scale - self.margin
        x = (np.arange(self.columns, dtype=np.float32) + 0.5) / self.scale - self.margin
        focal = _FOCAL * self.width
        across, up = np.meshgrid((x - self.width / 2) / focal, (_HORIZON * self.height - y) / focal)
        ahead = np.array((-np.sin(_YAW), 0, np.cos(_YAW)), np.float32)
        right = np.array((np.cos(_YAW), 0, np.sin(_YAW)), np.float32)
        upward = np.array((0, 1, 0), np.float32)
        flat = ahead + across.reshape(-1, 1) * right + up.reshape(-1, 1) * upward
        origins = np.tile(np.array((0, _EYE, 0), np.float32), (len(flat), 1))
        return Rays(origins=origins, directions=normalized(flat.astype(np.float32)))


def smooth(image: Array, radius: int, axis: int) -> Array:
    """Average over a window three times along an axis, which is close to a Gaussian."""
    for _ in range(3):
        pad = [(0, 0)] * image.ndim
        pad[axis] = (radius + 1, radius)
        total = np.cumsum(np.pad(image, pad, "edge"), axis, dtype=np.float64)
        length = image.shape[axis]
        upper = np.take(total, np.arange(2 * radius + 1, 2 * radius + 1 + length), axis)
        image = ((upper - np.take(total, np.arange(length), axis)) / (2 * radius + 1)).astype(
            np.float32
        )
    return image


def mirror_image(scene: Scene, frame: Frame) -> Array:
    """See the street mirrored in water that covers all ground, at one sample a pixel."""
    ground = next(surface for surface in scene.surfaces if isinstance(surface, Ground))
    single = Frame(height=frame.height, width=frame.width, margin=frame.margin, scale=1)
    seen = np.zeros((single.rows - single.horizon, single.columns, 3), np.float32)
    for first in range(single.horizon, single.rows, _BAND):
        last = min(first + _BAND, single.rows)
        rays = single.rays(first, last)
        t = -rays.origins[:, 1] / np.minimum(rays.directions[:, 1], -1e-4)
        points = rays.origins + t[:, None] * rays.directions
        away = reflected(rays.directions, ground.ripples(points[:, 0], points[:, 2]))
        points[:, 1] = 0
        radiance, _, _ = trace(scene, Rays(origins=points, directions=normalized(away)))
        seen[first - single.horizon : last - single.horizon] = radiance.reshape(
            last - first, single.columns, 3
        )
    return seen


def wet_film(scene: Scene, frame: Frame) -> tuple[Array, Array]:
    """Return what puddles and the rough wet ground mirror, sampled like the frame."""
    seen = np.minimum(mirror_image(scene, frame), 30.0)
    unit = frame.width / 1200
    near = smooth(seen, max(round(6 * unit), 1), 0)
    wide = smooth(smooth(seen, max(round(26 * unit), 1), 0), max(round(2 * unit), 1), 1)
    rough = 0.55 * near + 0.45 * wide
    full = [part.repeat(frame.scale, 0).repeat(frame.scale, 1) for part in (seen, rough)]
    return full[0], full[1]


def stars(clear: Array, unit: float, rng: np.random.Generator) -> Array:
    """Scatter stars of a few colors where the sky is clear, shape (rows, columns, 3)."""
    light = np.zeros((*clear.shape, 3), np.float32)
    size = max(round(2 * unit), 1)
    for _ in range(_STARS):
        row = rng.integers(0, clear.shape[0] // 2)
        column = rng.integers(0, clear.shape[1] - size)
        color = np.array((1.0, 0.93, 0.85)) + rng.uniform(-0.12, 0.15) * np.array((-1, 0, 1))
        light[row : row + size, column : column + size] = 0.12 * rng.pareto(1.3) * color
    return np.minimum(light, 2.0) * clear[..., None]


def sampled(scene: Scene, frame: Frame, rng: np.random.Generator) -> Array:
    """Follow every ray of the frame, shape (rows, columns, 3)."""
    image = np.empty((frame.rows, frame.columns, 3), np.float32)
    mirror = np.empty((frame.rows, frame.columns, 2), np.float32)
    clear = np.empty((frame.rows, frame.columns), np.float32)
    for first in range(0, frame.rows, _BAND):
        last = min(first + _BAND, frame.rows)
        band = (last - first, frame.columns)
        radiance, film, sky = trace(scene, frame.rays(first, last))
        image[first:last] = radiance.reshape(*band, 3)
        mirror[first:last] = film.reshape(*band, 2)
        clear[first:last] = sky.reshape(band)
    ground = slice(frame.horizon * frame.scale, None)
    for share, seen in zip((0, 1), wet_film(scene, frame), strict=True):
        image[ground] += mirror[ground, :, share, None] * seen
    return image + stars(clear, frame.width / 1200, rng)


def glare(image: Array, unit: float) -> Array:
    """Scatter a little light around each point, as lenses and damp air do."""
    rows, columns = image.shape[:2]
    y, x = np.meshgrid(
        np.fft.fftfreq(rows, 1 / rows), np.fft.fftfreq(columns, 1 / columns), indexing="ij"
    )
    squared = (x**2 + y**2) / unit**2
    veil = (
        0.5 * (1 + squared / 3.0**2) ** -1.5 / 3.0**2
        + 0.5 * (1 + squared / 22.0**2) ** -1.7 / 22.0**2
    )
    spectrum = np.fft.rfft2(veil / veil.sum())[..., None]
    spread = np.fft.irfft2(np.fft.rfft2(image, axes=(0, 1)) * spectrum, (rows, columns), (0, 1))
    return np.asarray(0.94 * image + 0.06 * np.maximum(spread, 0), np.float32)


def lens(image: Array) -> Array:
    """Soften the image as a lens and the filter before a sensor do: Gaussian, 0.55 px."""
    taps = np.exp(-0.5 * (np.arange(-2, 3, dtype=np.float32) / 0.55) ** 2)
    for axis in (0, 1):
        padded = np.pad(image, [(2, 2) if axis == side else (0, 0) for side in range(3)], "edge")
        shifted = (
            tap * np.take(padded, np.arange(place, place + image.shape[axis]), axis)
            for place, tap in enumerate(taps / taps.sum())
        )
        image = np.asarray(sum(shifted), np.float32)
    return image


def render(height: int, width: int, *, margin: int, seed: int) -> Array:
    """Draw the street in linear light.

    Parameters
    ----------
    height, width : int
        Size of the picture [px].
    margin : int
        Pixels added on every side.
    seed : int
        Decides everything random.

    Returns
    -------
    ndarray, shape (height + 2 * margin, width + 2 * margin, 3), float32
        Linear sRGB, 1.0 = white at the target exposure; lamps reach about 50.
    """
    frame = Frame(height=height, width=width, margin=margin, scale=2)
    scene = build(width / 1200, seed)
    samples = sampled(scene, frame, np.random.default_rng(seed + 1))
    pixels = samples.reshape(frame.rows // 2, 2, frame.columns // 2, 2, 3).mean((1, 3))
    return _EXPOSURE * lens(glare(pixels, width / 1200))
