"""Checkpoints: a stopped run goes on as if nothing had happened.

They only save work. One that cannot be read or is of another run is set aside and the run starts over; where
none can be written it goes on without. A file in a cache may be anybody's: reading it runs no code.
"""

import contextlib
import copy
import dataclasses
import hashlib
import io
import pickle
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bnbook import files

SECONDS_BETWEEN = 30.0  # at most this much work is lost
FORMAT = 2


class Checkpoint:
    """The checkpoint file of one run, which `run` names; without `resume` an earlier one is not looked at."""

    def __init__(self, path: Path, run: str = "", hardware: Callable[[str], str] = str, resume: bool = True):
        self.path = path
        self.run = run
        self.hardware = hardware  # what a device ("cpu", "cuda") is called in a record
        self.resume = resume
        self.earlier: list[str] = []  # hardware that the restored part of the run was computed on
        self._saved = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._saved >= SECONDS_BETWEEN

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, probes: Sequence, progress) -> None:
        """Save everything that the rest of the run depends on, with torch's random state (for Dropout)."""
        state = {
            "format": FORMAT,
            "run": self.run,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "probes": [_as_torch(probe.rows) for probe in probes],
            "progress": dataclasses.asdict(progress),
            "random": torch.get_rng_state(),
            "hardware": self.computed_on(next(model.parameters()).device.type),
        }
        stream = io.BytesIO()
        torch.save(state, stream)
        try:
            files.write(self.path, _checksum(stream.getvalue()) + stream.getvalue())
        except OSError as error:
            files.warn_once(f"{self.path}: {error.strerror}; the run goes on without checkpoints")
        self._saved = time.monotonic()

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer, probes: Sequence, progress) -> None:
        """Load the saved state into its arguments. Where there is none, or none that is sound and of this
        run, they stay as they are; an unsound one is named and set aside."""
        if not self.resume:
            return
        before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
        try:
            state = self._read()
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            rows = [_as_numpy(rows) for _, rows in zip(probes, state["probes"], strict=True)]
            restored = dataclasses.replace(progress, **state["progress"])
            self.earlier = list(state["hardware"])
            torch.set_rng_state(state["random"])
        except (FileNotFoundError, NotADirectoryError):
            return
        except Exception as error:  # whatever torch says of what is no checkpoint of this run
            model.load_state_dict(before[0])
            optimizer.load_state_dict(before[1])
            self.earlier = []
            self._set_aside(error)
            return
        for probe, own in zip(probes, rows, strict=True):
            probe.rows = own
        vars(progress).update(vars(restored))

    def computed_on(self, device: str) -> list[str]:
        """The names of all that a run was computed on which goes on on `device`."""
        return list(dict.fromkeys([*self.earlier, self.hardware(device)]))

    def remove(self) -> None:
        with contextlib.suppress(OSError):  # left in the cache it harms nobody: its run has a record
            self.path.unlink(missing_ok=True)
            files.sweep(self.path.parent)

    def _read(self) -> dict[str, Any]:
        data = self.path.read_bytes()
        # torch looks at no checksum of its own: a flipped bit would be a weight.
        checksum, content = data[:CHECKSUM_BYTES], data[CHECKSUM_BYTES:]
        if _checksum(content) != checksum:
            raise ValueError("damaged")
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if state["format"] != FORMAT or state["run"] != self.run:
            raise ValueError("of another run")
        return state

    def _set_aside(self, error: Exception) -> None:
        reason = str(error).partition("\n")[0] or type(error).__name__
        if isinstance(error, pickle.UnpicklingError):
            reason = "holds more than numbers and text"
        elif isinstance(error, OSError):
            reason = error.strerror or reason
        files.warn_once(
            f"{self.path}: {reason}: it is set aside as {self.path.name}.damaged, the run starts over"
        )
        with contextlib.suppress(OSError):
            files.set_aside(self.path)


CHECKSUM_BYTES = hashlib.sha256().digest_size


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _as_torch(value: Any) -> Any:
    """What a probe measured, in types that can be read back without running code: arrays as tensors."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    return _within(value, _as_torch)


def _as_numpy(value: Any) -> Any:
    return value.numpy() if isinstance(value, Tensor) else _within(value, _as_numpy)


def _within(value: Any, convert: Callable[[Any], Any]) -> Any:
    """`value` with all that it holds converted."""
    if isinstance(value, dict):
        return {name: convert(one) for name, one in value.items()}
    return type(value)(map(convert, value)) if isinstance(value, list | tuple) else value
