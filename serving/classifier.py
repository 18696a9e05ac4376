"""A trained classifier: from images in any form to classes and probabilities."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.card import CARD, ModelCard
from models.decision import decide, scaled
from serving.errors import InputError, ServingError
from serving.inputs import separate, to_pixels
from serving.network import BATCH, Engine, Network


@dataclass(frozen=True)
class Prediction:
    """Result for one image."""

    #: Most probable class.
    class_name: str
    #: Class at the decision threshold; equals ``class_name`` at a threshold of 0.5.
    decision: str
    #: Class -> probability, in the order of the classes.
    probabilities: dict[str, float]


class Classifier:
    """Network with its card.

    Attributes
    ----------
    card
        Card of the model.
    network
        Network of the model.
    """

    def __init__(self, card: ModelCard, network: Network) -> None:
        self.card = card
        self.network = network

    @classmethod
    def open(
        cls, folder: str | Path, engine: Engine | None = None, threads: int | None = None
    ) -> "Classifier":
        """Return the classifier in a folder.

        Parameters
        ----------
        folder
            Folder of an MLflow model that this project recorded, or its folder ``classifier``.
        engine, threads
            As for `Network`.

        Raises
        ------
        ServingError
            If the folder has no classifier.
        """
        inner = classifier_folder(Path(folder))
        card = ModelCard.read(inner)
        return cls(card, Network(inner, card, engine, threads))

    def classify(self, images: Any) -> list[Prediction]:
        """Return the prediction for each image.

        Parameters
        ----------
        images
            One image or several, in the forms of `serving.inputs.to_pixels`; also an array
            (n, height, width, channels) or a pandas DataFrame with a column ``content``, ``image``
            or ``path``.

        Raises
        ------
        InputError
            If an input is not a usable image; the message names its position.
        """
        probabilities = self.probabilities(images)
        return self.predictions(probabilities)

    def probabilities(self, images: Any) -> np.ndarray:
        """Return the class probabilities, float32 of shape (n, classes); see `classify`."""
        inputs = separate(images)
        blocks = [np.empty((0, len(self.card.class_names)), np.float32)]
        for start in range(0, len(inputs), BATCH):
            part = inputs[start : start + BATCH]
            pixels = [self._pixels(start + n, one, len(inputs)) for n, one in enumerate(part)]
            blocks.append(self.of_pixels(np.stack(pixels)))
        return np.concatenate(blocks)

    def of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Return the class probabilities of prepared images.

        Parameters
        ----------
        pixels
            uint8, shape (n, height, width, channels).

        Returns
        -------
        numpy.ndarray
            float32, shape (n, classes), after temperature scaling.
        """
        raw = self.network.probabilities(pixels)
        return scaled(raw, self.card.temperature).astype(np.float32)

    def predictions(self, probabilities: np.ndarray) -> list[Prediction]:
        """Return the predictions that follow from probabilities of shape (n, classes)."""
        names = self.card.class_names
        best = probabilities.argmax(axis=1)
        decided = decide(probabilities, self.card.positive, self.card.threshold.value)
        return [
            Prediction(names[b], names[d], dict(zip(names, map(float, row), strict=True)))
            for b, d, row in zip(best, decided, probabilities, strict=True)
        ]

    def _pixels(self, number: int, value: Any, count: int) -> np.ndarray:
        try:
            return to_pixels(value, self.card.image)
        except InputError as error:
            if count == 1:
                raise
            raise InputError(f"image {number + 1} of {count}: {error}") from error


#: Places of the classifier below a folder that a user may name.
_PLACES = ("", "artifacts/classifier", "model/artifacts/classifier", "classifier")


def holds_classifier(folder: Path) -> bool:
    """Return whether ``folder`` is, or contains, the folder of a classifier."""
    return any((folder / inner / CARD).is_file() for inner in _PLACES)


def classifier_folder(folder: Path) -> Path:
    """Return the folder with the card, which is ``folder`` or within it.

    Raises
    ------
    ServingError
        If there is none.
    """
    for inner in _PLACES:
        if (folder / inner / CARD).is_file():
            return folder / inner
    if not folder.exists():
        raise ServingError(f"there is no folder {folder}")
    if not folder.is_dir():
        raise ServingError(f"{folder} is not a folder")
    raise ServingError(
        f"{folder} has no model card: name the folder of a recorded model (models recorded before "
        "version 0.2 have no card: train again)"
    )
