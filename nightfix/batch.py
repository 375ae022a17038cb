"""Entry: many photos, one after the other; one that fails does not stop the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nightfix.errors import NightFixError
from nightfix.pipeline import EnhanceOptions, Result, enhance
from nightfix.progress import Progress, no_progress, say_nothing

if TYPE_CHECKING:
    from nightfix.restorer import Restorer


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one photo of a batch: a ``result``, or the ``error`` that stopped it."""

    path: Path
    result: Result | None = None
    error: NightFixError | None = None


def enhance_many(
    paths: Iterable[Path],
    options: EnhanceOptions,
    *,
    restorer: Restorer | None,
    announce: Callable[[str], None] = say_nothing,
    progress: Progress = no_progress,
) -> Iterator[Outcome]:
    """Enhance photos in turn with one restorer.

    Parameters
    ----------
    paths : iterable of Path
        Camera RAW files.
    options, restorer, announce, progress
        As for :func:`nightfix.pipeline.enhance`.

    Yields
    ------
    Outcome
        One a photo, in order. Errors that the user can do something about are in it;
        any other is a bug and is raised.
    """
    for path in paths:
        try:
            result = enhance(path, options, restorer=restorer, announce=announce, progress=progress)
        except NightFixError as error:
            yield Outcome(path=path, error=error)
        else:
            yield Outcome(path=path, result=result)
