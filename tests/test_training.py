from __future__ import annotations

import dataclasses
import json

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from nightfix.errors import InputError, RecipeError
from nightfix.network import NetworkConfig
from nightfix.progress import no_progress
from nightfix.training.blur import blur, shake_kernel
from nightfix.training.config import Recipe, read_recipe
from nightfix.training.data import load_photos, make_batch
from nightfix.training.loss import stabilized_l1
from nightfix.training.noise import SensorNoise, add_noise, random_sensor
from nightfix.training.trainer import Trainer, learning_rate, train
from nightfix.training.unprocess import gamma_expansion, mosaic_planes, unprocess
from nightfix.weights import load_weights

TINY = Recipe(
    name="tiny",
    steps=8,
    batch=2,
    patch=32,
    rollout=1.0,
    blur_start=0.0,
    learning_rate=2e-3,
    network=NetworkConfig(widths=(4, 8), capture_width=4, embedding=8),
)

QUIET = {"checkpoint_minutes": 60, "progress": no_progress}


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(11)


@pytest.fixture
def photos(rng) -> list[torch.Tensor]:
    shades = rng.integers(0, 255, (3, 12, 16), dtype=np.uint8)
    return [torch.from_numpy(np.kron(shades, np.ones((1, 20, 20), np.uint8)))]


@pytest.mark.parametrize("length", [0.0, 5.0, 25.0])
def test_kernel_is_light_centered_and_of_its_length(generator, length):
    kernel = shake_kernel(31, length, generator)
    axis = torch.arange(31.0) - 15
    assert kernel.min() >= 0
    assert kernel.sum().item() == pytest.approx(1, abs=1e-5)
    assert (kernel.sum(1) @ axis).item() == pytest.approx(0, abs=1e-3)
    assert (kernel.sum(0) @ axis).item() == pytest.approx(0, abs=1e-3)
    assert int((kernel > 0).sum()) <= 4 + 4 * length


def test_blur_is_a_convolution(generator):
    from scipy.ndimage import convolve

    light = torch.rand((1, 40, 50), generator=generator)
    kernel = shake_kernel(9, 6, generator)
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


def test_a_step_always_has_the_same_batch(photos):
    one, again, other = (make_batch(photos, TINY, step) for step in (3, 3, 4))
    assert torch.equal(one.capture, again.capture)
    assert not torch.equal(one.capture, other.capture)


@pytest.mark.parametrize(
    ("share", "withheld", "told"), [(1.0, 0.0, 1.0), (0.0, 0.0, -1.0), (1.0, 1.0, 0.0)]
)
def test_the_network_is_told_of_blur_unless_it_is_withheld(photos, share, withheld, told):
    recipe = dataclasses.replace(TINY, blur_share=share, blur_withheld=withheld)
    assert make_batch(photos, recipe, 1).condition.blur.unique().tolist() == [told]


@pytest.mark.parametrize(("step", "told"), [(3, -1.0), (4, 1.0)])
def test_blur_begins_with_the_second_stage(photos, step, told):
    recipe = dataclasses.replace(TINY, blur_share=1.0, blur_withheld=0.0, blur_start=0.5)
    assert make_batch(photos, recipe, step).condition.blur.unique().tolist() == [told]


def test_target_is_the_mean_of_still_captures(photos):
    recipe = dataclasses.replace(TINY, blur_share=0.0, batch=8, noise_error=0.0)
    batch = make_batch(photos, recipe, 1)
    error = (batch.capture - batch.target).mean((1, 2, 3))
    noise = (batch.condition.a * batch.condition.ratio + batch.condition.b).sqrt().flatten()
    lamps = (batch.target > 0.95).float().mean((1, 2, 3)) > 0.01
    rows = noise * batch.condition.ratio.flatten() * 0.05 + 0.01
    assert bool((error.abs() < rows)[~lamps].all())


def test_rate_warms_up_and_falls():
    recipe = dataclasses.replace(TINY, steps=1000)
    rates = [learning_rate(recipe, step) for step in (0, 99, 550, 1000)]
    assert rates == pytest.approx([2e-5, 2e-3, 0.51 * 2e-3, 0.02 * 2e-3], rel=0.01)


def test_training_lowers_the_loss(photos, tmp_path):
    network = NetworkConfig(widths=(16,), capture_width=0, embedding=8)
    recipe = dataclasses.replace(
        TINY, steps=100, blur_share=0.0, rollout=0.0, learning_rate=1e-2, ema=0.5, network=network
    )
    batch = make_batch(photos, dataclasses.replace(recipe, batch=8), 1000)

    def loss(network: torch.nn.Module) -> float:
        with torch.no_grad():
            predicted = network(batch.capture, batch.capture, batch.condition)
            return stabilized_l1(predicted, batch.target, batch.condition).item()

    trainer = Trainer(recipe, photos, tmp_path, torch.device("cpu"))
    before = loss(trainer.network)
    trainer.network.load_state_dict(trainer.run(**QUIET))
    assert loss(trainer.network) < 0.98 * before
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [20, 40, 60, 80, 100]


def test_a_stopped_run_goes_on_to_the_same_weights(photos, tmp_path):
    whole = Trainer(TINY, photos, tmp_path / "a", torch.device("cpu")).run(**QUIET)
    first = Trainer(TINY, photos, tmp_path / "b", torch.device("cpu"))
    for _ in range(5):
        first._train_step()
        first.step += 1
    first.save()
    again = Trainer(TINY, photos, tmp_path / "b", torch.device("cpu"))
    assert again.step == 5
    resumed = again.run(**QUIET)
    assert all(torch.allclose(whole[key], resumed[key], atol=1e-6) for key in whole)


def test_train_writes_weights_that_load(tmp_path, rng):
    folder = tmp_path / "photos"
    folder.mkdir()
    iio.imwrite(folder / "one.png", rng.integers(0, 255, (120, 140, 3), dtype=np.uint8))
    path = train(dataclasses.replace(TINY, steps=2), folder, tmp_path / "run", device="cpu")
    network, info = load_weights(str(path))
    assert network.config == TINY.network
    assert info.training["photos"] == 1


def test_no_photos_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no photographs"):
        load_photos(tmp_path)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("steps = 3", "name"),
        ('name = "x"\nstepps = 3', "stepps"),
        ('name = "x"\nsteps = "3"', "steps"),
        ('name = "x"\nsteps = 0', "steps"),
        ('name = "x"\nrollout = 2', "rollout"),
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


def test_the_shipped_recipe_is_right(request):
    recipe = read_recipe(request.config.rootpath / "weights" / "recipes" / "base.toml")
    assert recipe.name == "nightfix-base"
