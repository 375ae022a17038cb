"""Batch: find the photos that were named: files, folders, patterns or a list."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from nightfix.errors import NightFixError, NoPhotosError, PhotoNotFoundError
from nightfix.read import RAW_SUFFIXES
from nightfix.write import record_of_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A photo that was named, or the error if it does not exist.

    Attributes
    ----------
    path : Path
        The file.
    folder : Path
        Where its result goes below the output folder: the tree of a folder that was
        named is mirrored; ``.`` for a file that was named itself.
    error : NightFixError or None
        What is wrong with the name.
    """

    path: Path
    folder: Path = Path()
    error: NightFixError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPhotos:
    """Photos in the order in which they were named, each once, and what was ignored.

    ``left_out`` counts the files of folders that are no photos, by name ending
    (``"results"`` are NightFix's own).
    """

    photos: tuple[Photo, ...]
    left_out: Counter[str] = field(default_factory=Counter)


def find_photos(
    names: Iterable[str | os.PathLike[str]],
    *,
    recursive: bool = False,
    suffix: str = "_nightfix",
    output: str | os.PathLike[str] | None = None,
) -> FoundPhotos:
    """Find the photos that were named.

    Parameters
    ----------
    names : iterable of str or path-like
        Files (taken as they are), folders (only RAW files are taken) and patterns such as
        ``*.NEF`` or ``card/**/*.ARW``, which shells of Windows leave to the program.
    recursive : bool
        Also take the folders inside folders.
    suffix : str
        Ending of our own results' names, which are not taken from folders.
    output : str, path-like or None
        Folder of the results; it is not searched.

    Returns
    -------
    FoundPhotos
        A name without a photo is among them, with its error.
    """
    search = _Search(recursive=recursive, suffix=suffix, output=output)
    photos: dict[str, Photo] = {}
    for name in names:
        for photo in search.find(Path(name)):
            photos.setdefault(_identity(photo.path), photo)
    return FoundPhotos(photos=tuple(photos.values()), left_out=search.left_out)


def _identity(path: Path) -> str:
    try:
        return os.path.normcase(os.path.realpath(path))
    except FileNotFoundError:  # the current folder has been removed
        return os.path.normcase(path)


class _Search:
    """Settings of one search and what it left out."""

    def __init__(
        self, *, recursive: bool, suffix: str, output: str | os.PathLike[str] | None
    ) -> None:
        self.recursive, self.suffix = recursive, suffix
        self.output = _identity(Path(output)) if output else None
        self.left_out: Counter[str] = Counter()

    def find(self, name: Path) -> Iterator[Photo]:
        """Yield the photos of one name."""
        if name.is_dir():
            yield from self._folder(name)
        elif not os.path.lexists(name) and glob.has_magic(str(name)):
            yield from self._pattern(name)
        elif not os.path.lexists(name):
            yield Photo(path=name, error=PhotoNotFoundError(name, near=near_file(name)))
        else:
            yield Photo(path=name)

    def _pattern(self, pattern: Path) -> Iterator[Photo]:
        fixed = _fixed_part(pattern)
        matches = sorted(glob.glob(str(pattern), recursive=True), key=natural_order)
        found = False
        for match in map(Path, matches):
            if match.is_file() and self._wanted(match):
                found = True
                yield Photo(path=match, folder=match.parent.relative_to(fixed))
        if not found:
            error = PhotoNotFoundError(pattern, "no RAW file matches")
            yield Photo(path=pattern, error=error)

    def _folder(self, root: Path) -> Iterator[Photo]:
        found = False
        for folder, folders, files in os.walk(root):
            keep = sorted(folders, key=natural_order) if self.recursive else []
            folders[:] = [name for name in keep if self._searched(Path(folder, name))]
            for path in (Path(folder, name) for name in sorted(files, key=natural_order)):
                if self._wanted(path):
                    found = True
                    yield Photo(path=path, folder=path.parent.relative_to(root))
        if not found:
            yield Photo(path=root, error=NoPhotosError(root, recursive=self.recursive))

    def _searched(self, folder: Path) -> bool:
        return not folder.name.startswith(".") and _identity(folder) != self.output

    def _wanted(self, path: Path) -> bool:
        """Tell whether a file of a folder is a photo; count it if it is not."""
        kind = path.suffix.lower()
        if self._is_result(path):
            self.left_out["results"] += 1
            return False
        # macOS leaves files such as ._NAME.ARW on cards, which are not photos.
        if kind not in RAW_SUFFIXES or path.name.startswith("."):
            self.left_out["hidden" if path.name.startswith(".") else kind or "no ending"] += 1
            return False
        if not path.is_file():
            self.left_out["pipe or broken link"] += 1
            return False
        return True

    def _is_result(self, path: Path) -> bool:
        if self.suffix and path.stem.endswith(self.suffix):
            return True
        if path.suffix.lower() != ".dng":
            return False
        try:
            state = path.stat()
        except OSError:
            return False
        return _was_restored(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1 << 16)
def _was_restored(path: Path, size: int, modified: int) -> bool:
    """Tell whether NightFix restored a DNG; a folder that is watched is scanned over and over."""
    record = record_of_file(path)
    return record is not None and record.restored


def _fixed_part(pattern: Path) -> Path:
    """Return the folders of a pattern before its first wildcard."""
    plain: list[str] = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        plain.append(part)
    return Path(*plain)


def natural_order(name: str) -> tuple[list[tuple[bool, int, str]], str]:
    """Return a key that sorts IMG_2 before IMG_10, and numbers before letters.

    >>> sorted(["IMG_10.NEF", "a.NEF", "IMG_2.NEF", "06.NEF"], key=natural_order)
    ['06.NEF', 'a.NEF', 'IMG_2.NEF', 'IMG_10.NEF']
    """
    parts = re.findall(r"[0-9]+|[^0-9]+", name.casefold())
    return [(False, int(p), "") if p.isdecimal() else (True, 0, p) for p in parts], name


def near_file(path: Path) -> str | None:
    """Return the name of a file that ``path`` may have meant, if one is like it."""
    try:
        names = [entry.name for entry in os.scandir(path.parent)]
    except OSError:
        return None
    folded = {name.casefold(): name for name in names}
    near = get_close_matches(path.name.casefold(), folded, n=1, cutoff=0.75)
    return str(path.with_name(folded[near[0]])) if near else None


def split_list(data: bytes) -> list[Path]:
    r"""Return the paths of a list that ends them with NUL or, where there is none, newlines.

    >>> split_list(b"a b.ARW\0c.ARW\0") == [Path("a b.ARW"), Path("c.ARW")]
    True
    """
    parts = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [Path(os.fsdecode(part)) for part in parts if part]
