from __future__ import annotations

import numpy as np
import pytest
from dng_files import LONG, DngSpec, write_test_dng

from nightfix.read.masked import Margins, measure_black
from nightfix.read.reader import correct_black, read_raw, to_dn

TOP, LEFT, HEIGHT, WIDTH = 12, 40, 400, 320
STATED, WHITE = 512, 16383
OFFSETS = np.array([[1.2, 0.1], [-0.2, -1.3]])


def frame(rng, *, light=30.0, offsets=OFFSETS, rows=0.0, noise=4.0):
    """A frame with masked pixels above and left, and the black that each of its rows has [DN]."""
    height, width = TOP + HEIGHT, LEFT + WIDTH
    y, x = np.mgrid[:height, :width]
    black = STATED + offsets[y % 2, x % 2]  # both margins are even: sites are the picture's
    banding = rows * rng.normal(size=height)
    picture = (y >= TOP) & (x >= LEFT)
    scene = light * (0.4 + x / width + (y > 200)) * picture
    samples = black + banding[:, None] + scene + noise * rng.normal(size=y.shape)
    return np.rint(samples), banding[TOP:], scene[TOP:, LEFT:]


def read(tmp_path, samples, *, areas=(), black=(float(STATED),) * 4):
    path = tmp_path / "margins.dng"
    numbers = tuple(number for area in areas for number in area)
    spec = DngSpec(
        np.clip(samples, 0, WHITE).astype(np.uint16),
        active_area=(TOP, LEFT, TOP + HEIGHT, LEFT + WIDTH),
        black=black,
        image=[(50830, LONG, len(numbers), numbers)] if areas else (),
    )
    return read_raw(write_test_dng(path, spec))


NAMED = ((TOP, 0, TOP + HEIGHT, LEFT),)


@pytest.mark.parametrize("areas", [(), NAMED], ids=["margins", "MaskedAreas"])
@pytest.mark.parametrize("light", [0.0, 3.0, 300.0])
def test_black_of_each_plane_is_corrected(tmp_path, rng, areas, light):
    samples, _, scene = frame(rng, light=light)
    raw = read(tmp_path, samples, areas=areas)
    np.testing.assert_allclose(raw.masked.offsets, OFFSETS, atol=0.15)
    assert raw.masked.rows is None
    corrected = correct_black(raw)
    assert corrected.masked is None
    truth = scene / (WHITE - STATED)
    for site in ((0, 0), (0, 1), (1, 0), (1, 1)):
        plane = np.s_[site[0] :: 2, site[1] :: 2]
        error = (corrected.mosaic - truth)[plane].mean() * (WHITE - STATED)
        assert abs(error) < 0.2


def test_the_file_s_numbers_stay_as_they_are(tmp_path, rng):
    samples, _, _ = frame(rng, rows=3.0)
    raw = read(tmp_path, samples)
    np.testing.assert_array_equal(to_dn(raw, raw.mosaic), samples[TOP:, LEFT:])
    assert (raw.black_level == STATED).all()
    assert (correct_black(raw).black_level == STATED).all()


@pytest.mark.parametrize("rows", [1.0, 3.0])
def test_rows_that_differ_are_brought_together(tmp_path, rng, rows):
    samples, banding, scene = frame(rng, rows=rows)
    raw = read(tmp_path, samples)
    assert np.corrcoef(raw.masked.rows, banding)[0, 1] > 0.8

    def left(mosaic):
        return ((mosaic * (WHITE - STATED)) - scene).mean(1).std()

    flat = np.zeros((2, 2))
    samples, banding, scene = frame(rng, rows=rows, offsets=flat)
    raw = read(tmp_path, samples)
    # The masked columns' own noise: 4 DN over 38 samples.
    chance = 4 / 38**0.5
    assert left(correct_black(raw).mosaic) < 1.1 * rows * chance / np.hypot(rows, chance) + 0.25
    assert left(raw.mosaic) > 0.9 * rows


