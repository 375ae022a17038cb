"""Read: the picture that a camera put into its raw file to be looked at."""

from __future__ import annotations

import os
from pathlib import Path

from nightfix.errors import RawReadError
from nightfix.read.decoder import DecoderError, extract_preview


def read_preview(path: str | os.PathLike[str]) -> bytes:
    """Read the largest JPEG preview of a camera file.

    Parameters
    ----------
    path : str or path-like
        A camera RAW file.

    Returns
    -------
    bytes
        The JPEG as the file has it; b"" if there is none.

    Raises
    ------
    RawReadError
        If there is no such file, it cannot be read, or LibRaw crashes on it.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return extract_preview(file)
    except FileNotFoundError as error:
        raise RawReadError(path, "no such file", "check the name and the folder") from error
    except (OSError, DecoderError) as error:
        raise RawReadError(path, getattr(error, "strerror", None) or str(error)) from error
