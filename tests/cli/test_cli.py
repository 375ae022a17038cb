from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rawpy
import tifffile
import typer
from dng_files import LINEAR_RAW, DngSpec, write_test_dng
from typer.testing import CliRunner

from nightfix import __version__
from nightfix.cli.app import app
from nightfix.cli.boundary import BUG, EXIT_CODES, INTERRUPTED
from nightfix.cli.commands import Commands
from nightfix.cli.overview import COMMANDS, OPTIONS
from nightfix.read.reader import read_raw
from nightfix.write.dng import write_dng

runner = CliRunner()


@pytest.fixture
def photo(tmp_path, synthetic_raw) -> Path:
    path = tmp_path / "dark photo é.dng"
    write_dng(path, synthetic_raw(), restored=False)
    return path


@pytest.fixture
def run(tiny_weights, photo):
    def run(*arguments: object):
        words = [str(argument) for argument in arguments]
        return runner.invoke(app, ["enhance", str(photo), "--weights", str(tiny_weights), *words])

    return run


def test_a_photo_becomes_a_tiff_beside_it(run, photo):
    result = run()
    target = photo.with_name("dark photo é_nightfix.tif")
    assert result.exit_code == 0
    assert result.stdout == f"{target}\n"
    assert tifffile.imread(target).dtype == np.uint16


def test_facts_come_first_and_on_stderr(run):
    facts = run("--ratio", "16").stderr.splitlines()[0]
    words = ("Synthetic", "1/30 s", "ISO 3200", "ratio 16", "noise a", "3 steps", "cpu", "tile")
    assert [word for word in words if word not in facts] == []


def test_a_pipe_gets_no_progress_bar(run):
    assert "\x1b" not in run().stderr


@pytest.mark.parametrize("hdr", [True, False])
def test_hdr_says_whether_a_jpeg_has_light_above_white(tiny_weights, tmp_path, synthetic_raw, hdr):
    raw = synthetic_raw()
    mosaic = raw.mosaic * np.float32(0.2)
    mosaic[20:60, 20:60] = 0.9
    path = tmp_path / "lamp.dng"
    write_dng(path, replace(raw, mosaic=mosaic), restored=False)
    words = ["--ratio", "4", "--format", "jpeg", *(["--hdr"] if hdr else [])]
    result = runner.invoke(app, ["enhance", str(path), "--weights", str(tiny_weights), *words])
    assert result.exit_code == 0
    assert (b"hdrgm" in (tmp_path / "lamp_nightfix.jpg").read_bytes()) == hdr


@pytest.mark.parametrize(
    ("kind", "suffixes"),
    [
        ("tiff", {".tif"}),
        ("dng", {".dng"}),
        ("both", {".tif", ".dng"}),
        ("linear-dng", {".dng"}),
        ("both,jpeg,png,avif", {".tif", ".dng", ".jpg", ".png", ".avif"}),
    ],
)
def test_format_says_which_files_are_written(run, tmp_path, kind, suffixes):
    assert run("--format", kind, "-o", tmp_path / "out").exit_code == 0
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == suffixes


def test_without_restoring_the_dng_is_the_photo(run, photo, tmp_path):
    assert run("--no-restore", "--format", "dng", "-o", tmp_path / "out").exit_code == 0
    copy = read_raw(next((tmp_path / "out").iterdir()))
    assert np.array_equal(copy.mosaic, read_raw(photo).mosaic)


@pytest.mark.parametrize(
    "arguments",
    [("--ratio", "64"), ("--ev", "6"), ("--target-exposure", "64/30")],
    ids=lambda arguments: arguments[0],
)
def test_three_ways_to_say_the_same_ratio(run, tmp_path, arguments):
    result = run(*arguments, "--format", "dng", "-o", tmp_path / "out")
    assert "ratio 64 " in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--white-balance", "2.1,1,1.6"),
        ("--white-balance", "daylight"),
        ("--color-space", "prophoto"),
        ("--tone", "linear"),
    ],
    ids=" ".join,
)
def test_development_options_change_the_picture(run, tmp_path, arguments):
    run("--no-restore")
    run("--no-restore", "-o", tmp_path / "out", *arguments)
    plain = tifffile.imread(next(tmp_path.glob("*.tif"))).astype(int)
    other = tifffile.imread(next((tmp_path / "out").iterdir())).astype(int)
    assert np.abs(plain - other).max() > 300


