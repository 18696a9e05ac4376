"""Output stream that ignores write errors."""

from contextlib import suppress
from typing import IO, Any


class SteadyOutput:
    """Stream that discards text which can no longer be written.

    Writing to a closed terminal fails. The current run must still be closed in its record, and a
    process that was detached with ``disown`` must continue.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text`` if the stream accepts it; return the number of characters of ``text``."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream if possible."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
