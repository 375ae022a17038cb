"""A small reader of TIFF directory trees and a maker of raw images, for the tests of writers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nightfix.read.bayer import CfaPattern
from nightfix.read.metadata import Exposure, Metadata
from nightfix.read.reader import ColorMatrix, RawImage, Rectangle
from nightfix.read.tags import ExifTag

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_POINTERS = (330, 34665, 34853)


@dataclass
class Directory:
    name: str
    offset: int
    following: int
    codes: list[int] = field(default_factory=list)
    values: dict[int, object] = field(default_factory=dict)
    #: Start, end and name of everything in the file that belongs to the directory.
    spans: list[tuple[int, int, str]] = field(default_factory=list)

    def numbers(self, code: int) -> list[float]:
        value = self.values[code]
        assert isinstance(value, list)
        return value

    @property
    def pieces(self) -> list[tuple[int, int]]:
        """Offset and size of each strip or tile."""
        return [
            (int(offset), int(size))
            for offsets, sizes in ((273, 279), (324, 325))
            if offsets in self.values
            for offset, size in zip(self.numbers(offsets), self.numbers(sizes), strict=True)
        ]


def read_tree(path: Path) -> dict[str, Directory]:
    """Return every directory by name: "0", "0/34665", "0/330.0" and so on."""
    return read_bytes(path.read_bytes())


def read_bytes(data: bytes) -> dict[str, Directory]:
    """Do the same for a file in memory."""
    assert data[:4] == b"II*\0"
    found: dict[str, Directory] = {}
    waiting = [("0", struct.unpack_from("<I", data, 4)[0])]
    while waiting:
        name, offset = waiting.pop()
        assert offset not in [other.offset for other in found.values()], "a loop"
        directory = found[name] = _read_directory(data, name, offset)
        waiting += [
            (f"{name}/{pointer}{f'.{index}' if pointer == 330 else ''}", int(child))
            for pointer in _POINTERS
            if pointer in directory.values
            for index, child in enumerate(directory.numbers(pointer))
        ]
    return found


def complaints(path: Path) -> list[str]:
    """Return what is wrong with the structure of a TIFF or DNG; nothing is fine.

    What TIFF 6.0 and the DNG specification ask of any file: ascending tags, even offsets
    inside the file and apart from each other, a tree and no chain, BitsPerSample in
    every picture, either strips or tiles, and as many as the picture needs.
    """
    size = path.stat().st_size
    tree = read_tree(path)
    found = [f"{each.name}: {what}" for each in tree.values() for what in _wrong(each, size)]
    spans = sorted(span for each in tree.values() for span in each.spans)
    for (_, end, first), (start, _, second) in zip(spans, spans[1:], strict=False):
        if start < end:
            found.append(f"{first} and {second} overlap")
    return found


def _wrong(directory: Directory, size: int) -> Iterator[str]:
    codes = directory.codes
    if codes != sorted(set(codes)):
        yield "tags do not ascend"
    if directory.following:
        yield "is chained to another directory"
    odd = [place for place, _, _ in directory.spans if place % 2]
    if odd:
        yield f"odd offsets {odd}"
    if any(end > size for _, end, _ in directory.spans):
        yield "reaches beyond the file"
    is_picture = 256 in directory.values
    if is_picture != bool(directory.pieces):
        yield "size without pieces, or pieces without size"
    if is_picture:
        yield from _wrong_picture(directory)


def _wrong_picture(directory: Directory) -> Iterator[str]:
    missing = {254, 256, 257, 258, 259, 262, 277, 284} - set(directory.codes)
    if missing:
        yield f"a picture without {sorted(missing)}"
        return
    value = {code: directory.numbers(code) for code in (256, 257, 258, 277)}
    if len(value[258]) != value[277][0]:
        yield "BitsPerSample is not one a sample"
    (width,), (height,) = value[256], value[257]
    has_strips, has_tiles = 273 in directory.codes, 324 in directory.codes
    if has_strips == has_tiles:
        yield "strips and tiles, or neither"
    elif has_strips:
        wanted = -(-height // directory.numbers(278)[0])
        if len(directory.pieces) != wanted:
            yield f"{len(directory.pieces)} strips, not {wanted}"
    else:
        (across,), (down,) = directory.numbers(322), directory.numbers(323)
        wanted = -(-height // down) * -(-width // across)
        if len(directory.pieces) != wanted or across % 16 or down % 16:
            yield f"{len(directory.pieces)} tiles of {across} x {down}, not {wanted}"


def _read_directory(data: bytes, name: str, offset: int) -> Directory:
    (count,) = struct.unpack_from("<H", data, offset)
    (following,) = struct.unpack_from("<I", data, offset + 2 + 12 * count)
    directory = Directory(name, offset, following)
    for position in range(offset + 2, offset + 2 + 12 * count, 12):
        code, dtype, number = struct.unpack_from("<HHI", data, position)
        size = number * _SIZES[dtype]
        start = position + 8 if size <= 4 else struct.unpack_from("<I", data, position + 8)[0]
        if size > 4:
            directory.spans.append((start, start + size, f"{name} tag {code}"))
        directory.codes.append(code)
        directory.values[code] = _decode(dtype, data[start : start + size])
    directory.spans.append((offset, offset + 6 + 12 * count, name))
    directory.spans += [(at, at + size, f"{name} piece") for at, size in directory.pieces]
    return directory


def _decode(dtype: int, value: bytes) -> object:
    letter = {1: "B", 3: "H", 4: "I", 5: "I", 10: "i", 11: "f", 12: "d"}.get(dtype)
    if letter is None:
        return value
    numbers = list(struct.unpack(f"<{len(value) // struct.calcsize(letter)}{letter}", value))
    if dtype in (5, 10):
        return [over / under for over, under in zip(numbers[::2], numbers[1::2], strict=True)]
    return numbers


def text(code: int, value: str) -> ExifTag:
    data = value.encode() + b"\0"
    return ExifTag(code, 2, len(data), data)


def rational(code: int, *parts: int) -> ExifTag:
    return ExifTag(code, 5, len(parts) // 2, struct.pack(f"<{len(parts)}I", *parts))


def make_metadata() -> Metadata:
    return Metadata(
        make="Nightcam",
        model="N1",
        unique_camera_model="Nightcam N1 Unique",
        lens="35mm F2",
        exposure=Exposure(exposure_time=1 / 30, iso_speed=3200.0, f_number=2.0, focal_length=35.0),
        captured="2026:01:02 03:04:05",
        noise_profile=((3e-4, 2e-7),),
        image=(
            text(270, "a street"),
            text(33432, "nobody"),
            ExifTag(18246, 3, 1, b"\x04\0"),
        ),
        exif=(
            rational(33434, 1, 30),
            ExifTag(34855, 3, 1, struct.pack("<H", 3200)),
            ExifTag(36864, 7, 4, b"0232"),
            text(36867, "2026:01:02 03:04:05"),
            ExifTag(40961, 3, 1, b"\1\0"),
            ExifTag(40962, 3, 1, struct.pack("<H", 9999)),
            ExifTag(40963, 3, 1, struct.pack("<H", 9999)),
            text(42036, "35mm F2"),
        ),
        gps=(
            ExifTag(0, 1, 4, b"\2\3\0\0"),
            text(1, "N"),
            rational(2, 48, 1, 6, 1, 0, 1),
            text(3, "E"),
            rational(4, 11, 1, 30, 1, 0, 1),
        ),
        xmp=packet('xmp:Rating="4" crs:Exposure2012="+1.50" tiff:Orientation="8"'),
    )


def packet(properties: str) -> bytes:
    """Return an XMP packet as editors write it."""
    names = {
        "xmp": "http://ns.adobe.com/xap/1.0/",
        "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
        "tiff": "http://ns.adobe.com/tiff/1.0/",
        "dc": "http://purl.org/dc/elements/1.1/",
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    }
    declared = " ".join(f'xmlns:{name}="{uri}"' for name, uri in names.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {declared}>'
        f'<rdf:Description rdf:about="" {properties}>'
        "<dc:subject><rdf:Bag><rdf:li>n\u00e4chtlich</rdf:li></rdf:Bag></dc:subject>"
        '</rdf:Description></rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
    ).encode() + b" " * 200


def make_raw(
    samples: np.ndarray,
    *,
    cfa_pattern: CfaPattern | None = "RGGB",
    black: tuple[int, int, int, int] = (256, 256, 256, 256),
    white: int = 4095,
    crop: Rectangle | None = None,
    orientation: int = 1,
    bit_depth: int = 12,
    metadata: Metadata | None = None,
) -> RawImage:
    """Return the raw image whose numbers (DN) are ``samples``."""
    height, width = samples.shape
    black_level = np.array(black, np.float32).reshape(2, 2)
    blacks = np.tile(black_level, (height // 2 + 1, width // 2 + 1))[:height, :width]
    return RawImage(
        path=Path("DSC_0001.NEF"),
        mosaic=((samples - blacks) / (white - blacks)).astype(np.float32),
        cfa_pattern=cfa_pattern,
        black_level=black_level,
        white_level=float(white),
        bit_depth=bit_depth,
        as_shot_neutral=None if cfa_pattern is None else np.array([0.512, 1.0, 0.634]),
        color_matrices=()
        if cfa_pattern is None
        else (
            ColorMatrix(
                illuminant=17,
                matrix=np.array(
                    [
                        [1.8331, -0.8166, -0.2478],
                        [0.1391, 0.8961, -0.0367],
                        [0.0822, 0.0662, 0.2597],
                    ]
                ),
            ),
            ColorMatrix(
                illuminant=21,
                matrix=np.array(
                    [[1.0344, -0.421, -0.062], [-0.2315, 1.0625, 0.1948], [0.0093, 0.1058, 0.5541]]
                ),
            ),
        ),
        baseline_exposure=0.25,
        crop=crop or Rectangle(0, 0, height, width),
        orientation=orientation,
        metadata=metadata or make_metadata(),
    )
