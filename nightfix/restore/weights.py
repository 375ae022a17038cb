"""Restore: weights files, their descriptions, and the checks before they are used."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from nightfix.errors import WeightsIntegrityError, WeightsNotFoundError

if TYPE_CHECKING:
    from torch import Tensor

    from nightfix.restore.network import Denoiser, NetworkConfig

DEFAULT_WEIGHTS = "nightfix-base"

#: Of the pass that undoes a shake, whatever the weights of the others.
MOTION_WEIGHTS = "nightfix-motion"

#: Of the passes that draw detail.
DETAIL_WEIGHTS = "nightfix-detail"

#: SHA-256 of the weights that come with the package.
KNOWN_WEIGHTS = {
    "nightfix-base": "14e75065ef4edf4dad7d96ea0f8bd7adf99c3cd4df7cc1f9588c43fbbb803fec",
    "nightfix-detail": "5133af41e9800cc506fefb800686a9d3deda823e17fe91d24ee412868c641928",
    "nightfix-motion": "7119cbe00d792a3f9f3842049115e35d5aaa1fc6a9c48b2f7a6bf84d1948743a",
    "nightfix-fast": "97b46c5d1e187402cd8d9c128b5944105569c95a912a92972e7b141e3b73b3be",
}

#: Those that restore a photo; the others make passes that the program adds by itself.
PHOTO_WEIGHTS = tuple(sorted({*KNOWN_WEIGHTS} - {MOTION_WEIGHTS, DETAIL_WEIGHTS}))

#: Repository on the Hugging Face Hub, and revision, where the maintainers publish them.
REPOSITORIES = {
    "nightfix-base": ("nightfix/nightfix-base", "main"),
    "nightfix-fast": ("nightfix/nightfix-fast", "main"),
    "nightfix-motion": ("nightfix/nightfix-motion", "main"),
    "nightfix-detail": ("nightfix/nightfix-detail", "main"),
}

#: Largest weights file that is fetched or read [bytes].
MAX_FILE = 4 << 30

_METADATA_KEY = "nightfix"
_FOLDERS = (
    Path(__file__).parent,
    Path(__file__).parents[2] / "weights",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsInfo:
    """The description in a weights file.

    ``name`` and ``license``; ``network``, the keywords of its configuration;
    ``training``, the recipe and what else is known of the run; ``sha256`` of the file.
    """

    name: str
    license: str
    network: dict[str, Any]
    training: dict[str, Any]
    sha256: str


def weights_folder() -> Path:
    """Return where downloads go: ``NIGHTFIX_WEIGHTS_DIR``, else the user's cache."""
    named = os.environ.get("NIGHTFIX_WEIGHTS_DIR")
    return Path(named) if named else platformdirs.user_cache_path("nightfix") / "weights"


def downloaded_weights() -> dict[str, Path]:
    """Return the files of the download folder by name."""
    return {path.stem: path for path in sorted(weights_folder().glob("[!.]*.safetensors"))}


def find_weights(name: str | os.PathLike[str]) -> Path:
    """Return the file of a name (of the package or downloaded), or the file if a path was given.

    Raises
    ------
    WeightsNotFoundError
        If there is neither.
    """
    name = os.fspath(name)
    candidates = [Path(name)] if name.endswith(".safetensors") else []
    if name in KNOWN_WEIGHTS:
        candidates += [folder / f"{name}.safetensors" for folder in _FOLDERS]
    for path in candidates:
        if path.is_file():
            return path
    downloaded = downloaded_weights()
    if name in downloaded:
        return downloaded[name]
    raise WeightsNotFoundError(name, sorted({*KNOWN_WEIGHTS, *downloaded}))


def verify_weights(name: str | os.PathLike[str]) -> tuple[Path, WeightsInfo]:
    """Read the whole file of a name or path and check its pinned hash, without torch.

    Raises
    ------
    WeightsNotFoundError, WeightsIntegrityError
        If there is none; if its hash is not the pinned one, or it is no weights file.
    """
    name = os.fspath(name)
    path = find_weights(name)
    data = _read(path)
    digest = _check_pin(path, name, data)
    return path, _read_info(path, data, digest)


def check_file(path: Path) -> None:
    """Check that a file of any name is a weights file, without torch.

    Raises
    ------
    WeightsIntegrityError
        If it is none.
    """
    _read_info(path, _read(path), digest="")


def _check_pin(path: Path, name: str, data: bytes) -> str:
    """Return the SHA-256 of a file's bytes, which is the pinned one if there is one."""
    digest = hashlib.sha256(data).hexdigest()
    if name in KNOWN_WEIGHTS and digest != KNOWN_WEIGHTS[name]:
        raise WeightsIntegrityError(
            path, f"SHA-256 is {digest}, but {KNOWN_WEIGHTS[name]} was expected"
        )
    return digest


