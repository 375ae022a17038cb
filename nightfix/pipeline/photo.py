"""Pipeline: one photo from file to file. Read, condition, restore, develop, write."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nightfix.condition import Conditioning, detail_share, passes
from nightfix.develop import (
    LensFacts,
    choose_white_balance,
    lens_correction,
    other_opcodes,
)
from nightfix.errors import OutputWriteError
from nightfix.pipeline.fingerprint import ResultState, result_state, settings_fingerprint
from nightfix.pipeline.look import look_of
from nightfix.pipeline.measuring import (
    blend_with_capture,
    detail_note,
    measure_photo,
    motion_note,
    upright_motion,
)
from nightfix.pipeline.options import EnhanceOptions
from nightfix.pipeline.sensor import Levels, levels_of
from nightfix.pipeline.summary import describe, describe_work, precision
from nightfix.progress import Progress, no_progress, say_nothing
from nightfix.read import CameraSettings, RawImage, has_three_colors, read_raw
from nightfix.restore import DEFAULT_WEIGHTS, weights_sha256
from nightfix.write import (
    FILE_FORMATS,
    Format,
    Record,
    check_target,
    make_folder,
    write_results,
    write_view,
)

if TYPE_CHECKING:
    from nightfix.restore import CameraMotion, Restorer


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds that each stage of a photo took: ``read``, ``network`` and ``write``."""

    read: float = 0.0
    network: float = 0.0
    write: float = 0.0

    @property
    def total(self) -> float:
        """Sum of the stages [s]; in a batch they overlap those of other photos."""
        return self.read + self.network + self.write


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a photo.

    ``path`` of the photo, ``outputs`` written (or there already, where ``skipped`` says
    so), the ``conditioning`` used (None if the mosaic was left alone), the network passes
    (``steps``), the camera shake that was removed (``motion``, as seen in the upright picture;
    None if none was), how many hot pixels were repaired (``hot_pixels``, None if none were
    looked for), what was corrected of the lens in pictures (``lens``, None if nothing was), what
    to know of it (``notes``), what its maker note says (``camera``), the
    sensor's levels (``levels``, None if it was skipped) and the time it took (``timings``).
    """

    path: Path
    outputs: tuple[Path, ...]
    conditioning: Conditioning | None = None
    steps: int = 0
    motion: CameraMotion | None = None
    hot_pixels: int | None = None
    lens: LensFacts | None = None
    skipped: bool = False
    notes: tuple[str, ...] = ()
    camera: CameraSettings = CameraSettings()
    levels: Levels | None = None
    timings: Timings = field(default_factory=Timings)

    @property
    def seconds(self) -> float:
        """Time that the photo took [s]."""
        return self.timings.total


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A photo between two stages of its way.

    ``targets`` are the results that are still to be made, by format; ``incomplete`` tells that
    results which were cut off are there, and ``fingerprint`` is recorded in the new ones.
    ``raw`` is as read, with ``hot_pixels`` repaired, and later restored; ``lens`` is what will be
    corrected of the lens, None if nothing or no picture is to be made; ``levels`` are the sensor's.
    """

    options: EnhanceOptions
    raw: RawImage
    targets: dict[Format, Path]
    incomplete: bool
    fingerprint: str
    conditioning: Conditioning | None
    record: Record
    levels: Levels
    notes: tuple[str, ...]
    timings: Timings
    hot_pixels: int | None = None
    lens: LensFacts | None = None
    motion: CameraMotion | None = None


def output_names(path: str | os.PathLike[str], options: EnhanceOptions) -> dict[Format, Path]:
    """Return where each format of a photo's result goes.

    Raises
    ------
    ValueError
        If two of the formats would have one name.
    """
    path = Path(path)
    folder = path.parent if options.output is None else Path(options.output)
    paths = {
        kind: folder / f"{path.stem}{options.suffix}{FILE_FORMATS[kind].suffix}"
        for kind in options.formats
    }
    if len(set(paths.values())) < len(paths):
        raise ValueError(f"{' and '.join(paths)} would be written under one name")
    return paths


def missing_outputs(path: Path, options: EnhanceOptions, fingerprint: str) -> dict[Format, Path]:
    """Return the results of a photo that are still to be made.

    Whole results of the same photo and settings are left out, unless all are to be
    overwritten; those that were cut off count as missing.

    Raises
    ------
    OutputExistsError, OutputWriteError
        If something else is there already, or the photo itself, which is never written to.
    """
    missing = {}
    for kind, target in output_names(path, options).items():
        state = "unrelated" if options.overwrite else _result_state(target, fingerprint)
        if state == "done":
            continue
        overwrite = options.overwrite or state == "incomplete"
        check_target(target, overwrite=overwrite, source=path, ours=state == "different")
        missing[kind] = target
    return missing


