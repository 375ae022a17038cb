"""Read: LibRaw, in a process of its own.

A camera file is input from outside, and LibRaw is large and written in C++: a file made for
it can crash it, keep it busy for ever or make it ask for all memory there is. So it works
in a child process that is given the bytes of a file and answers with samples and facts,
under limits of time, size and memory. Whatever happens there, here it is one error.
The child lives on for the next photo; after a crash there is a new one.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import rawpy

#: Longest that one file may keep LibRaw busy; the largest cameras' take a few [s].
TIME_LIMIT = 120.0

#: Most pixels a file may declare; the largest composites of cameras have 400 million.
MAX_PIXELS = 1 << 29

#: Fewest bits a pixel of a whole file; the strongest lossy compression in use takes about 1.
MIN_BITS_PER_PIXEL = 1 / 8

#: Address space of the child: LibRaw's own limit of 2 GiB of samples, the file, and libraries.
_ADDRESS_SPACE = 8 << 30

#: Rows of samples that are sent at once, so that no copy of the frame is made.
_ROWS = 64

#: The environment is left out (-I), the search path given, so no file of the current folder runs.
_CHILD = "import sys; sys.path[:] = sys.argv[1:]; from nightfix.decoder import serve; serve()"


class Sizes(NamedTuple):
    """Of the frame, its visible part and its crop, as LibRaw has them [px]; ``flip`` are bits."""

    raw_height: int
    raw_width: int
    height: int
    width: int
    top_margin: int
    left_margin: int
    crop_left_margin: int
    crop_top_margin: int
    crop_width: int
    crop_height: int
    flip: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What LibRaw knows of a file.

    Attributes
    ----------
    samples : ndarray, shape (H, W), uint16, or None
        The visible part; None where a pixel has several values.
    sizes : Sizes
        Of frame, visible part and crop.
    num_colors : int
        1 = monochrome.
    color_desc : str
        A letter for each color's number.
    pattern_shape : tuple of int, or None
        Of the color filter array's smallest repeat; (0, 0) for one LibRaw cannot name,
        None without one.
    sites : tuple of int
        Color numbers at the visible origin's 2 x 2 cell, row by row.
    black_level_per_channel : tuple of float
        By color number [DN].
    white_level : float
        Of LibRaw's table [DN].
    camera_white_level_per_channel : tuple of float
        The camera's own, by color number; () if it states none [DN].
    camera_whitebalance : tuple of float
        Gains by color number; 0 = unknown.
    rgb_xyz_matrix : ndarray, shape (4, 3), float64
        XYZ to camera under D65; zeros = unknown.
    lens : str
        Name; "" = unknown.
    captured : str
        "YYYY:MM:DD HH:MM:SS"; "" = unknown.
    shutter_speed, iso_speed, aperture, focal_length : float
        0 = unknown [s, -, -, mm].
    """

    samples: NDArray[np.uint16] | None
    sizes: Sizes
    num_colors: int
    color_desc: str
    pattern_shape: tuple[int, int] | None
    sites: tuple[int, int, int, int]
    black_level_per_channel: tuple[float, ...]
    white_level: float
    camera_white_level_per_channel: tuple[float, ...]
    camera_whitebalance: tuple[float, ...]
    rgb_xyz_matrix: NDArray[np.float64]
    lens: str
    captured: str
    shutter_speed: float
    iso_speed: float
    aperture: float
    focal_length: float


class DecoderError(Exception):
    """LibRaw has no picture to give; ``args[0]`` says why, ``kind`` of which kind that is.

    ``kind`` is "unknown" (no RAW file of a known camera), "damaged", "declared" (too many
    pixels for the file, or for any camera), "memory", "time", "crash" or "other".
    """

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind


