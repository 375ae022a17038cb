"""Restore: download weights from the Hugging Face Hub, resume broken downloads, and verify them."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlparse

from nightfix.errors import WeightsDownloadError, WeightsIntegrityError, did_you_mean
from nightfix.progress import Progress, no_progress
from nightfix.restore.weights import (
    KNOWN_WEIGHTS,
    MAX_FILE,
    REPOSITORIES,
    check_file,
    weights_folder,
)

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

#: Attempts without a byte of progress before a download is given up.
_ATTEMPTS = 4
#: Seconds between two attempts.
_PAUSE = 1.0


def download_weights(
    name: str,
    *,
    repo_id: str | None = None,
    revision: str | None = None,
    proxy: str | None = None,
    progress: Progress = no_progress,
    pause: Callable[[float], None] = time.sleep,
) -> Path:
    """Fetch weights into the user's cache.

    A download that broke off, even in an earlier call, is resumed.

    Parameters
    ----------
    name : str
        Name of the weights; the repository holds ``NAME.safetensors``.
    repo_id, revision : str or None
        Repository on the Hub, and branch, tag or commit; None takes the registry's.
    proxy : str or None
        Proxy for both kinds of request, such as ``http://proxy:3128``; None leaves it to
        the environment (``HTTPS_PROXY``, ``NO_PROXY``).
    progress : callable
        Called with bytes done and bytes in all.
    pause : callable
        Waits some seconds between two attempts.

    Returns
    -------
    Path
        The file in :func:`nightfix.restore.weights.weights_folder`.

    Raises
    ------
    WeightsDownloadError
        If the name has no repository, or it cannot be reached, or has no such file, or one that
        is not of weights or too large.
    WeightsIntegrityError
        If what came is not what was pinned; it is deleted. Of weights that are not pinned
        the Hub's own SHA-256 is taken.

    Notes
    -----
    ``HF_ENDPOINT``, ``HF_TOKEN`` and ``HF_HUB_OFFLINE`` work as they do everywhere.
    """
    known = REPOSITORIES.get(name)
    if repo_id is None and known is None:
        raise WeightsDownloadError(
            name,
            "not in the registry",
            did_you_mean(name, REPOSITORIES, "give its repository with --repo-id OWNER/NAME"),
        )
    if not name or Path(name).name != name or name.startswith("."):
        raise WeightsDownloadError(
            name,
            "not a plain name",
            "use a plain name; the repository goes into --repo-id OWNER/NAME",
        )
    repo_id, revision = repo_id or (known or ("", ""))[0], revision or (known or ("", None))[1]
    target = weights_folder() / f"{name}.safetensors"
    if name in KNOWN_WEIGHTS and target.is_file() and _sha256(target) == KNOWN_WEIGHTS[name]:
        return target
    from huggingface_hub import hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # The base of the client's own errors, of httpx or its successor.
    failures: tuple[type[BaseException], ...] = (HfHubHTTPError.__mro__[1], OSError)
    try:
        url = hf_hub_url(repo_id, target.name, revision=revision)
        with _through(proxy):
            found = _find(url)
            if (found.size or 0) > MAX_FILE:
                what = f"{found.size} bytes, too large for NightFix weights"
                raise WeightsDownloadError(name, what, "use another --repo-id OWNER/NAME")
            part = target.with_name(f".{name}-{_word(found.etag)}.part")
            part.parent.mkdir(parents=True, exist_ok=True)
            if found.etag is None:  # what is there may be of another file
                part.unlink(missing_ok=True)
            _fetch(found, part, failures, progress, pause)
    except HFValidationError as error:
        raise WeightsDownloadError(name, str(error), "--repo-id OWNER/NAME") from error
    except failures as error:
        raise _explain(name, repo_id, url, target, error) from error
    expected = KNOWN_WEIGHTS.get(name) or _hub_sha256(found.etag)
    digest = _sha256(part)
    if expected is not None and digest != expected:
        part.unlink()
        raise WeightsIntegrityError(
            target, f"the download's SHA-256 is {digest}, not {expected}; it was deleted"
        )
    try:
        check_file(part)
    except WeightsIntegrityError as error:
        part.unlink()
        what = f"the file in {repo_id} is not a weights file; it was deleted"
        raise WeightsDownloadError(name, what, "use another --repo-id OWNER/NAME") from error
    part.replace(target)
    return target


@contextmanager
def _through(proxy: str | None) -> Iterator[None]:
    """Send the Hub's client through a proxy, which it takes from its factory alone."""
    if proxy is None:
        yield
        return
    from huggingface_hub import get_session, set_client_factory

    plain = get_session()
    kind: Any = type(plain)
    settings = {"event_hooks": plain.event_hooks, "follow_redirects": True, "timeout": None}
    set_client_factory(lambda: kind(proxy=proxy, **settings))
    try:
        yield
    finally:
        set_client_factory(lambda: kind(**settings))


