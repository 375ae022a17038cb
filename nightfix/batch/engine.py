"""Batch: what an engine is, the place where a batch's photos are worked on.

:func:`nightfix.batch.runner.enhance_many` gives every engine the same photos, options and
callbacks, and takes the same outcomes from it. There are :class:`nightfix.batch.runner.Here`, this
process, and :class:`nightfix.batch.cluster.RayCluster`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nightfix.batch.sources import Photo
from nightfix.errors import NightFixError
from nightfix.pipeline import EnhanceOptions, Result

if TYPE_CHECKING:
    from nightfix.restore import Restorer


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one photo of a batch: a ``result``, or the ``error`` that stopped it."""

    path: Path
    result: Result | None = None
    error: NightFixError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The network that photos are restored by.

    Attributes
    ----------
    weights : str
        Their name.
    sha256 : str
        Of the weights, 64 hexadecimal digits.
    device, dtype : str
        Where it runs, and the number format of its convolutions.
    """

    weights: str
    sha256: str
    device: str
    dtype: str


def network_of(restorer: Restorer) -> Network:
    """Return the facts of a restorer's network."""
    return Network(
        weights=restorer.info.name,
        sha256=restorer.info.sha256,
        device=str(restorer.device),
        dtype=str(restorer.dtype).removeprefix("torch."),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """How a batch tells what happens: ``begin(path)``, ``announce(text)``.

    ``progress(path, done, total)`` counts the tiles of a photo.
    """

    begin: Callable[[Path], None]
    announce: Callable[[str], None]
    progress: Callable[[Path, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One batch: its ``photos``, ``options`` and ``callbacks``.

    ``weights`` is the weights' SHA-256, which is part of every result's fingerprint.
    """

    photos: Iterator[Photo]
    options: EnhanceOptions
    weights: str
    callbacks: Callbacks


class Flow(Protocol):
    """A batch on its way through an engine."""

    def run(self) -> Iterator[Outcome]:
        """Yield what became of each photo, in order."""

    def finish(self) -> Iterator[Outcome]:
        """After an interrupt: begin nothing more, and yield what is still being written."""

    def close(self) -> None:
        """Return when nothing of the batch runs any more."""


class Engine(Protocol):
    """Where photos are worked on. Memory must not grow with their number."""

    def network(self) -> Network | None:
        """Return the facts of the network; None where nothing is restored.

        Raises
        ------
        NightFixError
            If it cannot be had.
        """

    def flow(self, work: Work) -> Flow:
        """Begin a batch; one at a time."""

    def close(self) -> None:
        """Give back what the engine holds."""


def options_for(photo: Photo, options: EnhanceOptions) -> EnhanceOptions:
    """Return the options of one photo: below the output folder, its own tree is mirrored."""
    if options.output is None:
        return options
    return replace(options, output=Path(options.output) / photo.folder)
