"""What can go wrong around a photo, done for real: nothing is lost, nothing half-written stays."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from dng_files import DngSpec, write_test_dng

from nightfix import EnhanceOptions, enhance

if TYPE_CHECKING:
    from nightfix import Restorer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and mounts of Unix")

NIGHTFIX = [sys.executable, "-m", "nightfix"]


def photograph(path: Path, *, shape: tuple[int, int] = (64, 96), seed: int = 0) -> Path:
    samples = np.random.default_rng(seed).integers(500, 2000, shape).astype(np.uint16)
    return write_test_dng(path, DngSpec(samples, black=(512.0,)))


def nightfix(*words: object, before: str = "", **options: object) -> subprocess.CompletedProcess:
    """Run the program; ``before`` is a shell command of the test's own that prepares its place."""
    call = [*NIGHTFIX, *map(str, words)]
    if before:
        call = ["sh", "-c", f'{before} && exec "$@"', "sh", *call]
    return subprocess.run(call, capture_output=True, text=True, check=False, **options)


def errors(done: subprocess.CompletedProcess) -> list[str]:
    """Return the lines of errors and hints; there must be no others of failure."""
    assert "Traceback" not in done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith(("error:", "hint:"))]


def in_a_small_world(command: str) -> list[str]:
    """Return the words that run a command where it may mount; skip where that is not allowed."""
    for how in (["unshare", "-m"], ["unshare", "-rm"]):
        if (
            shutil.which("unshare")
            and not subprocess.run([*how, "true"], capture_output=True, check=False).returncode
        ):
            script = f'{command} && "$@"; code=$?; ls -A "$PLACE" > "$PLACE.list"; exit $code'
            return [*how, "sh", "-c", script]
    pytest.skip("may not mount a file system here")


def run_mounted(place: Path, options: str, *words: object) -> tuple[int, str, list[str]]:
    """Run the program with ``place`` on a file system of its own; return code, stderr, files."""
    prepare = f'mount -t tmpfs -o size=100k tmpfs "$PLACE" {options}'
    call = [*in_a_small_world(prepare), "sh", *NIGHTFIX, *map(str, words)]
    environment = {**os.environ, "PLACE": str(place)}
    done = subprocess.run(call, capture_output=True, text=True, check=False, env=environment)
    names = Path(f"{place}.list").read_text().split()
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr, names


# --- where results go


def test_a_full_disk_is_told_and_keeps_nothing_half(tmp_path: Path) -> None:
    photo, place = photograph(tmp_path / "big.dng", shape=(400, 600)), tmp_path / "out"
    place.mkdir()
    code, said, left = run_mounted(place, "", "enhance", photo, "--no-restore", "-o", place)
    assert code == 6
    assert "No space left on device" in said
    assert "hint: use -o DIR" in said
    assert left == []


def test_an_old_result_survives_a_full_disk(tmp_path: Path) -> None:
    photo, place = photograph(tmp_path / "big.dng", shape=(400, 600)), tmp_path / "out"
    place.mkdir()
    old = '&& echo precious > "$PLACE/big_nightfix.tif"'
    words = ("enhance", photo, "--no-restore", "--overwrite", "-o", place)
    code, _, left = run_mounted(place, old, *words)
    assert (code, left) == (6, ["big_nightfix.tif"])


def test_a_limit_on_the_size_of_files_is_told(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "big.dng", shape=(400, 600))
    done = nightfix("enhance", photo, "--no-restore", before="ulimit -f 100")
    assert done.returncode == 6
    assert "File too large" in errors(done)[0]
    assert os.listdir(tmp_path) == ["big.dng"]


def test_a_read_only_folder_is_told(tmp_path: Path) -> None:
    photo, place = photograph(tmp_path / "photo.dng"), tmp_path / "out"
    place.mkdir()
    read_only = '&& mount -o remount,ro "$PLACE"'
    words = ("enhance", photo, "--no-restore", "-o", place)
    code, said, left = run_mounted(place, read_only, *words)
    assert (code, left) == (6, [])
    assert "out: cannot be written to" in said


def test_a_target_that_is_a_folder_is_told(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "photo.dng")
    (tmp_path / "photo_nightfix.tif").mkdir()
    done = nightfix("enhance", photo, "--no-restore", "--overwrite")
    assert done.returncode == 6
    assert "is a folder" in errors(done)[0]


