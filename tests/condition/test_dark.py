from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from raw_images import metadata_with

from nightfix.batch.events import result_event
from nightfix.condition.amplification import ExposureTarget
from nightfix.condition.conditioning import Settings
from nightfix.condition.dark import read_dark_frames, subtract_dark
from nightfix.errors import DarkFrameError, RawReadError
from nightfix.pipeline.fingerprint import settings_fingerprint
from nightfix.pipeline.photo import EnhanceOptions, enhance, prepare
from nightfix.read.reader import read_raw
from nightfix.write.dng import write_dng
from nightfix.write.xmp import record_of_file

SHAPE, DN = (240, 320), 1 / 15871
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]
GLOW = 60 * np.exp(-(Y + X) / 60.0)
PATTERN = 4 * np.random.default_rng(1).normal(size=SHAPE)
HOT = np.random.default_rng(2).random(SHAPE) < 2e-3
SCENE = 80 + 60 * (X > 150)
NIGHT = {"exposure_time": 30.0, "iso_speed": 1600.0}


@pytest.fixture
def take(tmp_path, synthetic_raw):
    """Take a photo of some light [DN] through the same sensor."""
    rng = np.random.default_rng(3)

    def take(name, light, *, hot=900, shape=SHAPE, model="Night One", **exposure):
        raw = synthetic_raw(shape=shape)
        known = metadata_with(make="Acme", model=model, **(NIGHT | exposure))
        dn = np.zeros(shape) + light
        if shape == SHAPE:
            dn = dn + GLOW + PATTERN + hot * HOT
        dn += 5 * rng.normal(size=shape)
        exif = known_exif(**(NIGHT | exposure))
        raw = replace(raw, mosaic=(dn * DN).astype(np.float32), metadata=replace(known, exif=exif))
        path = tmp_path / name
        write_dng(path, raw, restored=False)
        return path

    return take


def known_exif(*, exposure_time, iso_speed):
    import struct

    from nightfix.read.tags import ExifTag

    return (
        ExifTag(33434, 5, 1, struct.pack("<2I", round(exposure_time * 100), 100)),
        ExifTag(34855, 3, 1, struct.pack("<H", int(iso_speed))),
    )


@pytest.fixture
def frames(take):
    return tuple(take(f"dark_{number}.dng", 0) for number in range(6))


def error_of(raw):
    """Return the mean of what is too much and the standard deviation, without hot pixels [DN]."""
    left = (raw.mosaic / DN - SCENE)[~HOT]
    return left.mean(), left.std()


def test_glow_and_pattern_go_and_hot_pixels_are_mapped(take, frames):
    dark = read_dark_frames(frames)
    assert (dark.hot & HOT).sum() >= 0.99 * HOT.sum()
    assert (dark.hot & ~HOT).sum() <= 2
    raw = read_raw(take("photo.dng", SCENE))
    mended, told = subtract_dark(raw, dark)
    assert error_of(raw)[0] > 2
    assert abs(error_of(mended)[0]) < 0.2
    assert error_of(raw)[1] > 8
    assert error_of(mended)[1] < 6  # the photo's own noise is 5
    assert "6 dark frames" in told
    assert "DN of glow and pattern subtracted" in told


def test_one_frame_takes_the_glow_and_adds_no_noise(take, frames):
    dark = read_dark_frames(frames[:1])
    raw = read_raw(take("photo.dng", SCENE))
    mended, _ = subtract_dark(raw, dark)
    assert abs(error_of(mended)[0]) < 0.3
    assert error_of(mended)[1] < np.hypot(5, 4) + 0.5


@pytest.mark.parametrize("other", [{"exposure_time": 4.0}, {"iso_speed": 800.0}])
def test_another_exposure_is_not_subtracted_but_mapped(take, frames, other):
    options = EnhanceOptions(exposure=ExposureTarget(ratio=8), dark=frames)
    path = take("photo.dng", SCENE, hot=70, **other)
    prepared = prepare(path, options, "")
    note = next(note for note in prepared.notes if "dark frames" in note)
    assert "not subtracted: exposed 30 s at ISO 1600 and" in note
    raw = read_raw(path)
    moved = prepared.raw.mosaic != raw.mosaic
    assert moved[HOT].mean() > 0.98
    assert moved[~HOT].mean() < 0.001


def test_frames_on_another_scale_are_not_subtracted(take, frames):
    raw = read_raw(take("photo.dng", SCENE))
    brighter = replace(raw, mosaic=raw.mosaic / 4, baseline_exposure=raw.baseline_exposure + 2)
    mended, note = subtract_dark(brighter, read_dark_frames(frames))
    assert mended is brighter
    assert note.endswith("not subtracted: exposed with a white +2 EV apart")


def test_frames_that_do_not_fit_are_refused(take, frames):
    for other in (
        take("small.dng", 50, shape=(120, 160)),
        take("other.dng", SCENE, model="Night Two"),
    ):
        with pytest.raises(DarkFrameError, match=r"does not fit .* px|does not fit .* of Acme"):
            prepare(other, EnhanceOptions(exposure=ExposureTarget(ratio=8), dark=frames), "")
    with pytest.raises(DarkFrameError, match="is no dark frame"):
        read_dark_frames([take("day.dng", 6000)])
    with pytest.raises(DarkFrameError, match="is not like dark_0.dng"):
        read_dark_frames([frames[0], take("short.dng", 0, exposure_time=1.0)])
    with pytest.raises(RawReadError):
        prepare(frames[0], EnhanceOptions(dark=("none.dng",)), "")


def test_results_know_their_dark_frames(take, frames, tiny_restorer):
    path = take("photo.dng", SCENE)
    plain = EnhanceOptions(
        exposure=ExposureTarget(ratio=8), formats=("dng",), settings=Settings(steps=1), deblur=False
    )
    options = replace(plain, dark=frames)
    result = enhance(path, options, restorer=tiny_restorer)
    assert result.hot_pixels >= HOT.sum()
    assert result_event(result)["hot_pixels"] == result.hot_pixels
    words = record_of_file(result.outputs[0]).options
    assert words.count("--dark ") == 6
    prints = {settings_fingerprint(path, one, "") for one in (plain, options)}
    assert len(prints) == 2
    assert settings_fingerprint(path, replace(options, dark=frames[:2]), "") not in prints
    assert enhance(path, options, restorer=tiny_restorer).skipped
