"""Agreement of predicted probabilities with observed frequencies."""

from dataclasses import dataclass

import numpy as np

#: Number of bins, and smallest mean number of images in a bin.
_BINS, _LEAST = 10, 10


@dataclass(frozen=True)
class Reliability:
    """Bins of images with similar probabilities; all arrays have shape (bins,)."""

    #: Mean probability of the positive class.
    predicted: np.ndarray
    #: Share of images that belong to the positive class.
    observed: np.ndarray
    #: Number of images.
    images: np.ndarray

    def brier_components(self) -> dict[str, float]:
        """Return reliability, resolution and uncertainty of the Brier score.

        The Brier score is reliability - resolution + uncertainty if all images of a bin have the
        same probability, and differs from it by their variation otherwise. A. H. Murphy, "A new
        vector partition of the probability score", Journal of Applied Meteorology 12, 1973.
        """
        weights = self.images / self.images.sum()
        rate = float(weights @ self.observed)
        return {
            "reliability": float(weights @ (self.predicted - self.observed) ** 2),
            "resolution": float(weights @ (self.observed - rate) ** 2),
            "uncertainty": rate * (1 - rate),
        }


def reliability(truth: np.ndarray, certainty: np.ndarray) -> Reliability:
    """Divide images into at most ten bins of nearly equal numbers, by their probability.

    Images with the same probability are in the same bin. With fewer than 100 images there are fewer
    bins.

    Parameters
    ----------
    truth
        True for images of the positive class, shape (n,), n at least 1.
    certainty
        Probability of the positive class, shape (n,).
    """
    bins = int(np.clip(len(truth) // _LEAST, 1, _BINS))
    edges = np.quantile(certainty, np.arange(1, bins) / bins, method="inverted_cdf")
    places = np.searchsorted(np.unique(edges), certainty)
    images = np.bincount(places)
    kept = images > 0
    sums = (np.bincount(places, weights=values)[kept] for values in (certainty, truth))
    predicted, observed = (values / images[kept] for values in sums)
    return Reliability(predicted, observed, images[kept])
