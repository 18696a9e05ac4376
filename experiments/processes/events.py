"""What a child process tells its parent, one JSON object a line in a file.

A file, because the libraries in the child print to both of its streams as they like, and because
what was said before a crash is still there after it.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class EventWriter:
    """The child's end."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("a", encoding="utf-8", buffering=1)

    def send(self, kind: str, **content: Any) -> None:
        """Write one event; the parent sees it at its next look."""
        self._stream.write(json.dumps({"event": kind, "time": time.time(), **content}) + "\n")


class EventReader:
    """The parent's end: yields what is new at each call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def new(self) -> Iterator[dict[str, Any]]:
        """Yield the events that were finished since the last call."""
        if not self._path.exists():
            return
        with self._path.open("rb") as stream:
            stream.seek(self._position)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self._position += len(line)
                yield json.loads(line)
