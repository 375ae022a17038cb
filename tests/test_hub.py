"""Downloads by the real client, from a server on loopback that speaks as the Hub does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import Hub, serve

from nightfix.weights import KNOWN_WEIGHTS, find_weights

NAME = "mine"
ROUTE = f"/me/{NAME}/resolve/main/{NAME}.safetensors"
BASE_ROUTE = "/nightfix/nightfix-base/resolve/main/nightfix-base.safetensors"


@pytest.fixture
def hub(tiny_weights):
    with serve(Hub({ROUTE: tiny_weights.read_bytes()})) as hub:
        yield hub


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "weights"


@pytest.fixture
def run(hub, folder):
    """Run ``nightfix weights`` in a process, with nothing but loopback to reach."""

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
        return subprocess.run(
            [sys.executable, "-m", "nightfix", "weights", *words],
            env={
                **kept,
                "HF_ENDPOINT": hub.url,
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "NIGHTFIX_WEIGHTS_DIR": str(folder),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return run


def download(run, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("download", NAME, "--repo-id", f"me/{NAME}", "--revision", "main", **environment)


def test_weights_are_fetched_listed_used_and_removed(run, hub, folder):
    target = folder / f"{NAME}.safetensors"
    done = download(run)
    assert (done.returncode, done.stdout) == (0, f"{target}\n"), done.stderr
    assert target.read_bytes() == hub.files[ROUTE]
    assert run("path", NAME).stdout == f"{target}\n"
    assert f"{NAME}\tdownloaded\t" in run("list").stdout
    assert "not pinned" in run("verify", NAME).stdout
    assert run("remove", NAME).returncode == 0
    assert not list(folder.iterdir())
    assert run("remove", NAME).returncode == 4


def test_a_cut_connection_is_taken_up_where_it_broke(run, hub, folder):
    hub.cuts = [5000, 7000]
    assert download(run).returncode == 0
    assert (folder / f"{NAME}.safetensors").read_bytes() == hub.files[ROUTE]
    ranges = [asked for method, _, asked in hub.requests if method == "GET"]
    assert ranges == ["", "bytes=5000-", "bytes=12000-"]


def test_what_an_earlier_call_fetched_is_kept(run, hub, folder):
    folder.mkdir()
    etag = hub.etag(hub.files[ROUTE])
    (folder / f".{NAME}-{etag[:16]}.part").write_bytes(hub.files[ROUTE][:4321])
    assert download(run).returncode == 0
    assert [asked for method, _, asked in hub.requests if method == "GET"] == ["bytes=4321-"]


def test_a_wrong_hash_is_refused_and_deleted(run, hub, folder):
    hub.wrong_hash = True
    done = download(run)
    assert done.returncode == 4
    assert "SHA-256" in done.stderr
    assert list(folder.iterdir()) == []


def test_known_weights_are_held_against_their_pin(run, hub, folder):
    hub.files[BASE_ROUTE] = hub.files[ROUTE]
    done = run("download")
    assert done.returncode == 4
    assert KNOWN_WEIGHTS["nightfix-base"] in done.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.weights
def test_known_weights_come_from_the_registry_s_repository(run, hub, folder):
    hub.files[BASE_ROUTE] = find_weights("nightfix-base").read_bytes()
    hub.cuts = [9_000_000]
    assert run("download").returncode == 0
    before = len(hub.requests)
    assert run("download").returncode == 0
    assert len(hub.requests) == before, "what is there and whole is not asked for again"


@pytest.mark.parametrize("way", ["environment", "option"])
def test_a_proxy_is_used(run, hub, way):
    """The endpoint's name resolves nowhere: only through the proxy can it be reached."""
    endpoint = {"HF_ENDPOINT": "http://hub.invalid"}
    if way == "environment":
        done = download(run, HTTP_PROXY=hub.url, http_proxy=hub.url, **endpoint)
    else:
        done = run(
            *("download", NAME, "--repo-id", f"me/{NAME}", "--revision", "main"),
            *("--proxy", hub.url),
            **endpoint,
        )
    assert done.returncode == 0, done.stderr
    assert len(hub.through) == 2, "the question and the download"


def test_without_a_network_it_says_what_to_fetch_and_where_to_put_it(run, hub, folder):
    for environment in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        done = download(run, **environment)
        assert done.returncode == 4
        assert f"{NAME}.safetensors elsewhere" in done.stderr
        assert str(folder / f"{NAME}.safetensors") in done.stderr
        assert "Traceback" not in done.stderr
    assert hub.requests == []


def test_a_repository_that_is_not_there(run):
    done = run("download", NAME, "--repo-id", "me/other")
    assert done.returncode == 4
    assert "hint: --repo-id" in done.stderr


@pytest.mark.parametrize("words", [("download", "x"), ("download", "x", "--repo-id", "a/b/c")])
def test_wrong_names_are_told(run, words):
    done = run(*words)
    assert done.returncode == 4
    assert "--repo-id OWNER/NAME" in done.stderr


def test_the_publishing_script_checks_before_it_uploads():
    script = Path(__file__).parents[1] / "weights/publish.py"
    done = subprocess.run(
        [sys.executable, str(script), "nightfix-base", "--dry-run"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert KNOWN_WEIGHTS["nightfix-base"] in done.stdout
    assert "nightfix/nightfix-base/README.md" in done.stdout
