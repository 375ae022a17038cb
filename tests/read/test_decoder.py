from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from dng_files import DngSpec, coded_samples, write_test_dng

from nightfix.errors import RawReadError
from nightfix.read import decoder
from nightfix.read.reader import read_raw

SAMPLES = coded_samples(48, 64)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return write_test_dng(tmp_path / "photo.dng", DngSpec(SAMPLES))


def child() -> subprocess.Popen[bytes]:
    return decoder._running_child().process


def test_one_process_decodes_photo_after_photo(photo: Path) -> None:
    read_raw(photo)
    first = child().pid
    read_raw(photo)
    assert child().pid == first != os.getpid()


def test_a_process_that_was_started_ahead_is_the_one_that_decodes(photo: Path) -> None:
    decoder._close()
    decoder.start_decoder()
    early = decoder._child
    assert early is not None
    assert early.process.poll() is None
    read_raw(photo)
    assert decoder._child is early


def test_a_process_that_cannot_be_started_ahead_is_an_error_of_the_photo(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    decoder._close()
    monkeypatch.setattr("subprocess.Popen", refuse)
    decoder.start_decoder()
    with pytest.raises(RawReadError, match="LibRaw cannot be started"):
        read_raw(photo)


def test_samples_and_facts_cross_over(photo: Path) -> None:
    with photo.open("rb") as file:
        decoded = decoder.decode(file)
    assert decoded.samples is not None
    np.testing.assert_array_equal(decoded.samples, SAMPLES)
    assert (decoded.num_colors, decoded.color_desc, decoded.sites) == (3, "RGBG", (0, 1, 3, 2))


@pytest.mark.parametrize("side", [64, 512], ids=["fits the pipe", "fills the pipe"])
def test_a_decoder_that_takes_too_long_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    photo = write_test_dng(tmp_path / "photo.dng", DngSpec(coded_samples(side, side)))
    os.kill(child().pid, signal.SIGSTOP)  # it hangs
    monkeypatch.setattr(decoder, "TIME_LIMIT", 0.2)
    with pytest.raises(RawReadError, match=r"needs more than 0\.2 s"):
        read_raw(photo)
    monkeypatch.undo()
    assert zombies() == []
    assert read_raw(photo).mosaic.shape == (side, side)


def zombies() -> list[str]:
    """Return the processes of ours that have ended and were never asked how."""
    tasks = Path("/proc/self/task").glob("*/children")
    pids = " ".join(path.read_text() for path in tasks).split()
    return [pid for pid in pids if not alive(int(pid))]


def become(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let the next child be ``code``, as if LibRaw had been taken over."""
    running = child()
    running.kill()
    running.wait()
    monkeypatch.setattr(decoder, "_CHILD", code)


#: What says what it likes once it has been given a file.
LIAR = "import sys, time; sys.stdin.buffer.readline(); sys.stdout.write({!r}); sys.stdout.flush();"
HUGE = json.dumps({"has_samples": True, "sizes": [1 << 30] * 10 + [0]}) + "\n"
LESS = json.dumps({"has_samples": True, "sizes": [8, 8, -8, -8] + [0] * 7}) + "\n"


@pytest.mark.parametrize(
    "said",
    ["{}\n", "[1]\n", "not JSON\n", "[" * 9000 + "\n", "x" * 70_000, HUGE, LESS, "\n"],
    ids=["nothing", "list", "text", "deep", "endless", "huge", "negative", "empty"],
)
def test_a_decoder_that_lies_is_one_error(
    photo: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    become(monkeypatch, LIAR.format(said) + "time.sleep(60)")
    with pytest.raises(RawReadError, match="decoding it returned invalid data"):
        read_raw(photo)
    monkeypatch.undo()
    assert zombies() == []
    assert read_raw(photo).mosaic.shape == SAMPLES.shape


@pytest.mark.parametrize(
    ("number", "is_believed"), [(0.25, True), (np.nan, False), (np.inf, False)]
)
def test_samples_of_a_decoder_that_are_no_numbers_are_not_believed(
    photo: Path, monkeypatch: pytest.MonkeyPatch, number: float, is_believed: bool
) -> None:
    with photo.open("rb") as file:
        known = dataclasses.asdict(decoder.decode(file))
    for name in ("samples", "margins", "maker_notes"):
        del known[name]
    matrix = {"rgb_xyz_matrix": [], "has_samples": True, "has_margins": False, "own_levels": True}
    line = json.dumps(known | matrix | {"sizes": [1] * 4 + [0] * 7}).encode()
    said = line + b"\n" + np.float32(number).tobytes() + b"{}\n"
    become(
        monkeypatch,
        f"import sys, time; sys.stdin.buffer.readline(); sys.stdout.buffer.write({said!r});"
        "sys.stdout.flush(); time.sleep(60)",
    )
    with photo.open("rb") as file:
        if is_believed:
            assert decoder.decode(file).samples == number
        else:
            with pytest.raises(decoder.DecoderError, match="decoding it returned invalid data"):
                decoder.decode(file)
    decoder._close()


def test_a_decoder_that_falls_silent_and_lives_on_is_ended(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, LIAR.format("half a line") + "import os; os.close(1); time.sleep(60)")
    with pytest.raises(RawReadError, match="decoding it crashed"):
        read_raw(photo)
    assert zombies() == []


@pytest.mark.skipif(sys.platform != "linux", reason="measures itself by /proc")
def test_a_decoder_that_runs_out_of_memory_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = write_test_dng(tmp_path / "photo.dng", DngSpec(coded_samples(4000, 3000)))
    become(
        monkeypatch,
        "import sys; sys.path[:] = sys.argv[1:]; from nightfix.read import decoder_process as libraw\n"  # noqa: E501
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "libraw._ADDRESS_SPACE = pages * 4096 + (36 << 20); libraw.serve()",
    )
    with pytest.raises(RawReadError, match="too large for this machine's memory"):
        read_raw(photo)
    assert zombies() == []


def test_a_decoder_that_crashes_is_one_error_and_the_next_photo_is_read(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, "import os; os.kill(os.getpid(), 11)")
    with pytest.raises(RawReadError, match=r"decoding it crashed \(-11\)"):
        read_raw(photo)
    monkeypatch.undo()
    assert zombies() == []
    assert read_raw(photo).mosaic.shape == SAMPLES.shape


def test_more_pixels_than_the_file_can_hold_are_refused_before_they_are_decoded(
    tmp_path: Path,
) -> None:
    path = write_test_dng(tmp_path / "bomb.dng", DngSpec(SAMPLES))
    data = bytearray(path.read_bytes())
    for code in (256, 257):
        entry = data.index(struct.pack("<HHI", code, 4, 1))
        data[entry + 8 : entry + 12] = struct.pack("<I", 60000)
    path.write_bytes(data)
    with pytest.raises(RawReadError, match="60000|3600000000"):
        read_raw(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
def test_the_decoder_cannot_write_files(tmp_path: Path) -> None:
    code = (
        "import sys, os, signal; from nightfix.read.decoder_process import _limit_ourselves\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY); _limit_ourselves()\n"
        "os.write(file, b'x')\n"
    )
    target = tmp_path / "written"
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)], capture_output=True, check=False
    )
    assert b"File too large" in done.stderr
    assert target.read_bytes() == b""


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of Linux")
@pytest.mark.parametrize(
    "act",
    ["open('/etc/passwd')", "os.close(2); os.open('/etc/passwd', 0)", "socket.socket()"],
    ids=["file", "file in the place of another", "connection"],
)
def test_the_decoder_can_open_nothing(act: str) -> None:
    code = (
        "import os, socket; from nightfix.read.decoder_process import _limit_ourselves; _limit_ourselves()\n"  # noqa: E501
        f"try: {act}\n"
        "except OSError as error: os.write(1, error.strerror.encode())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.stdout == b"Too many open files"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
def test_the_decoder_cannot_take_its_limits_back() -> None:
    code = (
        "import resource; from nightfix.read.decoder_process import _limit_ourselves; _limit_ourselves()\n"  # noqa: E501
        "for what in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):\n"
        "    soft, hard = resource.getrlimit(what); assert soft == hard >= 0, what\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_decoder_says_nothing_on_our_streams(tmp_path: Path) -> None:
    path = tmp_path / "cut.kdc"
    path.write_bytes(write_test_dng(tmp_path / "a.dng", DngSpec(SAMPLES)).read_bytes()[:700])
    call = [sys.executable, "-m", "nightfix", "info", str(path)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["error", "hint"]


def test_the_decoder_ends_with_its_parent(photo: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path; from nightfix.read import decoder, read_raw\n"
        "read_raw(Path(sys.argv[1])); print(decoder._child.process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    call = [sys.executable, "-c", code, str(photo)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    for _ in range(100):
        if not alive(pid):
            break
        threading.Event().wait(0.1)
    assert not alive(pid)


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits to be fetched does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_threads_take_turns(photo: Path) -> None:
    results: list[bool] = []

    def read() -> None:
        results.append(bool((read_raw(photo).mosaic >= 0).all()))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_no_photo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dng")
    with pytest.raises(RawReadError, match="is not a file"):
        read_raw(tmp_path / "pipe.dng")


def test_a_name_with_a_nul_is_no_photo() -> None:
    with pytest.raises(RawReadError, match="not a valid file name"):
        read_raw(Path("a\0b.dng"))


def test_reading_a_thousand_photos_leaks_nothing(photo: Path) -> None:
    resource = pytest.importorskip("resource")
    broken = photo.with_name("broken.dng")
    broken.write_bytes(photo.read_bytes()[:900])

    def memory() -> tuple[int, int, int]:
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        status = Path(f"/proc/{child().pid}/status")
        theirs = status.read_text().split("VmRSS:")[1].split()[0] if status.exists() else 0
        return own, int(theirs), len(os.listdir("/dev/fd"))

    def read(count: int) -> None:
        for number in range(count):
            if number % 2:
                read_raw(photo)
            else:
                with pytest.raises(RawReadError):
                    read_raw(broken)

    read(100)
    before = memory()
    read(1000)
    after = memory()
    assert after[0] - before[0] < 8_000
    assert after[1] - before[1] < 8_000
    assert after[2] == before[2]
