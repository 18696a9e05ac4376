"""The files of the installed packages, with compiled Python files."""

import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution
from pathlib import Path

from deploy.errors import DeployError
from deploy.packing import bytecode
from deploy.packing.archive import Entry
from deploy.packing.interpreter import LIBRARY

#: Headers, static libraries and tests are not needed for training; the metadata files in the last
#: line describe only this installation.
_LEFT_OUT = re.compile(
    r"(^|/)(__pycache__|tests)/|^(tensorflow|numpy/core|pyarrow|openvino)/include/|\.a$"
    r"|\.dist-info/(direct_url\.json|uv_cache\.json|INSTALLER|REQUESTED)$"
)


def entries(distributions: Iterable[Distribution]) -> Iterator[Entry]:
    """Yield the files of ``distributions`` below ``site-packages``, without scripts.

    Raises
    ------
    DeployError
        If a package does not list its files.
    """
    site = Path(sysconfig.get_path("purelib"))
    for distribution in distributions:
        if distribution.files is None:
            raise DeployError(
                f"{distribution.name} was not installed from a wheel (it has no RECORD): "
                "reinstall it with 'uv sync'"
            )
        for file in distribution.files:
            path = Path(str(file.locate()))
            # Files elsewhere are scripts with this machine's paths, and manual pages.
            if ".." in file.parts or not path.is_relative_to(site) or not path.is_file():
                continue
            if not _LEFT_OUT.search(file.as_posix()):
                executable = bool(path.stat().st_mode & 0o100)
                yield Entry(f"{LIBRARY}/site-packages/{file.as_posix()}", path, executable)


def with_bytecode(entry: Entry) -> Iterator[Entry]:
    """Yield ``entry`` and, for a Python source file, its compiled file."""
    yield entry
    if entry.name.endswith(".py") and isinstance(entry.content, Path):
        code = bytecode.compiled(entry.content, entry.name)
        if code is not None:
            tag = str(sys.implementation.cache_tag)
            yield Entry(bytecode.cache_name(entry.name, tag), code)
