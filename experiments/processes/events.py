"""Events from a child process to its parent: a file with one JSON object per line.

A file is used because libraries in the child print to both of its streams, and because events
written before a crash remain readable after it.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class EventWriter:
    """Writes events in the child process."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("a", encoding="utf-8", buffering=1)

    def send(self, kind: str, **content: Any) -> None:
        """Write one event, which the parent receives at its next poll."""
        self._stream.write(json.dumps({"event": kind, "time": time.time(), **content}) + "\n")


class EventReader:
    """Reads events in the parent process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def new(self) -> Iterator[dict[str, Any]]:
        """Yield the events that were completely written since the last call."""
        if not self._path.exists():
            return
        with self._path.open("rb") as stream:
            stream.seek(self._position)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self._position += len(line)
                yield json.loads(line)
