"""TensorFlowOnSpark's reservation server on one address instead of on all of the machine's."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

_BACKLOG = 128


@contextmanager
def reservations_on(address: str) -> Iterator[None]:
    """Let ``TFCluster`` listen for its workers on ``address`` alone, as long as this lasts.

    The server unpickles what it is sent, so that whoever reaches it can run code on the driver.
    Its port is the one in ``TFOS_SERVER_PORT``, or the first free one of a range there, as ever.
    """
    from tensorflowonspark import reservation

    class Bound(reservation.Server):
        def start_listening_socket(self) -> socket.socket:
            failure: OSError | None = None
            for port in self.get_server_ports():
                try:
                    return socket.create_server((address, port), backlog=_BACKLOG)
                except OSError as error:
                    failure = error
            raise OSError(f"no reservation server on {address}: {failure}")

    original, reservation.Server = reservation.Server, Bound
    try:
        yield
    finally:
        reservation.Server = original
