"""Output whose loss ends nothing."""

from contextlib import suppress
from typing import IO, Any


class SteadyOutput:
    """A stream that drops what it can no longer write.

    A terminal that was closed refuses every further line. A run under way is closed in its record
    all the same, and one that ``disown`` has kept goes on.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text`` if that is possible."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Pass on what was written if that is possible."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
