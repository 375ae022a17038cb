"""Evaluation: how long this machine takes for a photo, stage by stage, and how much memory.

Each case runs in a process of its own, since peak memory is a process's. The photo is
synthetic: a dark scene with lamps and the noise of a full-frame camera, written as a DNG and read
back like any other.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nightfix.errors import (
    DeviceError,
    InputError,
    NightFixError,
    OutputError,
    RawReadError,
    WeightsError,
)
from nightfix.evaluation.scene import capture, synthetic_photo

if TYPE_CHECKING:
    from nightfix.batch import Engine
    from nightfix.restore import Restorer

_Result = TypeVar("_Result")

#: Side of the synthetic scene, which is repeated to the size wanted [px].
_SCENE = 512

#: Noise of the synthetic capture (variance = a x + b), and its amplification.
_A, _B, _RATIO = 2e-4, 2e-7, 32.0

#: What a case can fail by, and comes out of the child as.
_FAMILIES: dict[str, type[NightFixError]] = {
    kind.__name__: kind for kind in (InputError, WeightsError, DeviceError, OutputError)
}

#: Photos of a batch.
_BATCH = 12

#: Photos for each worker of a cluster.
_EACH = 6

_CHILD = "import sys; sys.path[:] = sys.argv[2:]; from nightfix.evaluation.benchmark import _serve; _serve()"  # noqa: E501


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkCase:
    """What is measured: ``megapixels`` of the photo, ``weights``, ``steps`` and ``device``."""

    megapixels: float
    weights: str
    steps: int
    device: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one case took.

    Attributes
    ----------
    case : BenchmarkCase
        What was measured.
    megapixels : float
        Of the photo as it was made [MP].
    seconds : dict of str to float
        Wall time of the stages read, condition, restore, develop, write, and of all [s].
    network : float
        Wall time inside the network, a part of restore [s].
    overlap : float
        What the network computed more than once, at the borders of windows and strips and
        beyond the frame's edge, as a share of the operations that the frame needs [-].
    lamps : float
        What it computed for the highlights, as a share of the same [-].
    precision : str
        Number format of the convolutions.
    tile : int
        Side of a tile [px].
    memory : float or None
        Peak of the process above what it needs for torch alone, the GPU's own memory not
        counted; None where the system does not tell [MB].
    device_memory : float or None
        Peak on the GPU; None on a CPU [MB].
    """

    case: BenchmarkCase
    megapixels: float
    seconds: dict[str, float]
    network: float
    overlap: float
    lamps: float
    precision: str
    tile: int
    memory: float | None
    device_memory: float | None

    @property
    def bare(self) -> float:
        """Seconds the network alone would have taken, each operation done once a pass."""
        return self.network / (1 + self.overlap + self.lamps)

    @property
    def ratio(self) -> float:
        """The whole job over the bare network."""
        return self.seconds["all"] / self.bare


def measure_all(cases: list[BenchmarkCase]) -> Iterator[Measurement]:
    """Measure cases one after the other, each in a process of its own.

    Yields
    ------
    Measurement
        One a case, in order.

    Raises
    ------
    NightFixError
        Of the case that failed, in its own words.
    """
    with tempfile.TemporaryDirectory(prefix="nightfix-") as folder:
        photos: dict[float, Path] = {}
        for case in cases:
            if case.megapixels not in photos:
                path = Path(folder) / f"{case.megapixels:g}.dng"
                photos[case.megapixels] = make_photo(path, case.megapixels)
            yield _measure_apart(case, photos[case.megapixels])


def make_photo(path: Path, megapixels: float) -> Path:
    """Write a synthetic dark photo of 3:2 as a DNG, and return its path."""
    from nightfix.write import write_dng

    width = 2 * round((1.5e6 * megapixels) ** 0.5 / 2)
    height = 2 * round(width / 3)
    raw = synthetic_photo(
        _scene(height, width),
        noise=(_A, _B),
        model="Benchmark",
        path=path.with_suffix(".synthetic"),
    )
    write_dng(path, raw, restored=False)
    return path


