"""Classification of files in this process: threads decode while the network computes."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from data.errors import DataError
from data.images import OnDamage, UnreadableImage, decode_file
from data.storage import locate, read_bytes
from serving.classifier import Classifier
from serving.network import BATCH
from serving.predict.images import Images
from serving.predict.results import Results

#: Batches whose images are decoded before the network needs them.
_AHEAD = 2

#: Pixels of an image (uint8, shape (height, width, channels)) or the reason why there are none.
_Decoded = np.ndarray | str


@dataclass(frozen=True)
class Seen:
    """Batch of images that were read, handed to a caller that examines their pixels."""

    #: Rows of the images in `Images.table`.
    rows: Sequence[int]
    #: uint8, shape (n, height, width, channels).
    pixels: np.ndarray


def classify(
    classifier: Classifier,
    images: Images,
    *,
    damaged: OnDamage = "reject",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_pixels: Callable[[Seen], None] = lambda seen: None,
) -> Results:
    """Return the results for ``images``.

    Files are decoded as for training. A file that cannot be read has a reason in the results; it
    does not stop the others.

    Parameters
    ----------
    classifier
        The classifier.
    images
        The images.
    damaged
        Treatment of damaged images, see `data.images.decode_file`.
    on_progress
        Called in this thread with the number of processed images and the total.
    on_pixels
        Called in this thread with the pixels of each batch.
    """
    paths = images.paths
    probabilities = np.full((len(paths), len(classifier.card.class_names)), np.nan, np.float32)
    errors: dict[int, str] = {}
    done = 0
    for start, decoded in _batches(classifier, paths, damaged):
        rows = []
        for row, one in enumerate(decoded, start):
            if isinstance(one, str):
                errors[row] = one
            else:
                rows.append(row)
        if rows:
            pixels = np.stack([one for one in decoded if not isinstance(one, str)])
            probabilities[rows] = classifier.of_pixels(pixels)
            on_pixels(Seen(rows, pixels))
        done += len(decoded)
        on_progress(done, len(paths))
    return Results(images, classifier.card, probabilities, errors)


def _batches(
    classifier: Classifier, paths: Sequence[str], damaged: OnDamage
) -> Iterator[tuple[int, list[_Decoded]]]:
    """Yield the first row and the decoded images of each batch, in order."""
    image = classifier.card.image

    def decoded(path: str) -> _Decoded:
        try:
            content = read_bytes(*locate(path))
            return decode_file(content, image.height, image.width, image.color, damaged).pixels
        except UnreadableImage as error:
            return error.reason
        except (OSError, DataError, pa.ArrowInvalid) as error:
            return f"cannot be read: {getattr(error, 'strerror', None) or error}"

    waiting: deque[tuple[int, list[Future[_Decoded]]]] = deque()
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="decode")
    try:
        for start in range(0, len(paths), BATCH):
            part = paths[start : start + BATCH]
            waiting.append((start, [pool.submit(decoded, path) for path in part]))
            if len(waiting) > _AHEAD:
                first, futures = waiting.popleft()
                yield first, [future.result() for future in futures]
        while waiting:
            first, futures = waiting.popleft()
            yield first, [future.result() for future in futures]
    finally:
        # On Ctrl-C, images that are not decoded yet are no longer needed.
        pool.shutdown(cancel_futures=True)
