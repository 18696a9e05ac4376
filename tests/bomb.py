"""A malicious pickle that leaves a trace when it is loaded."""

from collections.abc import Callable
from pathlib import Path


class Bomb:
    """Creates a file in ``folder`` when its pickle is loaded."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "exploded"

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self._file,)
