"""Command line: the commands, and the program's own help.

Nothing of Typer is imported here: that takes five times as long as to start Python.
"""

from __future__ import annotations

import shutil
import textwrap
from typing import NamedTuple

_SUMMARY = "Restore photos taken too dark and not quite still, from camera RAW."

_PHOTOS, _SETUP, _MAKING = "Photos", "This machine", "Your own weights"


class Entry(NamedTuple):
    """Where a command stands: ``module``, ``panel`` of the help and ``summary`` shown there."""

    module: str
    panel: str
    summary: str


#: In the order of the help. The summary is the beginning of the command's own help.
COMMANDS = {
    "enhance": Entry("enhance", _PHOTOS, "Restore dark, noisy, shaken RAW photos."),
    "preview": Entry(
        "preview", _PHOTOS, "Restore one region to a picture, the original beside it."
    ),
    "compare": Entry(
        "compare", _PHOTOS, "Join two pictures at a line: before on the left, after on the right."
    ),
    "info": Entry(
        "info", _PHOTOS, "Show what a RAW file says and what NightFix would do with it, or did."
    ),
    "look": Entry(
        "look",
        _PHOTOS,
        "Learn, list and export looks: the colors and tones of other pictures of yours.",
    ),
    "doctor": Entry(
        "doctor",
        _SETUP,
        "Report devices, memory, versions and weights, and try the network for ten seconds.",
    ),
    "benchmark": Entry(
        "benchmark",
        _SETUP,
        "Measure how long this machine takes, stage by stage, and how much memory.",
    ),
    "weights": Entry(
        "weights",
        _SETUP,
        "List, fetch, check and remove weights. The default ones come with the package.",
    ),
    "config": Entry("config", _SETUP, "Show where the configuration file is, and what is set."),
    "train": Entry(
        "train", _MAKING, "Train weights from photographs, panoramas, RAW files or real pairs."
    ),
    "evaluate": Entry(
        "evaluate", _MAKING, "Measure weights on photos whose clean version is known."
    ),
}

#: Options of the program itself.
OPTIONS = {
    "--version": "Show the version.",
    "--install-completion": "Install completion for the current shell.",
    "--show-completion": "Show completion for the current shell, to copy it or customize the "
    "installation.",
    "--help": "Show this message and exit.",
}


def overview() -> str:
    """Return the program's own help, in lines of up to 48 to 78 characters, by the terminal."""
    width = min(max(shutil.get_terminal_size().columns, 50), 80) - 2
    parts = ["Usage: nightfix [OPTIONS] COMMAND [ARGS]...\n"]
    parts.append(textwrap.fill(_SUMMARY, width, initial_indent="  ", subsequent_indent="  "))
    panels = dict.fromkeys(entry.panel for entry in COMMANDS.values())
    sections = {
        panel: {n: e.summary for n, e in COMMANDS.items() if e.panel == panel} for panel in panels
    }
    for title, rows in {"Options": OPTIONS, **sections}.items():
        parts.append(f"\n{title}:")
        column = max(map(len, rows)) + 4
        for name, text in rows.items():
            first = f"  {name}".ljust(column)
            parts.append(
                textwrap.fill(text, width, initial_indent=first, subsequent_indent=" " * column)
            )
    return "\n".join(parts) + "\n"
