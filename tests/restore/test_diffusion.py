from __future__ import annotations

import math

import pytest
import torch

from nightfix.restore.diffusion import (
    VarianceStabilizer,
    exposure_schedule,
    poisson_quantile,
    reference_exposure,
    simulate_exposure,
)

NOISES = [(1e-6, 1e-2), (1e-5, 1e-9), (0.02, 0.004), (0.3, 0.1)]


def number(value: float) -> torch.Tensor:
    return torch.full((1, 1, 1, 1), value)


@pytest.mark.parametrize(("a", "b"), NOISES)
def test_linearize_undoes_stabilize(a, b):
    stabilizer = VarianceStabilizer(number(a), number(b))
    x = torch.linspace(-0.5, 4, 2001).view(1, 1, 1, -1)
    assert torch.allclose(stabilizer.linearize(stabilizer.stabilize(x)), x, atol=1e-5)


@pytest.mark.parametrize(("a", "b"), NOISES)
def test_black_is_zero_white_is_one_and_the_map_rises(a, b):
    stabilizer = VarianceStabilizer(number(a), number(b))
    v = stabilizer.stabilize(torch.linspace(-1, 2, 3001).view(1, 1, 1, -1)).flatten()
    assert v[1000].abs() < 1e-5
    assert (v[2000] - 1).abs() < 1e-5
    assert bool((v.diff() > 0).all())


@pytest.mark.parametrize("level", [0.0, 0.05, 0.3, 1.0])
def test_noise_is_one_number_at_every_brightness(level, generator):
    a, b = 0.004, 0.0006
    stabilizer = VarianceStabilizer(number(a), number(b))
    photons = torch.poisson(torch.full((1, 4, 200, 200), level / a), generator=generator)
    y = a * photons + math.sqrt(b) * torch.randn(photons.shape, generator=generator)
    deviation = stabilizer.stabilize(y).std() / stabilizer.noise
    assert deviation.item() == pytest.approx(1, abs=0.04)


def test_gradient_is_finite_at_the_root():
    stabilizer = VarianceStabilizer(number(1.0), number(0.625))
    x = torch.full((1, 1, 1, 1), -1.0, requires_grad=True)
    stabilizer.stabilize(x).sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(("ratio", "steps"), [(0.5, 1), (10, 0)])
def test_schedule_refuses(ratio, steps):
    with pytest.raises(ValueError, match="at least 1"):
        exposure_schedule(ratio, steps)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_schedule_has_one_exposure_a_pass(steps):
    schedule = exposure_schedule(100.0, steps)
    assert len(schedule) == steps
    assert schedule[0] == 1
    assert steps == 1 or schedule[-1] == 100


@pytest.mark.parametrize(
    ("ratio", "a", "reference"), [(1.0, 1e-7, 1.0), (100.0, 1e-6, 100.0), (1.0, 2e-4, 100.0)]
)
def test_reference_is_the_target_or_longer_until_clean(ratio, a, reference):
    found = reference_exposure(torch.tensor(ratio), torch.tensor(a)).item()
    assert found == pytest.approx(reference)
    assert a * ratio / found <= 2.0001e-6


@pytest.mark.parametrize("rate", [0.05, 0.5, 2.0, 7.9, 8.1, 30.0, 1000.0])
def test_quantile_draws_have_the_mean_and_variance_of_poisson(rate, generator):
    count = 400_000
    drawn = poisson_quantile(
        torch.full((count,), rate), torch.randn(count, generator=generator)
    ).double()
    error = math.sqrt(rate / count)
    assert abs(drawn.mean().item() - rate) < 4 * error + 1e-3 * math.sqrt(rate)
    spread = math.sqrt((2 + 1 / rate) / count)
    assert abs(drawn.var().item() / rate - 1) < 4 * spread + 0.012


@pytest.mark.parametrize("rate", [0.5, 7.999, 8.001, 50.0])
def test_quantile_draws_barely_feel_a_rate_that_barely_differs(rate, generator):
    normal = torch.randn(100_000, generator=generator)
    one = poisson_quantile(torch.full_like(normal, rate), normal)
    other = poisson_quantile(torch.full_like(normal, rate * (1 + 1e-6)), normal)
    assert (one != other).double().mean() < 1e-3


def exposed(captured, predicted, generator, *, ratio, exposure, a, draw=True):
    return simulate_exposure(
        captured,
        predicted,
        ratio=number(ratio),
        exposure=number(exposure),
        a=number(a),
        normal=torch.randn(captured.shape, generator=generator) if draw else None,
    )


def test_sample_has_the_law_of_its_exposure(generator):
    """Mean x and variance a r / l x + b (r / l)^2, if the prediction is the truth."""
    ratio, exposure, a, b, x = 100.0, 40.0, 1e-4, 1e-7, 0.4
    truth = torch.full((1, 4, 250, 250), x)
    photons = torch.poisson(truth / (ratio * a), generator=generator)
    read = math.sqrt(b) * torch.randn(truth.shape, generator=generator)
    captured = ratio * (a * photons + read)
    sample = exposed(captured, truth, generator, ratio=ratio, exposure=exposure, a=a).double()
    variance = a * ratio / exposure * x + b * (ratio / exposure) ** 2
    count = truth.numel()
    assert abs(sample.mean().item() - x) < 4 * math.sqrt(variance / count)
    assert abs(sample.var().item() / variance - 1) < 4 * math.sqrt(2 / count)


def test_no_added_exposure_is_the_identity(generator):
    captured = torch.randn((1, 4, 16, 16), generator=generator)
    sample = exposed(captured, captured.abs(), generator, ratio=50, exposure=1, a=1e-3)
    assert torch.equal(sample, captured)


def test_deterministic_sample_moves_towards_the_prediction(generator):
    captured, predicted = torch.zeros((1, 4, 8, 8)), torch.ones((1, 4, 8, 8))
    sample = exposed(captured, predicted, generator, ratio=50, exposure=4, a=1e-3, draw=False)
    assert torch.allclose(sample, torch.full_like(sample, 0.75))


def test_gradient_passes_straight_through_the_draw(generator):
    captured = torch.rand((1, 4, 8, 8), generator=generator)
    predicted = torch.rand((1, 4, 8, 8), generator=generator).requires_grad_()
    exposed(captured, predicted, generator, ratio=50, exposure=5, a=1e-3).sum().backward()
    assert torch.allclose(predicted.grad, torch.full_like(predicted, 0.8))
