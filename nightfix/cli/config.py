"""Command line: ``nightfix config``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nightfix.cli.config_file import config_path, read_config
from nightfix.cli.options import configurable

config = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Show where the configuration file is, and what is set.",
    rich_markup_mode="rich",
)

#: What can set an option beside the command line, in the order of precedence.
_SOURCES = {"ENVIRONMENT": "environment", "DEFAULT_MAP": "configuration file or preset"}


@config.command("path")
def print_path() -> None:
    """Print where the configuration file is, or would be.

    Example: $EDITOR "$(nightfix config path)"
    """
    print(config_path())


@config.command("show")
def show_config(
    ctx: typer.Context,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Include the options of this preset.")
    ] = None,
) -> None:
    """Show every option that is set by the file, a preset or the environment.

    Example: nightfix config show --preset street
    """
    root = ctx.find_root()
    known = configurable(root.command)
    chosen = read_config(config_path(), known)
    commands = {name: _set(root, name, preset) for name in known}
    print(f"# {chosen.path}" + ("" if chosen.path.exists() else " (not there)"))
    for name, options in commands.items():
        print(f"\n[{name}]")
        for key, value, source in options:
            print(f"{key.replace('_', '-')} = {_toml(value)}  # {source}")
    for name, values in chosen.presets.items():
        print(f"\n[preset.{name}]")
        for key, value in values.items():
            print(f"{key.replace('_', '-')} = {_toml(value)}")


def _set(root: Any, name: str, preset: str | None) -> list[tuple[str, Any, str]]:
    """Return name, value and source of the options of a command that are not as by default."""
    command: Any = root.command.commands[name]
    arguments = ["-"] + (["--preset", preset] if preset else [])
    ctx = command.make_context(name, arguments, parent=root)
    sources = {key: ctx.get_parameter_source(key).name for key in ctx.params}
    return [
        (key, value, _SOURCES[sources[key]])
        for key, value in ctx.params.items()
        if sources[key] in _SOURCES
    ]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value:g}"
    if isinstance(value, tuple):
        return str(list(value))
    try:
        return f"{float(value):g}"  # a preset's value is the text that the option will be given
    except (TypeError, ValueError):
        pass
    return '"' + str(getattr(value, "value", value)).replace("\\", "\\\\") + '"'
