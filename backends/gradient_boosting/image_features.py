"""Color and texture of an image as numbers, as images were described before deep learning.

- Each channel: mean, standard deviation, five percentiles.
- Color images: mean and standard deviation of hue, saturation and value.
- Co-occurrence of gray levels (R. Haralick et al., "Textural Features for Image Classification",
  1973): contrast, dissimilarity, homogeneity, energy and correlation at distances of 1 and 3
  pixels, averaged over four directions.
- Local binary patterns (T. Ojala et al., "Multiresolution Gray-Scale and Rotation Invariant
  Texture Classification with Local Binary Patterns", 2002): shares of the uniform patterns of 8
  neighbors at a radius of 1 pixel and of 16 neighbors at 2 pixels.
- Edges: mean and standard deviation of Sobel's gradient.
"""

import numpy as np

_PERCENTILES = (5, 25, 50, 75, 95)
_GRAY_LEVELS = 32
_DISTANCES = (1, 3)
_DIRECTIONS = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
_TEXTURES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation")
#: Neighbors and radius in pixels of local binary patterns.
_PATTERNS = ((8, 1), (16, 2))


def describe(pixels: np.ndarray) -> np.ndarray:
    """Return the features of images.

    Parameters
    ----------
    pixels
        uint8, shape (n, height, width, channels) with 1 or 3 channels.

    Returns
    -------
    numpy.ndarray
        float32, shape (n, features).
    """
    return np.stack([_features(image) for image in pixels]).astype(np.float32)


def _features(image: np.ndarray) -> np.ndarray:
    gray = image.mean(axis=2)
    return np.concatenate([_color(image), _co_occurrence(gray), _patterns(gray), _edges(gray)])


def _color(image: np.ndarray) -> np.ndarray:
    from skimage.color import rgb2hsv

    channels = image.reshape(-1, image.shape[2])
    parts = [channels.mean(axis=0), channels.std(axis=0)]
    parts += [np.percentile(channels, _PERCENTILES, axis=0).ravel()]
    if image.shape[2] == 3:
        hsv = rgb2hsv(image).reshape(-1, 3)
        parts += [hsv.mean(axis=0), hsv.std(axis=0)]
    return np.concatenate(parts)


def _co_occurrence(gray: np.ndarray) -> np.ndarray:
    from skimage.feature import graycomatrix, graycoprops

    levels = (gray * (_GRAY_LEVELS / 256)).astype(np.uint8)
    matrix = graycomatrix(
        levels, _DISTANCES, _DIRECTIONS, levels=_GRAY_LEVELS, symmetric=True, normed=True
    )
    return np.concatenate([graycoprops(matrix, name).mean(axis=1) for name in _TEXTURES])


def _patterns(gray: np.ndarray) -> np.ndarray:
    from skimage.feature import local_binary_pattern

    # The patterns compare gray values, for which scikit-image asks for integers.
    whole = gray.round().astype(np.uint8)
    shares = []
    for neighbors, radius in _PATTERNS:
        found = local_binary_pattern(whole, neighbors, radius, "uniform").astype(int)
        shares.append(np.bincount(found.ravel(), minlength=neighbors + 2) / found.size)
    return np.concatenate(shares)


def _edges(gray: np.ndarray) -> np.ndarray:
    from skimage.filters import sobel

    gradient = sobel(gray / 255)
    return np.array([gradient.mean(), gradient.std()])
