"""Shared: ``python -m nightfix``."""

from nightfix.cli import main

if __name__ == "__main__":
    main()
