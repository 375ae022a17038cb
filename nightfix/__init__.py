"""NightFix: clean, sharp pictures from camera RAW taken too dark and not quite still.

>>> import nightfix
>>> nightfix.__version__.count(".")
2
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nightfix.arrays import raw_from_array
    from nightfix.batch import Outcome, enhance_many
    from nightfix.conditioning import Conditioning, Settings, condition
    from nightfix.gather import Photo, gather
    from nightfix.isp import develop
    from nightfix.pipeline import EnhanceOptions, Result, enhance
    from nightfix.raw import RawImage, read_raw
    from nightfix.restorer import Restorer

_HOMES = {
    "Conditioning": "nightfix.conditioning",
    "EnhanceOptions": "nightfix.pipeline",
    "Outcome": "nightfix.batch",
    "Photo": "nightfix.gather",
    "RawImage": "nightfix.raw",
    "Restorer": "nightfix.restorer",
    "Result": "nightfix.pipeline",
    "Settings": "nightfix.conditioning",
    "condition": "nightfix.conditioning",
    "develop": "nightfix.isp",
    "enhance": "nightfix.pipeline",
    "enhance_many": "nightfix.batch",
    "gather": "nightfix.gather",
    "raw_from_array": "nightfix.arrays",
    "read_raw": "nightfix.raw",
}

__all__ = [
    "Conditioning",
    "EnhanceOptions",
    "Outcome",
    "Photo",
    "RawImage",
    "Restorer",
    "Result",
    "Settings",
    "condition",
    "develop",
    "enhance",
    "enhance_many",
    "gather",
    "raw_from_array",
    "read_raw",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import nightfix`` is quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'nightfix' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