def test_of_two_processes_on_one_target_one_wins(tmp_path: Path) -> None:
    # Large enough that the second has begun before the first is done, on a busy machine, too.
    photo = photograph(tmp_path / "photo.dng", shape=(2000, 3000))
    call = [*NIGHTFIX, "enhance", str(photo), "--no-restore"]
    both = [
        subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)
    ]
    said = [process.communicate()[1].decode() for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes == [0, 6]
    assert any("already exists" in text for text in said)
    assert sorted(os.listdir(tmp_path)) == ["photo.dng", "photo_nightfix.tif"]
    assert tifffile.imread(tmp_path / "photo_nightfix.tif").shape == (2000, 3000, 3)


def test_of_two_processes_that_overwrite_both_are_done(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "photo.dng", shape=(400, 600))
    (tmp_path / "photo_nightfix.tif").write_text("old")
    call = [*NIGHTFIX, "enhance", str(photo), "--no-restore", "--overwrite"]
    both = [
        subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)
    ]
    assert [process.communicate() and process.returncode for process in both] == [0, 0]
    assert sorted(os.listdir(tmp_path)) == ["photo.dng", "photo_nightfix.tif"]
    assert tifffile.imread(tmp_path / "photo_nightfix.tif").shape == (400, 600, 3)


