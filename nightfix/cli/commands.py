"""Entry: the commands by name, each of which is imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any, NamedTuple

import typer

_PHOTOS, _SETUP, _MAKING = "Photos", "This machine", "Your own weights"


class Entry(NamedTuple):
    """Where a command stands: ``module``, ``panel`` of the help and ``summary`` shown there."""

    module: str
    panel: str
    summary: str


#: In the order of the help. The summary is the beginning of the command's own help.
TABLE = {
    "enhance": Entry("enhance", _PHOTOS, "Restore dark, noisy, shaken RAW photos."),
    "preview": Entry("seeing", _PHOTOS, "Restore one region to a picture, the original beside it."),
    "compare": Entry(
        "seeing", _PHOTOS, "Join two pictures at a line: before on the left, after on the right."
    ),
    "info": Entry(
        "info", _PHOTOS, "Show what a RAW file says and what NightFix would do with it, or did."
    ),
    "doctor": Entry(
        "doctor",
        _SETUP,
        "Report devices, memory, versions and weights, and try the network for ten seconds.",
    ),
    "benchmark": Entry(
        "benchmark",
        _SETUP,
        "Measure how long this machine takes, stage by stage, and how much memory.",
    ),
    "weights": Entry(
        "weights",
        _SETUP,
        "List, fetch, check and remove weights. The default ones come with the package.",
    ),
    "config": Entry("config", _SETUP, "Show where the configuration file is, and what is set."),
    "train": Entry(
        "train", _MAKING, "Train weights from photographs, panoramas, RAW files or real pairs."
    ),
    "evaluate": Entry("evaluate", _MAKING, "Measure weights on captures whose truth is known."),
}


class Commands(MutableMapping[str, Any]):
    """Commands and groups of them, by name; to list their names imports none."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = _load(name, TABLE[name])
        return self._known[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._known[name] = command

    def __delitem__(self, name: str) -> None:
        del self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(TABLE)

    def __len__(self) -> int:
        return len(TABLE)


def _load(name: str, entry: Entry) -> Any:
    """Import a function or a Typer application, and make a command or a group of it."""
    known = getattr(import_module(f"nightfix.cli.{entry.module}"), name)
    application = known
    if not isinstance(known, typer.Typer):
        application = typer.Typer(
            add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich"
        )
        application.command(name)(known)
    command = typer.main.get_command(application)
    command.name = name
    return command
