"""Batch: a Ray cluster as the engine: one worker a GPU, or a group of cores.

Ray (P. Moritz et al., "Ray: A Distributed Framework for Emerging AI Applications", OSDI 2018) is an
optional extra, and imported when a cluster is used. It starts the workers, carries photos'
names there and messages back, and tells who has died; what is done about it, and which photo
goes where, is :class:`nightfix.batch.dispatch.Dispatch`'s.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nightfix import __version__
from nightfix.batch.dispatch import Dispatch, Lost, Seat
from nightfix.batch.engine import Network, Work
from nightfix.batch.sources import Photo
from nightfix.batch.worker import Ended, Message, Orders, Worker
from nightfix.errors import EngineError, NightFixError
from nightfix.progress import say_nothing

#: Cores of a worker without a GPU. The network gains from more, reading and writing do not.
_CORES = 4

#: Seconds between two looks at the machines of the cluster.
_PATROL = 5.0

#: Seconds after which it is told that the cluster has no room, and that a worker may take to
#: answer when all are to stop.
_BUSY, _PATIENCE = 30.0, 10.0

#: Workers of a machine that may end while they get ready, before it is left alone.
_ATTEMPTS = 2

#: Set where the user has not: nothing is sent to Ray's makers, and nothing is written on stderr.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

#: Of an instance of one's own: only names and messages are carried [bytes].
_STORE = 100 << 20


class RayCluster:
    """A Ray cluster as an :class:`nightfix.batch.engine.Engine`.

    Parameters
    ----------
    weights : str or None
        As for :class:`nightfix.restore.restorer.Restorer`; without any, nothing is restored.
    sha256 : str
        Of the weights, which must be the same on all machines.
    device : {"auto", "cuda", "cpu"}
        ``auto`` takes the cluster's GPUs, or its processors where it has none.
    address : str or None
        ``HOST:PORT`` of the cluster. None: the one that this machine belongs to (or
        ``RAY_ADDRESS`` names), else one of this machine alone, for as long as the engine is open.
    jobs : int
        Photos that each worker reads or writes at once beside its network, >= 1.
    places : iterable of Path
        What all machines must see beside the working folder: a photo, the results' folder.
    most : int or None
        Workers at most; None is as many as there is room for.
    announce : callable
        Called with what the user should know of the cluster.

    Raises
    ------
    EngineError
        If Ray is not installed, or there is no such cluster, or it has no such devices.
    """

    def __init__(
        self,
        *,
        weights: str | None,
        sha256: str = "",
        device: str = "auto",
        address: str | None = None,
        jobs: int = 1,
        places: Iterable[Path] = (),
        most: int | None = None,
        announce: Callable[[str], None] = say_nothing,
    ) -> None:
        if device not in ("auto", "cuda", "cpu"):
            hint = "use --device auto, cuda or cpu; a cluster chooses the GPU itself"
            raise EngineError(f"{device}: not a device of a Ray cluster", hint)
        self._mine = _connect(address)
        orders = Orders(
            version=__version__,
            folder=Path.cwd(),
            places=tuple(places),
            weights=weights,
            device=device,
            sha256=sha256,
            jobs=jobs,
        )
        try:
            self._crew = _RayCrew(orders, most, announce)
        except BaseException:
            self._disconnect()
            raise

    def network(self) -> Network | None:
        """Return the facts of the network of the worker that is ready first; wait for it.

        Raises
        ------
        EngineError, WeightsError, DeviceError
            If no machine can do the work.
        """
        return self._crew.network()

    def all_ready(self) -> int:
        """Wait until all workers are ready, and return how many there are.

        Raises
        ------
        EngineError, WeightsError, DeviceError
            If no machine can do the work.
        """
        self._crew.network()
        while len(self._crew.seats()) < self._crew.wanted:
            self._crew.wait()
        return self._crew.wanted

    def flow(self, work: Work) -> Dispatch:
        """Begin a batch."""
        return Dispatch(self._crew, work)

    def close(self) -> None:
        """End the workers, and the cluster if it is this engine's own."""
        self._crew.dismiss()
        self._disconnect()

    def _disconnect(self) -> None:
        import ray

        if self._mine:
            ray.shutdown()


def _connect(address: str | None) -> bool:
    """Connect to a cluster; False if this process was connected before."""
    if find_spec("ray") is None:
        raise EngineError(
            "ray: not installed", 'install it with NightFix, in its folder: pip install ".[ray]"'
        )
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if "ray" in sys.modules:
        import ray

        if ray.is_initialized():
            return False
    where = _find_cluster(address)
    if not where and "ray" not in sys.modules:
        # An instance of one's own listens to other machines, too: it obeys who has the token.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with _own_signals():
        _join(where)
    return True


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the caller's answer to SIGTERM, for which Ray puts its own."""
    mine = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, mine)


