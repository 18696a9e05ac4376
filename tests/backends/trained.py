"""Result of the process of ``fit_process``, in a separate module so that it can be pickled."""

from dataclasses import dataclass

import numpy as np

from backends.base import FitResult


@dataclass(frozen=True)
class Trained:
    """Result of one task."""

    result: FitResult
    #: Probabilities of the test images, (n, classes); empty unless predictions were requested.
    probabilities: np.ndarray
    #: Checksum of the initial weights of the framework; None if the backend verified none.
    initial_weights_checksum: str | None