def _scene(height: int, width: int) -> NDArray[np.float32]:
    """Return a noisy capture of blocks, waves and lamps, repeated over the frame."""
    rng = np.random.default_rng(7)
    y, x = np.indices((_SCENE, _SCENE)) / _SCENE
    light = 0.15 + 0.2 * y + 0.2 * ((8 * x).astype(int) % 2) + 0.05 * np.sin(60 * x * y)
    light[(x - 0.3) ** 2 + (y - 0.2) ** 2 < 2e-4] = 6.0
    light /= _RATIO
    tiles = -(-height // _SCENE), -(-width // _SCENE)
    samples = capture(light, _A, _B, rng)
    mosaic = np.tile(np.minimum(samples, 1).astype(np.float32), tiles)[:height, :width]
    return np.ascontiguousarray(mosaic)


# ---------------------------------------------------------------------------------------
# One case


def _measure_apart(case: BenchmarkCase, photo: Path) -> Measurement:
    """Measure a case in a process of its own."""
    words = json.dumps([asdict(case), os.fspath(photo)])
    call = [sys.executable, "-I", "-c", _CHILD, words, *sys.path]
    done = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RawReadError(photo, "the measurement failed", "see the lines above")
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise _FAMILIES[answer["family"]](answer["error"], answer["hint"])
    return Measurement(**answer | {"case": BenchmarkCase(**answer["case"])})


def _serve() -> None:
    """Measure one case and write the result on stdout. Runs in the child only."""
    from nightfix.read import start_decoder

    start_decoder()  # as ``nightfix enhance`` does, to get ready while torch is imported
    import torch  # before anything is measured: its own memory is not ours

    torch.set_grad_enabled(False)
    case, photo = json.loads(sys.argv[1])
    try:
        answer: dict[str, Any] = asdict(measure(BenchmarkCase(**case), Path(photo)))
    except NightFixError as error:
        family = next(name for name, kind in _FAMILIES.items() if isinstance(error, kind))
        answer = {"family": family, "error": error.message, "hint": error.hint}
    print(json.dumps(answer), file=sys.__stdout__)  # noqa: T201  the child's answer


def measure(case: BenchmarkCase, photo: Path) -> Measurement:
    """Take a photo through all stages in this process, and measure them.

    Parameters
    ----------
    case : BenchmarkCase
        Weights, steps and device.
    photo : Path
        Of :func:`make_photo`; results are written beside it and removed.

    Returns
    -------
    Measurement
    """
    before = _peak_memory()
    from nightfix.condition import ExposureTarget, Settings, condition_raw
    from nightfix.develop import develop_raw
    from nightfix.read import read_raw
    from nightfix.restore import Restorer
    from nightfix.write import write_tiff

    restorer, settings = Restorer(case.weights, case.device), Settings(steps=case.steps)
    inside = _Inside(restorer)
    seconds: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], _Result]) -> _Result:
        started = time.perf_counter()
        result = work()
        seconds[stage] = time.perf_counter() - started
        return result

    output = photo.with_suffix(".tif")
    raw = timed("read", lambda: read_raw(photo))
    pixels = raw.mosaic.size
    target = ExposureTarget(ratio=_RATIO)
    # Lamps that repeat themselves to the bit would pass for the path of a camera.
    conditioning = timed("condition", lambda: condition_raw(raw, target, deblur=False))
    raw = timed("restore", lambda: restorer.restore(raw, conditioning, settings))
    rgb = timed("develop", lambda: develop_raw(raw))
    timed("write", lambda: write_tiff(output, rgb, raw, color_space="srgb", overwrite=True))
    output.unlink()
    seconds["all"] = sum(seconds.values())
    after = _peak_memory()
    return Measurement(
        case=case,
        megapixels=pixels / 1e6,
        seconds=seconds,
        network=inside.seconds,
        overlap=4 * inside.frame / (case.steps * pixels) - 1,
        lamps=4 * inside.lamps / (case.steps * pixels),
        precision=str(restorer.dtype).removeprefix("torch."),
        tile=restorer.tile(settings),
        memory=None if after is None or before is None else after - before,
        device_memory=_device_memory(restorer),
    )


