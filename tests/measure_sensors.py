"""Measure what restoring gains and loses by kind of sensor: the table in nightfix/README.md.

    python tests/measure_sensors.py PHOTO... --ratio 8,100

Each photograph becomes linear camera light, then a dark, noisy file of each kind that the
program itself reads. Prints the PSNR against that light, in linear camera RGB and in reference
units, of the capture only amplified and of the restored one, as a mean over all photographs;
of files with three colors a pixel also with each color restored as a monochrome photo.
"""

from __future__ import annotations

import argparse
import collections
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from dng_files import DAYLIGHT_MATRIX, LINEAR_RAW, DngSpec, write_test_dng
from PIL import Image
from scipy.ndimage import affine_transform, convolve, median_filter

from nightfix import Restorer, Settings, condition_raw, read_raw
from nightfix.condition import ExposureTarget
from nightfix.develop.develop import demosaic_camera
from nightfix.read.reader import RawImage, has_three_colors
from nightfix.training import unprocessing
from nightfix.training.sources import read_photograph

NEUTRAL = (0.5, 1.0, 0.625)
A, B = 4e-4, 4e-7  # variance = A x + B, white = 1
SIDE, BORDER = 516, 8
X_TRANS = "GBGGRGRGRBGBGBGGRGGRGGBGBGBRGRGRGGBG"
QUAD = "RRGGRRGGGGBBGGBB"


