from __future__ import annotations

import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from nightfix.batch import runner as batch
from nightfix.batch.planning import plan, seconds_per_pixel, with_sizes
from nightfix.batch.runner import enhance_many, without_clashes
from nightfix.batch.sources import Photo
from nightfix.batch.watching import watch
from nightfix.condition import ExposureTarget
from nightfix.errors import NightFixError, OutputClashError, OutputExistsError, RawReadError
from nightfix.pipeline.photo import EnhanceOptions, enhance
from nightfix.write.dng import write_dng
from nightfix.write.formats import FORMATS, WriteOptions


@pytest.fixture
def photos(tmp_path, synthetic_raw) -> list[Path]:
    paths = [tmp_path / f"p{number}.dng" for number in range(5)]
    for number, path in enumerate(paths):
        write_dng(path, synthetic_raw(shape=(32, 48), seed=number), restored=False)
    return paths


@pytest.fixture
def options(tmp_path) -> EnhanceOptions:
    return EnhanceOptions(output=tmp_path / "out")


def results(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_photo_comes_back_in_order(photos, options, tiny_restorer, jobs):
    photos[1].write_bytes(b"broken")
    outcomes = list(enhance_many(photos, options, restorer=tiny_restorer, jobs=jobs))
    assert [outcome.path for outcome in outcomes] == photos
    assert [type(outcome.error) for outcome in outcomes] == [
        type(None),
        RawReadError,
        *[type(None)] * 3,
    ]
    assert results(options.output) == [f"p{number}_nightfix.tif" for number in (0, 2, 3, 4)]


def test_a_second_run_has_nothing_to_do(photos, options, tiny_restorer):
    first = list(enhance_many(photos, options, restorer=tiny_restorer))
    before = {path: path.stat().st_mtime_ns for path in options.output.iterdir()}
    second = list(enhance_many(photos, options, restorer=tiny_restorer))
    assert not any(outcome.result.skipped for outcome in first)
    assert all(outcome.result.skipped for outcome in second)
    assert before == {path: path.stat().st_mtime_ns for path in options.output.iterdir()}


def test_only_what_is_incomplete_or_missing_is_made_again(photos, options, tiny_restorer):
    list(enhance_many(photos, options, restorer=tiny_restorer))
    incomplete, gone, kept = (options.output / f"p{number}_nightfix.tif" for number in range(3))
    whole = incomplete.read_bytes()
    incomplete.write_bytes(whole[: len(whole) // 2])
    gone.unlink()
    again = list(enhance_many(photos, options, restorer=tiny_restorer))
    assert [outcome.result.skipped for outcome in again] == [False, False, True, True, True]
    assert incomplete.read_bytes() == whole
    assert gone.exists()
    assert kept.exists()


def test_a_missing_format_is_added(photos, options, tiny_restorer):
    list(enhance_many(photos[:1], options, restorer=tiny_restorer))
    both = EnhanceOptions(output=options.output, formats=("tiff", "dng"))
    (outcome,) = enhance_many(photos[:1], both, restorer=tiny_restorer)
    assert [path.suffix for path in outcome.result.outputs] == [".dng"]


def test_results_of_other_settings_are_kept_and_told(photos, options, tiny_restorer):
    list(enhance_many(photos[:1], options, restorer=tiny_restorer))
    other = EnhanceOptions(output=options.output, exposure=ExposureTarget(ratio=3))
    (outcome,) = enhance_many(photos[:1], other, restorer=tiny_restorer)
    assert isinstance(outcome.error, OutputExistsError)
    assert "other settings" in outcome.error.message
    overwrite = EnhanceOptions(
        output=options.output, exposure=ExposureTarget(ratio=3), overwrite=True
    )
    (outcome,) = enhance_many(photos[:1], overwrite, restorer=tiny_restorer)
    assert outcome.error is None


def test_an_overlap_of_network_reading_and_writing(photos, options, tiny_restorer, monkeypatch):
    """While photo 1 is in the network, photo 2 is read and photo 0 written."""
    events: list[str] = []
    met = threading.Barrier(2, timeout=600)
    real = {name: getattr(batch, name) for name in ("prepare", "restore", "write")}

    def prepare(path, *rest):
        events.append(f"read {path.stem}")
        if path.stem == "p2":
            met.wait()
        return real["prepare"](path, *rest)

    def restore(prepared, *rest):
        if prepared.raw.path.stem == "p1":
            met.wait()  # goes on only if photo 2 is being read meanwhile
        return real["restore"](prepared, *rest)

    def write(prepared):
        events.append(f"write {prepared.raw.path.stem}")
        return real["write"](prepared)

    for name, replacement in (("prepare", prepare), ("restore", restore), ("write", write)):
        monkeypatch.setattr(batch, name, replacement)
    outcomes = list(enhance_many(photos[:3], options, restorer=tiny_restorer))
    assert all(outcome.error is None for outcome in outcomes)
    assert events == ["read p0", "read p1", "write p0", "read p2", "write p1", "write p2"]


def test_what_is_written_during_an_interrupt_is_told(photos, options, tiny_restorer, monkeypatch):
    real = batch.write

    def write(prepared):
        signal.raise_signal(signal.SIGINT)  # the main thread waits for this very photo
        time.sleep(0.2)
        return real(prepared)

    monkeypatch.setattr(batch, "write", write)
    outcomes = []
    with pytest.raises(KeyboardInterrupt):
        for outcome in enhance_many(photos[:1], options, restorer=tiny_restorer):
            outcomes.append(outcome.result)
    assert [result.path for result in outcomes] == photos[:1]
    assert results(options.output) == ["p0_nightfix.tif"]


@pytest.mark.parametrize("bound", [(1, 2), (2, 5)], ids=str)
def test_memory_is_bounded_whatever_the_number(photos, options, tiny_restorer, monkeypatch, bound):
    jobs, held = bound
    alive = 0
    most = 0
    lock = threading.Lock()
    real_prepare, real_write = batch.prepare, batch.write

    def prepare(*arguments):
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return real_prepare(*arguments)

    def write(prepared):
        nonlocal alive
        try:
            return real_write(prepared)
        finally:
            with lock:
                alive -= 1

    monkeypatch.setattr(batch, "prepare", prepare)
    monkeypatch.setattr(batch, "write", write)
    list(enhance_many(photos, options, restorer=tiny_restorer, jobs=jobs))
    assert most <= held


def test_an_interrupt_leaves_what_is_done(photos, options, tiny_restorer, monkeypatch):
    real, count = batch.restore, 0

    def restore(*arguments):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(batch, "restore", restore)
    done = []
    with pytest.raises(KeyboardInterrupt):
        for outcome in enhance_many(photos, options, restorer=tiny_restorer):
            done.append(outcome.path.stem)
    assert done == ["p0", "p1"]
    assert results(options.output) == ["p0_nightfix.tif", "p1_nightfix.tif"]


def test_a_bug_is_not_swallowed(photos, options, tiny_restorer, monkeypatch):
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("nightfix.write.formats.develop_raw", broken)
    with pytest.raises((ZeroDivisionError, TypeError)):
        list(enhance_many(photos, options, restorer=tiny_restorer))


def test_the_tree_is_mirrored(photos, options, tiny_restorer):
    photo = Photo(path=photos[0], folder=Path("2026/night"))
    (outcome,) = enhance_many([photo], options, restorer=tiny_restorer)
    assert outcome.result.outputs == (options.output / "2026/night/p0_nightfix.tif",)


def test_two_photos_never_share_a_result(options):
    first, second = (Photo(path=Path(f"card/a.{kind}")) for kind in ("ARW", "DNG"))
    one, two = without_clashes([first, second], options)
    assert one.error is None
    assert isinstance(two.error, OutputClashError)
    assert "a.ARW" in two.error.message


def test_a_plan_tells_what_a_run_does(photos, options, tiny_restorer):
    list(enhance_many(photos[:1], options, restorer=tiny_restorer))
    photos[1].write_bytes(b"broken")
    (options.output / "p2_nightfix.tif").write_bytes(b"precious")
    asked = [Photo(path=path) for path in photos]
    planned = [with_sizes(one, options) for one in plan(asked, options, tiny_restorer.info.sha256)]
    ran = list(enhance_many(asked, options, restorer=tiny_restorer))
    assert [one.skipped for one in planned] == [True, False, False, False, False]
    assert [type(one.error) for one in planned] == [type(outcome.error) for outcome in ran]
    assert planned[3].pixels == 32 * 48
    assert planned[3].size > 0
    assert planned[3].targets == ran[3].result.outputs


@pytest.mark.parametrize(
    "changes",
    [
        *({"formats": (kind,)} for kind in FORMATS),
        {"writing": WriteOptions(compression="none")},
        {"formats": ("dng",), "writing": WriteOptions(compression="none")},
        {"writing": WriteOptions(depth=32)},
        {"writing": WriteOptions(depth=32, compression="none")},
        {"formats": ("jpeg",), "writing": WriteOptions(hdr=True)},
        {"formats": ("avif",), "writing": WriteOptions(hdr=True)},
    ],
    ids=str,
)
def test_a_plan_s_sizes_are_about_those_of_the_results(tmp_path, synthetic_raw, changes):
    path, raw = tmp_path / "photo.dng", synthetic_raw(shape=(480, 640))
    write_dng(path, raw, restored=False)
    options = EnhanceOptions(restore=False, suffix="_r", **changes)
    (planned,) = (with_sizes(one, options) for one in plan([Photo(path=path)], options, ""))
    result = enhance(path, options)
    size = sum(output.stat().st_size for output in result.outputs)
    assert 1 / 3 < planned.size / size < 3


def test_a_plan_counts_missing_results_alone(photos, options, tiny_restorer):
    both = replace(options, formats=("tiff", "jpeg"))
    asked = [Photo(path=photos[0])]
    list(enhance_many(asked, replace(options, formats=("tiff",)), restorer=tiny_restorer))
    (planned,) = plan(asked, both, tiny_restorer.info.sha256)
    assert with_sizes(planned, both).size == round(0.25 * 32 * 48)


def test_the_measured_speed_grows_with_the_steps(tiny_restorer, options):
    slow = replace(options.settings, steps=12)
    quick = replace(options.settings, steps=1)
    assert seconds_per_pixel(tiny_restorer, slow) > seconds_per_pixel(tiny_restorer, quick) > 0


class EnoughError(Exception):
    pass


def test_a_photo_is_taken_once_it_is_complete(tmp_path):
    from nightfix.batch.sources import find_photos

    looks = 0

    def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            (tmp_path / "a.ARW").write_bytes(b"half")
        if looks == 2:
            (tmp_path / "a.ARW").write_bytes(b"all of it")
        if looks == 6:
            (tmp_path / "b.ARW").write_bytes(b"another")
        if looks > 9:
            raise EnoughError

    taken = []
    with pytest.raises(EnoughError):
        for ready in watch(lambda: find_photos([tmp_path]), sleep=sleep):
            taken.append(([photo.path.name for photo in ready], looks))
    assert taken == [(["a.ARW"], 3), (["b.ARW"], 7)]


def test_a_wrong_name_is_told_when_watching_begins(tmp_path):
    from nightfix.batch.sources import find_photos

    ready = next(watch(lambda: find_photos([tmp_path / "none"]), sleep=lambda _: None))
    assert isinstance(ready[0].error, NightFixError)
