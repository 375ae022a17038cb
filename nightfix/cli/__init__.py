"""Entry: the command line. The only room that prints, exits or knows exit codes."""

from __future__ import annotations

import sys

from nightfix.cli.app import app


def main() -> None:
    """Run the command line."""
    # Names of files may hold bytes that are no text: they go out as they came in.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace" if sys.platform == "win32" else "surrogateescape")
    app()


__all__ = ["app", "main"]
