"""Pipeline: which photo and settings a result was made from, and whether it is complete.

The fingerprint is part of the record inside the result, so a batch that was stopped can
be continued anywhere, without extra files beside the photos.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nightfix.condition import Settings
from nightfix.develop import look_path
from nightfix.read import declared_size, end_of_pieces, read_tags
from nightfix.write import record_of_file

if TYPE_CHECKING:
    from nightfix.pipeline.options import EnhanceOptions

#: What a result's name holds already: nothing, the wanted result, a result that was cut off,
#: one of other settings or of another photo, or a file that NightFix did not write.
ResultState = Literal["absent", "done", "incomplete", "different", "unrelated"]

#: How much is read from either end of a photo to identify it [bytes].
_IDENTITY = 1 << 16

#: Options that decide where results go, not their pixels.
_NOT_IN_PIXELS = ("dark", "output", "formats", "suffix", "overwrite", "show_shake")
#: Looks that are no files.
_OWN_LOOKS = ("none", "camera")
_NOT_IN_PIXELS_OF_SETTINGS = ("tile",)
#: Settings that earlier releases did not have: left out where they are as by default.
_LATER_SETTINGS = {"detail": Settings().detail}


def settings_fingerprint(path: Path, options: EnhanceOptions, weights: str) -> str:
    """Return a hash of a photo and of all that decides its result.

    Parameters
    ----------
    path : Path
        The photo: its size and both its ends are taken, not its name or date.
    options : EnhanceOptions
        What is wanted. Only what differs from the defaults counts, so that a release
        with more options still knows the results of the one before.
    weights : str
        SHA-256 of the weights; any text where nothing is restored.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    OSError
        If the photo cannot be read, or is no file.
    LookError
        If there is no such look.
    """
    decisive: dict[str, Any] = {
        "photo": _identity(path),
        "options": _changed(options),
        "weights": weights if options.restore else "",
    }
    if options.writing.look not in _OWN_LOOKS:
        decisive["look"] = _identity(look_path(options.writing.look))
    if options.dark and options.restore:
        decisive["dark"] = [_identity(Path(name)) for name in options.dark]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _identity(path: Path) -> list[int | str]:
    """Return a file's size and a hash of both its ends."""
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is no file")
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        ends = file.read(_IDENTITY)
        file.seek(max(0, size - _IDENTITY))
        ends += file.read()
    return [size, hashlib.sha256(ends).hexdigest()]


def _changed(options: EnhanceOptions) -> dict[str, Any]:
    """Return the options that decide pixels and are not as they are by default."""
    chosen, default = _flat(options), _flat(type(options)())
    return {key: value for key, value in chosen.items() if value != default[key]}


def _flat(options: EnhanceOptions) -> dict[str, Any]:
    """Return what decides pixels, by the names that fingerprints have always used."""
    values = asdict(options)
    exposure = values.pop("exposure")
    values |= values.pop("writing") | {"ratio": exposure["ratio"], "ev": exposure["ev"]}
    values["target_exposure"] = exposure["exposure_time"]
    for name in _NOT_IN_PIXELS:
        del values[name]
    for name in _NOT_IN_PIXELS_OF_SETTINGS:
        del values["settings"][name]
    for name, default in _LATER_SETTINGS.items():
        if values["settings"][name] == default:
            del values["settings"][name]
    return values


def recorded_fingerprint(path: Path) -> str | None:
    """Return the fingerprint in a file's record; None if it is no result of NightFix.

    It is empty where the result is of a release that did not record one.
    """
    record = record_of_file(path)
    return None if record is None else record.fingerprint


def is_whole(path: Path) -> bool:
    """Tell whether a result is complete: a copy may have been cut off.

    A TIFF or DNG has the pieces that its directories name, a JPEG and a PNG their end
    marks, an AVIF its boxes.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as file:
        head, size = file.read(8), file.seek(0, 2)
        file.seek(max(0, size - 12))
        tail = file.read()
        if head[:2] == b"\xff\xd8":
            return tail.endswith(b"\xff\xd9")
        if head == b"\x89PNG\r\n\x1a\n":
            return tail[4:8] == b"IEND"
        tags = read_tags(file)
        if head[4:8] == b"ftyp":
            return declared_size(file, tags) <= size
    return end_of_pieces(tags.images) <= size


def result_state(target: Path, fingerprint: str) -> ResultState:
    """Return the state of the file at the name of a result with this fingerprint.

    Raises
    ------
    OSError
        If there is something that cannot be read.
    """
    if not target.is_file():
        return "unrelated" if target.is_dir() else "absent"
    if target.stat().st_size == 0:
        return "incomplete"
    recorded = recorded_fingerprint(target)
    if recorded is None:
        return "unrelated"
    if not is_whole(target):
        return "incomplete"
    return "done" if recorded == fingerprint else "different"