def _result_state(target: Path, fingerprint: str) -> ResultState:
    try:
        return result_state(target, fingerprint)
    except OSError as error:
        raise OutputWriteError(target, error.strerror or str(error)) from error


def enhance(
    path: str | os.PathLike[str],
    options: EnhanceOptions | None = None,
    *,
    restorer: Restorer | None = None,
    announce: Callable[[str], None] = say_nothing,
    progress: Progress = no_progress,
) -> Result:
    """Restore one photo and write the results beside it.

    Parameters
    ----------
    path : str or path-like
        A camera RAW file. It is never written to.
    options : EnhanceOptions or None
        What to make of it.
    restorer : Restorer or None
        The network to use; None loads the default weights.
    announce : callable
        Takes one line of physical facts, before work starts.
    progress : callable
        Called with tiles done and tiles in all.

    Returns
    -------
    Result
        ``skipped`` if whole results of the same settings are there already.

    Raises
    ------
    NightFixError
        Of the family that fits: input, weights, device or output.
    """
    path, options = Path(path), options or EnhanceOptions()
    weights = restorer.info.sha256 if restorer else weights_sha256(DEFAULT_WEIGHTS)
    prepared = prepare(path, options, weights)
    if isinstance(prepared, Result):
        return prepared
    if restorer is None and options.restore:
        from nightfix.restore import Restorer

        restorer = Restorer()
    return write(restore(prepared, restorer, announce, progress))


def prepare(
    path: str | os.PathLike[str], options: EnhanceOptions, weights: str
) -> Prepared | Result:
    """Read and measure a photo, unless all its results exist already.

    Parameters
    ----------
    path : str or path-like
        A camera RAW file.
    options : EnhanceOptions
        What to make of it.
    weights : str
        SHA-256 of the weights that will be used.

    Returns
    -------
    Prepared or Result
        A skipped Result where all results are there already.

    Raises
    ------
    InputError, OutputError
    """
    path, started = Path(path), time.perf_counter()
    fingerprint = _fingerprint(path, options, weights)
    targets = missing_outputs(path, options, fingerprint)
    if not targets:
        outputs = tuple(output_names(path, options).values())
        return Result(path=path, outputs=outputs, skipped=True)
    incomplete = any(target.exists() for target in targets.values())
    raw = read_raw(path, allow_truncated=options.allow_truncated)
    for target in targets.values():
        make_folder(target)  # now, not after the network's minutes
    measured = measure_photo(raw, options) if options.restore else None
    lens = _lens_facts(raw, targets, options)
    return Prepared(
        options=options,
        raw=measured.raw if measured else raw,
        targets=targets,
        incomplete=incomplete,
        fingerprint=fingerprint,
        conditioning=measured.conditioning if measured else None,
        record=Record(fingerprint=fingerprint, lens=_recorded_lens(lens, options)),
        levels=levels_of(raw, measured.conditioning if measured else None),
        hot_pixels=measured.hot_pixels if measured else None,
        lens=lens,
        notes=measured.notes if measured else (),
        timings=Timings(read=time.perf_counter() - started),
    )


def _lens_facts(
    raw: RawImage, targets: dict[Format, Path], options: EnhanceOptions
) -> LensFacts | None:
    """Return what is going to be corrected of the lens; None where no picture is to be made."""
    if not any(FILE_FORMATS[kind].developed for kind in targets):
        return None
    correction = lens_correction(raw, options.writing.lens)
    return None if correction is None else correction.facts


def _recorded_lens(lens: LensFacts | None, options: EnhanceOptions) -> str:
    if options.writing.lens == "off":
        return "off"
    return "" if lens is None else str(lens)


def _fingerprint(path: Path, options: EnhanceOptions, weights: str) -> str:
    try:
        return settings_fingerprint(path, options, weights)
    except OSError:
        for name in (path, *options.dark):
            read_raw(name)  # which raises the precise error
        raise


