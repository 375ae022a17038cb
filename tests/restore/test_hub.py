"""Downloads by the real client, from a server on loopback that speaks as the Hub does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import Hub, serve

from nightfix.restore.hub import _headers
from nightfix.restore.weights import KNOWN_WEIGHTS, find_weights

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
    assert "--repo-id OWNER/NAME" in done.stderr


def test_a_token_goes_to_the_hub_alone(run, hub, folder):
    """The Hub sends large files from another host, by an address that is a secret itself."""
    with serve(Hub(hub.files)) as storage:
        hub.storage = storage.url
        assert download(run, HF_TOKEN="hf_secret").returncode == 0
    assert hub.tokens == ["Bearer hf_secret"]
    assert [method for method, _, _ in storage.requests] == ["GET"]
    assert storage.tokens == [""]
    assert (folder / f"{NAME}.safetensors").read_bytes() == hub.files[ROUTE]


@pytest.mark.parametrize("url", ["http://hub.example/x", "https://hub.example:81/x"])
def test_a_token_does_not_leave_the_endpoint_s_scheme_and_port(monkeypatch, url):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.example")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert "authorization" not in _headers(url)
    assert _headers("https://hub.example/x")["authorization"] == "Bearer hf_secret"


def test_more_than_was_declared_is_not_taken(run, hub, folder):
    hub.extra = bytes(1 << 20)
    done = download(run)
    assert done.returncode == 4
    assert "SHA-256" in done.stderr
    assert list(folder.iterdir()) == []


def test_a_gigantic_file_is_not_even_begun(run, hub, folder, monkeypatch):
    monkeypatch.setattr(Hub, "size", lambda self, data: 5 << 30)
    done = download(run)
    assert done.returncode == 4
    assert "too large" in done.stderr
    assert [method for method, _, _ in hub.requests] == ["HEAD"]


def test_what_is_not_weights_is_deleted(run, hub, folder):
    hub.files[ROUTE] = b"a page that says no" * 100
    done = download(run)
    assert done.returncode == 4
    assert "not a weights file" in done.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="needs a system that can refuse links")
def test_a_link_in_the_place_of_the_rest_is_not_followed(run, hub, folder, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    folder.mkdir()
    (folder / f".{NAME}-{hub.etag(hub.files[ROUTE])[:16]}.part").symlink_to(mine)
    done = download(run)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert mine.read_text() == "mine"


def test_remove_takes_one_name_s_files_alone(run, folder):
    folder.mkdir()
    names = [".mine-1234.part", ".mine-2-1234.part", "mine-2.safetensors"]
    for name in names:
        (folder / name).write_bytes(b"")
    assert run("remove", "*").returncode == 4
    assert run("remove", NAME).stdout == f"{folder / names[0]}\n"
    assert sorted(path.name for path in folder.iterdir()) == sorted(names[1:])


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", ""])
def test_a_name_is_no_path(run, hub, name):
    done = run("download", name, "--repo-id", "me/mine")
    assert done.returncode == 4
    assert "plain name" in done.stderr
    assert hub.requests == []


@pytest.mark.parametrize("words", [("download", "x"), ("download", "x", "--repo-id", "a/b/c")])
def test_wrong_names_are_told(run, words):
    done = run(*words)
    assert done.returncode == 4
    assert "--repo-id OWNER/NAME" in done.stderr


def test_the_publishing_script_checks_before_it_uploads():
    script = Path(__file__).parents[2] / "weights/publish.py"
    done = subprocess.run(
        [sys.executable, str(script), "nightfix-base", "--dry-run"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert KNOWN_WEIGHTS["nightfix-base"] in done.stdout
    assert "nightfix/nightfix-base/README.md" in done.stdout
