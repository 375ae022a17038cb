from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from nightfix.condition.amplification import Amplification
from nightfix.condition.conditioning import Conditioning, Settings
from nightfix.condition.noise import NoiseModel
from nightfix.errors import DeviceMemoryError
from nightfix.read.bayer import CFA_PATTERNS, pack_bayer, transpose_planes
from nightfix.restore import restorer as module
from nightfix.restore.anchoring import anchor_brightness, keep_saturated
from nightfix.restore.motion.kernels import shake_length, still
from nightfix.restore.network import condition_of


def conditioning(ratio: float = 16.0, a: float = 4e-4, b: float = 4e-7) -> Conditioning:
    return Conditioning(
        amplification=Amplification(ratio=ratio, source="given", reason="given"),
        noise=NoiseModel(a=a, b=b, source="tag"),
    )


@pytest.mark.parametrize("pattern", [*CFA_PATTERNS, None], ids=str)
@pytest.mark.parametrize("shape", [(96, 128), (33, 47), (2, 2), (1, 9)], ids=str)
def test_only_the_mosaic_changes(tiny_restorer, synthetic_raw, pattern, shape):
    raw = synthetic_raw(cfa_pattern=pattern, shape=shape)
    restored = tiny_restorer.restore(raw, conditioning(), Settings(steps=2))
    assert restored.mosaic.shape == shape
    assert restored.mosaic.dtype == np.float32
    assert np.isfinite(restored.mosaic).all()
    same = {f.name for f in dataclasses.fields(raw)} - {"mosaic", "baseline_exposure"}
    assert {name for name in same if getattr(raw, name) is not getattr(restored, name)} == set()


@pytest.mark.parametrize("tile", [32, 64, 96])
@pytest.mark.parametrize("steps", [1, 3])
def test_same_pixels_in_tiles_of_any_size(tiny_restorer, synthetic_raw, tile, steps):
    raw = synthetic_raw(shape=(180, 220), lamp=12.0)
    whole = tiny_restorer.restore(raw, conditioning(), Settings(steps=steps, tile=1024))
    cut = tiny_restorer.restore(raw, conditioning(), Settings(steps=steps, tile=tile))
    assert np.abs(whole.mosaic - cut.mosaic).max() < 1e-3


