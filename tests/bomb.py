"""A pickle that shows when it was loaded, as a stranger would send it."""

from collections.abc import Callable
from pathlib import Path


class Bomb:
    """Leaves a file in ``folder`` when its pickle is read."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "exploded"

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self._file,)
