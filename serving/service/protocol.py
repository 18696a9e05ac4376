"""HTTP/1.1 connections that neither wait for ever nor cut off a client that still sends."""

import asyncio
from collections.abc import Callable
from typing import Any

import h11
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
        lingering = LingeringTransport(
            transport, self._is_sending, self.app_state[HEAD_SECONDS], self.loop
        )
        super().connection_made(lingering)  # type: ignore[arg-type]
        self._start_limit()

    def data_received(self, data: bytes) -> None:
        """Handle data, and start or end the limit according to whether a request is complete."""
        if self.transport.is_closing():
            return  # The answer has been sent: this is the rest of its request.
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

    def _is_sending(self) -> bool:
        return self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

    def _start_limit(self) -> None:
        if self._head_limit is None:
            self._head_limit = self.loop.call_later(self.app_state[HEAD_SECONDS], self._close_slow)

    def _end_limit(self) -> None:
        if self._head_limit is not None:
            self._head_limit.cancel()
            self._head_limit = None

    def _close_slow(self) -> None:
        self._head_limit = None
        self.transport.abort()


class LingeringTransport:
    """Transport that reads on for a while if it is closed while the client is still sending.

    Otherwise the system would answer the rest with a reset, which can discard an answer that the
    client has not read yet, such as the reason for refusing a large body.

    Parameters
    ----------
    transport
        Transport of the connection.
    is_sending
        Function that returns whether the client has not sent its whole request.
    seconds
        Longest time to read on.
    loop
        Event loop of the connection.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        is_sending: Callable[[], bool],
        seconds: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._transport = transport
        self._is_sending = is_sending
        self._seconds = seconds
        self._loop = loop
        self._is_lingering = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Return whether nothing more is sent."""
        return self._is_lingering or self._transport.is_closing()

    def close(self) -> None:
        """Send what is written, then close the connection."""
        if self.is_closing():
            return
        if not self._is_sending():
            self._transport.close()
            return
        self._is_lingering = True
        self._transport.write_eof()
        self._transport.resume_reading()
        self._loop.call_later(self._seconds, self._transport.abort)
