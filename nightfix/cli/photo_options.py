"""Command line: the options that ``enhance`` and ``preview`` share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from functools import wraps
from typing import Any, get_type_hints

import typer

from nightfix.cli.options import (
    DEFAULTS,
    SETTINGS,
    BlackChoice,
    BlackOption,
    ChromaOption,
    DarkOption,
    DeblurOption,
    DetailOption,
    DeterministicOption,
    DeviceOption,
    EvOption,
    HeadroomOption,
    HotPixelsChoice,
    HotPixelsOption,
    LensChoice,
    LensOption,
    LookOption,
    RatioOption,
    SeedOption,
    StepsOption,
    StrengthOption,
    TargetExposureOption,
    ToneChoice,
    ToneOption,
    WeightsOption,
    WhiteBalanceOption,
)
from nightfix.condition import ExposureTarget, Settings
from nightfix.pipeline import EnhanceOptions
from nightfix.write import WriteOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoOptions:
    """How bright, how restored and how developed a photo is to be; in the order of the help."""

    ratio: RatioOption = "auto"  # type: ignore[assignment]
    ev: EvOption = None
    target_exposure: TargetExposureOption = None
    headroom: HeadroomOption = SETTINGS.headroom
    steps: StepsOption = str(SETTINGS.steps)  # type: ignore[assignment]
    strength: StrengthOption = SETTINGS.strength
    chroma: ChromaOption = DEFAULTS.chroma
    detail: DetailOption = SETTINGS.detail
    deblur: DeblurOption = DEFAULTS.deblur
    black: BlackOption = BlackChoice.masked
    dark: DarkOption = field(default_factory=list)
    hot_pixels: HotPixelsOption = HotPixelsChoice.auto
    seed: SeedOption = SETTINGS.seed
    deterministic: DeterministicOption = SETTINGS.deterministic
    weights: WeightsOption = "nightfix-base"
    device: DeviceOption = "auto"
    white_balance: WhiteBalanceOption = DEFAULTS.writing.white_balance
    tone: ToneOption = ToneChoice.natural
    lens: LensOption = LensChoice.auto
    look: LookOption = DEFAULTS.writing.look

    def added_to(self, options: EnhanceOptions, *, tile: int | None = None) -> EnhanceOptions:
        """Return options of files with those of the photo.

        Raises
        ------
        typer.BadParameter
            If the brightness is given in more than one way, or a look with another curve.
        LookError
            If there is no such look.
        """
        self._check_look(options.writing)
        return replace(
            options,
            exposure=self._exposure(),
            deblur=self.deblur,
            black=self.black.value,
            dark=tuple(self.dark),
            hot_pixels=self.hot_pixels.value,
            settings=Settings(
                steps=self.steps,
                strength=self.strength,
                headroom=self.headroom,
                seed=self.seed,
                deterministic=self.deterministic,
                detail=self.detail,
                tile=tile,
            ),
            chroma=self.chroma,
            writing=replace(
                options.writing,
                white_balance=self.white_balance,
                tone=self.tone.value,
                lens=self.lens.value,
                look=self.look,
            ),
        )

    def _check_look(self, writing: WriteOptions) -> None:
        if self.look == "none":
            return
        if self.tone is not ToneChoice.natural:
            raise typer.BadParameter("--look has a tone curve of its own; leave out --tone")
        if writing.hdr:
            raise typer.BadParameter("--look and --hdr do not go together")
        if self.look != "camera":
            from nightfix.develop import read_look

            read_look(self.look)

    def _exposure(self) -> ExposureTarget:
        ratio = self.ratio or None
        if sum(value is not None for value in (ratio, self.ev, self.target_exposure)) > 1:
            raise typer.BadParameter("use only one of --ratio, --ev and --target-exposure")
        return ExposureTarget(ratio=ratio, ev=self.ev, exposure_time=self.target_exposure)


def _default(option: Field[Any]) -> Any:
    return option.default if option.default_factory is MISSING else option.default_factory()


def with_photo_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of :class:`PhotoOptions` in the place of its ``photo``.

    Typer reads a function's signature, so every option has to be a parameter of its own.
    """
    own = get_type_hints(command, include_extras=True)
    shared = get_type_hints(PhotoOptions, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name == "photo":
            parameters += [
                inspect.Parameter(f.name, kind, default=_default(f), annotation=shared[f.name])
                for f in fields(PhotoOptions)
            ]
        else:
            parameters.append(parameter.replace(kind=kind, annotation=own[parameter.name]))

    @wraps(command)
    def run(**values: Any) -> None:
        photo = PhotoOptions(**{f.name: values.pop(f.name) for f in fields(PhotoOptions)})
        command(photo=photo, **values)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run
