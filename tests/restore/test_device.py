from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from nightfix.errors import DeviceUnavailableError
from nightfix.restore import device
from nightfix.restore.device import (
    SMALLEST_TILE,
    bfloat16_gain,
    choose_device,
    choose_tile,
    compute_dtype,
    is_out_of_memory,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["tpu9", "cuda:99", "mps:7", "", "cpu;ls"])
def test_devices_that_are_not_there_are_refused(name: str) -> None:
    with pytest.raises(DeviceUnavailableError):
        choose_device(name)


@pytest.mark.parametrize(
    ("gain", "expected"),
    [(4.0, torch.bfloat16), (1.5, torch.bfloat16), (1.1, torch.float32), (0.2, torch.float32)],
)
def test_bfloat16_is_used_where_it_gains(
    monkeypatch: pytest.MonkeyPatch, gain: float, expected: torch.dtype
) -> None:
    monkeypatch.setattr(device, "bfloat16_gain", lambda: gain)
    assert compute_dtype(CPU) == expected


def test_the_measurement_takes_milliseconds_and_leaves_the_threads_alone() -> None:
    threads = torch.get_num_threads()
    bfloat16_gain.cache_clear()
    started = time.process_time()
    assert bfloat16_gain() > 0
    assert time.process_time() - started < 1
    assert torch.get_num_threads() == threads


def test_the_same_machine_chooses_alike() -> None:
    chosen = set()
    for _ in range(10):
        bfloat16_gain.cache_clear()
        chosen.add(compute_dtype(CPU))
    assert len(chosen) == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("shapes do not fit"), False),
        (ValueError("out of memory"), False),
    ],
    ids=str,
)
def test_memory_that_ran_out_is_told_from_other_errors(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


CAPPED = """
import re, resource, sys
import torch
torch.set_num_threads(1)
from nightfix.condition.conditioning import Conditioning, Settings
from nightfix.condition.amplification import Amplification
from nightfix.condition.noise import NoiseModel
from nightfix.restore import restorer as module

conditioning = Conditioning(
    amplification=Amplification(ratio=4.0, source="given", reason=""),
    noise=NoiseModel(a=1e-4, b=1e-7, source="tag"),
)
restorer = module.Restorer(sys.argv[1], "cpu")
capture = torch.rand(4, 480, 480, generator=torch.Generator().manual_seed(1)) / 4
tiles = []
network = module._Frame._network
def watched(self, *arguments, **options):
    tiles.append(self.tile * 2)
    return network(self, *arguments, **options)
module._Frame._network = watched
def run(tile):
    return restorer.restore_packed(capture.clone(), conditioning, Settings(steps=1, tile=tile))
def kilobytes(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1])
for tile in (240, 480):
    free = run(tile)
used = kilobytes("VmSize")
run(960)
limit = int(1024 * (used + float(sys.argv[2]) * (kilobytes("VmPeak") - used)))
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
tiles.clear()
capped = run(960)
print(tiles[0], tiles[-1], float((free - capped).abs().max()))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_capped_allocator_ends_in_the_same_pixels_or_a_word_about_memory(
    tiny_weights: Path,
) -> None:
    """With shares of what a pass in one piece was seen to take, whatever tile fits then."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    ended = []
    for share in ("0.6", "0.9", "1.5"):
        call = [sys.executable, "-c", CAPPED, str(tiny_weights), share]
        done = subprocess.run(call, capture_output=True, text=True, check=False, env=environment)
        if done.returncode == 0:
            first, last, difference = done.stdout.split()
            assert int(last) <= int(first) == 960
            assert float(difference) < 1e-3
        else:
            # torch's own libraries may crash where they get no memory.
            assert done.returncode < 0 or "memory" in done.stderr.splitlines()[-1]
        ended.append(done.returncode)
    assert 0 in ended


@pytest.mark.gpu
def test_tiles_are_halved_until_they_fit_a_capped_gpu(tiny_restorer, synthetic_raw) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    from nightfix.condition.conditioning import Settings, condition_raw
    from nightfix.restore.restorer import Restorer

    restorer = Restorer(device="cuda")
    raw = synthetic_raw(shape=(3000, 3000))
    whole = restorer.restore(raw, condition_raw(raw), Settings(steps=1)).mosaic
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.01)
    try:
        halved = restorer.restore(raw, condition_raw(raw), Settings(steps=1, tile=3008)).mosaic
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert abs(whole - halved).max() < 2e-3


#: What may run on the device; NumPy works on the CPU alone.
ON_THE_DEVICE = (
    "network.py",
    "restorer.py",
    "diffusion.py",
    "tiling.py",
    "motion/estimate.py",
    "motion/deconvolution.py",
)


@pytest.mark.parametrize("name", ON_THE_DEVICE)
def test_nothing_that_may_run_on_mps_is_float64(name: str) -> None:
    tree = ast.parse((Path(device.__file__).parent / name).read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"float64", "double", "complex128"}, f"line {node.lineno}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.tensor":
            # of Python floats torch makes the default dtype, which is float32
            assert "dtype" not in {k.arg for k in node.keywords} or "64" not in ast.unparse(node)


@pytest.mark.parametrize(
    ("free", "tile"),
    [(None, device._DEFAULT_TILE), (64 << 30, device._LARGEST_TILE), (1 << 20, SMALLEST_TILE)],
    ids=["unknown", "64 GiB", "1 MiB"],
)
def test_tiles_suit_the_memory_that_is_free(
    monkeypatch: pytest.MonkeyPatch, free: float | None, tile: int
) -> None:
    monkeypatch.setattr(device, "free_memory", lambda: free)
    assert choose_tile(CPU) == tile


def test_less_memory_makes_smaller_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "free_memory", lambda: float(2 << 30))
    assert SMALLEST_TILE < choose_tile(CPU) < device._LARGEST_TILE


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs /proc")
def test_free_memory_is_a_part_of_the_machine_s() -> None:
    free = device.free_memory()
    assert free is not None
    assert 0 < free <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
