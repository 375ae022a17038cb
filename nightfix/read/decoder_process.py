"""Read: what runs in the process of LibRaw and of the other decoders, and nowhere else.

Here every file is treated as hostile. The process gives up what decoding does not need before it
sees one, and answers with nothing but numbers and short texts; :mod:`nightfix.read.decoder`,
which starts it, believes them within bounds.
"""

from __future__ import annotations

import io
import json
import logging
import signal
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

import exifread
import numpy as np
import rawpy
from numpy.typing import NDArray

from nightfix.read.decoder import (
    TIME_LIMIT,
    DecoderError,
    Origin,
    Sizes,
    require_plausible_size,
)
from nightfix.read.dng_decoder import Picture, decode_dng, foreign_samples, prepare
from nightfix.read.maker_notes import KEYS, LONGEST_TEXT
from nightfix.read.tags import FileTags, read_tags

#: Address space of the child: LibRaw's own limit of 2 GiB of samples, the file, and libraries.
_ADDRESS_SPACE = 8 << 30

#: Longest that exifread may look for maker notes [s].
NOTES_TIME_LIMIT = 2.0

#: Rows of samples that are sent at once, so that no copy of the frame is made.
_ROWS = 64


def serve() -> None:
    """Decode what comes on stdin, file after file, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    logging.getLogger("exifread").disabled = True
    with suppress(rawpy.LibRawError):
        rawpy.imread(io.BytesIO())  # which imports what it needs, while that can be opened
    prepare()
    _limit_ourselves()
    source, answers = sys.stdin.buffer, sys.stdout.buffer
    while line := source.readline():
        _limit_time()
        *asked, size, padding = line.split()
        data = source.read(int(size))
        if asked == [b"preview"]:
            jpeg = _preview(data)
            answers.write(json.dumps({"size": len(jpeg)}).encode() + b"\n" + jpeg)
            answers.flush()
            continue
        try:
            tags = read_tags(io.BytesIO(data)) if data[:2] in (b"II", b"MM") else FileTags()
            if (samples := foreign_samples(tags)) is not None:
                _send(answers, *_of_dng(decode_dng(data, samples, padding=int(padding))))
            else:
                with rawpy.imread(io.BytesIO(data)) as raw:
                    require_plausible_size(int(size), raw.sizes.raw_height * raw.sizes.raw_width)
                    _send(answers, *_of_libraw(raw))
        except (DecoderError, rawpy.LibRawError, MemoryError) as error:
            answer = {"error": _kind(error), "what": _sentence(error)}
            answers.write(json.dumps(answer).encode() + b"\n")
        else:
            answers.flush()  # the photo is safe, whatever comes of its notes
            answers.write(json.dumps(maker_notes(data)).encode() + b"\n")
        del data
        answers.flush()


def _preview(data: bytes) -> bytes:
    """Return the JPEG that a file holds to be looked at, b"" if there is none."""
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            found = raw.extract_thumb()
    except (rawpy.LibRawError, rawpy.NotSupportedError, MemoryError):
        return b""
    return found.data if isinstance(found.data, bytes) else b""  # else a bitmap


class _Answer(NamedTuple):
    """What :class:`Decoded` holds: as JSON can carry it, and samples and what is around them."""

    header: dict[str, Any]
    samples: NDArray[Any] | None
    frame: NDArray[np.uint16] | None


def _send(
    answers: BinaryIO,
    header: dict[str, Any],
    samples: NDArray[Any] | None,
    frame: NDArray[np.uint16] | None,
) -> None:
    has_margins = frame is not None and header["origin"] == "mosaic" and samples is not None
    header |= {"has_samples": samples is not None, "has_margins": has_margins}
    answers.write(json.dumps(header).encode() + b"\n")
    if samples is not None:
        for start in range(0, len(samples), _ROWS):
            answers.write(np.ascontiguousarray(samples[start : start + _ROWS]).data)
    if frame is not None and has_margins:
        for margin in _margins(frame, Sizes(*header["sizes"])):
            answers.write(np.ascontiguousarray(margin).tobytes())


class _TooLong(BaseException):
    """Time is up; no ``except Exception`` on the way swallows it."""


def _stop(*_: object) -> None:
    raise _TooLong


def maker_notes(data: bytes) -> dict[str, str]:
    """Return a maker note's entries of interest, by exifread; {} where it fails or is too slow.

    Parameters
    ----------
    data : bytes
        A whole file.

    Returns
    -------
    dict of str to str
        Of :data:`nightfix.read.maker_notes.KEYS`, each text at most 128 characters.
    """
    timed = hasattr(signal, "setitimer")  # else, on Windows, the parent's own limit is left
    try:
        try:
            if timed:
                signal.signal(signal.SIGALRM, _stop)
                signal.setitimer(signal.ITIMER_REAL, NOTES_TIME_LIMIT)
            tags = exifread.process_file(io.BytesIO(_with_exif(data)), extract_thumbnail=False)
            found = {key: tags[key].printable for key in KEYS if key in tags}
            return {key: str(text)[:LONGEST_TEXT] for key, text in found.items()}
        finally:
            if timed:
                signal.setitimer(signal.ITIMER_REAL, 0)
    except (Exception, _TooLong):  # a parser of foreign bytes fails in too many ways to name
        return {}


def _with_exif(data: bytes) -> bytes:
    """Return the part of a file that exifread understands: of a RAF, the JPEG in it."""
    if not data.startswith(b"FUJIFILMCCD-RAW"):
        return data
    start, size = struct.unpack(">II", data[84:92])
    return data[start : start + size]


def _limit_ourselves() -> None:
    """Give up what no decoder needs: most memory, and files and connections of its own."""
    with suppress(ImportError):  # not on Windows
        import resource

        limits = [
            (resource.RLIMIT_AS, _ADDRESS_SPACE),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
        ]
        if sys.platform == "linux":  # what is open stays open, nothing else can be opened
            limits.append((resource.RLIMIT_NOFILE, 0))
        for what, limit in limits:
            hard = resource.getrlimit(what)[1]
            with suppress(OSError, ValueError):
                lowest = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
                resource.setrlimit(what, (lowest, lowest))


def _limit_time() -> None:
    """End ourselves when one file takes too long, whether or not a parent is left to do it."""
    with suppress(ImportError):
        import resource

        usage = resource.getrusage(resource.RUSAGE_SELF)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        with suppress(OSError, ValueError):
            spent = int(usage.ru_utime + usage.ru_stime)
            resource.setrlimit(resource.RLIMIT_CPU, (spent + int(TIME_LIMIT) + 1, hard))


def _of_libraw(raw: rawpy.RawPy) -> _Answer:
    """Return what LibRaw knows of a file."""
    sizes = raw.sizes
    shape: tuple[int, ...] | None = None
    try:
        shape = None if raw.raw_pattern is None else raw.raw_pattern.shape
    except NotImplementedError:  # rawpy's answer to the rarest patterns
        shape = (0, 0)
    # raw_pattern starts at the masked frame's corner, whose phase may be another.
    at = [(sizes.top_margin + row, sizes.left_margin + column) for row, column in _CELL]
    sites = [raw.raw_color(row, column) for row, column in at] if shape else [0, 0, 0, 0]
    origin, samples, pattern = _samples(raw, shape)
    if pattern is not None:
        shape, sites = (2, 2), [*pattern]
    if samples is not None:
        sizes = sizes._replace(height=samples.shape[0], width=samples.shape[1])
    header = {
        "origin": origin,
        "sizes": [*(getattr(sizes, name) for name in Sizes._fields)],
        "num_colors": raw.num_colors,
        "color_desc": raw.color_desc.decode("ascii", "replace"),
        "pattern_shape": shape,
        "sites": sites,
        "black_level_per_channel": list(raw.black_level_per_channel),
        "white_level": raw.white_level,
        "camera_white_level_per_channel": list(raw.camera_white_level_per_channel or []),
        "camera_whitebalance": list(raw.camera_whitebalance),
        "rgb_xyz_matrix": raw.rgb_xyz_matrix.ravel().tolist(),
        "lens": raw.lens.model,
        "own_levels": False,
    }
    frame = raw.raw_image if raw.raw_type is rawpy.RawType.Flat else None
    return _Answer(header | _exposure(raw), samples, frame)


def _of_dng(picture: Picture) -> _Answer:
    """Return what a DNG holds that LibRaw cannot decode."""
    header, samples, frame = picture
    if samples.shape[2] == 1:
        mosaic = samples[..., 0]
        return _Answer(header, mosaic, None if frame is None else frame[..., 0])
    if samples.shape[2] != 3:
        return _Answer(header, None, None)
    origin, colors, pattern = _colors(samples)
    header |= {"origin": origin, "pattern_shape": (2, 2), "sites": [*pattern]}
    return _Answer(header, colors, None)


def _margins(frame: NDArray[np.uint16], sizes: Sizes) -> tuple[NDArray[np.uint16], ...]:
    """Return what is above, left of, right of and below the visible part of a mosaic."""
    bottom, right = sizes.top_margin + sizes.height, sizes.left_margin + sizes.width
    rows = frame[sizes.top_margin : bottom]
    left = rows[:, : sizes.left_margin]
    return frame[: sizes.top_margin], left, rows[:, right:], frame[bottom:]


def _samples(
    raw: rawpy.RawPy, shape: tuple[int, ...] | None
) -> tuple[Origin, NDArray[np.uint16] | None, Sequence[int] | None]:
    """Return what the file holds, its samples, and sites where they are not the file's."""
    if raw.raw_type is rawpy.RawType.Flat:
        if shape != (6, 6) or raw.num_colors != 3:
            return "mosaic", raw.raw_image_visible, None
        return "x-trans", _at_sites(_demosaiced(raw), _PHASES[0]), _PHASES[0]
    if raw.num_colors == 3:
        return _colors(raw.raw_image_visible[..., :3])
    return "rgb", None, None