def test_rows_that_differ_by_chance_are_left_alone(tmp_path):
    for seed in range(12):
        samples, _, _ = frame(np.random.default_rng(seed))
        assert read(tmp_path, samples).masked.rows is None


def _columns_of_zeros(samples):
    samples[:, :8] = 0
    return samples


def _light_leaks_in(samples):
    samples[:, LEFT - 3 : LEFT] += np.array([5.0, 20.0, 80.0])
    return samples


def _hot_pixels(samples):
    samples[::17, 5::11] += 3000
    return samples


@pytest.mark.parametrize("spoil", [_columns_of_zeros, _light_leaks_in, _hot_pixels])
def test_what_is_not_black_in_a_margin_does_not_count(tmp_path, rng, spoil):
    samples, _, _ = frame(rng)
    samples = spoil(samples)
    np.testing.assert_allclose(read(tmp_path, samples).masked.offsets, OFFSETS, atol=0.25)


@pytest.mark.parametrize("level", [0, STATED + 60, STATED - 60])
def test_a_margin_far_from_the_stated_black_is_none(tmp_path, rng, level):
    samples, _, _ = frame(rng)
    samples[:, :LEFT] += level - STATED
    samples[:TOP] += level - STATED
    assert read(tmp_path, samples).masked is None


@pytest.mark.parametrize("light", [4.0, 12.0, 300.0])
def test_a_margin_that_is_a_part_of_the_picture_is_none(tmp_path, rng, light):
    y, x = np.mgrid[: TOP + HEIGHT, : LEFT + WIDTH]
    scene = light * (0.4 + 0.3 * (y > 200) + 0.1 * x / WIDTH)
    samples = np.rint(STATED + scene + 4 * rng.normal(size=y.shape))
    assert read(tmp_path, samples).masked is None


@pytest.mark.parametrize(("top", "left", "right"), [(0, 41, 0), (0, 0, 33), (13, 0, 0), (7, 0, 0)])
def test_offsets_are_those_of_the_picture_s_own_sites(rng, top, left, right):
    height, width = top + HEIGHT, left + WIDTH + right
    y, x = np.mgrid[:height, :width]
    picture = (y >= top) & (x >= left) & (x < left + WIDTH)
    black = STATED + OFFSETS[(y - top) % 2, (x - left) % 2]
    samples = np.rint(black + 40 * picture + 2 * rng.normal(size=y.shape)).astype(np.uint16)
    rows = np.s_[top:]
    around = Margins(
        top=samples[:top],
        left=samples[rows, :left],
        right=samples[rows, left + WIDTH :],
        bottom=samples[height:],
    )
    visible = samples[rows, left : left + WIDTH]
    found = measure_black(around, visible, np.full((2, 2), STATED, np.float32), WHITE)
    np.testing.assert_allclose(found.offsets, OFFSETS, atol=0.3)


def test_sides_that_disagree_are_none(tmp_path, rng):
    samples, _, _ = frame(rng)
    right = samples[:, :LEFT] + 9
    path = tmp_path / "two.dng"
    spec = DngSpec(
        np.hstack([samples, right]).astype(np.uint16),
        active_area=(TOP, LEFT, TOP + HEIGHT, LEFT + WIDTH),
        black=(512.0,) * 4,
    )
    assert read_raw(write_test_dng(path, spec)).masked is None


def test_without_margins_the_stated_black_stays(tmp_path, rng):
    samples = np.rint(STATED + 3 + 4 * rng.normal(size=(200, 300))).astype(np.uint16)
    raw = read_raw(write_test_dng(tmp_path / "plain.dng", DngSpec(samples, black=(512.0,) * 4)))
    assert raw.masked is None
    assert correct_black(raw) is raw


def test_a_real_camera_s_masked_pixels(shared):
    """Of a Canon EOS Kiss X4, whose DNG names no masked areas and states one black for all."""
    raw = read_raw(shared / "raw" / "canon-x4-colorchart.dng")
    np.testing.assert_allclose(raw.masked.offsets, [[-8.6, -8.6], [-5.5, -5.8]], atol=0.3)
