"""Folders, lists, dry runs, JSON lines and interrupts, as a user calls them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import IO

import imageio.v3 as iio
import jsonschema
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from nightfix.batch.engine import Outcome
from nightfix.cli.app import app
from nightfix.cli.console import Display, Verbosity
from nightfix.cli.reports import Report
from nightfix.errors import RawReadError
from nightfix.write.dng import write_dng

runner = CliRunner()
SCHEMA = json.loads(files("nightfix").joinpath("batch/events.schema.json").read_text("utf-8"))


@pytest.fixture
def card(tmp_path, synthetic_raw) -> Path:
    """Two good photos, a broken one and what else lies on a card."""
    root = tmp_path / "card"
    for number, name in enumerate(("a.dng", "100/b é.dng")):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_dng(path, synthetic_raw(shape=(32, 48), seed=number), restored=False)
    (root / "100/broken.ARW").write_bytes(b"broken")
    (root / "100/b.jpg").write_bytes(b"jpeg")
    (root / "100/c.jpg").write_bytes(b"jpeg")
    return root


@pytest.fixture
def run(tiny_weights, card):
    def run(*arguments: object, stdin: bytes | None = None):
        words = [str(argument) for argument in arguments]
        return runner.invoke(app, ["enhance", "--weights", str(tiny_weights), *words], input=stdin)

    return run


def tree(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def events(result) -> list[dict]:
    found = [json.loads(line) for line in result.stdout.splitlines()]
    for event in found:
        jsonschema.validate(event, SCHEMA)
    return found


def test_a_folder_is_mirrored_and_told(run, card, tmp_path):
    out = tmp_path / "out"
    result = run("-r", card, "-o", out)
    assert result.exit_code == 3
    assert tree(out) == ["100/b é_nightfix.tif", "a_nightfix.tif"]
    assert sorted(result.stdout.splitlines()) == sorted(
        str(out / name) for name in ("100/b é_nightfix.tif", "a_nightfix.tif")
    )
    assert "2 .jpg" in result.stderr
    assert "done      2 photos" in result.stderr
    assert f"failed    {card / '100/broken.ARW'}  damaged" in result.stderr


def test_a_second_run_skips_and_says_so(run, card, tmp_path):
    (card / "100/broken.ARW").unlink()
    run("-r", card, "-o", tmp_path / "out")
    again = run("-r", card, "-o", tmp_path / "out")
    assert again.exit_code == 0
    assert again.stdout == ""
    assert again.stderr.count("already done with these settings") == 4, "two lines, two rows"


def test_shares_make_all_results_between_them(run, card, tmp_path):
    (card / "100/broken.ARW").unlink()
    made = [
        run("-r", card, "-o", tmp_path / "out", "--shard", f"{k}/3", "--no-restore").stdout
        for k in (1, 2, 3)
    ]
    assert "".join(made).count("\n") == 2
    assert tree(tmp_path / "out") == ["100/b é_nightfix.tif", "a_nightfix.tif"]


def test_a_share_is_told(run, card, monkeypatch):
    monkeypatch.setenv("NIGHTFIX_SHARD", "2/3")
    planned = run("-r", card, "--no-restore", "--dry-run")
    found = events(run("-r", card, "--no-restore", "--json"))
    (share,) = (event for event in found if event["event"] == "shard")
    assert (share["number"], share["count"], share["of"]) == (2, 3, 3)
    assert f"share 2/3: {share['photos']} of 3 photos" in planned.stderr
    (start,) = (event for event in found if event["event"] == "start")
    assert start["photos"] == share["photos"]
    empty = run(card / "a.dng", "--shard", "1/99", "-o", card / "out")
    assert "nothing to do: no photos in this share" in empty.stderr


def test_a_cluster_is_asked_for_only_where_there_is_work(run, card, tmp_path, monkeypatch):
    """Neither a second run nor a wrong call starts Ray; an address that is none is told."""
    nowhere = ("--engine", "ray", "--address", "127.0.0.1:1")
    assert run(card / "a.dng", "--address", "127.0.0.1:1").exit_code == 2
    run(card / "a.dng", "-o", tmp_path)
    again = run(card / "a.dng", "-o", tmp_path, *nowhere)
    assert again.exit_code == 0
    assert "already done" in again.stderr
    monkeypatch.setattr("nightfix.batch.cluster.find_spec", lambda _: None)
    missing = run("-r", card, "-o", tmp_path, *nowhere, "--json")
    assert missing.exit_code == 5
    assert [event["kind"] for event in events(missing)] == ["EngineError"]
    assert "[ray]" in missing.stderr


def test_an_engine_that_breaks_down_leaves_what_is_done(run, card, tmp_path, monkeypatch):
    from nightfix.errors import EngineError

    def enhance_many(photos, *_, **__):
        yield Outcome(path=photos[0].path, error=RawReadError(photos[0].path, "broken"))
        raise EngineError("no machine is left", "ray status")

    monkeypatch.setattr("nightfix.cli.batch.enhance_many", enhance_many)
    broken = run("-r", card, "-o", tmp_path, "--json")
    assert broken.exit_code == 5
    assert [event["event"] for event in events(broken)] == ["start", "error", "error", "end"]
    assert events(broken)[-1]["exit_code"] == 5
    assert "error: no machine is left" in broken.stderr


def test_an_interrupt_amid_a_report_still_tells_what_is_written(run, card, tmp_path, monkeypatch):
    real, told = Report.tell_result, []

    def tell_result(report, outcome):
        told.append(outcome.path.name)
        real(report, outcome)
        if len(told) == 1:
            raise KeyboardInterrupt

    (card / "100/broken.ARW").unlink()
    monkeypatch.setattr(Report, "tell_result", tell_result)
    broken = run("-r", card, "-o", tmp_path, "--jobs", "2", "--no-restore")
    assert broken.exit_code == 130
    assert len(broken.stdout.splitlines()) == len(tree(tmp_path / "100")) + len(
        [*tmp_path.glob("*.tif")]
    )


def test_the_bar_counts_the_photos_that_are_in_a_network_now(monkeypatch):
    shown = []
    with Display(Verbosity.quiet) as display:
        monkeypatch.setattr(display, "progress", lambda *counts: shown.append(counts))
        report = Report(display, 3)
        a, b, c = (Path(name) for name in "abc")
        report.progress(a, 1, 4)
        report.progress(b, 2, 2)
        report.progress(a, 2, 4)
        report.outcome(Outcome(path=a, error=RawReadError(a, "broken")))
        report.progress(c, 1, 3)
    assert shown == [(1, 4), (3, 6), (2, 4), (1, 3)]


def test_all_done_needs_no_torch(tiny_weights, card, tmp_path):
    (card / "100/broken.ARW").unlink()
    words = ["enhance", "-r", str(card), "-o", str(tmp_path), "--weights", str(tiny_weights)]
    runner.invoke(app, words)
    code = (
        "import sys\nfrom nightfix.cli import main\n"
        f"sys.argv = ['nightfix', *{words!r}]\n"
        "try:\n    main()\nexcept SystemExit as leave:\n    assert not leave.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_dry_run_writes_nothing_and_says_what_it_would(run, card, tmp_path):
    result = run("-r", card, "-o", tmp_path / "out", "--dry-run")
    assert result.exit_code == 3, "the broken one is known already"
    assert not (tmp_path / "out").exists()
    assert result.stdout == ""
    assert "a_nightfix.tif (0.0 MP, about 1 MB" in result.stderr
    assert "2 to do, 1 would fail" in result.stderr or "1 would fail, 2 to do" in result.stderr
    assert "nothing was written" in result.stderr


def test_an_empty_list_is_told(run):
    result = run("-", stdin=b"")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no photos given" in result.stderr


@pytest.mark.parametrize("separator", [b"\0", b"\n", b"\r\n"])
def test_paths_come_from_stdin(run, card, separator):
    names = [os.fsencode(card / name) for name in ("a.dng", "100/b é.dng")]
    result = run("-", stdin=separator.join(names) + separator)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="names are text there")
def test_names_that_are_no_text_come_through(tiny_weights, card):
    name = os.fsencode(card) + b"/\xff\xfe.dng"
    Path(os.fsdecode(name)).write_bytes((card / "a.dng").read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "nightfix", "enhance", "-", "--weights", str(tiny_weights)],
        input=name,
        capture_output=True,
        check=True,
    )
    assert done.stdout == name.replace(b".dng", b"_nightfix.tif\n")


def test_json_tells_all_of_a_batch(run, card, tmp_path):
    result = run("-r", card, "-o", tmp_path / "out", "--json", "--ratio", "16")
    found = events(result)
    kinds = [event["event"] for event in found]
    assert (kinds[0], kinds[-1]) == ("start", "end")
    assert {kind: kinds.count(kind) for kind in ("photo", "result", "error")} == {
        "photo": 2,
        "result": 2,
        "error": 1,
    }
    done = next(event for event in found if event["event"] == "result")
    assert done["ratio"]["value"] == 16
    assert done["steps"] == 3
    assert done["seconds"]["network"] > 0
    (output,) = done["outputs"]
    assert output["bytes"] == Path(output["path"]).stat().st_size
    failed = next(event for event in found if event["event"] == "error")
    assert (failed["kind"], failed["exit_code"]) == ("RawReadError", 3)
    end = found[-1]
    assert (end["done"], end["failed"], end["exit_code"]) == (2, 1, 3)
    assert result.exit_code == 3
    again = events(run("-r", card, "-o", tmp_path / "out", "--json", "--ratio", "16"))
    assert [event["event"] for event in again].count("skipped") == 2


@pytest.mark.parametrize("asked", [(), ("--deblur",)], ids=["found", "asked for"])
def test_a_shake_that_was_undone_is_told(run, card, tmp_path, monkeypatch, physics_alone, asked):
    stroke = torch.zeros(33, 33)
    stroke[16, 12:21] = 1 / 9
    monkeypatch.setattr("nightfix.restore.restorer.find_shake", lambda *_, **__: stroke)
    words = (card / "a.dng", "-o", tmp_path, "--ratio", "16", *asked)
    told = run(*words).stderr
    assert "note: removed camera shake of about 9 px, mostly horizontal" in told
    assert ("--no-deblur" in told) == (not asked)
    (card / "100/broken.ARW").unlink()
    assert (
        "note: b é.dng: removed camera shake"
        in run("-r", card, "-o", tmp_path / "all", *words[3:]).stderr
    )
    said = runner.invoke(app, ["info", str(tmp_path / "a_nightfix.tif")]).stdout
    assert re.search(r"camera shake: +8\.9 px removed, 0 degrees from horizontal", said)
    (result,) = (e for e in events(run(*words, "--json", "--overwrite")) if e["event"] == "result")
    assert result["shake"] == pytest.approx(9, abs=0.1)
    assert (result["steps"], result["shake_direction"]) == (3, 0)
    (result,) = (
        e
        for e in events(run(*words, "--json", "--overwrite", "--no-deblur"))
        if e["event"] == "result"
    )
    assert (result["shake"], result["notes"]) == (None, [])


@pytest.mark.parametrize(("shaken", "asked"), [(True, True), (True, False), (False, True)])
def test_the_camera_s_path_is_shown_where_asked_for(
    run, card, tmp_path, monkeypatch, physics_alone, shaken, asked
):
    stroke = torch.zeros(33, 33)
    stroke[12:21, 16] = 1 / 9
    found = stroke if shaken else None
    monkeypatch.setattr("nightfix.restore.restorer.find_shake", lambda *_, **__: found)
    run(card / "a.dng", "-o", tmp_path, "--ratio", "16", *(["--show-shake"] if asked else []))
    picture = tmp_path / "a_nightfix_shake.png"
    assert picture.exists() == (shaken and asked)
    if picture.exists():
        shown = iio.imread(picture)[..., 0]
        rows, columns = np.nonzero(shown)
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (9 * 8, 8)


def test_json_gives_the_hash_of_the_file(run, card):
    import hashlib

    found = events(run(card / "a.dng", "--json"))
    output = next(event for event in found if event["event"] == "result")["outputs"][0]
    assert output["sha256"] == hashlib.sha256(Path(output["path"]).read_bytes()).hexdigest()


def test_json_of_a_dry_run(run, card):
    found = events(run("-r", card, "--json", "-n"))
    assert sorted(event["event"] for event in found) == ["error", "planned", "planned"]


def test_json_has_errors_that_end_the_call(card):
    words = ["enhance", str(card / "a.dng"), "--weights", "nightfix-bose", "--json"]
    (event,) = events(runner.invoke(app, words))
    assert (event["path"], event["exit_code"]) == (None, 4)


@pytest.mark.parametrize("event", [{"schema": 2, "event": "end"}, {"schema": 1, "event": "done"}])
def test_the_schema_refuses_what_is_not_in_it(event):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(event, SCHEMA)


def test_quiet_says_nothing_but_errors(run, card):
    result = run("-r", card, "-q")
    assert len(result.stdout.splitlines()) == 2
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["error", "hint"]


def in_a_terminal(*words: str, stdout: IO[bytes] | None = None, **environment: str) -> str:
    """What a command shows in a terminal; its stdout may be another file."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    kept = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    subprocess.run(
        [sys.executable, "-m", "nightfix", *words],
        env={**kept, "TERM": "xterm-256color", **environment},
        stdin=subprocess.DEVNULL,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        check=False,
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # Linux ends a terminal that nobody writes to by an error
        while piece := os.read(ours, 1 << 16):
            shown += piece
    os.close(ours)
    return shown.decode()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("info", "--help"), "Usage:"),
        (("enhance", "--stepz", "2", "x.ARW"), "Usage:"),
        (("enhance", "none.ARW", "no.ARW", "--no-restore"), "no such file"),
    ],
    ids=["help", "a wrong call", "failures"],
)
def test_no_color_means_none(words, said):
    """Bold and dim are no colors: https://no-color.org."""
    colors = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3|4|9|10)[0-8][;m]")
    assert colors.search(in_a_terminal(*words))
    plain = in_a_terminal(*words, NO_COLOR="1")
    assert not colors.search(plain)
    assert said in plain


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "paths"])
def test_results_go_into_a_file_while_the_bar_is_in_the_terminal(
    tiny_weights, card, tmp_path, as_json
):
    words = ("enhance", card / "a.dng", card / "none.dng", "--weights", tiny_weights)
    with (tmp_path / "log").open("wb") as log:
        shown = in_a_terminal(*map(str, words), *["--json"] * as_json, stdout=log)
    lines = (tmp_path / "log").read_text().splitlines()
    target = str(card / "a_nightfix.tif")
    if as_json:
        kinds = [json.loads(line)["event"] for line in lines]
        assert kinds[:2] == ["start", "photo"]
        assert kinds[-3:] == ["result", "error", "end"]
    else:
        assert lines == [target]
    assert "\x1b[?25l" in shown, "the bar hides the cursor"
    assert target not in shown
    assert '"event"' not in shown


