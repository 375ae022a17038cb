"""What works on photos in a process of its own; here in this one."""

from __future__ import annotations

import inspect
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import nightfix
from nightfix import errors
from nightfix.batch import worker as module
from nightfix.batch.sources import Photo
from nightfix.batch.worker import Advanced, Begun, Ended, Orders, Said, Worker
from nightfix.errors import EngineError, NightFixError, RawReadError
from nightfix.pipeline import EnhanceOptions
from nightfix.write.dng import write_dng


@pytest.fixture
def photo(tmp_path, synthetic_raw) -> Photo:
    path = tmp_path / "p.dng"
    write_dng(path, synthetic_raw(shape=(32, 48)), restored=False)
    return Photo(path=path, folder=Path("card"))


@pytest.fixture
def orders(tiny_weights, tiny_restorer, tmp_path, monkeypatch) -> Orders:
    monkeypatch.chdir(tmp_path)
    return Orders(
        version=nightfix.__version__,
        folder=tmp_path,
        places=(),
        weights=str(tiny_weights),
        device="cpu",
        sha256=tiny_restorer.info.sha256,
        jobs=1,
    )


@pytest.fixture
def worker(orders) -> Worker:
    ready = Worker()
    assert ready.start(orders).weights == "tiny"
    return ready


def changed(orders: Orders, **changes: object) -> Orders:
    return Orders(**{name: getattr(orders, name) for name in Orders.__slots__} | changes)


def test_a_photo_is_told_from_its_beginning_to_its_end(
    worker, orders, photo, tmp_path, monkeypatch
):
    real = module.restore

    def restore(prepared, restorer, announce, progress):
        restored = real(prepared, restorer, announce, progress)
        announce("note: it is dark")
        return restored

    monkeypatch.setattr(module, "restore", restore)
    options = EnhanceOptions(output=tmp_path / "out")
    told = list(worker.enhance(3, photo, options, orders.sha256))
    assert [type(message) for message in (*told[:2], told[-1])] == [Begun, Said, Ended]
    assert any(isinstance(message, Advanced) for message in told)
    assert {message.number for message in told} == {3}
    said = [message.text for message in told if isinstance(message, Said)]
    assert said[0].startswith("p.dng: NightFix Synthetic")
    assert said[1:] == ["p.dng: note: it is dark"]
    assert told[-1].outcome.result.outputs == (tmp_path / "out/card/p_nightfix.tif",)
    (again,) = worker.enhance(4, photo, options, orders.sha256)
    assert again.outcome.result.skipped
    assert len(pickle.dumps(told)) < 50_000, "no pixels travel"


def test_a_bad_photo_is_an_outcome_and_a_bug_is_raised(worker, photo, monkeypatch):
    photo.path.write_bytes(b"broken")
    (ended,) = worker.enhance(0, photo, EnhanceOptions(), "")
    assert isinstance(ended.outcome.error, RawReadError)
    monkeypatch.setattr(module, "prepare", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(worker.enhance(0, photo, EnhanceOptions(), ""))


def test_nothing_begins_after_a_stop_and_what_is_written_is_told(
    worker, orders, photo, tmp_path, monkeypatch
):
    seen = []
    real = module.write

    def write(prepared):
        seen.append(worker.stop())
        return real(prepared)

    monkeypatch.setattr(module, "write", write)
    options = EnhanceOptions(output=tmp_path / "out", overwrite=True)
    *_, ended = worker.enhance(7, photo, options, orders.sha256)
    assert seen == [frozenset([7])]
    assert ended.outcome.result.outputs[0].exists()
    assert list(worker.enhance(8, photo, options, orders.sha256)) == [Ended(8, None)]


def test_a_stop_while_the_network_runs_leaves_nothing(worker, orders, photo, tmp_path, monkeypatch):
    real = module.restore

    def restore(*arguments):
        assert worker.stop() == frozenset()
        return real(*arguments)

    monkeypatch.setattr(module, "restore", restore)
    options = EnhanceOptions(output=tmp_path / "out")
    *_, ended = worker.enhance(7, photo, options, orders.sha256)
    assert ended == Ended(7, None)
    assert not list((tmp_path / "out").rglob("*.tif"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": "0.0.1"}, f"has NightFix {nightfix.__version__}, not 0.0.1"),
        ({"folder": Path("/none/here")}, "does not see /none/here"),
        ({"places": (Path("/none/photo.dng"),)}, "does not see /none/photo.dng"),
        ({"sha256": "0" * 64}, "other weights there"),
        ({"device": "cuda:77"}, "cuda:77"),
        ({"weights": "none"}, "none: no such weights"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_machine_that_cannot_do_the_work_says_why(orders, change, says):
    answer = Worker().start(changed(orders, **change))
    assert isinstance(answer, NightFixError)
    assert says in answer.message


def test_relative_paths_start_from_the_caller_s_folder(orders, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    assert Worker().start(changed(orders, weights=None)) is None
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, NightFixError)
    ],
    ids=lambda kind: kind.__name__,
)
def test_every_error_travels_between_processes(kind):
    words = {"crop": (1, 2, 3, 4), "size": (5, 6), "known": ["a"], "tile": 64}
    words |= {"before": 0.1, "after": 0.2, "name": "base"}
    parameters = [
        one
        for one in inspect.signature(kind.__init__).parameters.values()
        if one.name != "self" and one.default is one.empty
    ]
    given = {one.name: words.get(one.name, Path("a.dng")) for one in parameters}
    error = kind(**given)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.message, again.hint, vars(again)) == (error.message, error.hint, vars(error))
    assert str(again) == str(error)


def test_nothing_but_the_cluster_imports_ray():
    code = (
        "import sys, nightfix, nightfix.batch.cluster, nightfix.batch.worker, nightfix.cli\n"
        "assert not {'ray', 'torch'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=os.getcwd())


def test_without_ray_it_says_what_to_install(monkeypatch):
    from nightfix.batch import cluster

    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    with pytest.raises(EngineError, match="ray: not installed") as raised:
        cluster.RayCluster(weights=None)
    assert "[ray]" in raised.value.hint
