"""HTTP/1.1 connections with a limit of time for the head of a request."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

#: Key in the state of the application's lifespan with the seconds for a head to arrive.
HEAD_SECONDS = "head_seconds"


class BoundedProtocol(H11Protocol):
    """Connection that is closed unless a whole head arrives in time.

    uvicorn limits only the idle time between two requests: a client that sends a head byte by byte,
    or nothing at all, would keep its connection for ever. The limit also applies to the rest of a
    body that nobody reads any more, after an early answer. While a request is being answered, the
    limits of the application apply instead.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._head_limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the limit for the first request."""
        super().connection_made(transport)
        self._start_limit()

    def data_received(self, data: bytes) -> None:
        """Handle data, and start or end the limit according to whether a request is complete."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._end_limit()
        else:
            self._start_limit()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the limit."""
        self._end_limit()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Prepare for the next request, for which the limit of idle time applies first."""
        self._end_limit()
        super().on_response_complete()

    def _start_limit(self) -> None:
        if self._head_limit is None:
            self._head_limit = self.loop.call_later(self.app_state[HEAD_SECONDS], self._close_slow)

    def _end_limit(self) -> None:
        if self._head_limit is not None:
            self._head_limit.cancel()
            self._head_limit = None

    def _close_slow(self) -> None:
        self._head_limit = None
        if not self.transport.is_closing():
            self.transport.close()
