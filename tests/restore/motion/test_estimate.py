from __future__ import annotations

import pytest
import torch

import nightfix
from nightfix.restore.motion.estimate import find_shake
from nightfix.restore.motion.kernels import still

STROKE = torch.zeros(33, 33)
STROKE[16, 12:21] = 1 / 9
OTHER = STROKE.T.contiguous()


@pytest.mark.parametrize(
    ("lights", "edges", "insist", "found"),
    [
        (STROKE, OTHER, False, STROKE),
        (still()[0], OTHER, False, None),
        (still()[0], OTHER, True, OTHER),
        (None, OTHER, False, OTHER),
        (None, None, False, None),
    ],
    ids=["lights tell", "lights tell of none", "insisted", "no lights", "nothing tells"],
)
def test_edges_are_asked_where_lights_do_not_tell(monkeypatch, lights, edges, insist, found):
    where = "nightfix.restore.motion.estimate"
    monkeypatch.setattr(f"{where}.kernel_from_lights", lambda *_, **__: lights)
    monkeypatch.setattr(f"{where}.find_shake_in_edges", lambda _: edges)
    monkeypatch.setattr(f"{where}.kernel_from_edges", lambda _: edges)
    planes = torch.zeros(4, 8, 8)
    assert find_shake(planes, planes, ratio=8.0, a=1e-4, b=1e-7, insist=insist) is found


def test_leaves_in_the_sun_are_not_lights_of_a_shaken_night(shared):
    """A sharp photo by day, full of glints."""
    raw = nightfix.read_raw(shared / "raw" / "HERO7_GOPR9231.dng")
    conditioning = nightfix.condition_raw(raw)
    known = nightfix.Restorer("nightfix-fast").with_shake(raw, conditioning)
    assert known.blur is False
