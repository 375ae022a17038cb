"""Entry: the text of the gallery's page. Whatever comes from files is escaped here."""

from __future__ import annotations

import base64
import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from nightfix import __version__
from nightfix.batch.sources import natural_order

#: What marks a page as ours, to be replaced by the next one.
MARK = '<meta name="generator" content="NightFix gallery'

#: In the order in which they are counted and chosen, with what a person reads.
_OUTCOMES = {"done": "restored", "skipped": "done before", "failed": "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One photo on the page.

    Attributes
    ----------
    path : Path
        The photo.
    outcome : {"done", "skipped", "failed"}
        What became of it.
    outputs : tuple of Path
        Its results.
    pictures : str
        Beginning of its pictures' names, seen from the page; "" where there are none.
    size : (int, int)
        Width and height of the picture [px].
    ratio : float
        The amplification [-].
    captured : str
        When it was taken, as EXIF writes it.
    facts : tuple of (str, str)
        Names and values.
    notes : tuple of str
        What to know of the result.
    seconds : float
        Time that the photo took [s]; 0 = unknown.
    error, hint : str
        Why it failed or cannot be shown, and what to do about it.
    """

    path: Path
    outcome: str
    outputs: tuple[Path, ...] = ()
    pictures: str = ""
    size: tuple[int, int] = (3, 2)
    ratio: float = 0.0
    captured: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str = ""
    hint: str = ""


def page(entries: Iterable[Entry], path: Path) -> str:
    """Return the page of some photos.

    Parameters
    ----------
    entries : iterable of Entry
        The photos, in any order.
    path : Path
        Where the page will be, for the links to results.

    Returns
    -------
    str
        HTML with its style and script inside; only pictures and results are files.
    """
    entries = list(entries)
    root = _common_folder([os.path.dirname(os.path.abspath(entry.path)) for entry in entries])
    folders = {entry.path: _folder(entry.path, root) for entry in entries}
    entries.sort(
        key=lambda entry: (
            natural_order(folders[entry.path].removeprefix(".")),
            natural_order(entry.path.name),
        )
    )
    template, style, script = (
        files("nightfix").joinpath(f"batch/gallery.{kind}").read_text("utf-8")
        for kind in ("html", "css", "js")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    counts = Counter(entry.outcome for entry in entries)
    parts = {
        "title": escape(_text(os.path.basename(root) or "Photos")),
        "mark": f'{MARK} {escape(__version__)}">',
        "digest": digest,
        "folders": "".join(
            f'<option value="{name}">{name}</option>'
            for name in map(escape, sorted(set(folders.values()), key=natural_order))
        ),
        "outcomes": "".join(
            f'<button type="button" class="chip {kind}" data-outcome="{kind}" aria-pressed="true">'
            f"{name} <b>{counts[kind]}</b></button>"
            for kind, name in _OUTCOMES.items()
            if counts[kind]
        ),
        "cards": "\n".join(
            _card(entry, folders[entry.path], number, path.parent)
            for number, entry in enumerate(entries)
        ),
        "style": style,
        "script": script,
    }
    return re.sub(r"<!--(\w+)-->", lambda mark: parts[mark[1]], template)


def _common_folder(folders: list[str]) -> str:
    try:
        return os.path.commonpath(folders)
    except ValueError:  # none, or on several drives
        return ""


def _folder(path: Path, root: str) -> str:
    """Return the folder of a photo, below what all have in common."""
    folder = os.path.dirname(os.path.abspath(path))
    return _text(Path(os.path.relpath(folder, root) if root else folder).as_posix())


def _text(name: str) -> str:
    """Return a file's name as text that can be written, whatever its bytes are."""
    return name.encode("utf-8", "replace").decode()


def _card(entry: Entry, folder: str, number: int, page_folder: Path) -> str:
    """Return one photo: pictures under a slider, then facts and notes."""
    name = escape(_text(entry.path.name))
    # Milder than the truth for panoramas, whose card would be wider than the window.
    aspect = min(max(entry.size[0] / entry.size[1], 0.5), 2.5)
    attributes = {
        "data-folder": escape(folder),
        "data-outcome": entry.outcome,
        "data-order": str(number),
        "data-taken": escape(entry.captured),
        "data-ratio": f"{entry.ratio:g}",
        "data-seconds": f"{entry.seconds:g}",
        "data-pictures": escape(_address(entry.pictures)),
        "data-aspect": f"{entry.size[0] / entry.size[1]:.4f}",
        "style": f"--aspect:{aspect:.4f}",
    }
    stated = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    known = dict(entry.facts)
    line = " · ".join(
        escape(value)
        for value in (
            known.get("Camera", ""),
            known.get("Time", ""),
            f"ISO {known['ISO']}" if "ISO" in known else "",
            f"+{math.log2(entry.ratio):.1f} EV" if entry.ratio > 1 else "",
        )
        if value
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in entry.notes)
    opened = f'<button type="button" class="name" title="Open it large">{name}</button>'
    return (
        f'<article class="card {entry.outcome}" {stated}>{_figure(entry, name)}'
        f"<header>{opened if entry.pictures else f'<b class=name>{name}</b>'}"
        f'<span class="where">{escape(folder) if folder != "." else ""}</span>'
        f'<span class="outcome">{_OUTCOMES[entry.outcome]}</span></header>'
        f'<p class="line">{line}</p>'
        f'<ul class="notes">{notes}</ul>'
        f"<dl>{_table(entry, page_folder)}</dl></article>"
    )


def _figure(entry: Entry, name: str) -> str:
    if not entry.pictures:
        hint = f"<p>{escape(entry.hint)}</p>" if entry.hint else ""
        error = escape(_text(entry.error.removeprefix(f"{entry.path}: ")))
        return f'<div class="trouble"><p>{error}</p>{hint}</div>'
    start = escape(_address(entry.pictures))
    pictures = "".join(
        f'<img class="{side}" src="{start}-card-{side}.webp" alt="{side}" loading="lazy" '
        f'decoding="async" draggable="false">'
        for side in ("after", "before")
    )
    return (
        f'<div class="pair">{pictures}<span class="tag left">before</span>'
        f'<span class="tag right">after</span><i></i><input type="range" min="0" max="100" '
        f'step="1" value="50" aria-label="{name}: how much is shown as it was before"></div>'
    )


def _table(entry: Entry, page_folder: Path) -> str:
    rows = [(name, escape(value)) for name, value in entry.facts]
    if entry.seconds:
        rows.append(("Took", f"{entry.seconds:g} s"))
    links = "<br>".join(_link(output, page_folder) for output in entry.outputs)
    rows.append(("Results", links))
    rows.append(("Photo", _link(entry.path, page_folder)))
    return "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in rows if value)


def _link(path: Path, page_folder: Path) -> str:
    try:
        target = Path(os.path.relpath(path, page_folder)).as_posix()
    except ValueError:  # on another drive
        return escape(_text(str(path)))
    return f'<a href="{escape(_address(target))}">{escape(_text(path.name))}</a>'


def _address(target: str) -> str:
    """Return a link to a file; a name with a colon must not look like another protocol."""
    return f"./{quote(os.fsencode(target))}" if target else ""