def decode(file: BinaryIO, *, padding: int = 0) -> Decoded:
    """Decode a camera file.

    Parameters
    ----------
    file : BinaryIO
        Seekable, at any position. Left at its end.
    padding : int
        Zeros to put behind it [bytes].

    Returns
    -------
    Decoded

    Raises
    ------
    DecoderError
        If LibRaw fails, crashes, or exceeds a limit.
    OSError
        If the file cannot be read.
    """
    with _lock:
        return _running_child().decode(file, padding)


# ---------------------------------------------------------------------------------------
# This process


class _Child:
    """The process with LibRaw in it."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", _CHILD, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # LibRaw prints there; its errors reach us as such
            )
        except OSError as error:
            raise DecoderError("other", f"cannot be started: {error.strerror}") from error

    def decode(self, file: BinaryIO, padding: int) -> Decoded:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        assert self.process.stdin is not None
        late = threading.Event()
        timer = threading.Timer(TIME_LIMIT, self._kill, [late])
        try:
            with suppress(BrokenPipeError):
                self.process.stdin.write(b"%d\n" % (size + padding))
                shutil.copyfileobj(file, self.process.stdin, 1 << 20)
                for start in range(0, padding, 1 << 20):
                    self.process.stdin.write(bytes(min(1 << 20, padding - start)))
                self.process.stdin.flush()
            timer.start()
            return self._answer()
        except EOFError as error:
            code = self.process.wait()
            if late.is_set():
                what = f"needs more than {TIME_LIMIT:g} s to decode"
                raise DecoderError("time", what) from error
            raise DecoderError("crash", f"makes LibRaw crash ({code})") from error
        except BaseException as error:
            # Interrupted half-way, or the file could not be read: the pipes are out of step.
            if not isinstance(error, DecoderError):
                self.close()
            raise
        finally:
            timer.cancel()

    def _kill(self, late: threading.Event) -> None:
        late.set()
        self.process.kill()

    def _answer(self) -> Decoded:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        facts = json.loads(line)
        if "error" in facts:
            raise DecoderError(facts["error"], facts["what"])
        sizes, samples = Sizes(*facts.pop("sizes")), None
        if facts.pop("has_samples"):
            samples = np.empty((sizes.height, sizes.width), np.uint16)
            wanted, got = samples.data.cast("B"), 0
            while got < len(wanted):
                count = self.process.stdout.readinto(wanted[got:])  # type: ignore[attr-defined]
                if not count:
                    raise EOFError
                got += count
        matrix = np.array(facts.pop("rgb_xyz_matrix"), np.float64).reshape(-1, 3)
        facts = {key: tuple(v) if isinstance(v, list) else v for key, v in facts.items()}
        return Decoded(samples=samples, sizes=sizes, rgb_xyz_matrix=matrix, **facts)

    def close(self) -> None:
        """End the process, which is waiting for a file or beyond help."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self.process.wait()


_lock = threading.Lock()
_child: _Child | None = None


def _running_child() -> _Child:
    global _child  # noqa: PLW0603  one child for all photos of this process
    if _child is not None and _child.owner != os.getpid():
        _child = None  # that of the process we were forked from
    if _child is not None and _child.process.poll() is not None:
        _child.close()
        _child = None
    if _child is None:
        _child = _Child()
    return _child


@atexit.register
def _close() -> None:
    if _child is not None and _child.owner == os.getpid():
        _child.close()


# ---------------------------------------------------------------------------------------
# The child


def serve() -> None:
    """Decode what comes on stdin, file after file, until it ends. Runs in the child only."""
    import io
    import signal

    import rawpy

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    _limit_ourselves()
    source, answers = sys.stdin.buffer, sys.stdout.buffer
    while line := source.readline():
        _limit_time()
        data = source.read(int(line))
        try:
            with rawpy.imread(io.BytesIO(data)) as raw:
                _require_plausible_size(len(data), raw.sizes)
                facts, samples = _facts(raw)
                answers.write(json.dumps(facts).encode() + b"\n")
                if samples is not None:
                    for start in range(0, len(samples), _ROWS):
                        answers.write(np.ascontiguousarray(samples[start : start + _ROWS]).data)
        except (DecoderError, rawpy.LibRawError, MemoryError) as error:
            answer = {"error": _kind(error), "what": _sentence(error)}
            answers.write(json.dumps(answer).encode() + b"\n")
        del data
        answers.flush()


