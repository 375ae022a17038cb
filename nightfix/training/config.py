"""Training: the recipe, read from TOML and refused before the first step if it is wrong."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from nightfix.errors import RecipeError
from nightfix.restore import NetworkConfig

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides what a training run learns.

    Parameters
    ----------
    name : str
        Name of the weights that come out.
    seed : int
        Seed of the initial weights and, with the step's number, of each batch.
    steps, batch, patch : int
        Gradient steps, samples a step, side of a sample [packed px, a multiple of what the
        network halves it to].
    learning_rate : float
        Peak rate of Adam; warmed up over 200 steps (a tenth of a short run), then a cosine
        to 2 % of it.
    ema : float
        Decay of the averaged weights, which are the ones that are shipped.
    clip : float
        Largest norm of the gradient.
    later : float
        Share of steps that train a later pass, whose sample has seen more light, 0 to 1.
    simulated : float
        Share of those samples whose light is drawn from the true scene (section 2.3 of the
        conditional variant); the rest draw it from the network's own prediction (Wang et
        al., Algorithm 1).
    through : bool
        Whether the gradient of a later pass goes straight through the draw into the pass
        before it, which is then trained in the same step; dearer, as in the paper.
    later_weight : float
        Weight of a later pass's loss.
    loss : {"l1", "charbonnier", "kl"}
        Main term, on the scale where noise is 1.
    brightness, peak, developed, color : float
        Weights of the losses on 16 x 16 means of linear light, on the logarithm of the
        squared error of linear light, on a developed preview, and on the colors of means
        over 4 x 4, 16 x 16 and 64 x 64 samples.
    ratio_max : float
        Largest amplification ratio; a fifth of the samples have ratio 1, the rest
        are log-uniform.
    amplified_shot_max : float
        Samples with more shot noise than this after amplification are drawn anew.
    long_tails : float
        Share of sensors with long-tailed read noise, rows and hot pixels.
    blur_share, blur_start : float
        Share of shaken samples, and the fraction of the run after which they begin.
    blur_length : float
        Longest shake [mosaic px].
    blur_kept : float
        Share of samples whose shake is to be kept in every pass, as a photo's is that is
        sharpened afterwards.
    blur_withheld : float
        Share of the others for which the network is told nothing of a shake and is to undo
        it; of those that are left, most keep it in the first pass and are told its kernel
        in later ones.
    noise_error : float
        Log standard deviation of the error in the read noise it is told; a third of
        it goes to the shot noise.
    precision : {"bf16", "fp16", "fp32"}
        Number format of the convolutions; fp16, with a scaled loss, on CUDA only.
    network : NetworkConfig
        The network.
    """

    name: str
    seed: int = 1
    steps: int = 10000
    batch: int = 4
    patch: int = 128
    learning_rate: float = 4e-4
    ema: float = 0.999
    clip: float = 1.0
    later: float = 0.5
    simulated: float = 0.0
    through: bool = False
    later_weight: float = 1.0
    loss: str = "l1"
    ratio_max: float = 300.0
    amplified_shot_max: float = 0.3
    long_tails: float = 0.5
    blur_share: float = 0.35
    blur_start: float = 0.4
    blur_length: float = 24.0
    blur_kept: float = 0.0
    blur_withheld: float = 0.5
    noise_error: float = 0.25
    brightness: float = 0.5
    peak: float = 0.25
    developed: float = 0.0
    color: float = 0.0
    precision: str = "bf16"
    network: NetworkConfig = field(default_factory=NetworkConfig)


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises
    ------
    RecipeError
        Names the key that is unknown, of a wrong type or out of range.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise RecipeError(path, "no such recipe") from error
    except (OSError, ValueError) as error:
        raise RecipeError(path, f"not a readable TOML file ({error})") from error
    network = _build(path, NetworkConfig, data.pop("network", {}), "network.")
    return _check(path, _build(path, Recipe, {**data, "network": network}, ""))


def _build(path: Path, kind: type[Any], data: dict[str, Any], prefix: str) -> Any:
    hints = get_type_hints(kind)
    unknown = sorted(set(data) - {f.name for f in fields(kind)})
    if unknown:
        raise RecipeError(path, f"unknown key {prefix}{unknown[0]}")
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
    for key, value in values.items():
        wanted = getattr(hints[key], "__origin__", hints[key])
        number = wanted is float and isinstance(value, int)
        mistaken = isinstance(value, bool) and wanted is not bool
        if not number and (not isinstance(value, wanted) or mistaken):
            raise RecipeError(path, f"{prefix}{key} must be {wanted.__name__}, not {value!r}")
    try:
        return kind(**values)
    except TypeError as error:
        raise RecipeError(path, str(error).split("missing ")[-1]) from error


_SHARES = (
    "later",
    "simulated",
    "long_tails",
    "blur_share",
    "blur_start",
    "blur_kept",
    "blur_withheld",
    "ema",
)
_POSITIVE = ("steps", "batch", "patch", "learning_rate", "clip", "amplified_shot_max")
_WEIGHTS = (
    "brightness",
    "peak",
    "developed",
    "color",
    "later_weight",
    "noise_error",
    "blur_length",
)
_CHOICES = {"loss": ("l1", "charbonnier", "kl"), "precision": ("bf16", "fp16", "fp32")}


def _check(path: Path, recipe: Recipe) -> Recipe:
    bad = [key for key in _SHARES if not 0 <= getattr(recipe, key) <= 1]
    bad += [key for key in _POSITIVE if getattr(recipe, key) <= 0]
    bad += [key for key in _WEIGHTS if getattr(recipe, key) < 0]
    bad += [key for key, choices in _CHOICES.items() if getattr(recipe, key) not in choices]
    if recipe.ratio_max < 1:
        bad.append("ratio_max")
    network = recipe.network
    if recipe.patch % 2 ** (len(network.widths) - 1):
        bad.append("patch")
    if recipe.network.backbone not in ("unet", "nafnet"):
        bad.append("network.backbone")
    if bad:
        raise RecipeError(path, f"{bad[0]} is out of range")
    return recipe
