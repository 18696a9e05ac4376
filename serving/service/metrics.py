"""Metrics of the service for Prometheus."""

import os
from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client import ProcessCollector as _ProcessCollector
from prometheus_client.multiprocess import MultiProcessCollector

from serving.service.errors import Kind
from serving.service.predictor import Predictor

#: Variable with the folder in which several processes of one service share their metrics. The
#: library reads it when it is imported.
SHARED = "PROMETHEUS_MULTIPROC_DIR"
_LATENCIES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0)
_BATCHES = (1, 2, 4, 8, 16)
# The times at which counters were created would double the number of series.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Counters of one process; with several processes, the text is the sum over all."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "sparkdl_requests", "Requests by route and status.", ("route", "status"),
            registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "sparkdl_request_seconds", "Time from the head of a request to its answer.", ("route",),
            buckets=_LATENCIES, registry=registry,
        )  # fmt: skip
        self._classes = Counter(
            "sparkdl_predictions", "Classified images by decision.", ("decision",),
            registry=registry,
        )  # fmt: skip
        self._rejected = Counter(
            "sparkdl_rejected_images", "Images that were not classified, by reason.", ("reason",),
            registry=registry,
        )  # fmt: skip
        self._batches = Histogram(
            "sparkdl_batch_images", "Images in a forward pass.",
            buckets=_BATCHES, registry=registry,
        )  # fmt: skip
        self._queue = Gauge(
            "sparkdl_queue_images", "Images that wait or are computed.",
            multiprocess_mode="livesum", registry=registry,
        )  # fmt: skip
        self._model = Gauge(
            "sparkdl_model", "1 for the model that is served.",
            ("name", "version", "run_id", "engine"),
            multiprocess_mode="livemax", registry=registry,
        )  # fmt: skip
        self._current: tuple[str, ...] = ()
        self._queue_size: Callable[[], int] = lambda: 0
        if SHARED not in os.environ:
            _ProcessCollector(registry=registry)

    def watch_queue(self, size: Callable[[], int]) -> None:
        """Set the function that returns the number of images in progress."""
        self._queue_size = size

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def decisions(self, names: Iterable[str]) -> None:
        """Count classified images by decision."""
        for name in names:
            self._classes.labels(name).inc()

    def rejected(self, kind: Kind) -> None:
        """Count an image that was not classified."""
        self._rejected.labels(kind).inc()

    def batch(self, size: int) -> None:
        """Count a forward pass."""
        self._batches.observe(size)

    def model(self, predictor: Predictor) -> None:
        """Set the model that is served."""
        if self._current:
            self._model.labels(*self._current).set(0)
        card, source = predictor.card, predictor.source
        self._current = (
            source.name or card.name, source.version, card.run_id, predictor.engine,
        )  # fmt: skip
        self._model.labels(*self._current).set(1)

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        self._queue.set(self._queue_size())
        if SHARED not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
