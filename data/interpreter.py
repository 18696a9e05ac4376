"""Python interpreter of the processes that the project starts on this machine."""

import os
import sys

#: Variable with the path of another interpreter that has the same packages, such as one that has
#: imported them in advance.
VARIABLE = "SPARKDL_PYTHON"


def interpreter() -> str:
    """Return the path of the interpreter: that of this process unless :data:`VARIABLE` is set."""
    return os.environ.get(VARIABLE) or sys.executable
