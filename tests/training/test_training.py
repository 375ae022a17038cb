from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from nightfix.cli.app import app
from nightfix.errors import DeviceError, InputError, RecipeError
from nightfix.progress import no_progress
from nightfix.restore.motion.deconvolution import deconvolve, shake
from nightfix.restore.motion.kernels import KERNEL_SIZE
from nightfix.restore.network import Denoiser, NetworkConfig
from nightfix.restore.weights import load_weights
from nightfix.training.camera_shake import blur, misjudged, random_shake
from nightfix.training.config import Recipe, read_recipe
from nightfix.training.data import Batch, make_batch
from nightfix.training.frames import Draws, Frames, Turns
from nightfix.training.loss import (
    LOSSES,
    developed_error,
    peak_error,
    stabilized_l1,
    total_loss,
)
from nightfix.training.noise import SensorNoise, add_noise, random_sensor
from nightfix.training.references import References
from nightfix.training.scenes import (
    Photographs,
    add_lamps,
    look_into,
    radiance_code,
    under_stars,
)
from nightfix.training.sources import (
    Pair,
    Panorama,
    Photograph,
    RawPhoto,
    load_sources,
    pack_references,
)
from nightfix.training.trainer import Trainer, learning_rate, train
from nightfix.training.unprocessing import gamma_expansion, mosaic_planes, unprocess
from nightfix.write.dng import write_dng

