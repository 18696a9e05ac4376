"""Environment variables of every process that the project starts on this machine.

Results must not depend on a user's profile: on variables that change how TensorFlow, Keras or NumPy
compute, that select another Spark, Hadoop, Python or Java, or that route local connections through
a proxy. These variables are removed from the environment of child processes; :func:`settle` does
the same for the process of a command. :func:`note` lists the variables that were set aside.
"""

import locale
import os
import re
import socket
import sys
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from data import import_path, keras_home
from data.errors import DataError
from data.interpreter import interpreter
from data.java import find_java, passed_over

LOOPBACK = "127.0.0.1"

#: Variables that affect numerical results or the length of training. The number of threads is set
#: by the harness.
_COMPUTING = re.compile(
    r"KERAS_(BACKEND|MAX_EPOCHS|MAX_STEPS_PER_EPOCH|NNX_ENABLED)"
    r"|TF_(CONFIG|DETERMINISTIC_OPS|CUDNN_DETERMINISTIC|XLA_FLAGS|FUNCTION_JIT_COMPILE_DEFAULT"
    r"|(ENABLE|DISABLE|USE|ONEDNN|SET|MKL|OVERRIDE|AUTO|NUM)_\w+)"
    r"|TF2_BEHAVIOR|XLA_FLAGS"
    r"|(ONEDNN|DNNL|MKLDNN|MKL|OMP|KMP|GOMP|OPENBLAS|GOTO|BLIS|NUMEXPR|NPY)_\w+"
    # Meant for Spark 2; PySpark 3 refuses to run if it is set.
    r"|ARROW_PRE_0_15_IPC_FORMAT"
)
#: Variables that change the Python interpreter, except those for its output, cache folder and
#: module search path. PYTHONDONTWRITEBYTECODE is included because every process would otherwise
#: compile TensorFlow again: importing it takes 12 CPU seconds instead of 4.
_PYTHON = re.compile(
    r"PYTHON(?!PATH$|UNBUFFERED$|PYCACHEPREFIX$|FAULTHANDLER$|NOUSERSITE$|USERBASE$)[A-Z0-9]+"
)
#: Variables of PySpark and Spark that are removed for any cluster, because the project starts its
#: own installation.
_PYSPARK = re.compile(r"PYSPARK_\w+|SPARK_(REMOTE|API_MODE|CONNECT_\w+|ENV_LOADED|TESTING)")
#: Variables of a cluster and its Java, which apply to runs on that cluster but not to local ones.
_CLUSTER = re.compile(
    r"(SPARK|HADOOP|YARN|HDFS|HIVE|MAPRED)_\w+|_JAVA_OPTIONS|(JAVA_TOOL|IBM_JAVA|OPENJ9_JAVA)_OPTIONS"
    r"|CLASSPATH"
)
#: Variables that change the behavior of the shell that runs Spark's scripts, or of git.
_TOOLS = re.compile(
    r"BASH_ENV|SHELLOPTS|BASHOPTS|CDPATH|POSIXLY_CORRECT|LC_ALL|LANG|GIT_(DIR|WORK_TREE|INDEX_FILE)"
)
#: Variables that do not affect results and are common in profiles, so they are not reported.
_UNNAMED = re.compile(
    rf"{_TOOLS.pattern}|MPLBACKEND"
    r"|PYTHON(UTF8|DONTWRITEBYTECODE|SAFEPATH|IOENCODING|HASHSEED|COERCECLOCALE)"
    r"|(?i:no_(grpc_)?proxy)|KERAS_HOME|JAVA_HOME|TE?MP"
    # TensorFlow and scikit-learn set these in their own process, for example a notebook's.
    r"|TF2_BEHAVIOR|KMP_(INIT_AT_FORK|DUPLICATE_LIB_OK)"
)
_PROXY = re.compile(r"(?i:\w+_proxy)")
_NO_PROXY = ("no_proxy", "NO_PROXY")
#: Settings of Keras for executors that are not started by this process: their accounts' files are
#: unknown here, and a nonexistent folder contains no settings.
KERAS_ON_EXECUTORS = {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": "keras-settings"}
#: Python's variables that cannot be undone in a running process.
_INTERPRETER = ("PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONINSPECT")
#: Variable with the names of those that were set when the program was first started.
_STARTED_WITH = "SPARKDL_BEGUN_WITH"
#: Environment found by :func:`settle`.
_found: dict[str, str] = {}


def settle() -> None:
    """Remove variables that would affect a command's result from this process's environment."""
    _restart_if_needed()
    started_with = os.environ.pop(_STARTED_WITH, "").split()
    _found.update({**os.environ, **dict.fromkeys(started_with, "set")})
    settled = for_children(here=False)
    os.environ.clear()
    os.environ.update(settled)
    sys.dont_write_bytecode = False


def _restart_if_needed() -> None:
    """Restart the program of this process if Python was started with unsuitable settings.

    Without docstrings, packages that read them fail. With another encoding, this process would
    decode file names differently from its children.
    """
    names = [name for name in _INTERPRETER if os.environ.get(name)]
    if not names and (
        sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1"
    ):
        return
    kept = {name: value for name, value in os.environ.items() if name not in names}
    changed = {**kept, "PYTHONUTF8": "1", _STARTED_WITH: " ".join(names)}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], changed)


