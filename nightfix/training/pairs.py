"""Training: real short and long exposures, in the folders of the SID and ELD data sets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from nightfix.errors import InputError
from nightfix.read import RawImage, read_raw

Protocol = Literal["sid", "eld"]

#: ELD: the long exposures among the sixteen pictures of a scene, and those published
#: figures are of (ratios 100 and 200).
_ELD_REFERENCES = (1, 6, 11, 16)
_ELD_TEST = (4, 5, 9, 10, 14, 15)

_SECONDS = re.compile(r"_([0-9.]+)s\.[^.]+$")
_NUMBER = re.compile(r"(\d+)$")

_HINT = "pairs are a short and a long exposure of one scene by one camera"

#: SID's published figures take no ratio above this.
_SID_LARGEST = 300.0


@dataclass(frozen=True, slots=True)
class PairFiles:
    """A short exposure, the long one of the same scene, and the ratio between them [-].

    ``ratio`` None: that of ISO times exposure time, which the files themselves say.
    """

    short: Path
    long: Path
    ratio: float | None


class RealPair(NamedTuple):
    """A pair as read."""

    short: RawImage
    long: RawImage
    ratio: float


def read_pair(pair: PairFiles) -> RealPair:
    """Read both files of a pair.

    Raises
    ------
    InputError
        If one cannot be read, they differ in size or pattern, or a ratio below 1 or none comes
        of their exposures.
    """
    short, long = read_raw(pair.short), read_raw(pair.long)
    if short.mosaic.shape != long.mosaic.shape or short.cfa_pattern != long.cfa_pattern:
        raise InputError(f"{pair.short} and {pair.long.name} differ in size or pattern", _HINT)
    ratio = pair.ratio or _light(long) / _light(short)
    if ratio < 1:
        raise InputError(f"{pair.short}: exposed longer than {pair.long.name}", _HINT)
    return RealPair(short, long, ratio)


def find_pairs(
    folder: Path, protocol: Protocol | None = None, *, test: bool = False
) -> list[PairFiles]:
    """Find the pairs of a data set.

    Parameters
    ----------
    folder : Path
        For SID (Chen et al., CVPR 2018) the folder with ``Sony_train_list.txt`` or its
        kin, whose lines name a short and a long file below it. For ELD (Wei et al., CVPR
        2020) a folder, or one of its cameras, with ``scene-1`` and so on, sixteen files each.
    protocol : {"sid", "eld"} or None
        None chooses by the files in the folder.
    test : bool
        Whether to take the pairs that published figures are of, or those to learn from.

    Raises
    ------
    InputError
        If there are none, a list names a missing file, or an exposure is not known.
    """
    lists = sorted(folder.glob("*_list.txt"))
    scenes = sorted(p for p in [*folder.glob("scene-*"), *folder.glob("*/scene-*")] if p.is_dir())
    if protocol == "sid" or (protocol is None and lists):
        wanted = [f for f in lists if ("train" in f.name) != test]
        pairs = [pair for file in wanted for pair in _sid_pairs(file)]
    else:
        pairs = [pair for scene in scenes for pair in _eld_pairs(scene, test=test)]
    if not pairs:
        raise InputError(
            f"{folder}: no pairs of exposures here",
            "give the folder that holds SID's *_list.txt files or ELD's scene-* folders",
        )
    return pairs


def _sid_pairs(file: Path) -> list[PairFiles]:
    pairs = []
    for line in file.read_text("utf-8").splitlines():
        names = line.split()[:2]
        if len(names) < 2:
            continue
        short, long = (file.parent / name for name in names)
        for path in (short, long):
            if not path.is_file():
                raise InputError(f"{path}: listed in {file.name}, but missing", "check the copy")
        ratio = _seconds(long) / _seconds(short)
        pairs.append(PairFiles(short, long, min(ratio, _SID_LARGEST)))
    return pairs


def _seconds(path: Path) -> float:
    found = _SECONDS.search(path.name)
    if not found:
        hint = "SID names its files 00001_00_10s.ARW"
        raise InputError(f"{path}: its name does not end in seconds", hint)
    return float(found[1])


def _eld_pairs(scene: Path, *, test: bool) -> list[PairFiles]:
    numbered = {
        int(found[1]): file
        for file in sorted(scene.iterdir())
        if file.is_file() and (found := _NUMBER.search(file.stem))
    }
    pairs = []
    for number, short in sorted(numbered.items()):
        nearest = min(_ELD_REFERENCES, key=lambda reference: abs(reference - number))
        wanted = number in _ELD_TEST if test else number not in _ELD_REFERENCES
        if wanted and nearest in numbered:
            long = numbered[nearest]
            pairs.append(PairFiles(short, long, None))
    return pairs


def _light(raw: RawImage) -> float:
    """Return ISO times exposure time, by which ELD counts exposures [s]."""
    exposure = raw.metadata.exposure
    if not exposure.iso_speed or not exposure.exposure_time:
        raise InputError(f"{raw.path}: its ISO or exposure time is unknown", _HINT)
    return exposure.iso_speed * exposure.exposure_time
