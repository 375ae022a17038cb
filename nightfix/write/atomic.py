"""Write: write results completely or not at all, and never overwrite a file unasked."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nightfix.errors import OutputExistsError, OutputWriteError


@contextmanager
def replacing(path: Path, *, overwrite: bool, source: Path | None = None) -> Iterator[Path]:
    """Give a temporary name beside ``path``, renamed to it when all went well.

    A file half written, by a full disk or an interrupt, never bears the name of
    a result. The temporary file is hidden, in the same folder (a rename must not
    cross file systems), has the suffix of ``path``, and is removed on any failure. One
    that a killed process left behind is removed by the next that writes there.

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
    temporary = path.with_name(f"{_PREFIX}{uuid.uuid4().hex}{path.suffix}")
    try:
        check_target(path, overwrite=overwrite, source=source)
        make_folder(path)
        _remove_abandoned(path.parent)
        with _claimed(temporary):
            yield temporary
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
            check_target(path, overwrite=overwrite, source=source)
            _put_in_place(temporary, path, overwrite=overwrite)
    except OSError as error:
        raise OutputWriteError(path, error.strerror or str(error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


#: How the names of unfinished results begin.
_PREFIX = ".nightfix-"

#: A younger file than the first may not be locked yet; where there are no locks, an older one
#: than the second counts as abandoned [s].
_TOO_YOUNG, _ABANDONED_AFTER = 2, 24 * 3600

#: How long a folder that was searched for them is not searched again [s]: to list a folder of
#: ten thousand results takes as long as to write one.
_SEARCHED_FOR = 600

#: When each folder is to be searched again [s, of ``time.monotonic``].
_search_again: dict[Path, float] = {}


@contextmanager
def _claimed(temporary: Path) -> Iterator[None]:
    """Create a temporary file and hold a lock on it, which ends with this process at the latest."""
    with temporary.open("xb") as file:
        _lock(file.fileno())
        if os.name == "nt":  # where an open file cannot be renamed
            file.close()
        yield


def _lock(descriptor: int) -> bool | None:
    """Lock a file; False if another process has it, None where there are no locks."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def _remove_abandoned(folder: Path) -> None:
    """Remove what processes that were killed left half-written in a folder."""
    if time.monotonic() < _search_again.get(folder, 0):
        return
    _search_again[folder] = time.monotonic() + _SEARCHED_FOR
    for left in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError), left.open("rb") as file:
            age = time.time() - os.fstat(file.fileno()).st_mtime
            locked = age > _TOO_YOUNG and _lock(file.fileno())
            if locked or (locked is None and age > _ABANDONED_AFTER):
                left.unlink()


def _put_in_place(temporary: Path, path: Path, *, overwrite: bool) -> None:
    """Give a finished file its name; never over another one unless that is asked for.

    A link, unlike a rename, fails where another process has just put its own result. File
    systems without links get a rename; those that do not rename over a file (some network
    shares) have the old result moved aside until the new one is there.
    """
    if not overwrite:
        try:
            os.link(temporary, path)
        except FileExistsError as error:
            raise OutputExistsError(path) from error
        except OSError:
            temporary.replace(path)
        return
    try:
        temporary.replace(path)
    except OSError:
        if not path.is_file():
            raise
        aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.old")
        path.rename(aside)
        try:
            temporary.rename(path)
        except OSError:
            aside.rename(path)
            raise
        aside.unlink()


def make_folder(path: Path) -> None:
    """Make the folder of a result where it is missing, and see whether it can be written to.

    Raises
    ------
    OutputWriteError
        If it cannot be.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputWriteError(path.parent, error.strerror or str(error)) from error
    if not os.access(path.parent, os.W_OK):
        raise OutputWriteError(path.parent, "cannot be written to")


def check_target(
    path: Path, *, overwrite: bool, source: Path | None = None, ours: bool = False
) -> None:
    """Raise what :func:`replacing` would, before any work is done.

    ``ours`` tells the error that a result of NightFix is there, of other settings.

    Raises
    ------
    OutputExistsError, OutputWriteError
        If ``path`` is there and must stay, is a folder, or is ``source``.
    """
    if path.is_dir():
        raise OutputWriteError(path, "is a folder")
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise OutputWriteError(path, "is the photo itself, which is never overwritten")
    if not overwrite and os.path.lexists(path):
        raise OutputExistsError(path, ours=ours)