def restore(
    prepared: Prepared,
    restorer: Restorer | None,
    announce: Callable[[str], None] = say_nothing,
    progress: Progress = no_progress,
) -> Prepared:
    """Run the network on a prepared photo; one that is not to be restored comes back as it is.

    Raises
    ------
    DeviceError
    """
    options, conditioning, raw = prepared.options, prepared.conditioning, prepared.raw
    if conditioning is None or restorer is None:
        announce(describe(raw, None, prepared.lens) + "; not restored")
        return prepared
    work = describe_work(options.settings, conditioning, restorer)
    announce(f"{describe(raw, conditioning, prepared.lens)}; {work}")
    if conditioning.warning:  # before the network's minutes; the other notes come with the result
        announce(f"note: {conditioning.warning}")
    started = time.perf_counter()
    full_strength = replace(options.settings, strength=100.0)
    found: list[CameraMotion] = []
    restored = restorer.restore(raw, conditioning, full_strength, progress, found.append)
    motions = [upright_motion(motion, raw.orientation) for motion in found]
    restored = blend_with_capture(raw, restored, conditioning, options)
    timings = replace(prepared.timings, network=time.perf_counter() - started)
    notes = [motion_note(motion.length, motion.direction, options.deblur) for motion in motions]
    detail = detail_share(raw, conditioning, options.settings)
    notes.append(detail_note(raw, options.settings.detail, detail))
    done = replace(
        prepared,
        raw=restored,
        motion=motions[0] if motions else None,
        notes=(*prepared.notes, *filter(None, notes)),
        timings=timings,
    )
    return replace(done, record=_record(done, conditioning, restorer, detail))


def _record(
    prepared: Prepared, conditioning: Conditioning, restorer: Restorer, detail: float
) -> Record:
    """Write down how a result is made, and what share of its detail was drawn."""
    settings = prepared.options.settings
    return Record(
        restored=True,
        weights=restorer.info.name,
        weights_sha256=restorer.info.sha256,
        ratio=conditioning.amplification.ratio,
        steps=settings.steps,
        strength=settings.strength,
        chroma=prepared.options.chroma,
        detail=settings.detail or None,
        detail_drawn=100 * detail or None,
        headroom=settings.headroom,
        seed=settings.seed,
        deterministic=settings.deterministic,
        deblur=conditioning.blur,
        hot_pixels=prepared.hot_pixels,
        black="" if prepared.options.black == "masked" else prepared.options.black,
        lens=prepared.record.lens,
        dark=", ".join(Path(name).name for name in prepared.options.dark),
        shake=None if prepared.motion is None else prepared.motion.length,
        shake_direction=None if prepared.motion is None else prepared.motion.direction,
        noise=(conditioning.noise.a, conditioning.noise.b),
        computed=f"{restorer.device} {precision(restorer)}",
        fingerprint=prepared.fingerprint,
    )


def write(prepared: Prepared) -> Result:
    """Develop a photo and write its results.

    Raises
    ------
    OutputError
    """
    started = time.perf_counter()
    options, raw = prepared.options, prepared.raw
    notes, look, record = prepared.notes, None, prepared.record
    if any(FILE_FORMATS[kind].developed for kind in prepared.targets):
        note = choose_white_balance(raw, options.writing.white_balance).note
        look, said = look_of(raw, options.writing)
        notes += tuple(one for one in (note, said) if one)
        if look is not None:
            record = replace(record, look=Path(options.writing.look).name)
        others = other_opcodes(raw) if options.writing.lens == "auto" else ()
        if others:
            names = ", ".join(sorted(set(others)))
            notes += (f"not carried out in pictures, though the file asks for it: {names}",)
    elif options.writing.look != "none":
        notes += ("no look: a DNG has none; nightfix look export writes looks for editors",)
    write_results(
        raw,
        prepared.targets,
        record,
        options.writing,
        look=look,
        overwrite=options.overwrite or prepared.incomplete,
    )
    if "dng" in prepared.targets and has_three_colors(raw):
        notes += ("the DNG is a Linear DNG, since the photo has three colors a pixel",)
    if options.show_shake and prepared.motion is not None:
        _write_kernel(next(iter(prepared.targets.values())), prepared.motion, raw.path)
    conditioning = prepared.conditioning
    steps = passes(options.settings, conditioning) if conditioning else 0
    return Result(
        path=raw.path,
        outputs=tuple(prepared.targets.values()),
        conditioning=conditioning,
        steps=steps,
        motion=prepared.motion,
        hot_pixels=prepared.hot_pixels,
        lens=prepared.lens,
        notes=notes,
        camera=raw.metadata.camera,
        levels=prepared.levels,
        timings=replace(prepared.timings, write=time.perf_counter() - started),
    )


def _write_kernel(target: Path, motion: CameraMotion, source: Path) -> None:
    """Write the path of the camera as a picture beside a result, eight times enlarged."""
    shown = np.kron(motion.kernel / motion.kernel.max(), np.ones((8, 8), np.float32))
    picture = np.repeat(np.sqrt(shown)[..., None], 3, 2)
    write_view(target.with_name(f"{target.stem}_shake.png"), picture, source=source)
