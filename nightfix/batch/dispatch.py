"""Batch: hands photos to workers in other processes, and gets over the loss of some of them.

This is all that engines of several processes have in common; only how a worker is started,
reached and ended differs (:class:`Crew`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from nightfix.batch.engine import Outcome, Work
from nightfix.batch.sources import Photo
from nightfix.batch.worker import Advanced, Begun, Ended, Message, Said
from nightfix.errors import WorkerLostError

#: Photos between the oldest that is not finished and the newest that is handed out.
_WINDOW = 1000

#: How often a photo is tried, where its worker is lost.
_TRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A worker that is ready.

    Attributes
    ----------
    number : int
        Which one; of no other, before or later.
    place : str
        Which machine it is on.
    room : int
        Photos that it takes at a time, >= 1.
    """

    number: int
    place: str
    room: int


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker has died, with all photos that it had."""

    seat: Seat
    why: str


class Crew(Protocol):
    """Workers, which come and go."""

    def seats(self) -> Iterable[Seat]:
        """Return the workers that are ready."""

    def give(self, seat: Seat, number: int, photo: Photo, work: Work) -> None:
        """Hand a photo to a worker."""

    def wait(self) -> list[Message | Lost]:
        """Return what has happened; none after a while without news.

        Raises
        ------
        NightFixError
            If there is no worker any more, and there will be none.
        """

    def stop(self) -> frozenset[int]:
        """Let all workers begin nothing more; return the photos whose writing has begun."""

    def dismiss(self) -> None:
        """End all workers at once."""


@dataclass(slots=True, eq=False)
class _Job:
    number: int
    photo: Photo
    tries: int = 0
    told: int | None = None  # at which try its beginning was told
    lost_at: str = ""
    outcome: Outcome | None = None


class Dispatch:
    """One batch on its way through a crew: a :class:`nightfix.batch.engine.Flow`.

    No worker has more photos than it has room for, and none is taken from the plan that
    cannot be handed out, so that memory does not grow with the number of photos. Photos of a lost
    worker are tried once more: alone, so that one that brings its worker down takes no other
    with it, and on another machine, if there is one.
    """

    def __init__(self, crew: Crew, work: Work) -> None:
        self.crew, self.work = crew, work
        self.jobs: deque[_Job] = deque()  # handed out or finished, in order
        self.again: deque[_Job] = deque()
        self.running: dict[int, tuple[Seat, _Job]] = {}
        self.news: deque[Message | Lost] = deque()
        self.numbers = 0
        self.exhausted = self.stopped = False

    def run(self) -> Iterator[Outcome]:
        """Yield what became of each photo, in order."""
        while True:
            self._hand_out()
            yield from self._in_order()
            if self.exhausted and not self.jobs:
                return
            self._take_news()

    def finish(self) -> Iterator[Outcome]:
        """Stop all workers, wait for what is being written and yield it."""
        self.stopped = True
        writing = self.crew.stop()
        while writing & self.running.keys():
            self._take_news()
        while self.jobs:
            if (outcome := self.jobs.popleft().outcome) is not None:
                yield outcome

    def close(self) -> None:
        """End workers that are still at work, or will begin nothing more."""
        if self.running or self.stopped:
            self.crew.dismiss()
            self.running.clear()

    def _in_order(self) -> Iterator[Outcome]:
        while self.jobs and (outcome := self.jobs[0].outcome) is not None:
            self.jobs.popleft()
            yield outcome

    def _hand_out(self) -> None:
        """Give each worker one photo before any gets the next."""
        while True:
            load = {seat: self._jobs_of(seat) for seat in self.crew.seats()}
            for seat in sorted(load, key=lambda seat: len(load[seat])):
                if job := self._job_for(seat, load[seat], {other.place for other in load}):
                    self.running[job.number] = seat, job
                    self.crew.give(seat, job.number, job.photo, self.work)
                    break
            else:
                return

    def _jobs_of(self, seat: Seat) -> list[_Job]:
        return [job for at, job in self.running.values() if at == seat]

    def _job_for(self, seat: Seat, busy: list[_Job], places: set[str]) -> _Job | None:
        """Return a photo for a worker; None where it should have no other now."""
        if len(busy) >= seat.room or any(job.tries for job in busy):
            return None
        for job in self.again:
            if job.lost_at != seat.place or places == {job.lost_at}:
                if busy:
                    return None  # it ends what it has, and takes this one then
                self.again.remove(job)
                return job
        return self._next()

    def _next(self) -> _Job | None:
        """Return the next photo of the plan; names that do not exist need no worker."""
        while len(self.jobs) < _WINDOW:
            photo = next(self.work.photos, None)
            if photo is None:
                self.exhausted = True
                return None
            job = _Job(self.numbers, photo)
            self.numbers += 1
            self.jobs.append(job)
            if photo.error is None:
                return job
            job.outcome = Outcome(path=photo.path, error=photo.error)
        return None

    def _take_news(self) -> None:
        """Wait for news and take it; an interrupt leaves to :meth:`finish` what is not taken."""
        if not self.news:
            self.news += self.crew.wait()
        while self.news:
            self._take(self.news[0])
            self.news.popleft()

    def _take(self, message: Message | Lost) -> None:
        begin, announce = self.work.callbacks.begin, self.work.callbacks.announce
        if isinstance(message, Lost):
            self._lose(message)
        elif (found := self.running.get(message.number)) is not None:
            _, job = found
            if isinstance(message, Ended):
                job.outcome = message.outcome
                del self.running[message.number]
            elif isinstance(message, Advanced):
                self.work.callbacks.progress(job.photo.path, message.done, message.total)
            elif isinstance(message, Begun) and job.told is None:
                job.told = job.tries
                begin(job.photo.path)
            elif isinstance(message, Said) and job.told == job.tries:
                announce(message.text)

    def _lose(self, lost: Lost) -> None:
        for job in self._jobs_of(lost.seat):
            del self.running[job.number]
            job.tries, job.lost_at = job.tries + 1, lost.seat.place
            path = job.photo.path
            if job.tries < _TRIES:
                self.work.callbacks.announce(f"note: {path.name}: {lost.why}; trying it again")
                self.again.append(job)
            else:
                job.outcome = Outcome(path=path, error=WorkerLostError(path, lost.why))
