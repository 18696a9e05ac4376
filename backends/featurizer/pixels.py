"""Conversion of rows of a DataFrame to batches of pixels for a backbone."""

from collections.abc import Iterator, Sequence

import numpy as np

from data.errors import DataError

#: Largest batch of a backbone in bytes of pixels: activations are some fifty times larger.
FORWARD_BYTES = 16 * 224 * 224 * 3
#: Largest batch of a backbone in images.
FORWARD_IMAGES = 64


def images_per_batch(shape: tuple[int, int, int]) -> int:
    """Return the number of images of ``shape`` per batch of a backbone."""
    return max(1, min(FORWARD_IMAGES, FORWARD_BYTES // int(np.prod(shape))))


def forward_batches(
    contents: Sequence[bytes],
    shapes: Sequence[tuple[int, int, int]],
    target: tuple[int, int, int],
) -> Iterator[np.ndarray]:
    """Yield batches of images in order, as uint8 arrays (n, *target) of bounded size.

    Parameters
    ----------
    contents
        Row-major bytes of each image.
    shapes
        Height, width, channels of each image.
    target
        Height, width, channels to which all images are converted.

    Raises
    ------
    DataError
        If the bytes of an image do not match its shape, or its channels do not match the target.
    """
    step = images_per_batch(target)
    for start in range(0, len(contents), step):
        part = slice(start, start + step)
        yield _stack(contents[part], shapes[part], target)


def _stack(
    contents: Sequence[bytes],
    shapes: Sequence[tuple[int, int, int]],
    target: tuple[int, int, int],
) -> np.ndarray:
    for content, shape in zip(contents, shapes, strict=True):
        if len(content) != shape[0] * shape[1] * shape[2]:
            raise DataError(
                f"an image has {len(content)} bytes of pixels, which does not match its shape "
                f"{shape[0]} x {shape[1]} x {shape[2]}: prepare the data again"
            )
    if all(shape == target for shape in shapes):
        return np.frombuffer(b"".join(contents), np.uint8).reshape(-1, *target)
    return np.stack(
        [
            fit_shape(np.frombuffer(content, np.uint8).reshape(shape), target)
            for content, shape in zip(contents, shapes, strict=True)
        ]
    )


def fit_shape(image: np.ndarray, target: tuple[int, int, int]) -> np.ndarray:
    """Stretch an image to the size of ``target`` and repeat a gray channel as required.

    The filter is the same as in ``data.images.decode``: a triangle filter over all pixels of the
    source.

    Parameters
    ----------
    image
        Pixels, uint8, shape (height, width, 1 or 3).
    target
        Height, width, channels of the result.

    Returns
    -------
    numpy.ndarray
        uint8, shape ``target``.

    Raises
    ------
    DataError
        If the channels of a color image do not match those of ``target``.
    """
    from PIL import Image

    height, width, channels = target
    if image.shape[2] not in (1, channels):
        raise DataError(f"an image has {image.shape[2]} channels, the backbone requires {channels}")
    if image.shape[:2] != (height, width):
        squeezed = image[:, :, 0] if image.shape[2] == 1 else image
        resized = Image.fromarray(squeezed).resize((width, height), Image.Resampling.BILINEAR)
        image = np.asarray(resized).reshape(height, width, -1)
    return np.broadcast_to(image, target)
