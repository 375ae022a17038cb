from __future__ import annotations

import pytest
import torch

from nightfix.restore import tiling
from nightfix.restore.tiling import (
    border_of,
    in_strips,
    local_maximum,
    local_mean,
    map_tiles,
    middle_rows,
    reflect_indices,
    tiles,
    window,
)


def answered(function):
    """Make of a function of whole windows one that answers what is asked of it."""
    return lambda *frames, inner: inner.of(function(*frames))


SHAPES = [(1, 1), (5, 40), (64, 64), (70, 133)]


@pytest.mark.parametrize("size", [1, 15, 16, 17, 100])
@pytest.mark.parametrize("tile", [16, 32])
@pytest.mark.parametrize("fade", [0, 8])
def test_windows_add_up_to_one(size, tile, fade):
    total = torch.zeros(size + 2 * tile)
    for start in range(0, size, tile):
        weights = window(start, min(tile, size - start), size, fade)
        total[start - fade + tile : start - fade + tile + len(weights)] += weights
    assert torch.allclose(total[tile : tile + size], torch.ones(size))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("tile", [16, 48, 512])
def test_identity_comes_back(shape, tile):
    frame = torch.rand((4, *shape), generator=torch.Generator().manual_seed(1))
    result = map_tiles(answered(lambda x, y: x), (frame, frame), tile=tile, context=20, multiple=16)
    assert torch.allclose(result, frame, atol=1e-6)


@pytest.mark.parametrize("tile", [16, 32, 64])
def test_a_filter_within_the_context_gives_the_same_pixels_in_any_tile(tile):
    frame = torch.rand((4, 90, 75), generator=torch.Generator().manual_seed(1))

    def blur(x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x, 9, 1, 4, count_include_pad=False)

    whole = map_tiles(answered(blur), (frame, frame), tile=512, context=8, multiple=16)
    cut = map_tiles(answered(blur), (frame, frame), tile=tile, context=8, multiple=16)
    assert torch.allclose(whole, cut, atol=1e-6)


@pytest.mark.parametrize(
    ("at_once", "groups"), [(3, [3, 3, 3]), (2, [2, 1] * 3), (1, [1] * 9), (0, [1] * 9)]
)
def test_small_windows_of_one_size_are_computed_together(at_once, groups):
    frame = torch.rand((4, 160, 160), generator=torch.Generator().manual_seed(1))
    side, seen = 32 + 2 * border_of(16, 16), []

    def note(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.shape)
        return x

    samples = at_once * side**2
    result = map_tiles(answered(note), (frame,), tile=32, context=16, multiple=16, at_once=samples)
    assert torch.allclose(result, frame, atol=1e-6)
    assert [shape[0] for shape in seen if shape[2:] == (side, side)] == groups
    assert sum(shape[0] for shape in seen) == 25


def test_no_more_is_computed_together_than_a_strip(monkeypatch):
    frame, counts = torch.rand(4, 160, 160), []
    monkeypatch.setattr(tiling, "_STRIP", 2 * 96**2)
    map_tiles(
        answered(lambda x: (counts.append(x.shape[0] * x.shape[2] * x.shape[3]), x)[1]),
        (frame,),
        tile=32,
        context=16,
        multiple=16,
        at_once=10**9,
    )
    assert 96**2 < max(counts) <= 2 * 96**2