def _limit_ourselves() -> None:
    """Give up what LibRaw never needs: most memory, and the writing of files."""
    with suppress(ImportError):  # not on Windows
        import resource

        for what, limit in (
            (resource.RLIMIT_AS, _ADDRESS_SPACE),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
        ):
            hard = resource.getrlimit(what)[1]
            with suppress(OSError, ValueError):
                lowest = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
                resource.setrlimit(what, (lowest, hard))


def _limit_time() -> None:
    """End ourselves when one file takes too long, whether or not a parent is left to do it."""
    with suppress(ImportError):
        import resource

        usage = resource.getrusage(resource.RUSAGE_SELF)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        with suppress(OSError, ValueError):
            spent = int(usage.ru_utime + usage.ru_stime)
            resource.setrlimit(resource.RLIMIT_CPU, (spent + int(TIME_LIMIT) + 1, hard))


def _require_plausible_size(size: int, sizes: rawpy.ImageSizes) -> None:
    """Refuse what declares far more pixels than it can hold, before any memory is asked for."""
    pixels = sizes.raw_height * sizes.raw_width
    if pixels > MAX_PIXELS:
        raise DecoderError("declared", f"declares {pixels} pixels, more than any camera has")
    if 8 * size < MIN_BITS_PER_PIXEL * pixels:
        raise DecoderError("declared", f"cut off: {size} bytes for {pixels} pixels")


def _facts(raw: rawpy.RawPy) -> tuple[dict[str, Any], NDArray[np.uint16] | None]:
    """Return what :class:`Decoded` holds, as JSON can carry it, and the samples."""
    import rawpy

    sizes, is_flat = raw.sizes, raw.raw_type is rawpy.RawType.Flat
    shape: tuple[int, ...] | None = None
    try:
        shape = None if raw.raw_pattern is None else raw.raw_pattern.shape
    except NotImplementedError:  # rawpy's answer to the rarest patterns
        shape = (0, 0)
    # raw_pattern starts at the masked frame's corner, whose phase may be another.
    cell = ((0, 0), (0, 1), (1, 0), (1, 1))
    at = [(sizes.top_margin + row, sizes.left_margin + column) for row, column in cell]
    samples = raw.raw_image_visible if is_flat else None
    if samples is not None:
        sizes = sizes._replace(height=samples.shape[0], width=samples.shape[1])
    facts = {
        "has_samples": samples is not None,
        "sizes": [*(getattr(sizes, name) for name in Sizes._fields)],
        "num_colors": raw.num_colors,
        "color_desc": raw.color_desc.decode("ascii", "replace"),
        "pattern_shape": shape,
        "sites": [raw.raw_color(row, column) for row, column in at] if shape else [0, 0, 0, 0],
        "black_level_per_channel": list(raw.black_level_per_channel),
        "white_level": raw.white_level,
        "camera_white_level_per_channel": list(raw.camera_white_level_per_channel or []),
        "camera_whitebalance": list(raw.camera_whitebalance),
        "rgb_xyz_matrix": raw.rgb_xyz_matrix.ravel().tolist(),
        "lens": raw.lens.model,
    }
    return facts | _exposure(raw), samples


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
    import rawpy

    if isinstance(error, DecoderError):
        return error.kind
    if isinstance(error, rawpy.LibRawFileUnsupportedError):
        return "unknown"
    if isinstance(error, (rawpy.LibRawIOError, rawpy.LibRawDataError)):
        return "damaged"
    return "memory" if isinstance(error, MemoryError) else "other"


def _sentence(error: Exception) -> str:
    """Return LibRaw's own words, which rawpy passes on as bytes."""
    what = error.args[0] if error.args else ""
    return what.decode("utf-8", "replace") if isinstance(what, bytes) else str(what)
