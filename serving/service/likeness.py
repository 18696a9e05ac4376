"""Comparison of an image with the ranges of the training images."""

from collections.abc import Mapping

import numpy as np

from models.card import ModelCard
from models.image_measures import measure

#: Property -> what a user reads.
_NAMES = {
    "width": "width of {value:.0f} pixels",
    "height": "height of {value:.0f} pixels",
    "brightness": "brightness of {value:.0f}",
    "contrast": "contrast of {value:.0f}",
    "red": "mean red of {value:.0f}",
    "green": "mean green of {value:.0f}",
    "blue": "mean blue of {value:.0f}",
}


def properties(
    pixels: np.ndarray, width: int | None = None, height: int | None = None
) -> dict[str, float]:
    """Return the properties of an image that `models.card.ModelCard.training_ranges` describes.

    Parameters
    ----------
    pixels
        Prepared image, uint8 of shape (height, width, channels).
    width, height
        Size in pixels at which the original image is displayed; None if it is unknown.
    """
    found = {name: float(values[0]) for name, values in measure(pixels[None]).items()}
    if width is not None and height is not None:
        found |= {"width": float(width), "height": float(height)}
    return found


def warnings(card: ModelCard, found: Mapping[str, float]) -> tuple[str, ...]:
    """Return a sentence for each property outside its range in the training images.

    Parameters
    ----------
    card
        Card with the ranges; without them there are no warnings.
    found
        Properties of an image, as `properties` returns them.
    """
    sentences = []
    for name, template in _NAMES.items():
        allowed = card.training_ranges.get(name)
        value = found.get(name)
        if allowed is None or value is None or allowed.low <= value <= allowed.high:
            continue
        sentences.append(
            f"The {template.format(value=value)} is outside the range of the training images "
            f"({allowed.low:.0f} to {allowed.high:.0f})."
        )
    return tuple(sentences)