class _Inside:
    """Seconds and packed pixels that pass through a restorer's network.

    Pixels of the passes over the ``frame`` and of the ``lamps``, which are told a lower ratio;
    by the operations of each level, so that what strips have in common counts, too.
    """

    def __init__(self, restorer: Restorer) -> None:
        self.seconds, self.frame, self.lamps, self._started = 0.0, 0.0, 0.0, 0.0
        self._cuda, self._of_lamps = restorer.device.type == "cuda", False
        network = restorer.network
        network.register_forward_pre_hook(self._enter)
        network.register_forward_hook(self._leave)
        encoder, decoder = network.backbone.encoder, network.backbone.decoder
        levels = [*enumerate(encoder), *enumerate(reversed(decoder))]
        # Operations of a level for a sample of its own, and for a packed pixel.
        own = [sum(p.numel() for p in level.parameters() if p.dim() == 4) for _, level in levels]
        whole = sum(one / 4**n for one, (n, _) in zip(own, levels, strict=True))
        for one, (_, level) in zip(own, levels, strict=True):
            level.register_forward_hook(partial(self._count, one / whole))

    def _now(self) -> float:
        if self._cuda:
            import torch

            torch.cuda.synchronize()
        return time.perf_counter()

    def _enter(self, _: object, frames: tuple[Any, ...]) -> None:
        self._of_lamps = bool(frames[2].ratio < _RATIO)
        self._started = self._now()

    def _count(self, share: float, _: object, seen: tuple[Any, ...], answer: Any) -> None:
        # Rows are lost one by one from the first convolution to the last: their mean.
        pixels = share * sum(x.numel() / x.shape[1] for x in (seen[0], answer)) / 2
        if self._of_lamps:
            self.lamps += pixels
        else:
            self.frame += pixels

    def _leave(self, _: object, __: object, ___: object) -> None:
        self.seconds += self._now() - self._started


def _peak_memory() -> float | None:
    """Return the most memory this process has held [MB]; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _device_memory(restorer: Restorer) -> float | None:
    if restorer.device.type != "cuda":
        return None
    import torch

    return float(torch.cuda.max_memory_allocated(restorer.device)) / 2**20


# ---------------------------------------------------------------------------------------
# Many photos


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchMeasurement:
    """What a batch of a case's photos took: wall time of all, and the sum in the network [s]."""

    case: BenchmarkCase
    photos: int
    seconds: float
    network: float

    @property
    def ratio(self) -> float:
        """The batch over its network: what reading, writing and starting cost beside it."""
        return self.seconds / self.network


def measure_batch(case: BenchmarkCase) -> BatchMeasurement:
    """Take twelve photos through ``enhance`` to TIFFs, the network's loading included.

    Raises
    ------
    NightFixError
        Of the first photo that failed.
    """
    from nightfix.batch import enhance_many
    from nightfix.condition import ExposureTarget, Settings
    from nightfix.pipeline import EnhanceOptions
    from nightfix.restore import Restorer

    network = 0.0
    with tempfile.TemporaryDirectory(prefix="nightfix-") as folder:
        photo = make_photo(Path(folder) / "0.dng", case.megapixels)
        copies = [photo.with_stem(str(number)) for number in range(1, _BATCH)]
        photos = [photo, *(Path(shutil.copyfile(photo, copy)) for copy in copies)]
        exposure = ExposureTarget(ratio=_RATIO)
        options = EnhanceOptions(exposure=exposure, settings=Settings(steps=case.steps))
        started = time.perf_counter()
        restorer = Restorer(case.weights, case.device)
        for outcome in enhance_many(photos, options, restorer=restorer):
            if outcome.error is not None:
                raise outcome.error
            network += outcome.result.timings.network if outcome.result else 0.0
        seconds = time.perf_counter() - started
    return BatchMeasurement(case=case, photos=_BATCH, seconds=seconds, network=network)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterMeasurement:
    """What a Ray cluster made of a case's photos.

    Attributes
    ----------
    case : BenchmarkCase
        What was measured.
    workers : int
        Workers of the cluster; 0 is one process on this machine, without Ray.
    photos : int
        How many were restored, after all networks were loaded.
    seconds : float
        Wall time of all [s].
    """

    case: BenchmarkCase
    workers: int
    photos: int
    seconds: float

    @property
    def hourly(self) -> float:
        """Photos an hour."""
        return 3600 * self.photos / self.seconds


