"""Entry: the share of a batch that one machine of several takes, by the photos' names alone."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from nightfix.batch.sources import Photo
from nightfix.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One of several shares of a batch.

    Attributes
    ----------
    number : int
        Which one, from 1 to ``count``.
    count : int
        How many there are, >= 1.

    Raises
    ------
    ValueError
        If there is no such share.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(f"share {self.number} is not from 1 to {self.count}")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_shard(text: str) -> Shard:
    """Parse a share such as ``3/16``, the third of sixteen.

    Raises
    ------
    ValueError
        If it is none; the message says why.

    Examples
    --------
    >>> parse_shard("3/16")
    Shard(number=3, count=16)
    """
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and int(count)):
        raise ValueError(f"{text!r} is not a share such as 3/16, the third of sixteen")
    if not 1 <= int(number) <= int(count):
        raise ValueError(f"{text!r}: shares are counted from 1/{int(count)} to {count}/{count}")
    return Shard(number=int(number), count=int(count))


def share_of(photo: Photo, count: int) -> int:
    """Return in which of ``count`` shares a photo is, from 1.

    It follows from the path below the folder that was named, so it is the same on every
    machine, wherever the folder is mounted there, and whatever is finished or added.

    Notes
    -----
    The first 64 bits of the path's SHA-256, modulo ``count``. The path has slashes and
    composed letters (Unicode's form C), as macOS and Linux name the same file differently.

    Examples
    --------
    >>> from pathlib import Path
    >>> share_of(Photo(path=Path("/mnt/a/100/b.ARW"), folder=Path("100")), 16)
    9
    """
    name = unicodedata.normalize("NFC", (photo.folder / photo.path.name).as_posix())
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") % count + 1


def take_share(photos: Iterable[Photo], shard: Shard) -> list[Photo]:
    """Return the photos of one share.

    Names that do not exist are in every share: a folder that is not mounted on one
    machine must not look there like a share without photos.
    """
    return [
        photo
        for photo in photos
        if isinstance(photo.error, InputError) or share_of(photo, shard.count) == shard.number
    ]
