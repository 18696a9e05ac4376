"""Files of the trained network: in Keras's format and, where possible, in OpenVINO's."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel

from data.prepared import PreparedData
from models import ModelError, openvino_form
from models.card import NETWORK

if TYPE_CHECKING:
    import keras

#: File with the content of `Engines`.
ENGINES = "engines.json"
#: Number of images on which the engines are compared.
_COMPARED = 64


class Engines(BaseModel):
    """Agreement of the two forms of a network with each other and with the backend."""

    #: Largest absolute difference of the probabilities; None if there is only Keras's form.
    difference: float | None = None
    #: Reason why there is no OpenVINO form; empty if there is one.
    reason: str = ""
    #: Largest absolute difference between the backend's predictions and those of Keras's form on
    #: the same images; None if they were not compared.
    recorded_difference: float | None = None

    @classmethod
    def read(cls, folder: Path) -> "Engines":
        """Return the agreement that `save` has written to ``folder``."""
        return cls.model_validate_json((folder / ENGINES).read_text())


def save(
    model: "keras.Model",
    data: PreparedData,
    folder: Path,
    predicted: np.ndarray | None = None,
) -> None:
    """Write ``model`` to ``folder`` in both forms, and compare them on validation images.

    Parameters
    ----------
    model
        Keras model from pixels to probabilities.
    data
        Data set of the run.
    folder
        Folder to which the files are written.
    predicted
        Probabilities of the validation images as the backend computed them, shape (n, classes);
        None if they are unknown.
    """
    model.save(folder / NETWORK)
    shape = tuple(model.input_shape[1:])
    pixels = _images(data, shape)
    exact = openvino_form.traced_forward(model, shape)(pixels).numpy()
    engines = Engines()
    if predicted is not None and data.dtype == "uint8":
        engines.recorded_difference = _largest(predicted[: len(exact)] - exact)
    try:
        form = openvino_form.convert(model, shape)
    except ModelError as error:
        engines.reason = str(error)
    else:
        form.write(folder)
        engines.difference = _largest(openvino_form.forward(form)(pixels) - exact)
    (folder / ENGINES).write_text(engines.model_dump_json())


def _largest(differences: np.ndarray) -> float:
    return float(np.abs(differences).max())


def _images(data: PreparedData, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the first validation images, or random ones if the data set consists of features."""
    if data.dtype == "uint8":
        for block in data.shard("validation").blocks():
            return block.pixels[:_COMPARED]
    return np.random.default_rng(0).integers(0, 256, (_COMPARED, *shape), dtype=np.uint8)
