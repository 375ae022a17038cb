"""Training: the state of a run on disk, in one safetensors file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nightfix.errors import InputError, RecipeError
from nightfix.training.config import Recipe
from nightfix.write import replacing

_SLOTS = ("step", "exp_avg", "exp_avg_sq")


def save_checkpoint(
    path: Path,
    *,
    recipe: Recipe,
    network: nn.Module,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    step: int,
    spent: float,
) -> None:
    """Write everything that is needed to go on, whole or not at all.

    Tensors are named ``network.*``, ``average.*`` (what is shipped in the end) and
    ``adam.<slot>.*``; the metadata holds the step, the time spent [s] and the recipe.
    """
    state = {f"average.{k}": v.contiguous() for k, v in average.items()}
    state |= {f"network.{k}": v.contiguous() for k, v in network.state_dict().items()}
    names = [name for name, _ in network.named_parameters()]
    for name, slot in zip(names, optimizer.state_dict()["state"].values(), strict=False):
        state |= {f"adam.{k}.{name}": torch.as_tensor(v).contiguous() for k, v in slot.items()}
    metadata = {"step": str(step), "spent": f"{spent:.1f}", "recipe": json.dumps(asdict(recipe))}
    with replacing(path, overwrite=True) as temporary:
        save_file(state, temporary, metadata)


def load_checkpoint(
    path: Path, recipe: Recipe, network: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], int, float]:
    """Load a run's state into a network and its optimizer.

    Returns
    -------
    average : dict of Tensor
        The averaged weights.
    step : int
        Steps done.
    spent : float
        Time that the run has taken [s].

    Raises
    ------
    RecipeError
        If the run was begun with another recipe; its length alone may change.
    InputError
        If the file is damaged.
    """
    device = next(network.parameters()).device
    try:
        with safe_open(path, framework="pt") as file:
            stored = file.metadata()
        state = load_file(path, device=str(device))
        begun = json.loads(stored["recipe"])
        step, spent = int(stored["step"]), float(stored.get("spent", 0))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        hint = "move it away to start again, or give another --output"
        raise InputError(f"{path}: not a checkpoint of a run ({error})", hint) from error
    _check_same(path, begun, json.loads(json.dumps(asdict(recipe))))

    def under(prefix: str) -> dict[str, Tensor]:
        return {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}

    network.load_state_dict(under("network."))
    slots = {key: under(f"adam.{key}.") for key in _SLOTS}
    adam = optimizer.state_dict()
    adam["state"] = {
        n: {key: _laid_out_as(parameter, slots[key][name]) for key in slots}
        for n, (name, parameter) in enumerate(network.named_parameters())
        if name in slots["step"]
    }
    optimizer.load_state_dict(adam)
    return under("average."), step, spent


def _laid_out_as(parameter: Tensor, slot: Tensor) -> Tensor:
    """Give a moment its parameter's memory layout, which a fused optimizer takes for granted."""
    return torch.empty_like(parameter).copy_(slot) if slot.shape == parameter.shape else slot


def _check_same(path: Path, begun: dict[str, object], wanted: dict[str, object]) -> None:
    for key in sorted(begun.keys() | wanted.keys()):
        if key != "steps" and begun.get(key) != wanted.get(key):
            raise RecipeError(
                path,
                f"this run was started with {key} = {begun.get(key)!r}, not {wanted.get(key)!r}; "
                "give another --output",
            )
