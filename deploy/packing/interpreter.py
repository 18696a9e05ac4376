"""The interpreter itself: program, standard library and the libraries that it is linked with."""

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from deploy.errors import DeployError
from deploy.packing.archive import Entry

#: As Python finds its prefix by it, ``lib/python3.11``.
LIBRARY = f"lib/python{sysconfig.get_python_version()}"
_PROGRAM = f"bin/python{sysconfig.get_python_version()}"
#: Nothing that trains: windows, teaching, installers, tests, what only compilers need.
_LEFT_OUT = re.compile(
    r"(^|/)(__pycache__|test|tests|idlelib|tkinter|turtledemo|ensurepip|site-packages"
    r"|dist-packages|config-[^/]+|_tkinter\.[^/]+\.so|[^/]+\.a)(/|$)"
)
#: The C library and its parts belong to the kernel's world and must be the worker's own.
_SYSTEM = re.compile(
    r"^(linux-vdso|ld-linux|libc|libm|libdl|libpthread|librt|libutil|libresolv|libnss|libanl)[-.]"
)
#: What compilers bring to C++ programs; a worker may have an older one or, small, none.
_RUNTIMES = ("libstdc++.so.6", "libgcc_s.so.1")
_LINKED = re.compile(r"^\s*(\S+) => (/\S+)", re.M)
#: Python is linked with libraries that a worker may have in another version or not at all.
_LAUNCHER = f"""#!/bin/sh
# Python of this folder, with the libraries of this folder.
here=$(CDPATH= cd -- "${{0%/*}}/.." && pwd -P) || exit 1
LD_LIBRARY_PATH="$here/lib${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
export LD_LIBRARY_PATH
unset PYTHONHOME
exec "$here/{_PROGRAM}" "$@"
"""


def entries() -> Iterator[Entry]:
    """Yield program, launchers, standard library and linked libraries."""
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
    """Yield the C++ runtime of this machine that compiled packages are linked with."""
    found = _linked(programs)
    for name in _RUNTIMES:
        if name in found:
            yield Entry(f"lib/{name}", found[name], executable=True)


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below ``folder``; links are followed to files."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if (path := Path(root, name)).is_file():
                yield path


def _linked(programs: Iterable[Path]) -> dict[str, Path]:
    """Return the shared libraries of ``programs``, by the name under which they are looked for."""
    command = ["ldd", *map(str, programs)]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError as error:
        raise DeployError("there is no 'ldd': packing needs a Linux with glibc") from error
    return {name: Path(path) for name, path in _LINKED.findall(told) if not _SYSTEM.match(name)}
