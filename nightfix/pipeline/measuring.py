"""Pipeline: measure a photo before the network runs, and blend its result afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nightfix.condition import Conditioning, ceiling, condition_raw, saturated_to_white
from nightfix.develop import orient
from nightfix.pipeline.options import EnhanceOptions
from nightfix.pipeline.sensor import mend_sensor
from nightfix.read import RawImage, has_three_colors
from nightfix.restore import blend

if TYPE_CHECKING:
    from nightfix.restore import CameraMotion

#: Directions every 45 degrees.
_WAYS = ("horizontal", "rising to the right", "vertical", "falling to the right")


#: Note on a photo of three colors a pixel.
_NOT_SEARCHED = "camera shake is not looked for in three colors a pixel; --deblur does"


class Measured(NamedTuple):
    """A photo that is ready for the network.

    ``raw`` has its black corrected, its saturated samples at white and its hot pixels repaired,
    ``hot_pixels`` of them (None if none were looked for); ``notes`` are for the photographer.
    """

    raw: RawImage
    conditioning: Conditioning
    hot_pixels: int | None
    notes: tuple[str, ...]


def measure_photo(raw: RawImage, options: EnhanceOptions) -> Measured:
    """Correct black and repair hot pixels, then meter the photo and choose its noise model.

    Raises
    ------
    MissingMetadataError
        If an exposure time is asked for and the photo's own is not known.
    """
    mended = mend_sensor(raw, options)  # before anything is measured
    conditioning = condition_raw(mended.raw, options.exposure, deblur=options.deblur)
    not_searched = has_three_colors(raw) and options.deblur is None
    notes = (*mended.notes, conditioning.warning, _NOT_SEARCHED if not_searched else "")
    white = saturated_to_white(mended.raw, conditioning.saturation)
    return Measured(white, conditioning, mended.hot_pixels, tuple(filter(None, notes)))


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


def upright_motion(motion: CameraMotion, orientation: int) -> CameraMotion:
    """Return a motion as it is seen in the upright picture."""
    from nightfix.restore import motion_of

    return motion_of(orient(motion.kernel, orientation))


def detail_note(raw: RawImage, asked: float, share: float) -> str:
    """Return the note on detail that was asked for [%], of which a share was drawn; else ""."""
    if asked == 0:
        return ""
    if share > 0:
        return generated_note(100 * share)
    if raw.cfa_pattern is None or has_three_colors(raw):
        return "no detail was generated: that is for photos of a color mosaic alone"
    if raw.as_shot_neutral is None:
        return "no detail was generated: the file does not say its white balance"
    return "no detail was generated: the photo has too little noise to have lost any"


def generated_note(percent: float) -> str:
    """Return the note on detail that was drawn [%]."""
    return f"detail was generated ({percent:.0f} %): fine texture is plausible, not captured"


def motion_note(length: float, direction: float | None, deblur: bool | None) -> str:
    """Return the note on camera shake of some length [px] and direction [degrees], if known."""
    way = "" if direction is None else f", mostly {_WAYS[round(direction / 45) % len(_WAYS)]}"
    removed = f"removed camera shake of about {length:.0f} px{way}"
    return removed if deblur else f"{removed}; --no-deblur keeps it"
