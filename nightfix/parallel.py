"""Shared: the processor's cores for work in parts, beside torch's own threads. Serves all rooms."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Part = TypeVar("_Part")
_Done = TypeVar("_Done")

#: More threads than this gain nothing: memory is busy by then.
_MOST_THREADS = 8


def thread_count() -> int:
    """Return how many threads to use: the cores this process may run on, at most eight."""
    affinity = getattr(os, "sched_getaffinity", None)
    return min(len(affinity(0)) if affinity else os.cpu_count() or 1, _MOST_THREADS)


def in_parallel(work: Callable[[_Part], _Done], parts: Iterable[_Part]) -> Iterator[_Done]:
    """Apply ``work`` to parts on several threads, and yield what comes of them in order.

    Few parts are under way at a time, so the memory of those that wait is not needed.
    ``work`` gains where it leaves Python's lock, as NumPy and the codecs do on large arrays.

    Raises
    ------
    BaseException
        What ``work`` raised, at its part's turn; parts that had not begun are left out.

    Examples
    --------
    >>> list(in_parallel(abs, range(-3, 3)))
    [3, 2, 1, 0, 1, 2]
    """
    threads = thread_count()
    waiting: deque[Future[_Done]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(work, part))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
