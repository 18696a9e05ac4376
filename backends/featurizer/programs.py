"""Backbones serialized for an inference engine, and the engines that run them.

A program is created once on the driver and sent to the executors as a broadcast; they need only
the engine's package. With OpenVINO programs, Python workers do not need TensorFlow.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from backends.errors import BackendError
from data.own_folders import temporary_folder
from models import ModelError, openvino_form
from models.backbones import Backbone
from models.openvino_form import NotInstalledError, Precision, Representation, traced_forward

EngineName = Literal["keras", "openvino"]
#: Function from uint8 pixels (n, height, width, channels) to float32 features (n, features).
Forward = Callable[[np.ndarray], np.ndarray]

#: Threads of an engine; executors have one core each.
THREADS = 1
_NOT_INSTALLED = "openvino is not installed: run 'uv sync --group pandas_udf' or use engine keras"


@dataclass(frozen=True)
class Program:
    """A backbone that an engine can run in another process."""

    engine: EngineName
    #: Precision of the arithmetic; features are always float32.
    precision: Precision
    #: Height, width, channels.
    input_shape: tuple[int, int, int]
    #: Length of a feature vector.
    features: int
    #: Digest of the backbone.
    digest: str
    #: Content of a ``.keras`` file, or the XML of OpenVINO's intermediate representation.
    structure: bytes
    #: Weights for OpenVINO; empty for Keras, whose file includes them.
    weights: bytes = b""

    @property
    def key(self) -> str:
        """Identifier of everything that determines the features: backbone, engine, precision."""
        return program_key(self.digest, self.engine, self.precision)


def program_key(digest: str, engine: EngineName, precision: Precision) -> str:
    """Return :attr:`Program.key` of a program without creating it."""
    return f"{digest}-{engine}-{precision}"


def export(backbone: Backbone, engine: EngineName, precision: Precision = "float32") -> Program:
    """Return ``backbone`` as a program for ``engine``.

    Raises
    ------
    BackendError
        If the engine is not installed or cannot represent the backbone.
    """
    if engine == "keras" and precision != "float32":
        raise BackendError("the engine keras supports only float32")
    structure, weights = {"keras": _export_keras, "openvino": _export_openvino}[engine](backbone)
    return Program(
        engine,
        precision,
        backbone.input_shape,
        backbone.features,
        backbone.digest,
        structure,
        weights,
    )


def load(program: Program) -> Forward:
    """Compile ``program`` for this process, with one thread.

    On a processor without bfloat16, OpenVINO runs a bfloat16 program in float32, which is closer
    to Keras.
    """
    return {"keras": _load_keras, "openvino": _load_openvino}[program.engine](program)


def openvino_precision() -> Precision:
    """Return bfloat16 if the processor supports it (AMX, AVX-512 BF16), else float32.

    Raises
    ------
    BackendError
        If OpenVINO is not installed.
    """
    capabilities = _openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bfloat16" if "BF16" in capabilities else "float32"


def _export_keras(backbone: Backbone) -> tuple[bytes, bytes]:
    with temporary_folder("backbone") as folder:
        path = folder / "backbone.keras"
        backbone.model.save(path)
        return path.read_bytes(), b""


def _export_openvino(backbone: Backbone) -> tuple[bytes, bytes]:
    try:
        form = openvino_form.convert(backbone.model, backbone.input_shape)
    except NotInstalledError as error:
        raise BackendError(_NOT_INSTALLED) from error
    except ModelError as error:
        raise BackendError(f"{error}: use engine keras") from error
    return form.structure, form.weights


def _load_keras(program: Program) -> Forward:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(THREADS))
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", str(THREADS))
    import keras

    with temporary_folder("backbone") as folder:
        path = folder / "backbone.keras"
        path.write_bytes(program.structure)
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    forward = traced_forward(model, program.input_shape)
    return lambda pixels: forward(pixels).numpy()


def _load_openvino(program: Program) -> Forward:
    form = Representation(program.structure, program.weights)
    try:
        return openvino_form.forward(form, program.precision, THREADS)
    except NotInstalledError as error:
        raise BackendError(_NOT_INSTALLED) from error


def _openvino_core() -> Any:
    try:
        return openvino_form.openvino().Core()
    except NotInstalledError as error:
        raise BackendError(_NOT_INSTALLED) from error