def _find(url: str) -> HfFileMetadata:
    from huggingface_hub import get_hf_file_metadata, get_token

    return get_hf_file_metadata(url, token=get_token())


def _fetch(
    found: HfFileMetadata,
    part: Path,
    failures: tuple[type[BaseException], ...],
    progress: Progress,
    pause: Callable[[float], None],
) -> None:
    """Append to ``part`` until it is complete; broken connections are resumed."""
    left = _ATTEMPTS
    while True:
        with open(part, "ab", opener=_no_link) as file:
            done = file.tell()
            try:
                _stream(found, file, progress)
                return
            except failures as error:
                status = getattr(getattr(error, "response", None), "status_code", 500)
                left = _ATTEMPTS if file.tell() > done else left - 1
                if left == 0 or 400 <= status < 500 or _is_offline(error):
                    raise
        pause(_PAUSE)


def _no_link(path: str, flags: int) -> int:
    """Open a file, but not through a link that somebody put in its place."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _stream(found: HfFileMetadata, file: BinaryIO, progress: Progress) -> None:
    """Append what is missing of a file, every piece as soon as it comes.

    The client's own ``http_get`` keeps nothing of a piece of 10 MB that breaks off.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import hf_raise_for_status

    if found.size is not None and file.tell() >= found.size:
        return  # all is there, or too much, which the hash will tell
    headers = _headers(found.location)
    if file.tell():
        headers["Range"] = f"bytes={file.tell()}-"
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", found.location, headers=headers, timeout=timeout) as answer:
        hf_raise_for_status(answer)
        if answer.status_code != 206:
            file.seek(0)
            file.truncate()
        for piece in answer.iter_raw():
            file.write(piece)
            progress(file.tell(), max(file.tell(), found.size or 0))
            if file.tell() > (found.size or MAX_FILE):
                return  # it may never end; the hash will tell
    if found.size is not None and file.tell() < found.size:
        raise OSError(f"{file.tell()} bytes of {found.size} came")


def _headers(url: str) -> dict[str, str]:
    """Return the headers of a request; the token goes to the Hub alone."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.utils import build_hf_headers

    same = _origin(url) == _origin(constants.ENDPOINT)
    headers = build_hf_headers(token=get_token() if same else False)
    return {**headers, "Accept-Encoding": "identity"}


def _origin(url: str) -> tuple[str, str]:
    parts = urlparse(url)
    return parts.scheme, parts.netloc


def _is_offline(error: BaseException) -> bool:
    from huggingface_hub.errors import OfflineModeIsEnabled

    return isinstance(error, OfflineModeIsEnabled)


def _explain(
    name: str, repo_id: str, url: str, target: Path, error: BaseException
) -> WeightsDownloadError:
    """Explain why a download failed, and how to do it by hand."""
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

    if isinstance(error, (RepositoryNotFoundError, EntryNotFoundError)):
        what = f"the repository {repo_id} or its file {target.name} does not exist or is not public"
        hint = "use another --repo-id OWNER/NAME; private ones need HF_TOKEN"
        return WeightsDownloadError(name, what, hint)
    lines = str(error).splitlines() or [type(error).__name__]
    why = "HF_HUB_OFFLINE is set" if _is_offline(error) else lines[0]
    hint = f"to do it by hand, download {url} elsewhere and save it as {target}"
    return WeightsDownloadError(name, f"cannot be fetched from {repo_id}: {why}", hint)


def _word(etag: str | None) -> str:
    """Return the start of an entity tag that fits into a file's name."""
    return re.sub(r"\W", "", etag or "")[:16] or "unknown"


def _hub_sha256(etag: str | None) -> str | None:
    """Return the SHA-256 by which the Hub names a large file; None of a small one."""
    return etag if etag and re.fullmatch("[0-9a-f]{64}", etag) else None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
