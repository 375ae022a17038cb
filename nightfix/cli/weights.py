"""Command line: ``nightfix weights``."""

from __future__ import annotations

from typing import Annotated

import typer

from nightfix.cli.console import Display, megabytes
from nightfix.errors import WeightsNotFoundError
from nightfix.restore import (
    DEFAULT_WEIGHTS,
    KNOWN_WEIGHTS,
    REPOSITORIES,
    downloaded_weights,
    find_weights,
    verify_weights,
    weights_folder,
)

weights = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="List, fetch, check and remove weights. The default ones come with the package.",
    rich_markup_mode="rich",
)

NameArgument = Annotated[str, typer.Argument(metavar="[NAME]", help="Name of the weights.")]


@weights.command("list")
def list_weights() -> None:
    """List the weights: name, where they are, size, file or repository, separated by tabs.

    Example: nightfix weights list
    """
    for name in sorted({*KNOWN_WEIGHTS, *downloaded_weights()}):
        try:
            path = find_weights(name)
        except WeightsNotFoundError:
            print(name, "not here", "", REPOSITORIES[name][0], sep="\t")
            continue
        where = "downloaded" if path.parent == weights_folder() else "package"
        print(name, where, megabytes(path.stat().st_size), path, sep="\t")


@weights.command()
def download(
    name: NameArgument = DEFAULT_WEIGHTS,
    repo_id: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="Repository on the Hub. (default: the registry's)"),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="REF", help="Branch, tag or commit of it.")
    ] = None,
    proxy: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Proxy. (default: HTTPS_PROXY of the environment)"),
    ] = None,
) -> None:
    """Fetch weights from the Hugging Face Hub into the user's cache and check them.

    Example: nightfix weights download nightfix-base
    """
    from nightfix.restore import download_weights

    with Display(task=f"fetching {name}") as display:
        path = download_weights(
            name, repo_id=repo_id, revision=revision, proxy=proxy, progress=display.progress
        )
    print(path)


@weights.command()
def verify(
    name: Annotated[
        str, typer.Argument(metavar="[NAME|PATH]", help="Name or file of the weights.")
    ] = DEFAULT_WEIGHTS,
) -> None:
    """Read weights completely and check them against their pinned SHA-256.

    Example: nightfix weights verify
    """
    path, info = verify_weights(name)
    pinned = "as pinned" if name in KNOWN_WEIGHTS else "not pinned"
    print(path, f"sha256 {info.sha256} ({pinned})", info.license, sep="\t")


@weights.command()
def path(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Weights. (default: the folder of downloads)"),
    ] = None,
) -> None:
    """Print the file of weights, or the folder that downloads go to.

    Example: nightfix weights path nightfix-base
    """
    print(weights_folder() if name is None else find_weights(name))


@weights.command()
def remove(
    name: Annotated[str, typer.Argument(help="Name of downloaded weights.", show_default=False)],
) -> None:
    """Remove downloaded weights, and what unfinished downloads left behind.

    Example: nightfix weights remove nightfix-base
    """
    rests = [
        path
        for path in weights_folder().glob(".*.part")
        if path.stem[1:].rpartition("-")[0] == name
    ]
    files = [path for key, path in downloaded_weights().items() if key == name] + rests
    if not files:
        raise WeightsNotFoundError(name, sorted(downloaded_weights()))
    for file in files:
        file.unlink()
        print(file)
