"""Pipeline: measure a photo before the network runs, and blend its result afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nightfix.condition import Conditioning, ceiling, condition_raw, mend_hot_pixels
from nightfix.develop import orient
from nightfix.pipeline.options import EnhanceOptions
from nightfix.read import RawImage
from nightfix.restore import blend

if TYPE_CHECKING:
    from nightfix.restore import CameraMotion

#: Directions every 45 degrees.
_WAYS = ("horizontal", "rising to the right", "vertical", "falling to the right")


class Measured(NamedTuple):
    """A photo that is ready for the network.

    ``raw`` has its hot pixels repaired, ``hot_pixels`` of them (None if none were looked for);
    ``notes`` are for the photographer.
    """

    raw: RawImage
    conditioning: Conditioning
    hot_pixels: int | None
    notes: tuple[str, ...]


def measure_photo(raw: RawImage, options: EnhanceOptions) -> Measured:
    """Repair hot pixels, then meter the photo and choose its noise model.

    Raises
    ------
    MissingMetadataError
        If an exposure time is asked for and the photo's own is not known.
    """
    repaired: int | None = None
    if options.hot_pixels == "auto":
        raw, repaired = mend_hot_pixels(raw)  # before anything is measured
    conditioning = condition_raw(raw, options.exposure, deblur=options.deblur)
    notes = [hot_pixels_note(repaired) if repaired else "", conditioning.warning]
    return Measured(raw, conditioning, repaired, tuple(filter(None, notes)))


def blend_with_capture(
    captured: RawImage, restored: RawImage, conditioning: Conditioning, options: EnhanceOptions
) -> RawImage:
    """Keep as much of the captured grain as ``strength`` and ``chroma`` ask for."""
    ratio = conditioning.amplification.ratio
    return blend(
        captured,
        restored,
        ratio=ratio,
        strength=options.settings.strength,
        chroma=options.chroma,
        ceiling=ceiling(captured, ratio, options.settings),
    )


def hot_pixels_note(count: int) -> str:
    """Return the note on hot, dead and stuck pixels."""
    pixels = "pixel" if count == 1 else "pixels"
    return f"repaired {count} hot or dead {pixels}; --hot-pixels off leaves them"


def upright_motion(motion: CameraMotion, orientation: int) -> CameraMotion:
    """Return a motion as it is seen in the upright picture."""
    from nightfix.restore import motion_of

    return motion_of(orient(motion.kernel, orientation))


def motion_note(motion: CameraMotion, deblur: bool | None) -> str:
    """Return the note on camera shake."""
    way = _WAYS[round(motion.direction / 45) % len(_WAYS)]
    removed = f"removed camera shake of about {motion.length:.0f} px, mostly {way}"
    return removed if deblur else f"{removed}; --no-deblur keeps it"
