"""Files that only their owner can read."""

import os
from pathlib import Path


def write_private(path: Path, content: str) -> None:
    """Replace ``path`` by a new file with ``content`` and mode 600, regardless of the umask."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
