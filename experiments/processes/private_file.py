"""Files that their owner alone can read."""

import os
from pathlib import Path


def write_private(path: Path, content: str) -> None:
    """Write ``content`` to a new file of mode 600 in place of ``path``, whatever the umask is."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
