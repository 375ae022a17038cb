"""Command line: the commands by name, each of which is imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any

import typer

from nightfix.cli.overview import COMMANDS, Entry


class Commands(MutableMapping[str, Any]):
    """Commands and groups of them, by name; listing their names imports none of them."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = _load(name, COMMANDS[name])
        return self._known[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._known[name] = command

    def __delitem__(self, name: str) -> None:
        del self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


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
