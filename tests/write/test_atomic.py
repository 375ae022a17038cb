from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nightfix.errors import OutputExistsError, OutputWriteError
from nightfix.write.atomic import replacing


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
        pytest.raises(OutputExistsError, match=r"photo\.tif: already exists") as caught,
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
    monkeypatch.setattr("nightfix.write.atomic.os.link", refuse)
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


def test_body_that_removes_its_file_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputWriteError, match="No such file"),
        replacing(tmp_path / "photo.tif", overwrite=False) as temporary,
    ):
        temporary.unlink()


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from nightfix.write.atomic import replacing\n"
        "with replacing(Path(sys.argv[1]), overwrite=False) as temporary:\n"
        "    temporary.write_bytes(b'half'); os.kill(os.getpid(), 9)\n"
    )
    target = tmp_path / "photo.tif"
    subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".nightfix-")
    os.utime(left, (1, 1))
    with replacing(target, overwrite=False) as temporary:
        temporary.write_bytes(b"whole")
    assert [entry.name for entry in tmp_path.iterdir()] == ["photo.tif"]


def test_what_another_process_is_writing_is_kept(tmp_path: Path) -> None:
    with replacing(tmp_path / "one.tif", overwrite=False) as one:
        os.utime(one, (1, 1))
        with replacing(tmp_path / "two.tif", overwrite=False) as two:
            assert one.exists()
            two.write_bytes(b"two")
        one.write_bytes(b"one")
    assert {entry.name for entry in tmp_path.iterdir()} == {"one.tif", "two.tif"}


def test_without_locks_only_what_is_old_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightfix.write.atomic._lock", lambda _: None)
    old, new = tmp_path / ".nightfix-old.tif", tmp_path / ".nightfix-new.tif"
    old.write_bytes(b"")
    new.write_bytes(b"")
    os.utime(old, (1, 1))
    with replacing(tmp_path / "photo.tif", overwrite=False) as temporary:
        temporary.write_bytes(b"whole")
    assert {entry.name for entry in tmp_path.iterdir()} == {".nightfix-new.tif", "photo.tif"}


def test_the_last_moment_belongs_to_whoever_was_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "photo.tif"
    monkeypatch.setattr("nightfix.write.atomic.check_target", lambda *_, **__: None)
    with (
        pytest.raises(OutputExistsError),
        replacing(target, overwrite=False) as temporary,
    ):
        temporary.write_bytes(b"late")
        target.write_bytes(b"first")
    assert target.read_bytes() == b"first"


def no_links(*_: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def test_file_systems_without_links_are_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightfix.write.atomic.os.link", no_links)
    with replacing(tmp_path / "photo.tif", overwrite=False) as temporary:
        temporary.write_bytes(b"whole")
    assert [entry.name for entry in tmp_path.iterdir()] == ["photo.tif"]


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file system that does not rename over a file."""
    rename = os.rename

    def careful(source: object, target: object) -> None:
        if os.path.lexists(str(target)):
            raise FileExistsError(errno.EEXIST, "File exists")
        rename(str(source), str(target))

    monkeypatch.setattr(Path, "replace", careful)
    monkeypatch.setattr(Path, "rename", careful)
    (tmp_path / "photo.tif").write_bytes(b"old")
    return tmp_path


def test_shares_that_do_not_rename_over_a_file_get_the_new_one(share: Path) -> None:
    with replacing(share / "photo.tif", overwrite=True) as temporary:
        temporary.write_bytes(b"new")
    assert [entry.name for entry in share.iterdir()] == ["photo.tif"]
    assert (share / "photo.tif").read_bytes() == b"new"


def test_the_old_result_comes_back_if_the_new_one_cannot_be_put_there(
    share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    careful = Path.rename

    def broken(self: Path, target: Path) -> None:
        if self.name.startswith(".nightfix-"):
            raise OSError(errno.EIO, "Input/output error")
        careful(self, target)

    monkeypatch.setattr(Path, "rename", broken)
    with (
        pytest.raises(OutputWriteError, match="Input/output"),
        replacing(share / "photo.tif", overwrite=True) as temporary,
    ):
        temporary.write_bytes(b"new")
    assert [entry.name for entry in share.iterdir()] == ["photo.tif"]
    assert (share / "photo.tif").read_bytes() == b"old"


def test_a_link_of_that_name_is_replaced_and_its_file_kept(tmp_path: Path) -> None:
    other = tmp_path / "other.tif"
    other.write_bytes(b"precious")
    (tmp_path / "photo.tif").symlink_to(other)
    with replacing(tmp_path / "photo.tif", overwrite=True) as temporary:
        temporary.write_bytes(b"new")
    assert other.read_bytes() == b"precious"
    assert (tmp_path / "photo.tif").read_bytes() == b"new"
