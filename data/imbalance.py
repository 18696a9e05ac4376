"""Class weights and balanced sampling for classes of unequal size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

#: ``weights``: the loss of each image is weighted by the inverse frequency of its class.
#: ``sampling``: an epoch has the same number of images as without, divided equally over classes.
Imbalance = Literal["none", "weights", "sampling"]


def class_weights(labels: np.ndarray, classes: int) -> tuple[float, ...]:
    """Return the weight of an image of each class that gives all classes equal total weight.

    The weight is ``n / (classes * n_of_the_class)``, after G. King and L. Zeng, "Logistic
    Regression in Rare Events Data", Political Analysis 9, 2001; its mean over all images is 1.

    Parameters
    ----------
    labels
        Integers from 0 to ``classes`` - 1, shape (n,); each value must occur.
    classes
        Number of classes.
    """
    from sklearn.utils.class_weight import compute_class_weight

    weights = compute_class_weight("balanced", classes=np.arange(classes), y=labels)
    return tuple(float(weight) for weight in weights)


@dataclass(frozen=True)
class Draws:
    """Number of available and of drawn images of each class, for an epoch of a shard."""

    #: Number of images of each class in the shard.
    images: tuple[int, ...]
    #: Number of images of each class that an epoch draws.
    drawn: tuple[int, ...]

    @classmethod
    def balanced(cls, labels: np.ndarray, weights: Sequence[float]) -> "Draws":
        """Return draws in proportion to ``weights`` whose total is the number of images.

        Parameters
        ----------
        labels
            Labels of the images of one shard, shape (n,); classes may be missing.
        weights
            Weight of an image of each class, computed over all shards.
        """
        images = np.bincount(labels, minlength=len(weights))
        wanted = images * np.asarray(weights)
        wanted *= len(labels) / wanted.sum()
        drawn = np.floor(wanted).astype(int)
        # Round up the largest remainders, so that the sum is the number of images of the shard.
        rest = np.argsort(drawn - wanted, kind="stable")[: len(labels) - drawn.sum()]
        drawn[rest] += 1
        return cls(tuple(images.tolist()), tuple(drawn.tolist()))


class Sampler:
    """Sampler for the images of one epoch, block by block, with exact counts for each class.

    Systematic sampling is used within each class: every image is drawn ``floor`` or ``ceil`` of its
    class's draws per image, depending on the order of the blocks and a random start (W. Cochran,
    "Sampling Techniques", 1977, chapter 8). A large class is therefore thinned without repeats, and
    only one block needs to be in memory.
    """

    def __init__(self, draws: Draws, generator: np.random.Generator) -> None:
        self._draws = draws
        self._seen = [0] * len(draws.images)
        self._starts = [int(generator.integers(count)) if count else 0 for count in draws.images]

    def draw(self, labels: np.ndarray) -> np.ndarray:
        """Return the drawn positions in ``labels``, ascending, repeated if drawn repeatedly."""
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
