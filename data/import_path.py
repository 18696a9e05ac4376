"""Where Python looks for modules: the project and what is installed before the user's own folders.

``PYTHONPATH`` goes before Python's own library. On a cluster's edge node it names the Python part
of another Spark, and a folder of somebody's may hold a ``random.py``. Its folders stay on the path,
because backends of the user's own are imported from them, but behind what is installed.

At first nothing is imported here but what Python has loaded when it starts: until
:func:`settle` has put the path in order, another import could be answered by one of those folders.
"""

# Without pathlib:
# ruff: noqa: PTH100, PTH109, PTH118, PTH120
import os
import site
import sys
from collections.abc import Mapping

#: The project's own folder.
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def settle() -> None:
    """Put this process's ``sys.path`` and its environment in order: the first step of a command.

    The working folder is left out of the path.
    """
    added = named(os.environ)
    hidden = {ROOT, *added, os.getcwd()}
    kept = [one for one in sys.path if one and os.path.abspath(one) not in hidden]
    sys.path[:] = [ROOT, *kept, *added]
    from data import process_environment

    process_environment.settle()


def named(environment: Mapping[str, str]) -> list[str]:
    """Return the folders of the user's own in ``PYTHONPATH``, absolute."""
    known = {ROOT, *installed()}
    entries = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    absolute = dict.fromkeys(map(os.path.abspath, entries))
    return [entry for entry in absolute if entry not in known]


def for_children(environment: Mapping[str, str]) -> str:
    """Return the value of ``PYTHONPATH`` with which a child finds modules in the same order."""
    added = named(environment)
    # Python keeps the first of two equal entries, so that its own folders go before those added.
    return os.pathsep.join([ROOT, *(installed() if added else ()), *added])


def installed() -> list[str]:
    """Return the folders of Python's own library and of the installed packages."""
    library = os.path.dirname(os.path.abspath(os.__file__))
    return [library, os.path.join(library, "lib-dynload"), *site.getsitepackages()]
