"""Files of the trained network: in Keras's format and, where possible, in OpenVINO's."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel

from data.prepared import PreparedData
from models import ModelError, openvino_form
from models.card import NETWORK
from models.openvino_form import Representation

if TYPE_CHECKING:
    import keras

#: File with the content of `Engines`.
ENGINES = "engines.json"
#: Number of images on which the engines are compared.
_COMPARED = 64


class Engines(BaseModel):
    """Agreement of the two forms of a network."""

    #: Largest absolute difference of the probabilities; None if there is only Keras's form.
    difference: float | None = None
    #: Reason why there is no OpenVINO form; empty if there is one.
    reason: str = ""

    @classmethod
    def read(cls, folder: Path) -> "Engines":
        """Return the agreement that `save` has written to ``folder``."""
        return cls.model_validate_json((folder / ENGINES).read_text())


def save(model: "keras.Model", data: PreparedData, folder: Path) -> None:
    """Write ``model`` to ``folder`` in both forms, and compare them on validation images."""
    model.save(folder / NETWORK)
    shape = tuple(model.input_shape[1:])
    try:
        form = openvino_form.convert(model, shape)
    except ModelError as error:
        engines = Engines(reason=str(error))
    else:
        form.write(folder)
        engines = Engines(difference=_difference(model, form, _images(data, shape)))
    (folder / ENGINES).write_text(engines.model_dump_json())


def _difference(model: "keras.Model", form: Representation, pixels: np.ndarray) -> float:
    _, height, width, channels = pixels.shape
    exact = openvino_form.traced_forward(model, (height, width, channels))(pixels).numpy()
    return float(np.abs(openvino_form.forward(form)(pixels) - exact).max())


def _images(data: PreparedData, shape: tuple[int, int, int]) -> np.ndarray:
    """Return validation images, or random ones if the data set consists of features."""
    if data.dtype == "uint8":
        for block in data.shard("validation").blocks():
            return block.pixels[:_COMPARED]
    return np.random.default_rng(0).integers(0, 256, (_COMPARED, *shape), dtype=np.uint8)
