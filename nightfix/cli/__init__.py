"""Entry: the command line. The only room that prints, exits or knows exit codes."""

from __future__ import annotations

from nightfix.cli.app import app


def main() -> None:
    """Run the command line."""
    app()


__all__ = ["app", "main"]
