"""Read: what a camera did to a photo by itself, as its maker note says.

exifread finds the entries, in LibRaw's process (:mod:`nightfix.read.decoder_process`). Here
is which of them are asked for, and what they mean: for Canon, Nikon, Sony, Olympus and
Fujifilm, as far as exifread names them; it reads no maker notes of Pentax and Panasonic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Longest text of an entry that is taken [characters].
LONGEST_TEXT = 128

_MAKE = "Image Make"
_NOTE = "MakerNote"

#: Nikon's is of long exposures ("FPNR": fixed pattern), Olympus' of every photo.
_NOISE_REDUCTION = f"{_NOTE} NoiseReduction"

_HIGH_ISO = (f"{_NOTE} HighISONoiseReduction", f"{_NOTE} HighISONoiseReduction2")
_LONG_EXPOSURE = (
    f"{_NOTE} LongExposureNoiseReduction",
    f"{_NOTE} LongExposureNoiseReduction2",
)
_STABILIZATION = (f"{_NOTE} ImageStabilization",)
_DRIVE = (
    f"{_NOTE} ContinuousDriveMode",  # Canon
    f"{_NOTE} BracketingMode",  # Nikon
    f"{_NOTE} ReleaseMode",  # Sony
)
_FUJIFILM_DRIVE = f"{_NOTE} MotorOrBracket"
_SHUTTER = (f"{_NOTE} TotalShutterReleases", f"{_NOTE} MechanicalShutterCount")

#: All entries that are asked for, by exifread's names.
KEYS = (
    _MAKE,
    _NOISE_REDUCTION,
    *_HIGH_ISO,
    *_LONG_EXPOSURE,
    *_STABILIZATION,
    *_DRIVE,
    _FUJIFILM_DRIVE,
    *_SHUTTER,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSettings:
    """What a maker note says of the shot; "" and None = unknown.

    Attributes
    ----------
    high_iso_noise_reduction : str
        The camera's word for its strength, such as "Off", "Normal" or "Auto".
    long_exposure_noise_reduction : str
        Whether a dark frame was subtracted, in the camera's word.
    image_stabilization, drive_mode : str
        In the camera's word.
    shutter_count : int or None
        Photos the shutter has taken, >= 0.
    """

    high_iso_noise_reduction: str = ""
    long_exposure_noise_reduction: str = ""
    image_stabilization: str = ""
    drive_mode: str = ""
    shutter_count: int | None = None

    @property
    def reduces_noise(self) -> bool:
        """Whether the camera was told to smooth noise; "Auto" does not tell.

        The subtraction of a dark frame after a long exposure smooths nothing.
        """
        return self.high_iso_noise_reduction.lower() not in ("", "off", "auto")


def camera_settings(notes: Mapping[str, str]) -> CameraSettings:
    """Read a camera's settings from the entries of its maker note.

    Parameters
    ----------
    notes : mapping of str to str
        Texts by exifread's names, of :data:`KEYS`.

    Returns
    -------
    CameraSettings
        What is not there, or not known to exifread, is unknown.

    Examples
    --------
    >>> camera_settings({"MakerNote HighISONoiseReduction": "Normal"}).reduces_noise
    True
    """
    high_iso, long_exposure = _first(notes, _HIGH_ISO), _first(notes, _LONG_EXPOSURE)
    other, make = _word(notes.get(_NOISE_REDUCTION, "")), notes.get(_MAKE, "").upper()
    if "NIKON" in make:
        long_exposure = long_exposure or {"FPNR": "On", "OFF": "Off"}.get(other.upper(), other)
    elif "OLYMPUS" in make:
        high_iso = high_iso or other
    fujifilm = {"Off": "Single", "On": "Continuous or bracketing"}
    return CameraSettings(
        high_iso_noise_reduction=high_iso,
        long_exposure_noise_reduction=long_exposure,
        image_stabilization=_first(notes, _STABILIZATION),
        drive_mode=_first(notes, _DRIVE) or fujifilm.get(notes.get(_FUJIFILM_DRIVE, ""), ""),
        shutter_count=_count(notes),
    )


def _first(notes: Mapping[str, str], keys: tuple[str, ...]) -> str:
    return next((word for key in keys if (word := _word(notes.get(key, "")))), "")


def _word(text: str) -> str:
    """Return a text, or "" for a bare number, for which exifread has no word."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    says = any(c.isalpha() for c in text) and text.lower() not in ("n/a", "unknown")
    return text if says else ""


def _count(notes: Mapping[str, str]) -> int | None:
    texts = (notes.get(key, "") for key in _SHUTTER)
    # An all-ones entry is one that was never written.
    counts = (int(t) for t in texts if t.isascii() and t.isdecimal() and len(t) <= 10)
    return next((count for count in counts if count < 2**32 - 1), None)
