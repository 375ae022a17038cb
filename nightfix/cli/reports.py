"""Command line: what a running batch reports to a person or to a program."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from nightfix.batch import (
    Network,
    Outcome,
    Planned,
    end_event,
    error_event,
    gallery_event,
    photo_event,
    planned_event,
    progress_event,
    result_event,
    skipped_event,
    start_event,
)
from nightfix.cli.boundary import exit_code, report
from nightfix.cli.console import Display, clock, megabytes, plural
from nightfix.errors import NightFixError

#: Photos that the closing table names before it only counts.
_NAMED = 10


class Report:
    """Tells a person: paths on stdout, all else on stderr."""

    def __init__(self, display: Display, total: int) -> None:
        self.display, self.total = display, total
        self.done = 0
        self.skipped: list[Path] = []
        self.failed: list[tuple[Path, NightFixError]] = []
        self.network = 0.0
        self.begun = 0
        self.tiles: dict[Path, tuple[int, int]] = {}
        self.code_of_break = 0
        self.started = time.perf_counter()

    @property
    def code(self) -> int:
        """Exit code: of what broke the batch off, of the first failure, or 0."""
        failed = exit_code(self.failed[0][1]) if self.failed else 0
        return self.code_of_break or failed

    def start(self, network: Network | None) -> None:
        """Tell that work begins."""

    def begin(self, path: Path) -> None:
        """Tell which photo the network begins with."""
        self.begun += 1
        if self.total > 1:
            self.display.describe(f"restoring {self.begun}/{self.total}")

    def announce(self, text: str) -> None:
        """Tell a fact or a note."""
        self.display.announce(text)

    def progress(self, path: Path, done: int, total: int) -> None:
        """Tell how far the network is, with all photos that are in one now."""
        self.tiles[path] = done, total
        self.display.progress(*map(sum, zip(*self.tiles.values(), strict=True)))
        if done == total:
            del self.tiles[path]

    def outcome(self, outcome: Outcome) -> None:
        """Count what became of a photo and tell it."""
        self.tiles.pop(outcome.path, None)  # an error leaves it under way
        if outcome.error is not None:
            self.tell_error(outcome.path, outcome.error)
            self.failed.append((outcome.path, without_traceback(outcome.error)))
        elif outcome.result is not None and outcome.result.skipped:
            self.skipped.append(outcome.path)
            self.tell_skipped(outcome)
        else:
            self.done += 1
            self.network += outcome.result.timings.network if outcome.result else 0
            self.tell_result(outcome)

    def tell_error(self, path: Path, error: NightFixError) -> None:
        """Tell that a photo failed."""
        report(error, self.display.say)

    def tell_skipped(self, outcome: Outcome) -> None:
        """Tell that there was nothing to do for a photo."""
        self.display.announce(f"{outcome.path.name}: already done with these settings")

    def tell_result(self, outcome: Outcome) -> None:
        """Tell where a photo's results are."""
        if (result := outcome.result) is None:
            return
        known = result.conditioning.warning if result.conditioning else ""
        # The network is at another photo by now.
        name = f"{outcome.path.name}: " if self.total > 1 else ""
        for note in result.notes:
            if note != known:
                self.display.announce(f"note: {name}{note}")
        seconds = result.timings
        self.display.detail(
            f"{outcome.path.name}: read {seconds.read:.2f} s, network {seconds.network:.2f} s, "
            f"write {seconds.write:.2f} s"
        )
        for path in result.outputs:
            self.display.result(path)

    def gallery(self, path: Path, photos: int) -> None:
        """Tell where the page is that shows the photos."""
        self.display.announce(f"gallery of {plural(photos, 'photo')}: {path}")

    def end(self) -> None:
        """Tell what became of all photos, where there was more than one."""
        if self.total < 2:
            return
        self.display.table(self._rows())
        self.display.detail(
            f"{plural(self.done, 'photo')} in {self.seconds:.2f} s, network {self.network:.2f} s"
        )

    def broken_off(self, code: int) -> None:
        """Tell what was done before an interrupt, or before the engine broke down."""
        self.code_of_break = code
        self.end()

    @property
    def seconds(self) -> float:
        """Time since the batch began [s]."""
        return time.perf_counter() - self.started

    def _rows(self) -> list[tuple[str, str, str]]:
        rows = [("done", plural(self.done, "photo"), f"in {clock(self.seconds)}")]
        rows += self._group(
            "skipped", [(p, "already done with these settings") for p in self.skipped]
        )
        rows += self._group("failed", [(p, _reason(p, e)) for p, e in self.failed])
        return rows

    @staticmethod
    def _group(name: str, photos: list[tuple[Path, str]]) -> list[tuple[str, str, str]]:
        """Return a row a photo, one for many of the same reason."""
        by_reason: dict[str, list[Path]] = defaultdict(list)
        for path, reason in photos:
            by_reason[reason].append(path)
        rows = []
        for reason, paths in by_reason.items():
            if len(paths) > _NAMED:
                rows.append((name, plural(len(paths), "photo"), reason))
            else:
                rows += [(name, str(path), reason) for path in paths]
        return rows


