"""Shared: how the library tells what it is doing, without printing."""

from __future__ import annotations

from collections.abc import Callable

#: Called with parts done and parts in all.
Progress = Callable[[int, int], None]

#: Called with the length of a shake [px].
Shaken = Callable[[float], None]


def no_progress(done: int, total: int) -> None:
    """Do nothing."""


def no_shake(length: float) -> None:
    """Do nothing."""


def say_nothing(text: str) -> None:
    """Do nothing."""