WRONG_CALLS = {
    "no file": (["enhance"], 2, "files"),
    "no command": (["x.ARW", "--steps", "3"], 2, "nightfix enhance x.ARW"),
    "no command but a folder": (["."], 2, "nightfix enhance ."),
    "unknown command": (["enhanse", "x.dng"], 2, "enhance"),
    "unknown option": (["enhance", "x.dng", "--stepz", "3"], 2, "--steps"),
    "steps 0": (["enhance", "x.dng", "--steps", "0"], 2, "auto"),
    "ratio below 1": (["enhance", "x.dng", "--ratio", "0.5"], 2, "auto"),
    "ratio not a number": (["enhance", "x.dng", "--ratio", "nan"], 2, "auto"),
    "two ratios": (["enhance", "x.dng", "--ratio", "9", "--ev", "3"], 2, "one of"),
    "strength 101": (["enhance", "x.dng", "--strength", "101"], 2, "100"),
    "exposure": (["enhance", "x.dng", "--target-exposure", "soon"], 2, "soon"),
    "format": (["enhance", "x.dng", "--format", "dng,gif"], 2, "linear-dng"),
    "near format": (["enhance", "x.dng", "--format", "jpg"], 2, "mean jpeg?"),
    "no format": (["enhance", "x.dng", "--format", ""], 2, "linear-dng"),
    "one name": (["enhance", "x.dng", "--format", "dng,linear-dng"], 2, "would have the same"),
    "floats in a DNG": (["enhance", "x.dng", "--format", "dng", "--depth", "32"], 2, "tiff"),
    "HDR in a TIFF": (["enhance", "x.dng", "--hdr"], 2, "--format jpeg or avif"),
    "share of nothing": (["enhance", "x.dng", "--shard", "0/4"], 2, "counted from 1/4 to 4/4"),
    "no share": (["enhance", "x.dng", "--shard", "3"], 2, "such as 3/16"),
    "balance": (["enhance", "x.dng", "--white-balance", "red"], 2, "as-shot"),
    "balance of zero": (["enhance", "x.dng", "--white-balance", "0,1,1"], 2, "as-shot"),
    "missing file": (["enhance", "none.dng", "--no-restore"], 3, "hint:"),
    "missing info": (["info", "none.dng"], 3, "hint:"),
    "unknown weights": (["enhance", "x.dng", "--weights", "best"], 4, "nightfix-base"),
    "near weights": (["weights", "verify", "nightfix-bas"], 4, "did you mean nightfix-base?"),
    "near download": (["weights", "download", "nightfix-bas"], 4, "did you mean nightfix-base?"),
    "missing recipe": (["train", "none.toml", "--photos", ".", "--output", "run"], 3, "recipe"),
}


@pytest.mark.parametrize(("arguments", "code", "said"), WRONG_CALLS.values(), ids=WRONG_CALLS)
def test_wrong_calls_have_their_code_and_hint(arguments, code, said):
    result = runner.invoke(app, arguments)
    assert result.exit_code == code
    assert said in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_an_unknown_device_has_its_code_and_hint(run):
    result = run("--device", "tpu9")
    assert result.exit_code == 5
    assert "hint: use --device" in result.stderr


def test_a_picture_is_told_from_a_damaged_photo(tiny_weights, tmp_path):
    path = tmp_path / "picture.jpg"
    path.write_bytes(b"a picture" * 100)
    result = runner.invoke(app, ["enhance", str(path), "--weights", str(tiny_weights)])
    assert result.exit_code == 3
    assert "hint: give a camera RAW file" in result.stderr


@pytest.mark.parametrize("kind", ["file", "read-only"])
def test_a_folder_that_cannot_be_written_to_costs_no_network(run, tmp_path, monkeypatch, kind):
    folder = tmp_path / "out"
    if kind == "file":
        folder.write_text("mine")
    else:
        monkeypatch.setattr("nightfix.write.atomic.os.access", lambda path, mode: path != folder)
    monkeypatch.setattr(
        "nightfix.pipeline.photo.restore", lambda *_: pytest.fail("the network ran")
    )
    result = run("-o", folder)
    assert result.exit_code == 6
    assert f"error: {folder}" in result.stderr
    assert "hint: use -o DIR" in result.stderr


@pytest.mark.parametrize("content", [b"", b"II*\0", b"not a photo " * 100], ids=repr)
def test_files_that_are_no_photos(tiny_weights, tmp_path, content):
    path = tmp_path / "bad.dng"
    path.write_bytes(content)
    result = runner.invoke(app, ["enhance", str(path), "--weights", str(tiny_weights)])
    assert result.exit_code == 3
    assert f"error: {path}" in result.stderr
    assert "hint: " in result.stderr


