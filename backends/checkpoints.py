"""What a run keeps of its last whole epoch, so that another process can go on from there."""

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
    """The state of training after a whole epoch."""

    #: All epochs so far.
    epochs: tuple[Epoch, ...]
    #: In the order of ``keras.Model.get_weights()``.
    weights: Sequence[np.ndarray]
    #: What a backend needs beside the weights: the optimiser's state, random generators.
    state: Mapping[str, Sequence[np.ndarray]] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """Number of the last epoch, from 1."""
        return self.epochs[-1].number


class CheckpointFolder:
    """Keeps the newest checkpoint of one run, whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, checkpoint: Checkpoint) -> None:
        """Put ``checkpoint`` in the place of the one before."""
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
        """Return the checkpoint, or None where there is none."""
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
        """Remove what is kept."""
        for name in (_FILE, f"{_FILE}.unfinished"):
            (self._folder / name).unlink(missing_ok=True)
