from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nightfix.errors import WeightsIntegrityError, WeightsNotFoundError
from nightfix.restore import weights
from nightfix.restore.network import Denoiser, NetworkConfig
from nightfix.restore.weights import load_weights, save_weights


def test_weights_come_back_as_they_were_saved(tmp_path):
    config = NetworkConfig(widths=(4, 8), capture_width=0, embedding=8)
    network = Denoiser(config)
    digest = save_weights(
        tmp_path / "w.safetensors",
        network.state_dict(),
        config,
        name="mine",
        license="CC0-1.0",
        training={"steps": 3},
    )
    loaded, info = load_weights(str(tmp_path / "w.safetensors"))
    assert (info.name, info.license, info.training, info.sha256) == (
        "mine",
        "CC0-1.0",
        {"steps": 3},
        digest,
    )
    assert loaded.config == config
    pairs = zip(network.state_dict().values(), loaded.state_dict().values(), strict=True)
    assert max((one.half().float() - other).abs().max().item() for one, other in pairs) == 0


@pytest.mark.parametrize("name", ["no-such-name", "no/such/file.safetensors"])
def test_unknown_weights_name_the_known_ones(name):
    with pytest.raises(WeightsNotFoundError) as caught:
        load_weights(name)
    assert "nightfix-base" in caught.value.hint


def damaged(path, what):
    data = bytearray(path.read_bytes())
    if what == "cut":
        data = data[: len(data) // 2]
    if what == "header":
        data[9] ^= 255
    if what == "text":
        data = bytearray(b"these are not weights")
    if what == "empty":
        data = bytearray()
    return bytes(data)


@pytest.mark.parametrize("what", ["cut", "header", "text", "empty"])
def test_damaged_weights_are_refused(tiny_weights, tmp_path, what):
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(damaged(tiny_weights, what))
    with pytest.raises(WeightsIntegrityError):
        load_weights(str(path))


BOMBS = {
    "wide": {"widths": [10**9, 10**9]},
    "deep": {"widths": [4] * 40},
    "many blocks": {"widths": [4, 8], "blocks": 10**9},
    "negative": {"widths": [-4, 8]},
    "fraction": {"widths": [4.5, 8]},
    "text": {"widths": "48"},
    "no backbone": {"widths": [4, 8], "backbone": "rm -rf"},
    "backbone of lists": {"widths": [4, 8], "backbone": [[]]},
    "large": {"widths": [1024, 1024, 1024], "embedding": 1024},
}


@pytest.mark.parametrize("network", BOMBS.values(), ids=BOMBS)
def test_a_configuration_cannot_ask_for_more_than_the_file_has(tmp_path, network):
    facts = {"name": "x", "license": "", "network": network, "training": {}}
    path = tmp_path / "bomb.safetensors"
    save_file({"weight": torch.zeros(3)}, path, {"nightfix": json.dumps(facts)})
    with pytest.raises(WeightsIntegrityError):
        load_weights(str(path))


def test_a_header_longer_than_any_network_s_is_not_parsed(tmp_path, monkeypatch):
    path = tmp_path / "long.safetensors"
    save_file({"weight": torch.zeros(3)}, path, {"nightfix": "[" + "1," * 600_000 + "1]"})
    parsed = []
    monkeypatch.setattr(weights.json, "loads", parsed.append)
    with pytest.raises(WeightsIntegrityError):
        load_weights(str(path))
    assert parsed == []


def test_numbers_of_other_tensors_are_not_converted(tiny_weights, tmp_path, monkeypatch):
    """Small numbers would grow fourfold in memory before they are found not to fit."""
    with safe_open(tiny_weights, "pt") as file:
        facts = file.metadata()
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3, dtype=torch.float8_e4m3fn)}, path, facts)
    converted = []
    monkeypatch.setattr(torch.Tensor, "to", lambda *_, **__: converted.append(1))
    with pytest.raises(WeightsIntegrityError, match="do not fit"):
        load_weights(str(path))
    assert converted == []


@pytest.mark.parametrize("read", [load_weights, weights.verify_weights, weights.weights_sha256])
def test_weights_that_cannot_be_read_are_one_error(tiny_weights, monkeypatch, read):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(weights.Path, "read_bytes", refuse)
    with pytest.raises(WeightsIntegrityError, match="Permission denied"):
        read(str(tiny_weights))


def test_endless_nesting_is_refused(tmp_path):
    path = tmp_path / "nested.safetensors"
    save_file({"weight": torch.zeros(3)}, path, {"nightfix": "[" * 100_000})
    with pytest.raises(WeightsIntegrityError):
        load_weights(str(path))


def test_weights_that_are_no_numbers_are_refused(tiny_weights, tmp_path):
    state = load_file(tiny_weights)
    with safe_open(tiny_weights, "pt") as file:
        facts = file.metadata()
    state["backbone.head.bias"][2] = torch.nan
    save_file(state, tmp_path / "nan.safetensors", facts)
    with pytest.raises(WeightsIntegrityError, match="damaged"):
        load_weights(str(tmp_path / "nan.safetensors"))


@pytest.mark.parametrize("seed", range(60))
def test_flipped_bytes_load_or_are_refused(tiny_weights, tmp_path, seed):
    rng = random.Random(seed)
    data = bytearray(tiny_weights.read_bytes())
    for _ in range(1 + seed % 4):
        data[rng.randrange(len(data) if seed % 3 == 0 else 2000)] = rng.randrange(256)
    path = tmp_path / "flipped.safetensors"
    path.write_bytes(data)
    try:
        network, _ = load_weights(str(path))
    except WeightsIntegrityError as error:
        assert error.path == path
    else:
        assert all(torch.isfinite(p).all() for p in network.parameters())


@pytest.mark.parametrize(
    "facts",
    [
        None,
        {"name": "x"},
        {"name": "x", "license": "", "network": {"surprise": 1}, "training": {}},
        {"name": "x", "license": "", "network": {}, "training": {}},
        {"name": "x", "license": "", "network": {"widths": [8, 8]}, "training": {}},
    ],
    ids=["no facts", "too few", "unknown key", "no widths", "other shapes"],
)
def test_strange_weights_are_refused(tmp_path, facts):
    path = tmp_path / "strange.safetensors"
    metadata = {} if facts is None else {"nightfix": json.dumps(facts)}
    save_file({"weight": torch.zeros(3)}, path, metadata)
    with pytest.raises(WeightsIntegrityError):
        load_weights(str(path))


def test_to_load_weights_takes_no_compiler():
    """Torch imports its own, for a second, to draw normal numbers that are never used."""
    code = (
        "import sys\n"
        "from nightfix.restore.weights import load_weights\n"
        "load_weights()\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_known_weights_must_have_the_pinned_hash(tiny_weights, tmp_path, monkeypatch):
    (tmp_path / "nightfix-base.safetensors").write_bytes(tiny_weights.read_bytes())
    monkeypatch.setattr(weights, "_FOLDERS", (tmp_path,))
    with pytest.raises(WeightsIntegrityError, match="SHA-256"):
        load_weights("nightfix-base")


@pytest.mark.weights
def test_the_default_weights_have_the_pinned_hash():
    network, info = load_weights()
    assert info.name == "nightfix-base"
    assert sum(p.numel() for p in network.parameters()) < 9e6
