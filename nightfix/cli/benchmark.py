"""Command line: ``nightfix benchmark``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nightfix.cli.options import DeviceOption, StepCountsOption, numbers
from nightfix.errors import OutputWriteError

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
        typer.Option(metavar="NAME|PATH", help="Weights to measure. (default: all known)"),
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
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the figures as JSON.")
    ] = None,
) -> None:
    """Measure how long this machine takes, stage by stage, and how much memory.

    Example: nightfix benchmark --megapixels 24 --steps 3
    """
    from nightfix.evaluation import (
        BenchmarkCase,
        as_json,
        measure_all,
        measure_batch,
        measure_darktable,
        processor_name,
    )
    from nightfix.restore import KNOWN_WEIGHTS

    cases = [
        BenchmarkCase(megapixels=size, weights=name, steps=count, device=device)
        for name in weights or sorted(KNOWN_WEIGHTS)
        for size in megapixels
        for count in steps
    ]
    print(processor_name(), file=sys.stderr)
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
            json.write_text(as_json(measurements, batches, neighbors) + "\n", "utf-8")
        except OSError as error:
            raise OutputWriteError(json, error.strerror or str(error)) from error