def for_children(*, here: bool, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment for a process that is started on this machine.

    Parameters
    ----------
    here
        True if the Spark that the process uses runs on this machine only; otherwise the variables
        of the user's cluster are kept.
    environment
        Environment of the parent process.
    """
    left_out = [_COMPUTING, _PYTHON, _PYSPARK, _TOOLS, *([_CLUSTER] if here else [])]
    kept = {
        name: value
        for name, value in environment.items()
        if not any(pattern.fullmatch(name) for pattern in left_out)
    }
    return kept | {
        "KERAS_BACKEND": "tensorflow",
        "MPLBACKEND": "Agg",
        "PYTHONPATH": import_path.for_children(environment),
        # Prevents imports from the working folder.
        "PYTHONSAFEPATH": "1",
        "PYTHONUTF8": "1",
        **_keras(environment),
        **_locale(environment),
        **_temporary(environment),
        **_no_proxy(environment),
    }


def for_spark(
    address: str | None = LOOPBACK,
    *,
    here: bool = True,
    environment: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Return the environment for Spark's Java processes on this machine.

    Parameters
    ----------
    address
        Address on which they listen; None uses Spark's default.
    here, environment
        As for :func:`for_children`.

    Raises
    ------
    DataError
        If Spark, or a Java that can run it, is not installed.
    """
    own = {"SPARK_LOCAL_IP": address, "SPARK_LOCAL_HOSTNAME": address} if address else {}
    return {
        **for_children(here=here, environment=environment),
        **own,
        "JAVA_HOME": str(find_java()),
        "SPARK_HOME": str(spark_home()),
        "PYSPARK_PYTHON": interpreter(),
        "PYSPARK_DRIVER_PYTHON": interpreter(),
    }


def spark_home() -> Path:
    """Return the folder of the installed Spark.

    Raises
    ------
    DataError
        If PySpark is not installed.
    """
    from importlib.machinery import PathFinder

    # Before `settle`, ``sys.path`` may begin with the folder of another Spark.
    specification = PathFinder.find_spec("pyspark", [*import_path.installed(), *sys.path])
    if specification is None or specification.origin is None:
        raise DataError("pyspark is not installed: run 'uv sync'")
    return Path(specification.origin).parent


def overridden(*, here: bool) -> list[str]:
    """Return the user's settings that are not passed to children, with a reason where needed.

    Parameters
    ----------
    here
        As for :func:`for_children`.

    Raises
    ------
    DataError
        As raised by :func:`for_spark`.
    """
    found = _found or os.environ
    given = for_spark(LOOPBACK if here else None, here=here, environment=found)
    names = [
        name
        for name, value in sorted(found.items())
        if value and given.get(name) != value and not _UNNAMED.fullmatch(name)
    ]
    if "TMPDIR" in names and Path(found["TMPDIR"]).absolute() == Path(given["TMPDIR"]):
        names.remove("TMPDIR")
    if "PYTHONPATH" in names and not import_path.named(found):
        names.remove("PYTHONPATH")
    reasons = {
        "PYTHONPATH": " (searched after the installed packages)",
        "TMPDIR": f" (not writable; {given.get('TMPDIR')} is used)",
    }
    described = [f"{name}{reasons.get(name, '')}" for name in names]
    return [*described, *filter(None, [keras_home.overridden(found), passed_over()])]


def note(*, here: bool) -> str:
    """Return a line that lists the settings that were set aside; empty if there are none.

    Parameters
    ----------
    here
        As for :func:`for_children`.
    """
    names = overridden(here=here)
    if not names:
        return ""
    return f"set aside, so that the result does not depend on them: {', '.join(names)}"


def _keras(environment: Mapping[str, str]) -> dict[str, str]:
    folder = keras_home.clean(environment)
    return {"KERAS_HOME": folder} if folder else {}


def _locale(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a locale without regional formats in which Java decodes file names as UTF-8."""
    if name := _utf8_locale():
        return {"LC_ALL": name, "LANG": name}
    return {key: environment[key] for key in ("LC_ALL", "LANG") if key in environment}


@lru_cache
def _utf8_locale() -> str | None:
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        for name in ("C.UTF-8", "C.utf8", "en_US.UTF-8"):
            try:
                locale.setlocale(locale.LC_CTYPE, name)
            except locale.Error:
                continue
            return name
        return None
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


def _temporary(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the absolute temporary folder, because executors have other working folders."""
    if not any(environment.get(name) for name in ("TMPDIR", "TEMP", "TMP")):
        return {}
    try:
        return {"TMPDIR": tempfile.gettempdir()}
    except FileNotFoundError:
        return {}


def _no_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables that exclude connections within this machine from proxies."""
    proxies = [name for name in environment if _PROXY.fullmatch(name) and environment[name]]
    if not {name.lower() for name in proxies} - {"no_proxy", "no_grpc_proxy"}:
        return {}
    names = [*_NO_PROXY, *(name for name in proxies if name.lower() == "no_grpc_proxy")]
    given = [part for name in names for part in environment.get(name, "").split(",")]
    excepted = ",".join(dict.fromkeys([*filter(None, map(str.strip, given)), *_own_addresses()]))
    return dict.fromkeys(names, excepted)


@lru_cache
def _own_addresses() -> tuple[str, ...]:
    import psutil

    found = [LOOPBACK, "::1", "localhost", socket.gethostname()]
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            if one.family in (socket.AF_INET, socket.AF_INET6):
                found.append(one.address.partition("%")[0])
    return tuple(dict.fromkeys(found))
