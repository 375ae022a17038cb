"""Command line: checks of this machine, the installation and the network."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nightfix import __version__
from nightfix.cli.config_file import config_path
from nightfix.condition import ExposureTarget, Settings, condition_raw
from nightfix.errors import NightFixError, SelfTestError
from nightfix.evaluation import capture
from nightfix.read import raw_from_array
from nightfix.restore import verify_weights, weights_folder

if TYPE_CHECKING:
    from nightfix.restore import Restorer

#: Sides of the pictures of the self test, as long as its time lasts [px].
_SIDES = (256, 512, 1024)
#: About how long the self test may take [s].
_LIMIT = 10.0
_RATIO, _A, _B = 16.0, 4e-4, 4e-7

_LIBRARIES = ("torch", "numpy", "rawpy", "tifffile", "imagecodecs", "huggingface_hub", "rich")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report; ``error`` says what is wrong, None if nothing is."""

    name: str
    text: str
    error: NightFixError | None = None


def examine(weights: str, device: str) -> Iterator[Finding]:
    """Look at this machine, part by part, and try the network on it.

    Parameters
    ----------
    weights : str
        Name or path of the weights to try.
    device : str
        Where to try them.

    Yields
    ------
    Finding
        As soon as it is known; the self test comes last and takes about ten seconds.
    """
    yield Finding(name="NightFix", text=f"{__version__}, {Path(__file__).parents[1]}")
    yield Finding(name="Python", text=f"{platform.python_version()}, {sys.executable}")
    yield Finding(name="system", text=f"{platform.platform()}, {_memory()}")
    yield Finding(name="libraries", text=", ".join(f"{n} {version(n)}" for n in _LIBRARIES))
    yield _raw_library()
    yield Finding(name="configuration", text=_place(config_path()))
    yield Finding(name="weights folder", text=_place(weights_folder()))
    yield _weights(weights)
    yield from _devices()
    yield from _self_test(weights, device)


def _memory() -> str:
    """Return processors and memory, as far as the system tells."""
    cores = f"{os.cpu_count()} processors"
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return cores
    return f"{cores}, {size / 2**30:.1f} GiB of memory"


def _raw_library() -> Finding:
    import rawpy

    return Finding(name="LibRaw", text=".".join(map(str, rawpy.libraw_version)))


def _place(path: Path) -> str:
    return f"{path}" + ("" if os.path.exists(path) else " (not there)")


def _weights(name: str) -> Finding:
    try:
        path, info = verify_weights(name)
    except NightFixError as error:
        return Finding(name="weights", text=error.message, error=error)
    return Finding(name="weights", text=f"{info.name}, {path}, SHA-256 {info.sha256[:16]}...")


def _devices() -> Iterator[Finding]:
    import torch

    from nightfix.restore import compute_dtype

    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    fast = [name for name in ("amx_bf16", "avx512_bf16", "avx512_f", "avx2") if able.get(name)]
    dtype = str(compute_dtype(torch.device("cpu"))).removeprefix("torch.")
    yield Finding(
        name="cpu",
        text=f"{dtype}, {torch.get_num_threads()} threads, {', '.join(fast) or 'plain'}",
    )
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        dtype = str(compute_dtype(torch.device("cuda", index))).removeprefix("torch.")
        size = properties.total_memory / 2**30
        yield Finding(name=f"cuda:{index}", text=f"{properties.name}, {size:.1f} GiB, {dtype}")
    if not torch.cuda.is_available():
        yield Finding(name="cuda", text="not available")
    there = torch.backends.mps.is_available()
    yield Finding(name="mps", text="available, float16" if there else "not available")


def _self_test(weights: str, device: str) -> Iterator[Finding]:
    """Restore a synthetic scene and compare the result with the truth."""
    from nightfix.restore import Restorer

    try:
        restorer = Restorer(weights, device)
        before, after, speed = _try(restorer)
    except NightFixError as error:
        yield Finding(name="self test", text=error.message, error=error)
        return
    where = f"{restorer.device} in {str(restorer.dtype).removeprefix('torch.')}"
    wrong = None if after < before / 2 else SelfTestError(before, after)
    text = f"{where}: error {before:.4f} before, {after:.4f} after, 24 MP in {24e6 * speed:.0f} s"
    yield Finding(name="self test", text=text, error=wrong)


def _try(restorer: Restorer) -> tuple[float, float, float]:
    """Return the mean error before and after one pass, and the seconds a pixel takes."""
    begun = time.perf_counter()
    before = after = speed = 0.0
    for side in _SIDES:
        scene, samples = _scene(side)
        raw = raw_from_array(samples, noise=(_A, _B))
        started = time.perf_counter()
        restored = restorer.restore(
            raw, condition_raw(raw, ExposureTarget(ratio=_RATIO)), Settings(steps=1)
        )
        took = time.perf_counter() - started
        before = float(np.abs(samples * _RATIO - scene).mean())
        after = float(np.abs(restored.mosaic - scene).mean())
        speed = took / side**2
        if time.perf_counter() - begun + 5 * took > _LIMIT:
            break
    return before, after, speed


def _scene(side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a smooth scene with edges and a dark, noisy capture of it."""
    rng = np.random.default_rng(0)
    y, x = np.indices((side, side)) / side
    scene = 0.2 + 0.3 * y + 0.2 * (np.hypot(x - 0.5, y - 0.5) < 0.3)
    light = scene / _RATIO
    return scene, capture(light, _A, _B, rng)
