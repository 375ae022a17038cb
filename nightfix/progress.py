"""Shared: how the library tells what it is doing, without printing."""

from __future__ import annotations

from collections.abc import Callable

#: Called with parts done and parts in all.
Progress = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    """Do nothing."""


def say_nothing(text: str) -> None:
    """Do nothing."""
