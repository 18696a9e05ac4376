"""Temperature of predicted probabilities, fitted to the validation images."""

import numpy as np

from models.decision import scaled

#: Range of temperatures that are tried.
_LOWEST, _HIGHEST = 0.05, 20.0
#: Relative distance from an end of the range within which the likelihood has no maximum.
_AT_END = 0.01
#: Lower limit of probabilities in the logarithm.
_EPSILON = 1e-12


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Return the temperature that maximizes the likelihood of the labels.

    C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Parameters
    ----------
    labels
        Integers, shape (n,).
    probabilities
        Shape (n, classes).

    Returns
    -------
    float or None
        None if the images do not determine a temperature: there is only one class, or the
        likelihood has no maximum within the range, for example because every image is classified
        correctly.
    """
    from scipy.optimize import minimize_scalar

    if len(np.unique(labels)) < 2:
        return None
    rows = np.arange(len(labels))

    def loss(logarithm: float) -> float:
        chosen = scaled(probabilities, float(np.exp(logarithm)))[rows, labels]
        return float(-np.log(np.clip(chosen, _EPSILON, 1)).mean())

    ends = np.log([_LOWEST, _HIGHEST])
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-6})
    temperature = float(np.exp(found.x))
    at_end = temperature < _LOWEST * (1 + _AT_END) or temperature > _HIGHEST * (1 - _AT_END)
    if at_end:
        return None
    return temperature if found.fun < loss(0.0) else 1.0
