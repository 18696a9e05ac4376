"""Micro-batching: images that arrive during a forward pass share the next one."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

Forward = Callable[[np.ndarray], np.ndarray]


class Batcher:
    """Forward passes on behalf of many threads.

    A thread that adds an image computes it at once if no forward pass is running. Otherwise the
    running thread computes all images that have been added meanwhile as one batch. A single client
    therefore waits for nothing, and no thread is needed besides those that decode.

    Parameters
    ----------
    forward
        Function from uint8 pixels of shape (n, height, width, channels) to float32 probabilities of
        shape (n, classes).
    largest
        Largest number of images in a batch.
    observe
        Function that is called with the size of every batch.
    """

    def __init__(
        self, forward: Forward, largest: int, observe: Callable[[int], None] = lambda _: None
    ) -> None:
        self._forward = forward
        self._largest = largest
        self._observe = observe
        self._lock = threading.Lock()
        self._waiting: list[tuple[np.ndarray, Future[np.ndarray]]] = []
        self._is_running = False

    def compute(self, pixels: np.ndarray, future: "Future[np.ndarray]") -> None:
        """Compute one image, in this thread or in the one that is already computing.

        Parameters
        ----------
        pixels
            uint8, shape (height, width, channels).
        future
            Receives the probabilities, float32 of shape (classes,), or the exception.
        """
        with self._lock:
            self._waiting.append((pixels, future))
        while batch := self._next():
            try:
                self._run(batch)
            finally:
                with self._lock:
                    self._is_running = False

    def _next(self) -> list[tuple[np.ndarray, "Future[np.ndarray]"]]:
        with self._lock:
            if self._is_running or not self._waiting:
                return []
            self._is_running = True
            batch, self._waiting = (
                self._waiting[: self._largest],
                self._waiting[self._largest :],
            )
            return batch

    def _run(self, batch: list[tuple[np.ndarray, "Future[np.ndarray]"]]) -> None:
        try:
            rows = self._forward(np.stack([pixels for pixels, _ in batch]))
        except BaseException as error:  # every caller gets the error of its batch
            for _, future in batch:
                future.set_exception(error)
            return
        self._observe(len(batch))
        for row, (_, future) in zip(rows, batch, strict=True):
            future.set_result(row)