def without_traceback(error: NightFixError) -> NightFixError:
    """Return an error without the frames it came through, which hold the pixels of its photo."""
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


def _reason(path: Path, error: NightFixError) -> str:
    return error.message.removeprefix(f"{path}: ")


class JsonReport(Report):
    """Tells a program: one JSON object a line on stdout; a person sees errors on stderr."""

    def write(self, event: dict[str, Any]) -> None:
        """Write an event at once."""
        self.display.result(json.dumps(event))

    def start(self, network: Network | None) -> None:
        """Tell that work begins."""
        self.write(start_event(self.total, network))

    def begin(self, path: Path) -> None:
        """Tell which photo the network begins with."""
        super().begin(path)
        self.write(photo_event(path, self.begun, self.total))

    def progress(self, path: Path, done: int, total: int) -> None:
        """Tell how far the network is."""
        super().progress(path, done, total)
        self.write(progress_event(path, done, total))

    def tell_error(self, path: Path, error: NightFixError) -> None:
        """Tell that a photo failed."""
        report(error, self.display.say)
        self.write(error_event(path, error, exit_code(error)))

    def tell_skipped(self, outcome: Outcome) -> None:
        """Tell that there was nothing to do for a photo."""
        if outcome.result is not None:
            self.write(result_event(outcome.result))

    def tell_result(self, outcome: Outcome) -> None:
        """Tell what came of a photo."""
        if outcome.result is not None:
            self.write(result_event(outcome.result))

    def gallery(self, path: Path, photos: int) -> None:
        """Tell where the page is that shows the photos."""
        self.write(gallery_event(path, photos))

    def end(self) -> None:
        """Tell that the batch is over."""
        self.write(
            end_event(
                done=self.done,
                skipped=len(self.skipped),
                failed=len(self.failed),
                seconds=self.seconds,
                network=self.network,
                code=self.code,
            )
        )


class Forecast:
    """Tells what would be done (``--dry-run``)."""

    def __init__(self, display: Display, json: bool, seconds_per_pixel: float) -> None:
        self.display, self.json, self.speed = display, json, seconds_per_pixel
        self.count: Counter[str] = Counter()
        self.size = 0
        self.seconds = 0.0
        self.first: NightFixError | None = None

    def tell(self, planned: Planned) -> None:
        """Tell what would become of one photo."""
        seconds = planned.pixels * self.speed
        self.size += planned.size
        self.seconds += seconds
        if planned.error is not None:
            self.count["would fail"] += 1
            self.first = self.first or planned.error
            self._error(planned.path, planned.error)
        elif planned.skipped:
            self.count["already done"] += 1
            self._write(skipped_event(planned.path, []), f"{planned.path}: already done")
        else:
            self.count["to do"] += 1
            targets = ", ".join(map(str, planned.targets))
            text = (
                f"{planned.path} -> {targets} ({planned.pixels / 1e6:.1f} MP, about "
                f"{megabytes(planned.size)}, {clock(seconds)})"
            )
            self._write(planned_event(planned, seconds), text)

    def _error(self, path: Path, error: NightFixError) -> None:
        report(error, self.display.say)
        if self.json:
            self.display.result(json.dumps(error_event(path, error, exit_code(error))))

    def _write(self, event: dict[str, Any], text: str) -> None:
        if self.json:
            self.display.result(json.dumps(event))
        else:
            self.display.say(text)

    def end(self) -> int:
        """Tell the sums and return the exit code that the batch would have, as far as is known."""
        sums = ", ".join(f"{count} {what}" for what, count in self.count.items())
        self.display.announce(
            f"{sums}; about {megabytes(self.size)} and {clock(self.seconds)}; nothing was written"
        )
        return exit_code(self.first) if self.first else 0
