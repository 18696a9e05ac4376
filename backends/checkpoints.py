"""Checkpoint of the last complete epoch of a run, from which another process can resume."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from backends.epoch import Epoch

_FILE = "checkpoint.npz"
_ABOUT = "about"
_WEIGHTS = "weights"


@dataclass(frozen=True)
class Checkpoint:
    """State of training after a complete epoch."""

    #: All epochs so far.
    epochs: tuple[Epoch, ...]
    #: Weights in the order of ``keras.Model.get_weights()``.
    weights: Sequence[np.ndarray]
    #: State other than the weights: that of the optimizer and of random generators, by name.
    state: Mapping[str, Sequence[np.ndarray]] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """Number of the last epoch, from 1."""
        return self.epochs[-1].number


class CheckpointFolder:
    """Folder with the latest checkpoint of one run, which is replaced atomically."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, checkpoint: Checkpoint) -> None:
        """Save ``checkpoint``, replacing the previous one."""
        arrays = {_WEIGHTS: checkpoint.weights, **checkpoint.state}
        about = {
            "epochs": [asdict(epoch) for epoch in checkpoint.epochs],
            "lengths": {name: len(values) for name, values in arrays.items()},
        }
        content = {
            f"{name}.{number}": np.asarray(value)
            for name, values in arrays.items()
            for number, value in enumerate(values)
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._folder / f"{_FILE}.unfinished"
        with unfinished.open("wb") as stream:
            np.savez(stream, **{_ABOUT: np.array(json.dumps(about))}, **content)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(self._folder / _FILE)

    def load(self) -> Checkpoint | None:
        """Return the checkpoint, or None if there is none."""
        path = self._folder / _FILE
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(str(stored[_ABOUT]))
            arrays = {
                name: [stored[f"{name}.{number}"] for number in range(length)]
                for name, length in about["lengths"].items()
            }
        epochs = tuple(Epoch(**epoch) for epoch in about["epochs"])
        return Checkpoint(epochs, arrays.pop(_WEIGHTS), arrays)

    def clear(self) -> None:
        """Remove the checkpoint and any unfinished one."""
        for name in (_FILE, f"{_FILE}.unfinished"):
            (self._folder / name).unlink(missing_ok=True)
