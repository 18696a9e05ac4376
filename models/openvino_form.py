"""Networks in OpenVINO's intermediate representation, which runs without TensorFlow.

Importing TensorFlow takes four to twelve seconds of a core, and its process takes a gigabyte.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from data.own_folders import temporary_folder
from models.errors import ModelError

if TYPE_CHECKING:
    import keras

Precision = Literal["float32", "bfloat16"]
#: Names of the two files of a representation.
STRUCTURE, WEIGHTS = "network.xml", "network.bin"

# On import, OpenVINO reports its use to a web service from a fork of the process, which may have
# threads of TensorFlow and Java. Disabling this optional package prevents that.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


class NotInstalledError(ModelError):
    """Error if the package openvino is not installed."""


@dataclass(frozen=True)
class Representation:
    """A network in OpenVINO's intermediate representation; its input is uint8 pixels."""

    #: XML.
    structure: bytes
    weights: bytes

    def write(self, folder: Path) -> None:
        """Write the two files to ``folder``."""
        (folder / STRUCTURE).write_bytes(self.structure)
        (folder / WEIGHTS).write_bytes(self.weights)

    @classmethod
    def read(cls, folder: Path) -> "Representation":
        """Return the representation in ``folder``."""
        return cls((folder / STRUCTURE).read_bytes(), (folder / WEIGHTS).read_bytes())


def convert(model: "keras.Model", shape: tuple[int, int, int]) -> Representation:
    """Return a Keras model as a representation.

    Parameters
    ----------
    model
        Keras model of images.
    shape
        Height, width and channels of its input.

    Raises
    ------
    NotInstalledError
        If OpenVINO is not installed.
    ModelError
        If OpenVINO cannot represent the model.
    """
    engine = openvino()
    traced = traced_forward(model, shape).get_concrete_function()
    try:
        converted = engine.convert_model(traced)
    except Exception as error:  # the converter's errors have no common type
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise ModelError(f"OpenVINO cannot represent this network ({reason})") from error
    with temporary_folder("network") as folder:
        structure, weights = folder / STRUCTURE, folder / WEIGHTS
        engine.serialize(converted, structure, weights)
        return Representation(structure.read_bytes(), weights.read_bytes())


def traced_forward(model: Any, shape: tuple[int, int, int]) -> Any:
    """Return ``model`` as a TensorFlow function of uint8 pixels, shape (n, *shape)."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, *shape), tf.uint8)])
    def forward(pixels: Any) -> Any:
        return model(tf.cast(pixels, tf.float32), training=False)

    return forward


def compiled(
    form: Representation, precision: Precision = "float32", threads: int = 1, streams: int = 1
) -> Any:
    """Return OpenVINO's ``CompiledModel`` of a representation.

    Parameters
    ----------
    form
        Network to compile.
    precision
        Precision of the arithmetic. On a processor without bfloat16, OpenVINO computes in float32.
    threads
        Number of threads of the whole engine.
    streams
        Number of requests that are computed at the same time.
    """
    engine = openvino()
    core = engine.Core()
    model = core.read_model(form.structure, engine.Tensor(np.frombuffer(form.weights, np.uint8)))
    properties = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams,
        # Otherwise all executors on a machine would pin their threads to the same core.
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
    }
    return core.compile_model(model, "CPU", properties)


def forward(
    form: Representation, precision: Precision = "float32", threads: int = 1
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from uint8 pixels (n, height, width, channels) to the float32 output."""
    network = compiled(form, precision, threads)
    return lambda pixels: network(pixels)[0]


def openvino() -> Any:
    """Return the package openvino.

    Raises
    ------
    NotInstalledError
        If it is not installed.
    """
    try:
        import openvino as package
    except ImportError as error:
        raise NotInstalledError(
            "openvino is not installed: run 'uv sync --group serving'"
        ) from error
    return package
