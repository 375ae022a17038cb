from __future__ import annotations

import pytest
import torch

from nightfix.restore import tiling
from nightfix.restore.network import (
    CEILING,
    Condition,
    Denoiser,
    NetworkConfig,
    condition_of,
    parameter_count,
)
from nightfix.restore.tiling import Area

SMALL = {
    "unet": NetworkConfig(widths=(4, 8, 8), capture_width=4, embedding=8),
    "nafnet": NetworkConfig(
        backbone="nafnet", widths=(4, 8, 8), blocks=2, capture_width=4, embedding=8
    ),
    "with deconvolution": NetworkConfig(
        widths=(4, 8, 8), capture_width=4, embedding=8, deconvolution=True
    ),
    "absolute": NetworkConfig(widths=(4, 8, 8), capture_width=0, embedding=8, absolute=True),
    "without mask": NetworkConfig(widths=(4, 8, 8), capture_width=4, embedding=8, adaptive=False),
    "without capture encoder": NetworkConfig(widths=(4, 8, 8), capture_width=0, embedding=8),
}


def lively(config: NetworkConfig) -> Denoiser:
    """A network whose head and modulation are not near zero."""
    torch.manual_seed(2)
    network = Denoiser(config).eval()
    torch.nn.init.normal_(network.backbone.head.weight, std=0.3)
    for name, parameter in network.named_parameters():
        if "film" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return network


def frame(seed: int = 1, size: int = 32) -> torch.Tensor:
    return torch.rand((1, 4, size, size), generator=torch.Generator().manual_seed(seed))


CONDITION = condition_of((100.0, 10.0, 1e-4, 1e-7, 0.0))


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL.keys())
def test_a_fresh_network_nearly_returns_its_input(config):
    x = frame()
    assert (Denoiser(config)(x, x, CONDITION) - x).abs().max() < 0.05


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL.keys())
@pytest.mark.parametrize("field", Condition._fields)
def test_every_condition_reaches_the_output(config, field):
    network, x = lively(config), frame()
    changed = CONDITION._replace(**{field: getattr(CONDITION, field) * 1.5 + 0.5e-7})
    if field == "blur":
        changed = CONDITION._replace(blur=torch.ones((1, 1, 1, 1)))
    with torch.no_grad():
        assert not torch.allclose(network(x, x, CONDITION), network(x, x, changed), atol=1e-6)


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL.keys())
@pytest.mark.parametrize("which", [0, 1], ids=["sample", "capture"])
def test_sample_and_capture_both_reach_the_output(config, which):
    network = lively(config)
    inputs = [frame(1), frame(2)]
    with torch.no_grad():
        before = network(*inputs, CONDITION)
        inputs[which] = frame(3)
        assert not torch.allclose(network(*inputs, CONDITION), before, atol=1e-4)


@pytest.mark.parametrize("shot", [1e-7, 1e-4])
def test_the_noise_of_a_clean_capture_is_shown_as_large_as_that_of_a_noisy_one(shot, generator):
    noise = (0.4 * shot) ** 0.5 * torch.randn((1, 4, 64, 64), generator=generator)
    condition = condition_of((1.0, 1.0, shot, 0.0, -1.0))
    capture = 0.4 + noise
    detail = Denoiser(SMALL["unet"])._enter(condition, capture, capture)[:, -4:]
    beside_mean = noise - torch.nn.functional.avg_pool2d(noise, 5, 1, 2, count_include_pad=False)
    beside_mean /= (0.4 * shot) ** 0.5
    torch.testing.assert_close(detail, torch.asinh(beside_mean), atol=0.05, rtol=0.02)


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL.keys())
def test_no_sample_reaches_further_than_the_receptive_radius(config):
    network, size = lively(config), 128
    x = frame(1, size)
    touched = x.clone()
    touched[..., 64, 64] += 0.5
    with torch.no_grad():
        difference = (network(x, x, CONDITION) - network(touched, x, CONDITION)).abs().amax((0, 1))
    rows = difference.amax(1).nonzero().flatten()
    assert difference.max() > 1e-4
    assert max(64 - int(rows.min()), int(rows.max()) - 64) <= network.receptive_radius


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL.keys())
def test_windows_read_all_that_reaches_what_they_answer_for(config):
    network, x = lively(config), frame(1, 192)[0]
    reads = []

    def run(tile, context):
        def forward(sample, inner):
            reads.append(sample.shape[-1])
            with torch.no_grad():
                return network(sample, sample, CONDITION, inner=inner)

        settings = {"tile": tile, "context": context, "multiple": network.multiple}
        return tiling.map_tiles(forward, (x,), **settings)

    whole = run(192, 0)
    torch.testing.assert_close(run(64, network.receptive_radius), whole, atol=2e-6, rtol=0)
    assert max(reads[1:]) < 192
    assert (run(64, 0) - whole).abs().max() > 1e-4


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL.keys())
@pytest.mark.parametrize(
    "inner",
    [Area(range(30, 66), range(48, 80)), Area(range(5), range(91, 96)), Area(range(96), range(3))],
    ids=["middle", "corner", "edge"],
)
@pytest.mark.parametrize("strip", [10**6, 600], ids=["at once", "in strips"])
def test_a_part_comes_out_as_in_the_whole(config, inner, strip, monkeypatch):
    """And less is computed for it."""
    monkeypatch.setattr(tiling, "_STRIP", strip)
    network, x = lively(config), frame(1, 96)
    computed = []
    for level in network.backbone.decoder:
        level.register_forward_hook(lambda _, __, answer: computed.append(answer.numel()))
    with torch.no_grad():
        whole = network(x, x, CONDITION)
        operations = sum(computed)
        part = network(x, x, CONDITION, inner=inner)
    torch.testing.assert_close(part, inner.of(whole), atol=2e-6, rtol=0)
    assert sum(computed) - operations < operations