def light_of(path: Path) -> np.ndarray:
    """Return camera light, (H, W, 3), of the middle of a photograph."""
    rgb = read_photograph(path).float() / 255
    top, left = ((max(0, side - SIDE) // 4) * 2 for side in rgb.shape[1:])
    rgb = unprocessing.linearize(rgb[:, top : top + SIDE, left : left + SIDE], torch.tensor(1.0))
    generator = torch.Generator().manual_seed(1)
    camera = torch.einsum("dc,chw->dhw", unprocessing.random_rgb2cam(generator), rgb).clamp(0, 1)
    camera = unprocessing.inverse_white_balance(camera, torch.tensor(NEUTRAL)).clamp(0, 1)
    return camera.permute(1, 2, 0).double().numpy()


def sampled(rgb: np.ndarray, letters: str) -> np.ndarray:
    """Take one color a site of a square pattern."""
    side = int(len(letters) ** 0.5)
    cell = np.array(["RGB".index(letter) for letter in letters]).reshape(side, side)
    height, width = rgb.shape[:2]
    sites = np.tile(cell, (height // side + 1, width // side + 1))[:height, :width]
    return np.take_along_axis(rgb, sites[..., None], 2)[..., 0]


def bilinear(mosaic: np.ndarray) -> np.ndarray:
    """Demosaic RGGB by means of neighbors."""
    planes, weights = [], np.array([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
    for color in np.eye(3):
        known = sampled(np.broadcast_to(color, (*mosaic.shape, 3)), "RGGB")
        mean = convolve(mosaic * known, weights) / convolve(known, weights)
        planes.append(np.where(known > 0, mosaic, mean))
    return np.stack(planes, -1)


def reduced(rgb: np.ndarray) -> np.ndarray:
    """Return the means of 2 x 2 samples."""
    return rgb.reshape(rgb.shape[0] // 2, 2, rgb.shape[1] // 2, 2, -1).mean((1, 3)).squeeze()


def downsized(rgb: np.ndarray) -> np.ndarray:
    """Shrink by 0.7, to even sides."""
    height, width = (int(0.35 * side) * 2 for side in rgb.shape[:2])
    planes = [Image.fromarray(np.float32(rgb[..., color])) for color in range(3)]
    return np.stack([p.resize((width, height), Image.Resampling.LANCZOS) for p in planes], -1)


def turned(rgb: np.ndarray) -> np.ndarray:
    """Turn by 0.7 degrees and move, as frames are that are merged, or a lens's correction does."""
    turn = np.array([[0.998, 0.012], [-0.012, 0.998]])
    planes = [
        affine_transform(rgb[..., color], turn, offset=(-1.3, 1.7), order=3, mode="reflect")
        for color in range(3)
    ]
    return np.stack(planes, -1)


def smoothed(rgb: np.ndarray) -> np.ndarray:
    """Take the median of color differences in 3 x 3 pixels, and then that of green."""
    green = median_filter(rgb[..., 1], footprint=[[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    red, blue = (green + median_filter(rgb[..., c] - rgb[..., 1], 3) for c in (0, 2))
    return np.stack([red, green, blue], -1)


def captures(light: np.ndarray, ratio: float) -> Iterator[tuple[str, RawImage, np.ndarray]]:
    """Yield kinds of captures with what they are to become, as RGB or as a mosaic."""
    rng = np.random.default_rng(3)

    def expose(scene: np.ndarray) -> np.ndarray:
        dark = scene / ratio
        return A * rng.poisson(dark / A) + rng.normal(0, B**0.5, dark.shape)

    def read(values: np.ndarray, bits: int = 14, **declared: object) -> RawImage:
        white, black = 2**bits - 1, 2 ** (bits - 4)
        samples = np.clip(np.rint(values * (white - black) + black), 0, white).astype(np.uint16)
        matrices = ((21, DAYLIGHT_MATRIX),)
        spec = DngSpec(samples, white=white, matrices=matrices, neutral=NEUTRAL, **declared)
        spec.black = (float(black),) * (samples.shape[2] if samples.ndim == 3 else 1)
        spec.black_repeat = (1, 1)
        with tempfile.TemporaryDirectory() as folder:
            return read_raw(write_test_dng(Path(folder) / "photo.dng", spec))

    mosaic = expose(sampled(light, "RGGB"))
    bayer = read(mosaic)
    yield "Bayer", bayer, light
    yield "Bayer, 10 bit", read(mosaic, bits=10), light
    gray = light.mean(-1)
    yield "monochrome", read(expose(gray), photometric=LINEAR_RAW), gray
    yield "X-Trans", read(expose(sampled(light, X_TRANS)), cfa_pattern=X_TRANS), light
    ours = demosaic_camera(bayer)
    for name, rgb in (("ours", ours), ("bilinear", bilinear(mosaic))):
        yield f"Linear DNG ({name})", read(rgb, photometric=LINEAR_RAW), light
    changed = {"reduced": reduced, "downsized": downsized, "turned": turned}
    for name, change in changed.items():
        yield f"RGB, {name}", read(change(ours), photometric=LINEAR_RAW), change(light)
    yield "RGB, smoothed", read(smoothed(ours), photometric=LINEAR_RAW), light
    four = sampled(light, QUAD)
    yield "quad-Bayer", read(expose(four), cfa_pattern=QUAD), reduced(four)


def restored_as_gray(raw: RawImage, ratio: float, restorer: Restorer, steps: int) -> np.ndarray:
    """Restore each of three colors as a monochrome photo."""
    planes = []
    for color in range(3):
        plane = np.ascontiguousarray(raw.mosaic[..., color])
        gray = replace(raw, mosaic=plane, cfa_pattern=None, origin="mosaic")
        told = condition_raw(gray, ExposureTarget(ratio=ratio), deblur=False)
        planes.append(restorer.restore(gray, told, Settings(steps=steps)).mosaic)
    return np.stack(planes, -1)


def psnr(seen: np.ndarray, truth: np.ndarray) -> float:
    """Compare within the border."""
    inner = slice(BORDER, -BORDER)
    error = (np.clip(seen, 0, 1) - truth)[inner, inner]
    return float(-10 * np.log10(np.mean(error**2)))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--ratio", default="8,100")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--kinds", default="", help="only those whose name contains this")
    args = parser.parse_args()
    restorer, found = Restorer(), collections.defaultdict(list)
    for path in args.photos:
        light = light_of(path)
        for ratio in map(float, args.ratio.split(",")):
            for kind, raw, truth in captures(light, ratio):
                if args.kinds not in kind:
                    continue
                told = condition_raw(raw, ExposureTarget(ratio=ratio))
                restored = restorer.restore(raw, told, Settings(steps=args.steps))
                flat = truth.ndim == 2
                seen = restored.mosaic if flat else demosaic_camera(restored)
                plain = raw.mosaic * ratio if flat else demosaic_camera(raw) * ratio
                figures = [psnr(plain, truth), psnr(seen, truth)]
                if has_three_colors(raw):
                    gray = restored_as_gray(raw, ratio, restorer, args.steps)
                    figures.append(psnr(gray, truth))
                found[kind, raw.origin, ratio].append(figures)
    for (kind, origin, ratio), all_figures in found.items():
        means = " ".join(f"{mean:.2f}" for mean in np.mean(all_figures, 0))
        print(
            f"{kind:24} {origin:10} x{ratio:<5g} amplified, restored, as gray: {means}"
            f"  n={len(all_figures)}"
        )


if __name__ == "__main__":
    main()