@pytest.mark.parametrize("fade", [0, 8])
def test_windows_computed_together_are_those_computed_alone(fade):
    """Also where they go on beyond the frame, and where not all of them are wanted."""
    generator = torch.Generator().manual_seed(1)
    frames = tuple(torch.rand((4, 150, 170), generator=generator) for _ in range(2))
    wanted = torch.rand((150, 170), generator=generator) > 0.9995

    def blur(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x * y, 9, 1, 4, count_include_pad=False)

    settings = {"tile": 16, "context": 16, "multiple": 16, "fade": fade, "wanted": wanted}
    alone, together = (
        map_tiles(answered(blur), frames, **settings, at_once=at_once) for at_once in (0, 10**6)
    )
    assert alone.abs().amax(0)[wanted].min() > 0
    assert bool((alone == 0).any())
    assert torch.allclose(alone, together, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_windows_have_sides_of_the_multiple(shape):
    sides = set()

    def note(x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        sides.update(x.shape[2:])
        return x

    frame = torch.zeros((4, *shape))
    map_tiles(answered(note), (frame, frame), tile=32, context=10, multiple=16)
    assert {side % 16 for side in sides} == {0}


def test_windows_without_a_wanted_sample_are_left_out():
    frame = torch.ones((4, 64, 64))
    wanted = torch.zeros((64, 64), dtype=torch.bool)
    wanted[40, 50] = True
    calls = []

    def note(x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        calls.append(x.shape)
        return x

    result = map_tiles(
        answered(note), (frame, frame), tile=32, context=16, multiple=16, fade=0, wanted=wanted
    )
    assert len(calls) == 1
    assert result[0, 40, 50] == 1
    assert result[0, 5, 5] == 0


def test_every_tile_is_counted():
    counted = []
    frame = torch.ones((4, 64, 40))
    map_tiles(
        answered(lambda x, y: x),
        (frame, frame),
        tile=32,
        context=0,
        multiple=16,
        advance=lambda: counted.append(1),
    )
    assert len(counted) == len(tiles((64, 40), 32, 16, border_of(0, 16))) == 4


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_reflection_keeps_to_the_row(size):
    indices = reflect_indices(-25, size + 25, size)
    assert indices.min() >= 0
    assert indices.max() < size
    assert indices[25 : 25 + size].tolist() == list(range(size))


@pytest.mark.parametrize("shape", [(1, 1), (33, 70)], ids=str)
def test_local_mean_of_a_constant_is_the_constant(shape):
    means = local_mean(torch.full((4, *shape), 0.3), 32)
    assert torch.allclose(means, torch.full_like(means, 0.3))


@pytest.mark.parametrize("shape", [*SHAPES, (3, 7)], ids=str)
@pytest.mark.parametrize("size", [2, 16])
def test_local_means_are_those_of_the_mirrored_frame(shape, size):
    generator = torch.Generator().manual_seed(3)
    frame = torch.randn((2, *shape), generator=generator, dtype=torch.float64)
    half, mirrored = size // 2, frame
    for axis, length in enumerate(shape, 1):
        ends = (-half, -(-length // half) * half + half)
        mirrored = mirrored.index_select(axis, reflect_indices(*ends, length))
    pooled = torch.nn.functional.avg_pool2d(mirrored, size, half)
    torch.testing.assert_close(local_mean(frame, size), pooled, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("reach", [1, 2, 32])
def test_local_maximum_is_that_of_pooling(shape, reach):
    frame = torch.randn((2, *shape), generator=torch.Generator().manual_seed(3)) - 2
    pooled = torch.nn.functional.max_pool2d(frame, 2 * reach + 1, 1, reach)
    assert torch.equal(local_maximum(frame, reach), pooled)


@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (70, 133), (333, 64), (1000, 16)], ids=str)
@pytest.mark.parametrize("tile", [16, 48, 64, 512])
def test_tiles_cover_the_frame_once_and_are_no_larger_than_asked_for(shape, tile):
    covered = torch.zeros(shape)
    for part in tiles(shape, tile, 16, 128):
        assert part.height * part.width <= tile**2
        assert part.top % 16 == part.left % 16 == 0
        covered[part.top : part.top + part.height, part.left : part.left + part.width] += 1
    assert torch.equal(covered, torch.ones(shape))


@pytest.mark.parametrize(
    ("shape", "tile"),
    [((1500, 2000), 2944), ((2000, 3000), 1760), ((2000, 3000), 2944), ((4080, 6120), 2944)],
    ids=["12 MP", "24 MP, halves", "24 MP", "100 MP"],
)
def test_overlap_costs_at_most_15_percent(shape, tile):
    """With the reach of the default network and the tiles that are chosen by themselves."""
    read = []

    def note(x: torch.Tensor) -> torch.Tensor:
        read.append(x.shape[2] * x.shape[3])
        return x

    frame = torch.empty((1, 1, 1)).expand(1, *shape)
    map_tiles(answered(note), (frame,), tile=tile, context=109, multiple=16)
    assert 1 <= sum(read) / (shape[0] * shape[1]) <= 1.15
    if len(read) == 1:
        assert read == [-(-shape[0] // 16) * 16 * -(-shape[1] // 16) * 16], "beyond the grid"


def _halved_and_summed(
    inside: bool, fine: torch.Tensor, coarse: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Look four rows up and down, and answer at both pitches; inside, leave these rows out."""
    blurred = torch.nn.functional.avg_pool2d(
        fine, 9, 1, (0 if inside else 4, 4), count_include_pad=True
    )
    reduced = torch.nn.functional.avg_pool2d(blurred, 2)
    return blurred, reduced + middle_rows(coarse, reduced.shape[2])


@pytest.mark.parametrize("height", [2, 8, 62, 64, 130])
@pytest.mark.parametrize("strip", [200, 1000, 10_000])
def test_strips_give_the_same_as_the_whole(height, strip, monkeypatch):
    generator = torch.Generator().manual_seed(2)
    fine = torch.rand((1, 3, height, 20), generator=generator)
    coarse = torch.rand((1, 3, height // 2, 10), generator=generator)
    monkeypatch.setattr(tiling, "_STRIP", strip)
    with torch.no_grad():
        strips = in_strips(_halved_and_summed, (fine, coarse), halo=4, step=2)
    for one, other in zip(strips, _halved_and_summed(False, fine, coarse), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_only_strips_with_a_halo_at_both_ends_are_inside(monkeypatch):
    monkeypatch.setattr(tiling, "_STRIP", 80)
    seen = []

    def note(inside: bool, x: torch.Tensor) -> tuple[torch.Tensor]:
        seen.append((inside, x.shape[2]))
        return (x,)

    frame = torch.arange(26.0)[None, None, :, None].expand(1, 1, 26, 20)
    with torch.no_grad():
        (same,) = in_strips(note, (frame,), halo=2, step=2)
    assert seen == [(False, 6), *[(True, 8)] * 5, (False, 4)]
    assert torch.equal(same, frame)


def test_a_frame_with_gradients_is_one_strip(monkeypatch):
    monkeypatch.setattr(tiling, "_STRIP", 16)
    fine = torch.rand((1, 1, 64, 8), requires_grad=True)
    calls = []

    def note(_: bool, x: torch.Tensor) -> tuple[torch.Tensor]:
        calls.append(x.shape)
        return (2 * x,)

    (answer,) = in_strips(note, (fine,), halo=0, step=2)
    answer.sum().backward()
    assert calls == [fine.shape]
    assert torch.equal(fine.grad, torch.full_like(fine, 2))


@pytest.mark.parametrize("tile", [24, 64], ids=["windows", "one window"])
def test_what_lies_beyond_the_frame_is_not_read_where_it_is_not_wanted(tile):
    """Without a grid, windows end with the frame, and still add up to it."""
    frame, sizes = torch.rand((4, 50, 70), generator=torch.Generator().manual_seed(3)), []

    def same(part):
        sizes.append(tuple(part.shape[2:]))
        return part

    result = map_tiles(answered(same), (frame,), tile=tile, context=4, multiple=1)
    assert torch.allclose(result, frame, atol=1e-6)
    if tile < 50:
        assert len(sizes) > 1
        assert all(height <= 50 and width <= 70 for height, width in sizes)
    else:
        assert sizes == [(50, 70)]
