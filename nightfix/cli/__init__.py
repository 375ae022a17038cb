"""Command line: the command line. The only room that prints, exits or knows exit codes."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress

from nightfix.cli.overview import overview


def main() -> None:
    """Run the command line; SIGTERM ends it like Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # File names may hold bytes that are not valid text: write them as they were read.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace" if sys.platform == "win32" else "surrogateescape")
    if sys.argv[1:] == ["--help"]:
        # Before the slow imports; if it cannot be written, the application reports it.
        with suppress(OSError):
            print(overview(), end="", flush=True)
            return
    from nightfix.cli.app import app

    app(prog_name="nightfix")
