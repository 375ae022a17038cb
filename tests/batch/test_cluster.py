"""A real Ray cluster of two nodes on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from nightfix.batch.cluster import RayCluster
from nightfix.batch.runner import enhance_many
from nightfix.cli.app import app
from nightfix.condition import Settings
from nightfix.errors import EngineError, RawReadError
from nightfix.pipeline import EnhanceOptions
from nightfix.write.dng import write_dng

ray = pytest.importorskip("ray")
Cluster = pytest.importorskip("ray.cluster_utils").Cluster

#: Ray leaves sockets and files to the end of the process.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.skipif(sys.platform == "win32", reason="Ray is not whole on Windows"),
]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def photos(tmp_path, synthetic_raw) -> list[Path]:
    """Twelve photos, the fourth of which is broken."""
    paths = [tmp_path / f"card/p{number:02}.dng" for number in range(12)]
    paths[0].parent.mkdir()
    for number, path in enumerate(paths):
        write_dng(path, synthetic_raw(shape=(32, 48), seed=number), restored=False)
    paths[3].write_bytes(b"broken")
    return paths


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Cluster]:
    """A cluster of two nodes of one core each, whose workers find this package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster()
        for _ in range(2):
            add_node(cluster)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


def add_node(cluster: Cluster) -> object:
    return cluster.add_node(num_cpus=1, object_store_memory=80 << 20)


def engine(cluster, weights: Path | None, **more: object) -> RayCluster:
    from nightfix.restore import weights_sha256

    digest = weights_sha256(str(weights)) if weights else ""
    words = {"weights": str(weights) if weights else None, "sha256": digest} | more
    return RayCluster(address=cluster.address, device="cpu", **words)


def stems(outcomes) -> list[str]:
    return [outcome.path.stem for outcome in outcomes]


@pytest.mark.long
def test_a_node_is_killed_in_mid_run(two_nodes, photos, tiny_weights, tiny_restorer, tmp_path):
    options = EnhanceOptions(output=tmp_path / "out", settings=Settings(steps=1))
    told, begun = [], []
    (*_, victim) = two_nodes.worker_nodes
    with closing(engine(two_nodes, tiny_weights, announce=told.append)) as ours:
        assert ours.all_ready() == 2
        assert ours.network().sha256 == tiny_restorer.info.sha256

        def begin(path: Path) -> None:
            begun.append(path)
            if len(begun) == 3:
                two_nodes.remove_node(victim, allow_graceful=False)

        words = {"restorer": None, "weights": tiny_restorer.info.sha256, "engine": ours}
        outcomes = list(enhance_many(photos, options, begin=begin, announce=told.append, **words))
        assert stems(outcomes) == [path.stem for path in photos]
        assert [type(outcome.error) for outcome in outcomes] == [
            *[type(None)] * 3,
            RawReadError,
            *[type(None)] * 8,
        ]
        assert "Ray: 2 workers on 2 machines" in told
        lost = [text for text in told if text.endswith("trying it again")]
        assert len(lost) <= 2, "what the node had, and nothing else"
        # What the node was writing when it died lies there under a hidden name.
        made = sorted(path.name for path in (tmp_path / "out").glob("[!.]*"))
        assert made == [f"p{n:02}_nightfix.tif" for n in range(12) if n != 3]
        again = list(enhance_many(photos, options, **words))
        assert all(outcome.result.skipped for outcome in again if outcome.error is None)
        assert begun == [*dict.fromkeys(begun)], "each is told once, none is done again"
        add_node(two_nodes)
        deadline = time.monotonic() + 60
        while ours.all_ready() < 2 and time.monotonic() < deadline:
            time.sleep(1)
            list(enhance_many(photos[:1], options, **words))
        assert ours.all_ready() == 2, "a machine that comes is taken"


def test_a_bug_comes_back_with_the_worker_s_traceback(two_nodes, photos):
    broken = EnhanceOptions(restore=False, formats=("none",))
    with closing(engine(two_nodes, None)) as ours, pytest.raises(KeyError, match="Worker.enhance"):
        list(enhance_many(photos[:1], broken, restorer=None, engine=ours))


def test_machines_that_do_not_see_the_photos_are_named(two_nodes):
    places = (Path("/none/of/them"),)
    with (
        closing(engine(two_nodes, None, places=places)) as ours,
        pytest.raises(EngineError, match="does not see /none/of/them"),
    ):
        ours.network()


def test_a_gpu_is_not_made_up(two_nodes):
    with pytest.raises(EngineError, match="no machine of the Ray cluster has a GPU"):
        RayCluster(weights=None, address=two_nodes.address, device="cuda")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "ray://127.0.0.1:10001"])
def test_no_cluster_is_told_at_once(address):
    with pytest.raises(EngineError, match="no Ray cluster there") as raised:
        RayCluster(weights=None, address=address)
    assert "ray start --head" in raised.value.hint


@pytest.mark.parametrize("device", ["mps", "cuda:1"])
def test_a_cluster_chooses_its_gpus_itself(device):
    with pytest.raises(EngineError, match=f"{device}: not a device of a Ray cluster"):
        RayCluster(weights=None, device=device)


# ---------------------------------------------------------------------------------------
# As a user calls it


def call(cluster, photos, tiny_weights, *more: object) -> list[str]:
    words = ["enhance", "-r", photos[0].parent, "--weights", tiny_weights, "--steps", "1", *more]
    return [
        *(sys.executable, "-m", "nightfix", *map(str, words)),
        *("--engine", "ray", "--address", cluster.address),
    ]


