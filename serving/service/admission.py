"""Bounds on the work and on the memory that requests occupy at the same time."""

from collections.abc import Iterator
from contextlib import contextmanager

from serving.service.errors import UnavailableError
from serving.service.settings import Limits


class Admission:
    """Counts of what is in progress; used by one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        #: Images that wait or are computed.
        self.images = 0
        #: Bytes of the bodies of all requests in progress.
        self.buffered = 0

    @contextmanager
    def enter(self, images: int) -> Iterator[None]:
        """Count images while they are in progress.

        Raises
        ------
        UnavailableError
            If the queue has no place for them.
        """
        if self.images + images > self._limits.queue:
            raise UnavailableError("the queue is full: repeat the request later")
        self.images += images
        try:
            yield
        finally:
            self.images -= images

    def hold(self, count: int) -> None:
        """Count received bytes; the caller gives them back with `release`.

        Raises
        ------
        UnavailableError
            If the bodies in progress would exceed their limit.
        """
        if self.buffered + count > self._limits.buffered_bytes:
            raise UnavailableError("too much data is being received: repeat the request later")
        self.buffered += count

    def release(self, count: int) -> None:
        """Give back bytes that were counted by `hold`."""
        self.buffered -= count
