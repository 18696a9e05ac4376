"""Heat map of the parts of an image on which the probability of a class depends, by occlusion.

A patch is moved over the image, and the change of the network's output is recorded for each of its
positions: M. D. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional Networks", ECCV
2014, section 4.2. The method needs only forward passes and therefore works with OpenVINO, which
computes no gradients. It differs from the publication in two respects:

- The patch has the median color of the image's border instead of gray. This is the background
  where images show one object, such as a cell on black, and adds no foreign color to it.
- The measure is the log odds of the class instead of its probability, which hardly changes where
  the network is certain.
"""

import io
from typing import Protocol

import numpy as np

#: Description of the method for users.
METHOD = (
    "Occlusion (Zeiler and Fergus, 2014): a patch in the color of the background is moved over the "
    "image. Marked are the parts where covering lowers the probability of the class; the scale is "
    "relative to the largest effect in this image."
)

#: Side of the patch as a fraction of the shorter side of the image. Patches of a third or a quarter
#: of it remove most of a cell, which moves the output as a whole and locates nothing.
_PATCH = 1 / 5
#: Smallest distance of the patch's positions in pixels.
_SMALLEST_STRIDE = 2
#: Side up to which an image is small, in pixels. Networks for such images are fast enough for more
#: positions of the patch.
_SMALL = 96
#: Number of positions of the patch, along each axis, that cover a pixel of a small and of a large
#: image.
_OVERLAP_SMALL, _OVERLAP_LARGE = 3, 2
#: Images in one forward pass, which bounds the memory.
_BATCH = 64
#: Smallest change of the log odds that is shown: 0.01 changes a probability by at most 0.0025.
_NO_EFFECT = 0.01
#: Lower limit of probabilities in the logarithm.
_EPSILON = 1e-30

#: Colors from low to high values, red, green and blue from 0 to 255: the upper part of matplotlib's
#: "viridis". Teal, green and yellow differ from the usual stains and from skin, and their order is
#: also visible without color vision. The legend in ``page/static/style.css`` has the same colors.
_COLORS = np.array([(38, 130, 142), (31, 158, 137), (74, 193, 109), (160, 218, 57), (253, 231, 37)])


class Classifies(Protocol):
    """The part of `serving.Classifier` that an explanation needs."""

    def of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Return the probabilities, shape (n, classes), of uint8 pixels (n, h, w, channels)."""


def explain(classifier: Classifies, pixels: np.ndarray, class_index: int) -> np.ndarray:
    """Return how much the log odds of a class decrease where the image is covered.

    A square image of 48 pixels takes 325 forward passes, and one of 224 pixels 145.

    Parameters
    ----------
    classifier
        Classifier with the network.
    pixels
        Prepared image, uint8 of shape (height, width, channels).
    class_index
        Index of the class.

    Returns
    -------
    numpy.ndarray
        float32 of shape (height, width), from 0 to 1: the mean decrease over the patches that cover
        a pixel, interpolated between their positions and divided by its maximum. It is 0 where
        covering the image increases the log odds, and everywhere if they decrease by less than
        0.01.

    Raises
    ------
    ValueError
        If ``pixels`` has another shape or type, or there is no such class.
    """
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"expected uint8 pixels (height, width, channels), not {pixels.shape}")
    height, width, _ = pixels.shape
    original = _log_odds(classifier.of_pixels(pixels[None]), class_index)[0]
    patch, stride = _geometry(height, width)
    corners = [
        (top, left)
        for top in range(stride - patch, height, stride)
        for left in range(stride - patch, width, stride)
    ]
    background = _border_color(pixels)
    decrease, covered = np.zeros((2, height, width))
    for start in range(0, len(corners), _BATCH):
        part = corners[start : start + _BATCH]
        areas = [(_part(top, patch), _part(left, patch)) for top, left in part]
        images = np.repeat(pixels[None], len(part), axis=0)
        for image, area in zip(images, areas, strict=True):
            image[area] = background
        changes = original - _log_odds(classifier.of_pixels(images), class_index)
        for area, change in zip(areas, changes, strict=True):
            decrease[area] += change
            covered[area] += 1
    return _normalized(_interpolated(np.maximum(decrease / covered, 0.0), stride))


def heat_map_png(heat: np.ndarray) -> bytes:
    """Return a heat map as a PNG image in RGBA, to be laid over the image.

    Parameters
    ----------
    heat
        Values from 0 to 1, shape (height, width). They are the opacity of the result: parts with 0
        are transparent.
    """
    from PIL import Image

    places = np.linspace(0, 1, len(_COLORS))
    bands = [np.interp(heat, places, _COLORS[:, band]) for band in range(3)]
    picture = np.stack([*bands, 255 * heat], axis=-1).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def _geometry(height: int, width: int) -> tuple[int, int]:
    """Return the side of the patch and the distance of its positions in pixels."""
    side = min(height, width)
    overlap = _OVERLAP_SMALL if side <= _SMALL else _OVERLAP_LARGE
    stride = max(_SMALLEST_STRIDE, round(side * _PATCH / overlap))
    return stride * overlap, stride


def _part(start: int, length: int) -> slice:
    """Return the part of ``length`` pixels from ``start`` that is inside the image."""
    return slice(max(0, start), start + length)


def _border_color(pixels: np.ndarray) -> np.ndarray:
    """Return the median of the outermost pixels in each channel, uint8 of shape (channels,)."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    color: np.ndarray = np.median(border, axis=0).round().astype(np.uint8)
    return color


def _log_odds(probabilities: np.ndarray, class_index: int) -> np.ndarray:
    """Return the log odds of a class against all others, float64 of shape (n,).

    The sum of the other probabilities is exact where 1 - p would be rounded to 0.
    """
    if not 0 <= class_index < probabilities.shape[1]:
        raise ValueError(f"there is no class {class_index}: {probabilities.shape[1]} classes")
    values = probabilities.astype(np.float64)
    others = np.delete(values, class_index, axis=1).sum(axis=1)
    result: np.ndarray = np.log(np.maximum(values[:, class_index], _EPSILON)) - np.log(
        np.maximum(others, _EPSILON)
    )
    return result


def _interpolated(decrease: np.ndarray, stride: int) -> np.ndarray:
    """Return the decrease without steps between the positions of the patch.

    The moving average over one step turns constants of that width into straight lines.
    """
    window = np.full(stride, 1 / stride)
    before = stride // 2
    for axis in range(2):
        padded = np.pad(
            decrease,
            [(before, stride - 1 - before) if one == axis else (0, 0) for one in range(2)],
            mode="edge",
        )
        decrease = np.apply_along_axis(np.convolve, axis, padded, window, mode="valid")
    return decrease


def _normalized(decrease: np.ndarray) -> np.ndarray:
    largest = decrease.max()
    if largest < _NO_EFFECT:
        return np.zeros(decrease.shape, np.float32)
    return (decrease / largest).astype(np.float32)
