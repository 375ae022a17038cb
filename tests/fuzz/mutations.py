"""Damage done to files, the same for the same seed: what cards, copies and enemies do to them."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

#: Numbers that break careless arithmetic.
_NASTY = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

#: Of the start of a file, where its headers are, this much gets half of the damage.
_HEAD = 4096

#: Tags of sizes, places, levels, patterns and colors, which decide what is done with the rest.
_TAGS = (
    (254, 256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 322, 323, 324, 325, 330, 339)
    + (33421, 33422, 34665, 34853, 37500, 50706, 50710, 50711, 50712, 50713, 50714, 50717, 50718)
    + (50719, 50720, 50721, 50722, 50727, 50728, 50729, 50730, 50778, 50829, 51008, 51009, 51022)
    + (51041, 317, 347, 50974, 50975, 52547)
)


def mutate(data: bytes, seed: int) -> bytes:
    """Return ``data`` with one to four kinds of damage, decided by ``seed``."""
    rng = random.Random(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(_KINDS)(data, rng) if data else data
    return data


def _place(data: bytes, rng: random.Random) -> int:
    return rng.randrange(min(len(data), _HEAD) if rng.random() < 0.5 else len(data))


def flip_bytes(data: bytes, rng: random.Random) -> bytes:
    """Change some bytes to anything."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 4, 16, 64))):
        changed[_place(data, rng)] = rng.randrange(256)
    return bytes(changed)


def cut(data: bytes, rng: random.Random) -> bytes:
    """Keep the beginning: a copy that was broken off."""
    return data[: rng.randrange(len(data))]


def cut_out(data: bytes, rng: random.Random) -> bytes:
    """Lose a piece from the middle."""
    start = _place(data, rng)
    return data[:start] + data[start + rng.choice((1, 2, 16, 512, 4096)) :]


def zero_out(data: bytes, rng: random.Random) -> bytes:
    """Blank a piece: a sector of a dying card."""
    start = _place(data, rng)
    piece = data[start : start + rng.choice((16, 512, 4096, 65536))]
    return data[:start] + bytes(len(piece)) + data[start + len(piece) :]


def repeat(data: bytes, rng: random.Random) -> bytes:
    """Put a piece of the file somewhere else in it."""
    start, target = _place(data, rng), _place(data, rng)
    piece = data[start : start + rng.choice((4, 12, 64, 512))]
    return data[:target] + piece + data[target + len(piece) :]


def nasty_number(data: bytes, rng: random.Random) -> bytes:
    """Write an extreme 16- or 32-bit number somewhere, in either byte order."""
    start, order = _place(data, rng), rng.choice("<>")
    number = rng.choice(_NASTY)
    code = "H" if number < 0x10000 and rng.random() < 0.5 else "I"
    return _written(data, start, struct.pack(f"{order}{code}", number))


def change_tag(data: bytes, rng: random.Random) -> bytes:
    """Change type, count or value of an entry that looks like one of the tags that matter."""
    order = ">" if data[:2] == b"MM" else "<"
    places = [
        place
        for code in rng.sample(_TAGS, 12)
        if (place := data.find(struct.pack(f"{order}H", code), 8, 1 << 16)) >= 0
    ]
    if not places:
        return nasty_number(data, rng)
    place = rng.choice(places)
    field = rng.choice((2, 4, 8, 8, 8))
    if field == 2:
        return _written(data, place + 2, struct.pack(f"{order}H", rng.randrange(16)))
    number = rng.choice((*_NASTY, rng.randrange(1 << 8), rng.randrange(1 << 16), len(data)))
    return _written(data, place + field, struct.pack(f"{order}I", number))


def _written(data: bytes, start: int, piece: bytes) -> bytes:
    return (data[:start] + piece + data[start + len(piece) :])[: len(data)]


_KINDS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip_bytes,
    cut,
    cut_out,
    zero_out,
    repeat,
    nasty_number,
    change_tag,
    change_tag,
)
