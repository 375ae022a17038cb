"""Write: the developed picture as an AVIF for HDR screens: 10 bit, BT.2020, PQ."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from nightfix.parallel import in_parallel, thread_count
from nightfix.read import RawImage
from nightfix.write.atomic import replacing
from nightfix.write.picture import exif_block
from nightfix.write.record import Record
from nightfix.write.xmp import make_packet

#: The space of the light that is written.
HDR_COLOR_SPACE = "rec2020"

#: Light of a white of 203 cd/m2 in a signal that reaches to 10 000 (ITU-R BT.2408, 2.1).
_WHITE = 203 / 10_000

#: SMPTE ST 2084's constants m1, m2, c1, c2, c3.
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32

#: Codes of ITU-T H.273.
_BT2020, _PQ, _BT2020_NCL = 9, 16, 9

#: What says so in a file of ours, near its beginning.
_PROFILE = b"nclx" + struct.pack(">HHH", _BT2020, _PQ, _BT2020_NCL)
_LONGEST_HEAD = 4096

#: In 10 bit and PQ about as near to the picture as 80 is in 8 bit.
_BITS, _QUALITY, _SPEED = 10, 88, 6

#: Rows that are worked on at a time.
_STRIP = 256

_COLOR_ITEM, _EXIF_ITEM, _XMP_ITEM = 1, 2, 3


def write_hdr_avif(
    path: str | os.PathLike[str],
    light: NDArray[np.float32],
    raw: RawImage,
    *,
    record: Record | None = None,
    overwrite: bool = False,
) -> None:
    """Write a picture's light as an HDR AVIF.

    Parameters
    ----------
    path, raw, record, overwrite
        As for :func:`nightfix.write.tiff.write_tiff`.
    light : ndarray, shape (H, W, 3), float32
        Linear light of ``HDR_COLOR_SPACE``, upright. 1.0 = white, which becomes
        203 cd/m2; what is below 0 or above 49 is clipped.

    Raises
    ------
    OutputExistsError, OutputWriteError
        As for :func:`nightfix.write.tiff.write_tiff`.

    References
    ----------
    ITU-R BT.2100-2 (color and PQ), BT.2408-7 (where white lies).
    """
    with replacing(Path(path), overwrite=overwrite, source=raw.path) as temporary:
        picture = imagecodecs.avif_encode(
            _to_pq(light),
            level=_QUALITY,
            speed=_SPEED,
            bitspersample=_BITS,
            pixelformat="444",
            primaries=_BT2020,
            transfer=_PQ,
            matrix=_BT2020_NCL,
            numthreads=thread_count(),
        )
        exif = exif_block(raw, HDR_COLOR_SPACE, light.shape).removeprefix(b"Exif\0\0")
        xmp = make_packet(raw.metadata.xmp, record or Record(), developed=True)
        temporary.write_bytes(_add_metadata(bytes(picture), exif, xmp))


def read_hdr_avif(data: bytes) -> NDArray[np.float32] | None:
    """Return the light in an AVIF of :func:`write_hdr_avif`, or None of any other picture.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    ndarray, shape (H, W, 3), float32, or None
        Linear light of ``HDR_COLOR_SPACE``, 1.0 = white.

    Raises
    ------
    RuntimeError
        If the picture cannot be decoded.
    """
    if _PROFILE not in data[:_LONGEST_HEAD]:
        return None
    samples: NDArray[np.uint16] = imagecodecs.avif_decode(data)
    levels = np.arange(2**_BITS, dtype=np.float32)
    levels /= 2**_BITS - 1
    return pq_decode(levels)[samples]


def pq_encode(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn light into the signal of the perceptual quantizer.

    Parameters
    ----------
    light : ndarray, float32
        Linear, 1.0 = white (203 cd/m2); clipped to [0, 49.26].

    Returns
    -------
    ndarray, same shape
        Signal in [0, 1].

    References
    ----------
    SMPTE ST 2084:2014, 5.3 (inverse EOTF); ITU-R BT.2100-2, table 4.

    Examples
    --------
    >>> pq_encode(np.array([0, 1, 10_000 / 203], np.float32)).round(3).tolist()
    [0.0, 0.5809999704360962, 1.0]
    """
    power = np.clip(light * np.float32(_WHITE), 0, 1) ** np.float32(_M1)
    ratio = (np.float32(_C1) + np.float32(_C2) * power) / (1 + np.float32(_C3) * power)
    return np.asarray(ratio ** np.float32(_M2), np.float32)


