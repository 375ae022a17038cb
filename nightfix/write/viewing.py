"""Write: 8-bit pictures for viewing: previews and comparisons."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from nightfix.write.atomic import replacing

#: Endings of the formats that are written.
VIEW_SUFFIXES = (".png", ".jpg", ".jpeg")

#: What marks a picture as ours, to be replaced by the next one.
_MARK = "NightFix picture"


def write_view(
    path: str | os.PathLike[str],
    rgb: NDArray[np.float32],
    *,
    overwrite: bool = False,
    source: str | os.PathLike[str] | None = None,
) -> None:
    """Write a picture as PNG or JPEG, by its name; one of ours that is there is replaced.

    Parameters
    ----------
    path : str or path-like
        ``.png``, ``.jpg`` or ``.jpeg``.
    rgb : ndarray, shape (H, W, 3), float32
        sRGB values in [0, 1].
    overwrite : bool
        Replace any file of that name.
    source : str, path-like or None
        A file that is never written to.

    Raises
    ------
    OutputError
        If there is a file of that name which is not ours, or it cannot be written.
    ValueError
        If the name is that of another format.
    """
    path, source = Path(path), None if source is None else Path(source)
    kind = path.suffix.lower()
    if kind not in VIEW_SUFFIXES:
        raise ValueError(f"{path.name} ends in none of {', '.join(VIEW_SUFFIXES)}")
    image = Image.fromarray((np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8))
    with replacing(path, overwrite=overwrite or _is_ours(path), source=source) as temporary:
        if kind == ".png":
            text = PngImagePlugin.PngInfo()
            text.add_text("Software", _MARK)
            image.save(temporary, pnginfo=text, compress_level=4)
        else:
            image.save(temporary, quality=92, subsampling=0, comment=_MARK)


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _MARK.encode() in file.read(4096)