def test_same_seed_same_pixels_other_seed_other_pixels(tiny_restorer, synthetic_raw):
    raw = synthetic_raw()
    first, again, other = (
        tiny_restorer.restore(raw, conditioning(), Settings(steps=3, seed=seed)).mosaic
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_deterministic_passes_do_not_depend_on_the_seed(tiny_restorer, synthetic_raw):
    raw = synthetic_raw()
    first, other = (
        tiny_restorer.restore(
            raw, conditioning(), Settings(steps=3, seed=seed, deterministic=True)
        ).mosaic
        for seed in (1, 2)
    )
    assert np.array_equal(first, other)


def test_strength_blends_on_raw_values(tiny_restorer, synthetic_raw):
    raw = synthetic_raw()
    none, half, full = (
        tiny_restorer.restore(raw, conditioning(), Settings(strength=strength)).mosaic
        for strength in (0, 50, 100)
    )
    assert np.allclose(none, raw.mosaic * 16, atol=1e-5)
    assert np.allclose(half, (none + full) / 2, atol=1e-5)


@pytest.mark.parametrize(("headroom", "brightest"), [(0, 1.0), (2, 4.0), (3, 8.0)])
def test_lamps_keep_the_headroom(tiny_restorer, synthetic_raw, headroom, brightest):
    raw = synthetic_raw(lamp=16.0)
    restored = tiny_restorer.restore(raw, conditioning(), Settings(steps=1, headroom=headroom))
    assert restored.mosaic.max() == pytest.approx(brightest, rel=1e-4)


def test_gradation_above_white_is_kept(tiny_restorer, synthetic_raw):
    """Two lamps, three and six times white, stay three and six times white."""
    means = []
    for lamp in (3.0, 6.0):
        raw = synthetic_raw(lamp=lamp, shape=(160, 160))
        restored = tiny_restorer.restore(raw, conditioning(), Settings(steps=1)).mosaic
        means.append(restored[44:52, 44:52].mean())
    assert means == pytest.approx([3.0, 6.0], rel=0.03)


def test_progress_ends_at_the_total(tiny_restorer, synthetic_raw):
    seen = []
    tiny_restorer.restore(
        synthetic_raw(),
        conditioning(),
        Settings(steps=2, tile=64),
        lambda done, total: seen.append((done, total)),
    )
    assert seen[0] == (1, 6)  # three windows a pass
    assert seen[-1][0] == seen[-1][1]


_SHARP, _SHAKEN = still()[0], torch.full((33, 33), 1 / 33**2)


@pytest.fixture
def measured_shake(monkeypatch):
    """Decide what is measured of a shake; where one is undone, the picture becomes 0.25."""

    def decide(kernel):
        def find(capture, picture, *, insist, **_):
            return kernel if insist or kernel is _SHAKEN else None

        monkeypatch.setattr("nightfix.restore.restorer.find_shake", find)

    def deconvolved(tile, *_, **__):
        return torch.full_like(tile, 0.25)

    def kept(restored, *_):
        return restored

    monkeypatch.setattr("nightfix.restore.restorer.deconvolve", deconvolved)
    monkeypatch.setattr("nightfix.restore.restorer.anchor_brightness", kept)
    return decide


@pytest.fixture
def passes(monkeypatch):
    """Answer the sample, or what deconvolution made of it; list what each pass is told."""
    told = []

    def forward(self, sample, capture, condition, deconvolved=None, *, inner):
        told.append((condition.blur.item(), deconvolved is not None))
        return inner.of(sample if deconvolved is None else deconvolved).clone()

    monkeypatch.setattr("nightfix.restore.network.Denoiser.forward", forward)
    return told


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(
    ("wanted", "kernel", "undone"),
    [
        (None, _SHARP, False),
        (None, _SHAKEN, True),
        (True, _SHARP, True),
        (False, _SHAKEN, False),
    ],
    ids=["none found", "found", "asked for", "not wanted"],
)
def test_a_shake_is_undone_after_the_other_passes(
    tiny_restorer, synthetic_raw, passes, measured_shake, wanted, kernel, undone, steps
):
    measured_shake(kernel)
    asked = dataclasses.replace(conditioning(), blur=wanted)
    raw = synthetic_raw(shape=(96, 96))
    settings, shakes = Settings(steps=steps, headroom=9), []
    restored = tiny_restorer.restore(raw, asked, settings, moved=shakes.append).mosaic
    lengths = [motion.length for motion in shakes]
    assert lengths == ([pytest.approx(shake_length(kernel))] if undone else [])
    assert passes == [(-1.0, False)] * steps + [(1.0, True)] * undone
    assert np.allclose(restored, 0.25) == undone


def test_a_known_shake_is_not_measured_again(
    tiny_restorer, synthetic_raw, monkeypatch, passes, measured_shake
):
    monkeypatch.setattr("nightfix.restore.restorer.find_shake", None)
    known = dataclasses.replace(conditioning(), shake=_SHAKEN.numpy())
    restored = tiny_restorer.restore(synthetic_raw(shape=(96, 96)), known, Settings(steps=1))
    assert np.allclose(restored.mosaic, 0.25)


def test_the_second_of_three_passes_sees_the_capture_transposed(
    tiny_restorer, synthetic_raw, monkeypatch
):
    """A network that answers with the place of each sample: their mean is symmetric."""
    seen = []

    def ramp(self, sample, capture, condition, inner):
        seen.append((capture.clone(), torch.equal(sample, capture)))
        rows = torch.arange(sample.shape[2], dtype=sample.dtype)[:, None] / 100
        return inner.of(sample * 0 + rows).contiguous()

    monkeypatch.setattr(type(tiny_restorer.network), "forward", ramp)
    raw = synthetic_raw(shape=(64, 64))
    tiny_restorer.restore(raw, conditioning(), Settings(steps=3, headroom=9))
    (first, same_first), (second, same_second), (_, same_third) = seen
    assert (same_first, same_second, same_third) == (True, True, False)
    assert torch.equal(transpose_planes(first), second)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_the_result_is_the_mean_of_the_passes_and_light_is_drawn_from_their_mean_so_far(
    tiny_restorer, monkeypatch, steps
):
    answers, told = iter([0.1, 0.3, 0.8, 0.4][:steps]), []

    def answer(self, condition, sample=None, **_):
        told.append(None if sample is None else sample.mean().item())
        return torch.full_like(self.capture, next(answers))

    monkeypatch.setattr(module._Frame, "_predict", answer)
    asked = dataclasses.replace(conditioning(), blur=False)
    settings = Settings(steps=steps, deterministic=True)
    capture = torch.full((4, 32, 32), 0.01)
    frame = module._Frame(tiny_restorer, capture, asked, settings, lambda *_: None)
    result, _ = frame._sample()
    means = [0.1, 0.2, 0.4, 0.4]
    assert result.mean().item() == pytest.approx(means[steps - 1])
    exposure, light = frame.schedule[-1], [None, 0.1, 0.2, 0.4][steps - 1]
    if light is not None:
        expected = (0.16 + (exposure - 1) * light) / exposure
        assert told[-1] == pytest.approx(expected, rel=1e-3)


def test_lamps_are_computed_in_windows_of_their_own(default_restorer, synthetic_raw):
    """And come out as in windows that leave nothing of their surroundings out."""
    raw = synthetic_raw(shape=(960, 960), ratio=32.0, a=2e-4, b=2e-7, lamp=6.0)
    told, settings = conditioning(32.0, 2e-4, 2e-7), Settings(steps=1)
    sizes = []
    hook = default_restorer.network.register_forward_pre_hook(
        lambda _, frames: sizes.append(frames[0].numel() // 4)
    )
    try:
        restored = default_restorer.restore(raw, told, settings).mosaic
        own = sum(sizes[1:])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_LAMP_CONTEXT", 112)
            exact = default_restorer.restore(raw, told, settings).mosaic
    finally:
        hook.remove()
    assert 0 < own < 0.3 * sizes[0]
    assert restored.max() > 4
    assert (abs(restored - exact) / exact.clip(1)).max() < 3e-3


@pytest.mark.parametrize(
    "place", [(0, 0), (0, 60), (70, 95)], ids=["corner", "edge", "other corner"]
)
def test_lamps_at_the_edge_are_as_bright_as_others(default_restorer, place):
    """Nothing is mixed in of what the network, which is shown no lamps, makes of the whole."""
    planes, (top, left) = torch.full((4, 80, 100), 0.02), place
    planes[:, top : top + 8, left : left + 8] = 8.0
    capture = planes / 16 + 2e-4 * torch.randn(
        planes.shape, generator=torch.Generator().manual_seed(2)
    )
    told, settings = conditioning(16.0, 1e-5, 4e-8), Settings(steps=1)
    restored = default_restorer.restore_packed(capture, told, settings)
    lamp = restored[:, top : top + 8, left : left + 8]
    assert (lamp / 8 - 1).abs().max() < 0.1


@pytest.mark.parametrize("bright", [False, True], ids=["dark", "lamps"])
def test_memory_that_runs_out_halves_the_tile(tiny_restorer, synthetic_raw, monkeypatch, bright):
    forward = type(tiny_restorer.network).forward

    def limited(self, sample, *others, inner):
        if sample.numel() / 4 > 165**2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return forward(self, sample, *others, inner=inner)

    raw = synthetic_raw(shape=(800, 800))
    if bright:
        raw.mosaic[20:-20, 20:-20] = 0.5
    whole = tiny_restorer.restore(raw, conditioning(), Settings(steps=1)).mosaic
    monkeypatch.setattr(type(tiny_restorer.network), "forward", limited)
    halved = tiny_restorer.restore(raw, conditioning(), Settings(steps=1)).mosaic
    assert np.abs(whole - halved).max() < 1e-3


def test_memory_that_is_never_enough_is_an_error(tiny_restorer, synthetic_raw, monkeypatch):
    def never(self, *inputs, inner):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(type(tiny_restorer.network), "forward", never)
    with pytest.raises(DeviceMemoryError, match="even with tiles of"):
        tiny_restorer.restore(synthetic_raw(), conditioning(), Settings())


def test_not_a_number_in_the_mosaic_does_not_spread(tiny_restorer, synthetic_raw):
    raw = synthetic_raw()
    raw.mosaic[10, 10] = np.nan
    restored = tiny_restorer.restore(raw, conditioning(), Settings(steps=1))
    assert np.isfinite(restored.mosaic).all()


@pytest.mark.parametrize("error", [-0.04, 0.04])
def test_anchor_brings_regions_back_within_a_percent(synthetic_raw, error):
    raw, chosen = synthetic_raw(shape=(256, 256)), conditioning()
    capture = torch.from_numpy(pack_bayer(raw.mosaic, "RGGB"))
    wrong = capture * 16 + error
    anchored = anchor_brightness(wrong, capture, chosen)
    regions = torch.nn.functional.avg_pool2d(anchored.mean(0)[None], 32)
    wanted = torch.nn.functional.avg_pool2d((capture * 16).mean(0)[None], 32)
    standard_error = np.sqrt(4e-4 * 16 * 0.3 + 4e-7 * 256) / 64
    assert ((regions - wanted).abs() <= 0.01 * wanted + 2 * standard_error).all()


@pytest.mark.parametrize("value", [-1.0, 0.3, 1.0, 50.0])
def test_no_single_sample_moves_a_region(synthetic_raw, value):
    raw, chosen = synthetic_raw(shape=(256, 256)), conditioning()
    capture = torch.from_numpy(pack_bayer(raw.mosaic, "RGGB"))
    restored = capture * 16 * 1.002
    capture[:, 40, 60] = value
    anchored = anchor_brightness(restored.clone(), capture, chosen)
    assert torch.allclose(anchored, restored, atol=1e-6)


def test_anchor_does_not_spread_what_a_lamp_lost(synthetic_raw):
    """A streak above the headroom is gathered and cut; its surroundings stay as they are."""
    raw = synthetic_raw(shape=(256, 256), lamp=300.0)
    capture = torch.from_numpy(pack_bayer(raw.mosaic, "RGGB"))
    restored = (capture * 16).clamp_max(8)
    restored[:, 20:60, 60:64] = 0.2
    anchored = anchor_brightness(restored.clone(), capture, conditioning())
    assert (anchored - restored)[:, 20:56, 20:56].abs().max() < 0.02


@pytest.mark.parametrize("ratio", [1.5, 6.0, 20.0])
def test_what_was_saturated_stays_at_one_level(tiny_restorer, synthetic_raw, ratio):
    """A lamp that filled every color is one plateau, which editors know as white."""
    raw = synthetic_raw(ratio=ratio, lamp=100.0, shape=(160, 160))
    assert (saturated := raw.mosaic >= 1).sum() > 300
    still_held = dataclasses.replace(conditioning(ratio), blur=False)
    restored = tiny_restorer.restore(raw, still_held, Settings(steps=1)).mosaic
    assert (restored[saturated] == np.float32(min(ratio, 8))).all()


def test_hot_pixels_and_what_was_not_saturated_are_left_alone():
    capture = torch.tensor([0.99, 1.0, 1.01, 1.0])
    restored = torch.tensor([1.9, 1.9, 2.1, 0.2])
    kept = keep_saturated(restored, capture, conditioning(2.0)).tolist()
    assert kept == pytest.approx([1.9, 2.0, 2.1, 0.2])


def test_the_saturated_streak_of_an_undone_shake_is_gathered(
    tiny_restorer, synthetic_raw, monkeypatch, passes
):
    held = []
    monkeypatch.setattr("nightfix.restore.restorer.keep_saturated", lambda *given: held.append(1))
    monkeypatch.setattr("nightfix.restore.restorer.find_shake", lambda *_, **__: _SHAKEN)
    raw = synthetic_raw(lamp=100.0, shape=(96, 96))
    tiny_restorer.restore(raw, conditioning(), Settings(steps=2))
    assert not held


def test_anchor_leaves_what_noise_explains(synthetic_raw):
    raw, chosen = synthetic_raw(), conditioning()
    capture = torch.from_numpy(pack_bayer(raw.mosaic, "RGGB"))
    fine = capture * 16 * 1.002
    assert torch.allclose(anchor_brightness(fine.clone(), capture, chosen), fine, atol=1e-6)


@pytest.mark.weights
def test_default_weights_give_the_same_pixels_in_tiles_of_any_size(synthetic_raw, default_restorer):
    raw = synthetic_raw(shape=(400, 520), ratio=100.0, a=2e-4, b=2e-7, lamp=12.0)
    whole, cut = (
        default_restorer.restore(
            raw, conditioning(100.0, 2e-4, 2e-7), Settings(steps=2, tile=tile)
        ).mosaic
        for tile in (1024, 256)
    )
    assert np.abs(whole - cut).max() < 1e-3


@pytest.mark.parametrize("ratio", [1.0, 20.0, 300.0])
def test_amplified_noise_is_that_of_the_stabilizer(ratio):
    noise = condition_of((ratio, 1.0, 4e-4, 4e-7, 0.0)).stabilizer().noise
    assert conditioning(ratio).amplified_noise == pytest.approx(noise.item(), rel=1e-5)


def regions(mosaic: np.ndarray) -> np.ndarray:
    height, width = (side // 64 * 64 for side in mosaic.shape)
    cells = mosaic[:height, :width].reshape(height // 64, 64, width // 64, 64)
    return cells.mean((1, 3))


@pytest.mark.weights
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("ratio", [1.0, 16.0, 100.0])
def test_default_weights_clean_and_keep_brightness(synthetic_raw, default_restorer, ratio, steps):
    a, b = 2e-4, 2e-7
    raw = synthetic_raw(shape=(256, 320), ratio=ratio, a=a, b=b)
    clean = synthetic_raw(shape=(256, 320), ratio=ratio, a=1e-9, b=0.0).mosaic * ratio
    amplified = raw.mosaic * ratio
    restored = default_restorer.restore(
        raw, conditioning(ratio, a, b), Settings(steps=steps)
    ).mosaic
    error = np.sqrt(np.mean((restored - clean) ** 2) / np.mean((amplified - clean) ** 2))
    assert error < 0.45
    standard_error = np.sqrt(a * ratio * regions(clean) + b * ratio**2) / 64
    moved = np.abs(regions(restored) - regions(amplified))
    assert (moved <= np.maximum(0.01 * regions(amplified), 2 * standard_error)).all()


@pytest.mark.parametrize(("ratio", "passes"), [(2.0, 1), (300.0, 3)], ids=["clean", "noisy"])
def test_auto_goes_on_where_it_is_worth_it(
    tiny_restorer, synthetic_raw, monkeypatch, ratio, passes
):
    forward, done = type(tiny_restorer.network).forward, []
    monkeypatch.setattr(
        type(tiny_restorer.network),
        "forward",
        lambda self, *inputs, inner: done.append(1) or forward(self, *inputs, inner=inner),
    )
    raw = synthetic_raw(shape=(96, 96), ratio=1.5)
    tiny_restorer.restore(raw, conditioning(ratio, a=1e-4, b=1e-7), Settings(steps=0, headroom=0))
    assert len(done) == passes
