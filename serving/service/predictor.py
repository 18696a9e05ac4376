"""Interface of the models that the routes use, computed in this process or by an endpoint."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.card import ModelCard
from serving.service.settings import Source

#: Content of an image file, or an array as `serving.inputs.to_pixels` accepts it.
ImageInput = bytes | np.ndarray


@dataclass(frozen=True)
class Answer:
    """Result for one image."""

    #: Class probabilities, float32 of shape (classes,).
    probabilities: np.ndarray
    #: Size at which the image in the file is displayed, in pixels; None if it is unknown.
    width: int | None = None
    height: int | None = None
    #: Remarks on how the image differs from the training images; empty unless requested.
    warnings: tuple[str, ...] = ()


class Predictor(Protocol):
    """A model that classifies images; used by one event loop."""

    card: ModelCard
    source: Source
    #: ``openvino``, ``keras`` or ``endpoint``.
    engine: str
    #: True if `explain` is available.
    explains: bool

    async def classify(self, image: ImageInput, *, describe: bool) -> Answer:
        """Return the result for one image.

        Parameters
        ----------
        image
            Image to classify.
        describe
            If True, the answer has the warnings.

        Raises
        ------
        RequestError
            If the image is not usable or the model cannot answer.
        """
        ...

    async def explain(self, image: ImageInput, class_index: int | None) -> np.ndarray:
        """Return the importance of each position for a class.

        Parameters
        ----------
        image
            Image to explain.
        class_index
            Index of the class; None explains the most probable one.

        Returns
        -------
        numpy.ndarray
            float32 from 0 to 1, shape (height, width) of the prepared image.
        """
        ...

    def close(self) -> None:
        """Release what the model holds, after its last request."""
        ...
