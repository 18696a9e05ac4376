"""Request of a client to the server that forks; imports nothing but the standard library."""

import hashlib
import os

#: Modules that are run by a fork; all others are run by the usual interpreter.
MODULES = (
    "experiments.runs.worker",
    "tests.backends.fit_process",
    "pyspark.daemon",
)
#: Beginnings of the names of variables that the preloaded packages read while they are imported.
_READ = (
    *("CUDA", "GOTO", "KERAS_", "KMP_", "LANG", "LC_", "LD_", "MALLOC_", "MKL_", "NUMEXPR_"),
    *("OMP_", "ONEDNN_", "OPENBLAS_", "PYTHONHASHSEED", "PYTHONUTF8", "TF_", "XLA_"),
)
#: Namespaces that a fork joins, in this order, if its client is in another one.
NAMESPACES = ("user", "net", "uts")


def read_variables(environment: "os._Environ[str]") -> dict[str, str]:
    """Return the variables with which a server for ``environment`` must be started."""
    return {name: value for name, value in environment.items() if name.startswith(_READ)}


def address(folder: str, variables: dict[str, str]) -> str:
    """Return the path of the socket of the server for ``variables``."""
    digest = hashlib.sha256(repr(sorted(variables.items())).encode()).hexdigest()
    return os.path.join(folder, f"{digest[:16]}.socket")  # noqa: PTH118 - pathlib is slow to import


def module_of(arguments: list[str]) -> tuple[str, list[str]] | None:
    """Return module and arguments of ``-m <module> <argument> ...``, or None for another start."""
    if len(arguments) >= 2 and arguments[0] == "-m" and arguments[1] in MODULES:
        return arguments[1], arguments[2:]
    return None
