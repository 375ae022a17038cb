"""Develop: from camera RGB to the primaries and the transfer curve of an output space.

The camera's side follows the DNG specification, chapter 6 ("Mapping Camera Color
Space to CIE XYZ Space"): the file's matrices, interpolated at the color
temperature that belongs to the neutral, then Bradford adaptation of that white
to the output space's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nightfix.read import ColorMatrix

Plane = NDArray[np.float32]
Matrix = NDArray[np.float64]

#: Linear sRGB to XYZ (D65), IEC 61966-2-1 carried to seven digits.
SRGB_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)

D50 = (0.3457, 0.3585)
D65 = (0.3127, 0.3290)

#: XYZ to the cone responses of the Bradford adaptation (Lam 1985).
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)

#: Correlated color temperature [K] of the EXIF LightSource codes.
_TEMPERATURES = {
    1: 5500.0,  # daylight
    2: 4150.0,  # fluorescent
    3: 2850.0,  # tungsten
    4: 5500.0,  # flash
    9: 5500.0,  # fine weather
    10: 6500.0,  # cloudy
    11: 7500.0,  # shade
    12: 6430.0,  # daylight fluorescent
    13: 5000.0,  # day white fluorescent
    14: 4150.0,  # cool white fluorescent
    15: 3450.0,  # white fluorescent
    17: 2856.0,  # standard A
    18: 4874.0,  # standard B
    19: 6774.0,  # standard C
    20: 5503.0,  # D55
    21: 6504.0,  # D65
    22: 7504.0,  # D75
    23: 5003.0,  # D50
    24: 3200.0,  # studio tungsten
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferCurve:
    """The curve from encoded to linear values: a power with a linear foot.

    linear = (slope * v + offset)^gamma for v >= threshold, foot * v below.

    Parameters
    ----------
    gamma, slope, offset, foot, threshold : float
        As in the formula; g, a, b, c, d of the ICC's ``parametricCurveType``.
    """

    gamma: float
    slope: float = 1.0
    offset: float = 0.0
    foot: float = 0.0
    threshold: float = 0.0

    def decode(self, encoded: Plane) -> Plane:
        """Turn encoded values into linear light (``gamma expansion``), both in [0, 1]."""
        power = np.maximum(self.slope * encoded + self.offset, 0) ** np.float32(self.gamma)
        return np.where(encoded >= self.threshold, power, self.foot * encoded).astype(np.float32)

    def encode(self, linear: Plane) -> Plane:
        """Turn linear light into encoded values (``gamma compression``), clipped to [0, 1]."""
        linear = np.clip(linear, 0, 1)
        encoded = linear ** np.float32(1 / self.gamma)
        encoded -= self.offset
        encoded /= self.slope
        if self.foot:
            low = linear < self.foot * self.threshold
            np.divide(linear, self.foot, out=encoded, where=low)
        return encoded.astype(np.float32, copy=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorSpace:
    """An output space: what its red, green and blue are, and how values are written.

    Parameters
    ----------
    name : str
        What the user types, and the key in :data:`COLOR_SPACES`.
    description : str
        What an editor shows, by the profile.
    primaries : tuple of three (x, y)
        Chromaticities of red, green, blue.
    white : (x, y)
        Chromaticity of the white point.
    curve : TransferCurve
        From encoded values to linear light.
    """

    name: str
    description: str
    primaries: tuple[tuple[float, float], ...]
    white: tuple[float, float]
    curve: TransferCurve

    @property
    def rgb_to_xyz(self) -> Matrix:
        """Linear RGB to XYZ relative to the space's own white (Y = 1), shape (3, 3)."""
        columns = np.stack([white_xyz(primary) for primary in self.primaries], axis=1)
        return columns * np.linalg.solve(columns, white_xyz(self.white))

    @property
    def linear(self) -> ColorSpace:
        """The same space with values proportional to light."""
        plain = TransferCurve(gamma=1.0)
        return replace(self, description=f"Linear {self.description}", curve=plain)

    def encode(self, linear: Plane) -> Plane:
        """Turn linear RGB of this space into encoded values, clipped to [0, 1]."""
        return self.curve.encode(linear)

    def decode(self, encoded: Plane) -> Plane:
        """Turn encoded values in [0, 1] into linear RGB of this space."""
        return self.curve.decode(encoded)