def _join(where: str) -> None:
    """Connect to the cluster of an address; without one, to an instance of one's own.

    Ray reads its settings from the environment when it is imported.
    """
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if not where:
        ray.init(address="local", include_dashboard=False, object_store_memory=_STORE, **quiet)
        return
    try:
        ray.init(address=where, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        what = str(error).strip().splitlines()[0]
        raise EngineError(f"{where}: cannot join the Ray cluster: {what}", _WHERE) from error


def _find_cluster(address: str | None) -> str:
    """Return the address of a cluster that answers; empty if none is asked for, or there.

    Raises
    ------
    EngineError
        If the one that is asked for does not answer.
    """
    asked = address or os.environ.get("RAY_ADDRESS", "").removeprefix("auto")
    where = asked or _own_cluster()
    if _answers(where):
        return where
    if asked:
        raise EngineError(f"{asked}: no Ray cluster there", _WHERE)
    return ""


def _own_cluster() -> str:
    """Return the address of the cluster that was started last on this machine; empty if none."""
    folder = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    try:
        return (folder / "ray" / "ray_current_cluster").read_text("utf-8").strip()
    except OSError:
        return ""


def _answers(address: str) -> bool:
    """Tell whether anyone listens at ``HOST:PORT``; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _PATROL):
            return True
    except (OSError, ValueError, OverflowError):
        return False


_WHERE = (
    "ray start --head prints the address, HOST:PORT; NightFix must run on a machine of the cluster"
)


@dataclass(slots=True, eq=False)
class _Member:
    """A worker and its calls: a stream of messages for each photo, by number."""

    seat: Seat
    host: str
    actor: Any
    starting: Any
    calls: dict[Any, int] = field(default_factory=dict)
    ready: bool = False


class _RayCrew:
    """The workers on a cluster: a :class:`nightfix.batch.dispatch.Crew`."""

    def __init__(self, orders: Orders, most: int | None, announce: Callable[[str], None]) -> None:
        self._orders, self._most, self._announce = orders, most, announce
        self._members: list[_Member] = []
        self._number = 0
        self._failures: Counter[str] = Counter()
        self._refused: dict[str, NightFixError] = {}
        self._network: Network | None = None
        # Read, but not handed on, where an interrupt comes between.
        self._unread: dict[Any, Any] = {}
        self._news: list[Message | Lost] = []
        self._gpu = _wants_gpu(orders.device, _machines())
        self._began, self._looked, self._told = time.monotonic(), -math.inf, False
        self._hire()
        machines = len({member.seat.place for member in self._members})
        self._announce(f"Ray: {_count(self.wanted, 'worker')} on {_count(machines, 'machine')}")

    @property
    def wanted(self) -> int:
        """Workers that are ready, or getting ready."""
        return len(self._members)

    def network(self) -> Network | None:
        while not any(member.ready for member in self._members):
            self.wait()  # no photo is handed out yet: no news but of starting
        return self._network

    def seats(self) -> list[Seat]:
        return [member.seat for member in self._members if member.ready]

    def give(self, seat: Seat, number: int, photo: Photo, work: Work) -> None:
        member = next(member for member in self._members if member.seat == seat)
        call = member.actor.enhance.options(num_returns="streaming")
        member.calls[call.remote(number, photo, work.options, work.weights)] = number

    def wait(self) -> list[Message | Lost]:
        import ray

        self._hire()
        if not self._members:
            raise next(reversed(self._refused.values()), _no_room(self._orders.device))
        waiting: dict[Any, _Member] = {}
        for member in self._members:
            waiting |= dict.fromkeys(member.calls, member)
            if not member.ready:
                waiting[member.starting] = member
        if not self._unread:
            ray.wait(list(waiting), num_returns=1, timeout=_PATROL)
        there, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=0)
        for one in [*self._unread, *(one for one in there if one not in self._unread)]:
            self._news += self._read(waiting[one], one)
        news, self._news = self._news, []
        return news

    def _read(self, member: _Member, one: Any) -> list[Message | Lost]:
        """Read a message, or see that a worker is ready or dead."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        if member not in self._members:
            return []  # it died with an earlier message of this round
        try:
            if one is member.starting:
                self._started(member, ray.get(one))
                return []
            if one not in self._unread:
                self._unread[one] = next(one)
            message: Message = ray.get(self._unread[one])
            del self._unread[one]
        except StopIteration:  # after an interrupt took its last message
            return [Ended(member.calls.pop(one), None)]
        except RayTaskError:
            raise  # a bug, with the worker's own traceback
        except RayError as error:
            return self._lose(member, error)
        if isinstance(message, Ended):
            del member.calls[one]
        return [message]

    def _started(self, member: _Member, answer: Network | NightFixError | None) -> None:
        if isinstance(answer, NightFixError):
            self._refuse(member.seat.place, answer)
            return
        member.ready = True
        self._failures[member.seat.place] = 0
        self._network = self._network or answer

    def _refuse(self, place: str, error: NightFixError) -> None:
        """Leave a machine alone."""
        self._refused[place] = error
        gone = [member for member in self._members if member.seat.place == place]
        for member in gone:
            self._end(member)
        if self._members:
            self._announce(f"note: goes on without a machine: {error.message}")

    def _lose(self, member: _Member, error: Exception) -> list[Message | Lost]:
        """Drop a worker that has died; one that died while it got ready says why."""
        self._end(member)
        place = member.seat.place
        if member.ready:
            self._looked = -math.inf  # another one can be hired at once
            return [Lost(member.seat, f"its worker on {member.host} ended")]
        self._failures[place] += 1
        if self._failures[place] >= _ATTEMPTS and place in _machines():
            reason = str(error).strip().splitlines()[-1].strip()
            hint = "install NightFix with its extra ray on all machines, the same everywhere"
            self._refuse(place, EngineError(f"{member.host}: no worker starts: {reason}", hint))
        return []

    def _end(self, member: _Member) -> None:
        import ray

        self._members.remove(member)
        for call in member.calls:
            self._unread.pop(call, None)
        member.calls.clear()
        ray.kill(member.actor)

    def _hire(self) -> None:
        """Start workers where there is room: at first, after a death, where a machine has come."""
        now = time.monotonic()
        if now - self._looked < _PATROL:
            return
        self._looked = now
        if now - self._began > _BUSY and not self._told and not self.seats():
            self._told = True
            self._announce("waiting for workers: the cluster is busy, or still starts them")
        have = Counter(member.seat.place for member in self._members)
        for place, machine in _machines().items():
            count, needs = _groups(machine["Resources"], gpu=self._gpu)
            if place in self._refused:
                continue
            for _ in range(count - have[place]):
                if self._most is None or len(self._members) < self._most:
                    self._members.append(self._member(place, machine, needs))

    def _member(self, place: str, machine: dict[str, Any], needs: dict[str, int]) -> _Member:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._number += 1
        seat = Seat(number=self._number, place=place, room=1 + self._orders.jobs)
        kind: Any = ray.remote(Worker)
        actor = kind.options(
            **needs,
            max_concurrency=seat.room + 1,  # and one to be told to stop
            max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(place, soft=False),
        ).remote()
        orders = replace(self._orders, device="cuda" if self._gpu else "cpu")
        host = str(machine["NodeManagerHostname"])
        return _Member(seat, host, actor, actor.start.remote(orders))

    def stop(self) -> frozenset[int]:
        import ray
        from ray.exceptions import RayError

        self._looked = math.inf  # no new ones
        ready = [member for member in self._members if member.ready]
        told = [(member, member.actor.stop.remote()) for member in ready]
        until = time.monotonic() + _PATIENCE
        writing: set[int] = set()
        for member, answer in told:
            try:
                writing |= ray.get(answer, timeout=max(0.1, until - time.monotonic()))
            except RayError:  # dead, or it cannot be reached
                self._end(member)
        return frozenset(writing)

    def dismiss(self) -> None:
        for member in [*self._members]:
            self._end(member)
        self._news.clear()
        self._looked = -math.inf


def _machines() -> dict[str, dict[str, Any]]:
    """Return the machines of the cluster that are alive, by their number."""
    import ray

    known: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call, unused-ignore]
    return {node["NodeID"]: node for node in known if node["Alive"]}


