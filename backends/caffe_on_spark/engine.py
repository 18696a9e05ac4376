"""Caffe in this process: a solver that trains a translated network, and a net that predicts."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from backends.caffe_on_spark import network as names
from backends.caffe_on_spark import solver as solvers
from backends.caffe_on_spark.network import CaffeNetwork
from backends.inference import BATCH
from models import OptimizerConfig

#: Caffe writes a line for each layer of each network unless its log is limited to errors.
QUIET = {"GLOG_minloglevel": "2"}


def caffe() -> ModuleType:
    """Return the module ``caffe``, which computes on the CPU and logs errors only."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import caffe as module

    module.set_mode_cpu()
    return module


class Weights:
    """Weights of a net of Caffe, in the order and layout of Keras."""

    def __init__(self, net: Any, network: CaffeNetwork) -> None:
        self._parameters = network.parameters
        self._blobs = [net.params[one.layer][one.blob] for one in network.parameters]

    def read(self) -> list[np.ndarray]:
        """Return copies of the weights, float32."""
        pairs = zip(self._parameters, self._blobs, strict=True)
        return [parameter.to_keras(blob.data) for parameter, blob in pairs]

    def write(self, values: Sequence[np.ndarray]) -> None:
        """Set the weights."""
        for parameter, blob, value in zip(self._parameters, self._blobs, values, strict=True):
            blob.data[...] = parameter.to_caffe(np.asarray(value)).reshape(blob.data.shape)

    @property
    def gradients(self) -> list[np.ndarray]:
        """Gradients in the layout of Caffe; writing to the arrays changes those of the net."""
        return [blob.diff for blob in self._blobs]


class Classifier:
    """Net of Caffe that computes probabilities.

    Parameters
    ----------
    network
        Translated network.
    shared
        Net whose weights are used and change with it; None for weights of its own, which
        :attr:`weights` sets.
    """

    def __init__(self, network: CaffeNetwork, shared: Any = None) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = _write(Path(folder) / "deploy.prototxt", network.prediction)
            self._net = caffe().Net(path, caffe().TEST)
        self.weights = Weights(self._net, network)
        if shared is not None:
            self._net.share_with(shared)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return the class probabilities, float32 (n, classes), of pixels (n, h, w, c)."""
        starts = range(0, len(pixels), BATCH)
        return np.concatenate([self._forward(pixels[one : one + BATCH]) for one in starts])

    def _forward(self, pixels: np.ndarray) -> np.ndarray:
        blob = self._net.blobs[names.PIXELS]
        if blob.data.shape[0] != len(pixels):
            blob.reshape(len(pixels), *blob.data.shape[1:])
            self._net.reshape()
        _put_images(blob, pixels)
        return np.array(self._net.forward()[names.PROBABILITIES])


class Solver:
    """Solver of Caffe for a translated network.

    Parameters
    ----------
    network
        Translated network.
    optimizer
        Optimizer for which ``solver.obstacle`` returns None.
    exchange
        Called in each step with the gradients before the weights are changed: arrays of the net in
        the layout of Caffe, which it replaces by their means over all workers.
    """

    def __init__(
        self,
        network: CaffeNetwork,
        optimizer: OptimizerConfig,
        exchange: Callable[[list[np.ndarray]], None],
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        self._snapshots = folder / "state"
        path = _write(folder / "train.prototxt", network.training)
        settings = solvers.definition(optimizer, path, str(self._snapshots))
        self._solver = caffe().get_solver(_write(folder / "solver.prototxt", settings))
        self.net = self._solver.net
        self.weights = Weights(self.net, network)
        self._solver.add_callback(lambda: None, lambda: exchange(self.weights.gradients))
        if network.class_weights is not None:
            self.net.blobs[names.CLASS_WEIGHTS].data[0, 0] = np.diag(network.class_weights)

    def step(self, pixels: np.ndarray, labels: np.ndarray) -> float:
        """Train on a batch, and return the mean loss of its images in nats.

        Parameters
        ----------
        pixels
            Shape (n, h, w, c), with the n of the definition for training.
        labels
            Integers, shape (n,).
        """
        _put_images(self.net.blobs[names.PIXELS], pixels)
        self.net.blobs[names.LABELS].data[...] = labels
        self._solver.step(1)
        return float(self.net.blobs[names.LOSS].data)

    def state(self) -> list[np.ndarray]:
        """Return the numbers of the step and of the learning-rate step, and the moments."""
        import h5py

        self._solver.snapshot()
        prefix = f"{self._snapshots}_iter_{self._solver.iter}"
        Path(f"{prefix}.caffemodel.h5").unlink()
        path = Path(f"{prefix}.solverstate.h5")
        with h5py.File(path) as stored:
            counts = np.array([stored["iter"][0], stored["current_step"][0]], np.int64)
            history = stored["history"]
            moments = [history[str(number)][()] for number in range(len(history))]
        path.unlink()
        return [counts, *moments]

    def set_state(self, values: Sequence[np.ndarray]) -> None:
        """Restore a state that :meth:`state` returned."""
        import h5py

        counts, *moments = values
        path = Path(f"{self._snapshots}.solverstate.h5")
        with h5py.File(path, "w") as stored:
            for name, count in zip(("iter", "current_step"), counts, strict=True):
                stored[name] = np.array([count], np.int32)
            for number, moment in enumerate(moments):
                stored[f"history/{number}"] = np.asarray(moment, np.float32)
        self._solver.restore(str(path))
        path.unlink()


def _put_images(blob: Any, pixels: np.ndarray) -> None:
    blob.data[...] = pixels.transpose(0, 3, 1, 2)


def _write(path: Path, definition: str) -> str:
    """Write a definition in the words of the installed Caffe, and return its path."""
    pooling = caffe().proto.caffe_pb2.PoolingParameter
    if "round_mode" not in pooling.DESCRIPTOR.fields_by_name:
        definition = names.with_ceil_mode(definition)
    path.write_text(definition)
    return str(path)
