from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nightfix.batch.shards import Shard, parse_shard, share_of, take_share
from nightfix.batch.sources import Photo, find_photos
from nightfix.errors import OutputClashError, PhotoNotFoundError

COUNT = 16


@pytest.fixture
def archive(tmp_path) -> Path:
    root = tmp_path / "archive"
    for number in range(400):
        path = root / f"day {number % 7}" / f"IMG_{number:04}.ARW"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def shares(photos) -> list[set[str]]:
    return [
        {str(p.folder / p.path.name) for p in take_share(photos, Shard(number=k, count=COUNT))}
        for k in range(1, COUNT + 1)
    ]


def test_shares_are_disjoint_complete_and_of_one_size(archive):
    photos = find_photos([archive], recursive=True).photos
    found = shares(photos)
    assert sum(map(len, found)) == len(set().union(*found)) == len(photos) == 400
    assert min(map(len, found)) > 400 / COUNT / 3


def test_shares_do_not_move_when_photos_go_or_come(archive):
    before = shares(find_photos([archive], recursive=True).photos)
    for path in sorted(archive.rglob("*.ARW"))[::3]:
        path.unlink()
    (archive / "day 8").mkdir()
    (archive / "day 8/new.ARW").write_bytes(b"x")
    after = shares(find_photos([archive], recursive=True).photos)
    for old, new in zip(before, after, strict=True):
        assert new - {"day 8/new.ARW"} <= old


def test_the_place_of_the_folder_does_not_matter(archive, tmp_path, monkeypatch):
    before = shares(find_photos([archive], recursive=True).photos)
    moved = archive.rename(tmp_path / "mounted elsewhere")
    monkeypatch.chdir(moved)
    assert shares(find_photos(["."], recursive=True).photos) == before
    assert shares(find_photos([moved / "**" / "*.ARW"]).photos) == before


@pytest.mark.parametrize(
    "names", [("nai\u0308f.ARW", "na\u00eff.ARW")], ids=["decomposed and composed"]
)
def test_a_name_in_either_unicode_form_is_one_name(names):
    assert len({share_of(Photo(path=Path(name)), 1 << 40) for name in names}) == 1


def test_a_name_that_is_no_text_has_a_share():
    assert share_of(Photo(path=Path("\udcff.ARW")), 3) in (1, 2, 3)


def test_what_is_missing_is_told_by_every_share_and_a_clash_by_one():
    photo = Photo(path=Path("a.ARW"))
    missing = replace(photo, error=PhotoNotFoundError(photo.path))
    clash = replace(photo, error=OutputClashError(photo.path, Path("b"), Path("c")))
    taken = [take_share([missing, clash], Shard(number=k, count=5)) for k in range(1, 6)]
    assert sum(missing in share for share in taken) == 5
    assert sum(clash in share for share in taken) == 1


@pytest.mark.parametrize("text", ["", "3", "0/16", "17/16", "3/0", "a/b", "3/", "/3", "-1/4"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(ValueError, match=r"3/16|counted from 1"):
        parse_shard(text)
