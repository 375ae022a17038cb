"""Entry: the command line. The only room that prints, exits or knows exit codes."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress

from nightfix.cli.overview import overview


def main() -> None:
    """Run the command line; a polite request to end (SIGTERM) is the same as Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Names of files may hold bytes that are no text: they go out as they came in.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace" if sys.platform == "win32" else "surrogateescape")
    if sys.argv[1:] == ["--help"]:
        # Before anything is imported that takes longer; if it cannot be written, the app says so.
        with suppress(OSError):
            print(overview(), end="", flush=True)
            return
    from nightfix.cli.app import app

    app(prog_name="nightfix")
