"""Module search path: the project and the installed packages precede the user's own folders.

Python searches ``PYTHONPATH`` before its own library. On the edge node of a cluster it may contain
the Python part of another Spark, and any folder in it may contain a ``random.py``. Its folders stay
on the path, because user-defined backends are imported from them, but after the installed packages.

At the top level, this module imports only modules that Python loads at startup: until
:func:`order_path` has reordered the path, other imports could be resolved in those folders.
"""

# pathlib is not loaded at startup:
# ruff: noqa: PTH100, PTH109, PTH118, PTH120
import os
import site
import sys
from collections.abc import Mapping

#: Root folder of the project.
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def order_path() -> None:
    """Put this process's ``sys.path`` in order, without the working folder."""
    added = named(os.environ)
    hidden = {ROOT, *added, os.getcwd()}
    kept = [one for one in sys.path if one and os.path.abspath(one) not in hidden]
    sys.path[:] = [ROOT, *kept, *added]


def named(environment: Mapping[str, str]) -> list[str]:
    """Return the user's own folders in ``PYTHONPATH`` as absolute paths."""
    known = {ROOT, *installed()}
    entries = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    absolute = dict.fromkeys(map(os.path.abspath, entries))
    return [entry for entry in absolute if entry not in known]


def for_children(environment: Mapping[str, str]) -> str:
    """Return the value of ``PYTHONPATH`` that gives a child process the same search order."""
    added = named(environment)
    # Python keeps the first of two equal entries, so listing its own folders here puts them first.
    return os.pathsep.join([ROOT, *(installed() if added else ()), *added])


def installed() -> list[str]:
    """Return the folders of Python's standard library and of the installed packages."""
    library = os.path.dirname(os.path.abspath(os.__file__))
    return [library, os.path.join(library, "lib-dynload"), *site.getsitepackages()]
