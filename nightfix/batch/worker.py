"""Batch: what works on photos in a process of its own, perhaps on another machine.

It knows nothing of who started it: it is given photos one by one, and tells what happens as
messages, which are small and can be sent anywhere.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING

from nightfix import __version__
from nightfix.batch.engine import Network, Outcome, network_of, options_for
from nightfix.batch.sources import Photo
from nightfix.errors import EngineError, NightFixError
from nightfix.pipeline import EnhanceOptions, Prepared, Result, prepare, restore, write

if TYPE_CHECKING:
    from nightfix.restore import Restorer


@dataclass(frozen=True, slots=True)
class Begun:
    """The network begins with photo ``number``."""

    number: int


@dataclass(frozen=True, slots=True)
class Said:
    """A fact or a note (``text``) on photo ``number``."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Advanced:
    """``done`` of ``total`` tiles of photo ``number`` are done."""

    number: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of photo ``number``; None where it was given up after an interrupt."""

    number: int
    outcome: Outcome | None


Message = Begun | Said | Advanced | Ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a worker needs to begin.

    Attributes
    ----------
    version : str
        Of NightFix, which must be the same everywhere.
    folder : Path
        The working folder that relative paths start from.
    places : tuple of Path
        What the worker must see as well: a photo, the folder of the results.
    weights, device : str
        As for :class:`nightfix.restore.restorer.Restorer`; without weights nothing is restored.
    sha256 : str
        Of the weights.
    jobs : int
        Photos that are read or written beside the network, >= 1.
    """

    version: str
    folder: Path
    places: tuple[Path, ...]
    weights: str | None
    device: str
    sha256: str
    jobs: int


class Worker:
    """Works on photos with one network, which is loaded once.

    While the network runs on one photo, others are read or written: so many as ``jobs``
    says, for no more than ``1 + jobs`` photos may be given at a time.
    """

    def __init__(self) -> None:
        self._restorer: Restorer | None = None
        self._network, self._gate = Lock(), Lock()
        self._stopped = False
        self._written: set[int] = set()

    def start(self, orders: Orders) -> Network | NightFixError | None:
        """Load the network.

        Returns
        -------
        Network, NightFixError or None
            None without weights; the error where this machine cannot do the work. It is
            returned, since what is raised in a worker is a bug.
        """
        try:
            _check(orders)
            self._threads = ThreadPoolExecutor(1 + orders.jobs, "photo")
            if orders.weights is None:
                return None
            from nightfix.restore import Restorer

            self._restorer = Restorer(orders.weights, orders.device)
            network = network_of(self._restorer)
            if network.sha256 != orders.sha256:
                raise _unfit(f"{orders.weights} are other weights there", "install the same ones")
        except NightFixError as error:
            return error
        return network

    def enhance(
        self, number: int, photo: Photo, options: EnhanceOptions, weights: str
    ) -> Iterator[Message]:
        """Enhance a photo.

        Parameters
        ----------
        number : int
            What its messages are marked with.
        photo, options
            As for :func:`nightfix.batch.runner.enhance_many`.
        weights : str
            SHA-256 of the weights.

        Yields
        ------
        Message
            :class:`Ended` is the last one. Any error that is not for the user is raised.
        """
        told: SimpleQueue[Message | None] = SimpleQueue()

        def work() -> Outcome | None:
            try:
                return self._enhance(number, photo, options_for(photo, options), weights, told.put)
            except NightFixError as error:
                return Outcome(path=photo.path, error=error)
            finally:
                told.put(None)

        ending = self._threads.submit(work)
        while (message := told.get()) is not None:
            yield message
        yield Ended(number, ending.result())

    def _enhance(
        self,
        number: int,
        photo: Photo,
        options: EnhanceOptions,
        weights: str,
        tell: Callable[[Message], None],
    ) -> Outcome | None:
        prepared: Prepared | Result = prepare(photo.path, options, weights)
        if isinstance(prepared, Result):
            return Outcome(path=photo.path, result=prepared)
        name = f"{photo.path.name}: "

        def say(text: str) -> None:
            # Other workers talk at the same time.
            tell(Said(number, text if text.startswith(name) else name + text))

        with self._network:
            if self._stopped:
                return None
            tell(Begun(number))
            prepared = restore(
                prepared,
                self._restorer,
                say,
                lambda done, total: tell(Advanced(number, done, total)),
            )
        with self._gate:
            if self._stopped:
                return None
            self._written.add(number)
        return Outcome(path=photo.path, result=write(prepared))

    def stop(self) -> frozenset[int]:
        """Begin neither the network nor writing any more; return what has begun to be written."""
        with self._gate:
            self._stopped = True
            return frozenset(self._written)


def _check(orders: Orders) -> None:
    """Take the working folder, and see whether this machine can do the work."""
    if orders.version != __version__:
        what = f"has NightFix {__version__}, not {orders.version}"
        raise _unfit(what, "install the same NightFix on all machines")
    try:
        os.chdir(orders.folder)
    except OSError as error:
        raise _unseen(orders.folder) from error
    for place in orders.places:
        if not place.exists():
            raise _unseen(place)


def _unseen(path: Path) -> EngineError:
    return _unfit(f"does not see {path}", "photos and results must lie where all machines see them")


def _unfit(what: str, hint: str) -> EngineError:
    return EngineError(f"{platform.node() or 'a machine'}: {what}", hint)
