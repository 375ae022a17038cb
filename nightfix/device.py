"""Restore: which device runs the network, in which precision, on tiles of which size."""

from __future__ import annotations

import torch

from nightfix.errors import DeviceUnavailableError

#: Smallest tile that is tried before giving up [mosaic px].
SMALLEST_TILE = 128

#: Tile where the memory of the device is not known [mosaic px].
_DEFAULT_TILE = 2048


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

    bfloat16 on a CPU with instructions for it (AMX, AVX-512 BF16) and on CUDA from
    Ampere on; float16 on other GPUs; float32 elsewhere. The choice depends on the
    processor alone, so that one machine always gives the same pixels.
    """
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if fast else torch.float16
    if device.type == "mps":
        return torch.float16
    abilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    fast = bool(abilities.get("amx_bf16") or abilities.get("avx512_bf16"))
    return torch.bfloat16 if fast else torch.float32


def choose_tile(device: torch.device) -> int:
    """Return the side of a tile that suits the device [mosaic px]."""
    if device.type != "cuda":
        return _DEFAULT_TILE
    free, _ = torch.cuda.mem_get_info(device)
    return 4096 if free > 12 * 2**30 else _DEFAULT_TILE if free > 4 * 2**30 else 1024


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error of torch means that memory ran out on any device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text
    )
