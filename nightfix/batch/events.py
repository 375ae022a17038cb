"""Batch: events as JSON objects for programs: one per line, each complete in itself.

``nightfix/batch/events.schema.json`` is their JSON Schema. ``schema`` in every object is its
version: it grows when a field is renamed or taken away, not when one is added.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nightfix import __version__
from nightfix.batch.engine import Network
from nightfix.batch.planning import Planned
from nightfix.batch.shards import Shard
from nightfix.errors import NightFixError
from nightfix.pipeline import Result

SCHEMA = 1

Event = dict[str, Any]


def _event(name: str, **fields: Any) -> Event:
    return {"schema": SCHEMA, "event": name, **fields}


def start_event(photos: int, network: Network | None) -> Event:
    """Tell that a batch begins: how many photos, which weights, where."""
    facts = None if network is None else dataclasses.asdict(network)
    return _event("start", version=__version__, photos=photos, network=facts)


def shard_event(shard: Shard, photos: int, total: int) -> Event:
    """Tell that only a share is worked on: ``photos`` of the ``total`` that were named."""
    return _event("shard", number=shard.number, count=shard.count, photos=photos, of=total)


def photo_event(path: Path, number: int, total: int) -> Event:
    """Tell that the network begins with a photo, the ``number``-th of ``total``."""
    return _event("photo", path=str(path), number=number, total=total)


def progress_event(path: Path, done: int, total: int) -> Event:
    """Tell how many tiles of a photo are done."""
    return _event("progress", path=str(path), done=done, total=total)


def result_event(result: Result) -> Event:
    """Tell what came of a photo; the results are read again for their hash."""
    if result.skipped:
        return skipped_event(result.path, result.outputs)
    conditioning, timings = result.conditioning, result.timings
    ratio = noise = None
    if conditioning is not None:
        amplification, model = conditioning.amplification, conditioning.noise
        ratio = {
            "value": amplification.ratio,
            "source": amplification.source,
            "reason": amplification.reason,
        }
        noise = {"a": model.a, "b": model.b, "source": model.source}
    return _event(
        "result",
        path=str(result.path),
        outputs=[_file(output) for output in result.outputs],
        ratio=ratio,
        noise=noise,
        steps=result.steps,
        shake=None if result.motion is None else round(result.motion.length, 1),
        shake_direction=None if result.motion is None else round(result.motion.direction),
        hot_pixels=result.hot_pixels,
        lens=None if result.lens is None else _lists(dataclasses.asdict(result.lens)),
        levels=None if result.levels is None else _lists(dataclasses.asdict(result.levels)),
        notes=list(result.notes),
        camera={
            name: None if value == "" else value
            for name, value in dataclasses.asdict(result.camera).items()
        },
        seconds={
            "read": round(timings.read, 3),
            "network": round(timings.network, 3),
            "write": round(timings.write, 3),
        },
    )


def _lists(facts: Event) -> Event:
    """Return facts as JSON has them, which knows no tuples."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in facts.items()}


def _file(path: Path) -> Event:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
        size = file.tell()
    return {"path": str(path), "bytes": size, "sha256": digest.hexdigest()}


def skipped_event(path: Path, outputs: Iterable[Path]) -> Event:
    """Tell that a photo's results are there already."""
    return _event("skipped", path=str(path), outputs=[str(output) for output in outputs])


def error_event(path: Path | None, error: NightFixError, code: int) -> Event:
    """Tell that a photo, or the whole call if ``path`` is None, failed."""
    return _event(
        "error",
        path=None if path is None else str(path),
        kind=type(error).__name__,
        message=error.message,
        hint=error.hint,
        exit_code=code,
    )


def planned_event(planned: Planned, seconds: float) -> Event:
    """Tell what would become of a photo (``--dry-run``)."""
    return _event(
        "planned",
        path=str(planned.path),
        outputs=[str(target) for target in planned.targets],
        megapixels=round(planned.pixels / 1e6, 2),
        bytes=planned.size,
        seconds=math.ceil(seconds),
    )


def gallery_event(path: Path, photos: int) -> Event:
    """Tell that the page that shows the batch is written, with how many photos."""
    return _event("gallery", path=str(path), photos=photos)


def end_event(
    *, done: int, skipped: int, failed: int, seconds: float, network: float, code: int
) -> Event:
    """Tell that a batch is over: counts, seconds in all and in the network, exit code."""
    return _event(
        "end",
        done=done,
        skipped=skipped,
        failed=failed,
        seconds=round(seconds, 3),
        network_seconds=round(network, 3),
        exit_code=code,
    )