def measure_cluster(
    case: BenchmarkCase, address: str | None = None
) -> Iterator[ClusterMeasurement]:
    """Measure photos an hour in one process, and with 1, 2, 4, ... and all workers of a cluster.

    The photo and its results lie in a temporary folder inside the working folder, which all
    machines of the cluster must see. A first round, in which what is used is imported, is
    not counted.

    Parameters
    ----------
    case : BenchmarkCase
        ``device`` is that of the workers, as for :class:`nightfix.batch.cluster.RayCluster`.
    address : str or None
        The cluster's.

    Yields
    ------
    ClusterMeasurement
        From few workers to many.

    Raises
    ------
    NightFixError
        Of the cluster, or of the first photo that failed.
    """
    from nightfix.batch import Here, RayCluster
    from nightfix.restore import Restorer, weights_sha256

    with tempfile.TemporaryDirectory(prefix="nightfix-", dir=Path.cwd()) as folder:
        photo = make_photo(Path(folder) / "photo.dng", case.megapixels)
        yield _measure_engine(case, photo, Here(Restorer(case.weights, case.device)), 0)
        wanted = 1
        while True:
            engine = RayCluster(
                weights=case.weights,
                sha256=weights_sha256(case.weights),
                device=case.device,
                address=address,
                most=wanted,
                places=(photo,),
            )
            with closing(engine):
                found = engine.all_ready()
                if found > wanted // 2:
                    yield _measure_engine(case, photo, engine, found)
            if found < wanted:
                return
            wanted *= 2


def _measure_engine(
    case: BenchmarkCase, photo: Path, engine: Engine, workers: int
) -> ClusterMeasurement:
    """Restore a photo many times, each result in a folder of its own."""
    from nightfix.batch import Photo, enhance_many
    from nightfix.condition import ExposureTarget, Settings
    from nightfix.pipeline import EnhanceOptions
    from nightfix.restore import weights_sha256

    options = EnhanceOptions(
        output=photo.parent,
        overwrite=True,
        exposure=ExposureTarget(ratio=_RATIO),
        settings=Settings(steps=case.steps),
    )
    seconds = 0.0
    for count in (2 * max(1, workers), photos := _EACH * max(1, workers)):
        started = time.perf_counter()
        copies = [Photo(path=photo, folder=Path(str(number))) for number in range(count)]
        digest = weights_sha256(case.weights)
        for outcome in enhance_many(copies, options, restorer=None, weights=digest, engine=engine):
            if outcome.error is not None:
                raise outcome.error
        seconds = time.perf_counter() - started
    return ClusterMeasurement(case=case, workers=workers, photos=photos, seconds=seconds)


def scales_to(found: Sequence[ClusterMeasurement]) -> int:
    """Return the number of workers beyond which more bring less than half of what they should.

    Parameters
    ----------
    found : sequence of ClusterMeasurement
        Of one case, from few workers to many; one process is left out.

    Examples
    --------
    >>> case = BenchmarkCase(megapixels=24, weights="nightfix-base", steps=3)
    >>> rates = {1: 100, 2: 196, 4: 370, 8: 450}
    >>> scales_to([
    ...     ClusterMeasurement(case=case, workers=n, photos=rate, seconds=3600)
    ...     for n, rate in rates.items()
    ... ])
    4
    """
    ray = [one for one in found if one.workers]
    for few, many in pairwise(ray):
        ideal = many.workers / few.workers - 1
        if many.hourly / few.hourly - 1 < ideal / 2:
            return few.workers
    return ray[-1].workers


