"""Batch: many photos; one that fails does not stop the rest.

While the network runs on one photo, the results of the one before are written and the
next one is read, in this order and by one worker: so memory is that of two photos,
whatever their number.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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
from nightfix.progress import Progress, no_progress, say_nothing

if TYPE_CHECKING:
    from nightfix.restore import Restorer


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one photo of a batch: a ``result``, or the ``error`` that stopped it."""

    path: Path
    result: Result | None = None
    error: NightFixError | None = None


def options_for(photo: Photo, options: EnhanceOptions) -> EnhanceOptions:
    """Return the options of one photo: below the output folder, its own tree is mirrored."""
    if options.output is None:
        return options
    return replace(options, output=Path(options.output) / photo.folder)


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
    begin: Callable[[Path], None] = lambda path: None,
    announce: Callable[[str], None] = say_nothing,
    progress: Progress = no_progress,
) -> Iterator[Outcome]:
    """Enhance photos with one restorer, reading ahead and writing behind.

    Parameters
    ----------
    photos : iterable of Photo, str or path-like
        Camera RAW files, as :func:`nightfix.batch.sources.find_photos` finds them.
    options, announce, progress
        As for :func:`nightfix.pipeline.photo.enhance`.
    restorer : Restorer or None
        None where nothing is to be restored, or nothing is left to be done.
    weights : str or None
        SHA-256 of the weights, where there is no restorer to tell it.
    jobs : int
        Photos that are read or written at once beside the network, >= 1; each more
        takes the memory of one more photo.
    begin : callable
        Called with the path of a photo when the network begins with it.

    Yields
    ------
    Outcome
        One a photo, in order. Errors that the user can do something about are in it;
        any other is a bug and is raised. On an interrupt what is being written is
        finished and yielded before ``KeyboardInterrupt`` is raised.
    """
    digest = restorer.info.sha256 if restorer else weights or ""
    flow = _Flow(
        photos=photos,
        options=options,
        restorer=restorer,
        weights=digest,
        jobs=jobs,
        callbacks=_Callbacks(begin, announce, progress),
    )
    try:
        yield from flow.run()
    except KeyboardInterrupt:
        yield from flow.finish()
        raise
    finally:
        flow.close()


class _Callbacks(NamedTuple):
    begin: Callable[[Path], None]
    announce: Callable[[str], None]
    progress: Progress


class _Flow:
    """Photos on their way: read ahead, one in the network, written behind."""

    def __init__(
        self,
        *,
        photos: Iterable[Photo | str | os.PathLike[str]],
        options: EnhanceOptions,
        restorer: Restorer | None,
        weights: str,
        jobs: int,
        callbacks: _Callbacks,
    ) -> None:
        self.photos = (p if isinstance(p, Photo) else Photo(path=Path(p)) for p in photos)
        self.options, self.restorer, self.jobs = options, restorer, jobs
        self.weights, self.callbacks = weights, callbacks
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
            begin, announce, progress = self.callbacks
            begin(photo.path)
            return restore(prepared, self.restorer, announce, progress)
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
            photo = next(self.photos, None)
            if photo is None:
                return
            self.ahead.append((photo, self.workers.submit(self._read, photo)))

    def _read(self, photo: Photo) -> Prepared | Result:
        if photo.error is not None:
            raise photo.error
        return prepare(photo.path, options_for(photo, self.options), self.weights)

    def _written(self) -> Outcome:
        photo, writing = self.behind[0]  # stays until it is written: an interrupt may come
        try:
            outcome = Outcome(path=photo.path, result=writing.result())
        except NightFixError as error:
            outcome = Outcome(path=photo.path, error=error)
        self.behind.popleft()
        return outcome
