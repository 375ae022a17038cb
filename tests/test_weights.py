from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from nightfix import weights
from nightfix.errors import WeightsIntegrityError, WeightsNotFoundError
from nightfix.network import Denoiser, NetworkConfig
from nightfix.weights import load_weights, save_weights


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