def weights_sha256(name: str | os.PathLike[str] = DEFAULT_WEIGHTS) -> str:
    """Return the SHA-256 of weights without loading them.

    Raises
    ------
    WeightsNotFoundError, WeightsIntegrityError
        If there is no such file, or it cannot be read.
    """
    name = os.fspath(name)
    path = find_weights(name)
    return KNOWN_WEIGHTS.get(name) or hashlib.sha256(_read(path)).hexdigest()


def load_weights(name: str | os.PathLike[str] = DEFAULT_WEIGHTS) -> tuple[Denoiser, WeightsInfo]:
    """Build the network of a weights file and fill it.

    Parameters
    ----------
    name : str or path-like
        A known name or the path of a ``.safetensors`` file. A known name's file must
        have the SHA-256 that this release pins.

    Returns
    -------
    Denoiser
        In float32, on the CPU, in evaluation mode.
    WeightsInfo
        Its description.

    Raises
    ------
    WeightsNotFoundError, WeightsIntegrityError
        If there is no such file; if its hash, header or shapes are wrong.
    """
    import torch

    from nightfix.restore.network import Denoiser

    name = os.fspath(name)
    path = find_weights(name)
    data = _read(path)
    info = _read_info(path, data, _check_pin(path, name, data))
    state = _tensors(path, data)
    config = _config(path, info.network)
    try:
        with torch.device("meta"):  # shapes alone, until they are known to be those of the file
            network = Denoiser(config)
        network.load_state_dict(state, assign=True)
        network = network.to(torch.float32)
    except (RuntimeError, LookupError, TypeError, ValueError) as error:
        raise WeightsIntegrityError(path, "its tensors do not fit its configuration") from error
    if not all(bool(torch.isfinite(value).all()) for value in network.parameters()):
        raise WeightsIntegrityError(path, "damaged: it contains values that are not numbers")
    return network.eval().requires_grad_(False), info


#: Longest header of a weights file [bytes].
_MAX_HEADER = 1 << 20

#: Largest number and most levels of a network.
_MAX_NUMBER, _MAX_LEVELS = 1024, 8


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE:
            raise WeightsIntegrityError(path, "too large for NightFix weights")
        return path.read_bytes()
    except OSError as error:
        raise WeightsIntegrityError(path, f"cannot be read: {error.strerror}") from error


def _read_info(path: Path, data: bytes, digest: str) -> WeightsInfo:
    """Return the description in a file's header."""
    try:
        length = int.from_bytes(data[:8], "little")
        if length > _MAX_HEADER:
            raise ValueError("a header of more than a network has")
        header = json.loads(data[8 : 8 + length])
        known = json.loads(header["__metadata__"][_METADATA_KEY])
        info = WeightsInfo(**known, sha256=digest)
        kinds = {"name": str, "license": str, "network": dict, "training": dict}
        if not all(isinstance(getattr(info, key), kind) for key, kind in kinds.items()):
            raise TypeError("values of the wrong kind")
        return info
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsIntegrityError(path, "not a NightFix weights file") from error


def _tensors(path: Path, data: bytes) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(data)
    except (SafetensorError, ValueError) as error:
        raise WeightsIntegrityError(path, "not a NightFix weights file") from error


def _config(path: Path, keywords: dict[str, Any]) -> NetworkConfig:
    from nightfix.restore.network import NetworkConfig

    known = {field.name for field in fields(NetworkConfig)}
    if set(keywords) - known:
        raise WeightsIntegrityError(path, "made for a newer NightFix")
    # A configuration may ask for a network of any size before a single tensor is looked at.
    widths = keywords.get("widths")
    numbers = [number for key, number in keywords.items() if key not in ("widths", "backbone")]
    numbers += widths if isinstance(widths, list) and len(widths) <= _MAX_LEVELS else [None]
    if not all(isinstance(number, int) and 0 <= number <= _MAX_NUMBER for number in numbers):
        raise WeightsIntegrityError(path, "its network configuration is invalid")
    try:
        return NetworkConfig(**{**keywords, "widths": tuple(keywords["widths"])})
    except (KeyError, TypeError) as error:
        raise WeightsIntegrityError(path, "its configuration is incomplete") from error


def save_weights(
    path: str | os.PathLike[str],
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

    description = {
        "name": name,
        "license": license,
        "network": asdict(config),
        "training": training,
    }
    halves = {key: value.to("cpu", torch.float16).contiguous() for key, value in state.items()}
    data = save(halves, {_METADATA_KEY: json.dumps(description, sort_keys=True)})
    path = Path(path)
    temporary = path.with_suffix(".part")
    temporary.write_bytes(data)
    temporary.replace(path)
    return hashlib.sha256(data).hexdigest()
