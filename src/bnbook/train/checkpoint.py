"""Checkpoints: a stopped run goes on as if nothing had happened."""

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

SECONDS_BETWEEN = 30.0  # at most this much work is lost


class Checkpoint:
    """One run's checkpoint file. Written to a temporary file and renamed, so it is always whole."""

    def __init__(self, path: Path, hardware: Callable[[str], str] = str):
        self.path = path
        self.hardware = hardware  # what a device ("cpu", "cuda") is called in a record
        self.earlier: list[str] = []  # hardware that the restored part of the run was computed on
        self._saved = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._saved >= SECONDS_BETWEEN

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, probes: Sequence, progress) -> None:
        """Save everything that the rest of the run depends on, with torch's random state (for Dropout)."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(f".{os.getpid()}.tmp")
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "probes": [probe.rows for probe in probes],
            "progress": dataclasses.asdict(progress),
            "random": torch.get_rng_state(),
            "hardware": self.computed_on(next(model.parameters()).device.type),
        }
        torch.save(state, temporary)
        temporary.rename(self.path)
        self._saved = time.monotonic()

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer, probes: Sequence, progress) -> None:
        """Load the saved state into its arguments; does nothing where no checkpoint was saved."""
        if not self.path.exists():
            return
        # Our own file in the user's cache; it holds NumPy rows, which weights_only would refuse.
        state = torch.load(self.path, map_location="cpu", weights_only=False)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        for probe, rows in zip(probes, state["probes"], strict=True):
            probe.rows = rows
        for name, value in state["progress"].items():
            setattr(progress, name, value)
        torch.set_rng_state(state["random"])
        self.earlier = state["hardware"]

    def computed_on(self, device: str) -> list[str]:
        """The names of all that a run was computed on which goes on on `device`."""
        return list(dict.fromkeys([*self.earlier, self.hardware(device)]))

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
