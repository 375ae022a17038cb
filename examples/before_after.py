"""Put the amplified and the restored example one above the other, as shown in the README.

Both are the whole photo, at the same size, amplified by the same ratio and developed alike.

python examples/before_after.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np

import nightfix
from nightfix.condition import ceiling

HERE = Path(__file__).parent


def main() -> None:
    """Restore the example and write ``night_street.jpg`` beside it."""
    raw = nightfix.read_raw(HERE / "night_street.dng")
    conditioning = nightfix.condition_raw(raw)
    ratio = np.float32(conditioning.amplification.ratio)
    restored = nightfix.Restorer().restore(raw, conditioning)
    highest = ceiling(raw, float(ratio), nightfix.Settings())
    amplified = replace(raw, mosaic=np.minimum(raw.mosaic * ratio, np.float32(highest)))
    pictures = [nightfix.develop_raw(amplified), nightfix.develop_raw(restored)]
    between = np.ones((8, pictures[0].shape[1], 3), np.float32)
    joined = np.concatenate([pictures[0], between, pictures[1]])
    iio.imwrite(HERE / "night_street.jpg", (joined * 255 + 0.5).astype(np.uint8), quality=75)


if __name__ == "__main__":
    main()
