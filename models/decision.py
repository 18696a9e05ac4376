"""Class that follows from probabilities, and the scaling of probabilities by a temperature."""

import numpy as np

#: Threshold that selects the most probable class, whatever the number of classes.
MOST_PROBABLE = 0.5
#: Lower limit of probabilities in the logarithm.
_EPSILON = 1e-12


def decide(probabilities: np.ndarray, positive: int, threshold: float) -> np.ndarray:
    """Return the class of each image at a decision threshold.

    An image belongs to the positive class if its probability reaches the threshold, and otherwise
    to the most probable of the other classes. `MOST_PROBABLE` selects the most probable of all
    classes, which is the same with two classes.

    Parameters
    ----------
    probabilities
        Shape (n, classes).
    positive
        Index of the positive class.
    threshold
        From 0 to 1.

    Returns
    -------
    numpy.ndarray
        Indices of classes, shape (n,).
    """
    if threshold == MOST_PROBABLE:
        return probabilities.argmax(axis=1)
    others = probabilities.copy()
    others[:, positive] = -1.0
    return np.where(probabilities[:, positive] >= threshold, positive, others.argmax(axis=1))


def scaled(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities whose logits are divided by a temperature.

    Temperature scaling: C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Parameters
    ----------
    probabilities
        Shape (n, classes).
    temperature
        Above 0; 1 returns the probabilities unchanged.
    """
    if temperature == 1.0:
        return probabilities
    powers = np.log(np.clip(probabilities.astype(np.float64), _EPSILON, 1.0)) / temperature
    powers = np.exp(powers - powers.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
