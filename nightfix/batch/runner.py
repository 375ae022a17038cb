"""Batch: many photos; one that fails does not stop the rest.

While the network runs on one photo, the results of the one before are written and the
next one is read, in this order and by one worker: so memory is that of two photos,
whatever their number.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nightfix.batch.engine import (
    Callbacks,
    Engine,
    Network,
    Outcome,
    Work,
    network_of,
    options_for,
)
from nightfix.batch.sources import Photo
from nightfix.errors import NightFixError, OutputClashError
from nightfix.pipeline import (
    EnhanceOptions,
    Prepared,
    Result,
    output_names,
    prepare,
    restore,
    write,
)
from nightfix.progress import say_nothing

if TYPE_CHECKING:
    from nightfix.restore import Restorer


def without_clashes(photos: Iterable[Photo], options: EnhanceOptions) -> list[Photo]:
    """Give an error to every photo whose result would overwrite that of an earlier one."""
    taken: dict[Path, Path] = {}
    checked = []
    for photo in photos:
        targets = output_names(photo.path, options_for(photo, options)).values()
        clash = next((target for target in targets if target in taken), None)
        if photo.error is None and clash is not None:
            checked.append(replace(photo, error=OutputClashError(photo.path, clash, taken[clash])))
            continue
        if photo.error is None:
            taken.update(dict.fromkeys(targets, photo.path))
        checked.append(photo)
    return checked


def enhance_many(
    photos: Iterable[Photo | str | os.PathLike[str]],
    options: EnhanceOptions,
    *,
    restorer: Restorer | None,
    weights: str | None = None,
    jobs: int = 1,
    engine: Engine | None = None,
    begin: Callable[[Path], None] = lambda path: None,
    announce: Callable[[str], None] = say_nothing,
    progress: Callable[[Path, int, int], None] = lambda path, done, total: None,
) -> Generator[Outcome, None, None]:
    """Enhance photos with one restorer, reading ahead and writing behind, or on an engine.

    Parameters
    ----------
    photos : iterable of Photo, str or path-like
        Camera RAW files, as :func:`nightfix.batch.sources.find_photos` finds them.
    options, announce
        As for :func:`nightfix.pipeline.photo.enhance`.
    restorer : Restorer or None
        None where nothing is to be restored, or nothing is left to be done.
    weights : str or None
        SHA-256 of the weights, where there is no restorer to tell it.
    jobs : int
        Photos that are read or written at once beside the network, >= 1; each more
        takes the memory of one more photo.
    engine : Engine or None
        Where the photos are worked on, instead of this process with ``restorer`` and ``jobs``.
        It stays open, for the next batch.
    begin : callable
        Called with the path of a photo when the network begins with it.
    progress : callable
        Called with the path of a photo, its tiles that are done, and its tiles in all.

    Yields
    ------
    Outcome
        One a photo, in order. Errors that the user can do something about are in it;
        any other is a bug and is raised. On an interrupt what is being written is
        finished and yielded before ``KeyboardInterrupt`` is raised.

    Raises
    ------
    NightFixError
        If the engine breaks down; what is finished is kept.
    """
    digest = restorer.info.sha256 if restorer else weights or ""
    work = Work(
        photos=(p if isinstance(p, Photo) else Photo(path=Path(p)) for p in photos),
        options=options,
        weights=digest,
        callbacks=Callbacks(begin=begin, announce=announce, progress=progress),
    )
    flow = (engine or Here(restorer, jobs)).flow(work)
    try:
        yield from flow.run()
    except KeyboardInterrupt:
        yield from flow.finish()
        raise
    finally:
        flow.close()


class Here:
    """The process itself as an :class:`nightfix.batch.engine.Engine`.

    ``restorer`` and ``jobs`` are those of :func:`enhance_many`.
    """

    def __init__(self, restorer: Restorer | None, jobs: int = 1) -> None:
        self.restorer, self.jobs = restorer, jobs

    def network(self) -> Network | None:
        """Return the facts of the restorer's network."""
        return network_of(self.restorer) if self.restorer else None

    def flow(self, work: Work) -> _Flow:
        """Begin a batch."""
        return _Flow(work, self.restorer, self.jobs)

    def close(self) -> None:
        """Hold nothing: the restorer is its maker's."""


class _Flow:
    """Photos on their way: read ahead, one in the network, written behind."""

    def __init__(self, work: Work, restorer: Restorer | None, jobs: int) -> None:
        self.work, self.restorer, self.jobs = work, restorer, jobs
        self.workers = ThreadPoolExecutor(jobs, "photo")
        self.ahead: deque[tuple[Photo, Future[Prepared | Result]]] = deque()
        self.behind: deque[tuple[Photo, Future[Result]]] = deque()

    def run(self) -> Iterator[Outcome]:
        """Yield what became of each photo."""
        self._read_ahead()
        while self.ahead:
            photo, reading = self.ahead.popleft()
            ended = self._network(photo, reading)
            room = 0 if isinstance(ended, Outcome) else self.jobs - 1
            while len(self.behind) > room:
                yield self._written()
            if isinstance(ended, Outcome):
                yield ended
            else:
                self.behind.append((photo, self.workers.submit(write, ended)))
            del reading, ended  # the writer owns their mosaics now
        yield from self.finish()

    def _network(self, photo: Photo, reading: Future[Prepared | Result]) -> Prepared | Outcome:
        """Restore a photo while the next one is read; an Outcome is the end of it."""
        try:
            prepared = reading.result()
            self._read_ahead()
            if isinstance(prepared, Result):
                return Outcome(path=photo.path, result=prepared)
            told = self.work.callbacks
            told.begin(photo.path)
            progress = partial(told.progress, photo.path)
            return restore(prepared, self.restorer, told.announce, progress)
        except NightFixError as error:
            self._read_ahead()
            return Outcome(path=photo.path, error=error)

    def finish(self) -> Iterator[Outcome]:
        """Stop reading and yield the results that are still being written."""
        for _, reading in self.ahead:
            reading.cancel()
        while self.behind:
            yield self._written()

    def close(self) -> None:
        """Wait for photos that are being read or written."""
        self.workers.shutdown(wait=True, cancel_futures=True)

    def _read_ahead(self) -> None:
        while len(self.ahead) < self.jobs:
            photo = next(self.work.photos, None)
            if photo is None:
                return
            self.ahead.append((photo, self.workers.submit(self._read, photo)))

    def _read(self, photo: Photo) -> Prepared | Result:
        if photo.error is not None:
            raise photo.error
        return prepare(photo.path, options_for(photo, self.work.options), self.work.weights)

    def _written(self) -> Outcome:
        photo, writing = self.behind[0]  # stays until it is written: an interrupt may come
        try:
            outcome = Outcome(path=photo.path, result=writing.result())
        except NightFixError as error:
            outcome = Outcome(path=photo.path, error=error)
        self.behind.popleft()
        return outcome