_SRGB_CURVE = TransferCurve(
    gamma=2.4, slope=1 / 1.055, offset=0.055 / 1.055, foot=1 / 12.92, threshold=0.04045
)

#: The output spaces by name. Curves: IEC 61966-2-1, SMPTE EG 432-1 with the sRGB
#: curve, Adobe RGB (1998) version 2005-05, ISO 22028-2 (ROMM), ITU-R BT.2020-2.
COLOR_SPACES: dict[str, ColorSpace] = {
    space.name: space
    for space in (
        ColorSpace(
            name="srgb",
            description="sRGB",
            primaries=((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
            white=D65,
            curve=_SRGB_CURVE,
        ),
        ColorSpace(
            name="display-p3",
            description="Display P3",
            primaries=((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
            white=D65,
            curve=_SRGB_CURVE,
        ),
        ColorSpace(
            name="adobe-rgb",
            description="Compatible with Adobe RGB (1998)",
            primaries=((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)),
            white=D65,
            curve=TransferCurve(gamma=563 / 256),
        ),
        ColorSpace(
            name="prophoto",
            description="ProPhoto RGB (ROMM)",
            primaries=((0.734699, 0.265301), (0.159597, 0.840403), (0.036598, 0.000105)),
            white=D50,
            curve=TransferCurve(gamma=1.8, foot=1 / 16, threshold=1 / 32),
        ),
        ColorSpace(
            name="rec2020",
            description="Rec. ITU-R BT.2020",
            primaries=((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
            white=D65,
            curve=TransferCurve(
                gamma=1 / 0.45,
                slope=1 / 1.09929682680944,
                offset=0.09929682680944 / 1.09929682680944,
                foot=1 / 4.5,
                threshold=4.5 * 0.018053968510807,
            ),
        ),
    )
}


def white_xyz(xy: tuple[float, float]) -> Matrix:
    """Return the XYZ of a chromaticity at Y = 1, shape (3,)."""
    x, y = xy
    return np.array([x / y, 1.0, (1 - x - y) / y])


def adapt_white(source: tuple[float, float], target: tuple[float, float]) -> Matrix:
    """Return the XYZ matrix that carries one white to another (Bradford).

    Parameters
    ----------
    source, target : (x, y)
        Chromaticities of the two whites.

    Returns
    -------
    ndarray, shape (3, 3), float64
        ``adapt_white(s, t) @ white_xyz(s)`` is ``white_xyz(t)``.

    References
    ----------
    ICC.1:2010, Annex E; Lam, "Metamerism and colour constancy", Bradford 1985.
    """
    gains = (_BRADFORD @ white_xyz(target)) / (_BRADFORD @ white_xyz(source))
    return np.asarray(np.linalg.solve(_BRADFORD, gains[:, None] * _BRADFORD))


def between_spaces(source: ColorSpace, target: ColorSpace) -> Matrix:
    """Return linear RGB of one space to that of another, white to white, shape (3, 3)."""
    to_xyz = adapt_white(source.white, target.white) @ source.rgb_to_xyz
    return np.asarray(np.linalg.solve(target.rgb_to_xyz, to_xyz))


def color_temperature(xy: tuple[float, float]) -> float:
    """Return the correlated color temperature of a chromaticity [K].

    References
    ----------
    McCamy, "Correlated color temperature as an explicit function of chromaticity
    coordinates", Color Research and Application 17, 1992. Held to 2000..25000 K.

    Examples
    --------
    >>> round(color_temperature(D65))
    6505
    """
    n = (xy[0] - 0.3320) / (0.1858 - xy[1])
    return float(np.clip(449 * n**3 + 3525 * n**2 + 6823.3 * n + 5520.33, 2000, 25000))


def interpolate_matrix(matrices: Sequence[ColorMatrix], temperature: float) -> Matrix:
    """Return XYZ to camera RGB at a color temperature.

    Parameters
    ----------
    matrices : sequence of ColorMatrix
        One or two.
    temperature : float
        Correlated color temperature of the scene's light [K].

    Returns
    -------
    ndarray, shape (3, 3), float64
        The one matrix there is, or the two mixed in proportion to the inverse
        temperature; beyond the two illuminants the nearer one.

    References
    ----------
    Adobe DNG specification 1.7, chapter 6, "Color Temperature Interpolation".
    """
    known = [m for m in matrices if m.illuminant in _TEMPERATURES]
    if len(known) < 2:
        return np.asarray((known or list(matrices))[0].matrix, np.float64)
    warm, cold = sorted(known[:2], key=lambda m: _TEMPERATURES[m.illuminant])
    low, high = _TEMPERATURES[warm.illuminant], _TEMPERATURES[cold.illuminant]
    if low == high:
        return np.asarray(warm.matrix, np.float64)
    share = float(np.clip((1 / temperature - 1 / high) / (1 / low - 1 / high), 0, 1))
    return share * np.asarray(warm.matrix) + (1 - share) * np.asarray(cold.matrix)


def neutral_to_xy(matrices: Sequence[ColorMatrix], neutral: Matrix) -> tuple[float, float]:
    """Return the chromaticity of the light under which white has the camera RGB ``neutral``.

    The matrix depends on the light and the light on the matrix, so they are
    found in turn, beginning at D50.

    Parameters
    ----------
    matrices : sequence of ColorMatrix
        One or two.
    neutral : ndarray, shape (3,)
        Camera RGB of white, > 0.

    Returns
    -------
    (x, y)
        Chromaticity. D50 where the matrices give none that light can have (a balance
        far from any light, as gains of 1, 1, 1 would be).

    References
    ----------
    Adobe DNG specification 1.7, chapter 6, "Translating Camera Neutral
    Coordinates to White Balance xy Coordinates".
    """
    xy = D50
    for _ in range(30):
        xyz = np.linalg.solve(interpolate_matrix(matrices, color_temperature(xy)), neutral)
        total = float(xyz.sum())
        found = (float(xyz[0]) / total, float(xyz[1]) / total) if total > 0 else (0.0, 0.0)
        if not (0.2 < found[0] < 0.7 and 0.15 < found[1] < 0.6):
            return D50
        if abs(found[0] - xy[0]) + abs(found[1] - xy[1]) < 1e-7:
            return found
        # Half the way: two far-apart matrices can make the full step swing for ever.
        xy = ((found[0] + xy[0]) / 2, (found[1] + xy[1]) / 2)
    return xy


def xy_to_neutral(matrices: Sequence[ColorMatrix], xy: tuple[float, float]) -> Matrix:
    """Return the camera RGB of white under a light, green = 1, shape (3,)."""
    neutral = interpolate_matrix(matrices, color_temperature(xy)) @ white_xyz(xy)
    return np.asarray(neutral / neutral[1])


def usable_matrices(matrices: Sequence[ColorMatrix]) -> tuple[ColorMatrix, ...]:
    """Keep the matrices that can be inverted and see daylight as positive in every channel."""
    return tuple(
        m
        for m in matrices
        if np.isfinite(m.matrix).all()
        and abs(np.linalg.det(m.matrix)) > 1e-6
        and (np.asarray(m.matrix) @ white_xyz(D65) > 0).all()
    )


def camera_to_rgb(
    matrices: Sequence[ColorMatrix], neutral: Matrix, space: ColorSpace
) -> NDArray[np.float32]:
    """Return white-balanced camera RGB to linear RGB of an output space.

    Parameters
    ----------
    matrices : sequence of ColorMatrix
        XYZ to camera RGB, none, one or two. Without one that is usable, the
        balanced camera RGB is taken for linear sRGB.
    neutral : ndarray, shape (3,)
        Camera RGB of white, by which the balance divided.
    space : ColorSpace
        Where to.

    Returns
    -------
    ndarray, shape (3, 3), float32
        Rows sum to 1, so a neutral stays neutral exactly: (1, 1, 1) -> (1, 1, 1).
    """
    usable = usable_matrices(matrices)
    if usable:
        white = neutral_to_xy(usable, neutral)
        xyz_to_camera = interpolate_matrix(usable, color_temperature(white))
        to_xyz = np.linalg.inv(xyz_to_camera) * neutral
    else:
        white, to_xyz = D65, COLOR_SPACES["srgb"].rgb_to_xyz
    matrix = np.linalg.solve(space.rgb_to_xyz, adapt_white(white, space.white) @ to_xyz)
    sums = matrix.sum(axis=1, keepdims=True)
    return np.asarray(matrix / sums, np.float32)
