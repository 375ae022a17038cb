"""Condition: all that the network needs to know about one photo."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nightfix.condition.amplification import (
    METERED,
    Amplification,
    ExposureTarget,
    choose_amplification,
)
from nightfix.condition.noise import NoiseModel, choose_noise
from nightfix.condition.saturation import UNSEEN, Saturation, find_saturation
from nightfix.read import RawImage, has_three_colors


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditioning:
    """What decides, beside the pixels, how a photo is restored.

    Parameters
    ----------
    amplification : Amplification
        Target exposure over captured exposure, and how it was chosen.
    noise : NoiseModel
        Noise of the capture, variance = a*x + b with 1.0 = white level, and its source.
    warning : str
        A sentence where the noise model and the photo disagree, else empty.
    saturation : tuple of four float or None
        Where the planes (``R, Gr, Gb, B``) are cut [white]; None where the photo does not show.
    blur : bool or None
        Whether a shake is to be undone; None undoes one that is found.
    shake : ndarray, shape (33, 33) or (65, 65), or None
        Kernel of a shake that is known, non-negative, sum 1 [mosaic px]; None measures it.
    """

    amplification: Amplification
    noise: NoiseModel
    warning: str = ""
    saturation: Saturation = UNSEEN
    blur: bool | None = None
    shake: NDArray[np.float32] | None = field(default=None, compare=False)

    @property
    def amplified_noise(self) -> float:
        """Standard deviation of the noise after amplification, on the stabilized scale [white].

        That of :class:`nightfix.restore.diffusion.VarianceStabilizer`, without a tensor.
        """
        a = self.noise.a * self.amplification.ratio
        b = self.noise.b * self.amplification.ratio**2
        offset = 0.375 * a * a + b
        return (math.sqrt(a + offset) + math.sqrt(offset)) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a photo is restored, beside what its conditioning says.

    Parameters
    ----------
    steps : int
        Network passes, >= 1; 0 suits the noise (:func:`passes`).
    strength : float
        0 (the amplified capture) to 100 (the restored picture), blended on RAW values.
    headroom : float
        Stops kept above the target's white, >= 0 [EV]; see :func:`ceiling`.
    seed : int
        Seed of the photons drawn between the passes.
    deterministic : bool
        Add the expected light between the passes, without drawing its shot noise.
    detail : float
        0 (the most likely picture) to 100: how far to go towards a picture in which detail that
        noise has taken is drawn anew; see :func:`detail_share`.
    tile : int or None
        Side of a tile [mosaic px]; None suits the device.
    """

    steps: int = 3
    strength: float = 100.0
    detail: float = 0.0
    headroom: float = 3.0
    seed: int = 0
    deterministic: bool = False
    tile: int | None = None


#: Most passes that ``--steps auto`` takes, and the amplified noise from which it does; else 1.
AUTO_STEPS, _NOISY = 3, 0.1


def passes(settings: Settings, conditioning: Conditioning) -> int:
    """Return the number of network passes, which ``--steps auto`` leaves to the noise.

    Notes
    -----
    It goes by the noise on the stabilized scale that the first pass sees: the model card has
    the figures of the validation set this was fitted on.
    """
    return settings.steps or (AUTO_STEPS if conditioning.amplified_noise >= _NOISY else 1)


#: Amplified noise from which detail is drawn, and where all of it is.
_TAKEN = (0.025, 0.08)


def detail_share(raw: RawImage, conditioning: Conditioning, settings: Settings) -> float:
    """Return how far detail is drawn, 0 to 1: as asked for, less where there is little noise.

    Notes
    -----
    Only a color mosaic gets any: what is drawn is judged by the developed picture, and three
    colors a pixel are restored as four mosaics, whose drawings would differ.
    """
    if raw.cfa_pattern is None or raw.as_shot_neutral is None or has_three_colors(raw):
        return 0.0
    low, high = _TAKEN
    taken = min(max((conditioning.amplified_noise - low) / (high - low), 0.0), 1.0)
    return settings.detail / 100 * taken


def ceiling(raw: RawImage, ratio: float, settings: Settings) -> float:
    """Return the largest value that a restored mosaic keeps, on the mosaic's own scale.

    Parameters
    ----------
    raw : RawImage
        Its ``baseline_exposure`` says what is white [EV].
    ratio : float
        The amplification, >= 1 [-].
    settings : Settings
        The headroom counts from the white of reference units.

    Examples
    --------
    >>> from nightfix.read import raw_from_array
    >>> ceiling(raw_from_array([[0, 1], [1, 0]]), 100.0, Settings(headroom=3.0))
    8.0
    """
    return float(min(ratio, 2 ** (settings.headroom - raw.baseline_exposure)))


def capture_passes(passes: int) -> int:
    """Return how many of the passes see the capture alone; all, where a shake is undone."""
    return 2 if passes > 2 else 1


def condition_raw(
    raw: RawImage, target: ExposureTarget = METERED, *, deblur: bool | None = None
) -> Conditioning:
    """Work out the amplification and the noise of a photo.

    Parameters
    ----------
    raw : RawImage
        The photo as read.
    target : ExposureTarget
        How bright the picture is to be; by default the photo is metered.
    deblur : bool or None
        Whether to undo a shake; None undoes one that is found. In three colors a pixel it looks
        for none: what interpolated and reduced them is often mistaken for a small shake.

    Raises
    ------
    MissingMetadataError
        If an exposure time is asked for and the photo's own is not known.
    """
    if deblur is None and has_three_colors(raw):
        deblur = False
    amplification = choose_amplification(raw, target)
    noise, warning = choose_noise(raw)
    warning = "; ".join(filter(None, (warning, _reduced_in_camera(raw))))
    return Conditioning(
        amplification=amplification,
        noise=noise,
        warning=warning,
        saturation=find_saturation(raw, noise),
        blur=deblur,
    )


def _reduced_in_camera(raw: RawImage) -> str:
    """Return a warning where the camera was told to smooth noise itself, else ""."""
    camera = raw.metadata.camera
    if not camera.reduces_noise:
        return ""
    strength = camera.high_iso_noise_reduction
    return (
        f"the camera's high-ISO noise reduction was on ({strength}); if it was applied to the "
        "RAW data too, the noise model does not fit"
    )
