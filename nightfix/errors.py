"""Entry: what can go wrong, each with what to type next."""

from __future__ import annotations

from pathlib import Path


class NightFixError(Exception):
    """Base of every error that the user can do something about.

    Parameters
    ----------
    message : str
        What happened, with the file it happened to.
    hint : str
        What the user can type next.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(NightFixError):
    """Something is wrong with what was given to read."""


class RawReadError(InputError):
    """A file is missing, damaged or not a camera RAW."""

    def __init__(
        self, path: Path, what: str, hint: str = "nightfix info FILE shows what can be read of it"
    ) -> None:
        super().__init__(f"{path}: {what}", hint)
        self.path = path


class UnsupportedSensorError(InputError):
    """The RAW is readable, but not of a Bayer or monochrome sensor."""

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__(
            f"{path}: {kind}",
            "NightFix restores Bayer and monochrome sensor data only; develop this one elsewhere",
        )
        self.path = path
        self.kind = kind


class MissingMetadataError(InputError):
    """What was asked for needs metadata that the file does not have."""

    def __init__(self, path: Path, what: str, hint: str) -> None:
        super().__init__(f"{path}: {what}", hint)
        self.path = path


class RecipeError(InputError):
    """A training recipe cannot be used."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}", "weights/recipes/base.toml is a complete example")
        self.path = path


class WeightsError(NightFixError):
    """Something is wrong with the network's weights."""


class WeightsNotFoundError(WeightsError):
    """No weights of that name or path."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(
            f"{name}: no such weights",
            f"--weights takes a .safetensors file or one of: {', '.join(known) or 'none found'}",
        )
        self.name = name


class WeightsIntegrityError(WeightsError):
    """A weights file is damaged or not one of NightFix."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}", "reinstall NightFix, or name another file by --weights")
        self.path = path


class DeviceError(NightFixError):
    """The device cannot do what was asked."""


class DeviceUnavailableError(DeviceError):
    """The device that was asked for is not in this machine."""

    def __init__(self, device: str) -> None:
        super().__init__(
            f"{device}: not available on this machine", "--device auto or --device cpu"
        )
        self.device = device


class DeviceMemoryError(DeviceError):
    """Even the smallest tile does not fit into the device's memory."""

    def __init__(self, device: str, tile: int) -> None:
        super().__init__(f"{device}: out of memory even with tiles of {tile} px", "--device cpu")
        self.device = device
        self.tile = tile


class OutputError(NightFixError):
    """A result cannot be written."""


class OutputExistsError(OutputError):
    """The result is there already."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: exists already", "--overwrite replaces it, --suffix renames")
        self.path = path


class OutputWriteError(OutputError):
    """The disk refused the result."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}", "-o DIR writes elsewhere")
        self.path = path
