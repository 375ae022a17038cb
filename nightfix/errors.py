"""Shared: what can go wrong, each with what to type next."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return a hint at the known name that is most like one that is not known.

    Examples
    --------
    >>> did_you_mean("jpg", ["tiff", "jpeg"], otherwise="tiff or jpeg")
    'did you mean jpeg?'
    """
    near = get_close_matches(name, sorted(known), n=1)
    return f"did you mean {near[0]}?" if near else otherwise


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

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep message and facts when the error comes from another process."""
        return _again, (type(self), self.args, self.__dict__)


def _again(
    kind: type[NightFixError], args: tuple[Any, ...], facts: dict[str, Any]
) -> NightFixError:
    """Make an error as it was, without the words that it was built of."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class InputError(NightFixError):
    """An input is missing, unreadable or unsuitable."""


class RawReadError(InputError):
    """A file is missing, damaged or not a camera RAW."""

    def __init__(
        self, path: Path, what: str, hint: str = "nightfix info FILE shows what can be read from it"
    ) -> None:
        super().__init__(f"{path}: {what}", hint)
        self.path = path


class PhotoNotFoundError(InputError):
    """There is no file of that name, or none that a pattern matches."""

    def __init__(self, path: Path, what: str = "no such file", near: str | None = None) -> None:
        hint = f"did you mean {near}?" if near else "check the name and the folder"
        super().__init__(f"{path}: {what}", hint)
        self.path = path
        self.near = near


class NoPhotosError(InputError):
    """A folder holds no RAW file."""

    def __init__(self, path: Path, *, recursive: bool) -> None:
        hint = "give a folder that contains RAW files"
        if not recursive:
            hint = "add -r to search its subfolders too"
        super().__init__(f"{path}: no RAW files in this folder", hint)
        self.path = path


class UnsupportedSensorError(InputError):
    """The RAW is readable, but of a kind of sensor that cannot be restored."""

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__(
            f"{path}: {kind}",
            "NightFix restores Bayer, X-Trans and monochrome sensors and Linear DNGs; "
            "use the camera's full RAW, or develop this one elsewhere",
        )
        self.path = path
        self.kind = kind


class MissingMetadataError(InputError):
    """What was asked for needs metadata that the file does not have."""

    def __init__(self, path: Path, what: str, hint: str) -> None:
        super().__init__(f"{path}: {what}", hint)
        self.path = path


class DarkFrameError(InputError):
    """A dark frame is not dark, or does not fit."""

    def __init__(self, path: Path, what: str, hint: str) -> None:
        super().__init__(f"{path}: {what}", hint)
        self.path = path


class CropError(InputError):
    """A region is not in the picture."""

    def __init__(self, path: Path, crop: tuple[int, int, int, int], size: tuple[int, int]) -> None:
        super().__init__(
            f"{path}: region {','.join(map(str, crop))} does not fit into {size[0]} x {size[1]} px",
            f"use --crop X,Y,W,H with X + W at most {size[0]} and Y + H at most {size[1]}",
        )
        self.path = path
        self.size = size


class PictureError(InputError):
    """A picture cannot be read, or does not fit to another."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}", "give two pictures or RAW files of the same photo")
        self.path = path


class LookError(InputError):
    """A look cannot be learned, found or read."""

    def __init__(self, subject: str, what: str, hint: str) -> None:
        super().__init__(f"{subject}: {what}", hint)


class RecipeError(InputError):
    """A training recipe cannot be used."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}", "weights/recipes/base.toml is a complete example")
        self.path = path


class ConfigError(NightFixError):
    """The configuration file has an error."""

    def __init__(self, path: Path, what: str, hint: str = "nightfix config show") -> None:
        super().__init__(f"{path}: {what}", hint)
        self.path = path


class WeightsError(NightFixError):
    """Something is wrong with the network's weights."""


class WeightsNotFoundError(WeightsError):
    """No weights of that name or path."""

    def __init__(self, name: str, known: list[str]) -> None:
        others = (
            f"--weights takes a .safetensors file or one of: {', '.join(known) or 'none found'}; "
            "nightfix weights download NAME --repo-id OWNER/NAME fetches others"
        )
        super().__init__(f"{name}: no such weights", did_you_mean(name, known, others))
        self.name = name


class WeightsIntegrityError(WeightsError):
    """A weights file is damaged or not one of NightFix."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(
            f"{path}: {what}", "reinstall NightFix, or give another file with --weights"
        )
        self.path = path


class WeightsDownloadError(WeightsError):
    """Weights could not be fetched."""

    def __init__(self, name: str, what: str, hint: str) -> None:
        super().__init__(f"{name}: {what}", hint)
        self.name = name


class DeviceError(NightFixError):
    """The device cannot do what was asked."""


class DeviceUnavailableError(DeviceError):
    """The device that was asked for is not in this machine."""

    def __init__(self, device: str) -> None:
        super().__init__(
            f"{device}: not available on this machine", "use --device auto or --device cpu"
        )
        self.device = device


class DeviceMemoryError(DeviceError):
    """Even the smallest tile does not fit into the device's memory."""

    def __init__(self, device: str, tile: int) -> None:
        super().__init__(
            f"{device}: out of memory even with tiles of {tile} px", "use --device cpu"
        )
        self.device = device
        self.tile = tile


class EngineError(DeviceError):
    """The engine that is to run a batch, or a machine of it, cannot be used."""


class WorkerLostError(DeviceError):
    """The process that worked on a photo ended, and so did the one that tried it again."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(
            f"{path}: {what}, at both tries",
            "memory may be short: try --jobs 1, a smaller --tile, or this photo alone without "
            "--engine",
        )
        self.path = path


class SelfTestError(DeviceError):
    """The network fails on a test scene."""

    def __init__(self, before: float, after: float) -> None:
        super().__init__(
            f"self test failed: error {after:.4f} after restoring, {before:.4f} before",
            "run nightfix weights verify; if --device cpu works, the device is at fault",
        )


class OutputError(NightFixError):
    """A result cannot be written."""


class OutputExistsError(OutputError):
    """The result is there already."""

    def __init__(self, path: Path, *, ours: bool = False) -> None:
        what = "already exists" + (
            ", made with other settings or from another photo" if ours else ""
        )
        super().__init__(
            f"{path}: {what}", "use --overwrite to replace it, or --suffix for another name"
        )
        self.path = path


class OutputClashError(OutputError):
    """Two photos of a batch would have results of the same name."""

    def __init__(self, path: Path, target: Path, other: Path) -> None:
        super().__init__(
            f"{path}: its result {target} would overwrite that of {other}",
            "run them separately, with another --suffix or -o DIR",
        )
        self.path = path
        self.target = target


class OutputWriteError(OutputError):
    """The operating system refused to write a result."""

    def __init__(
        self, path: Path, what: str, hint: str = "use -o DIR to write to another folder"
    ) -> None:
        super().__init__(f"{path}: {what}", hint)
        self.path = path
