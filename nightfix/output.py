"""Write: results appear whole or not at all, and never over something unasked."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nightfix.errors import OutputExistsError, OutputWriteError


@contextmanager
def replacing(path: Path, *, overwrite: bool, source: Path | None = None) -> Iterator[Path]:
    """Give a temporary name beside ``path`` that takes its place when all went well.

    A file half written, by a full disk or an interrupt, never bears the name of
    a result. The temporary file is hidden, in the same folder (a rename must not
    cross file systems), has the suffix of ``path``, and is removed on any failure.

    Parameters
    ----------
    path : Path
        Name of the result. Its folder is made where it is missing.
    overwrite : bool
        Whether a result of that name is replaced; until then it stays as it is.
    source : Path or None
        The photo that is being restored: never written to, whatever ``overwrite`` says.

    Yields
    ------
    Path
        The temporary name; the body of the ``with`` creates the file.

    Raises
    ------
    OutputExistsError
        If ``path`` exists and ``overwrite`` is false: looked for at first, and
        again before the rename.
    OutputWriteError
        If the operating system refuses (no space, no permission, a folder of
        that name), with its words; or if ``path`` is ``source``.
    """
    temporary = path.with_name(f".nightfix-{uuid.uuid4().hex}{path.suffix}")
    try:
        check_target(path, overwrite=overwrite, source=source)
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        check_target(path, overwrite=overwrite, source=source)
        temporary.replace(path)
    except OSError as error:
        raise OutputWriteError(path, error.strerror or str(error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_target(path: Path, *, overwrite: bool, source: Path | None = None) -> None:
    """Raise what :func:`replacing` would, before any work is done.

    Raises
    ------
    OutputExistsError, OutputWriteError
        If ``path`` is there and must stay, is a folder, or is ``source``.
    """
    if path.is_dir():
        raise OutputWriteError(path, "is a folder")
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise OutputWriteError(path, "is the photo itself, which is never written to")
    if not overwrite and os.path.lexists(path):
        raise OutputExistsError(path)