# ---------------------------------------------------------------------------------------
# The machine, and the neighbor


def processor_name() -> str:
    """Return what the processor calls itself, and how many cores this process may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = platform.processor() or platform.machine()
    with_names = Path("/proc/cpuinfo")
    if with_names.exists():
        lines = with_names.read_text("utf-8", "replace").splitlines()
        name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), name)
    return f"{name}, {count} cores"


def measure_darktable(megapixels: float) -> float | None:
    """Return the seconds darktable takes to denoise and develop the same photo [s].

    An export with its denoise (profiled), in wavelets, and its default development
    otherwise, with settings of its own in an empty folder, without OpenCL.

    Returns
    -------
    float or None
        None where darktable is not installed, fails, or did not denoise: it passes over
        settings of a module that its version does not know.
    """
    program = shutil.which("darktable-cli")
    if program is None:
        return None
    with tempfile.TemporaryDirectory(prefix="nightfix-") as folder:
        photo, edits = make_photo(Path(folder) / "photo.dng", megapixels), Path(folder) / "e.xmp"
        edits.write_text(_DARKTABLE_EDITS.replace("PARAMETERS", _denoise_parameters()), "utf-8")
        call = [program, str(photo), str(edits), str(Path(folder) / "photo.tif"), "--core"]
        call += ["--configdir", f"{folder}/settings", "--disable-opencl", "-d", "perf"]
        started = time.perf_counter()
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
    denoised = "denoise (profiled)" in done.stdout + done.stderr
    return None if done.returncode or not denoised else seconds


#: Of darktable's denoise (profiled), version 11 of its parameters (darktable 3.8 and later).
_DARKTABLE_EDITS = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:darktable="http://darktable.sf.net/" darktable:xmp_version="5"
 darktable:history_end="1" darktable:auto_presets_applied="0" rdf:about="">
<darktable:history><rdf:Seq><rdf:li darktable:num="0" darktable:operation="denoiseprofile"
 darktable:enabled="1" darktable:modversion="11" darktable:params="PARAMETERS"
 darktable:multi_name="" darktable:multi_priority="0"/></rdf:Seq></darktable:history>
</rdf:Description></rdf:RDF></x:xmpmeta>
"""


def _denoise_parameters() -> str:
    """Return the module's defaults in wavelet mode, with the photo's own noise, in hexadecimal."""
    general = (1.0, 7.0, 1.0, 1.0, 0.0, 0.0, 0.1, 1.0)
    curves = [step / 6 for step in range(7)] * 6, [0.5] * 42
    return struct.pack(
        "<14fi84f4i", *general, *[_A] * 3, *[_B] * 3, 1, *curves[0], *curves[1], *[1] * 4
    ).hex()


def as_json(
    measurements: list[Measurement],
    batches: list[BatchMeasurement],
    darktable: dict[float, float],
    clusters: Sequence[ClusterMeasurement] = (),
) -> str:
    """Return measurements with what is derived from them, and the machine, as JSON."""
    rows = [asdict(m) | {"bare": m.bare, "ratio": m.ratio} for m in measurements]
    many = [asdict(batch) | {"ratio": batch.ratio} for batch in batches]
    ray = [asdict(one) | {"hourly": one.hourly} for one in clusters]
    machine = {"processor": processor_name(), "system": platform.platform()}
    neighbor = {f"{size:g}": seconds for size, seconds in darktable.items()}
    figures = {"machine": machine, "cases": rows, "batches": many, "darktable": neighbor}
    figures |= {"clusters": ray}
    return json.dumps(figures, indent=1)
