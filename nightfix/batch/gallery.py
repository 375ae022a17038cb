"""Entry: a page that shows a batch before and after, with nothing but files beside it.

The pictures and facts of a photo are made once and kept beside the page, so that a page of
photos that were done before costs next to nothing, and only their facts stay in memory.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nightfix.batch.engine import Outcome
from nightfix.batch.gallery_page import MARK, Entry, page
from nightfix.develop import COLOR_SPACES, icc_profile
from nightfix.errors import NightFixError, OutputExistsError, OutputWriteError
from nightfix.pipeline import BeforeAfter, EnhanceOptions, Result, before_after, easiest_to_show
from nightfix.write import replacing

#: Longest side of the pictures in the overview [px].
_CARD_SIDE = 560

_QUALITY = 78

#: Photos whose pictures may wait to be made before the batch waits for them.
_WAITING = 2

#: Of the entries that are kept; one of another number is made anew.
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What is kept of a photo beside its pictures."""

    size: tuple[int, int]
    ratio: float
    captured: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    seconds: float


class Gallery:
    """The page of one batch.

    Parameters
    ----------
    path : Path
        The page, ``NAME.html``; the pictures go into ``NAME_files`` beside it.
    options : EnhanceOptions
        Of the batch.

    Raises
    ------
    OutputError
        If there is a file of that name that is no gallery, and nothing may be overwritten.
    """

    def __init__(self, path: Path, options: EnhanceOptions) -> None:
        self.path, self.options = path, options
        self.folder = path.with_name(f"{path.stem}_files")
        if path.is_dir():
            raise OutputWriteError(path, "is a folder", "--gallery takes the name of a page")
        if path.exists() and not options.overwrite and not self._is_ours():
            raise OutputExistsError(path)
        self.entries: list[Entry] = []
        self._worker = ThreadPoolExecutor(1, "gallery")
        self._making: deque[Future[Entry]] = deque()

    def add(self, outcome: Outcome) -> None:
        """Take up what became of a photo; its pictures are made while the batch goes on."""
        while len(self._making) > _WAITING:
            self.entries.append(self._making.popleft().result())
        self._making.append(self._worker.submit(self._entry, outcome))

    def write(self) -> int:
        """Write the page with all photos so far, and return their number.

        Raises
        ------
        OutputWriteError
            If the disk refuses it.
        """
        while self._making:
            self.entries.append(self._making.popleft().result())
        with replacing(self.path, overwrite=True) as temporary:
            temporary.write_text(page(self.entries, self.path), "utf-8")
        return len(self.entries)

    def _is_ours(self) -> bool:
        with self.path.open("rb") as file:
            return MARK.encode() in file.read(4096)

    def _entry(self, outcome: Outcome) -> Entry:
        """Return the entry of a photo; where its pictures cannot be made it says why."""
        result, error = outcome.result, outcome.error
        if result is None:
            message, hint = (error.message, error.hint) if error else ("", "")
            return Entry(path=outcome.path, outcome="failed", error=message, hint=hint)
        state = "skipped" if result.skipped else "done"
        try:
            key, kept = self._pictures(result)
        except NightFixError as trouble:
            why = f"cannot be shown: {trouble.message}"
            return Entry(path=outcome.path, outcome=state, outputs=result.outputs, error=why)
        return Entry(
            path=outcome.path,
            outcome=state,
            outputs=result.outputs,
            pictures=f"{self.folder.name}/{key}",
            **{name: getattr(kept, name) for name in _Kept.__slots__},
        )

    def _pictures(self, result: Result) -> tuple[str, _Kept]:
        """Make the pictures of a photo, unless those of this very result are there."""
        output = easiest_to_show(result.outputs)
        key = hashlib.sha256(os.fsencode(os.path.abspath(output))).hexdigest()[:20]
        facts = self.folder / f"{key}.json"
        try:
            stamp = [_VERSION, *_state(result.path), *_state(output)]
        except OSError as error:
            raise OutputWriteError(output, error.strerror or str(error)) from error
        if (kept := _read_kept(facts, stamp)) is not None:
            return key, kept
        seen = before_after(result.path, output, self.options)
        self._save(key, seen)
        kept = _Kept(
            size=seen.size,
            ratio=seen.ratio,
            captured=seen.captured,
            facts=seen.facts,
            notes=seen.notes if result.skipped else result.notes,
            seconds=round(result.seconds, 1),
        )
        with replacing(facts, overwrite=True) as temporary:
            temporary.write_text(json.dumps({"stamp": stamp, **asdict(kept)}), "utf-8")
        return key, kept

    def _save(self, key: str, seen: BeforeAfter) -> None:
        profile = icc_profile(COLOR_SPACES[seen.color_space])
        for side in ("before", "after"):
            shown = getattr(seen, side)
            for kind, picture in (
                ("view", shown),
                ("card", _small(shown)),
                ("detail", getattr(seen, f"detail_{side}")),
            ):
                target = self.folder / f"{key}-{kind}-{side}.webp"
                with replacing(target, overwrite=True) as temporary:
                    image = Image.fromarray(picture)
                    image.save(temporary, quality=_QUALITY, method=2, icc_profile=profile)


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(picture)
    image.thumbnail((_CARD_SIDE, _CARD_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _read_kept(path: Path, stamp: list[int]) -> _Kept | None:
    """Return what was kept of a photo, if it is still of these very files."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        known: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if known.pop("stamp") != stamp:
            return None
        width, height = known.pop("size")
        facts = tuple((str(name), str(value)) for name, value in known.pop("facts"))
        notes = tuple(map(str, known.pop("notes")))
        return _Kept(size=(int(width), int(height)), facts=facts, notes=notes, **known)
    return None
