"""Restore one photo to files, and say how it was done.

python examples/one_photo.py photo.ARW
"""

from __future__ import annotations

import sys

import nightfix


def main(path: str) -> None:
    """Write a TIFF and a DNG beside the photo."""
    options = nightfix.EnhanceOptions(formats=("tiff", "dng"), settings=nightfix.Settings(steps=1))
    result = nightfix.enhance(path, options, announce=print)
    if result.skipped:
        print("done already:", *result.outputs)
    elif result.conditioning is not None:
        print(f"ratio {result.conditioning.amplification.ratio:.1f} in {result.seconds:.1f} s:")
        print(*result.outputs, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1])
