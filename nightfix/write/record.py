"""Write: how a result was made, in a form that goes into the file and can be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from nightfix import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The settings behind a result, as texts; empty = does not apply or is unknown.

    Attributes
    ----------
    version : str
        Of NightFix.
    restored : str
        "True", or "False" for a photo that was only converted.
    weights, weights_sha256 : str
        Name of the network's weights, and the hash of their file.
    ratio, steps, strength, headroom, seed : str
        Numbers as on the command line, those chosen by ``auto`` too.
    deterministic : str
        "True" if expected light was added between passes, not drawn photons.
    deblur : str
        "True", "False", or "" if it was left open.
    hot_pixels : str
        How many hot, dead and stuck pixels were mended; "" if none were looked for.
    shake : str
        Length of the shake that was undone [px]; "" if none was.
    noise : str
        a and b of variance = a*x + b, with white at 1.
    chroma : str
        Strength for color noise, "" if it is that of all.
    computed : str
        Device and number format.
    fingerprint : str
        Of the photo and all that decides the result, see
        :func:`nightfix.pipeline.fingerprint.settings_fingerprint`.
    """

    version: str = __version__
    restored: str = "False"
    weights: str = ""
    weights_sha256: str = ""
    ratio: str = ""
    steps: str = ""
    strength: str = ""
    chroma: str = ""
    headroom: str = ""
    seed: str = ""
    deterministic: str = ""
    deblur: str = ""
    hot_pixels: str = ""
    shake: str = ""
    noise: str = ""
    computed: str = ""
    fingerprint: str = ""

    @property
    def options(self) -> str:
        """The options of ``nightfix enhance`` that repeat the result."""
        if self.restored != "True":
            return "--no-restore"
        valued = ("ratio", "steps", "strength", "chroma", "headroom", "seed", "weights")
        words = [f"--{name} {value}" for name in valued if (value := getattr(self, name))]
        words += ["--deterministic"] if self.deterministic == "True" else []
        words += {"True": ["--deblur"], "False": ["--no-deblur"]}.get(self.deblur, [])
        words += [] if self.hot_pixels else ["--hot-pixels off"]
        return " ".join(words)


def properties(record: Record) -> dict[str, str]:
    """Return a record by property names: ``weights_sha256`` becomes ``WeightsSha256``."""
    return {_name(key): value for key, value in asdict(record).items() if value}


def from_properties(known: Mapping[str, str]) -> Record:
    """Undo :func:`properties`; names that this release does not know are passed over."""
    texts = {field.name: known.get(_name(field.name), "") for field in fields(Record)}
    return Record(**texts)


def _name(key: str) -> str:
    return "".join(word.capitalize() for word in key.split("_"))
