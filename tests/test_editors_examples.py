"""What is in examples/editors/ does in each editor, or as each editor calls it, what it says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nightfix.read.reader import read_raw
from nightfix.write.dng import write_dng

EDITORS = Path(__file__).parents[1] / "examples" / "editors"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")


@pytest.fixture
def photo(tmp_path, synthetic_raw) -> Path:
    path = tmp_path / "my photos" / "it's é.dng"
    path.parent.mkdir()
    write_dng(path, synthetic_raw(shape=(64, 96)), restored=False)
    return path


@pytest.fixture
def environment(tmp_path, tiny_weights) -> dict[str, str]:
    """A home with the command in it that pipx installs."""
    command = tmp_path / "home/.local/bin/nightfix"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nightfix "$@"\n')
    command.chmod(0o755)
    return {
        **os.environ,
        "HOME": str(tmp_path / "home"),
        "NIGHTFIX_WEIGHTS": str(tiny_weights),
        "NIGHTFIX_STEPS": "1",
    }


DRIVER = """
local dt = require "darktable"
local out = io.open(os.getenv("DRIVEN"), "w")
local function say(...) out:write(table.concat({...}, " "), "\\n") out:flush() end
dt.control.dispatch(function()
  local ok, why = pcall(function()
    while not dt.gui.current_view() do dt.control.sleep(100) end
    dt.gui.current_view(dt.gui.views.lighttable)
    local widgets = nightfix.widgets
    local photo = dt.database.import(os.getenv("PHOTO"))
    photo.rating = 4
    local function press()
      dt.gui.selection { photo }
      local before = #photo:get_group_members()
      widgets.button.clicked_callback(widgets.button)
      for _ = 1, 600 do
        if #photo:get_group_members() > before then break end
        dt.control.sleep(100)
      end
    end
    widgets.ratio.text = "0.5"
    local added, troubles = nightfix.restore { photo }
    say("refused", #added, troubles[1])
    widgets.ratio.text, widgets.strength.value = "16", 50
    widgets.steps.selected = 3
    press()
    widgets.strength.value = 80
    press()
    say("again", #nightfix.restore { photo })
    for _, image in ipairs(photo:get_group_members()) do
      say("member", image.filename, image.rating,
        image.id == image.group_leader.id and "leader" or "of " .. image.group_leader.filename)
    end
    say("library", #dt.database)
    local broken = dt.database.import(os.getenv("SECOND"))
    os.remove(os.getenv("SECOND"))
    added, troubles = nightfix.restore { broken }
    say("failed", #added, troubles[1])
    say("lib", tostring(dt.gui.libs.nightfix ~= nil))
  end)
  if not ok then say("trouble", tostring(why)) end
  out:close()
  os.exit(0)
end)
"""


@pytest.mark.skipif(
    not (shutil.which("darktable") and shutil.which("xvfb-run")),
    reason="needs darktable and a virtual display (xvfb)",
)
def test_darktable_restores_what_is_selected_and_groups_it(photo, environment, tmp_path):
    config = tmp_path / "darktable"
    (config / "lua").mkdir(parents=True)
    shutil.copy(EDITORS / "nightfix.lua", config / "lua")
    (config / "luarc").write_text('nightfix = require "nightfix"\n')
    (config / "darktablerc").write_text(
        "ui_last/import_last_directory=\nwrite_sidecar_files=never\n"
        f"lua/nightfix/executable={tmp_path / 'home/.local/bin/nightfix'}\n"
    )
    (config / "driver.lua").write_text(DRIVER)
    second = photo.with_name("second.dng")
    shutil.copy(photo, second)
    done = subprocess.run(
        [
            *("xvfb-run", "-a", "darktable", "--library", ":memory:"),
            *("--configdir", str(config), "--cachedir", str(tmp_path / "cache")),
            *("--luacmd", f'dofile("{config / "driver.lua"}")'),
        ],
        env=environment
        | {"DRIVEN": str(tmp_path / "driven"), "PHOTO": str(photo), "SECOND": str(second)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (tmp_path / "driven").exists(), done.stderr
    said = (tmp_path / "driven").read_text("utf-8").splitlines()
    assert said[0] == "refused 0 the ratio is 'auto' or a number of at least 1"
    members = sorted(line for line in said if line.startswith("member"))
    assert members == [
        "member it's é.dng 4 leader",
        "member it's é_nightfix.dng 4 of it's é.dng",
        "member it's é_nightfix_2.dng 4 of it's é.dng",
    ], said
    assert {"again 1", "library 3"} <= {*said}, "the same settings again add nothing"
    assert any(line.startswith("failed 0 ") and "no such file" in line for line in said), said
    assert said[-1] == "lib true"
    from nightfix.write.xmp import record_of_file

    records = [record_of_file(photo.with_name(f"it's é_nightfix{end}.dng")) for end in ("", "_2")]
    assert [(r.ratio, r.steps, r.strength, r.headroom) for r in records] == [
        (16, 2, 50, 1),
        (16, 2, 80, 1),
    ]


def lightroom(environment: dict[str, str], *paths: Path) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, str(EDITORS / "lightroom_edit_in.py"), *map(str, paths)]
    environment = environment | {"PATH": "/usr/bin:/bin"}  # as from the dock
    return subprocess.run(call, env=environment, capture_output=True, text=True, check=False)


def test_lightroom_edits_a_tiff_in_place(photo, environment, tmp_path):
    import tifffile

    picture = photo.with_name("it's é-Edit.tif")
    tifffile.imwrite(picture, shape=(64, 96, 3), dtype="uint16")
    shutil.copy(photo, photo.with_name("it's.dng"))
    before = sorted(photo.parent.iterdir())
    assert lightroom(environment, picture).returncode == 0
    assert tifffile.imread(picture).mean() > 1000, "no longer black"
    assert sorted(photo.parent.iterdir()) == before
    assert "done: " in (tmp_path / "home/nightfix-lightroom.log").read_text("utf-8")


def test_lightroom_gets_a_dng_of_each_exported_original(photo, environment):
    assert lightroom(environment, photo).returncode == 0
    assert read_raw(photo.with_name("it's é_nightfix.dng")).mosaic.shape == (64, 96)
    assert lightroom(environment, photo).returncode == 0, "done already"


def test_lightroom_is_told_what_is_missing(photo, environment, tmp_path):
    lonely = photo.with_name("another-Edit.tif")
    lonely.write_bytes(b"precious")
    assert lightroom(environment, lonely).returncode == 1
    assert lonely.read_bytes() == b"precious"
    assert "no RAW of that name" in (tmp_path / "home/nightfix-lightroom.log").read_text("utf-8")
    shutil.rmtree(tmp_path / "home/.local")
    assert lightroom(environment, photo).returncode == 1
    assert "was not found" in (tmp_path / "home/nightfix-lightroom.log").read_text("utf-8")


def bash(script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    call = ["/bin/bash", "-c", script]
    return subprocess.run(call, env=environment, capture_output=True, check=False)


@pytest.mark.parametrize(("manner", "end"), [("variables", "tif"), ("replaced", "JPG")])
def test_digikam_gets_the_file_that_it_named(photo, environment, tmp_path, manner, end):
    output = tmp_path / f"Batch Tool.digikamtempfile.{end}"
    script = (EDITORS / "digikam.sh").read_text("utf-8")
    if manner == "replaced":
        script = script.replace("$INPUT", f'"{photo}"').replace("$OUTPUT", f'"{output}"')
    else:
        environment = environment | {"INPUT": str(photo), "OUTPUT": str(output)}
    done = bash(script, environment)
    assert done.returncode == 0, done.stderr
    assert output.stat().st_size > 1000


def test_digikam_is_told_what_went_wrong(photo, environment, tmp_path):
    script = (EDITORS / "digikam.sh").read_text("utf-8")
    for source, target, code in ((photo, "x.dng", 2), (tmp_path / "none.dng", "x.tif", 3)):
        environment |= {"INPUT": str(source), "OUTPUT": str(tmp_path / target)}
        done = bash(script, environment)
        assert done.returncode == code
        assert not (tmp_path / target).exists()


def test_nautilus_restores_files_and_folders(photo, environment, tmp_path):
    other = tmp_path / "other.dng"
    shutil.copy(photo, other)
    selected = f"{photo.parent}\n{other}\n"
    environment |= {"NAUTILUS_SCRIPT_SELECTED_FILE_PATHS": selected}
    script = shutil.copy(EDITORS / "nautilus.sh", tmp_path / "NightFix")
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "2 results are there\n")
    assert photo.with_name("it's é_nightfix.tif").exists()
    assert other.with_name("other_nightfix.tif").exists()
    other.write_bytes(b"broken")
    other.with_name("other_nightfix.tif").unlink()
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "0 results are there; 1 failed\n")


@pytest.mark.skipif(not shutil.which("desktop-file-validate"), reason="needs desktop-file-utils")
def test_the_entry_of_file_managers_is_valid():
    call = ["desktop-file-validate", str(EDITORS / "nightfix.desktop")]
    assert subprocess.run(call, capture_output=True, text=True, check=False).stdout == ""
