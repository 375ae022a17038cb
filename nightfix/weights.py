"""Restore: weights files, what they say of themselves, and whether to believe them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightfix.errors import WeightsIntegrityError, WeightsNotFoundError

if TYPE_CHECKING:
    from torch import Tensor

    from nightfix.network import Denoiser, NetworkConfig

DEFAULT_WEIGHTS = "nightfix-base"

#: SHA-256 of the weights that come with the package.
KNOWN_WEIGHTS = {
    "nightfix-base": "822d44f53e18852b1fed4fd80233484e441b958272fe9d436dfca560daf067f9",
}

_METADATA_KEY = "nightfix"
_FOLDERS = (
    Path(__file__).parent / "data",
    Path(__file__).parent.parent / "weights",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsInfo:
    """What a weights file says of itself.

    ``name`` and ``license``; ``network``, the keywords of its configuration;
    ``training``, the recipe and facts of the run; ``sha256`` of the file.
    """

    name: str
    license: str
    network: dict[str, Any]
    training: dict[str, Any]
    sha256: str


def find_weights(name: str) -> Path:
    """Return the file of a known name, or the file itself if a path was given.

    Raises
    ------
    WeightsNotFoundError
        If there is neither.
    """
    candidates = [Path(name)] if name.endswith(".safetensors") else []
    if name in KNOWN_WEIGHTS:
        candidates += [folder / f"{name}.safetensors" for folder in _FOLDERS]
    for path in candidates:
        if path.is_file():
            return path
    raise WeightsNotFoundError(name, sorted(KNOWN_WEIGHTS))


def load_weights(name: str = DEFAULT_WEIGHTS) -> tuple[Denoiser, WeightsInfo]:
    """Build the network of a weights file and fill it.

    Parameters
    ----------
    name : str
        A known name or the path of a ``.safetensors`` file. A known name's file must
        have the SHA-256 that this release pins.

    Returns
    -------
    Denoiser
        In float32, on the CPU, in evaluation mode.
    WeightsInfo
        What the file says of itself.

    Raises
    ------
    WeightsNotFoundError, WeightsIntegrityError
        If there is no such file; if its hash, header or shapes are wrong.
    """
    import torch

    from nightfix.network import Denoiser

    path = find_weights(name)
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if name in KNOWN_WEIGHTS and digest != KNOWN_WEIGHTS[name]:
        raise WeightsIntegrityError(
            path, f"SHA-256 is {digest}, but {KNOWN_WEIGHTS[name]} was expected"
        )
    info, state = _parse(path, data, digest)
    config = _config(path, info.network)
    network = Denoiser(config)
    try:
        network.load_state_dict({k: v.to(torch.float32) for k, v in state.items()})
    except RuntimeError as error:
        raise WeightsIntegrityError(path, "its tensors do not fit its configuration") from error
    return network.eval().requires_grad_(False), info


def _parse(path: Path, data: bytes, digest: str) -> tuple[WeightsInfo, dict[str, Tensor]]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        state = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        facts = json.loads(header["__metadata__"][_METADATA_KEY])
        return WeightsInfo(**facts, sha256=digest), state
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise WeightsIntegrityError(path, "not a weights file of NightFix") from error


def _config(path: Path, keywords: dict[str, Any]) -> NetworkConfig:
    from nightfix.network import NetworkConfig

    known = {field.name for field in fields(NetworkConfig)}
    if set(keywords) - known:
        raise WeightsIntegrityError(path, "made for a newer NightFix")
    try:
        return NetworkConfig(**{**keywords, "widths": tuple(keywords["widths"])})
    except (KeyError, TypeError) as error:
        raise WeightsIntegrityError(path, "its configuration is incomplete") from error


def save_weights(
    path: Path,
    state: dict[str, Tensor],
    config: NetworkConfig,
    *,
    name: str,
    license: str,
    training: dict[str, Any],
) -> str:
    """Write weights as float16 with all that is needed to use and to cite them.

    Returns
    -------
    str
        SHA-256 of the file.
    """
    import torch
    from safetensors.torch import save

    facts = {"name": name, "license": license, "network": asdict(config), "training": training}
    halves = {key: value.to("cpu", torch.float16).contiguous() for key, value in state.items()}
    data = save(halves, {_METADATA_KEY: json.dumps(facts, sort_keys=True)})
    temporary = path.with_suffix(".part")
    temporary.write_bytes(data)
    temporary.replace(path)
    return hashlib.sha256(data).hexdigest()
