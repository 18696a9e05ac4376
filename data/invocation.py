"""Command lines that messages show, as they work in the folder where they are read."""

import shlex
from pathlib import Path

from data.project import ROOT


def command(*words: str) -> str:
    """Return the line that runs ``sparkdl-bench`` with ``words`` in the working folder."""
    return program("sparkdl-bench", *words)


def program(name: str, *words: str) -> str:
    """Return the line that runs an installed program with ``words`` in the working folder.

    ``--project`` is left out where uv finds the project by itself.
    """
    here = Path.cwd()
    project = () if ROOT in (here, *here.parents) else ("--project", str(ROOT))
    return shlex.join(["uv", "run", *project, name, *words])
