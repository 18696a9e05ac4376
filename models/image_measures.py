"""Brightness, contrast and color of prepared images, by which unusual images are recognized."""

import numpy as np

#: Weights of red, green and blue in luma, ITU-R BT.601.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_CHANNELS = ("red", "green", "blue")


def measure(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Return measures of prepared images, in gray levels from 0 to 255.

    Parameters
    ----------
    pixels
        uint8, shape (n, height, width, channels) with 1 or 3 channels.

    Returns
    -------
    dict of str to ndarray
        float64 arrays of shape (n,): ``brightness`` and ``contrast``, mean and standard deviation
        of the luma, and with 3 channels the means ``red``, ``green`` and ``blue``.
    """
    flat = pixels.reshape(len(pixels), -1, pixels.shape[-1]).astype(np.float32)
    luma = flat[..., 0] if flat.shape[-1] == 1 else flat @ _LUMA
    found = {
        "brightness": luma.mean(axis=1, dtype=np.float64),
        "contrast": luma.std(axis=1, dtype=np.float64),
    }
    if flat.shape[-1] == len(_CHANNELS):
        found |= dict(zip(_CHANNELS, flat.mean(axis=1, dtype=np.float64).T, strict=True))
    return found
