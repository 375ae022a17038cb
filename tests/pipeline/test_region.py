from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from nightfix.condition import ExposureTarget
from nightfix.condition.conditioning import Settings
from nightfix.develop.develop import develop_raw
from nightfix.errors import CropError
from nightfix.pipeline.photo import EnhanceOptions
from nightfix.pipeline.region import preview, sensor_area, side_by_side
from nightfix.restore.motion.deconvolution import shake
from nightfix.write.dng import write_dng
from nightfix.write.formats import WriteOptions

OPTIONS = EnhanceOptions(exposure=ExposureTarget(ratio=16), settings=Settings(steps=1))


@pytest.fixture
def photo(tmp_path, synthetic_raw):
    path = tmp_path / "photo.dng"
    write_dng(path, synthetic_raw(shape=(420, 600)), restored=False)
    return path


@pytest.fixture
def see(tmp_path, photo, tiny_restorer):
    """Preview a region, and count how often the network is asked for."""
    calls = []

    def load():
        calls.append(1)
        return tiny_restorer

    def see(options=OPTIONS, crop=(40, 30, 100, 60), **others):
        seen = preview(
            photo,
            options,
            **others,
            weights=tiny_restorer.info.sha256,
            load=load,
            crop=crop,
            cache=tmp_path / "cache",
        )
        return seen, len(calls)

    return see


def whole(photo, tiny_restorer, options=OPTIONS):
    """The same region of the whole photo, restored as enhance does."""
    from nightfix.condition.conditioning import condition_raw
    from nightfix.read.reader import read_raw

    raw = read_raw(photo)
    restored = tiny_restorer.restore(
        raw, condition_raw(raw, ExposureTarget(ratio=16)), options.settings
    )
    return develop_raw(restored, tone=options.writing.tone)


def test_a_region_is_that_of_the_whole_result(see, photo, tiny_restorer):
    seen, _ = see()
    expected = whole(photo, tiny_restorer)[30:90, 40:140]
    assert seen.after.shape == (60, 100, 3)
    assert np.abs(seen.after - expected).max() < 1e-3
    assert not np.array_equal(seen.before, seen.after)


def shaken_by(side: int) -> torch.Tensor:
    kernel = torch.zeros(side, side)
    kernel[side // 2, side // 2 - 1 : side // 2 + 2] = torch.tensor([0.25, 0.5, 0.25])
    return kernel


@pytest.mark.parametrize(
    ("shaken", "side"), [(True, 33), (True, 65), (False, 33)], ids=["shaken", "long", "still"]
)
def test_the_shake_is_the_photo_s_not_the_region_s(
    see, photo, tiny_restorer, monkeypatch, physics_alone, shaken, side
):
    """What a region alone would show is the contrary; the photo is measured once."""
    looks = []

    def find_shake(capture, picture, **_):
        looks.append(picture.shape)
        return shaken_by(side) if (picture.shape == (4, 210, 300)) == shaken else None

    monkeypatch.setattr("nightfix.restore.restorer.find_shake", find_shake)
    # Local, unlike the deconvolution, whose weights follow the mean light of what it sees.
    monkeypatch.setattr(
        "nightfix.restore.restorer.deconvolve",
        lambda planes, kernel, **_: shake(planes, kernel),
    )
    settings = Settings(steps=2, deterministic=True)
    options = replace(OPTIONS, settings=settings, writing=WriteOptions(tone="linear"))
    told = []
    first, _ = see(options, announce=told.append)
    second, _ = see(options, crop=(20, 10, 100, 60))
    assert len(looks) == 1
    assert any("--no-deblur keeps it" in note for note in told) == shaken
    expected = whole(photo, tiny_restorer, options)
    assert np.abs(first.after - expected[30:90, 40:140]).max() < 2e-3
    assert np.abs(second.after - expected[10:70, 20:120]).max() < 2e-3


def test_strengths_take_no_further_pass(see):
    first, calls = see()
    assert (first.cached, calls) == (False, 1)
    weak = replace(OPTIONS, settings=replace(OPTIONS.settings, strength=0.0))
    second, calls = see(weak)
    assert (second.cached, calls) == (True, 1)
    np.testing.assert_allclose(second.after, second.before, atol=2e-3)
    third, calls = see(replace(weak, chroma=100.0, writing=WriteOptions(tone="linear")))
    assert (third.cached, calls) == (True, 1)


@pytest.mark.parametrize(
    "other",
    [
        {"options": replace(OPTIONS, exposure=ExposureTarget(ratio=8))},
        {"options": replace(OPTIONS, settings=Settings(steps=2))},
        {"options": replace(OPTIONS, deblur=True)},
        {"crop": (300, 200, 100, 60)},
    ],
    ids=str,
)
def test_what_the_network_would_do_otherwise_it_does(see, other):
    see()
    seen, calls = see(**other)
    assert (seen.cached, calls) == (False, 2)


def test_a_damaged_cache_is_only_slower(see, tmp_path):
    first, _ = see()
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:99])
    again, calls = see()
    assert calls == 2
    np.testing.assert_array_equal(first.after, again.after)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_are_those_of_the_upright_picture(synthetic_raw, orientation):
    """What is cut out of the upright picture is what the area develops to."""
    from nightfix.read.reader import Rectangle

    raw = replace(
        synthetic_raw(shape=(60, 80)), orientation=orientation, crop=Rectangle(4, 6, 50, 70)
    )
    area = sensor_area(raw, (5, 8, 20, 12))
    picture = develop_raw(raw)[8:20, 5:25]
    np.testing.assert_allclose(develop_raw(replace(raw, crop=area)), picture, atol=1e-6)


@pytest.mark.parametrize("crop", [(0, 0, 601, 10), (590, 0, 11, 10), (0, 419, 5, 2)], ids=str)
def test_a_region_outside_is_an_error(see, crop):
    with pytest.raises(CropError, match="600 x 420"):
        see(crop=crop)


def test_without_a_region_it_is_the_middle(see):
    seen, _ = see(crop=None)
    assert seen.after.shape == (420, 600, 3)


def test_side_by_side():
    joined = side_by_side(np.zeros((3, 5, 3), np.float32), np.full((3, 5, 3), 0.5, np.float32))
    assert joined.shape == (3, 14, 3)
    assert joined[0, :, 0].tolist() == [0] * 5 + [1] * 4 + [0.5] * 5
