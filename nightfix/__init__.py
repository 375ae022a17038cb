"""NightFix: clean, sharp pictures from camera RAW taken too dark and not quite still.

>>> import nightfix
>>> nightfix.__version__.count(".")
2
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nightfix.conditioning import Conditioning, Settings, condition
    from nightfix.isp import develop
    from nightfix.pipeline import EnhanceOptions, Result, enhance
    from nightfix.raw import RawImage, read_raw
    from nightfix.restorer import Restorer

_HOMES = {
    "Conditioning": "nightfix.conditioning",
    "EnhanceOptions": "nightfix.pipeline",
    "RawImage": "nightfix.raw",
    "Restorer": "nightfix.restorer",
    "Result": "nightfix.pipeline",
    "Settings": "nightfix.conditioning",
    "condition": "nightfix.conditioning",
    "develop": "nightfix.isp",
    "enhance": "nightfix.pipeline",
    "read_raw": "nightfix.raw",
}

__all__ = [
    "Conditioning",
    "EnhanceOptions",
    "RawImage",
    "Restorer",
    "Result",
    "Settings",
    "condition",
    "develop",
    "enhance",
    "read_raw",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import nightfix`` is quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'nightfix' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
