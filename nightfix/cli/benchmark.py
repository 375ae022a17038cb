"""Command line: ``nightfix benchmark``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightfix.cli.console import plural
from nightfix.cli.options import (
    AddressOption,
    DeviceOption,
    EngineChoice,
    EngineOption,
    StepCountsOption,
    numbers,
    on_ray,
)
from nightfix.errors import OutputWriteError

if TYPE_CHECKING:
    from nightfix.evaluation import BenchmarkCase, ClusterMeasurement, Measurement

_COLUMNS = (
    ("photo", "MP"),
    ("weights", ""),
    ("steps", ""),
    ("read", "s/MP"),
    ("condition", "s/MP"),
    ("restore", "s/MP"),
    ("develop", "s/MP"),
    ("write", "s/MP"),
    ("all", "s"),
    ("network", "s"),
    ("overlap", "%"),
    ("lamps", "%"),
    ("all/bare", ""),
    ("memory", "MB"),
)


def benchmark(
    megapixels: Annotated[
        Any,
        typer.Option(
            metavar="MP,...", parser=numbers(0.01, 500), help="Sizes of the synthetic photos."
        ),
    ] = "12,24,100",
    steps: StepCountsOption = "1,2,3",
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|PATH", help="Weights to measure. (default: all that restore a photo)"
        ),
    ] = None,
    device: DeviceOption = "auto",
    batch: Annotated[
        bool,
        typer.Option("--batch", help="Also measure a batch of 12 photos for each case."),
    ] = False,
    darktable: Annotated[
        bool,
        typer.Option(
            "--darktable",
            help="Also measure darktable's export with its profiled denoise, if it is installed.",
        ),
    ] = False,
    engine: EngineOption = EngineChoice.local,
    address: AddressOption = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the figures as JSON.")
    ] = None,
) -> None:
    """Measure how long this machine takes, stage by stage, and how much memory.

    With --engine ray: photos an hour on the cluster against one process, and where it stops
    scaling. Run it in a folder that all machines see.

    Example: nightfix benchmark --megapixels 24 --steps 3
    """
    from nightfix.evaluation import (
        BenchmarkCase,
        as_json,
        measure_batch,
        measure_darktable,
        processor_name,
    )
    from nightfix.restore import PHOTO_WEIGHTS

    cases = [
        BenchmarkCase(megapixels=size, weights=name, steps=count, device=device)
        for name in weights or PHOTO_WEIGHTS
        for size in megapixels
        for count in steps
    ]
    ray = on_ray(engine, address)
    print(processor_name(), file=sys.stderr)
    clusters = _on_cluster(cases, address) if ray else []
    measurements = [] if ray else _stage_by_stage(cases)
    batches = []
    for case in cases if batch else ():
        batches.append(many := measure_batch(case))
        print(
            f"{many.photos} photos of {case.megapixels:g} MP, steps {case.steps}: "
            f"{many.seconds:.1f} s, {many.ratio:.3f} times their {many.network:.1f} s of network",
            flush=True,
        )
    neighbors = {}
    for size in megapixels if darktable else ():
        if (seconds := measure_darktable(size)) is not None:
            neighbors[size] = seconds
            ours = [m for m in measurements if m.case.megapixels == size]
            times = ", ".join(f"{m.seconds['all'] / seconds:.1f}" for m in ours)
            print(f"darktable, {size:g} MP: {seconds:.1f} s; the above take {times} times as long")
    if json is not None:
        try:
            json.write_text(as_json(measurements, batches, neighbors, clusters) + "\n", "utf-8")
        except OSError as error:
            raise OutputWriteError(json, error.strerror or str(error)) from error


def _stage_by_stage(cases: list[BenchmarkCase]) -> list[Measurement]:
    """Measure each case in a process of its own, and print a line of the table."""
    from nightfix.evaluation import measure_all

    print("  ".join(f"{name:>9}" for name, _ in _COLUMNS))
    print("  ".join(f"{unit:>9}" for _, unit in _COLUMNS))
    measurements = []
    for found in measure_all(cases):
        measurements.append(found)
        stages = (found.seconds[stage] / found.megapixels for stage, _ in _COLUMNS[3:8])
        name = found.case.weights.removesuffix(".safetensors").rpartition("/")[2]
        memory = "unknown" if found.memory is None else f"{found.memory:.0f}"
        cells = [f"{found.megapixels:.1f}", name.removeprefix("nightfix-"), str(found.case.steps)]
        cells += [f"{seconds:.3f}" for seconds in stages]
        cells += [f"{found.seconds['all']:.1f}", f"{found.network:.1f}"]
        cells += [f"{100 * found.overlap:.0f}", f"{100 * found.lamps:.0f}"]
        cells += [f"{found.ratio:.2f}", memory]
        print("  ".join(f"{cell:>9}" for cell in cells), flush=True)
    return measurements


def _on_cluster(cases: list[BenchmarkCase], address: str | None) -> list[ClusterMeasurement]:
    """Measure each case on a cluster of more and more workers, and print where that ends."""
    from nightfix.evaluation import measure_cluster, scales_to

    measurements = []
    for case in cases:
        print(f"{case.megapixels:g} MP, {case.weights}, steps {case.steps}", flush=True)
        found: list[ClusterMeasurement] = []
        for one in measure_cluster(case, address):
            found.append(one)
            where = plural(one.workers, "worker") if one.workers else "one process"
            times = one.hourly / found[0].hourly
            print(f"{where:>13}: {one.hourly:.0f} photos an hour, {times:.2f} times", flush=True)
        most = plural(found[-1].workers, "worker")
        print(f"scales to {scales_to(found)} of {most}", flush=True)
        measurements += found
    return measurements
