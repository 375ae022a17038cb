"""Command line: run a batch, watch a folder, or only report what would be done."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nightfix.batch import (
    FoundPhotos,
    Photo,
    enhance_many,
    error_event,
    find_photos,
    plan,
    seconds_per_pixel,
    watch,
    with_sizes,
    without_clashes,
)
from nightfix.cli.boundary import INTERRUPTED, exit_code
from nightfix.cli.console import Display, Verbosity, left_out_line, print_line
from nightfix.cli.reports import Forecast, JsonReport, Report
from nightfix.errors import NightFixError
from nightfix.pipeline import EnhanceOptions
from nightfix.read import start_decoder
from nightfix.restore import weights_sha256

if TYPE_CHECKING:
    from nightfix.restore import Restorer


@dataclass(kw_only=True)
class Batch:
    """One call of ``nightfix enhance``."""

    names: list[Path]
    recursive: bool
    options: EnhanceOptions
    weights: str
    device: str
    jobs: int
    json: bool
    verbosity: Verbosity
    _restorer: Restorer | None = field(default=None, init=False)

    def run(self) -> None:
        """Enhance all photos and exit with the first failure's code."""
        with Display(self.verbosity) as display:
            digest = self._digest()
            photos = self._photos(self._find_photos(), display)
            report = self._report(display, len(photos))
            self._enhance(photos, digest, report)
            report.end()
            if not photos:
                display.announce("nothing to do: no photos given")
        if report.code:
            raise typer.Exit(report.code)

    def watch(self) -> None:
        """Enhance existing and new photos until interrupted."""
        with Display(self.verbosity) as display:
            digest = self._digest()
            report = self._report(display, 0)
            display.announce("watching for new photos; press Ctrl-C to stop")
            for photos in watch(self._find_photos):
                report.total += len(photos)
                self._enhance(without_clashes(photos, self.options), digest, report)

    def forecast(self) -> None:
        """Report what would be done."""
        with Display(self.verbosity) as display:
            digest = self._digest()
            photos = self._photos(self._find_photos(), display)
            planned = plan(photos, self.options, digest)
            speed = 0.0
            if any(one.targets for one in planned) and (restorer := self._load()):
                speed = seconds_per_pixel(restorer, self.options.settings)
            forecast = Forecast(display, self.json, speed)
            for one in planned:
                forecast.tell(with_sizes(one, self.options))
            code = forecast.end()
        if code:
            raise typer.Exit(code)

    def _find_photos(self) -> FoundPhotos:
        return find_photos(
            self.names,
            recursive=self.recursive,
            suffix=self.options.suffix,
            output=self.options.output,
        )

    def _photos(self, found: FoundPhotos, display: Display) -> list[Photo]:
        if found.left_out:
            display.announce(left_out_line(found.left_out))
        return without_clashes(found.photos, self.options)

    def _report(self, display: Display, total: int) -> Report:
        return (JsonReport if self.json else Report)(display, total)

    def _enhance(self, photos: Iterable[Photo], digest: str, report: Report) -> None:
        """Enhance photos and report each outcome."""
        photos = list(photos)
        needed = any(one.targets for one in plan(photos, self.options, digest))
        restorer = self._load() if needed else None
        report.start(restorer)
        try:
            for outcome in enhance_many(
                photos,
                self.options,
                restorer=restorer,
                weights=digest,
                jobs=self.jobs,
                begin=report.begin,
                announce=report.announce,
                progress=report.progress,
            ):
                report.outcome(outcome)
        except KeyboardInterrupt:
            report.interrupted(INTERRUPTED)
            raise

    def _digest(self) -> str:
        """Return the hash of the weights, which must exist before any work starts."""
        try:
            return weights_sha256(self.weights) if self.options.restore else ""
        except NightFixError as error:
            self._tell(error)
            raise

    def _load(self) -> Restorer | None:
        """Build the network once."""
        if self._restorer is None and self.options.restore:
            start_decoder()  # which gets ready while torch is imported
            from nightfix.restore import Restorer

            try:
                self._restorer = Restorer(self.weights, self.device)
            except NightFixError as error:
                self._tell(error)
                raise
        return self._restorer

    def _tell(self, error: NightFixError) -> None:
        """Report an error that ends the call to a program."""
        if self.json:
            print_line(json.dumps(error_event(None, error, exit_code(error))))
