"""Develop: the profile of a photo's lens in lensfun's database, where the library is installed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightfix.read import Metadata, RawImage, Rectangle, has_shading, interpolate_grid

Places = NDArray[np.floating]

#: Focus where the file does not say, as far as any lens is concerned infinity [m].
_FAR = 1000.0

#: Longest side of the frame on which vignetting is looked up [px].
_COARSE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A lens's profile, for one photo.

    Attributes
    ----------
    name : str
        Of the lens, in the database.
    corrected : tuple of {"distortion", "lateral color", "vignetting"}
        What is known of it.
    frame : Rectangle
        Part of the mosaic that the profile is for: the camera's crop [px].
    geometry : object or None
        lensfun's modifier for places; None where only vignetting is known.
    brightening : ndarray, shape (h, w), float32, or None
        Gains against vignetting on a coarse grid over the frame, from corner to corner.
    """

    name: str
    corrected: tuple[str, ...]
    frame: Rectangle
    geometry: Any
    brightening: NDArray[np.float32] | None

    def places(self, rows: range, columns: range) -> tuple[Places, Places]:
        """Return from which rows and columns each pixel comes, shape (1 or 3, h, w) [px]."""
        if self.geometry is None:
            down, across = np.mgrid[rows.start : rows.stop, columns.start : columns.stop]
            return down[None].astype(np.float32), across[None].astype(np.float32)
        top, left = self.frame.top, self.frame.left
        found = self.geometry.apply_subpixel_geometry_distortion(
            columns.start - left, rows.start - top, len(columns), len(rows)
        )
        across, down = np.asarray(found, np.float32).transpose(3, 2, 0, 1)
        return down + top, across + left

    def gains(self, rows: Places, columns: Places) -> Places | None:
        """Return by how much light at some places of the mosaic is brightened; None if not."""
        if self.brightening is None:
            return None
        height, width = self.brightening.shape
        down = (rows - self.frame.top) * ((height - 1) / max(self.frame.height - 1, 1))
        across = (columns - self.frame.left) * ((width - 1) / max(self.frame.width - 1, 1))
        return interpolate_grid(self.brightening, down, across)


def find_profile(raw: RawImage) -> Profile | None:
    """Return the profile of a photo's lens.

    Parameters
    ----------
    raw : RawImage
        The photo, with the camera's own crop; camera, lens, focal length, aperture and distance
        of its metadata are used.

    Returns
    -------
    Profile or None
        None where lensfunpy is not installed, the camera or the lens is not in its database, or
        the focal length is unknown.

    Notes
    -----
    The picture is scaled so that it keeps no empty corners. A fisheye stays one. Vignetting is
    left alone where the file corrects it itself, and where the aperture is unknown.

    References
    ----------
    Lensfun, https://lensfun.github.io/manual/latest/ (lfModifier, lfDatabase).
    """
    if not profiles_installed():
        return None
    found = [_profile(raw, *lens) for lens in _find_lenses(raw.metadata)]
    # The database has some lenses twice, measured on sensors of two sizes.
    return max(filter(None, found), key=lambda profile: len(profile.corrected), default=None)


def profiles_installed() -> bool:
    """Tell whether the library with the lenses' profiles is installed (``nightfix[lens]``)."""
    return find_spec("lensfunpy") is not None


@lru_cache(maxsize=1)
def _database() -> Any:
    import lensfunpy

    return lensfunpy.Database()


def _find_lenses(metadata: Metadata) -> list[tuple[Any, float, float]]:
    """Return a photo's lens in the database, the camera's crop factor and the focal length."""
    database = _database()
    if not metadata.model:
        return []
    cameras = database.find_cameras(metadata.make or None, metadata.model)
    if not cameras:
        return []
    camera, found = cameras[0], []
    for lens in _named(database, camera, metadata.lens) or _built_in(database, camera):
        shortest, longest = lens.min_focal, max(lens.min_focal, lens.max_focal)
        focal_length = metadata.exposure.focal_length
        if focal_length is None and shortest == longest:
            focal_length = shortest
        # EXIF rounds, by two hundredths at most; what is further off is another lens.
        if focal_length is not None and 0.98 * shortest <= focal_length <= 1.02 * longest:
            found.append((lens, camera.crop_factor, focal_length))
    return found


def _named(database: Any, camera: Any, name: str) -> list[Any]:
    """Return the best lens of a name that fits a camera, and none whose name only resembles it."""
    lenses = database.find_lenses(camera, None, name) if name else []
    alike = [lens for lens in lenses if _signature(lens.model) == _signature(name)]
    return [lens for lens in alike if lens.model == alike[0].model]


def _built_in(database: Any, camera: Any) -> list[Any]:
    """Return the lens that a camera cannot change, which is told by its mount's small letter."""
    if not camera.mount[:1].islower():
        return []
    lenses = database.find_lenses(camera)
    if len(lenses) > 1:  # with converters
        lenses = [lens for lens in lenses if "(standard)" in lens.model.lower()]
    return lenses if len(lenses) == 1 else []


def _signature(name: str) -> tuple[frozenset[float], frozenset[str]]:
    """Return what tells lenses of similar names apart: the numbers and the generation.

    Examples
    --------
    >>> _signature("EF50mm f/1.8 II") == _signature("Canon EF 50mm f/1.8 MkII")
    True
    >>> _signature("EF24-105mm f/4L IS USM") == _signature("EF24-105mm f/4L IS II USM")
    False
    """
    numbers = re.findall(r"\d+(?:\.\d+)?", name)
    generations = re.findall(r"\b(?:Mk|Mark)? ?(II|III|IV|V|VI)\b", name)
    return frozenset(map(float, numbers)), frozenset(generations)


def _profile(raw: RawImage, lens: Any, crop_factor: float, focal_length: float) -> Profile | None:
    """Look up what is known of a lens at a photo's settings."""
    from lensfunpy import Modifier, ModifyFlags

    exposure = raw.metadata.exposure
    distance = min(exposure.focus_distance or _FAR, _FAR)
    aperture = exposure.f_number or 0.0
    known = {
        "distortion": lens.interpolate_distortion(focal_length) is not None,
        "lateral color": lens.interpolate_tca(focal_length) is not None,
        "vignetting": aperture > 0
        and not has_shading(raw.opcodes)
        and lens.interpolate_vignetting(focal_length, aperture, distance) is not None,
    }
    if not any(known.values()):
        return None
    geometry = brightening = None
    if known["distortion"] or known["lateral color"]:
        flags = ModifyFlags.DISTORTION | ModifyFlags.TCA | ModifyFlags.SCALE
        geometry = Modifier(lens, crop_factor, raw.crop.width, raw.crop.height)
        geometry.initialize(
            focal_length, aperture, distance, 0.0, lens.type, np.float32, int(flags)
        )
    if known["vignetting"]:
        shrink = max(1.0, max(raw.crop.width, raw.crop.height) / _COARSE)
        height, width = (max(2, round(side / shrink)) for side in (raw.crop.height, raw.crop.width))
        light = np.ones((height, width, 3), np.float32)
        shade = Modifier(lens, crop_factor, width, height)
        shade.initialize(
            focal_length,
            aperture,
            distance,
            pixel_format=np.float32,
            flags=int(ModifyFlags.VIGNETTING),
        )
        shade.apply_color_modification(light)
        brightening = np.ascontiguousarray(light[..., 1])
    return Profile(
        name=lens.model,
        corrected=tuple(name for name, is_known in known.items() if is_known),
        frame=raw.crop,
        geometry=geometry,
        brightening=brightening,
    )