def test_the_command_line_tells_the_same_and_nothing_of_ray_s(
    two_nodes, photos, tiny_weights, tiny_restorer, tmp_path
):
    command = call(two_nodes, photos, tiny_weights, "-o", "out", "--json")
    place = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT)}}
    done = subprocess.run(command, capture_output=True, text=True, check=False, **place)
    schema = json.loads((ROOT / "nightfix/batch/events.schema.json").read_text("utf-8"))
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for event in found:
        jsonschema.validate(event, schema)
    assert done.returncode == 3, done.stderr
    kinds = [event["event"] for event in found]
    assert (kinds[0], kinds[-1]) == ("start", "end")
    assert (kinds.count("photo"), kinds.count("result"), kinds.count("error")) == (11, 11, 1)
    assert found[0]["network"]["weights"] == "tiny"
    assert [event["number"] for event in found if event["event"] == "photo"] == [*range(1, 12)]
    results = [event for event in found if event["event"] == "result"]
    assert results[0]["outputs"][0]["path"] == "out/p00_nightfix.tif", "as it was typed"
    options = EnhanceOptions(output=tmp_path / "here", settings=Settings(steps=1))
    list(enhance_many(photos[:1], options, restorer=tiny_restorer))
    here, there = (tmp_path / where / "p00_nightfix.tif" for where in ("here", "out"))
    assert here.read_bytes() == there.read_bytes()
    ours = ("Ray: ", "p", "note: ", "error: ", "hint: ", "done ", "failed ")
    assert [line for line in done.stderr.splitlines() if not line.startswith(ours)] == []


@pytest.mark.long
def test_the_benchmark_counts_photos_an_hour_until_the_cluster_ends(
    two_nodes, tiny_weights, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nightfix.evaluation.benchmark._EACH", 2)
    words = ["benchmark", "--megapixels", "0.02", "--steps", "1", "--weights", str(tiny_weights)]
    ours = ["--engine", "ray", "--address", two_nodes.address, "--device", "cpu"]
    done = CliRunner().invoke(app, [*words, *ours, "--json", "figures.json"])
    assert done.exit_code == 0, done.stderr
    clusters = json.loads((tmp_path / "figures.json").read_text())["clusters"]
    assert [(one["workers"], one["photos"]) for one in clusters] == [(0, 2), (1, 2), (2, 4)]
    assert clusters[2]["hourly"] == pytest.approx(3600 * 4 / clusters[2]["seconds"])
    assert f"2 workers: {clusters[2]['hourly']:.0f} photos an hour" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("of 2 workers")
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


@pytest.mark.long
def test_nobody_else_is_let_into_an_instance_of_one_s_own():
    """It is started where there is no cluster, and gone afterwards."""
    code = (
        "import os, sys, subprocess\n"
        "from nightfix.batch import cluster\n"
        "cluster._own_cluster = str\n"
        "ours = cluster.RayCluster(weights=None, device='cpu')\n"
        "assert ours.network() is None\n"
        "import ray\n"
        "address = ray.get_runtime_context().gcs_address\n"
        "strange = {k: v for k, v in os.environ.items() if not k.startswith('RAY_AUTH')}\n"
        "enter = f'import ray; ray.init({address!r}, log_to_driver=False)'\n"
        "done = subprocess.run([sys.executable, '-c', enter], env=strange, capture_output=True)\n"
        "assert b'ConnectionError' in done.stderr, done.stderr\n"
        "ours.close()\n"
        "assert not cluster._answers(address)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=120)


@pytest.mark.long
def test_a_machine_of_another_version_is_left_alone(two_nodes, photos, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import nightfix\nnightfix.__version__ = '0.0.1'\n")
    other = two_nodes.add_node(
        num_cpus=1,
        object_store_memory=80 << 20,
        env_vars={"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
    )
    told = []
    options = EnhanceOptions(output=tmp_path / "out", restore=False)
    try:
        with closing(engine(two_nodes, None, announce=told.append)) as ours:
            assert ours.all_ready() == 2
            outcomes = list(enhance_many(photos[:3], options, restorer=None, engine=ours))
        assert all(outcome.error is None for outcome in outcomes)
        (note,) = (text for text in told if text.startswith("note: goes on without a machine"))
        assert "has NightFix 0.0.1, not " in note
    finally:
        two_nodes.remove_node(other)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_an_interrupt_stops_them_all(two_nodes, photos, tiny_weights, tmp_path, number):
    for copy in range(12, 300):
        (photos[0].parent / f"p{copy}.dng").write_bytes(photos[0].read_bytes())
    command = call(two_nodes, photos, tiny_weights, "-o", tmp_path / "out")
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        first = process.stdout.readline()
        os.killpg(process.pid, number)  # as a terminal does
        rest, errors = process.stdout.read(), process.stderr.read()
    assert process.returncode == 130, errors
    assert "interrupted; finished results are kept" in errors
    told = {Path(line).name for line in (first + rest).splitlines()}
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert told <= made, "nothing is told that is not there"
    assert len(made - told) <= 1, "the interrupt may come amid the telling of one"
    assert len(made) < 200
    assert all(name.endswith("_nightfix.tif") for name in made), "nothing is half done"
    ray.init(address=two_nodes.address, log_to_driver=False)
    until = time.monotonic() + 20
    while ray.available_resources().get("CPU", 0) < 2 and time.monotonic() < until:
        time.sleep(0.2)
    left = 2 - ray.available_resources()["CPU"]
    ray.shutdown()
    assert left == 0, "workers are still there"
