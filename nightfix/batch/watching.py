"""Batch: photos that arrive in a folder, one after the other, when they are complete."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from nightfix.batch.sources import FoundPhotos, Photo
from nightfix.errors import NoPhotosError

#: Seconds between two scans; a file that did not change in between is complete.
INTERVAL = 2.0

#: How much longer than a scan the pause after it is at least, for large folders.
_REST = 5


def watch(
    scan: Callable[[], FoundPhotos],
    *,
    interval: float = INTERVAL,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[list[Photo]]:
    """Scan for new photos until interrupted.

    Parameters
    ----------
    scan : callable
        Finds the photos there are now.
    interval : float
        Seconds between two scans.
    sleep : callable
        Waits that long.

    Yields
    ------
    list of Photo
        Photos whose size and date are the same as in the scan before; each once, and again
        when it has changed. In the first scan also names that do not exist.
    """
    handled: dict[Path, tuple[int, int]] = {}
    before: dict[Path, tuple[int, int]] = {}
    first = True
    while True:
        now: dict[Path, tuple[int, int]] = {}
        ready = []
        started = time.monotonic()
        photos = scan().photos
        rest = max(interval, _REST * (time.monotonic() - started))
        for photo in photos:
            state = _state(photo)
            if state is None:
                ready += [photo] if first and not isinstance(photo.error, NoPhotosError) else []
                continue
            now[photo.path] = state
            if before.get(photo.path) == state != handled.get(photo.path):
                handled[photo.path] = state
                ready.append(photo)
        before, first = now, False
        if ready:
            yield ready
        else:
            sleep(rest)


def _state(photo: Photo) -> tuple[int, int] | None:
    """Return size and time of change; None if there is no such file, or it is empty yet."""
    if photo.error is not None:
        return None
    try:
        found = os.stat(photo.path)
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns) if found.st_size else None
