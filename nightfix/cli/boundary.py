"""Command line: the one place where errors become lines on stderr and exit codes."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from nightfix import __version__
from nightfix.cli.commands import Commands
from nightfix.cli.console import printable
from nightfix.cli.overview import COMMANDS, overview
from nightfix.errors import (
    ConfigError,
    DeviceError,
    InputError,
    NightFixError,
    OutputError,
    OutputWriteError,
    WeightsError,
)

BUG, WRONG_CALL, INTERRUPTED = 1, 2, 130
EXIT_CODES: dict[type[BaseException], int] = {
    ConfigError: 2,
    InputError: 3,
    WeightsError: 4,
    DeviceError: 5,
    OutputError: 6,
}


#: Errors of the file that standard output goes to: full, over a quota or a limit, broken.
_STDOUT_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def exit_code(error: NightFixError) -> int:
    """Return the exit code of an error's family."""
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), BUG)


def to_stderr(line: str) -> None:
    """Write a line on stderr."""
    print(printable(line), file=sys.stderr, flush=True)


def report(error: NightFixError, say: Callable[[str], None] = to_stderr) -> None:
    """Print an error and what to do about it, on stderr."""
    if os.environ.get("NIGHTFIX_DEBUG"):
        traceback.print_exception(error)
    say(f"error: {error.message}")
    say(f"hint: {error.hint}")


def finish(failures: list[NightFixError]) -> None:
    """Report what failed and leave with the first failure's code, if there is one."""
    for failure in failures:
        report(failure)
    if failures:
        raise typer.Exit(exit_code(failures[0]))


class Boundary(TyperGroup):
    """The command group, which catches the errors of its commands.

    Its own help is plain text: importing Rich would take longer than everything else.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"commands": Commands()})

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, in the order of the help."""
        return list(COMMANDS)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write usage, options and commands."""
        formatter.write(overview())

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; suggest ``enhance`` where a photo was given instead."""
        first = args[0]
        if first not in COMMANDS and _is_photo(first):
            ctx.fail(f"{first!r} is not a command. Did you mean 'nightfix enhance {first}'?")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse the program's own options; without any arguments, show the help."""
        if not args and not ctx.resilient_parsing:
            print(overview(), end="", file=sys.stderr)
            raise typer.Exit(WRONG_CALL)
        return super().parse_args(ctx, args)

    def make_context(self, *arguments: Any, **extra: Any) -> Any:
        """Parse what was typed, and write the help if that was asked for."""
        with _exit_codes():
            return super().make_context(*arguments, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        with _exit_codes():
            return super().invoke(ctx)


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Turn errors into lines and exit codes; a bug keeps its traceback."""
    try:
        yield
    except NightFixError as error:
        report(error)
        raise typer.Exit(exit_code(error)) from error
    except KeyboardInterrupt as error:
        print("interrupted; finished results are kept", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from error
    except (BrokenPipeError, SystemExit) as error:
        # Rich exits where the pipe is broken; any other exit passes through.
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        # Whoever read our output has closed the pipe: end quietly.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        raise typer.Exit(0) from None
    except OSError as error:
        # Errors of photos and results have been reported before.
        if error.errno not in _STDOUT_ERRORS:
            raise
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        what, hint = (
            error.strerror or str(error),
            "free some space there; finished results are kept",
        )
        refused = OutputWriteError(Path("the standard output"), what, hint)
        report(refused)
        raise typer.Exit(exit_code(refused)) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] in {"typer", "click"}:
            raise
        traceback.print_exception(error)
        print(f"error: this is a bug in NightFix {__version__}", file=sys.stderr)
        print("hint: please report it with the lines above", file=sys.stderr)
        raise typer.Exit(BUG) from error


def _is_photo(name: str) -> bool:
    """Tell whether a word that is not a command looks like a photo or a folder."""
    from nightfix.read import RAW_SUFFIXES

    return os.path.exists(name) or Path(name).suffix.lower() in RAW_SUFFIXES
