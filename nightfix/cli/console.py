"""Command line: what a person sees while photos are worked on, all of it on stderr."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path


class Verbosity(IntEnum):
    """How much is printed: errors only (``--quiet``), notes, or timings too (``--verbose``)."""

    quiet = 0
    normal = 1
    verbose = 2


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
    """Lines and a progress bar on stderr; no bar where stderr is not a terminal."""

    def __init__(self, verbosity: Verbosity = Verbosity.normal, task: str = "restoring") -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        self.verbosity = verbosity
        self._console = Console(stderr=True, highlight=False, markup=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            redirect_stdout=False,  # results go where stdout goes, whatever stderr is
            disable=not self._console.is_terminal or verbosity is Verbosity.quiet,
        )
        self._task = self._bar.add_task(task, total=None, visible=False)

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def announce(self, text: str) -> None:
        """Show a line above the bar, unless quiet is asked for."""
        if self.verbosity is not Verbosity.quiet:
            self.say(text)

    def detail(self, text: str) -> None:
        """Show a line with ``--verbose`` only."""
        if self.verbosity is Verbosity.verbose:
            self.say(text)

    def say(self, text: str) -> None:
        """Show a line above the bar."""
        text = printable(text)
        if self._console.is_terminal:
            self._console.print(text, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def result(self, line: Path | str) -> None:
        """Write a line on stdout, or above the bar where both are the terminal."""
        if self._bar.live.is_started and sys.stdout.isatty():
            self.say(str(line))
        else:
            print_line(line)

    def progress(self, done: int, total: int) -> None:
        """Move the bar; hide it when all is done."""
        self._bar.update(self._task, completed=done, total=total, visible=done < total)

    def describe(self, text: str) -> None:
        """Change what stands before the bar."""
        self._bar.update(self._task, description=text)

    def table(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Show three columns: what became of photos, how many or which, and why."""
        if self.verbosity is Verbosity.quiet:
            return
        if not self._console.is_terminal:
            for row in rows:
                self.say("  ".join((f"{row[0]:<8}", *row[1:])).rstrip())
            return
        from rich.table import Table

        table = Table(box=None, show_header=False, pad_edge=False)
        for row in rows:
            table.add_row(*map(printable, row), style=_STYLES.get(row[0]))
        self._console.print(table)


_STYLES = {"failed": "red", "skipped": "dim"}


def print_line(line: Path | str) -> None:
    """Write a line on stdout, and at once; a path with the very bytes that its file has."""
    text = os.fsencode(line) + b"\n"
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        print(line, flush=True)
        return
    sys.stdout.flush()
    buffer.write(text)
    buffer.flush()


def plural(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> plural(1, "photo"), plural(2, "photo")
    ('1 photo', '2 photos')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def left_out_line(left_out: Counter[str]) -> str:
    """Return one line on the files of folders that are not photos.

    >>> left_out_line(Counter({".jpg": 12, ".xmp": 1}))
    'ignored, not RAW photos: 12 .jpg, 1 .xmp'
    """
    kinds = ", ".join(f"{count} {kind}" for kind, count in left_out.most_common())
    return f"ignored, not RAW photos: {kinds}"


def clock(seconds: float) -> str:
    """Say how long something takes.

    >>> clock(7.2), clock(75), clock(7500)
    ('7 s', '1 min 15 s', '2 h 5 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def megabytes(size: float) -> str:
    """Say how large something is.

    >>> megabytes(35_600_000), megabytes(4.2e9)
    ('36 MB', '4.2 GB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"