def test_a_file_in_the_place_of_the_folder_is_told_and_kept(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "photo.dng")
    (tmp_path / "file").write_text("precious")
    done = nightfix("enhance", photo, "--no-restore", "-o", tmp_path / "file")
    assert done.returncode == 6
    assert "file: File exists" in errors(done)[0]
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("suffix", ["/../../x", "a/b", "/"])
def test_a_suffix_leads_to_no_other_folder(tmp_path: Path, suffix: str) -> None:
    photo = photograph(tmp_path / "photo.dng")
    done = nightfix("enhance", photo, "--no-restore", "--suffix", suffix)
    assert done.returncode == 2
    assert os.listdir(tmp_path) == ["photo.dng"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("command", ["enhance --no-restore", "info", "--help", "info --help"])
def test_a_full_disk_behind_the_standard_output_is_told(tmp_path: Path, command: str) -> None:
    photo = photograph(tmp_path / "photo.dng")
    with open("/dev/full", "wb") as full:
        call = [*NIGHTFIX, *command.split(), *([] if "help" in command else [str(photo)])]
        done = subprocess.run(call, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 6
    assert errors(done) == [
        "error: the standard output: No space left on device",
        "hint: free some space there; finished results are kept",
    ]


@pytest.mark.parametrize("words", ["--help", "--version", "info --help", "weights list"])
def test_a_reader_that_left_is_no_fault(words: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    call = [*NIGHTFIX, *words.split()]
    done = subprocess.run(call, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("stream", ["<&-", ">&-", "2>&-"], ids=["in", "out", "err"])
def test_closed_standard_streams_do_not_matter(tmp_path: Path, stream: str) -> None:
    photo = photograph(tmp_path / "photo.dng")
    done = nightfix("enhance", photo, "--no-restore", before=f"exec {stream}")
    assert (done.returncode, errors(done)) == (0, [])
    assert tifffile.imread(tmp_path / "photo_nightfix.tif").shape == (64, 96, 3)


# --- where photos come from


def test_a_photo_that_vanished_does_not_stop_the_others(tmp_path: Path) -> None:
    first, gone, last = (photograph(tmp_path / f"{name}.dng") for name in ("a", "b", "c"))
    gone.unlink()
    done = nightfix("enhance", first, gone, last, "--no-restore")
    assert done.returncode == 3
    assert errors(done)[0] == f"error: {gone}: no such file"
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    "name",
    [
        "two words.dng",
        'it\'s "quoted".dng',
        "two\nlines.dng",
        "-dash.dng",
        "夜景 – Nacht é.dng",
        "$(touch evil);`touch evil`.dng",
        "%s{0}.dng",
        b"no\xfftext.dng".decode("utf-8", "surrogateescape"),
        "." * 40 + "dots.dng",
    ],
    ids=ascii,
)
def test_names_of_any_letters_work(tmp_path: Path, name: str) -> None:
    photo = photograph(tmp_path / name)
    call = [*NIGHTFIX, "enhance", "--no-restore", "--", str(photo)]
    done = subprocess.run(call, capture_output=True, check=False, cwd=tmp_path)
    target = photo.with_name(f"{photo.stem}_nightfix.tif")
    assert done.returncode == 0
    assert done.stdout == os.fsencode(target) + b"\n"
    assert sorted(tmp_path.iterdir()) == sorted([photo, target])
    again = subprocess.run(call, capture_output=True, check=False)
    assert (again.returncode, again.stdout) == (0, b"")
    (said,) = again.stderr.splitlines()
    assert said.endswith(b"already done with these settings")


def test_orders_to_the_terminal_in_a_camera_s_name_are_shown_not_obeyed(tmp_path: Path) -> None:
    samples = np.full((32, 32), 900, np.uint16)
    spec = DngSpec(samples, model="Evil\x1b]0;owned\x07\x1b[2J", make="Evil")
    photo = write_test_dng(tmp_path / "photo.dng", spec)
    for command in (["info"], ["enhance", "--no-restore"]):
        done = nightfix(*command, photo)
        assert done.returncode == 0
        assert "\\x1b]0;owned" in done.stdout + done.stderr
        assert "\x1b" not in done.stdout + done.stderr


def test_a_link_to_a_photo_is_read_and_the_photo_stays(tmp_path: Path) -> None:
    (tmp_path / "card").mkdir()
    (tmp_path / "desk").mkdir()
    photo = photograph(tmp_path / "card" / "photo.dng")
    before = photo.read_bytes()
    link = tmp_path / "desk" / "link.dng"
    link.symlink_to(photo)
    assert nightfix("enhance", link, "--no-restore").returncode == 0
    assert (tmp_path / "desk" / "link_nightfix.tif").exists()
    dng = ("--no-restore", "--format", "dng", "--suffix", "", "--overwrite")
    assert nightfix("enhance", link, *dng).returncode == 6
    (tmp_path / "desk" / "photo.dng").symlink_to(photo)
    assert nightfix("enhance", photo, *dng, "-o", tmp_path / "desk").returncode == 6
    assert photo.read_bytes() == before


def test_a_link_to_itself_is_told(tmp_path: Path) -> None:
    loop = tmp_path / "loop.dng"
    loop.symlink_to(loop)
    done = nightfix("enhance", loop, "--no-restore")
    assert done.returncode == 3
    assert "symbolic links" in errors(done)[0]


def test_a_photo_that_vanishes_while_others_are_made_is_told(tmp_path: Path) -> None:
    """It is there when the batch begins and gone when its turn comes."""
    first, second = (photograph(tmp_path / f"{name}.dng") for name in "ab")
    code = (
        "import pathlib, sys; from nightfix.read import read_raw\n"
        "from nightfix.pipeline import photo; from nightfix.cli import main\n"
        "def read(path, **options):\n"
        "    pathlib.Path(sys.argv[3]).unlink(missing_ok=True)\n"
        "    return read_raw(path, **options)\n"
        "photo.read_raw = read; main()\n"
    )
    call = [sys.executable, "-c", code, "enhance", first, second, "--no-restore"]
    done = subprocess.run([*map(str, call)], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert errors(done)[0] == f"error: {second}: no such file"
    assert done.stdout.splitlines() == [str(tmp_path / "a_nightfix.tif")]


def test_a_current_folder_that_is_gone_does_not_matter(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "photo.dng")
    gone = tmp_path / "gone"
    gone.mkdir()
    words = ("enhance", "../photo.dng", "--no-restore")
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])} | os.environ
    done = nightfix(*words, before=f"rmdir '{gone}'", cwd=gone, env=environment)
    assert (done.returncode, errors(done)) == (0, [])
    assert photo.with_name("photo_nightfix.tif").exists()


# --- the house around it


def test_too_few_open_files_for_the_decoder_are_told(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "photo.dng")
    done = nightfix("enhance", photo, "--no-restore", before="ulimit -n 8")
    assert done.returncode == 3
    assert errors(done) == [
        f"error: {photo}: LibRaw cannot be started: Too many open files",
        "hint: close other programs, or raise the limits of this one (ulimit)",
    ]


@pytest.mark.weights
def test_default_weights_damaged_on_disk_are_told(tmp_path: Path) -> None:
    """In a copy of the package, since those of this one are still needed."""
    root = Path(__file__).parents[2]
    shutil.copytree(root / "nightfix", tmp_path / "nightfix")
    (tmp_path / "weights").mkdir()
    weights = tmp_path / "weights" / "nightfix-base.safetensors"
    data = bytearray((root / "weights" / weights.name).read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    photo = photograph(tmp_path / "photo.dng")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = nightfix("enhance", photo, cwd=tmp_path, env=environment)
    assert done.returncode == 4
    assert "SHA-256 is" in errors(done)[0]
    assert not (tmp_path / "photo_nightfix.tif").exists()


def test_without_a_home_and_with_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "photo.dng")
    file = tmp_path / "file"
    file.write_text("")
    poor = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", str(Path(__file__).parents[2])),
        "XDG_CACHE_HOME": str(file / "cache"),
        "XDG_CONFIG_HOME": str(file / "config"),
        "HF_HOME": str(file / "hub"),
    }
    done = nightfix("enhance", photo, "--steps", "1", "--tile", "64", env=poor)
    assert (done.returncode, errors(done)) == (0, [])


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_weights_damaged_on_disk_are_told(tmp_path: Path, tiny_weights: Path, damage: str) -> None:
    photo, weights = photograph(tmp_path / "photo.dng"), tmp_path / "tiny.safetensors"
    data = bytearray(tiny_weights.read_bytes())
    data[20] ^= 1
    changed = {"cut": data[: len(data) - 7], "flipped": data, "empty": b""}[damage]
    weights.write_bytes(changed)
    done = nightfix("enhance", photo, "--weights", weights)
    assert done.returncode == 4
    assert [line.split(":")[0] for line in errors(done)] == ["error", "hint"]
    assert not (tmp_path / "photo_nightfix.tif").exists()


