"""Classification of a sequence of images in which some cannot be used."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from models.decision import decide
from serving.classifier import Classifier
from serving.errors import InputError
from serving.network import BATCH


@dataclass(frozen=True)
class Outcomes:
    """Results for a sequence of inputs, one for each, in order."""

    #: Reason why an input could not be classified; None for the others.
    errors: list[str | None]
    #: float32, shape (n, classes); NaN in the rows of errors.
    probabilities: np.ndarray
    #: Indices of the most probable class and of the class at the decision threshold, shape (n,);
    #: -1 in the rows of errors.
    classes: np.ndarray
    decisions: np.ndarray


def classify_each(
    classifier: Classifier, values: Iterable[Any], to_pixels: Callable[[Any], np.ndarray]
) -> Outcomes:
    """Classify ``values``; only the pixels of one forward pass are in memory at a time.

    Parameters
    ----------
    classifier
        The classifier.
    values
        Inputs of any kind.
    to_pixels
        Function from an input to uint8 pixels of the shape that the network requires; it raises
        InputError if the input is not usable.
    """
    card = classifier.card
    errors: list[str | None] = []
    blocks = [np.empty((0, len(card.class_names)), np.float32)]
    remaining = iter(values)
    while reasons := _classify_block(classifier, islice(remaining, BATCH), to_pixels, blocks):
        errors += reasons
    probabilities = np.concatenate(blocks)
    known = np.array([error is None for error in errors], bool)
    classes, decisions = np.full((2, len(errors)), -1)
    if known.any():
        usable = probabilities[known]
        classes[known] = usable.argmax(axis=1)
        decisions[known] = decide(usable, card.positive, card.threshold.value)
    return Outcomes(errors, probabilities, classes, decisions)


def _classify_block(
    classifier: Classifier,
    values: Iterable[Any],
    to_pixels: Callable[[Any], np.ndarray],
    blocks: list[np.ndarray],
) -> list[str | None]:
    """Append the probabilities of a few values to ``blocks``; return the errors of all values."""
    errors: list[str | None] = []
    places, pixels = [], []
    for place, value in enumerate(values):
        try:
            pixels.append(to_pixels(value))
        except InputError as error:
            errors.append(str(error))
        else:
            errors.append(None)
            places.append(place)
    block = np.full((len(errors), len(classifier.card.class_names)), np.nan, np.float32)
    if pixels:
        block[places] = classifier.of_pixels(np.stack(pixels))
    blocks.append(block)
    return errors
