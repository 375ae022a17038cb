"""Condition: how likely a sample that stands out is the sensor's, not the light's.

A small network judges it by the samples around it, of all colors. How many defects there are
differs by thousands from photo to photo, so each photo's own share of them is estimated, too.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from nightfix.condition.mending import Estimate

Mosaic = NDArray[np.float32]
Places = NDArray[np.intp]

#: Farthest that the network looks at samples around one [px].
SEEN = 4

#: Side of the cells in which detail is measured [px], and how many of them are around a sample.
_CELL, _CELLS = 8, 3

#: Rows and columns around a block that judging its samples needs [px]; even: the pattern stays.
MARGIN = 8

#: Offsets (row, column) of what the network sees.
OFFSETS = tuple(
    (y, x) for y in range(-SEEN, SEEN + 1) for x in range(-SEEN, SEEN + 1) if (y, x) != (0, 0)
)
_BESIDE = tuple(OFFSETS.index(offset) for offset in ((0, -1), (0, 1), (-1, 0), (1, 0)))

#: What a sample may have around it: red and blue sites, green ones, and those of a sensor that
#: sees no colors.
KINDS = ("red_or_blue", "green", "monochrome")

#: Values beyond these say no more, in units of what the sample stands out by.
_FAR = 4.0


class Sensor(NamedTuple):
    """What is known of a sensor: its noise, and by site (row % 2, column % 2) the rest.

    ``a``, ``b``: variance = a x + b; ``highlights``: the level that the brightest hundredth of
    the photo has; ``saturated``: that from which a sample rises no further [white]; ``gains``:
    those of the white balance, shape (2, 2); ``kinds``: index into :data:`KINDS`, shape (2, 2).
    """

    a: float
    b: float
    highlights: float
    saturated: float
    gains: Mosaic
    kinds: NDArray[np.intp]


class StandingOut(NamedTuple):
    """Samples of a block (without its margin) that stand out, by how much, and which way.

    ``rows``, ``columns``: shape (samples,); ``excess``: above (``sign`` 1) or below (-1) what is
    next to them in their own plane, > 0 [white].
    """

    rows: Places
    columns: Places
    excess: Mosaic
    sign: int


def detail_of(texture: Mosaic) -> Mosaic:
    """Return the mean of what samples stand out by in the cells around each.

    Parameters
    ----------
    texture : ndarray, shape (H, W), float32
        By how much each stands out, with a margin of 8 px; negative counts as 0.

    Returns
    -------
    ndarray, shape (ceil((H - 16) / 8), ceil((W - 16) / 8))
        Of 24 x 24 px around each cell of 8 x 8 px.
    """
    height, width = (-side % _CELL for side in texture.shape)
    texture = np.pad(np.maximum(texture, 0), ((0, height), (0, width)), "edge")
    rows, columns = (side // _CELL for side in texture.shape)
    cells = texture.reshape(rows, _CELL, columns, _CELL).mean((1, 3))
    wide = cells[:, :-2] + cells[:, 1:-1] + cells[:, 2:]
    detail: Mosaic = (wide[:-2] + wide[1:-1] + wide[2:]) / _CELLS**2
    return detail


def features(
    block: Mosaic, details: tuple[Mosaic, Mosaic], found: StandingOut, sensor: Sensor
) -> Mosaic:
    """Return what the network sees of samples, shape (samples, 91).

    Parameters
    ----------
    block : ndarray, shape (H, W), float32
        Samples with a margin of 8 px; its first row and column are even ones of the photo.
    details : (above, below)
        What samples stand out by around each, of :func:`detail_of`.
    found : StandingOut
        The samples.
    sensor : Sensor
        The sensor.

    Notes
    -----
    With x the sample, E what it stands out by, n = x - E, and g the gains of the white balance:
    the 80 samples y around it, as min(max((g_y / g_x y - n) / E, -4), 4); then E in units of the
    noise, n in units of E, x and the brightest beside it in units of saturation, the gains beside
    it in the row, in the column and diagonally, x in units of the photo's highlights, how much
    stands out around it in units of E, and whether it may be hot. What is too dark is mirrored
    about n first.
    """
    rows, columns, excess, sign = found
    at = MARGIN + rows, MARGIN + columns
    level = block[at] - sign * excess
    around = np.stack([block[at[0] + y, at[1] + x] for y, x in OFFSETS], 1)
    brightest = around[:, _BESIDE].max(1)
    gains = [
        sensor.gains[(rows + y) % 2, (columns + x) % 2] / sensor.gains[rows % 2, columns % 2]
        for y, x in ((0, 0), (0, 1), (1, 0), (1, 1))
    ]
    for index, (y, x) in enumerate(OFFSETS):
        around[:, index] *= gains[y % 2 * 2 + x % 2]
    around -= level[:, None]
    around /= sign * excess[:, None]
    noise = np.sqrt(sensor.a * np.maximum(level, 0) + sensor.b)
    cell = rows // _CELL, columns // _CELL
    facts = (
        np.log(excess / noise),
        np.arcsinh(level / excess),
        (level + excess) / sensor.saturated,
        brightest / sensor.saturated,
        *np.log(gains[1:]),
        np.log(np.maximum(level + excess, 1e-5) / sensor.highlights),
        *(np.log(detail[cell] / excess + 1e-3) for detail in details[::sign]),
        np.full_like(excess, sign > 0),
    )
    return np.concatenate([np.clip(around, -_FAR, _FAR), np.stack(facts, 1)], 1, dtype=np.float32)


def evidence(
    block: Mosaic, details: tuple[Mosaic, Mosaic], found: StandingOut, sensor: Sensor
) -> Mosaic:
    """Return by how much samples look like defects rather than light.

    Parameters
    ----------
    block, details, found, sensor
        As for :func:`features`.

    Returns
    -------
    ndarray, shape (samples,), float32
        Logarithm of the odds of a defect where as many samples are defects as stand out by
        light.
    """
    kinds = sensor.kinds[found.rows % 2, found.columns % 2]
    logits = np.empty(len(kinds), np.float32)
    for kind, layers in enumerate(_network().around):
        ours = np.flatnonzero(kinds == kind)
        for start in range(0, len(ours), _AT_ONCE):
            part = ours[start : start + _AT_ONCE]
            some = found._replace(
                rows=found.rows[part], columns=found.columns[part], excess=found.excess[part]
            )
            x = features(block, details, some, sensor)
            logits[part] = _apply(layers, x)
    return logits


#: Samples that are judged at once.
_AT_ONCE = 4096

Layers = tuple[tuple[Mosaic, Mosaic], ...]


class _Networks(NamedTuple):
    """What was learned, by weight and bias of layers.

    ``around``: the networks of :func:`evidence`, for each kind of sites; ``odd``: the mean of
    e^(l / 2) over light; ``estimate``: the network of :func:`with_estimate`.
    """

    around: tuple[Layers, ...]
    odd: float
    estimate: Layers


@cache
def _network() -> _Networks:
    data = resources.files("nightfix.condition").joinpath("defects.safetensors").read_bytes()
    held = {name: value.astype(np.float32) for name, value in load(data).items()}

    def layers(name: str) -> Layers:
        depth = sum(key.startswith(f"{name}.") for key in held) // 2
        return tuple((held[f"{name}.{k}.weight"], held[f"{name}.{k}.bias"]) for k in range(depth))

    around = tuple(layers(kind) for kind in KINDS)
    return _Networks(around, float(held["odd"]), layers("estimate"))


def _apply(layers: Layers, x: Mosaic) -> Mosaic:
    """Return what a network says of samples, shape (samples,)."""
    for weight, bias in layers[:-1]:
        x = np.maximum(x @ weight.T + bias, 0)
    weight, bias = layers[-1]
    said: Mosaic = (x @ weight.T + bias)[:, 0]
    return said


def log_odds(logits: Mosaic, samples: int) -> Mosaic:
    """Return the odds that samples are defects, given what the photo has of their like.

    Parameters
    ----------
    logits : ndarray, shape (n,)
        Of :func:`with_estimate`, of all of the photo that have a chance.
    samples : int
        How many samples the photo has, > 0.

    Returns
    -------
    ndarray, shape (n,)
        Their logarithms.

    Notes
    -----
    Three kinds of samples have a chance: light, defects, and light of a kind that this photo has
    more of than others, as a night has points and water has glints. By their logits l they are
    distributed as f(l), f(l) e^l and f(l) e^(l / 2) / Z, with Z the mean of e^(l / 2) over light.
    With n_k the number of each, the last at most 200 in a million samples, in turns until they
    hold:

        n_k = sum_i p_ik + d_k,    p_ik ~ n_k f_k(l_i),    sum_k p_ik = 1

    d_k is what is expected of a sensor that nothing is known of.

    References
    ----------
    Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori Probabilities",
    Neural Computation 2002, Eq. (2.10), with a class that was not trained on.
    """
    values = np.clip(logits.astype(np.float64), -_SURE, _SURE)
    expected = np.array([0.0, _EXPECTED * samples, 0.0])
    counts = np.array([len(values) + 1.0, expected[1], _ODD * len(values)])
    likely = np.stack([np.ones_like(values), np.exp(values), np.exp(values / 2) / _network().odd])
    for _ in range(_TURNS):
        parts = counts[:, None] * likely
        parts /= parts.sum(0)
        before, counts = counts, parts.sum(1) + expected
        counts[2] = min(counts[2], _ODDEST * samples)
        if np.abs(counts - before)[1:].max() < _HELD * counts[1]:
            break
    odds: Mosaic = np.log(parts[1] / (parts[0] + parts[2])).astype(np.float32)
    return odds


def with_estimate(logits: Mosaic, captured: Mosaic, estimate: Estimate, sensor: Sensor) -> Mosaic:
    """Return by how much samples look like defects, given what those around them say of them.

    Parameters
    ----------
    logits, captured : ndarray, shape (n,)
        Of :func:`evidence`, and the samples.
    estimate : Estimate
        What they should be, and by how much the same rule is wrong around them.
    sensor : Sensor
        The photo's sensor.

    Returns
    -------
    ndarray, shape (n,), float32
        Logarithms of the odds where as many of them are defects as are light.
    """
    return _apply(_network().estimate, what_estimates_say(logits, captured, estimate, sensor))


def what_estimates_say(
    logits: Mosaic, captured: Mosaic, estimate: Estimate, sensor: Sensor
) -> Mosaic:
    """Return what the last network sees of samples, shape (samples, 7).

    Notes
    -----
    With x the sample, m its estimate, e the error of that, d = |x - m| and s the noise: the
    logits, ln(d / e), ln(d / s), arcsinh(m / d), x in units of saturation and, as a logarithm, of
    the photo's highlights, and whether x > m.
    """
    value = estimate.value
    away = np.abs(captured - value) + _LEAST
    noise = np.sqrt(sensor.a * np.maximum(value, 0) + sensor.b)
    facts = (
        np.clip(logits, -_SURE, _SURE),
        np.log(away / (estimate.error + _LEAST)),
        np.log(away / noise),
        np.arcsinh(value / away),
        captured / sensor.saturated,
        np.log(np.maximum(captured, 1e-5) / sensor.highlights),
        captured > value,
    )
    return np.stack(facts, 1, dtype=np.float32)


#: Largest logit.
_SURE = 30.0

#: Shares of the photo's samples: defects that are expected of any sensor, odd light at most; share
#: of the latter among those that have a chance, at first; when the turns end.
_EXPECTED, _ODDEST, _ODD, _TURNS, _HELD = 1e-6, 2e-4, 1e-3, 200, 1e-3

#: Least distance and error that are told from none [white].
_LEAST = 1e-9
