"""Restore: the device that runs the network, its precision, and the size of tiles."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from torch.nn import functional as F

from nightfix.errors import DeviceUnavailableError

#: Smallest tile that is tried before giving up [mosaic px].
SMALLEST_TILE = 128

#: What torch, its allocators and oneDNN say when memory ran out; the last gives no reason.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "could not create a primitive")

#: Tile where the memory of the device is not known, and the largest: with it a frame of 24
#: megapixels is one window, and one of 100 is three [mosaic px].
_DEFAULT_TILE, _LARGEST_TILE = 3520, 5888

#: What a pass takes for each sample of a large tile [bytes], and how much of the free memory it
#: may have: the rest is for the frame itself, and for other programs.
_BYTES_A_SAMPLE, _SHARE = 60, 0.25


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of a name.

    Parameters
    ----------
    name : str
        ``"auto"`` (CUDA, else MPS, else CPU), ``"cuda"``, ``"cuda:1"``, ``"mps"`` or ``"cpu"``.

    Raises
    ------
    DeviceUnavailableError
        If this machine does not have it.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceUnavailableError(name) from error
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if not available.get(device.type, False) or (device.index or 0) >= count:
        raise DeviceUnavailableError(name)
    return device


def compute_dtype(device: torch.device) -> torch.dtype:
    """Return the precision of the convolutions that the device is fast at.

    bfloat16 on a CPU where a convolution is really faster in it, and on CUDA from Ampere on;
    float16 on other GPUs; float32 elsewhere.
    """
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if fast else torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.bfloat16 if bfloat16_gain() > _WORTHWHILE else torch.float32


#: How much faster bfloat16 must be to be used. Processors lie far to either side: matrix units
#: gain a factor of 4 and more, AVX-512 BF16 2, and without either bfloat16 takes many times
#: longer. So one machine always chooses alike, and gives the same pixels.
_WORTHWHILE = 1.25

#: The convolution that is timed: channels and side [px], and how often.
_CHANNELS, _SIDE, _RUNS = 64, 48, 5


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread for a while.

    Many small operations gain nothing by more, and where other programs are at work each of
    them waits for the slowest.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@cache
def bfloat16_gain() -> float:
    """Measure how many times faster a 3x3 convolution is in bfloat16 than in float32.

    Flags of the processor do not tell: some have the instructions at half the rate, some
    have matrix units that the operating system keeps to itself.

    Returns
    -------
    float
        > 0 [-]. Of the processor time of one thread, so that other programs that are at work
        do not count; the best of five runs, after one to set up, in turn.
    """
    with one_thread(), torch.inference_mode():
        runs = [_convolution(kind) for kind in (torch.float32, torch.bfloat16)]
        best = [math.inf, math.inf]
        for _ in range(1 + _RUNS):
            for kind, run in enumerate(runs):
                started = time.thread_time()
                run()
                best[kind] = min(best[kind], time.thread_time() - started)
    return best[0] / max(best[1], 1e-9)


def _convolution(dtype: torch.dtype) -> Callable[[], object]:
    channels_last = torch.channels_last
    features = torch.full((1, _CHANNELS, _SIDE, _SIDE), 0.5, dtype=dtype)
    weights = torch.full((_CHANNELS, _CHANNELS, 3, 3), 0.01, dtype=dtype)
    features, weights = (t.to(memory_format=channels_last) for t in (features, weights))
    return lambda: F.conv2d(features, weights, padding=1)


def choose_tile(device: torch.device) -> int:
    """Return the side of a tile that suits the memory that is free [mosaic px]."""
    if device.type == "cuda":
        free: float | None = torch.cuda.mem_get_info(device)[0]
    else:
        free = free_memory()
    if free is None:
        return _DEFAULT_TILE
    side = math.isqrt(int(_SHARE * free / _BYTES_A_SAMPLE))
    return min(max(side, SMALLEST_TILE), _LARGEST_TILE)


def free_memory() -> float | None:
    """Return the memory that programs can still get, None if the system does not tell [bytes]."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    kilobytes = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return next((1024.0 * int(number) for number in kilobytes), None)


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error of torch means that memory ran out on any device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(told in text for told in _OUT_OF_MEMORY)
