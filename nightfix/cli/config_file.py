"""Command line: the configuration file, with the user's own defaults and named presets."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from nightfix.errors import ConfigError, did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_PRESET = "preset"

#: Values by option name, with underscores, as the command line would be given them.
Values = dict[str, "str | bool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The contents of a configuration file.

    ``commands`` holds the values of each command's options, ``presets`` those of each name.
    """

    path: Path
    commands: dict[str, Values] = field(default_factory=dict)
    presets: dict[str, Values] = field(default_factory=dict)

    def values(self, command: str, preset: str | None) -> Values:
        """Return a command's values, those of a preset before those of its own table.

        Raises
        ------
        ConfigError
            If there is no such preset.
        """
        chosen = self.presets.get(preset, {}) if preset else {}
        if preset and preset not in self.presets:
            raise ConfigError(self.path, f"no preset {preset!r}", self._preset_hint(preset))
        return self.commands.get(command, {}) | chosen

    def _preset_hint(self, preset: str) -> str:
        if not self.presets:
            return f"add a table [{_PRESET}.{preset}] to that file"
        return did_you_mean(preset, self.presets, f"available presets: {', '.join(self.presets)}")


def config_path() -> Path:
    """Return where the configuration file is: ``NIGHTFIX_CONFIG``, else the platform's place."""
    named = os.environ.get("NIGHTFIX_CONFIG")
    return Path(named) if named else platformdirs.user_config_path("nightfix") / "config.toml"


def read_config(path: Path, known: Mapping[str, set[str]]) -> Config:
    """Read a configuration file; a missing one is empty.

    Parameters
    ----------
    path : Path
        A TOML file. ``[enhance]`` and the like hold defaults of a command's options,
        ``[preset.NAME]`` those that ``--preset NAME`` stands for.
    known : mapping of str to set of str
        Names of the options of each command that can be configured.

    Raises
    ------
    ConfigError
        If the file cannot be read, or has a table or an option that is not known.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Config(path=path)
    except OSError as error:
        raise ConfigError(path, f"cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            path, f"not a TOML file: {error}", "see toml.io, or the README"
        ) from error
    every = set().union(*known.values())
    commands, presets = {}, {}
    for name, table in tables.items():
        if name == _PRESET and isinstance(table, dict):
            presets = {preset: _values(path, preset, kept, every) for preset, kept in table.items()}
        elif name in known:
            commands[name] = _values(path, name, table, known[name])
        else:
            raise ConfigError(path, f"unknown table [{name}]", _near(name, {*known, _PRESET}))
    return Config(path=path, commands=commands, presets=presets)


def preset_names(path: Path) -> list[str]:
    """Return the names of a file's presets; none if it cannot be read."""
    try:
        return list(tomllib.loads(path.read_text("utf-8"))[_PRESET])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _values(path: Path, name: str, table: Any, known: set[str]) -> Values:
    if not isinstance(table, dict):
        raise ConfigError(path, f"{name} is not a table", f"write [{name}] on a line of its own")
    values: Values = {}
    for key, value in table.items():
        option = key.replace("-", "_")
        if option not in known:
            hint = _near(option, known).replace("_", "-")
            raise ConfigError(path, f"[{name}] {key}: no such option", hint)
        values[option] = _text(value)
    return values


def _text(value: Any) -> str | bool:
    """Return a value as the command line would be given it."""
    if isinstance(value, bool):
        return value
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _near(name: str, known: set[str]) -> str:
    return did_you_mean(name, known, f"use one of: {', '.join(sorted(known))}")
