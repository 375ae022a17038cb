"""Command line: ``nightfix doctor``."""

from __future__ import annotations

from nightfix.cli.boundary import finish
from nightfix.cli.options import DeviceOption, WeightsOption


def doctor(weights: WeightsOption = "nightfix-base", device: DeviceOption = "auto") -> None:
    """Report devices, memory, versions and weights, and try the network for ten seconds.

    Example: nightfix doctor --device cpu
    """
    from nightfix.cli.self_test import examine

    failures = []
    for finding in examine(weights, device):
        print(f"{finding.name + ':':<16} {finding.text}", flush=True)
        if finding.error is not None:
            failures.append(finding.error)
    finish(failures)
