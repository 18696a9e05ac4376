"""The executable file that stands for the interpreter."""

import os
import shlex
import sys
from pathlib import Path

from tests.preloaded import client
from tests.preloaded.server import OWNER


def make(folder: Path) -> Path:
    """Return an interpreter for the children of this process, made in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / OWNER).write_text(str(os.getpid()))
    path = folder / "python"
    words = [sys.executable, "-I", "-S", client.__file__, sys.executable, str(folder)]
    path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    path.chmod(0o755)
    return path