# --- killed


def kill_a_batch(folder: Path, after: float, photos: list[Path], *words: str) -> bool:
    """Kill a batch after some seconds; return whether it was still at work. Check what is left."""
    out = folder / "out"
    call = [*NIGHTFIX, "enhance", *map(str, photos), "--overwrite", "-o", str(out), *words]
    process = subprocess.Popen(
        call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    time.sleep(after)
    at_work = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    for path in out.iterdir() if out.exists() else ():
        if not path.name.startswith("."):
            assert tifffile.imread(path).shape == (200, 300, 3), f"{path} is not whole"
    return at_work


def test_a_batch_killed_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    run_kills(tmp_path, count=4)


@pytest.mark.long
def test_a_batch_killed_a_hundred_times_loses_nothing(tmp_path: Path) -> None:
    run_kills(tmp_path, count=100)


def run_kills(folder: Path, *, count: int) -> None:
    photos = [
        photograph(folder / f"{number}.dng", shape=(200, 300), seed=number) for number in range(4)
    ]
    before = [photo.read_bytes() for photo in photos]
    out = folder / "out"
    started = time.monotonic()
    assert nightfix("enhance", *photos, "--no-restore", "-o", out).returncode == 0
    longest = time.monotonic() - started
    rng = random.Random(5)
    # At random, but spread over the run: a first one takes longer than the others.
    moments = [0.1 + (number + rng.random()) / count for number in range(count)]
    killed = sum(
        kill_a_batch(folder, moment * longest, photos, "--no-restore") for moment in moments
    )
    assert killed >= count // 4
    assert [photo.read_bytes() for photo in photos] == before
    left = [path for path in out.iterdir() if path.name.startswith(".")]
    print(f"killed {killed} times at work, {len(left)} unfinished files left hidden")
    time.sleep(2.1)
    assert nightfix("enhance", *photos, "--no-restore", "--overwrite", "-o", out).returncode == 0
    assert sorted(path.name for path in out.iterdir()) == [f"{n}_nightfix.tif" for n in range(4)]


# --- a thousand times


@pytest.mark.long
def test_a_thousand_runs_leak_nothing(tmp_path: Path, tiny_restorer: Restorer) -> None:
    resource = pytest.importorskip("resource")
    photo = photograph(tmp_path / "photo.dng")
    options = EnhanceOptions(overwrite=True, formats=("tiff", "dng", "jpeg"))

    def run(count: int) -> tuple[int, int, int]:
        for _ in range(count):
            enhance(photo, options, restorer=tiny_restorer)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak, len(os.listdir("/dev/fd")), threading.active_count()

    before, after = run(100), run(1000)
    print(f"peak {before[0]} and {after[0]} kB after 100 and 1100 runs")
    assert after[0] - before[0] < 16_000
    assert after[1:] == before[1:]
    assert sorted(os.listdir(tmp_path)) == [
        "photo.dng",
        *(f"photo_nightfix.{suffix}" for suffix in ("dng", "jpg", "tif")),
    ]
