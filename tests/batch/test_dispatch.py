"""How photos are handed to workers that may die, without any process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nightfix.batch import dispatch
from nightfix.batch.dispatch import Dispatch, Lost, Seat
from nightfix.batch.engine import Outcome
from nightfix.batch.runner import enhance_many
from nightfix.batch.sources import Photo
from nightfix.batch.worker import Advanced, Begun, Ended, Said
from nightfix.errors import EngineError, PhotoNotFoundError, WorkerLostError
from nightfix.pipeline import EnhanceOptions, Result

ONE, TWO = (Seat(number=n, place=place, room=2) for n, place in ((1, "a"), (2, "b")))


@dataclass
class Crew:
    """Workers that end the photo that they have had for longest, one after the other.

    ``deadly`` photos bring their worker down; a worker at ``a`` is followed by another.
    """

    hired: list[Seat]
    deadly: Callable[[str, Seat], bool] = lambda name, seat: False
    given: list[tuple[str, Seat]] = field(default_factory=list)
    held: dict[Seat, deque[tuple[int, Photo]]] = field(default_factory=dict)
    most: int = 0
    stopped: bool = False
    dismissed: bool = False

    def seats(self):
        return self.hired

    def give(self, seat, number, photo, work):
        tried = {name for name, _ in self.given}
        beside = {other.path.stem for _, other in self.held.get(seat, ())}
        again = {name for name in beside if [n for n, _ in self.given].count(name) > 1}
        assert not again, "a second try is left alone"
        assert photo.path.stem not in tried or not beside, "and begins alone"
        self.given.append((photo.path.stem, seat))
        self.held.setdefault(seat, deque()).append((number, photo))
        self.most = max(self.most, sum(map(len, self.held.values())))

    def wait(self):
        if not self.hired:
            raise EngineError("nobody is left", "hire")
        seat = max(self.held, key=lambda seat: (len(self.held[seat]), -seat.number))
        number, photo = self.held[seat].popleft()
        name = photo.path.stem
        if self.deadly(name, seat):
            del self.held[seat]
            self.hired.remove(seat)
            self.hired.append(Seat(number=seat.number + 10, place=seat.place, room=2))
            return [Begun(number), Lost(seat, "its worker on a ended")]
        result = Result(path=photo.path, outputs=(Path(f"{name}.tif"),))
        return [
            Begun(number),
            Said(number, f"{name} is dark"),
            Advanced(number, 1, 2),
            Ended(number, Outcome(path=photo.path, result=result)),
        ]

    def stop(self):
        self.stopped = True
        return frozenset([number for number, photo in self.held[ONE] if photo.path.stem == "p0"])

    def dismiss(self):
        self.dismissed = True
        self.held.clear()


@dataclass
class Engine:
    crew: Crew

    def flow(self, work):
        return Dispatch(self.crew, work)


def run(crew: Crew, count: int = 8, **told):
    names = [f"p{number}.dng" for number in range(count)]
    return enhance_many(names, EnhanceOptions(), restorer=None, engine=Engine(crew), **told)


def stems(outcomes) -> list[str]:
    return [outcome.path.stem for outcome in outcomes]


def test_photos_go_to_all_and_come_back_in_order():
    crew = Crew([ONE, TWO])
    told = []
    outcomes = list(
        run(
            crew,
            begin=lambda path: told.append(path.stem),
            announce=told.append,
            progress=lambda path, done, total: told.append((path.stem, done, total)),
        )
    )
    assert stems(outcomes) == [f"p{number}" for number in range(8)]
    assert all(outcome.result is not None for outcome in outcomes)
    assert crew.given[:4] == [("p0", ONE), ("p1", TWO), ("p2", ONE), ("p3", TWO)]
    assert told[:3] == ["p0", "p0 is dark", ("p0", 1, 2)]
    assert not crew.dismissed, "the next batch needs them"


def test_no_more_photos_are_taken_than_there_is_room_for():
    crew = Crew([ONE, TWO])
    taken = []

    def photos():
        for number in range(10_000):
            taken.append(number)
            yield f"p{number}.dng"

    outcomes = enhance_many(photos(), EnhanceOptions(), restorer=None, engine=Engine(crew))
    next(outcomes)
    assert len(taken) <= 5
    outcomes.close()
    assert crew.dismissed
    assert crew.most == 4


def test_one_slow_photo_does_not_gather_all_others_behind_it(monkeypatch):
    monkeypatch.setattr(dispatch, "_WINDOW", 5)
    crew = Crew([ONE, TWO])
    slow = crew.wait

    def wait():
        if len(crew.given) > 5:
            pytest.fail("more is handed out than the window holds")
        if all(seat == ONE for seat, held in crew.held.items() if held):
            return slow()  # only now p0 may end
        held, crew.held[ONE] = crew.held[ONE], deque()
        try:
            return slow()
        finally:
            crew.held[ONE] = held

    monkeypatch.setattr(crew, "wait", wait)
    next(run(crew))


def test_photos_of_a_lost_worker_are_tried_again_alone_and_elsewhere():
    told, begun = [], []
    crew = Crew([ONE, TWO], deadly=lambda name, seat: seat == ONE)
    outcomes = list(run(crew, announce=told.append, begin=lambda path: begun.append(path.stem)))
    assert stems(outcomes) == [f"p{number}" for number in range(8)]
    assert all(outcome.error is None for outcome in outcomes)
    assert [seat.place for name, seat in crew.given if name == "p0"] == ["a", "b"]
    assert [text for text in told if text.startswith("note")] == [
        "note: p0.dng: its worker on a ended; trying it again",
        "note: p2.dng: its worker on a ended; trying it again",
    ]
    assert sorted(begun) == [f"p{number}" for number in range(8)], "each is told once"
    assert told.count("p0 is dark") == 0, "it began before"
    assert told.count("p2 is dark") == 1


def test_a_photo_that_brings_its_workers_down_takes_no_other_with_it():
    crew = Crew([ONE], deadly=lambda name, _: name == "p2")
    outcomes = list(run(crew))
    assert [type(outcome.error) for outcome in outcomes] == [
        *[type(None)] * 2,
        WorkerLostError,
        *[type(None)] * 5,
    ]
    assert "p2.dng: its worker on a ended, at both tries" in outcomes[2].error.message
    tries = [name for name, _ in crew.given]
    assert tries.count("p2") == 2
    assert max(tries.count(name) for name in tries if name != "p2") <= 2
    at = [seat for name, seat in crew.given if name == "p2"][-1]
    assert [name for name, seat in crew.given if seat == at][-1] == "p2", "it was alone"


def test_names_that_do_not_exist_need_no_worker():
    crew = Crew([ONE])
    error = PhotoNotFoundError(Path("none.dng"))
    photos = [Photo(path=Path("none.dng"), error=error), Photo(path=Path("p0.dng"))]
    first, second = enhance_many(photos, EnhanceOptions(), restorer=None, engine=Engine(crew))
    assert first.error is error
    assert second.error is None
    assert crew.given == [("p0", ONE)]


def test_an_interrupt_waits_for_what_is_written_and_ends_the_rest():
    crew = Crew([ONE, TWO])

    def begin(path):
        if path.stem == "p1":
            raise KeyboardInterrupt

    waited = iter([[Begun(0)], [Begun(1)]])
    real = crew.wait
    crew.wait = lambda: next(waited, None) or real()
    done = []
    with pytest.raises(KeyboardInterrupt):
        for outcome in run(crew, begin=begin):
            done.append(outcome.path.stem)
    assert done == ["p0"]
    assert crew.stopped
    assert crew.dismissed


def test_news_that_came_with_an_interrupt_are_not_lost():
    crew = Crew([ONE])
    first = {"news": True}
    real = crew.wait

    def wait():
        if first.pop("news", False):
            return [*real(), *real()]  # two photos end at once
        return real()

    def announce(text):
        if text == "p0 is dark" and not crew.stopped:
            raise KeyboardInterrupt

    crew.wait = wait
    crew.stop = lambda: setattr(crew, "stopped", True) or frozenset([0, 1])
    done = []
    with pytest.raises(KeyboardInterrupt):
        for outcome in run(crew, announce=announce):
            done.append(outcome.path.stem)
    assert done == ["p0", "p1"]


def test_the_end_of_all_workers_is_told():
    with pytest.raises(EngineError, match="nobody is left"):
        list(run(Crew([])))
