"""The interpreter: its program, standard library and linked libraries."""

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from deploy.errors import DeployError
from deploy.packing.archive import Entry

#: Folder by which Python locates its prefix: ``lib/python3.11``.
LIBRARY = f"lib/python{sysconfig.get_python_version()}"
_PROGRAM = f"bin/python{sysconfig.get_python_version()}"
#: Not needed for training: GUI toolkits, turtle demos, installers, tests, files for compilers.
_LEFT_OUT = re.compile(
    r"(^|/)(__pycache__|test|tests|idlelib|tkinter|turtledemo|ensurepip|site-packages"
    r"|dist-packages|config-[^/]+|_tkinter\.[^/]+\.so|[^/]+\.a)(/|$)"
)
#: The C library and its parts are tied to the system and must be the worker's own.
_SYSTEM = re.compile(
    r"^(linux-vdso|ld-linux|libc|libm|libdl|libpthread|librt|libutil|libresolv|libnss|libanl)[-.]"
)
#: C++ runtime libraries; a worker may have older ones or, on a minimal system, none.
_RUNTIMES = ("libstdc++.so.6", "libgcc_s.so.1")
_LINKED = re.compile(r"^\s*(\S+) => (/\S+)", re.M)
#: Makes Python use the packed libraries: a worker may have other versions of them or none.
_LAUNCHER = f"""#!/bin/sh
# Starts the Python in this folder with the libraries in this folder.
here=$(CDPATH= cd -- "${{0%/*}}/.." && pwd -P) || exit 1
LD_LIBRARY_PATH="$here/lib${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
export LD_LIBRARY_PATH
unset PYTHONHOME
exec "$here/{_PROGRAM}" "$@"
"""


def entries() -> Iterator[Entry]:
    """Yield the program, the launchers, the standard library and the linked libraries."""
    program = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    yield Entry(_PROGRAM, program, executable=True)
    for name in ("bin/python", "bin/python3"):
        yield Entry(name, _LAUNCHER.encode(), executable=True)
    library = Path(os.__file__).parent
    modules = []
    for path in files_below(library):
        name = str(path.relative_to(library))
        if _LEFT_OUT.search(name):
            continue
        yield Entry(f"{LIBRARY}/{name}", path)
        if path.suffix == ".so":
            modules.append(path)
    for name, path in sorted(_linked([program, *modules]).items()):
        yield Entry(f"lib/{name}", path, executable=True)


def runtimes(programs: Iterable[Path]) -> Iterator[Entry]:
    """Yield this machine's C++ runtime libraries with which ``programs`` are linked."""
    found = _linked(programs)
    for name in _RUNTIMES:
        if name in found:
            yield Entry(f"lib/{name}", found[name], executable=True)


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below ``folder``, including symbolic links to files."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if (path := Path(root, name)).is_file():
                yield path


def _linked(programs: Iterable[Path]) -> dict[str, Path]:
    """Return the shared libraries of ``programs``: the name that is looked up -> path."""
    command = ["ldd", *map(str, programs)]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError as error:
        raise DeployError("'ldd' was not found: packing requires Linux with glibc") from error
    return {name: Path(path) for name, path in _LINKED.findall(listed) if not _SYSTEM.match(name)}