def _wants_gpu(device: str, machines: dict[str, dict[str, Any]]) -> bool:
    """Tell whether workers get a GPU each.

    Raises
    ------
    EngineError
        If there must be one, and the cluster has none.
    """
    there = any(machine["Resources"].get("GPU", 0) >= 1 for machine in machines.values())
    if device == "cuda" and not there:
        raise _no_room(device)
    return there and device != "cpu"


def _no_room(device: str) -> EngineError:
    what = "GPU" if device == "cuda" else "processor"
    return EngineError(f"{device}: no machine of the Ray cluster has a {what}", "ray status")


def _groups(resources: dict[str, float], *, gpu: bool) -> tuple[int, dict[str, int]]:
    """Return how many workers a machine has room for, and what each needs.

    Examples
    --------
    >>> _groups({"CPU": 16.0, "GPU": 2.0}, gpu=True)
    (2, {'num_cpus': 4, 'num_gpus': 1})
    >>> _groups({"CPU": 14.0}, gpu=False)
    (3, {'num_cpus': 4, 'num_gpus': 0})
    """
    cores, cards = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    if gpu:
        each = min(_CORES, cores // cards) if cards else 0
        return cards, {"num_cpus": each, "num_gpus": 1}
    count = max(1, cores // _CORES) if cores else 0
    return count, {"num_cpus": cores // count if count else 0, "num_gpus": 0}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
