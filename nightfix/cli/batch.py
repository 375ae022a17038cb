"""Command line: run a batch, watch a folder, or only report what would be done."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nightfix.batch import (
    Engine,
    FoundPhotos,
    Gallery,
    Here,
    Outcome,
    Photo,
    RayCluster,
    Shard,
    enhance_many,
    error_event,
    find_photos,
    is_needed,
    plan,
    seconds_per_pixel,
    shard_event,
    take_share,
    watch,
    with_sizes,
    without_clashes,
)
from nightfix.cli.boundary import INTERRUPTED, exit_code
from nightfix.cli.console import Display, Verbosity, left_out_line, plural, print_line
from nightfix.cli.reports import Forecast, JsonReport, Report
from nightfix.errors import NightFixError
from nightfix.pipeline import EnhanceOptions
from nightfix.read import start_decoder
from nightfix.restore import weights_sha256
from nightfix.write import make_folder

if TYPE_CHECKING:
    from nightfix.restore import Restorer


@dataclass(kw_only=True)
class Batch:
    """One call of ``nightfix enhance``."""

    names: list[Path]
    recursive: bool
    shard: Shard | None = None
    page: Path | None = None
    options: EnhanceOptions
    weights: str
    device: str
    jobs: int
    ray: bool = False
    address: str | None = None
    json: bool
    verbosity: Verbosity
    _restorer: Restorer | None = field(default=None, init=False)
    _cluster: RayCluster | None = field(default=None, init=False)
    _gallery: Gallery | None = field(default=None, init=False)

    def run(self) -> None:
        """Enhance all photos and exit with the first failure's code."""
        with Display(self.verbosity) as display, closing(self):
            digest = self._digest()
            self._open_gallery()
            photos = self._photos(self._find_photos(), display)
            report = self._report(display, len(photos))
            self._enhance(photos, digest, report)
            report.end()
            if not photos:
                what = "in this share" if self.shard else "given"
                display.announce(f"nothing to do: no photos {what}")
        if report.code:
            raise typer.Exit(report.code)

    def watch(self) -> None:
        """Enhance existing and new photos until interrupted."""
        with Display(self.verbosity) as display, closing(self):
            digest = self._digest()
            self._open_gallery()
            report = self._report(display, 0)
            display.announce("watching for new photos; press Ctrl-C to stop")
            for photos in watch(self._find_photos):
                report.total += len(photos)
                self._enhance(self._checked(photos), digest, report)

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
        photos = self._checked(found.photos)
        if self.shard is not None:
            total = len(found.photos)
            display.announce(f"share {self.shard}: {len(photos)} of {plural(total, 'photo')}")
            if self.json:
                print_line(json.dumps(shard_event(self.shard, len(photos), total)))
        return photos

    def _checked(self, photos: Iterable[Photo]) -> list[Photo]:
        """Find clashes among all photos, and return those of this share."""
        checked = without_clashes(photos, self.options)
        return take_share(checked, self.shard) if self.shard else checked

    def _report(self, display: Display, total: int) -> Report:
        return (JsonReport if self.json else Report)(display, total)

    def _enhance(self, photos: Iterable[Photo], digest: str, report: Report) -> None:
        """Enhance photos and report each outcome."""
        photos = list(photos)
        engine: Engine = Here(None, self.jobs)
        if is_needed(photos, self.options, digest):
            engine = self._open_engine(photos, digest, report)
        report.start(engine.network())
        outcomes = enhance_many(
            photos,
            self.options,
            restorer=None,
            weights=digest,
            engine=engine,
            begin=report.begin,
            announce=report.announce,
            progress=report.progress,
        )
        try:
            self._tell_all(outcomes, report)
            self._write_gallery(report)
        except KeyboardInterrupt:
            self._write_gallery(report)
            report.broken_off(INTERRUPTED)
            raise
        except NightFixError as error:
            self._tell(error)
            self._write_gallery(report)
            report.broken_off(exit_code(error))
            raise

    def _tell_all(self, outcomes: Generator[Outcome, None, None], report: Report) -> None:
        """Report each outcome; after an interrupt, those that were still being written, too."""
        try:
            for outcome in outcomes:
                self._tell_one(outcome, report)
        except KeyboardInterrupt as interrupt:
            # It may have come amid a report: the engine must hear of it.
            self._tell_one(outcomes.throw(interrupt), report)
            for outcome in outcomes:
                self._tell_one(outcome, report)
            raise

    def _tell_one(self, outcome: Outcome, report: Report) -> None:
        report.outcome(outcome)
        if self._gallery is not None:
            self._gallery.add(outcome)

    def _open_engine(self, photos: list[Photo], digest: str, report: Report) -> Engine:
        """Load the network here, or on the cluster; once for all photos that arrive."""
        if not self.ray:
            return Here(self._load(), self.jobs)
        try:
            if self._cluster is None:
                self._cluster = RayCluster(
                    weights=self.weights if self.options.restore else None,
                    sha256=digest,
                    device=self.device,
                    address=self.address,
                    jobs=self.jobs,
                    places=self._places(photos),
                    announce=report.announce,
                )
            self._cluster.network()
        except NightFixError as error:
            self._tell(error)
            raise
        return self._cluster

    def _places(self, photos: list[Photo]) -> list[Path]:
        """Return a photo, the dark frames and the folder of the results, which is made."""
        places = [photo.path for photo in photos if photo.error is None][:1]
        places += map(Path, self.options.dark)
        if self.options.output is not None:
            make_folder(Path(self.options.output) / "result")
            places.append(Path(self.options.output))
        return places

    def close(self) -> None:
        """End the workers on the cluster."""
        if self._cluster is not None:
            self._cluster.close()

    def _open_gallery(self) -> None:
        """Prepare the page; one that must not be replaced is an error before any work."""
        if self.page is not None:
            try:
                self._gallery = Gallery(self.page, self.options)
            except NightFixError as error:
                self._tell(error)
                raise

    def _write_gallery(self, report: Report) -> None:
        """Write the page with all photos so far."""
        if self._gallery is not None:
            report.gallery(self._gallery.path, self._gallery.write())

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