TINY = Recipe(
    name="tiny",
    steps=8,
    batch=2,
    patch=32,
    later=1.0,
    blur_start=0.0,
    learning_rate=2e-3,
    network=NetworkConfig(widths=(4, 8), capture_width=4, embedding=8),
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "night_street.dng"

CPU = torch.device("cpu")

QUIET = {"checkpoint_minutes": 60, "progress": no_progress}


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(11)


@pytest.fixture
def photos(rng) -> list[Photograph]:
    shades = rng.integers(0, 255, (3, 12, 16), dtype=np.uint8)
    return [Photograph(torch.from_numpy(np.kron(shades, np.ones((1, 20, 20), np.uint8))))]


@pytest.mark.parametrize("length", [0.0, 5.0, 25.0])
def test_kernel_is_light_centered_and_of_its_length(generator, length):
    kernel = random_shake(length, generator).kernel(31, 1.0)
    axis = torch.arange(31.0) - 15
    assert kernel.min() >= 0
    assert kernel.sum().item() == pytest.approx(1, abs=1e-5)
    assert (kernel.sum(1) @ axis).item() == pytest.approx(0, abs=1e-3)
    assert (kernel.sum(0) @ axis).item() == pytest.approx(0, abs=1e-3)
    assert int((kernel > 0).sum()) <= 4 + 4 * length


def test_blur_is_a_convolution(generator):
    from scipy.ndimage import convolve

    light = torch.rand((1, 40, 50), generator=generator)
    kernel = random_shake(6, generator).kernel(9, 1.0)
    wanted = convolve(light[0].double().numpy(), kernel.double().numpy())[4:-4, 4:-4]
    assert np.abs(blur(light, kernel)[0].numpy() - wanted).max() < 1e-5


def references(sources, recipe=TINY) -> References:
    return References.of(sources, patch=recipe.patch, seed=recipe.seed, device=CPU)


def one_batch(sources, recipe=TINY, number=1, progress=1.0) -> Batch:
    return make_batch(references(sources, recipe), recipe, number, progress)


@pytest.mark.parametrize("tail", [math.nan, -0.2, 0.0, 0.14], ids=str)
def test_noise_has_the_variance_it_declares(generator, tail):
    noise = SensorNoise(shot=1e-4, read=2e-3, tail=tail, row=3e-4, quantization=6e-5)
    drawn = add_noise(torch.full((4, 500, 500), 0.2), noise, generator).double()
    assert drawn.mean().item() == pytest.approx(0.2, abs=1e-4)
    assert drawn.var().item() == pytest.approx(1e-4 * 0.2 + noise.variance_at_black, rel=0.02)


def test_rows_run_through_two_planes(generator):
    noise = SensorNoise(shot=1e-9, read=0.0, row=1e-2)
    drawn = add_noise(torch.full((4, 50, 50), 0.2), noise, generator)
    rows = drawn.mean(2)
    assert torch.allclose(rows[0], rows[1], atol=1e-4)
    assert torch.allclose(rows[2], rows[3], atol=1e-4)
    assert (rows[0] - rows[2]).abs().max() > 5e-3


def test_light_above_white_saturates(generator):
    drawn = add_noise(torch.full((4, 8, 8), 3.0), random_sensor(generator, 1.0), generator)
    assert torch.equal(drawn, torch.ones_like(drawn))


def test_gamma_expansion_is_srgb():
    assert gamma_expansion(torch.tensor([0.0, 0.5, 1.0])).tolist() == pytest.approx(
        [0, 0.21404, 1], abs=1e-5
    )


def test_unprocessed_white_stays_white_and_order_is_kept(generator):
    ramp = torch.linspace(0, 1, 64).expand(3, 8, 64)
    light = unprocess(ramp, generator)
    assert light[:, 0, -1].tolist() == pytest.approx([1, 1, 1], abs=0.02)
    assert bool((light[:, 0].diff(dim=1) >= -1e-4).all())


def test_planes_are_sampled_from_their_sites():
    rgb = torch.arange(12.0).reshape(3, 2, 2)
    assert mosaic_planes(rgb).flatten().tolist() == [0, 5, 6, 11]


def test_a_kernel_on_the_planes_is_half_as_long(generator):
    shake = random_shake(16.0, generator)
    whole, half = shake.kernel(31, 1.0), shake.kernel(17, 0.5)
    spread = [
        float((k.sum(0) * (torch.arange(k.shape[0]) - k.shape[0] // 2.0) ** 2).sum())
        for k in (whole, half)
    ]
    assert spread[1] == pytest.approx(spread[0] / 4, rel=0.15, abs=0.15)


def test_a_misjudged_kernel_resembles_the_true_one(generator):
    likeness = []
    for _ in range(40):
        shake = random_shake(16.0, generator)
        true, told = shake.kernel(KERNEL_SIZE, 1.0), misjudged(shake, generator)
        assert told.min() >= 0
        assert told.sum().item() == pytest.approx(1, abs=1e-5)
        likeness.append(float((true * told).sum() / (true.norm() * told.norm())))
    assert min(likeness) < 0.9
    assert float(np.median(likeness)) > 0.7


def test_a_step_always_has_the_same_batch(photos):
    held = references(photos)
    one, again, other = (make_batch(held, TINY, step, 0.5) for step in (3, 3, 4))
    assert torch.equal(one.capture, again.capture)
    assert not torch.equal(one.capture, other.capture)


def _many(photos, **changes):
    return one_batch(photos, dataclasses.replace(TINY, batch=64, **changes))


def test_where_nothing_is_told_of_a_shake_it_is_to_be_undone(photos):
    batch = _many(photos, blur_share=1.0, blur_withheld=1.0)
    for task in (batch.first, batch.later):
        assert task.condition.blur.unique().tolist() == [0.0]
        assert task.kernel is None
    assert not torch.equal(batch.first.target, batch.scene)


def test_told_to_keep_a_shake_the_answer_is_shaken(photos):
    batch = _many(photos, blur_share=1.0, blur_withheld=0.0)
    kept = (batch.first.condition.blur < 0).flatten()
    assert 0.7 < kept.float().mean() < 1
    assert torch.equal(batch.first.target[kept], batch.scene[kept])
    assert not torch.equal(batch.first.target[~kept], batch.scene[~kept])


def test_a_shake_can_be_kept_in_every_pass(photos):
    batch = _many(photos, blur_share=1.0, blur_kept=1.0)
    for task in (batch.first, batch.later):
        assert task.condition.blur.unique().tolist() == [-1.0]
        assert torch.equal(task.target, batch.scene)
    told = _many(photos, blur_share=1.0, blur_kept=0.5, blur_withheld=0.5).later.condition.blur
    for number, share in ((-1, 0.5), (0, 0.25)):
        assert abs((told == number).float().mean() - share) < 0.15


def test_later_passes_are_told_most_kernels_of_a_shake(photos):
    batch = _many(photos, blur_share=1.0, blur_withheld=0.0)
    told = batch.later.kernel.amax((1, 2)) < 1
    assert 0.75 < told.float().mean() < 1
    assert bool((batch.later.condition.blur.flatten()[told] == 1).all())
    error = (batch.later.target - batch.scene).abs().amax((1, 2, 3))
    assert bool((error[told] > 0).all())


def test_still_photos_are_sometimes_told_a_false_kernel(photos):
    batch = _many(photos, blur_share=0.0, blur_withheld=0.0)
    told = batch.later.kernel.amax((1, 2)) < 1
    assert 0.05 < told.float().mean() < 0.3
    assert torch.equal(batch.later.target, batch.scene)


@pytest.mark.parametrize(("progress", "shaken"), [(0.4, False), (0.5, True)])
def test_blur_begins_with_the_second_stage(photos, progress, shaken):
    recipe = dataclasses.replace(TINY, blur_share=1.0, blur_withheld=1.0, blur_start=0.5)
    batch = one_batch(photos, recipe, progress=progress)
    assert torch.equal(batch.first.target, batch.scene) != shaken


def test_target_is_the_mean_of_still_captures(photos):
    recipe = dataclasses.replace(TINY, blur_share=0.0, batch=8, noise_error=0.0)
    batch = one_batch(photos, recipe)
    target, told = batch.first.target, batch.first.condition
    error = (batch.capture - target).mean((1, 2, 3))
    noise = (told.a * told.ratio + told.b).sqrt().flatten()
    lamps = (target > 0.95).float().mean((1, 2, 3)) > 0.01
    rows = noise * told.ratio.flatten() * 0.05 + 0.01
    assert bool((error.abs() < rows)[~lamps].all())


def _look(radiance, pitch, yaw, focal=40.0):
    frames = Frames.of([radiance_code(radiance)], CPU)
    numbers = {"pitch": pitch, "yaw": yaw, "focal": focal}
    told = {name: torch.tensor([float(number)]) for name, number in numbers.items()}
    return look_into(frames, torch.tensor([0]), 31, **told)[0]


def test_a_panorama_is_seen_where_one_looks():
    radiance = torch.zeros(3, 64, 128)
    radiance[:, 20, 100] = 5.0
    longitude = (100.5 / 64 - 1) * np.pi
    latitude = (20.5 / 32 - 1) * np.pi / 2
    seen = _look(radiance, -latitude, longitude)
    assert seen.argmax().item() % 31**2 == 15 * 31 + 15
    assert seen.max() > 2
    assert _look(radiance, -latitude, longitude + 2).max() == 0


def test_a_panorama_has_no_seam_behind_one():
    longitude = (torch.arange(64.0) + 0.5) / 32 * math.pi - math.pi
    radiance = (1 + torch.cos(longitude)).expand(3, 32, 64).contiguous()
    before, behind = (_look(radiance, 0.2, yaw) for yaw in (0.0, math.pi))
    assert torch.allclose(behind, 2 - before, atol=0.01)


def test_light_of_a_panorama_is_kept_in_bytes(generator):
    radiance = 10 ** (8 * torch.rand(3, 16, 32, generator=generator) - 4)
    frames = Frames.of([radiance_code(radiance)], CPU)
    *mantissas, exponent = frames.samples.T.float()
    light = torch.stack(mantissas).view(3, 16, 32) * torch.exp2(exponent - 136).view(16, 32)
    error = (light - radiance).abs() / radiance.amax(0)
    assert error.max() < 1 / 250


def test_lamps_of_a_panorama_stay_above_white():
    radiance = torch.full((3, 64, 128), 0.2)
    radiance[:, ::8, ::8] = 500.0
    batch = one_batch([Panorama(radiance)], dataclasses.replace(TINY, batch=8, blur_share=0.0))
    assert batch.scene.max() == 2
    assert bool(batch.capture.isfinite().all())


def test_windows_are_turned_in_all_ways(generator):
    picture = torch.randint(0, 255, (3, 9, 11), generator=generator, dtype=torch.uint8)
    frames = Frames.of([torch.zeros_like(picture)[:, 2:], picture], CPU)
    ways = [[bool(n & bit) for n in range(8)] for bit in (1, 2, 4)]
    place = torch.tensor([2, 3], dtype=torch.int32)[:, None].expand(2, 8)
    chosen, turns = torch.ones(8, dtype=torch.long), Turns(*map(torch.tensor, ways))
    cut = frames.windows(chosen, *place, 5, turns)
    plain = picture[:, 2:7, 3:8]
    for window, rows, columns, transposed in zip(cut, *ways, strict=True):
        flips = [axis for axis, flipped in ((1, rows), (2, columns)) if flipped]
        assert torch.equal(window, (plain.mT if transposed else plain).flip(flips))
    assert len({tuple(window.flatten().tolist()) for window in cut}) == 8


def test_windows_are_mostly_cut_where_there_is_detail(generator):
    picture = torch.full((3, 400, 400), 90, dtype=torch.uint8)
    noise = torch.randint(0, 255, (3, 400, 200), generator=generator, dtype=torch.uint8)
    picture[:, :, 200:] = noise
    photographs = Photographs(Frames.of(3 * [picture], CPU))
    cut = photographs.cut(torch.zeros(400, dtype=torch.long), 20, Draws.of(4, CPU))
    detailed = (cut.float().std((1, 2, 3)) > 20).float().mean()
    # Half of all places have detail: one of two is the richer one with detail in 3 of 4.
    assert detailed == pytest.approx(0.25 * 0.5 + 0.75 * 0.75, abs=0.08)


def test_photographs_are_seen_in_three_sizes(generator):
    pixels = torch.randint(0, 255, (3, 500, 700), generator=generator, dtype=torch.uint8)
    small = torch.randint(0, 255, (3, 60, 80), generator=generator, dtype=torch.uint8)
    frames = references([Photograph(pixels), Photograph(small)]).photographs.frames
    assert frames.height[0] == 500
    assert 500 / 1.6 <= frames.height[1] <= 500
    assert 500 / 2.2 <= frames.height[2] <= 500 / 1.6
    assert frames.height[3:].tolist() == [2 * TINY.patch + 30] * 3


def test_a_batch_has_all_kinds_of_references(photos):
    light = torch.tensor([0.1, 0.2, 0.3, 0.4])[:, None, None].expand(4, 60, 70).half()
    pair = Pair(light / 10, torch.full_like(light, 0.9), ratio=10.0, a=1e-4, b=1e-6)
    panorama = Panorama(torch.full((3, 64, 128), 0.2))
    recipe = dataclasses.replace(TINY, batch=64, blur_share=1.0, blur_withheld=1.0, noise_error=0)
    batch = one_batch([*photos, panorama, RawPhoto(light), pair], recipe)
    real = (batch.first.condition.a == 1e-4).flatten()
    assert 6 < real.sum() < 28
    assert bool((batch.first.condition.ratio[real] == 10).all())
    assert torch.allclose(batch.scene[real], torch.tensor(0.9), atol=1e-3)
    assert torch.equal(batch.first.target[real], batch.scene[real])
    means = batch.capture[real].mean((2, 3)).sort().values
    assert torch.allclose(means, torch.tensor([0.1, 0.2, 0.3, 0.4]), atol=1e-3)


def test_a_device_is_neither_waited_for_nor_mixed_with_the_processor(photos, monkeypatch):
    # Tensors on "meta" have no values: whatever reads one, or mixes it with others, fails.
    def draws(seed, _):
        return Draws(torch.Generator().manual_seed(seed), None)

    monkeypatch.setattr(Draws, "of", draws)
    light = torch.full((4, 60, 70), 0.2).half()
    sources = [*photos, Panorama(torch.full((3, 64, 128), 0.2)), RawPhoto(light)]
    sources.append(Pair(light, light, ratio=10.0, a=1e-4, b=1e-6))
    network = NetworkConfig(widths=(4, 8), capture_width=4, embedding=8, deconvolution=True)
    recipe = dataclasses.replace(
        TINY, batch=64, developed=1.0, color=1.0, blur_kept=0.3, network=network
    )
    device = torch.device("meta")
    held = References.of(sources, patch=recipe.patch, seed=1, device=device)
    batch = make_batch(held, recipe, 1, 1.0).to(device)
    target, condition, kernel = batch.later.target, batch.later.condition, batch.later.kernel
    undone = deconvolve(shake(batch.capture, kernel), kernel)
    predicted = Denoiser(network).to(device)(batch.capture, batch.capture, condition, undone)
    loss = total_loss(recipe, predicted, target, condition)
    loss.backward()
    frames = (batch.capture, batch.scene, batch.first.target, target, kernel, *condition, loss)
    assert {frame.device for frame in frames} == {device}


def test_noise_of_a_batch_is_that_of_each_sensor(photos):
    recipe = dataclasses.replace(TINY, batch=200, blur_share=0.0, noise_error=0.0, patch=64)
    batch = one_batch(photos, recipe)
    told, scene = batch.first.condition, batch.scene
    variance = told.ratio * told.a * scene + told.ratio**2 * told.b
    dark = (scene < 0.8).flatten(1).all(1) & (scene.mean((1, 2, 3)) < 0.3)
    error = (batch.capture - scene) / variance.sqrt()
    squares = error[dark].square().mean((1, 2, 3))
    assert dark.sum() > 50
    assert squares.median().item() == pytest.approx(1, abs=0.03)
    assert error[dark].mean().item() == pytest.approx(0, abs=0.005)


def test_too_noisy_captures_are_drawn_anew(photos):
    batch = _many(photos, amplified_shot_max=0.003, noise_error=0.0)
    told = batch.first.condition
    assert (told.a * told.ratio).max() < 0.00301
    assert told.ratio.max() > 50
    assert told.a.max() > 1e-3


def test_sensors_lie_along_the_measured_lines(generator):
    sensors = random_sensor(generator, 0.5, 20000)
    gain = (16000 * sensors.shot).log()
    residual = (16000 * sensors.read).log() - 0.55 * gain
    assert residual.mean().item() == pytest.approx(1.2, abs=0.02)
    assert residual.std().item() == pytest.approx(0.49, abs=0.02)
    assert ((gain > math.log(0.2)) & (gain < math.log(10))).float().mean() > 0.8
    assert gain.exp().min() < 0.1
    assert gain.exp().max() > 60
    long = ~sensors.tail.isnan()
    assert long.float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert bool((sensors.row[long] > 0).all())
    assert bool((sensors.row[~long] == 0).all())


def test_a_night_is_dark_and_its_stars_are_mostly_faint(generator):
    day = 0.3 + 0.4 * torch.rand(40, 3, 96, 96, generator=generator)
    nights = under_stars(day, generator)
    skies = nights.flatten(2).median(2).values[:, :, None, None]
    assert 0.01 < skies.min() < 0.05
    assert 0.05 < skies.median() < 0.2
    clear = ((nights - skies).abs() < 0.01 * skies).float().mean((1, 2, 3)) > 0.3
    assert 10 < clear.sum() < 30
    stars = (nights - skies)[clear].mean(1, keepdim=True)
    tops = (stars == torch.nn.functional.max_pool2d(stars, 5, 1, 2)) & (stars > 1e-3)
    assert stars.max() > 0.3
    assert 0.005 < stars[tops].median() < 0.1


def test_lamps_are_few_and_bright(generator):
    lamps = add_lamps(torch.zeros(60, 3, 96, 96), generator)
    brightest = lamps.flatten(1).amax(1)
    assert bool((brightest > 0.1).all())
    assert 5 < brightest.max() < 40
    assert (lamps.amax(1) > 0.1).float().mean() < 0.2


def test_an_interpolated_raw_is_no_reference(tmp_path, synthetic_raw):
    raw = synthetic_raw(shape=(256, 256))
    write_dng(tmp_path / "linear.dng", raw, restored=False, linear=True)
    with pytest.raises(InputError, match="interpolated"):
        load_sources([tmp_path])


def test_a_raw_reference_is_taken_as_it_is():
    planes = torch.tensor([0.1, 0.2, 0.3, 0.4])[:, None, None].expand(4, 60, 70).half()
    recipe = dataclasses.replace(TINY, batch=12, blur_share=1.0, blur_withheld=1.0)
    batch = one_batch([RawPhoto(planes)], recipe)
    means = batch.first.target.mean((2, 3))
    shades = means / means[:, :1]
    greens = shades[:, 1:3].sort().values
    assert torch.allclose(greens, torch.tensor([2.0, 3.0]).expand(12, 2), atol=0.01)
    assert torch.allclose(shades[:, 3], torch.tensor(4.0), atol=0.01)
    assert len(shades[:, 1].round().unique()) == 2
    assert torch.allclose(batch.scene, batch.first.target, atol=1e-3)


def test_a_raw_reference_smaller_than_a_sample_is_refused():
    with pytest.raises(InputError, match="smaller than a patch"):
        references([RawPhoto(torch.zeros(4, 40, 70).half())])


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_loss_is_least_at_the_truth_and_grows(photos, name):
    batch = one_batch(photos, dataclasses.replace(TINY, batch=4))
    told, target = batch.first.condition, batch.first.target.clamp(0.05, 1.5)
    values = [LOSSES[name](target * gain, target, told).item() for gain in (1.0, 1.1, 1.3, 0.8)]
    assert values[0] == pytest.approx(0, abs=1e-5)
    assert 0 < values[1] < values[2]
    assert values[3] > 0


def test_a_developed_loss_counts_shadows_more_than_lights():
    target = torch.full((1, 4, 8, 8), 0.5)
    target[..., :4] = 0.02
    darker, lights = target.clone(), target.clone()
    darker[..., :4] += 0.02
    lights[..., 4:] += 0.02
    assert developed_error(darker, target) > 2 * developed_error(lights, target) > 0
    assert peak_error(darker, target).item() == pytest.approx(
        peak_error(lights, target).item(), abs=1e-4
    )


def test_rate_warms_up_and_falls():
    recipe = dataclasses.replace(TINY, steps=1000)
    rates = [learning_rate(recipe, step, step / 1000) for step in (0, 99, 550, 1000)]
    assert rates == pytest.approx([2e-5, 2e-3, 0.51 * 2e-3, 0.02 * 2e-3], rel=0.01)
    assert learning_rate(recipe, 300, 1.0) == pytest.approx(0.02 * 2e-3)


def test_training_lowers_the_loss(photos, tmp_path):
    network = NetworkConfig(widths=(16,), capture_width=0, embedding=8)
    recipe = dataclasses.replace(
        TINY, steps=100, blur_share=0.0, later=0.0, learning_rate=1e-2, ema=0.5, network=network
    )
    batch = one_batch(photos, dataclasses.replace(recipe, batch=8), 1000)

    def loss(network: torch.nn.Module) -> float:
        with torch.no_grad():
            predicted = network(batch.capture, batch.capture, batch.first.condition)
            return stabilized_l1(predicted, batch.first.target, batch.first.condition).item()

    trainer = Trainer(recipe, photos, tmp_path, torch.device("cpu"))
    before = loss(trainer.network)
    trainer.network.load_state_dict(trainer.run(**QUIET))
    assert loss(trainer.network) < 0.98 * before
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [20, 40, 60, 80, 100]


@pytest.mark.parametrize(
    "changes",
    [{}, {"simulated": 1.0}, {"through": True}, {"loss": "kl", "developed": 1.0}],
    ids=["rollout", "simulated", "through", "kl"],
)
def test_later_passes_learn_from_their_samples(photos, tmp_path, changes):
    recipe = dataclasses.replace(TINY, steps=20, **changes)
    Trainer(recipe, photos, tmp_path, torch.device("cpu")).run(**QUIET)
    (row,) = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert ("pass1" in row) == recipe.through
    assert np.isfinite(row["pass2"])


def test_a_stopped_run_goes_on_to_the_same_weights(photos, tmp_path):
    whole = Trainer(TINY, photos, tmp_path / "a", torch.device("cpu")).run(**QUIET)
    first = Trainer(TINY, photos, tmp_path / "b", torch.device("cpu"))
    for _ in range(5):
        first.train_step(first.share)
    first.save()
    again = Trainer(TINY, photos, tmp_path / "b", torch.device("cpu"))
    assert again.step == 5
    resumed = again.run(**QUIET)
    assert all(torch.allclose(whole[key], resumed[key], atol=1e-6) for key in whole)


def test_a_run_ends_by_itself_in_its_time_and_goes_on(photos, tmp_path, monkeypatch):
    recipe = dataclasses.replace(TINY, steps=10**6)
    clock = SimpleNamespace(now=0.0, time=lambda: 0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("nightfix.training.trainer.time", clock)

    def train_for(minutes: float) -> Trainer:
        trainer = Trainer(recipe, photos, tmp_path, CPU, minutes=minutes)
        step = trainer.train_step

        def timed_step(share: float) -> dict[str, torch.Tensor]:
            clock.now += 10
            return step(share)

        monkeypatch.setattr(trainer, "train_step", timed_step)
        trainer.run(**QUIET)
        return trainer

    first = train_for(1)
    assert first.step == 6
    assert train_for(1).step == 6
    assert train_for(2).step == 12


def test_a_compiled_network_is_one_graph_and_learns_the_same(photos, tmp_path, monkeypatch):
    compiler = partial(torch.compile, backend="eager", fullgraph=True)
    monkeypatch.setattr("nightfix.training.trainer.torch.compile", compiler)
    plain = Trainer(TINY, photos, tmp_path / "a", CPU).run(**QUIET)
    compiled = Trainer(TINY, photos, tmp_path / "b", CPU, compiled=True).run(**QUIET)
    assert all(torch.allclose(plain[key], compiled[key], atol=1e-5) for key in plain)


def test_a_step_whose_gradient_is_not_finite_is_left_out(photos, tmp_path, monkeypatch):
    trainer = Trainer(TINY, photos, tmp_path, CPU)
    trainer.train_step(0.5)
    before = [p.detach().clone() for p in trainer.network.parameters()]
    monkeypatch.setattr(trainer, "_loss", lambda predicted, _: predicted.sum() * math.nan)
    trainer.train_step(0.5)
    after = list(trainer.network.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    monkeypatch.undo()
    trainer.train_step(0.5)
    assert not all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_another_recipe_does_not_go_on_with_a_run(photos, tmp_path):
    Trainer(TINY, photos, tmp_path, torch.device("cpu")).save()
    Trainer(dataclasses.replace(TINY, steps=99), photos, tmp_path, torch.device("cpu"))
    other = dataclasses.replace(TINY, later=0.25)
    with pytest.raises(RecipeError, match="started with later = 1.0, not 0.25"):
        Trainer(other, photos, tmp_path, torch.device("cpu"))


def test_a_damaged_checkpoint_is_refused(photos, tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"half of it")
    with pytest.raises(InputError, match="not a checkpoint"):
        Trainer(TINY, photos, tmp_path, torch.device("cpu"))


def test_a_run_leaves_pictures_of_itself(photos, tmp_path):
    Trainer(dataclasses.replace(TINY, steps=40), photos, tmp_path, torch.device("cpu")).run(**QUIET)
    curves, crops = iio.imread(tmp_path / "curves.png"), iio.imread(tmp_path / "crops.png")
    assert np.unique(curves[..., :3].reshape(-1, 3), axis=0).shape[0] > 10
    assert crops.shape == (2 * TINY.patch, 3 * TINY.patch, 3)
    assert np.ptp(crops) > 20


def test_fp16_is_refused_without_a_gpu(photos, tmp_path):
    recipe = dataclasses.replace(TINY, precision="fp16")
    with pytest.raises(DeviceError, match="fp16"):
        Trainer(recipe, photos, tmp_path, torch.device("cpu"))


def test_two_processes_train_one_network(tmp_path, rng, request):
    folder = tmp_path / "photos"
    folder.mkdir()
    iio.imwrite(folder / "one.png", rng.integers(0, 255, (120, 140, 3), dtype=np.uint8))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'name = "two"\nsteps = 20\nbatch = 1\npatch = 32\nprecision = "fp32"\n'
        "[network]\nwidths = [4, 8]\ncapture_width = 4\nembedding = 8\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", "29547", "-m", "nightfix", "train", str(recipe)]
    command += ["--photos", str(folder), "--output", str(tmp_path / "run"), "--device", "cpu"]
    command += ["--minutes", "60"]
    environment = os.environ | {"PYTHONPATH": str(request.config.rootpath), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [20]
    assert load_weights(str(tmp_path / "run" / "two.safetensors"))[1].training["steps"] == 20


def test_train_writes_weights_that_load(tmp_path, rng):
    folder = tmp_path / "photos"
    folder.mkdir()
    iio.imwrite(folder / "one.png", rng.integers(0, 255, (120, 140, 3), dtype=np.uint8))
    path = train(dataclasses.replace(TINY, steps=2), [folder], tmp_path / "run", device="cpu")
    network, info = load_weights(str(path))
    assert network.config == TINY.network
    assert info.training["references"] == 1


def test_sources_are_told_apart_by_their_suffix(tmp_path, rng):
    import imagecodecs

    iio.imwrite(tmp_path / "a.jpg", rng.integers(0, 255, (40, 40, 3), dtype=np.uint8))
    radiance = rng.random((16, 32, 3)).astype(np.float32)
    (tmp_path / "b.hdr").write_bytes(imagecodecs.rgbe_encode(radiance, header=True))
    (tmp_path / "notes.txt").write_text("no photo")
    shutil.copy(EXAMPLE, tmp_path / "c.dng")
    kinds = [type(source) for source in load_sources([tmp_path])]
    assert kinds == [Photograph, Panorama, RawPhoto]


@pytest.fixture
def folder(tmp_path, rng):
    """Return a folder of two photographs, a panorama and a RAW file."""
    import imagecodecs

    folder = tmp_path / "photos"
    folder.mkdir()
    coarse = rng.integers(0, 255, (30, 45, 3), dtype=np.uint8)
    large = np.kron(coarse, np.ones((20, 20, 1), np.uint8))
    large[:, 500:] = rng.integers(0, 255, (600, 400, 3), dtype=np.uint8)
    iio.imwrite(folder / "a.png", large)
    iio.imwrite(folder / "b.png", coarse)
    radiance = np.exp2(rng.uniform(-8, 8, (16, 32, 1))).astype(np.float32).repeat(3, 2)
    (folder / "c.hdr").write_bytes(imagecodecs.rgbe_encode(radiance, header=True))
    shutil.copy(EXAMPLE, folder / "d.dng")
    return folder


def test_a_pack_with_room_holds_all(tmp_path, folder):
    kept = pack_references([folder], tmp_path / "all.npz", megabytes=40)
    assert {Path(name).name: share for name, share in kept.items()} == dict.fromkeys(
        ["a.png", "b.png", "c.hdr", "d.dng"], 1
    )
    large, small, panorama, raw = load_sources([folder])
    packed_large, packed_small, packed_panorama, packed_raw = load_sources([tmp_path / "all.npz"])
    assert packed_large.pixels.dtype == torch.uint8
    assert packed_large.pixels.shape == large.pixels.shape
    assert (packed_small.pixels.float() - small.pixels.float()).abs().mean() < 12
    ratio = packed_panorama.radiance / panorama.radiance
    assert ratio.log().abs().median() < 0.1
    assert packed_panorama.radiance.max() > 100
    assert torch.allclose(packed_raw.planes, raw.planes, atol=5e-4)


@pytest.mark.parametrize("megabytes", [0.25, 0.35])
def test_a_pack_is_cut_and_reduced_until_it_fits(tmp_path, folder, megabytes):
    (folder / "d.dng").unlink()
    path = tmp_path / "small.npz"
    kept = {
        Path(n).name: s for n, s in pack_references([folder], path, megabytes=megabytes).items()
    }
    assert 0.7 * megabytes < path.stat().st_size / 1e6 <= megabytes
    assert 0 < kept["a.png"] < 1
    assert kept["b.png"] == kept["c.hdr"] == 1
    large = load_sources([path])[0].pixels.float()
    assert large.shape[1] * large.shape[2] == pytest.approx(kept["a.png"] * 600 * 900)
    assert large[:, :, large.shape[2] // 2 :].std((1, 2)).mean() > 30


def test_what_does_not_fit_is_told(tmp_path, folder):
    path = tmp_path / "tiny.npz"
    words = ["train", "--photos", str(folder), "--pack", str(path), "--pack-megabytes", "0.1"]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 0
    assert ended.stdout.strip() == str(path)
    assert f"left out, too little of it would fit: {folder / 'a.png'}" in ended.stderr
    assert "2 of 4 references whole, 0 cut or reduced, 2 left out" in ended.stderr


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["--pack", "x.npz"], "--pack takes --photos"),
        (["--pack", "x.npz", "--photos", ".", "--pairs", "."], "no --pairs"),
        (["--photos", "."], "give a recipe and --output"),
    ],
)
def test_what_belongs_together_is_asked_for(command, told):
    ended = CliRunner().invoke(app, ["train", *command])
    assert ended.exit_code == 2
    assert told in ended.stderr


def test_a_damaged_pack_is_refused(tmp_path):
    path = tmp_path / "bad.npz"
    path.write_bytes(b"no pack")
    with pytest.raises(InputError, match="not a pack"):
        load_sources([path])


def test_no_photos_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no photographs"):
        load_sources([tmp_path])
    with pytest.raises(InputError, match="no such folder"):
        load_sources([tmp_path / "missing"])
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"broken\.png"):
        load_sources([tmp_path])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("steps = 3", "name"),
        ('name = "x"\nstepps = 3', "stepps"),
        ('name = "x"\nsteps = "3"', "steps"),
        ('name = "x"\nsteps = 0', "steps"),
        ('name = "x"\nlater = 2', "later"),
        ('name = "x"\npeak = -1', "peak"),
        ('name = "x"\nloss = "l3"', "loss"),
        ('name = "x"\nthrough = 1', "through"),
        ('name = "x"\nsteps = true', "steps"),
        ('name = "x"\npatch = 100', "patch"),
        ('name = "x"\n[network]\nbackbone = "vgg"', "network.backbone"),
        ('name = "x"\n[network]\nwide = 3', "network.wide"),
        ("name = ", "TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_by_the_key_s_name(tmp_path, text, named):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=named):
        read_recipe(path)


@pytest.mark.parametrize("name", ["base", "fast", "gpu"])
def test_a_shipped_recipe_has_the_network_of_the_weights(request, name):
    recipe = read_recipe(request.config.rootpath / "weights" / "recipes" / f"{name}.toml")
    _, info = load_weights(recipe.name)
    shipped = NetworkConfig(**info.network | {"widths": tuple(info.network["widths"])})
    assert shipped == recipe.network


def test_a_quarter_of_an_hour_from_packing_to_evaluation(tmp_path, folder, request):
    recipe = (request.config.rootpath / "weights" / "recipes" / "gpu.toml").read_text("utf-8")
    smaller = recipe.replace("batch = 32", "batch = 1").replace("patch = 192", "patch = 32")
    (tmp_path / "small.toml").write_text(smaller.replace("steps = 1000000", "steps = 2"))
    pack, output = tmp_path / "pack.npz", tmp_path / "run"
    commands = [
        ["train", "--photos", folder, "--pack", pack, "--pack-megabytes", "40"],
        ["train", tmp_path / "small.toml", "--init", "nightfix-base", "--photos", pack]
        + ["--output", output, "--minutes", "14", "--checkpoint-minutes", "2", "--device", "cpu"],
        ["evaluate", "--weights", output / "nightfix-base.safetensors", "--photos", folder]
        + ["--ratio", "100", "--steps", "1"],
    ]
    for command in commands:
        ended = CliRunner().invoke(app, [str(word) for word in command])
        assert ended.exit_code == 0, ended.stderr
    network, info = load_weights(str(output / "nightfix-base.safetensors"))
    assert info.training["steps"] == 2
    shipped = load_weights("nightfix-base")[0].state_dict()
    changes = [(shipped[k] - v).abs().max() for k, v in network.state_dict().items()]
    assert 0 < max(changes) < 0.05
    assert "x100" in ended.stdout
