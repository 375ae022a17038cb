from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from nightfix.errors import OutputExistsError, OutputWriteError
from nightfix.output import replacing


def test_result_appears_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "photo.tif"
    with replacing(target, overwrite=False) as temporary:
        temporary.write_bytes(b"new")
        assert not target.exists()
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".tif"
    assert [entry.name for entry in tmp_path.iterdir()] == ["photo.tif"]
    assert target.read_bytes() == b"new"


def test_folder_is_made(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "photo.tif"
    with replacing(target, overwrite=False) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"


def test_two_writers_of_one_target_do_not_meet(tmp_path: Path) -> None:
    target = tmp_path / "photo.tif"
    with replacing(target, overwrite=True) as one, replacing(target, overwrite=True) as two:
        assert one != two
        one.write_bytes(b"1")
        two.write_bytes(b"2")
    assert target.read_bytes() == b"1"


def test_overwrite_replaces(tmp_path: Path) -> None:
    target = tmp_path / "photo.tif"
    target.write_bytes(b"old")
    with replacing(target, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


def test_existing_target_is_refused_before_any_work(tmp_path: Path) -> None:
    target = tmp_path / "photo.tif"
    target.write_bytes(b"old")
    with (
        pytest.raises(OutputExistsError, match=r"photo\.tif: exists already") as caught,
        replacing(target, overwrite=False),
    ):
        pytest.fail("the body ran")
    assert "--overwrite" in caught.value.hint
    assert target.read_bytes() == b"old"


def test_target_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "photo.tif"
    with (
        pytest.raises(OutputExistsError),
        replacing(target, overwrite=False) as temporary,
    ):
        temporary.write_bytes(b"new")
        target.write_bytes(b"somebody else's")
    assert [entry.name for entry in tmp_path.iterdir()] == ["photo.tif"]
    assert target.read_bytes() == b"somebody else's"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError, ValueError, SystemExit])
def test_failure_leaves_nothing_and_passes(tmp_path: Path, failure: type[BaseException]) -> None:
    target = tmp_path / "photo.tif"
    target.write_bytes(b"old")
    with pytest.raises(failure), replacing(target, overwrite=True) as temporary:
        temporary.write_bytes(b"half")
        raise failure
    assert [entry.name for entry in tmp_path.iterdir()] == ["photo.tif"]
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "No space left"), (errno.EACCES, "Permission denied")],
    ids=["disk full", "no permission"],
)
def test_refusal_of_the_system_keeps_its_words(tmp_path: Path, code: int, words: str) -> None:
    target = tmp_path / "photo.tif"
    refusal = OSError(code, os.strerror(code))
    with (
        pytest.raises(OutputWriteError, match=words) as caught,
        replacing(target, overwrite=False) as temporary,
    ):
        temporary.write_bytes(b"half")
        raise refusal
    assert caught.value.__cause__ is refusal
    assert list(tmp_path.iterdir()) == []


def test_failing_rename_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "replace", refuse)
    with (
        pytest.raises(OutputWriteError, match="not permitted"),
        replacing(tmp_path / "photo.tif", overwrite=False) as temporary,
    ):
        temporary.write_bytes(b"whole")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_folder_of_that_name_is_refused(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "photo.tif").mkdir()
    with (
        pytest.raises(OutputWriteError, match="is a folder"),
        replacing(tmp_path / "photo.tif", overwrite=overwrite),
    ):
        pytest.fail("the body ran")


def test_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    with (
        pytest.raises(OutputWriteError),
        replacing(tmp_path / "out" / "photo.tif", overwrite=False),
    ):
        pytest.fail("the body ran")


def test_the_photo_itself_is_never_replaced(tmp_path: Path) -> None:
    photo = tmp_path / "photo.dng"
    photo.write_bytes(b"raw")
    with (
        pytest.raises(OutputWriteError, match="photo itself"),
        replacing(tmp_path / "." / "photo.dng", overwrite=True, source=photo),
    ):
        pytest.fail("the body ran")
    assert photo.read_bytes() == b"raw"


def test_body_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputWriteError, match="No such file"),
        replacing(tmp_path / "photo.tif", overwrite=False),
    ):
        pass