def pq_decode(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Undo :func:`pq_encode`."""
    power = signal ** np.float32(1 / _M2)
    ratio = np.maximum(power - np.float32(_C1), 0) / (np.float32(_C2) - np.float32(_C3) * power)
    return np.asarray(ratio ** np.float32(1 / _M1) / np.float32(_WHITE), np.float32)


def _to_pq(light: NDArray[np.float32]) -> NDArray[np.uint16]:
    samples = np.empty(light.shape, np.uint16)

    def quantize(top: int) -> None:
        signal = pq_encode(light[top : top + _STRIP])
        samples[top : top + _STRIP] = np.rint(signal * np.float32(2**_BITS - 1))

    for _ in in_parallel(quantize, range(0, len(light), _STRIP)):
        pass
    return samples


def _add_metadata(avif: bytes, exif: bytes, xmp: bytes) -> bytes:
    """Add EXIF and XMP to an AVIF of one picture, which the codec itself cannot write.

    References
    ----------
    ISO/IEC 14496-12:2022, 8.11 (meta boxes); ISO/IEC 23008-12:2022, 7 and Annex A.2 (EXIF
    and XMP as items that describe a picture).
    """
    boxes = dict(_boxes(avif))
    inside = dict(_boxes(boxes[b"meta"], start=4))
    # The EXIF item begins with the place of its TIFF header behind this number.
    contents = {_COLOR_ITEM: boxes[b"mdat"], _EXIF_ITEM: bytes(4) + exif, _XMP_ITEM: xmp}
    if not exif:
        del contents[_EXIF_ITEM]
    kinds = {
        _EXIF_ITEM: b"Exif" + b"Exif\0",
        _XMP_ITEM: b"mime" + b"XMP\0" + b"application/rdf+xml\0\0",
    }
    added = [item for item in contents if item != _COLOR_ITEM]
    entries = [_full_box(b"infe", 2, struct.pack(">HH", item, 0) + kinds[item]) for item in added]
    count = struct.unpack_from(">H", inside[b"iinf"], 4)[0] + len(added)
    items = struct.pack(">H", count) + inside[b"iinf"][6:] + b"".join(entries)
    references = b"".join(
        _box(b"cdsc", struct.pack(">HHH", item, 1, _COLOR_ITEM)) for item in added
    )

    def meta(offset: int) -> bytes:
        made = {b"iloc": _locations(contents, offset), b"iinf": _full_box(b"iinf", 0, items)}
        kept = {name: _box(name, inside[name]) for name in (b"hdlr", b"pitm", b"iprp")}
        parts = kept | made | {b"iref": _full_box(b"iref", 0, references)}
        order = (b"hdlr", b"pitm", b"iloc", b"iinf", b"iref", b"iprp")
        return _full_box(b"meta", 0, b"".join(parts[name] for name in order))

    head = _box(b"ftyp", boxes[b"ftyp"])
    data = _box(b"mdat", b"".join(contents.values()))
    return head + meta(len(head) + len(meta(0)) + 8) + data


def _locations(contents: dict[int, bytes], offset: int) -> bytes:
    """Return the box that says where in the file each item is; the first is at ``offset``."""
    entries = b""
    for item, content in contents.items():
        entries += struct.pack(">HHHII", item, 0, 1, offset, len(content))
        offset += len(content)
    return _full_box(b"iloc", 0, struct.pack(">BBH", 0x44, 0, len(contents)) + entries)


def _boxes(data: bytes, start: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of each box."""
    while start < len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        yield kind, data[start + 8 : start + size]
        start += size


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def _full_box(kind: bytes, version: int, content: bytes) -> bytes:
    """Return a box with version and no flags."""
    return _box(kind, struct.pack(">B3x", version) + content)