def test_a_result_has_a_line_of_its_own_in_the_terminal(tiny_weights, card):
    words = ("enhance", card / "a.dng", card / "100/b é.dng", "--weights", tiny_weights)
    shown = in_a_terminal(*map(str, words), LC_ALL="C.UTF-8")
    for name in ("a_nightfix.tif", "100/b é_nightfix.tif"):
        assert re.search(rf"(^|[\n\r]|\x1b\[2K){re.escape(str(card / name))}\r\n", shown)


def test_verbose_says_how_long_each_stage_took(run, card):
    assert "network " in run(card / "a.dng", "-v").stderr


def test_two_photos_of_one_result_are_told(run, card):
    (card / "a.NEF").write_bytes((card / "a.dng").read_bytes())
    result = run(card)
    assert result.exit_code == 6
    assert "would overwrite that of" in result.stderr
    assert result.stdout.count("\n") == 1


def test_the_first_failure_decides_the_code(run, card):
    (card / "a_nightfix.tif").write_bytes(b"precious")
    assert run(card / "a.dng", card / "none.dng").exit_code == 6
    assert run(card / "none.dng", card / "a.dng").exit_code == 3


@pytest.fixture
def started(tiny_weights):
    """Start the program in a process of its own."""
    processes = []

    def started(*arguments: object) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "nightfix", "enhance", "--weights", str(tiny_weights)]
        process = subprocess.Popen(
            [*words, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield started
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_an_interrupt_leaves_whole_results_only(started, tmp_path, synthetic_raw, number):
    card, out = tmp_path / "card", tmp_path / "out"
    card.mkdir()
    for index in range(20):
        write_dng(card / f"{index}.dng", synthetic_raw(shape=(64, 64), seed=index), restored=False)
    process = started(card, "-o", out)
    process.stdout.readline()  # the first is done
    process.send_signal(number)
    rest, said = process.communicate(timeout=600)
    assert process.returncode == 130
    assert "interrupted; finished results are kept" in said
    assert "done " in said
    told = len(rest.splitlines()) + 1
    assert told < 20
    assert len(tree(out)) == told
    assert not [name for name in tree(out) if name.startswith(".")]
    again = started(card, "-o", out)
    rest, said = again.communicate(timeout=600)
    assert again.returncode == 0
    assert len(rest.splitlines()) == 20 - told


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
def test_watching_goes_on_until_interrupted(started, card, tmp_path):
    (card / "100/broken.ARW").unlink()
    process = started("-r", card, "--watch", "-o", tmp_path / "out")
    first = {process.stdout.readline() for _ in range(2)}
    assert len(first) == 2
    (card / "later.dng").write_bytes((card / "a.dng").read_bytes())
    assert process.stdout.readline().strip().endswith("later_nightfix.tif")
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=600)
    assert process.returncode == 130
