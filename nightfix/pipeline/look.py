"""Pipeline: looks: learned from a folder of pairs, from a photo's own preview, or by name."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from nightfix.develop import (
    COLOR_SPACES,
    LIGHT_SPACE,
    Look,
    color_difference,
    develop_raw,
    encode_cube,
    encode_look,
    fit_look,
    fit_preview,
    icc_profile,
    looks_folder,
    orient,
    plain_matrix,
    profile_difference,
    profile_of,
    read_look,
    usable_matrices,
)
from nightfix.errors import LookError, NightFixError
from nightfix.progress import Progress, no_progress
from nightfix.read import RAW_SUFFIXES, RawImage, apply_gain_maps, read_preview, read_raw
from nightfix.write import (
    UNKNOWN_CAMERA,
    WriteOptions,
    check_target,
    reduce_raw,
    replacing,
    write_dcp,
)

#: Endings of the finished pictures that are looked for beside a raw file, in this order.
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")

#: Longest side of the reduced pictures that are compared [px].
_SIDE = 288

#: Most pixels of one pair that count; the others are spread evenly.
_MOST_PIXELS = 20_000

#: Fewest pixels that tell anything of a look, and of a preview's colors.
_FEWEST_PIXELS = 500

#: How alike the lightness of both pictures must be (correlation), and their shapes.
_LEAST_ALIKE, _LEAST_SHAPE = 0.75, 0.97

#: Steps between neighbors (encoded) from which a pixel lies on an edge, where pictures that are
#: not quite in register differ; and the light from which one may have been clipped.
_EDGE, _BRIGHTEST = 0.03, 0.9

#: EXIF's name of Adobe RGB, which cameras write instead of a profile (DCF 2.0).
_INTEROPERABILITY, _INDEX, _ADOBE_RGB = 0xA005, 1, "R03"

#: Mean CIEDE2000 of its grays from which a look is not itself without their tint: twice what is
#: just seen side by side.
_MOST_TINT = 2.0

_HINT = "give a folder of well-exposed RAW files, each with its JPEG of the same name"


#: Names that mean something else.
_RESERVED = ("none", "camera")


class Difference(NamedTuple):
    """CIEDE2000 between two pictures: mean and 95th percentile."""

    mean: float
    percentile95: float


class Exported(NamedTuple):
    """The camera that a profile is for, and how far its colors are from the look's."""

    camera: str
    difference: Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What came of learning a look.

    ``pairs`` are the photos it was learned from, ``left_out`` those that had no picture or
    another one, with the reason; ``without`` and ``with_look`` tell how far NightFix's own
    rendition and the look's are from the pictures.
    """

    look: Look
    pairs: tuple[Path, ...]
    left_out: tuple[tuple[Path, str], ...]
    without: Difference
    with_look: Difference


class _Pixels(NamedTuple):
    light: NDArray[np.float32]
    shown: NDArray[np.float32]


def learn_look(folder: str | os.PathLike[str], *, progress: Progress = no_progress) -> Learned:
    """Learn a look from a folder of raw files and their finished pictures.

    Parameters
    ----------
    folder : str or path-like
        RAW files, each with a JPEG, PNG or TIFF of the same name, or with a preview in
        itself. Subfolders are not searched.
    progress : callable
        Called with photos done and photos in all.

    Raises
    ------
    LookError
        If there is no such folder, or no pair in it that can be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise LookError(str(folder), "no such folder", _HINT)
    photos = sorted(p for p in folder.iterdir() if p.suffix.lower() in RAW_SUFFIXES)
    found: dict[Path, _Pixels] = {}
    left_out = []
    for done, photo in enumerate(photos):
        progress(done, len(photos))
        try:
            found[photo] = _pixels(read_raw(photo), _finished(photo), str(photo))
        except NightFixError as error:
            left_out.append((photo, error.message.removeprefix(f"{photo}: ")))
    progress(len(photos), len(photos))
    if not found:
        reasons = f" ({left_out[0][0].name}: {left_out[0][1]})" if left_out else ""
        raise LookError(str(folder), f"no pair of a RAW file and its picture{reasons}", _HINT)
    light, shown = (np.concatenate(parts) for parts in zip(*found.values(), strict=True))
    numbers = np.repeat(np.arange(len(found)), [len(pixels.light) for pixels in found.values()])
    look = fit_look(light, shown, numbers)
    return Learned(
        look=look,
        pairs=tuple(found),
        left_out=tuple(left_out),
        without=_difference(Look(matrix=plain_matrix().astype(np.float32)), light, shown),
        with_look=_difference(look, light, shown),
    )


