"""Training: several processes that train one network, started by torchrun."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn


@dataclass(frozen=True, slots=True)
class Ranks:
    """The number of this process among ``size`` that train together."""

    rank: int = 0
    size: int = 1

    def device(self, chosen: torch.device) -> torch.device:
        """Return this process's own device: on CUDA, one GPU each."""
        if chosen.type == "cuda" and self.size > 1:
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        return chosen

    def average(self, network: nn.Module) -> None:
        """Replace every gradient by its mean over the processes."""
        if self.size == 1:
            return
        for parameter in network.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)
            parameter.grad /= self.size

    def agreed(self, number: float) -> float:
        """Return the first process's number, so that all of them end together."""
        if self.size == 1:
            return number
        told = [number]
        distributed.broadcast_object_list(told)
        return told[0]


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that torchrun started, if it did.

    Parameters
    ----------
    device : torch.device
        Decides how they talk: NCCL between GPUs, Gloo otherwise.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield Ranks()
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size())
        distributed.barrier()
    finally:
        distributed.destroy_process_group()
