"""Entry: what a person sees while photos are worked on, all of it on stderr."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


def printable(text: str) -> str:
    r"""Return one line that a terminal shows as it is.

    Names of files and of cameras come from outside: a line break in one would make two
    lines of a message, and an escape sequence would give orders to the terminal.

    Examples
    --------
    >>> printable("two\nlines \x1b[31m, né")
    'two\\nlines \\x1b[31m, né'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Display:
    """Facts, notes and a progress bar; the bar is silent where stderr is no terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("restoring", total=None, visible=False)

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def announce(self, text: str) -> None:
        """Show a line above the bar."""
        text = printable(text)
        if self._console.is_terminal:
            self._console.print(text, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def progress(self, done: int, total: int) -> None:
        """Move the bar; hide it when all is done."""
        self._bar.update(self._task, completed=done, total=total, visible=done < total)
