"""Read: the decoders in a process of their own, and the protocol between the two.

A camera file is input from outside, and LibRaw is large and written in C++, as are the libraries
for what it cannot decode: a file made for them can crash them, keep them busy for ever or make
them ask for all memory there is. So they work
in a child process that is given the bytes of a file and answers with samples and a header,
under limits of time, size and memory. Whatever happens there, here it is one error.
The child lives on for the next photo; after a crash there is a new one.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from nightfix.read.maker_notes import KEYS, LONGEST_TEXT
from nightfix.read.masked import Margins

#: Longest that one file may keep LibRaw busy; the largest cameras' take a few [s].
TIME_LIMIT = 120.0

#: Longest that is waited for a photo's maker notes, which come last: its own limit is 2 s [s].
NOTES_TIME_LIMIT = 2.6

#: Most pixels a file may declare; the largest composites of cameras have 400 million.
MAX_PIXELS = 1 << 29

#: Fewest bits a pixel of a whole file; the strongest lossy compression in use takes about 1.
MIN_BITS_PER_PIXEL = 1 / 8

#: Bytes of the file that are sent at once.
_PIECE = 1 << 20

#: Longest header that is believed [bytes]; real ones have some 700.
_LONGEST_ANSWER = 1 << 16

#: The environment is left out (-I), the search path given, so no file of the current folder runs.
_CHILD = "import sys; sys.path[:] = sys.argv[1:]; from nightfix.read.decoder_process import serve; serve()"  # noqa: E501

#: Longest preview that is believed; that of a camera of 100 megapixels at full size has some 30 MB.
_LONGEST_PREVIEW = 128 << 20

_T = TypeVar("_T")

#: What a file holds: a mosaic, one of an X-Trans or a quad-Bayer sensor, colors that were
#: interpolated from a Bayer mosaic which shows in them, or colors in which none does.
Origin = Literal["mosaic", "x-trans", "quad-bayer", "demosaiced", "rgb"]


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
    """What LibRaw, or :mod:`nightfix.read.dng_decoder` in its place, knows of a file.

    Attributes
    ----------
    samples : ndarray, shape (H, W) or (H, W, 3), uint16 or float32, or None
        The visible part, finite; three colors a pixel of origin "rgb"; None where a pixel has
        two values, or more than three.
    origin : {"mosaic", "x-trans", "demosaiced", "rgb"}
        What ``samples`` were in the file. Those of an X-Trans sensor are demosaiced, and of
        them and of what was interpolated from a Bayer mosaic one color is taken at each site.
    margins : Margins or None
        What is around the visible part of a mosaic; None of anything else.
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
        Of LibRaw's table; of a DNG its own [DN].
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
    maker_notes : mapping of str to str
        Entries of the maker note, for :func:`nightfix.read.maker_notes.camera_settings`; {} =
        none, or none that could be read in time.
    own_levels : bool
        Whether black and white are those of ``samples`` alone, not of the file's tags.
    stops : int
        By how much 1.0 is brighter than what the file calls white, >= 0 [EV].
    curves : int
        How many opcodes of OpcodeList2 have been carried out.
    """

    samples: NDArray[Any] | None
    origin: Origin
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
    margins: Margins | None = None
    maker_notes: Mapping[str, str] = field(default_factory=dict)
    own_levels: bool = False
    stops: int = 0
    curves: int = 0


class DecoderError(Exception):
    """LibRaw has no picture to give; ``args[0]`` says why, ``kind`` of which kind that is.

    ``kind`` is "unknown" (no RAW file of a known camera), "damaged", "declared" (too many
    pixels for the file, or for any camera; or damaged in a known place), "format" (not written
    in a way that is read here), "memory", "time", "crash", "start" or "other".
    """

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind


def require_plausible_size(size: int, pixels: int) -> None:
    """Refuse what declares far more pixels than it can hold, before any memory is asked for.

    Parameters
    ----------
    size : int
        Of the whole file [bytes].
    pixels : int
        That it declares.

    Raises
    ------
    DecoderError
        Beyond :data:`MAX_PIXELS`, or with fewer than :data:`MIN_BITS_PER_PIXEL`.
    """
    if pixels > MAX_PIXELS:
        raise DecoderError("declared", f"declares {pixels} pixels, more than any camera has")
    if 8 * size < MIN_BITS_PER_PIXEL * pixels:
        raise DecoderError("declared", f"truncated: {size} bytes for {pixels} pixels")


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


def extract_preview(file: BinaryIO) -> bytes:
    """Return the largest JPEG preview in a camera file, b"" if LibRaw finds none.

    Parameters
    ----------
    file : BinaryIO
        Seekable, at any position. Left at its end.

    Raises
    ------
    DecoderError
        If LibRaw fails, crashes, or exceeds a limit.
    OSError
        If the file cannot be read.
    """
    with _lock:
        return _running_child().preview(file)


def start_decoder() -> None:
    """Start LibRaw's process, to be ready when it is needed: it takes as long as a small photo."""
    with _lock, suppress(DecoderError):  # which the first photo will meet again
        _running_child()


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
            raise DecoderError("start", f"LibRaw cannot be started: {error.strerror}") from error

    def decode(self, file: BinaryIO, padding: int) -> Decoded:
        def take() -> Decoded:
            with self._limited():
                decoded = self._answer()
            return replace(decoded, maker_notes=self._maker_notes())

        return self._ask(b"", file, padding, take)

    def preview(self, file: BinaryIO) -> bytes:
        def take() -> bytes:
            with self._limited():
                size = int(self._header()["size"])
                if not 0 <= size <= _LONGEST_PREVIEW:
                    raise ValueError(f"a preview of {size} bytes")
                assert self.process.stdout is not None
                data = self.process.stdout.read(size)
            if len(data) < size:
                raise EOFError
            return data

        return self._ask(b"preview ", file, 0, take)

    def _ask(self, what: bytes, file: BinaryIO, padding: int, take: Callable[[], _T]) -> _T:
        """Send a file with what is asked of it, and take the answer."""
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        try:
            with suppress(BrokenPipeError):
                self._send(b"%s%d %d\n" % (what, size + padding, padding))
                while piece := file.read(_PIECE):
                    self._send(piece)
                for start in range(0, padding, _PIECE):
                    self._send(bytes(min(_PIECE, padding - start)))
            return take()
        except EOFError as error:
            self.process.kill()  # it may have closed its pipes and live on
            code = self.process.wait()
            raise DecoderError("crash", f"decoding it crashed ({code})") from error
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            self.close()
            raise DecoderError("crash", "decoding it returned invalid data") from error
        except DecoderError:
            raise
        except BaseException:
            # Interrupted half-way, or the file could not be read: the pipes are out of step.
            self.close()
            raise

    def _send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        with self._limited():
            self.process.stdin.write(data)
            self.process.stdin.flush()

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """Kill a child that neither takes what it is sent nor answers."""
        late = threading.Event()
        timer = threading.Timer(TIME_LIMIT, self._kill, [late])
        timer.start()
        try:
            yield
        except (EOFError, BrokenPipeError) as error:
            if late.is_set():
                self.process.wait()
                what = f"needs more than {TIME_LIMIT:g} s to decode"
                raise DecoderError("time", what) from error
            raise
        finally:
            timer.cancel()

    def _kill(self, late: threading.Event) -> None:
        late.set()
        self.process.kill()

    def _answer(self) -> Decoded:
        """Take the answer of a child that may have been taken over: at its word, within bounds."""
        header = self._header()
        sizes, samples = Sizes(*map(int, header.pop("sizes"))), None
        if not 0 <= sizes.height * sizes.width <= MAX_PIXELS or min(sizes[:6]) < 0:
            raise ValueError(f"{sizes}")
        if header.pop("has_samples"):
            planes = (3,) if header["origin"] == "rgb" else ()
            shape = (sizes.height, sizes.width, *planes)
            samples = self._floats(shape) if header["own_levels"] else self._array(shape)
        margins = self._margins(sizes) if header.pop("has_margins") else None
        matrix = np.array(header.pop("rgb_xyz_matrix"), np.float64).reshape(-1, 3)
        header = {key: tuple(v) if isinstance(v, list) else v for key, v in header.items()}
        return Decoded(
            samples=samples, margins=margins, sizes=sizes, rgb_xyz_matrix=matrix, **header
        )

    def _header(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline(_LONGEST_ANSWER)
        if len(line) == _LONGEST_ANSWER:
            raise ValueError("a line without end")
        if not line.endswith(b"\n"):
            raise EOFError
        header = json.loads(line)
        if "error" in header:
            raise DecoderError(str(header["error"]), str(header["what"]))
        return dict(header)

    def _array(self, shape: tuple[int, ...]) -> NDArray[np.uint16]:
        """Take samples of a shape within bounds."""
        samples = np.empty(shape, np.uint16)
        self._fill(samples)
        return samples

    def _floats(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Take samples on levels of their own; all are finite."""
        samples = np.empty(shape, np.float32)
        self._fill(samples)
        if not (np.isfinite(samples.min(initial=0)) and np.isfinite(samples.max(initial=0))):
            raise ValueError("not a number")
        return samples

    def _fill(self, samples: NDArray[Any]) -> None:
        assert self.process.stdout is not None
        wanted, got = samples.reshape(-1).view(np.uint8).data, 0
        while got < len(wanted):
            count = self.process.stdout.readinto(wanted[got:])  # type: ignore[attr-defined]
            if not count:
                raise EOFError
            got += count

    def _margins(self, sizes: Sizes) -> Margins:
        """Take what is around the visible part; that lies within the frame."""
        bottom = sizes.raw_height - sizes.top_margin - sizes.height
        right = sizes.raw_width - sizes.left_margin - sizes.width
        if min(bottom, right) < 0 or sizes.raw_height * sizes.raw_width > MAX_PIXELS:
            raise ValueError(f"{sizes}")
        shapes = (
            (sizes.top_margin, sizes.raw_width),
            (sizes.height, sizes.left_margin),
            (sizes.height, right),
            (bottom, sizes.raw_width),
        )
        return Margins(*map(self._array, shapes))

    def _maker_notes(self) -> dict[str, str]:
        """Take the line that follows a photo; whatever is wrong with it, the photo is whole."""
        assert self.process.stdout is not None
        timer = threading.Timer(NOTES_TIME_LIMIT, self.process.kill)
        timer.start()
        try:
            line = self.process.stdout.readline(_LONGEST_ANSWER)
            if not line.endswith(b"\n"):
                raise ValueError("not a line")
            notes = json.loads(line)
            known = {key: notes[key] for key in KEYS if key in notes}
            return {key: str(text)[:LONGEST_TEXT] for key, text in known.items()}
        except (ValueError, TypeError, LookupError, RecursionError, OSError):
            self.close()
            return {}
        finally:
            timer.cancel()

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
