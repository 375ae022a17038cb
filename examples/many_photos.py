"""Restore the photos of a folder tree with one network; what fails is told at the end.

python examples/many_photos.py card/ restored/
"""

from __future__ import annotations

import sys

import nightfix


def main(card: str, output: str) -> None:
    """Mirror the tree of ``card`` below ``output``; a second run does what is left."""
    options = nightfix.EnhanceOptions(output=output, settings=nightfix.Settings(steps=1))
    found = nightfix.find_photos([card], recursive=True, output=options.output)
    failed = []
    for outcome in nightfix.enhance_many(found.photos, options, restorer=nightfix.Restorer()):
        if outcome.error is not None:
            failed.append(outcome.error)
        elif outcome.result is not None:
            print("there already" if outcome.result.skipped else "written", *outcome.result.outputs)
    for error in failed:
        print(f"{error.message} ({error.hint})")


if __name__ == "__main__":
    main(*sys.argv[1:])
