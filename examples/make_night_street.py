"""Make ``night_street.dng``: a street at night, drawn here and photographed too dark.

The street is rendered in linear light, then taken by hand at 1/30 s where 1 s would
have been right: the shake blurs it, lamps saturate, and the noise of a full-frame
sensor at ISO 3200 covers it. So the file shows what NightFix is for, with a truth that
``--truth`` saves beside it.

    python examples/make_night_street.py --output examples/night_street.dng
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from night_street.view import render
from numpy.typing import NDArray

from nightfix.develop import SRGB_TO_XYZ
from nightfix.read import (
    ColorMatrix,
    ExifTag,
    Exposure,
    Metadata,
    RawImage,
    Rectangle,
    pack_bayer,
    unpack_bayer,
)
from nightfix.training import SensorNoise, add_noise, blur, random_shake
from nightfix.write import RATIONAL, SHORT, UNDEFINED, ascii_tag, rational_tag, tag, write_dng

Array = NDArray[np.float32]

HEIGHT, WIDTH = 800, 1200
BLACK, WHITE = 512, 16383

#: Target exposure over captured exposure: 1 s over 1/30 s.
RATIO = 30.0

#: Length of the shake's path, and side of the kernel that holds it [px].
SHAKE, KERNEL = 9.0, 15

#: Of the Sony ILCE-7SM2, XYZ to camera under D65, as published in DNG files of it.
COLOR_MATRIX = np.array(
    [[0.6660, -0.1918, -0.0471], [-0.4613, 1.2398, 0.2485], [-0.0649, 0.1433, 0.6366]]
)

#: Chromaticity x, y of a black body at 3400 K (street lamps), and of D65.
STREET_LIGHT, DAYLIGHT = (0.4110, 0.3936), (0.3127, 0.3290)

#: Cone response of Bradford's chromatic adaptation.
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)

#: The same camera at ISO 3200: gain, Tukey-lambda read noise, rows [14-bit DN]. Measured
#: by Feng et al., "Learnability Enhancement for Low-light Raw Denoising", ACM MM 2022.
SENSOR = SensorNoise(
    shot=3.06016 / (WHITE - BLACK),
    read=3.9194 / (WHITE - BLACK),
    tail=-0.0349,
    row=0.4454 / (WHITE - BLACK),
    quantization=1 / (WHITE - BLACK),
    black_error=0.0214 / (WHITE - BLACK),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A mosaic as captured, and the light it should have been.

    Parameters
    ----------
    captured : ndarray, shape (H, W), float32
        RGGB, black-subtracted, 1.0 = white level; negative values are kept.
    truth : ndarray, shape (H, W), float32
        The sharp scene at the target exposure without noise; lamps lie above 1.
    """

    captured: Array
    truth: Array


def white_point(xy: tuple[float, float]) -> NDArray[np.float64]:
    """Return XYZ of a chromaticity at Y = 1."""
    x, y = xy
    return np.array([x / y, 1.0, (1 - x - y) / y])


def neutral() -> NDArray[np.float64]:
    """Return camera RGB of white under the street's light, green = 1."""
    camera = COLOR_MATRIX @ white_point(STREET_LIGHT)
    return np.asarray(camera / camera[1])


def rgb2cam() -> NDArray[np.float64]:
    """Return the matrix from linear sRGB, as adapted eyes see the street, to camera RGB.

    White becomes :func:`neutral`: the white balance takes the adaptation back.
    """
    cones = (BRADFORD @ white_point(STREET_LIGHT)) / (BRADFORD @ white_point(DAYLIGHT))
    adapt = np.linalg.inv(BRADFORD) @ np.diag(cones) @ BRADFORD
    matrix = COLOR_MATRIX @ adapt @ np.array(SRGB_TO_XYZ)
    return np.asarray(matrix / (matrix @ np.ones(3))[1])


def mosaic_of(camera: Array) -> Array:
    """Sample camera RGB, shape (3, H, W), by an RGGB pattern."""
    mosaic: Array = camera[1].copy()
    mosaic[0::2, 0::2] = camera[0, 0::2, 0::2]
    mosaic[1::2, 1::2] = camera[2, 1::2, 1::2]
    return mosaic


