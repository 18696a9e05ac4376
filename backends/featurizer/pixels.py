"""From rows of a DataFrame to the array of pixels that a backbone takes."""

from collections.abc import Iterator, Sequence

import numpy as np

from data.errors import DataError

#: Bytes of pixels that go through a backbone at once: activations are some fifty times larger.
PASS_BYTES = 16 * 224 * 224 * 3
PASS_IMAGES = 64


def images_per_pass(shape: tuple[int, int, int]) -> int:
    """Return how many images of ``shape`` a backbone is given at once."""
    return max(1, min(PASS_IMAGES, PASS_BYTES // int(np.prod(shape))))


def passes(
    contents: Sequence[bytes],
    shapes: Sequence[tuple[int, int, int]],
    target: tuple[int, int, int],
) -> Iterator[np.ndarray]:
    """Yield images in order, as uint8 arrays (n, *target) of bounded size.

    Parameters
    ----------
    contents
        Row-major bytes of each image.
    shapes
        Height, width, channels of each image.
    target
        The shape that all are brought to.

    Raises
    ------
    DataError
        When bytes and shape of an image disagree or its channels do not fit.
    """
    step = images_per_pass(target)
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
                f"an image has {len(content)} bytes of pixels and says of itself that it is "
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
    """Stretch an image to the size of ``target`` and repeat grey for its channels.

    Filtered as ``data.images.decode`` does: triangle filter over all pixels of the source.

    Parameters
    ----------
    image
        uint8, shape (height, width, 1 or 3).

    Returns
    -------
    numpy.ndarray
        uint8, shape ``target``.

    Raises
    ------
    DataError
        When a colour image meets a backbone for grey ones.
    """
    from PIL import Image

    height, width, channels = target
    if image.shape[2] not in (1, channels):
        raise DataError(f"an image has {image.shape[2]} channels and the backbone takes {channels}")
    if image.shape[:2] != (height, width):
        squeezed = image[:, :, 0] if image.shape[2] == 1 else image
        resized = Image.fromarray(squeezed).resize((width, height), Image.Resampling.BILINEAR)
        image = np.asarray(resized).reshape(height, width, -1)
    return np.broadcast_to(image, target)
