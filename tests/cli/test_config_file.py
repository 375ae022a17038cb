from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nightfix.cli.app import app
from nightfix.cli.config_file import config_path, read_config
from nightfix.errors import ConfigError
from nightfix.write.dng import write_dng

runner = CliRunner()
SHELLS = ["bash", "zsh", "fish", "powershell", "pwsh"]
KNOWN = {"enhance": {"steps", "tone", "white_balance", "deblur"}, "preview": {"steps", "crop"}}


@pytest.fixture
def write(tmp_path, monkeypatch):
    def write(text: str):
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("NIGHTFIX_CONFIG", str(path))
        return path

    return write


def test_without_a_file_nothing_is_set(tmp_path):
    config = read_config(tmp_path / "none.toml", KNOWN)
    assert (config.commands, config.presets) == ({}, {})


def test_values_are_what_the_command_line_would_be_given(write):
    path = write("[enhance]\nsteps = 1\nwhite-balance = [2, 1, 1.5]\ndeblur = false\n")
    assert read_config(path, KNOWN).commands == {
        "enhance": {"steps": "1", "white_balance": "2,1,1.5", "deblur": False}
    }


def test_a_preset_stands_before_the_command(write):
    path = write('[enhance]\nsteps = 1\ntone = "linear"\n[preset.street]\nsteps = 2\n')
    config = read_config(path, KNOWN)
    assert config.values("enhance", "street") == {"steps": "2", "tone": "linear"}
    assert config.values("enhance", None) == {"steps": "1", "tone": "linear"}
    assert config.values("preview", "street") == {"steps": "2"}


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("[enhance]\nstepz = 1", "stepz", "steps"),
        ("[enhence]\nsteps = 1", "enhence", "enhance"),
        ("steps = 1", "[steps]", "preset"),
        ("enhance = 1", "not a table", "[enhance]"),
        ("[preset.a]\nfoo = 1", "foo", "use one of"),
        ("not toml", "not a TOML file", ""),
    ],
)
def test_a_wrong_file_is_told_with_what_is_near(write, text, said, hint):
    with pytest.raises(ConfigError) as caught:
        read_config(write(text), KNOWN)
    assert said in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("asked", "hint"), [("stret", "street"), ("zzz", "available presets: street")]
)
def test_an_unknown_preset_names_the_known_ones(write, asked, hint):
    config = read_config(write("[preset.street]\nsteps = 2\n"), KNOWN)
    with pytest.raises(ConfigError) as caught:
        config.values("enhance", asked)
    assert hint in caught.value.hint


def test_the_platform_s_place_is_the_user_s(monkeypatch):
    monkeypatch.delenv("NIGHTFIX_CONFIG", raising=False)
    assert config_path().name == "config.toml"
    assert "nightfix" in config_path().parts[-2]


@pytest.fixture
def facts(tmp_path, synthetic_raw, tiny_weights, monkeypatch):
    """Run enhance and return the line of facts, which says how many steps were taken."""
    photo = tmp_path / "p.dng"
    write_dng(photo, synthetic_raw(shape=(32, 48)), restored=False)

    def facts(*arguments: str, **environment: str) -> str:
        result = runner.invoke(
            app,
            ["enhance", str(photo), "--weights", str(tiny_weights), "--overwrite", *arguments],
            env=environment,
        )
        assert result.exit_code == 0, result.stderr
        return result.stderr

    return facts


def test_options_stand_above_environment_above_file_above_default(write, facts):
    assert "; 3 steps" in facts()
    write("[enhance]\nsteps = 4\n[preset.two]\nsteps = 2\n")
    assert "; 4 steps" in facts()
    assert "; 2 steps" in facts("--preset", "two")
    assert "; 2 steps" in facts(NIGHTFIX_PRESET="two")
    assert "; 5 steps" in facts("--preset", "two", NIGHTFIX_STEPS="5")
    assert "; 1 step," in facts("--preset", "two", "--steps", "1", NIGHTFIX_STEPS="5")


def test_a_value_of_the_file_is_checked_like_an_option(write, tmp_path):
    write("[enhance]\nstrength = 200\n")
    result = runner.invoke(app, ["enhance", "x.dng"])
    assert result.exit_code == 2
    assert "--strength" in result.stderr


def test_a_wrong_file_is_a_wrong_call(write):
    write("[enhance]\nstepz = 1\n")
    result = runner.invoke(app, ["enhance", "x.dng"])
    assert result.exit_code == 2
    assert "did you mean steps?" in result.stderr


def test_the_readme_s_example_is_right(write):
    readme = (Path(__file__).parents[2] / "nightfix" / "cli" / "README.md").read_text("utf-8")
    write(readme.split("```toml\n")[1].split("```")[0])
    shown = runner.invoke(app, ["config", "show", "--preset", "street"])
    assert shown.exit_code == 0, shown.stderr
    assert "chroma = 100  # configuration file or preset" in shown.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("nightfix enhance --pre", "--preset"),
        ("nightfix enhance --preset str", "street"),
        ("nightfix enhance --weights night", "nightfix-base"),
        ("nightfix weights down", "download"),
    ],
)
@pytest.mark.parametrize("shell", SHELLS)
def test_shells_complete(write, words, expected, shell):
    write("[preset.street]\nsteps = 1\n")
    environment = {
        "_NIGHTFIX_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_WORD_TO_COMPLETE": words.split()[-1],
    }
    shown = runner.invoke(app, [], env=environment, prog_name="nightfix")
    assert expected in shown.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_have_a_script(shell):
    """As if the shell had been found: it is by the name of the process that calls."""
    found = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = subprocess.run(
        [sys.executable, "-m", "nightfix", "--show-completion", shell],
        env={**os.environ, **found},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"complete_{'powershell' if shell == 'pwsh' else shell}" in shown.stdout
    assert "_NIGHTFIX_COMPLETE" in shown.stdout


def test_help_needs_no_right_file(write):
    write("nonsense")
    assert runner.invoke(app, ["enhance", "--help"]).exit_code == 0
    assert runner.invoke(app, ["config", "path"]).exit_code == 0


def test_show_tells_what_is_set_and_by_what(write, monkeypatch):
    path = write('[enhance]\nsteps = 1\n[preset.street]\nstrength = 70\ntone = "linear"\n')
    monkeypatch.setenv("NIGHTFIX_TILE", "512")
    shown = runner.invoke(app, ["config", "show", "--preset", "street"]).stdout
    lines = shown.splitlines()
    assert lines[0] == f"# {path}"
    assert "steps = 1  # configuration file or preset" in lines
    assert "strength = 70  # configuration file or preset" in lines
    assert "tile = 512  # environment" in lines
    assert lines[lines.index("[preset.street]") + 1] == "strength = 70"
    assert "seed" not in shown
