"""Restore: what an estimate of a shake most likely was, by a small network.

The edges of a picture tell a kernel that is wider than the true one and has gaps and smudges. How
the paths of a hand look, and what estimates make of them, can be learned: the network sees
the estimates of one shake, and answers with its kernel.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from nightfix.restore.motion.kernels import KERNEL_SIZE, center_kernel

#: Its weights, made by ``weights/train_kernels.py``.
_WEIGHTS = Path(__file__).with_suffix(".safetensors")

#: Channels, and how far apart the samples of each block's first convolution are [px].
_WIDTH, _DILATIONS = 48, (1, 1, 2, 4, 8, 4, 2, 1)

_SLOPE = 0.1

#: What is added to the estimate, whose peak is 1, before its logarithm.
_NOTHING = 0.01


class KernelNetwork(nn.Module):
    """Tell a kernel from estimates of it.

    Parameters
    ----------
    estimates : int
        How many it sees.

    Notes
    -----
    Residual blocks of two 3 x 3 convolutions, the first of them dilated (Yu and Koltun,
    "Multi-Scale Context Aggregation by Dilated Convolutions", ICLR 2016). Beside the estimates it
    sees the squared distance from the middle, and ones, which tell the frame. It answers with
    logarithms, added to that of the first estimate, of which a softmax makes a kernel.
    """

    def __init__(self, estimates: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(estimates + 2, _WIDTH, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LeakyReLU(_SLOPE),
                nn.Conv2d(_WIDTH, _WIDTH, 3, padding=distance, dilation=distance),
                nn.LeakyReLU(_SLOPE),
                nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
            )
            for distance in _DILATIONS
        )
        self.leave = nn.Conv2d(_WIDTH, 1, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        self.trust = nn.Parameter(torch.ones(()))

    def forward(self, estimates: Tensor) -> Tensor:
        """Return kernels.

        Parameters
        ----------
        estimates : Tensor, shape (B, estimates, side, side)
            Of the same shake, each divided by its largest value; the best one first.

        Returns
        -------
        Tensor, shape (B, side, side)
            Positive, sum 1.
        """
        place = torch.linspace(-1, 1, estimates.shape[-1])
        distance = place[:, None] ** 2 + place**2
        where = torch.stack([distance, torch.ones_like(distance)])
        x = self.enter(torch.cat([estimates, where.expand(len(estimates), -1, -1, -1)], 1))
        for block in self.blocks:
            x = x + block(x)
        answer = self.leave(F.leaky_relu(x, _SLOPE))[:, 0]
        known = torch.log(estimates[:, 0].clamp_min(0) + _NOTHING)
        return torch.softmax((answer + self.trust * known).flatten(1), 1).view_as(answer)


def most_likely_kernel(estimates: Tensor) -> Tensor:
    """Return the kernel that some estimates most likely are of.

    Parameters
    ----------
    estimates : Tensor, shape (estimates, 33, 33)
        As :class:`KernelNetwork` sees them.

    Returns
    -------
    Tensor, shape (33, 33)
        Positive, sum 1, its centroid in the middle [mosaic px].
    """
    assert estimates.shape[-1] == KERNEL_SIZE
    with torch.inference_mode():
        return center_kernel(_network()(estimates[None])[0])


@cache
def _network() -> KernelNetwork:
    state = load_file(_WEIGHTS)
    network = KernelNetwork(state["enter.weight"].shape[1] - 2)
    network.load_state_dict({name: value.float() for name, value in state.items()})
    return network.eval().requires_grad_(False)
