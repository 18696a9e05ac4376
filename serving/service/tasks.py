"""Work on one image in the threads of the service, with limits of time."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from serving.service.errors import RejectedImageError, UnavailableError
from serving.service.settings import Limits

Result = TypeVar("Result")


class Threads:
    """Threads of the service.

    Images that decode quickly have threads of their own, so that they never wait for one that takes
    seconds.

    Parameters
    ----------
    cores
        Number of cores of this process.
    """

    def __init__(self, cores: int) -> None:
        # One more than there are cores, because one thread at a time computes batches.
        self.quick = ThreadPoolExecutor(cores + 1, "quick")
        self.slow = ThreadPoolExecutor(1, "slow")

    def close(self) -> None:
        """End the threads without waiting for work that has not begun."""
        self.quick.shutdown(wait=False, cancel_futures=True)
        self.slow.shutdown(wait=False, cancel_futures=True)


@dataclass
class Task(Generic[Result]):
    """One unit of work, whose result is set by whichever thread finishes it."""

    future: "Future[Result]" = field(default_factory=Future)
    #: Time at which decoding began, by `time.monotonic`; None before and after.
    decoding_since: float | None = None
    #: True once nobody waits for the result.
    is_abandoned: bool = False

    def start(self) -> bool:
        """Return whether the work should be done; False if nobody waits for it any more."""
        return not self.is_abandoned and self.future.set_running_or_notify_cancel()

    def run(self, step: Callable[..., None], *arguments: Any) -> None:
        """Execute a step; its exception becomes the result."""
        try:
            step(*arguments)
        except BaseException as error:
            if not self.future.done():
                self.future.set_exception(error)

    def decode(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return the result of a function whose duration counts as decoding."""
        self.decoding_since = time.monotonic()
        try:
            return function(*arguments)
        finally:
            self.decoding_since = None

    async def result(self, limits: Limits) -> Result:
        """Wait for the result within the limits.

        Raises
        ------
        RejectedImageError
            If decoding takes too long.
        UnavailableError
            If the result is not there in time.
        """
        waiting = asyncio.wrap_future(self.future)
        end = time.monotonic() + limits.request_seconds
        try:
            while not waiting.done():
                now, since = time.monotonic(), self.decoding_since
                if since is not None and now - since >= limits.decode_seconds:
                    raise RejectedImageError(
                        "too_slow",
                        f"the image takes more than {limits.decode_seconds:g} s to decode: reduce "
                        "it or save it in another format",
                    )
                if now >= end:
                    raise UnavailableError("the service is busy: repeat the request later")
                until = limits.decode_seconds - (now - since if since is not None else 0.0)
                await asyncio.wait((waiting,), timeout=min(until, end - now))
            return waiting.result()
        finally:
            if not waiting.done():
                self.is_abandoned = True
                waiting.cancel()
