"""NightFix for Lightroom Classic: as "Edit In" editor, and after an export of originals.

Lightroom hands over files:

- After an export with *Original* format: RAW files. Each gets a DNG beside it.
- From *Edit In*: a TIFF that Lightroom has just made of a RAW, such as ``IMG_1-Edit.tif``. The
  RAW beside it (``IMG_1.ARW``) is restored, and takes the TIFF's place: Lightroom
  shows it, stacked with the photo. What Lightroom had developed into that TIFF is gone by that.

Options of NightFix come from its configuration file (``nightfix config path``). What was done
and what failed stands in ``nightfix-lightroom.log`` in your home folder.

    python lightroom_edit_in.py FILE...
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

#: Where commands are that a program started from the dock or the start menu does not find.
PLACES = ("~/.local/bin", "/opt/homebrew/bin", "/usr/local/bin")

PICTURES = {".tif", ".tiff"}
SIDECARS = {".xmp", ".jpg", ".jpeg", ".psd", ".png", ".avif", ".heic", ".mov", ".mp4"}


def enhance(photo: Path, *options: str) -> list[Path]:
    """Restore a photo and return its results."""
    places = os.pathsep.join([os.environ.get("PATH", ""), *map(os.path.expanduser, PLACES)])
    command = shutil.which("nightfix", path=places)
    if command is None:
        raise RuntimeError("the command nightfix was not found")
    done = subprocess.run(
        [command, "enhance", str(photo), "--quiet", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return [Path(line) for line in done.stdout.splitlines()]


def raw_of(picture: Path) -> Path:
    """Return the RAW that a picture such as ``IMG_1-Edit.tif`` was made of."""
    stem = picture.stem
    beside = [
        path
        for path in picture.parent.iterdir()
        if path.is_file()
        and not path.name.startswith(".")
        and path.suffix.lower() not in PICTURES | SIDECARS
        # Not IMG_1 of IMG_12-Edit: what follows the photo's name begins with no letter or digit.
        and stem.startswith(path.stem)
        and not stem[len(path.stem) :][:1].isalnum()
        and path.stem != stem
    ]
    if not beside:
        raise RuntimeError(f"{picture}: no RAW of that name beside it")
    return max(beside, key=lambda path: len(path.stem))


def edit(path: Path) -> Path:
    """Do what Lightroom wants with a file, and return the result."""
    if path.suffix.lower() not in PICTURES:
        enhance(path, "--format", "dng")
        return path.with_name(f"{path.stem}_nightfix.dng")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".nightfix-") as folder:
        (result,) = enhance(raw_of(path), "--format", "tiff", "--output", folder)
        result.replace(path)  # on the same disk: there is never half a picture
    return path


def main() -> int:
    """Edit all files that were handed over; return how many failed."""
    failed = 0
    with (Path.home() / "nightfix-lightroom.log").open("a", encoding="utf-8") as log:
        for name in sys.argv[1:]:
            try:
                said = f"done: {edit(Path(name))}"
            except (RuntimeError, OSError) as error:
                failed, said = failed + 1, f"failed: {name}\n{error}"
            print(said, file=log, flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
