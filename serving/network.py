"""Inference with the trained network, on OpenVINO if it agrees with Keras, else on Keras."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from models import openvino_form
from models.card import NETWORK, ModelCard
from models.openvino_form import Representation
from serving.errors import ServingError

Engine = Literal["openvino", "keras"]
#: Largest difference of probabilities with which OpenVINO replaces Keras.
TOLERANCE = 1e-4
#: Largest number of images in one forward pass.
BATCH = 64

Forward = Callable[[np.ndarray], np.ndarray]


class Network:
    """Forward pass of the network in a folder; may be called from several threads.

    Parameters
    ----------
    folder
        Folder with ``model.keras`` and, if the network has one, its OpenVINO form.
    card
        Card of the model.
    engine
        None uses OpenVINO if its probabilities were measured to agree with Keras's.
    threads
        Number of threads; None uses one for each core available to this process.

    Raises
    ------
    ServingError
        If the engine is not available.
    """

    def __init__(
        self,
        folder: Path,
        card: ModelCard,
        engine: Engine | None = None,
        threads: int | None = None,
    ) -> None:
        #: Folder from which the network was opened.
        self.folder = folder
        self.engine: Engine = engine or self.engine_for(folder, card)
        threads = threads or len(os.sched_getaffinity(0))
        self._forward = {"openvino": _openvino, "keras": _keras}[self.engine](folder, threads)

    @staticmethod
    def engine_for(folder: Path, card: ModelCard) -> Engine:
        """Return the engine that is used for the network in ``folder`` if none is given."""
        difference = card.engine_difference
        agrees = difference is not None and difference <= TOLERANCE
        if not agrees or not (folder / openvino_form.STRUCTURE).exists():
            return "keras"
        try:
            openvino_form.openvino()
        except openvino_form.NotInstalledError:
            return "keras"
        return "openvino"

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return the class probabilities of prepared images, before temperature scaling.

        Parameters
        ----------
        pixels
            uint8, shape (n, height, width, channels).

        Returns
        -------
        numpy.ndarray
            float32, shape (n, classes).
        """
        starts = range(0, len(pixels), BATCH)
        blocks = [self._forward(pixels[start : start + BATCH]) for start in starts]
        return np.concatenate(blocks)


def _openvino(folder: Path, threads: int) -> Forward:
    if not (folder / openvino_form.STRUCTURE).exists():
        raise ServingError("this model has no OpenVINO form: use the engine keras")
    compiled = openvino_form.compiled(Representation.read(folder), threads=threads)
    own = threading.local()

    def forward(pixels: np.ndarray) -> np.ndarray:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        outputs = own.request.infer([pixels])
        return np.array(outputs[0])

    return forward


def _keras(folder: Path, threads: int) -> Forward:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(threads))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        import keras
    except ImportError as error:
        raise ServingError("keras is not installed: run 'uv sync'") from error
    # Safe mode: the file cannot execute code.
    model = keras.saving.load_model(folder / NETWORK, compile=False, safe_mode=True)
    traced = openvino_form.traced_forward(model, tuple(model.input_shape[1:]))
    return lambda pixels: traced(pixels).numpy()
