"""Command line: ``nightfix info``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nightfix.cli.boundary import finish
from nightfix.cli.console import printable
from nightfix.condition import (
    Settings,
    clipped_share,
    condition_raw,
    format_exposure_time,
    mend_hot_pixels,
    passes,
)
from nightfix.develop import lens_correction, other_opcodes, profiles_installed
from nightfix.errors import NightFixError
from nightfix.pipeline import ORIGINS, camera_name, levels_of, say_black, say_saturation
from nightfix.read import RawImage, correct_black, has_shading, has_three_colors, read_raw
from nightfix.write import Record, record_of_file


def info(
    files: Annotated[
        list[Path],
        typer.Argument(help="Camera RAW files or results of NightFix.", show_default=False),
    ],
) -> None:
    """Show what a RAW file says and what NightFix would do with it, or did.

    Example: nightfix info photo.ARW
    """
    failures = []
    for path in files:
        record = record_of_file(path)
        rows = {"file": str(path)} | ({} if record is None else _made(record))
        try:
            raw = read_raw(path)
            rows |= _photo(raw) | _camera(raw) | ({} if _is_restored(record) else _plan(raw))
        except NightFixError as error:
            if record is None:
                failures.append(error)
                continue
        print(
            "\n".join(f"{key + ':':<16} {printable(value)}" for key, value in rows.items()),
            end="\n\n",
        )
    finish(failures)


def _is_restored(record: Record | None) -> bool:
    return record is not None and record.restored


def _made(record: Record) -> dict[str, str]:
    """Return how a result was made."""
    what = "restored" if _is_restored(record) else "converted, not restored"
    weights = f"{record.weights} (SHA-256 {record.weights_sha256})" if record.weights else ""
    rows = {
        "result": f"{what} by NightFix {record.version}",
        "made with": record.options,
        "weights": weights,
        "noise": "" if record.noise is None else _noise(*record.noise),
        "hot pixels": "" if record.hot_pixels is None else f"{record.hot_pixels} repaired",
        "camera shake": _shake(record),
        "detail": "" if not record.detail_drawn else f"{record.detail_drawn:.0f} % generated",
        "lens corrected": "" if record.lens == "off" else record.lens,
        "look": record.look,
        "computed on": record.computed,
    }
    return {name: text for name, text in rows.items() if text}


def _shake(record: Record) -> str:
    if record.shake is None:
        return ""
    direction = record.shake_direction
    way = "" if direction is None else f", {direction:.0f} degrees from horizontal"
    return f"{record.shake:.1f} px removed{way}"


def _photo(raw: RawImage) -> dict[str, str]:
    """Return what the file says."""
    metadata, exposure = raw.metadata, raw.metadata.exposure
    height, width = raw.mosaic.shape[:2]
    unknown = "unknown"
    black = " ".join(f"{value:g}" for value in raw.black_level.ravel())
    neutral = raw.as_shot_neutral
    return {
        "camera": camera_name(metadata) or unknown,
        "lens": metadata.lens or unknown,
        "exposure time": (
            unknown
            if exposure.exposure_time is None
            else format_exposure_time(exposure.exposure_time)
        ),
        "ISO": unknown if exposure.iso_speed is None else f"{exposure.iso_speed:g}",
        "aperture": unknown if exposure.f_number is None else f"f/{exposure.f_number:.3g}",
        "focal length": (
            unknown if exposure.focal_length is None else f"{exposure.focal_length:.4g} mm"
        ),
        "size": f"{width} x {height} px, crop {raw.crop.width} x {raw.crop.height}",
        "orientation": str(raw.orientation),
        "CFA": ORIGINS[raw.origin] or raw.cfa_pattern or "none (monochrome)",
        "levels": f"black {black}, white {raw.white_level:g} ({raw.bit_depth} bit)",
        "as-shot neutral": (
            unknown if neutral is None else " ".join(f"{value:.4f}" for value in neutral)
        ),
        "color matrices": ", ".join(
            _LIGHTS.get(m.illuminant, str(m.illuminant)) for m in raw.color_matrices
        )
        or unknown,
        "exposure": f"{raw.baseline_exposure:+.3g} EV in BaselineExposure",
        "lens correction": _lens(raw),
    }


def _lens(raw: RawImage) -> str:
    """Return what is corrected of the lens in pictures, and what else the file asks for."""
    correction, others = lens_correction(raw), other_opcodes(raw)
    if correction is not None:
        what = str(correction.facts)
    elif profiles_installed():
        what = "none in the file; lensfun does not know this lens"
    else:
        what = 'none in the file; to look in lensfun\'s database: pip install "nightfix[lens]"'
    parts = [what]
    parts += ["lens shading (the file's, before demosaicing)"] if has_shading(raw.opcodes) else []
    parts += [f"not carried out: {', '.join(others)}"] if others else []
    return "; ".join(parts)


def _camera(raw: RawImage) -> dict[str, str]:
    """Return what the maker note says about the camera's own processing."""
    camera = raw.metadata.camera
    reduced = {
        "high ISO": camera.high_iso_noise_reduction,
        "long exposure": camera.long_exposure_noise_reduction,
    }
    rows = {
        "in the camera": ", ".join(f"{what} {word}" for what, word in reduced.items() if word),
        "stabilization": camera.image_stabilization,
        "drive mode": camera.drive_mode,
        "shutter count": "" if camera.shutter_count is None else str(camera.shutter_count),
    }
    if rows["in the camera"]:
        rows["in the camera"] = f"noise reduction: {rows['in the camera']}"
    return {name: text for name, text in rows.items() if text}


#: Names of the EXIF light sources that color matrices are measured under.
_LIGHTS = {0: "unknown light", 17: "standard light A", 21: "D65", 23: "D50", 3: "tungsten"}


def _plan(raw: RawImage) -> dict[str, str]:
    """Return what would be done."""
    as_read = levels_of(raw, None)
    raw, repaired = mend_hot_pixels(correct_black(raw))
    conditioning = condition_raw(raw)
    noise, amplification = conditioning.noise, conditioning.amplification
    saturation = say_saturation(levels_of(raw, conditioning))
    rows = {
        "black": say_black(as_read),
        "saturation": saturation or "not seen in this photo",
        "clipped": f"{100 * clipped_share(raw, conditioning.saturation):.3g} % of the samples",
        "noise": _noise(noise.a, noise.b),
        "noise source": {
            "tag": "NoiseProfile of the file",
            "table": "measured camera table",
            "photo": "estimated from the photo itself",
        }[noise.source],
        "hot pixels": (
            "not looked for" if has_three_colors(raw) else f"{repaired} would be repaired"
        ),
        "ratio": f"{amplification.ratio:.4g} ({amplification.reason})",
        "steps": f"{passes(Settings(steps=0), conditioning)} with --steps auto",
    }
    if conditioning.warning:
        rows["note"] = conditioning.warning
    return rows


def _noise(a: float, b: float) -> str:
    return f"a {a:.3g}, b {b:.3g} (variance = a x + b, white = 1)"
