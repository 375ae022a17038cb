from __future__ import annotations

import pytest
import torch

from nightfix.tiling import local_mean, map_tiles, reflect_indices, tiles, window

SHAPES = [(1, 1), (5, 40), (64, 64), (70, 133)]


@pytest.mark.parametrize("size", [1, 15, 16, 17, 100])
@pytest.mark.parametrize("tile", [16, 32])
def test_windows_add_up_to_one(size, tile):
    total = torch.zeros(size + 2 * tile)
    for start in range(0, size, tile):
        weights = window(start, min(tile, size - start), size)
        total[start - 8 + tile : start - 8 + tile + len(weights)] += weights
    assert torch.allclose(total[tile : tile + size], torch.ones(size))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("tile", [16, 48, 512])
def test_identity_comes_back(shape, tile):
    frame = torch.rand((4, *shape), generator=torch.Generator().manual_seed(1))
    result = map_tiles(lambda x, y: x, (frame, frame), tile=tile, context=20, multiple=16)
    assert torch.allclose(result, frame, atol=1e-6)


@pytest.mark.parametrize("tile", [16, 32, 64])
def test_a_filter_within_the_context_gives_the_same_pixels_in_any_tile(tile):
    frame = torch.rand((4, 90, 75), generator=torch.Generator().manual_seed(1))

    def blur(x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x, 9, 1, 4, count_include_pad=False)

    whole = map_tiles(blur, (frame, frame), tile=512, context=8, multiple=16)
    cut = map_tiles(blur, (frame, frame), tile=tile, context=8, multiple=16)
    assert torch.allclose(whole, cut, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_windows_have_sides_of_the_multiple(shape):
    sides = set()

    def note(x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        sides.update(x.shape[2:])
        return x

    frame = torch.zeros((4, *shape))
    map_tiles(note, (frame, frame), tile=32, context=10, multiple=16)
    assert {side % 16 for side in sides} == {0}


def test_windows_without_a_wanted_sample_are_left_out():
    frame = torch.ones((4, 64, 64))
    wanted = torch.zeros((64, 64), dtype=torch.bool)
    wanted[40, 50] = True
    calls = []

    def note(x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        calls.append(x.shape)
        return x

    result = map_tiles(note, (frame, frame), tile=32, context=0, multiple=16, wanted=wanted)
    assert len(calls) == 1
    assert result[0, 40, 50] == 1
    assert result[0, 5, 5] == 0


def test_every_tile_is_counted():
    counted = []
    frame = torch.ones((4, 64, 40))
    map_tiles(
        lambda x, y: x,
        (frame, frame),
        tile=32,
        context=0,
        multiple=16,
        advance=lambda: counted.append(1),
    )
    assert len(counted) == len(list(tiles((64, 40), 32))) == 4


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
