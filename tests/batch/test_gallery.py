"""The page of a batch: what is on it, and how it behaves in a browser."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from PIL import Image
from typer.testing import CliRunner

from nightfix.batch.gallery_page import Entry, page
from nightfix.cli.app import app
from nightfix.write.dng import write_dng

in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

#: A name that would be a script, an attribute and an address where it is not escaped.
EVIL = 'x:<img src=x onerror="document.title=1">\'&amp;%41.dng'


@pytest.fixture
def card(tmp_path, synthetic_raw) -> Path:
    root = tmp_path / "card"
    for number, name in enumerate(("a.dng", "100/b é.dng", "100/c.dng")):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = synthetic_raw(shape=(96, 128), seed=number, ratio=4.0**number)
        write_dng(path, raw, restored=False)
    (root / "100/broken.ARW").write_bytes(b"broken")
    return root


@pytest.fixture
def run(tiny_weights, card, tmp_path):
    def run(*words: object):
        where = ("-r", card, "-o", tmp_path / "out", "--gallery", tmp_path / "out/index.html")
        call = ["enhance", *map(str, (*where, "--weights", tiny_weights, "--steps", 1, *words))]
        return CliRunner().invoke(app, call)

    return run


def cards(text: str) -> list[str]:
    return re.findall(r"<article .*?</article>", text, re.S)


def picture(tmp_path: Path, card: str, what: str) -> np.ndarray:
    (start,) = re.findall(r'data-pictures="([^"]*)"', card)
    with Image.open(tmp_path / "out" / f"{start}-{what}.webp") as image:
        return np.asarray(image.convert("RGB")).astype(float)


def test_all_photos_are_on_the_page(run, tmp_path):
    done = run("--ratio", 16)
    text = (tmp_path / "out/index.html").read_text("utf-8")
    a, b, broken, c = cards(text)  # in the order of folders and names
    assert "gallery of 4 photos: " in done.stderr
    assert [re.search('data-outcome="(.*?)"', one)[1] for one in (a, b, broken, c)] == [
        "done",
        "done",
        "failed",
        "done",
    ]
    assert 'data-folder="100"' in b
    assert "b é.dng" in b
    for fact in ("NightFix Synthetic", "1/30 s", "ISO 3200", "+4.0 EV", "16 times, 4.0 stops"):
        assert fact in b
    assert 'href="./100/b%20%C3%A9_nightfix.tif"' in b
    assert "damaged" in broken
    assert "index_files" not in broken
    before, after = (picture(tmp_path, b, f"card-{side}") for side in ("before", "after"))
    assert before.shape == after.shape == (96, 128, 3)
    assert before.mean() == pytest.approx(after.mean(), rel=0.1), "amplified alike"
    assert before.mean() > 40


def test_nothing_is_fetched_from_anywhere(run, tmp_path):
    run("--no-restore")
    text = (tmp_path / "out/index.html").read_text("utf-8")
    links = re.findall(r'(?:src|href|data-pictures)="([^"]*)"', text)
    assert links
    assert {link[:2] for link in links if link} <= {"./", "da"}
    assert "http:" not in text
    assert "https:" not in text
    assert "default-src 'none'" in text


def test_a_second_run_shows_what_was_done_before_and_makes_no_picture_anew(run, tmp_path):
    run()
    pictures = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/index_files/*")}
    assert len(pictures) == 3 * 7
    before = (tmp_path / "out/index.html").read_text("utf-8")
    run()
    text = (tmp_path / "out/index.html").read_text("utf-8")
    assert "".join(cards(text)).count('data-outcome="skipped"') == 3
    assert all(path.stat().st_mtime_ns == then for path, then in pictures.items())
    assert re.findall("<li>.*?</li>", text) == re.findall("<li>.*?</li>", before)
    run("--overwrite", "--ratio", 2)
    assert all(path.stat().st_mtime_ns > then for path, then in pictures.items())


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b"\xff"], ids=repr)
def test_what_is_kept_may_be_damaged(run, tmp_path, damage):
    run("--no-restore")
    for kept in tmp_path.glob("out/index_files/*.json"):
        kept.write_bytes(damage)
    run("--no-restore")
    assert (tmp_path / "out/index.html").read_text("utf-8").count('data-pictures="./') == 3


@pytest.mark.parametrize(
    "words",
    [
        ("--format", "tiff"),
        ("--format", "tiff", "--depth", "32"),
        ("--format", "tiff", "--tone", "linear", "--white-balance", "2,1,2"),
        ("--format", "jpeg", "--color-space", "display-p3"),
        ("--format", "png"),
        ("--format", "avif"),
        ("--format", "jpeg", "--hdr"),
        ("--format", "avif", "--hdr", "--tone", "linear"),
        ("--format", "avif", "--hdr", "--tone", "linear", "--color-space", "display-p3"),
        ("--format", "dng", "--tone", "linear"),
        ("--format", "linear-dng"),
        ("--format", "tiff,dng"),
    ],
    ids=" ".join,
)
def test_before_and_after_are_developed_alike(run, tmp_path, words):
    """Without restoring they are the same picture."""
    run("--no-restore", *words)
    first = cards((tmp_path / "out/index.html").read_text("utf-8"))[0]
    for kind in ("card", "view", "detail"):
        before, after = (picture(tmp_path, first, f"{kind}-{side}") for side in ("before", "after"))
        assert before.shape == after.shape
        assert np.abs(before - after).mean() < 2, kind
        assert before.mean() > 10


def test_pictures_have_the_color_space_of_the_results(run, tmp_path):
    from PIL import ImageCms

    run("--no-restore", "--color-space", "adobe-rgb")
    with Image.open(next(tmp_path.glob("out/index_files/*.webp"))) as image:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    assert "Adobe" in ImageCms.getProfileDescription(profile)


def test_a_page_of_somebody_else_is_kept(run, tmp_path):
    (tmp_path / "out").mkdir()
    mine = tmp_path / "out/index.html"
    mine.write_text("<h1>mine</h1>")
    refused = run("--no-restore")
    assert refused.exit_code == 6
    assert "--overwrite" in refused.stderr
    assert mine.read_text() == "<h1>mine</h1>"
    assert not list(tmp_path.glob("out/*.tif")), "told before any work"
    run("--no-restore", "--overwrite")
    assert "NightFix gallery" in mine.read_text("utf-8")


def test_a_dry_run_makes_no_page(run, tmp_path):
    run("--no-restore", "-n")
    assert not (tmp_path / "out").exists()


def test_json_tells_of_the_page(run, tmp_path):
    lines = run("--no-restore", "--json").stdout.splitlines()
    *_, told, end = map(json.loads, lines)
    assert (told["event"], told["photos"], end["event"]) == ("gallery", 4, "end")
    assert told["path"] == str(tmp_path / "out/index.html")


def test_a_page_needs_the_name_of_one(run):
    refused = run("--gallery", "out/index.txt")
    assert refused.exit_code == 2
    assert "out/index.html" in refused.stderr


def test_an_interrupt_leaves_a_page_of_what_was_done(run, tmp_path, monkeypatch):
    from nightfix.batch import runner

    calls = []
    restore = runner.restore

    def interrupted(*words):
        calls.append(words)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return restore(*words)

    monkeypatch.setattr(runner, "restore", interrupted)
    assert run("--no-restore").exit_code == 130
    text = (tmp_path / "out/index.html").read_text("utf-8")
    assert len(cards(text)) == len(list(tmp_path.glob("out/**/*.tif"))) + text.count('trouble">')


def test_photos_whose_pictures_cannot_be_made_stay_on_the_page(run, tmp_path, monkeypatch):
    from nightfix.errors import RawReadError

    def refuse(path, output, options):
        raise RawReadError(path, "gone <again>")

    monkeypatch.setattr("nightfix.batch.gallery.before_after", refuse)
    assert run("--no-restore").exit_code == 3, "of the broken one"
    text = (tmp_path / "out/index.html").read_text("utf-8")
    assert text.count("gone &lt;again&gt;") == 3


@pytest.fixture(scope="module")
def browser():
    with Browser() as one:
        yield one


@pytest.fixture
def opened(run, card, tmp_path, browser):
    if sys.platform != "win32":
        (card / "a.dng").rename(card / EVIL)
    run("--ratio", 16)
    browser.requests.clear()
    browser.troubles.clear()
    browser.open(tmp_path / "out/index.html")
    yield browser
    assert browser.troubles == []
    assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []


#: Places on the page that scripts of these tests ask for.
FIRST = "document.querySelector('.card .pair')"
BOX = "(b => [b.left, b.top, b.width, b.height])({}.getBoundingClientRect())"
AT = "getComputedStyle({}).getPropertyValue('--at')"
LARGE = "document.querySelector('#large-pair')"
SHOWN = "[...document.querySelectorAll('.card:not([hidden])')].map(c => c.dataset.order).join()"


def pixel(browser: Browser, tmp_path: Path, x: float, y: float) -> np.ndarray:
    browser.screenshot(tmp_path / "shot.png")
    with Image.open(tmp_path / "shot.png") as shot:
        return np.asarray(shot.convert("RGB"))[int(y) - 3 : int(y) + 3, int(x) - 3 : int(x) + 3]


@in_a_browser
def test_the_slider_follows_mouse_and_keys_and_uncovers_the_photo(opened, tmp_path):
    opened.wait_for("[...document.images].every(i => i.complete && i.naturalWidth || !i.src)")
    left, top, width, height = opened.run(BOX.format(FIRST))
    opened.run("document.querySelector('.card .before').style.filter = 'invert(1)'")
    x, y = left + 0.6 * width, top + 0.3 * height
    after = pixel(opened, tmp_path, x, y)
    opened.drag(left + width / 2, top + height / 2, left + 0.8 * width)
    assert float(opened.run(AT.format(FIRST))) == pytest.approx(80, abs=1)
    assert np.abs(pixel(opened, tmp_path, x, y).astype(int) - after).mean() > 20, "before is there"
    for _ in range(5):
        opened.press("ArrowLeft", 37)
    assert float(opened.run(AT.format(FIRST))) == pytest.approx(75, abs=1)
    opened.press("Home", 36)
    assert opened.run(AT.format(FIRST)) == "0"
    assert np.array_equal(pixel(opened, tmp_path, x, y), after)


@in_a_browser
def test_names_are_text_and_no_more(opened):
    assert opened.run("document.title") == "card"
    assert opened.run("document.scripts.length") == 1
    assert opened.run("document.querySelectorAll('.card').length") == 4
    if sys.platform != "win32":
        names = "[...document.querySelectorAll('.card .name')].map(n => n.textContent)"
        assert EVIL in opened.run(names)
    link = "[...document.querySelectorAll('.card a')].map(a => a.href)"
    from urllib.parse import unquote, urlparse

    for address in opened.run(link):
        assert Path(unquote(urlparse(address).path)).is_file(), address


@in_a_browser
def test_photos_are_filtered_found_and_sorted(opened):
    shown = opened.run(SHOWN)
    assert sorted(shown.split(",")) == ["0", "1", "2", "3"]
    opened.run("document.querySelector('.chip.failed').click()")
    assert len(opened.run(SHOWN).split(",")) == 3
    opened.run("folder.value = '100'; folder.dispatchEvent(new Event('change'))")
    assert len(opened.run(SHOWN).split(",")) == 2
    assert opened.run("document.querySelector('#shown').textContent") == "2 of 4"
    opened.run("find.value = 'B É'; find.dispatchEvent(new Event('input'))")
    assert len(opened.run(SHOWN).split(",")) == 1
    opened.run("find.value = 'no such'; find.dispatchEvent(new Event('input'))")
    assert opened.run("document.querySelector('#nothing').hidden") is False
    opened.run("location.reload()")
    opened.wait_for("document.readyState === 'complete' && folder.value === ''")
    opened.run("sort.value = 'outcome'; sort.dispatchEvent(new Event('change'))")
    first = "document.querySelector('.card').dataset.outcome"
    assert opened.run(first) == "failed"
    for order in ("taken", "ratio", "seconds", "order"):
        opened.run(f"sort.value = '{order}'; sort.dispatchEvent(new Event('change'))")
    assert opened.run(SHOWN) == "0,1,2,3"


@in_a_browser
def test_a_photo_is_opened_large_with_its_facts(opened):
    opened.run("document.querySelector('button.name').click()")
    opened.wait_for("document.querySelector('dialog').open")
    whole = "document.querySelector('#large-pair .after').src.includes('-view-')"
    assert opened.run(whole)
    assert "NightFix Synthetic" in opened.run("document.querySelector('aside dl').textContent")
    opened.press("ArrowRight", 39)
    assert float(opened.run(AT.format(LARGE))) == 51
    name = "document.querySelector('aside h2').textContent"
    first = opened.run(name)
    opened.press("n", 78, "n")
    assert opened.run(name) != first
    opened.press("p", 80, "p")
    assert opened.run(name) == first
    opened.press("z", 90, "z")
    assert not opened.run(whole)
    opened.wait_for("document.querySelector('#large-pair .after').naturalWidth > 0")
    opened.press("Escape", 27)
    opened.wait_for("!document.querySelector('dialog').open")


@in_a_browser
def test_the_slider_follows_a_finger(run, tmp_path):
    run("--no-restore")
    with Browser(width=420, height=800, touch=True) as phone:
        phone.open(tmp_path / "out/index.html")
        left, top, width, height = phone.run(BOX.format(FIRST))
        assert width < 420
        phone.swipe(left + width / 2, top + height / 2, left + 0.2 * width)
        assert float(phone.run(AT.format(FIRST))) == pytest.approx(20, abs=6)
        assert phone.run("document.documentElement.scrollWidth") <= 420
        assert phone.troubles == []


@in_a_browser
def test_five_hundred_photos_load_only_what_is_seen(tmp_path, browser):
    folder = tmp_path / "index_files"
    folder.mkdir()
    rng = np.random.default_rng(2)
    for number in range(500):
        samples = rng.integers(0, 255, (8, 12, 3), np.uint8)
        for side in ("before", "after"):
            Image.fromarray(samples).save(folder / f"{number}-card-{side}.webp")
    entries = [
        Entry(path=tmp_path / f"{n % 9}/{n}.ARW", outcome="done", pictures=f"index_files/{n}")
        for n in range(500)
    ]
    path = tmp_path / "index.html"
    path.write_text(page(entries, path), "utf-8")
    browser.requests.clear()
    browser.open(path)
    browser.wait_for("document.querySelector('.card img').complete")
    assert browser.run("document.querySelectorAll('.card').length") == 500
    assert len([url for url in browser.requests if url.endswith(".webp")]) < 400
    browser.run("window.scrollTo(0, document.body.scrollHeight)")
    browser.wait_for("document.querySelector('.card:last-child img').naturalWidth > 0")
    assert browser.troubles == []
