"""Damage files by the thousand and read each: a picture or one known error, and nothing else.

    python tests/fuzz/files.py --count 20000 FILE_OR_FOLDER...

Reading runs in a process of its own, so that a crash or a hang is found and told, with the seed
that repeats it (``--first SEED --count 1``). Prints a summary, in which "crash" and "time" are
what became of LibRaw's own process; leaves with 1 if anything but a picture or a known error
came out.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import resource
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from mutations import mutate


def read_all(seeds: list[Path], jobs: range, pipe: Connection, whole: bool) -> None:
    """Read each damaged file; tell its number before and its outcome after."""
    import numpy as np

    from nightfix.condition.conditioning import condition_raw
    from nightfix.develop.develop import develop_raw
    from nightfix.errors import NightFixError
    from nightfix.read.reader import read_raw

    np.seterr(all="ignore")
    contents = [path.read_bytes() for path in seeds]
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs:
            pipe.send((job, None))
            seed = seeds[job % len(seeds)]
            path = Path(folder) / f"damaged{seed.suffix}"
            path.write_bytes(mutate(contents[job % len(seeds)], job))
            try:
                raw = read_raw(path)
                if whole and raw.mosaic.size < 2_000_000:
                    condition_raw(raw)
                    rgb = develop_raw(raw)
                    assert np.isfinite(rgb).all(), "the picture is not finite"
                outcome = "picture"
            except NightFixError as error:
                kind = getattr(error.__cause__, "kind", "")
                outcome = f"{type(error).__name__} {kind}".strip()
            except Exception as error:
                outcome = f"BUG {type(error).__name__}: {error}"[:160]
            pipe.send((job, outcome))
    pipe.send((-1, str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)))


def run(seeds: list[Path], jobs: range, *, limit: float, whole: bool) -> collections.Counter[str]:
    """Read all damaged files, in a new process after each crash or hang."""
    outcomes: collections.Counter[str] = collections.Counter()
    first, slowest = jobs.start, (0.0, -1)
    while first < jobs.stop:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=read_all, args=(seeds, range(first, jobs.stop), theirs, whole)
        )
        process.start()
        theirs.close()
        job, started, ended = first, time.monotonic(), False
        while not ended:
            try:
                if not ours.poll(limit):
                    process.kill()
                    outcome: str | None = f"HANG longer than {limit} s"
                else:
                    job, outcome = ours.recv()
            except EOFError:
                process.join()
                outcome = f"CRASH {process.exitcode}"
            if job == -1:
                print(f"peak memory of the reader: {outcome} MB")
                first, ended = jobs.stop, True
            elif outcome is None:
                started = time.monotonic()
            else:
                outcomes[outcome] += 1
                slowest = max(slowest, (time.monotonic() - started, job))
                first = job + 1
                if outcome.startswith(("BUG", "CRASH", "HANG")):
                    print(f"seed {job} of {seeds[job % len(seeds)].name}: {outcome}", flush=True)
                    ended = not outcome.startswith("BUG")
        process.join()
    print(f"slowest: {slowest[0]:.2f} s, seed {slowest[1]}")
    return outcomes


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--limit", type=float, default=90.0, help="seconds a file may take")
    parser.add_argument("--largest", type=float, default=5e6, help="bytes of a file to damage")
    parser.add_argument("--whole", action="store_true", help="condition and develop as well")
    args = parser.parse_args()
    files = [f for p in args.paths for f in (sorted(p.rglob("*")) if p.is_dir() else [p])]
    seeds = [f for f in files if f.is_file() and f.stat().st_size <= args.largest]
    jobs = range(args.first, args.first + args.count)
    outcomes = run(seeds, jobs, limit=args.limit, whole=args.whole)
    for outcome, count in outcomes.most_common():
        print(f"{count:7} {outcome}")
    bad = [o for o in outcomes if o.startswith(("BUG", "CRASH", "HANG"))]
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