@pytest.mark.parametrize("adaptive", [False, True])
def test_only_the_adaptive_layer_has_a_mask(adaptive):
    network, x = lively(NetworkConfig(widths=(4, 8), embedding=8, adaptive=adaptive)), frame()
    with torch.no_grad():
        before = network(x, x, CONDITION)
        network.backbone.head.bias[8] += 1
        assert torch.equal(network(x, x, CONDITION), before) != adaptive


def test_without_the_condition_only_the_sample_is_seen():
    network = lively(NetworkConfig(widths=(4, 8), capture_width=4, embedding=8, conditional=False))
    x = frame()
    with torch.no_grad():
        given = network(x, x, CONDITION)
        assert torch.equal(network(x, frame(seed=3), CONDITION), given)
        assert not torch.equal(network(frame(seed=3), x, CONDITION), given)


@pytest.mark.parametrize(("noise", "follows"), [(1e-6, True), (3e-1, False)])
def test_an_estimate_from_black_does_not_follow_what_is_mostly_noise(noise, follows):
    """At first, before anything is learned, half of the answer is the sample's correction."""
    network = Denoiser(NetworkConfig(widths=(4, 8), capture_width=0, embedding=8, absolute=True))
    x, told = frame(), condition_of((1.0, 1.0, noise, 1e-9, 0.0))
    with torch.no_grad():
        moved = network(x + 0.1, x + 0.1, told) - network(x, x, told)
    assert (moved.mean() > 0.08) == follows


def test_a_deconvolved_sample_reaches_the_output():
    network, sample = lively(SMALL["with deconvolution"]), frame()
    with torch.no_grad():
        without, same, with_it = (
            network(sample, frame(2), CONDITION, deconvolved)
            for deconvolved in (None, sample, frame(3))
        )
    assert torch.equal(without, same)
    assert (with_it - without).abs().max() > 1e-3


@pytest.mark.parametrize(("told", "moves"), [(-1.0, False), (0.0, True), (1.0, True)])
def test_what_a_shake_moved_is_left_where_the_shake_is_kept(told, moves):
    network = lively(SMALL["with deconvolution"])
    condition = CONDITION._replace(blur=torch.full_like(CONDITION.blur, told))
    with torch.no_grad():
        before = network(frame(), frame(2), condition)
        network.backbone.head.bias[9:] += 1.0
        after = network(frame(), frame(2), condition)
    assert bool((after - before).abs().max() > 1e-2) == moves


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL.keys())
def test_brighter_than_the_ceiling_is_shown_as_the_ceiling(config):
    network, x = lively(config), frame() + 3
    with torch.no_grad():
        shown = torch.full_like(x, CEILING)
        assert torch.allclose(network(x, x, CONDITION), network(shown, shown, CONDITION))


def test_the_default_has_about_eight_million_parameters():
    assert 7e6 < parameter_count(Denoiser(NetworkConfig(widths=(32, 64, 128, 256, 384)))) < 9e6


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL.keys())
@pytest.mark.parametrize("strip", [64, 300, 1000])
def test_strips_of_a_level_give_the_same_pixels(config, strip, monkeypatch):
    network, x = lively(config), frame(1, 64)
    others = (frame(2, 64),) if config.deconvolution else ()
    with torch.no_grad():
        whole = network(x, frame(3, 64), CONDITION, *others)
        monkeypatch.setattr(tiling, "_STRIP", strip)
        strips = network(x, frame(3, 64), CONDITION, *others)
    assert (whole - strips).abs().max() < 1e-5


def test_frames_of_a_batch_come_out_as_each_alone():
    """One frame's modulation is folded into the weights; that of several cannot be."""
    network = lively(SMALL["with deconvolution"])
    frames = torch.cat([frame(1), frame(2)])
    conditions = [condition_of((100.0, 10.0, 1e-4, 1e-7, n)) for n in (0.0, 1.0)]
    both = Condition(*(torch.cat(numbers) for numbers in zip(*conditions, strict=True)))
    with torch.no_grad():
        together = network(frames, frames, both)
        alone = [
            network(x[None], x[None], told) for x, told in zip(frames, conditions, strict=True)
        ]
    assert (together - torch.cat(alone)).abs().max() < 1e-5
