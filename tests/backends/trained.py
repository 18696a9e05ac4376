"""What the process of ``fit_process`` returns: a module of its own, so that it can be pickled."""

from dataclasses import dataclass

import numpy as np

from backends.base import FitResult


@dataclass(frozen=True)
class Trained:
    """Result of one task."""

    result: FitResult
    #: Of the test images, (n, classes); empty unless predictions were requested.
    probabilities: np.ndarray
    #: Of the weights that the framework started from; None if the backend verified none.
    initial_weights_checksum: str | None
