"""Read: the XMP packet of a TIFF or DNG alone, where nothing else is asked for.

Of a folder of thousands of DNGs every one is asked whether it is a result of ours. All that
:func:`nightfix.read.tags.read_tags` reads would take ten times as long.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

_XMP = 700
_BYTE, _UNDEFINED = 1, 7
_MOST_ENTRIES, _LONGEST = 4096, 4 << 20


def tiff_packet(file: BinaryIO) -> bytes | None:
    """Return the XMP packet in the first directory of a TIFF.

    Parameters
    ----------
    file : BinaryIO
        Seekable, at its beginning. Left at any position.

    Returns
    -------
    bytes or None
        Empty where there is none; None where the file is no plain TIFF, or is damaged.

    References
    ----------
    Adobe, "TIFF Revision 6.0", 1992, section 2; ISO 16684-3:2021 (XMP in files), TIFF.
    """
    head = file.read(8)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
    if order is None or len(head) < 8:
        return None
    file.seek(struct.unpack(f"{order}I", head[4:])[0])
    counted = file.read(2)
    count = struct.unpack(f"{order}H", counted)[0] if len(counted) == 2 else 0
    entries = file.read(12 * count)
    if not 0 < count <= _MOST_ENTRIES or len(entries) < 12 * count:
        return None
    for code, kind, length, place in struct.iter_unpack(f"{order}HHII", entries):
        if code == _XMP and kind in (_BYTE, _UNDEFINED) and 4 < length <= _LONGEST:
            file.seek(place)
            packet = file.read(length)
            return packet if len(packet) == length else None
    return b""
