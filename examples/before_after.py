"""Put the amplified and the restored example side by side, as shown in the README.

python examples/before_after.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np

import nightfix

HERE = Path(__file__).parent

#: The exposure the scene was rendered for, over the one it was photographed with.
RATIO = 30.0


def main() -> None:
    """Restore the example and write ``night_street.jpg`` beside it."""
    raw = nightfix.read_raw(HERE / "night_street.dng")
    conditioning = nightfix.condition_raw(raw, ratio=RATIO)
    restored = nightfix.Restorer().restore(raw, conditioning)
    amplified = replace(raw, mosaic=np.minimum(raw.mosaic * np.float32(RATIO), 8))
    before, after = nightfix.develop_raw(amplified), nightfix.develop_raw(restored)
    middle = before.shape[1] // 2
    picture = np.concatenate([before[:, :middle], after[:, middle:]], axis=1)
    picture[:, middle - 1 : middle + 1] = 1
    iio.imwrite(HERE / "night_street.jpg", (picture * 255 + 0.5).astype(np.uint8), quality=88)


if __name__ == "__main__":
    main()