def new_look_path(name: str, *, overwrite: bool = False) -> Path:
    """Return the file that a look of a name will have.

    Raises
    ------
    LookError
        If the name is that of another option, or cannot be one of a file.
    OutputError
        If there is one of that name already.
    """
    plain = Path(name).name == name != "" and name.isprintable() and name[:1] not in ".-"
    if not plain or name in _RESERVED:
        raise LookError(name, "cannot be the name of a look", "use a word, such as --name street")
    path = looks_folder() / f"{name}.json"
    check_target(path, overwrite=overwrite)
    return path


def save_look(look: Look, name: str, *, overwrite: bool = False) -> Path:
    """Keep a learned look under a name, and return its file.

    Raises
    ------
    LookError, OutputError
        As for :func:`new_look_path`, or if it cannot be written.
    """
    path = new_look_path(name, overwrite=overwrite)
    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(encode_look(look))
    return path


def export_cube(
    name: str | os.PathLike[str], target: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write a look as a ``.cube`` table, see :func:`nightfix.develop.look.encode_cube`.

    Raises
    ------
    LookError
        If there is no such look.
    OutputError
        If the file exists and must stay, or cannot be written.
    """
    data = encode_cube(_learned(name), Path(name).stem)
    with replacing(Path(target), overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def export_profile(
    name: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    photo: str | os.PathLike[str],
    overwrite: bool = False,
) -> Exported:
    """Write a look as a DNG camera profile (DCP) for the camera of a photo.

    Parameters
    ----------
    name : str or path-like
        The look.
    target : str or path-like
        File to write.
    photo : str or path-like
        A RAW file of the camera, any one.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    LookError
        If there is no such look, or a profile cannot be right: the camera's name or color
        matrix is not known, or the look tints gray.
    OutputError
        If the file exists and must stay, or cannot be written.
    """
    look, raw = _learned(name), read_raw(photo)
    otherwise = f"nightfix look export {name} {Path(target).with_suffix('.cube')}"
    model = raw.metadata.unique_camera_model
    if model in ("", UNKNOWN_CAMERA):
        raise LookError(str(photo), "does not tell its camera, which a DCP is for", otherwise)
    if not usable_matrices(raw.color_matrices):
        raise LookError(str(photo), "has no color matrix, which a DCP needs", otherwise)
    profile = profile_of(look)
    if profile.tint > _MOST_TINT:
        tinted = f"tints gray by {profile.tint:.1f} CIEDE2000, which no DCP can"
        raise LookError(os.fspath(name), tinted, otherwise)
    write_dcp(target, profile, name=Path(name).stem, camera=raw, overwrite=overwrite)
    return Exported(model, _spread(profile_difference(look, profile)))


def _learned(name: str | os.PathLike[str]) -> Look:
    if os.fspath(name) in _RESERVED:
        raise LookError(os.fspath(name), "is no look that was learned", "nightfix look list")
    return read_look(name)


def look_of(raw: RawImage, writing: WriteOptions) -> tuple[Look | None, str]:
    """Return the look that a photo is to be developed with, and what to know of it.

    Parameters
    ----------
    raw : RawImage
        Captured or restored; of "camera" the preview is read from its file.
    writing : WriteOptions
        ``look`` names it.

    Returns
    -------
    (Look or None, str)
        None where there is none, with a note if one was asked for; "" without a note.

    Raises
    ------
    LookError
        If there is no look of that name.
    """
    if writing.look == "none":
        return None, ""
    if writing.look != "camera":
        return read_look(writing.look), ""
    try:
        jpeg = read_preview(raw.path)
        if not jpeg or raw.cfa_pattern is None:
            return None, "no look: the file has no color preview of the camera's"
        pixels = _pixels(raw, jpeg, raw.path.name)
    except NightFixError:
        return None, "no look: the camera's preview is too dark, or cannot be read"
    note = "look: white balance, hue and saturation of the camera's preview, not its tones"
    return fit_preview(*pixels), note


def _finished(photo: Path) -> bytes:
    """Return the finished picture of a raw file: beside it, else in it."""
    beside = {path.name.lower(): path for path in photo.parent.glob(f"{_literal(photo.stem)}.*")}
    for suffix in _PICTURE_SUFFIXES:
        path = beside.get(f"{photo.stem.lower()}{suffix}")
        if path is not None:
            return path.read_bytes()
    return read_preview(photo)


def _literal(text: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)


def _pixels(raw: RawImage, picture: bytes, subject: str) -> _Pixels:
    """Return the pixels that are known both as light and as finished colors."""
    if not picture:
        raise LookError(subject, "has no finished picture, beside it or in it", _HINT)
    factor = max(1, max(raw.crop.width, raw.crop.height) // (2 * _SIDE))
    light = develop_raw(
        reduce_raw(apply_gain_maps(raw), factor), color_space=LIGHT_SPACE, tone="scene", lens="off"
    )
    height, width = light.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    light = _resize(light, size)
    shown = _most_alike(light, _candidates(picture, raw.orientation, size, subject), subject)
    known = _flat(light.max(axis=-1) ** np.float32(1 / 2.4)) & _flat(shown.max(axis=-1))
    known &= (light.max(axis=-1) < _BRIGHTEST) & (shown > 0.01).all(-1) & (shown < 0.985).all(-1)
    places = np.flatnonzero(known)
    if len(places) < min(_FEWEST_PIXELS, known.size // 8):
        raise LookError(subject, "too dark, too bright or too busy to learn from", _HINT)
    places = places[:: -(-len(places) // _MOST_PIXELS)]
    return _Pixels(light.reshape(-1, 3)[places], shown.reshape(-1, 3)[places])


def _candidates(
    picture: bytes, orientation: int, size: tuple[int, int], subject: str
) -> Iterator[NDArray[np.float32]]:
    """Yield the picture in sRGB at a size, as it says it is upright and as the raw says."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(picture))
        image.draft("RGB", (4 * _SIDE, 4 * _SIDE))
        upright = _to_srgb(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise LookError(subject, "its picture cannot be read", _HINT) from error
    turned = Image.fromarray(orient(np.asarray(upright), orientation))
    for one in (upright, turned):
        shape = one.width / one.height * size[1] / size[0]
        if min(shape, 1 / shape) >= _LEAST_SHAPE:
            fitted = ImageOps.fit(one, size, Image.Resampling.BOX)
            yield np.asarray(fitted, np.float32) / np.float32(255)


def _to_srgb(image: Image.Image) -> Image.Image:
    """Return a picture upright and in sRGB, by its profile or by what EXIF says."""
    profile = image.info.get("icc_profile")
    if profile is None and image.getexif().get_ifd(_INTEROPERABILITY).get(_INDEX) == _ADOBE_RGB:
        profile = icc_profile(COLOR_SPACES["adobe-rgb"])
    rgb = ImageOps.exif_transpose(image).convert("RGB")
    if profile is not None:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(rgb, source, ImageCms.createProfile("sRGB"))
        except ImageCms.PyCMSError:
            return rgb
        rgb = converted or rgb
    return rgb


def _most_alike(
    light: NDArray[np.float32], candidates: Iterable[NDArray[np.float32]], subject: str
) -> NDArray[np.float32]:
    """Return the candidate that shows what the light does."""
    seen = light.mean(axis=-1).ravel() ** np.float32(1 / 2.4)
    rated = [(_correlation(seen, one.mean(axis=-1).ravel()), one) for one in candidates]
    best = max(rated, key=lambda each: each[0], default=None)
    if best is None:
        raise LookError(subject, "its picture has another shape", _HINT)
    if best[0] < _LEAST_ALIKE:
        raise LookError(subject, "its picture shows something else", _HINT)
    return best[1]


def _correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    first, second = first - first.mean(), second - second.mean()
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / size if size > 0 else 0.0


def _resize(light: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    planes = [
        np.asarray(Image.fromarray(light[..., c]).resize(size, Image.Resampling.BOX))
        for c in range(3)
    ]
    return np.stack(planes, axis=-1)


def _flat(plane: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which pixels differ little from their neighbors."""
    padded = np.pad(plane, 1, mode="edge")
    center = padded[1:-1, 1:-1]
    beside = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.asarray(np.max([np.abs(one - center) for one in beside], axis=0) < _EDGE)


def _difference(look: Look, light: NDArray[np.float32], shown: NDArray[np.float32]) -> Difference:
    return _spread(color_difference(look.apply(light.T, 1.0).T, shown))


def _spread(found: NDArray[np.float64]) -> Difference:
    return Difference(float(found.mean()), float(np.percentile(found, 95)))
