"""Write: the settings behind a result, written into the file so that it can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

from nightfix import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The settings behind a result; None and "" = does not apply or is unknown.

    Attributes
    ----------
    version : str
        Of NightFix.
    restored : bool
        False for a photo that was only converted.
    weights, weights_sha256 : str
        Name of the network's weights, and the hash of their file.
    ratio : float or None
        Amplification, those that were metered too [-].
    steps : int or None
        Network passes as asked for; 0 = auto.
    strength, chroma : float or None
        0 to 100; ``chroma`` is None where it is that of all.
    detail, detail_drawn : float or None
        How much detail was asked for, and how much of it was generated where the noise of the
        photo had taken it [%]; None where none was asked for, or none generated.
    headroom : float or None
        Stops kept above white [EV].
    seed : int or None
        Of the light that is drawn between passes.
    deterministic : bool or None
        Whether expected light was added between passes, not drawn photons.
    deblur : bool or None
        Whether camera shake was to be removed; None where that was left open.
    hot_pixels : int or None
        How many hot, dead and stuck pixels were repaired; None if none were looked for.
    black : str
        "stated" if masked pixels were not to correct the black level.
    dark : str
        Names of the dark frames, with commas between; "" without any.
    lens : str
        What was corrected of the lens and by what, in a developed picture; "off" if nothing was
        to be.
    look : str
        Name of the look that a developed picture has; "" for NightFix's own rendition.
    shake, shake_direction : float or None
        Length [px] and direction [degrees from horizontal] of the camera shake that was
        removed; None if none was.
    noise : (float, float) or None
        a and b of variance = a*x + b, with white at 1.
    computed : str
        Device and number format.
    fingerprint : str
        Of the photo and all that decides the result, see
        :func:`nightfix.pipeline.fingerprint.settings_fingerprint`.
    """

    version: str = __version__
    restored: bool = False
    weights: str = ""
    weights_sha256: str = ""
    ratio: float | None = None
    steps: int | None = None
    strength: float | None = None
    chroma: float | None = None
    detail: float | None = None
    detail_drawn: float | None = None
    headroom: float | None = None
    seed: int | None = None
    deterministic: bool | None = None
    deblur: bool | None = None
    hot_pixels: int | None = None
    black: str = ""
    dark: str = ""
    lens: str = ""
    look: str = ""
    shake: float | None = None
    shake_direction: float | None = None
    noise: tuple[float, float] | None = None
    computed: str = ""
    fingerprint: str = ""

    @property
    def options(self) -> str:
        """The options of ``nightfix enhance`` that repeat the result."""
        developed = ["--lens off"] if self.lens == "off" else []
        developed += [f"--look {self.look}"] if self.look else []
        if not self.restored:
            return " ".join(["--no-restore", *developed])
        texts = _texts(self)
        valued = ("ratio", "steps", "strength", "chroma", "detail", "headroom", "seed", "weights")
        words = [f"--{name} {texts[name]}" for name in valued if texts[name]]
        words += ["--deterministic"] if self.deterministic else []
        if self.deblur is not None:
            words.append("--deblur" if self.deblur else "--no-deblur")
        words += ["--black stated"] if self.black == "stated" else []
        words += [f"--dark {name}" for name in self.dark.split(", ") if name]
        words += ["--hot-pixels off"] if self.hot_pixels is None else []
        words += developed
        return " ".join(words)


def properties(record: Record) -> dict[str, str]:
    """Return a record as XMP has it: ``weights_sha256`` becomes ``WeightsSha256``, all is text."""
    return {_name(key): text for key, text in _texts(record).items() if text}


def from_properties(known: Mapping[str, str]) -> Record:
    """Undo :func:`properties`; names and values that this release does not know are left out."""
    texts = {field.name: known.get(_name(field.name), "") for field in fields(Record)}
    values: dict[str, Any] = {name: texts[name] for name in texts if name not in _PARSERS}
    for name, parse in _PARSERS.items():
        with suppress(ValueError, LookupError):  # missing, or written by somebody else
            values[name] = parse(texts[name])
    return Record(**values)


def _texts(record: Record) -> dict[str, str]:
    """Return each field as text; "" for what does not apply."""
    values = {field.name: getattr(record, field.name) for field in fields(Record)}
    return {
        name: "" if value is None else _FORMATS.get(name, str)(value)
        for name, value in values.items()
    }


def _plain_number(value: float) -> str:
    return f"{value:g}"


def _truth(text: str) -> bool:
    return {"True": True, "False": False}[text]


def _pair(text: str) -> tuple[float, float]:
    a, b = map(float, text.split())
    return a, b


#: How the values that are no texts are written, where ``str`` does not do, and read.
_FORMATS: dict[str, Callable[[Any], str]] = {
    "ratio": repr,
    "steps": lambda steps: str(steps or "auto"),
    "strength": _plain_number,
    "chroma": _plain_number,
    "detail": _plain_number,
    "detail_drawn": lambda percent: f"{percent:.0f}",
    "headroom": _plain_number,
    "shake": lambda length: f"{length:.1f}",
    "shake_direction": lambda degrees: f"{degrees:.0f}",
    "noise": lambda pair: f"{pair[0]!r} {pair[1]!r}",
}
_PARSERS: dict[str, Callable[[str], Any]] = {
    "restored": _truth,
    "ratio": float,
    "steps": lambda text: 0 if text == "auto" else int(text),
    "strength": float,
    "chroma": float,
    "detail": float,
    "detail_drawn": float,
    "headroom": float,
    "seed": int,
    "deterministic": _truth,
    "deblur": _truth,
    "hot_pixels": int,
    "shake": float,
    "shake_direction": float,
    "noise": _pair,
}


def _name(key: str) -> str:
    return "".join(word.capitalize() for word in key.split("_"))