def test_a_result_that_is_there_is_kept(run, photo):
    target = photo.with_name("dark photo é_nightfix.tif")
    target.write_text("precious")
    result = run()
    assert result.exit_code == 6
    assert "hint: use --overwrite" in result.stderr
    assert target.read_text() == "precious"
    assert run("--overwrite").exit_code == 0
    assert target.read_bytes()[:2] == b"II"


def test_the_photo_itself_is_never_written(run, photo):
    before = photo.read_bytes()
    result = run("--suffix", "", "--format", "dng", "--overwrite")
    assert result.exit_code == 6
    assert "the photo itself" in result.stderr
    assert "ratio" not in result.stderr, "refused before any work"
    assert photo.read_bytes() == before


def test_one_bad_file_does_not_stop_the_others(tiny_weights, photo, tmp_path):
    paths = [str(tmp_path / "none.dng"), str(photo)]
    result = runner.invoke(app, ["enhance", *paths, "--weights", str(tiny_weights)])
    assert result.exit_code == 3
    assert result.stdout.strip().endswith("_nightfix.tif")
    assert "none.dng" in result.stderr


def test_interruption_leaves_nothing_half(run, tmp_path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nightfix.write.atomic.os.link", interrupt)
    assert run().exit_code == INTERRUPTED
    assert [path.suffix for path in tmp_path.iterdir()] == [".dng"]


def test_a_bug_keeps_its_traceback(run, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("nightfix.write.formats.develop_raw", broken)
    result = run()
    assert result.exit_code == BUG
    assert "ZeroDivisionError: oops" in result.stderr


def test_debug_shows_the_traceback_of_known_errors(monkeypatch):
    monkeypatch.setenv("NIGHTFIX_DEBUG", "1")
    assert "RawReadError" in runner.invoke(app, ["info", "none.dng"]).stderr


def test_a_balance_that_is_not_known_is_told(tiny_weights, tmp_path, synthetic_raw):
    path = tmp_path / "gray.dng"
    write_dng(path, replace(synthetic_raw(), as_shot_neutral=None), restored=False)
    result = runner.invoke(app, ["enhance", str(path), "--weights", str(tiny_weights)])
    assert result.exit_code == 0
    assert "white balance" in result.stderr


def test_info_says_what_there_is(photo):
    result = runner.invoke(app, ["info", str(photo)])
    words = ("Synthetic", "1/30 s", "3200", "RGGB", "black 512", "white 16383", "NoiseProfile")
    assert result.exit_code == 0
    assert [word for word in words if word not in result.stdout] == []


@pytest.mark.parametrize("kind", ["tiff", "dng", "linear-dng", "jpeg"])
def test_info_says_how_a_result_was_made(run, tmp_path, kind):
    run("--format", kind, "-o", tmp_path / "out", "--ratio", "16", "--seed", "5", "--steps", "2")
    result = runner.invoke(app, ["info", str(next((tmp_path / "out").iterdir()))])
    assert result.exit_code == 0
    assert "restored by NightFix" in result.stdout
    assert "--ratio 16.0 --steps 2 --strength 100 --headroom 3 --seed 5" in result.stdout
    assert "tiny (SHA-256 " in result.stdout
    assert ("Synthetic" in result.stdout) == (kind in {"dng", "linear-dng"})
    assert "metered" not in result.stdout


def test_a_result_is_repeated_by_what_info_says(run, tmp_path, photo):
    run("--format", "dng", "-o", tmp_path / "one", "--ratio", "16", "--no-deblur")
    first = next((tmp_path / "one").iterdir())
    said = runner.invoke(app, ["info", str(first)]).stdout
    (line,) = (line for line in said.splitlines() if line.startswith("made with:"))
    options = line.split()[2:]
    at = options.index("--weights")
    run("--format", "dng", "-o", tmp_path / "two", *options[:at], *options[at + 2 :])
    assert np.array_equal(
        read_raw(first).mosaic, read_raw(next((tmp_path / "two").iterdir())).mosaic
    )


def test_compression_and_depth_are_passed_on(run, tmp_path):
    run("--no-restore", "--depth", "32", "--compression", "none", "-o", tmp_path / "out")
    with tifffile.TiffFile(next((tmp_path / "out").iterdir())) as file:
        page = file.pages.first
        assert (page.dtype, page.compression) == (np.float32, tifffile.COMPRESSION.NONE)


def test_dng_of_a_restored_photo_declares_its_gain(run, tmp_path):
    assert run("--format", "dng", "-o", tmp_path / "out", "--ratio", "16").exit_code == 0
    with rawpy.imread(str(next((tmp_path / "out").iterdir()))) as raw:
        assert raw.raw_image_visible.max() <= raw.white_level


@pytest.mark.parametrize("arguments", [["--help"], ["info", "PHOTO"], ["--version"]], ids=str)
def test_torch_is_not_loaded(photo, arguments):
    words = [str(photo) if word == "PHOTO" else word for word in arguments]
    code = (
        "import sys\n"
        "from nightfix.cli import main\n"
        f"sys.argv = ['nightfix', *{words!r}]\n"
        "try:\n    main()\nexcept SystemExit as leave:\n    assert not leave.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


#: What takes longer to import than all that the help of a command needs.
SLOW = ("torch", "numpy", "rich", "rawpy", "huggingface_hub", "nightfix.pipeline.photo")


@pytest.mark.parametrize("argument", ["--help", "--version", "--show-completion"])
def test_help_imports_no_command(argument):
    code = (
        "import sys\n"
        "from nightfix.cli import main\n"
        f"sys.argv = ['nightfix', {argument!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print(sorted({set(SLOW)!r} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert done.stderr.splitlines()[-1] == b"[]"


@pytest.mark.parametrize("columns", ["30", "60", "200"])
def test_the_help_comes_before_the_application_and_is_its_own(columns):
    code = (
        "import sys; from nightfix.cli import main; sys.argv[1:] = ['--help']; main()\n"
        "print('typer' in sys.modules)"
    )
    environment = os.environ | {"COLUMNS": columns}
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, check=True, capture_output=True, text=True, env=environment)
    *help_lines, typer_was_there = done.stdout.splitlines()
    assert typer_was_there == "False"
    assert (
        help_lines == runner.invoke(app, ["--help"], env={"COLUMNS": columns}).stdout.splitlines()
    )
    assert max(map(len, help_lines)) <= max(48, min(78, int(columns) - 2))


def test_without_words_the_help_is_what_was_missing():
    done = runner.invoke(app, [])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == runner.invoke(app, ["--help"]).stdout


def test_the_help_names_every_option_of_the_program():
    group = typer.main.get_command(app)
    options = {name for option in group.get_params(typer.Context(group)) for name in option.opts}
    assert options == set(OPTIONS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_says_of_a_command_what_its_own_help_begins_with(name):
    shown = runner.invoke(app, ["--help"], env={"COLUMNS": "100"})
    assert shown.exit_code == 0
    assert " ".join(f"{name} {COMMANDS[name].summary}".split()) in " ".join(shown.stdout.split())
    assert words(Commands()[name].help).startswith(COMMANDS[name].summary)
    own = runner.invoke(app, [name, "--help"], env={"COLUMNS": "100"})
    assert own.exit_code == 0
    assert COMMANDS[name].summary in words(own.stdout)


def test_a_mistyped_command_is_named():
    done = runner.invoke(app, ["enhanse"])
    assert done.exit_code == 2
    assert "enhance" in words(done.stderr)


def test_version():
    assert runner.invoke(app, ["--version"]).stdout == f"nightfix {__version__}\n"


README = Path(__file__).parents[2] / "nightfix" / "cli" / "README.md"


@pytest.mark.parametrize("family", EXIT_CODES, ids=lambda family: family.__name__)
def test_the_readme_has_every_exit_code(family):
    assert f"| {EXIT_CODES[family]} |" in README.read_text("utf-8")


def words(text: str) -> str:
    """Leave out what frames and wraps the text."""
    return " ".join("".join(" " if c in "│╭╮╰╯─`" else c for c in text).split())


def test_the_readme_s_help_is_the_program_s():
    shown = runner.invoke(
        app, ["enhance", "--help"], env={"COLUMNS": "100"}, prog_name="nightfix"
    ).stdout
    assert words(shown) in words(README.read_text("utf-8"))


def test_info_of_three_colors_a_pixel_tells_that_they_have_no_mosaic(tmp_path):
    samples = np.full((64, 64, 3), 4000, np.uint16)
    path = write_test_dng(tmp_path / "rgb.dng", DngSpec(samples, photometric=LINEAR_RAW))
    told = runner.invoke(app, ["info", str(path)]).stdout
    assert "three colors a pixel" in told
    assert "hot pixels:      not looked for" in told