def photograph(height: int, width: int, seed: int) -> Shot:
    """Draw the street and take it by hand, too dark.

    Parameters
    ----------
    height, width : int
        Size of the mosaic, even [px].
    seed : int
        Decides scene, shake and noise.
    """
    generator = torch.Generator().manual_seed(seed)
    margin = KERNEL // 2
    street = render(height, width, margin=margin, seed=seed)
    camera = np.einsum("dc,hwc->dhw", rgb2cam(), street).astype(np.float32).clip(0)
    kernel = random_shake(SHAKE * width / WIDTH, generator).kernel(KERNEL, 1.0)
    shaken = blur(torch.from_numpy(camera), kernel).numpy()
    light = torch.from_numpy(pack_bayer(mosaic_of(shaken) / np.float32(RATIO), "RGGB"))
    captured = add_noise(light, SENSOR, generator).numpy()
    return Shot(
        captured=unpack_bayer(captured, "RGGB", (height, width)),
        truth=mosaic_of(camera[:, margin : margin + height, margin : margin + width]),
    )


def exif_tags() -> tuple[ExifTag, ...]:
    """Return what a camera writes about an exposure."""
    return (
        rational_tag(33434, RATIONAL, [1 / 30]),  # ExposureTime
        rational_tag(33437, RATIONAL, [2.8]),  # FNumber
        tag(34850, SHORT, 1),  # ExposureProgram: manual
        tag(34855, SHORT, 3200),  # PhotographicSensitivity
        tag(36864, UNDEFINED, *b"0231"),  # ExifVersion
        ascii_tag(36867, "2025:11:14 21:42:07"),  # DateTimeOriginal
        ascii_tag(36868, "2025:11:14 21:42:07"),  # DateTimeDigitized
        tag(37385, SHORT, 16),  # Flash: off
        rational_tag(37386, RATIONAL, [35]),  # FocalLength
        tag(41989, SHORT, 35),  # FocalLengthIn35mmFilm
        rational_tag(42034, RATIONAL, [35, 35, 1.8, 1.8]),  # LensSpecification
        ascii_tag(42036, "NightFix 35mm F1.8"),  # LensModel
    )


def metadata() -> Metadata:
    """Return what the camera says about itself and the capture."""
    return Metadata(
        make="NightFix",
        model="Night Street",
        unique_camera_model="NightFix Night Street",
        lens="NightFix 35mm F1.8",
        exposure=Exposure(exposure_time=1 / 30, iso_speed=3200.0, f_number=2.8, focal_length=35.0),
        captured="2025:11:14 21:42:07",
        noise_profile=((float(SENSOR.shot), float(SENSOR.variance_at_black)),),
        image=(
            ascii_tag(270, "Rendered by examples/make_night_street.py of NightFix"),
            ascii_tag(306, "2025:11:14 21:42:07"),  # DateTime
        ),
        exif=exif_tags(),
        gps=(),
    )


def raw_image(mosaic: Array) -> RawImage:
    """Return a captured mosaic with all that a camera knows of it."""
    height, width = mosaic.shape
    return RawImage(
        path=Path("NST_3200.raw"),
        mosaic=mosaic,
        cfa_pattern="RGGB",
        black_level=np.full((2, 2), BLACK, np.float32),
        white_level=float(WHITE),
        bit_depth=14,
        as_shot_neutral=neutral(),
        color_matrices=(ColorMatrix(illuminant=21, matrix=COLOR_MATRIX),),
        baseline_exposure=0.0,
        crop=Rectangle(0, 0, height, width),
        orientation=1,
        metadata=metadata(),
    )


def main() -> None:
    """Make the files that the command line asks for."""
    parser = argparse.ArgumentParser(description="Draw a night street and photograph it too dark.")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("night_street.dng"))
    parser.add_argument("--truth", type=Path, help="save the sharp, noise-free mosaic as .npy")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    shot = photograph(HEIGHT, WIDTH, arguments.seed)
    write_dng(arguments.output, raw_image(shot.captured), restored=False, overwrite=True)
    if arguments.truth is not None:
        np.save(arguments.truth, shot.truth)


if __name__ == "__main__":
    main()
