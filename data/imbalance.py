"""Classes of unequal size: what each counts, and how often its images are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

#: ``weights``: the loss of an image counts as much more as its class is rarer. ``sampling``: an
#: epoch has as many images as before and equally many of each class.
Imbalance = Literal["none", "weights", "sampling"]


def class_weights(labels: np.ndarray, classes: int) -> tuple[float, ...]:
    """Return what an image of each class must count for all classes to count the same.

    ``n / (classes * n_of_the_class)``, after G. King and L. Zeng, "Logistic Regression in Rare
    Events Data", Political Analysis 9, 2001; on average over the images it is 1.

    Parameters
    ----------
    labels
        Integers from 0 to ``classes`` - 1, shape (n,); each occurs.
    """
    from sklearn.utils.class_weight import compute_class_weight

    weights = compute_class_weight("balanced", classes=np.arange(classes), y=labels)
    return tuple(float(weight) for weight in weights)


@dataclass(frozen=True)
class Draws:
    """How many images of each class an epoch of a shard draws from how many."""

    images: tuple[int, ...]
    drawn: tuple[int, ...]

    @classmethod
    def balanced(cls, labels: np.ndarray, weights: Sequence[float]) -> "Draws":
        """Return draws in proportion to ``weights``, as many as there are images.

        Parameters
        ----------
        labels
            Of the images of one shard, which may lack classes.
        weights
            What an image of each class counts, over all shards.
        """
        images = np.bincount(labels, minlength=len(weights))
        wanted = images * np.asarray(weights)
        wanted *= len(labels) / wanted.sum()
        drawn = np.floor(wanted).astype(int)
        # The largest remainders get what is left: the sum is the shard's number of images.
        rest = np.argsort(drawn - wanted, kind="stable")[: len(labels) - drawn.sum()]
        drawn[rest] += 1
        return cls(tuple(images.tolist()), tuple(drawn.tolist()))


class Sampler:
    """Draws images of one epoch, block by block; each class comes out exactly as often as asked.

    Systematic sampling within each class: an image is drawn ``floor`` or ``ceil`` of its class's
    draws per image, and which images get one more depends on the order of the blocks and a random
    start (W. Cochran, "Sampling Techniques", 1977, chapter 8). So a large class is thinned without
    repeats, and nothing beyond a block need be in memory.
    """

    def __init__(self, draws: Draws, generator: np.random.Generator) -> None:
        self._draws = draws
        self._seen = [0] * len(draws.images)
        self._starts = [int(generator.integers(count)) if count else 0 for count in draws.images]

    def draw(self, labels: np.ndarray) -> np.ndarray:
        """Return positions in ``labels``, ascending, repeated where an image is drawn again."""
        repeats = np.zeros(len(labels), np.int64)
        for label, (images, drawn) in enumerate(
            zip(self._draws.images, self._draws.drawn, strict=True)
        ):
            own = np.flatnonzero(labels == label)
            if not len(own):
                continue
            borders = np.arange(len(own) + 1, dtype=np.int64) + self._seen[label]
            repeats[own] = np.diff((borders * drawn + self._starts[label]) // images)
            self._seen[label] += len(own)
        return np.repeat(np.arange(len(labels)), repeats)
