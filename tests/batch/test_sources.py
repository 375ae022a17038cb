from __future__ import annotations

import os
from pathlib import Path

import pytest

from nightfix.batch.sources import find_photos, natural_order, near_file
from nightfix.errors import NoPhotosError, PhotoNotFoundError
from nightfix.write.dng import write_dng
from nightfix.write.record import Record


@pytest.fixture
def card(tmp_path) -> Path:
    root = tmp_path / "card"
    for name in (
        "100/IMG_10.NEF",
        "100/IMG_2.nef",
        "100/IMG_2.JPG",
        "101/deep/c.ARW",
        "101/deep/notes",
        "._a.ARW",
        ".trash/x.ARW",
        "a.ARW",
        "a_nightfix.tif",
        "a_nightfix.dng",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def names(found, root) -> list[str]:
    return [photo.path.relative_to(root).as_posix() for photo in found.photos]


def test_a_folder_gives_its_own_raws(card):
    assert names(find_photos([card]), card) == ["a.ARW"]


def test_recursive_takes_the_tree_in_natural_order(card):
    found = find_photos([card], recursive=True)
    assert names(found, card) == ["a.ARW", "100/IMG_2.nef", "100/IMG_10.NEF", "101/deep/c.ARW"]
    assert [photo.folder.as_posix() for photo in found.photos] == [".", "100", "100", "101/deep"]


def test_what_is_no_raw_is_counted(card):
    left_out = find_photos([card], recursive=True).left_out
    assert left_out == {"hidden": 1, ".jpg": 1, "no ending": 1, "results": 2}


def test_the_output_folder_is_not_searched(card):
    assert "100/IMG_2.nef" not in names(
        find_photos([card], recursive=True, output=card / "100"), card
    )


def test_results_of_another_suffix_are_known(card, synthetic_raw):
    write_dng(card / "a-other.dng", synthetic_raw(), restored=True, record=Record(restored=True))
    assert names(find_photos([card]), card) == ["a.ARW"]


def test_patterns_work_without_a_shell(card):
    found = find_photos([card / "1*" / "**" / "*.[An]*"], recursive=True)
    assert names(found, card) == ["100/IMG_2.nef", "101/deep/c.ARW"]
    assert [photo.folder.as_posix() for photo in found.photos] == ["100", "101/deep"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders there")
def test_a_pipe_is_no_photo(card):
    os.mkfifo(card / "pipe.ARW")
    (card / "gone.NEF").symlink_to(card / "nowhere")
    found = find_photos([card])
    assert names(found, card) == ["a.ARW"]
    assert found.left_out["pipe or broken link"] == 2


def test_a_file_with_wildcards_in_its_name_is_a_file(tmp_path):
    path = tmp_path / "a[1]*.ARW"
    path.write_bytes(b"x")
    assert [photo.path for photo in find_photos([path]).photos] == [path]


def test_a_named_file_is_taken_whatever_its_ending(card):
    assert names(find_photos([card / "100/IMG_2.JPG"]), card) == ["100/IMG_2.JPG"]


def test_a_photo_that_is_named_twice_is_one(card):
    assert names(find_photos([card / "a.ARW", card, card / "100" / ".." / "a.ARW"]), card) == [
        "a.ARW"
    ]


@pytest.mark.parametrize(
    ("name", "kind", "hint"),
    [
        ("a.ARV", PhotoNotFoundError, "a.ARW"),
        ("zzzz.dng", PhotoNotFoundError, "check the name"),
        ("*.CR3", PhotoNotFoundError, "check the name"),
        ("101", NoPhotosError, "-r"),
    ],
)
def test_a_name_without_photos_is_an_error_with_a_hint(card, name, kind, hint):
    (photo,) = find_photos([card / name]).photos
    assert type(photo.error) is kind
    assert hint in photo.error.hint


def test_a_near_name_in_another_case(card):
    assert near_file(card / "A.arw") == str(card / "a.ARW")


def test_natural_order_takes_any_name():
    names = ["b²1", "b", "1b", "", "b10", "b9"]
    assert sorted(names, key=natural_order) == ["", "1b", "b", "b9", "b10", "b²1"]


def test_a_dng_is_looked_into_again_only_when_it_has_changed(card, monkeypatch):
    looked = []
    monkeypatch.setattr("nightfix.batch.sources.record_of_file", looked.append)
    (card / "b.dng").write_bytes(b"x")
    for _ in range(3):
        find_photos([card])
    (card / "b.dng").write_bytes(b"longer")
    find_photos([card])
    assert looked == [card / "b.dng"] * 2
