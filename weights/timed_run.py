"""What the training scripts beside this file share: runs over samples that were made before."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nightfix.restore import Denoiser

#: Seconds between checkpoints.
_BETWEEN = 120


def load_sample(kind: type[NamedTuple], path: Path) -> Any:
    """Read a sample: the arrays of a file that are named as its fields are."""
    held = np.load(path)
    return kind(*(torch.from_numpy(held[name].astype(np.float32)) for name in kind._fields))


class TimedRun:
    """A network that is trained for some minutes in all, and goes on where it was stopped.

    Parameters
    ----------
    folder : Path
        Where its checkpoint lies.
    network : Denoiser
        What is trained.
    minutes : float
        Time of all pieces of the run together.
    rate : float
        Peak rate of AdamW; warmed up, then a cosine over the time to 2 % of it.
    warmup : int
        Steps until it is reached.
    decay : float
        That of the averaged weights.
    """

    def __init__(
        self,
        folder: Path,
        network: Denoiser,
        *,
        minutes: float,
        rate: float,
        warmup: int,
        decay: float,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint, self.network = folder / "checkpoint.pt", network
        self.seconds, self.rate, self.warmup, self.decay = 60 * minutes, rate, warmup, decay
        self.optimizer = torch.optim.AdamW(
            network.parameters(), betas=(0.9, 0.99), weight_decay=1e-4
        )
        self.average = {key: value.clone() for key, value in network.state_dict().items()}
        self.step, self.before = 0, 0.0
        if self.checkpoint.exists():
            held = torch.load(self.checkpoint, weights_only=True)
            network.load_state_dict(held["network"])
            self.optimizer.load_state_dict(held["optimizer"])
            self.average, self.step, self.before = held["average"], held["step"], held["spent"]
        self.started = self.saved = time.monotonic()

    @property
    def spent(self) -> float:
        """Return the time of all pieces so far [s]."""
        return self.before + time.monotonic() - self.started

    @property
    def share(self) -> float:
        """Return the share of the time that is spent, from 1 on when the run is over."""
        return self.spent / self.seconds

    def learn(self, loss: Tensor) -> None:
        """Take a step down a loss."""
        for group in self.optimizer.param_groups:
            warm = min(1.0, (self.step + 1) / self.warmup)
            cosine = 1 + math.cos(math.pi * min(1.0, self.share))
            group["lr"] = self.rate * warm * (0.02 + 0.49 * cosine)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)):
            self.optimizer.step()
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        for key, value in self.network.state_dict().items():
            self.average[key].lerp_(value, 1 - decay)

    def save_now_and_then(self) -> bool:
        """Save the run if it is time to; return whether it was."""
        due = time.monotonic() - self.saved > _BETWEEN
        if due:
            self.save()
        return due

    def save(self) -> None:
        """Write the checkpoint."""
        held = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.step,
            "spent": self.spent,
        }
        temporary = self.checkpoint.with_suffix(".part")
        torch.save(held, temporary)
        temporary.replace(self.checkpoint)
        self.saved = time.monotonic()
