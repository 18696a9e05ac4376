"""Predictions of a classifier in this process."""

import io
import time
from pathlib import Path

import numpy as np
from PIL import Image

from models.card import ModelCard
from serving.classifier import Classifier
from serving.service import likeness
from serving.service.batcher import Batcher
from serving.service.decoding import Header, decode_array, decode_content, read_header
from serving.service.metrics import Metrics
from serving.service.predictor import Answer, ImageInput
from serving.service.settings import Limits, Settings, Source
from serving.service.tasks import Task, Threads

#: Largest number of images in a forward pass: larger batches make images wait for each other and
#: gain nothing on a processor.
_LARGEST_BATCH = 16
#: Seconds after which no larger batch is tried before the service is ready.
_WARM_UP_SECONDS = 0.3


class LocalPredictor:
    """Classifier whose images are decoded in threads and computed in batches.

    Parameters
    ----------
    classifier
        Classifier.
    source
        Where the classifier came from.
    threads
        Threads of the service.
    limits
        Limits of images.
    metrics
        Metrics of the service.
    """

    explains = True

    def __init__(
        self,
        classifier: Classifier,
        source: Source,
        threads: Threads,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self.card: ModelCard = classifier.card
        self.source = source
        self.engine: str = classifier.network.engine
        self._classifier = classifier
        self._threads = threads
        self._limits = limits
        self._batcher = Batcher(classifier.of_pixels, _LARGEST_BATCH, metrics.batch)

    @classmethod
    def load(
        cls,
        settings: Settings,
        source: Source,
        threads: Threads,
        metrics: Metrics,
    ) -> "LocalPredictor":
        """Load the classifier of ``source``, and compute on it until it is warm.

        Raises
        ------
        ServingError
            If the folder has no classifier that can be used.
        """
        folder = source.folder or Path()
        classifier = Classifier.open(folder, settings.engine, settings.threads)
        _warm_up(classifier)
        return cls(classifier, source, threads, settings.limits, metrics)

    async def classify(self, image: ImageInput, *, describe: bool) -> Answer:
        """Return the result for one image; see `serving.service.predictor.Predictor`."""
        task: Task[np.ndarray] = Task()
        answer = _Described()
        self._threads.quick.submit(task.run, self._begin, task, image, answer if describe else None)
        row = await task.result(self._limits)
        return Answer(row, answer.width, answer.height, answer.warnings)

    async def explain(self, image: ImageInput, class_index: int | None) -> np.ndarray:
        """Return the importance of each position; see `serving.service.predictor.Predictor`."""
        task: Task[np.ndarray] = Task()
        self._threads.slow.submit(task.run, self._explain, task, image, class_index)
        return await task.result(self._limits)

    def close(self) -> None:
        """Do nothing: the memory is freed with this object."""

    def _begin(
        self, task: Task[np.ndarray], image: ImageInput, answer: "_Described | None"
    ) -> None:
        if not task.start():
            return
        if isinstance(image, bytes):
            header = task.decode(read_header, image, self._limits.pixels)
            if not header.is_quick:
                self._threads.slow.submit(task.run, self._finish, task, image, header, answer)
                return
        else:
            header = Header(image.shape[1] if image.ndim > 1 else None, image.shape[0], True)
        self._finish(task, image, header, answer)

    def _finish(
        self,
        task: Task[np.ndarray],
        image: ImageInput,
        header: Header,
        answer: "_Described | None",
    ) -> None:
        if task.is_abandoned:
            return
        pixels = self._decoded(task, image)
        if answer is not None:
            found = likeness.properties(pixels, header.width, header.height)
            answer.width, answer.height = header.width, header.height
            answer.warnings = likeness.warnings(self.card, found)
        self._batcher.compute(pixels, task.future)

    def _explain(self, task: Task[np.ndarray], image: ImageInput, class_index: int | None) -> None:
        from serving.explanation import explain

        if not task.start():
            return
        if isinstance(image, bytes):
            task.decode(read_header, image, self._limits.pixels)
        pixels = self._decoded(task, image)
        if class_index is None:
            class_index = int(self._classifier.of_pixels(pixels[None])[0].argmax())
        task.future.set_result(explain(self._classifier, pixels, class_index))

    def _decoded(self, task: Task[np.ndarray], image: ImageInput) -> np.ndarray:
        function = decode_content if isinstance(image, bytes) else decode_array
        pixels: np.ndarray = task.decode(function, image, self.card.image)
        return pixels


class _Described:
    """Properties of an image that are found while it is decoded."""

    width: int | None = None
    height: int | None = None
    warnings: tuple[str, ...] = ()


def _warm_up(classifier: Classifier) -> None:
    """Decode and compute once what first use makes slow.

    Decoders are imported when an image of their format first occurs, and the engine prepares itself
    for each size of a batch.
    """
    image = classifier.card.image
    began = time.monotonic()
    for file_format in ("JPEG", "PNG", "BMP", "TIFF", "WEBP"):
        file = io.BytesIO()
        Image.new("RGB", (2 * image.width, 2 * image.height)).save(file, file_format)
        pixels = decode_content(file.getvalue(), image)
        likeness.properties(pixels)
    for size in range(1, _LARGEST_BATCH + 1):
        classifier.of_pixels(np.repeat(pixels[None], size, axis=0))
        if time.monotonic() - began > _WARM_UP_SECONDS:
            break
