"""Restore samples in memory, without a file: here a gray ramp that this script makes noisy.

python examples/arrays.py
"""

from __future__ import annotations

import numpy as np

import nightfix

#: A 14-bit sensor: levels [DN], and noise a, b of variance = a*x + b in units of white.
BLACK, WHITE, NOISE = 512, 16383, (4e-4, 4e-7)
RATIO = 16.0


def main() -> None:
    """Print how far captured and restored samples are from the truth."""
    rng = np.random.default_rng(1)
    scene = np.tile(np.linspace(0.1, 0.6, 256, dtype=np.float32), (192, 1))
    light = scene / RATIO
    noisy = NOISE[0] * rng.poisson(light / NOISE[0]) + NOISE[1] ** 0.5 * rng.normal(
        size=light.shape
    )
    samples = np.rint(BLACK + noisy * (WHITE - BLACK)).astype(np.uint16)

    raw = nightfix.raw_from_array(
        samples, cfa_pattern="RGGB", black_level=BLACK, white_level=WHITE, noise=NOISE
    )
    restorer = nightfix.Restorer()
    restored = restorer.restore(
        raw,
        nightfix.condition_raw(raw, nightfix.ExposureTarget(ratio=RATIO)),
        nightfix.Settings(steps=1),
    )
    rgb = nightfix.develop_raw(restored)

    for name, mosaic in (("captured", raw.mosaic * RATIO), ("restored", restored.mosaic)):
        print(f"{name}: mean error {np.abs(mosaic - scene).mean():.4f}")
    print(f"developed: {rgb.shape}, {rgb.dtype}")


if __name__ == "__main__":
    main()