def _colors(rgb: NDArray[Any]) -> tuple[Origin, NDArray[Any], Sequence[int]]:
    """Return the mosaic that shows in three colors a pixel, or else these; and its sites."""
    pattern = _sampled_sites(rgb)
    if pattern is None:
        return "rgb", rgb, _PHASES[0]
    return "demosaiced", _at_sites(rgb, pattern), pattern


_CELL = ((0, 0), (0, 1), (1, 0), (1, 1))

#: Color numbers of a 2 x 2 cell for each place of red.
_PHASES = ((0, 1, 1, 2), (1, 0, 2, 1), (1, 2, 0, 1), (2, 1, 1, 0))

#: How much rougher samples are at least than all values of a demosaiced picture.
_ROUGHER = 1.015

#: Side of the middle of a frame in which the phase is looked for [px].
_MIDDLE = 1024


def _at_sites(rgb: NDArray[Any], sites: Sequence[int]) -> NDArray[Any]:
    """Take of three colors a pixel the one that its site of a 2 x 2 pattern has."""
    mosaic = np.empty(rgb.shape[:2], rgb.dtype)
    for (row, column), color in zip(_CELL, sites, strict=True):
        mosaic[row::2, column::2] = rgb[row::2, column::2, color]
    return mosaic


def _sampled_sites(rgb: NDArray[Any]) -> Sequence[int] | None:
    """Find the Bayer pattern that a demosaiced picture was made of; None if there is none.

    What was sampled keeps its noise, what was interpolated between samples is smoother:
    the pattern with the roughest samples is it, and with it the mosaic is the sensor's own
    again. Of demosaiced photographs it is 1.01 to 2.1 times as rough as the mean of all four
    patterns, of reduced ones at most 1.006 times. Where medians of the colors have smoothed it,
    it is 1.005 to 1.013 times as rough, and the mosaic is no longer the sensor's: such photographs
    are restored better in all three colors, by up to 0.8 dB. Some clean, demosaiced ones (at
    ratio 1 two of five) are taken for such, too, which costs time.
    """
    top, left = ((max(0, side - _MIDDLE) // 4) * 2 for side in rgb.shape[:2])
    part = rgb[top : top + _MIDDLE, left : left + _MIDDLE].astype(np.float32)
    around = part[:-2, 1:-1] + part[2:, 1:-1] + part[1:-1, :-2] + part[1:-1, 2:]
    rough = np.abs(part[1:-1, 1:-1] - around / 4)
    if min(rough.shape[:2]) < 2:
        return None
    # The first row and column of what is left are odd ones.
    sites = [rough[1 - row :: 2, 1 - column :: 2].mean((0, 1)) for row, column in _CELL]
    shares = np.array(sites) / np.maximum(np.sum(sites, 0), 1e-6)
    scores = [sum(shares[site, color] for site, color in enumerate(phase)) for phase in _PHASES]
    return _PHASES[int(np.argmax(scores))] if max(scores) >= _ROUGHER else None


def _demosaiced(raw: rawpy.RawPy) -> NDArray[np.uint16]:
    """Return the visible part of an X-Trans frame in three colors, by LibRaw (Markesteijn).

    On its own scale: black is not subtracted, nor is white balanced in the end.
    """
    if min(raw.sizes.height, raw.sizes.width) < _LEAST_OF_X_TRANS:
        raise DecoderError("other", f"X-Trans of less than {_LEAST_OF_X_TRANS} px a side")
    # In balance while it is worked on, as far as that clips nothing.
    gains = np.array(raw.camera_whitebalance[:3], np.float64)
    gains = gains / gains.min() if (gains > 0).all() else np.ones(3)
    gains = np.minimum(gains, 65535 / max(raw.white_level, 1))
    rgb = raw.postprocess(
        demosaic_algorithm=rawpy.DemosaicAlgorithm.AHD,  # of X-Trans: three passes
        user_wb=[gains[0], gains[1], gains[2], gains[1]],
        user_black=0,
        user_cblack=[0, 0, 0, 0],
        user_sat=65535,
        output_color=rawpy.ColorSpace.raw,
        output_bps=16,
        gamma=(1, 1),
        no_auto_bright=True,
        user_flip=0,
    )
    return np.rint(rgb / gains.astype(np.float32)).astype(np.uint16)


#: LibRaw works on tiles of this side, and on no frame that does not fill one [px].
_LEAST_OF_X_TRANS = 512


def _exposure(raw: rawpy.RawPy) -> dict[str, Any]:
    """Return when and how it was exposed; nothing known if rawpy stumbles over the date."""
    names = ("shutter_speed", "iso_speed", "aperture", "focal_length")
    try:
        other, taken = raw.other, raw.other.timestamp
    except (OverflowError, ValueError, OSError):
        return {"captured": "", **dict.fromkeys(names, 0.0)}
    known = taken is not None and taken.year >= _FIRST_YEAR
    captured = taken.strftime("%Y:%m:%d %H:%M:%S") if known else ""
    return {"captured": captured, **{name: getattr(other, name) for name in names}}


#: No digital camera file is older; LibRaw gives 1970 for an unknown date.
_FIRST_YEAR = 1990


def _kind(error: Exception) -> str:
    if isinstance(error, DecoderError):
        return error.kind
    if isinstance(error, rawpy.LibRawFileUnsupportedError):
        return "unknown"
    if isinstance(error, (rawpy.LibRawIOError, rawpy.LibRawDataError)):
        return "damaged"
    return "memory" if isinstance(error, (MemoryError, *_OUT_OF_MEMORY)) else "other"


_OUT_OF_MEMORY = (
    rawpy.LibRawUnsufficientMemoryError,
    rawpy.LibRawMemPoolOverflowError,
    rawpy.LibRawTooBigError,
)


def _sentence(error: Exception) -> str:
    """Return LibRaw's own words, which rawpy passes on as bytes."""
    what = error.args[0] if error.args else ""
    return what.decode("utf-8", "replace") if isinstance(what, bytes) else str(what)
