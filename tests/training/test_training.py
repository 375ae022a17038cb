from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from nightfix.errors import DeviceError, InputError, RecipeError
from nightfix.progress import no_progress
from nightfix.restore.motion.deconvolution import KERNEL_SIZE
from nightfix.restore.network import NetworkConfig
from nightfix.restore.weights import load_weights
from nightfix.training.camera_shake import blur, misjudged, random_shake
from nightfix.training.config import Recipe, read_recipe
from nightfix.training.data import make_batch
from nightfix.training.loss import LOSSES, developed_error, peak_error, stabilized_l1
from nightfix.training.noise import SensorNoise, add_noise, random_sensor
from nightfix.training.sources import (
    Panorama,
    Photograph,
    RawPhoto,
    load_sources,
    look_into,
    under_stars,
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


@pytest.mark.parametrize("tail", [None, -0.2, 0.0, 0.14], ids=str)
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
    one, again, other = (make_batch(photos, TINY, step, 0.5) for step in (3, 3, 4))
    assert torch.equal(one.capture, again.capture)
    assert not torch.equal(one.capture, other.capture)


def _many(photos, **changes):
    recipe = dataclasses.replace(TINY, batch=64, **changes)
    return make_batch(photos, recipe, 1, 1.0)


def test_where_nothing_is_told_of_a_shake_it_is_to_be_undone(photos):
    batch = _many(photos, blur_share=1.0, blur_withheld=1.0)
    for task in (batch.first, batch.later):
        assert task.condition.blur.unique().tolist() == [0.0]
        assert bool((task.kernel.amax((1, 2)) == 1).all())
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
    batch = make_batch(photos, recipe, 1, progress)
    assert torch.equal(batch.first.target, batch.scene) != shaken


def test_target_is_the_mean_of_still_captures(photos):
    recipe = dataclasses.replace(TINY, blur_share=0.0, batch=8, noise_error=0.0)
    batch = make_batch(photos, recipe, 1, 1.0)
    target, told = batch.first.target, batch.first.condition
    error = (batch.capture - target).mean((1, 2, 3))
    noise = (told.a * told.ratio + told.b).sqrt().flatten()
    lamps = (target > 0.95).float().mean((1, 2, 3)) > 0.01
    rows = noise * told.ratio.flatten() * 0.05 + 0.01
    assert bool((error.abs() < rows)[~lamps].all())


def test_a_panorama_is_seen_where_one_looks():
    radiance = torch.zeros(3, 64, 128)
    radiance[:, 20, 100] = 5.0
    longitude = (100.5 / 64 - 1) * np.pi
    latitude = (20.5 / 32 - 1) * np.pi / 2
    seen = look_into(radiance, 31, pitch=-latitude, yaw=longitude, focal=40.0)
    assert seen.argmax().item() % 31**2 == 15 * 31 + 15
    assert seen.max() > 2
    assert look_into(radiance, 31, pitch=-latitude, yaw=longitude + 2, focal=40.0).max() == 0


def test_lamps_of_a_panorama_stay_above_white(generator):
    radiance = torch.full((3, 64, 128), 0.2)
    radiance[:, ::8, ::8] = 500.0
    recipe = dataclasses.replace(TINY, blur_share=0.0)
    shots = [Panorama(radiance.half()).shoot(recipe, None, generator) for _ in range(8)]
    assert max(float(shot.sharp.max()) for shot in shots) > 2
    assert all(bool(shot.capture.isfinite().all()) for shot in shots)


def test_a_night_is_dark_and_its_stars_are_mostly_faint(generator):
    day = 0.3 + 0.4 * torch.rand(3, 96, 96, generator=generator)
    nights = torch.stack([under_stars(day, generator) for _ in range(40)])
    skies = nights.flatten(2).median(2).values[:, :, None, None]
    assert 0.01 < skies.min() < 0.05
    assert 0.05 < skies.median() < 0.2
    clear = ((nights - skies).abs() < 0.01 * skies).float().mean((1, 2, 3)) > 0.3
    assert 10 < clear.sum() < 30
    stars = (nights - skies)[clear].mean(1, keepdim=True)
    tops = (stars == torch.nn.functional.max_pool2d(stars, 5, 1, 2)) & (stars > 1e-3)
    assert stars.max() > 0.3
    assert 0.005 < stars[tops].median() < 0.1


def test_an_interpolated_raw_is_no_reference(tmp_path, synthetic_raw):
    raw = synthetic_raw(shape=(256, 256))
    write_dng(tmp_path / "linear.dng", raw, restored=False, linear=True)
    with pytest.raises(InputError, match="interpolated"):
        load_sources([tmp_path])


def test_a_raw_reference_is_taken_as_it_is(generator):
    planes = torch.tensor([0.1, 0.2, 0.3, 0.4])[:, None, None].expand(4, 60, 70).half()
    recipe = dataclasses.replace(TINY, patch=32)
    shots = [
        RawPhoto(planes).shoot(recipe, random_shake(8, generator), generator) for _ in range(12)
    ]
    means = torch.stack([shot.sharp.mean((1, 2)) for shot in shots])
    shades = means / means[:, :1]
    greens = shades[:, 1:3].sort().values
    assert torch.allclose(greens, torch.tensor([2.0, 3.0]).expand(12, 2), atol=0.01)
    assert torch.allclose(shades[:, 3], torch.tensor(4.0), atol=0.01)
    assert len(shades[:, 1].round().unique()) == 2
    assert torch.allclose(shots[0].seen, shots[0].sharp, atol=1e-3)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_loss_is_least_at_the_truth_and_grows(photos, name):
    batch = make_batch(photos, dataclasses.replace(TINY, batch=4), 1, 1.0)
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
    rates = [learning_rate(recipe, step) for step in (0, 99, 550, 1000)]
    assert rates == pytest.approx([2e-5, 2e-3, 0.51 * 2e-3, 0.02 * 2e-3], rel=0.01)


def test_training_lowers_the_loss(photos, tmp_path):
    network = NetworkConfig(widths=(16,), capture_width=0, embedding=8)
    recipe = dataclasses.replace(
        TINY, steps=100, blur_share=0.0, later=0.0, learning_rate=1e-2, ema=0.5, network=network
    )
    batch = make_batch(photos, dataclasses.replace(recipe, batch=8), 1000, 1.0)

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
    for batch, _ in zip(first._batches(), range(5), strict=False):
        first._train_step(batch)
        first.step += 1
    first.save()
    again = Trainer(TINY, photos, tmp_path / "b", torch.device("cpu"))
    assert again.step == 5
    resumed = again.run(**QUIET)
    assert all(torch.allclose(whole[key], resumed[key], atol=1e-6) for key in whole)


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


@pytest.mark.parametrize("name", ["base", "fast"])
def test_the_recipes_are_right(request, name):
    recipe = read_recipe(request.config.rootpath / "weights" / "recipes" / f"{name}.toml")
    assert recipe.name == f"nightfix-{name}"


@pytest.mark.parametrize("name", ["base", "fast"])
def test_a_shipped_recipe_has_the_network_of_the_weights(request, name):
    recipe = read_recipe(request.config.rootpath / "weights" / "recipes" / f"{name}.toml")
    _, info = load_weights(recipe.name)
    shipped = NetworkConfig(**info.network | {"widths": tuple(info.network["widths"])})
    assert shipped == recipe.network
