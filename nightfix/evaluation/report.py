"""Evaluation: run weights over cases and average what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace

from nightfix.condition import Settings
from nightfix.evaluation.cases import Case
from nightfix.evaluation.metrics import Merit, measure
from nightfix.progress import say_nothing
from nightfix.restore import Restorer


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Figures of one group of cases after some passes; 0 passes is the amplified capture.

    Parameters
    ----------
    group : str
        Such as ``"x100"`` or ``"x100 + blur"``.
    steps : int
        Network passes.
    cases : int
        How many were averaged.
    psnr, ssim, aligned : float
        As in :class:`nightfix.evaluation.metrics.Merit`.
    """

    group: str
    steps: int
    cases: int
    psnr: float
    ssim: float
    aligned: float

    def as_json(self) -> dict[str, object]:
        """Return the row's fields, rounded to what is significant."""
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}


def evaluate(
    restorer: Restorer,
    cases: Iterable[Case],
    steps: list[int],
    settings: Settings | None = None,
    announce: Callable[[str], None] = say_nothing,
) -> list[Row]:
    """Restore every case with each number of passes, and average by group.

    Parameters
    ----------
    restorer : Restorer
        The weights, on a device.
    cases : iterable of Case
        Captures and their truth; taken one at a time.
    steps : list of int
        Numbers of passes.
    settings : Settings or None
        Everything else.
    announce : callable
        Called with a line a case.

    Returns
    -------
    list of Row
        By group in the order of the cases, the amplified capture first.
    """
    settings = settings or Settings()
    merits: dict[tuple[str, int], list[Merit]] = {}
    for case in cases:
        captured = case.capture * case.conditioning.amplification.ratio
        found = {0: measure(captured, case.truth)}
        for count in steps:
            wanted = replace(settings, steps=count)
            restored = restorer.restore_packed(
                case.capture, case.conditioning, wanted, neutral=case.neutral
            )
            found[count] = measure(restored, case.truth)
        for count, merit in found.items():
            merits.setdefault((case.group, count), []).append(merit)
        figures = ", ".join(f"{count}: {merit.psnr:.2f}" for count, merit in found.items())
        announce(f"{case.name} {case.group}  PSNR by passes  {figures}")
    return [_row(group, count, rows) for (group, count), rows in merits.items()]


def _row(group: str, steps: int, merits: list[Merit]) -> Row:
    psnr, ssim, aligned = (sum(column) / len(merits) for column in zip(*merits, strict=True))
    return Row(group=group, steps=steps, cases=len(merits), psnr=psnr, ssim=ssim, aligned=aligned)
