"""The environment of every process that the project starts on this machine.

What stands in a user's profile must not decide a result: variables that change how TensorFlow,
Keras or NumPy compute, that lead to another Spark, Hadoop, Python or Java, or that send what
stays on this machine to a proxy. Children get an environment in which they are set aside;
:func:`settle` does the same for the process of a command. :func:`note` names what was set aside.
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
from data.java import find_java, passed_over

LOOPBACK = "127.0.0.1"

#: Change how numbers are computed, or for how long. Threads are the harness's to count.
_COMPUTING = re.compile(
    r"KERAS_(BACKEND|MAX_EPOCHS|MAX_STEPS_PER_EPOCH|NNX_ENABLED)"
    r"|TF_(CONFIG|DETERMINISTIC_OPS|CUDNN_DETERMINISTIC|XLA_FLAGS|FUNCTION_JIT_COMPILE_DEFAULT"
    r"|(ENABLE|DISABLE|USE|ONEDNN|SET|MKL|OVERRIDE|AUTO|NUM)_\w+)"
    r"|TF2_BEHAVIOR|XLA_FLAGS"
    r"|(ONEDNN|DNNL|MKLDNN|MKL|OMP|KMP|GOMP|OPENBLAS|GOTO|BLIS|NUMEXPR|NPY)_\w+"
    # For Spark 2; PySpark 3 refuses to work with it.
    r"|ARROW_PRE_0_15_IPC_FORMAT"
)
#: Change the interpreter; the others of its variables say where it writes and how soon.
#: Where nothing compiled is kept, every process compiles TensorFlow again: importing it takes
#: 12 CPU seconds instead of 4.
_PYTHON = re.compile(
    r"PYTHON(?!PATH$|UNBUFFERED$|PYCACHEPREFIX$|FAULTHANDLER$|NOUSERSITE$|USERBASE$)[A-Z0-9]+"
)
#: Of PySpark and Spark, whichever cluster is asked: what is started is this project's own.
_PYSPARK = re.compile(r"PYSPARK_\w+|SPARK_(REMOTE|API_MODE|CONNECT_\w+|ENV_LOADED|TESTING)")
#: Variables of a cluster and its Java: they hold for runs on that cluster, not for local ones.
_CLUSTER = re.compile(
    r"(SPARK|HADOOP|YARN|HDFS|HIVE|MAPRED)_\w+|_JAVA_OPTIONS|(JAVA_TOOL|IBM_JAVA|OPENJ9_JAVA)_OPTIONS"
    r"|CLASSPATH"
)
#: Make the shell of Spark's scripts, or git, do something else.
_TOOLS = re.compile(
    r"BASH_ENV|SHELLOPTS|BASHOPTS|CDPATH|POSIXLY_CORRECT|LC_ALL|LANG|GIT_(DIR|WORK_TREE|INDEX_FILE)"
)
#: Spoil no result and stand in many a profile: not worth a line.
_UNNAMED = re.compile(
    rf"{_TOOLS.pattern}|MPLBACKEND"
    r"|PYTHON(UTF8|DONTWRITEBYTECODE|SAFEPATH|IOENCODING|HASHSEED|COERCECLOCALE)"
    r"|(?i:no_(grpc_)?proxy)|KERAS_HOME|JAVA_HOME|TE?MP"
    # TensorFlow and scikit-learn set these in their own process, for example a notebook's.
    r"|TF2_BEHAVIOR|KMP_(INIT_AT_FORK|DUPLICATE_LIB_OK)"
)
_PROXY = re.compile(r"(?i:\w+_proxy)")
_NO_PROXY = ("no_proxy", "NO_PROXY")
#: Settings of Keras for executors that this process does not start: their accounts' files are not
#: known here, and a folder that is not there has none.
KERAS_ON_EXECUTORS = {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": "keras-settings"}
#: Of Python's variables, those that hold for a process once it has begun.
_INTERPRETER = ("PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONINSPECT")
#: Holds the names of those with which a program was first begun.
_BEGUN_WITH = "SPARKDL_BEGUN_WITH"
#: What :func:`settle` has found.
_found: dict[str, str] = {}


def settle() -> None:
    """Set aside in this process what would decide a command's result."""
    _begin_again_if_needed()
    begun_with = os.environ.pop(_BEGUN_WITH, "").split()
    _found.update({**os.environ, **dict.fromkeys(begun_with, "set")})
    settled = for_children(here=False)
    os.environ.clear()
    os.environ.update(settled)
    sys.dont_write_bytecode = False


def _begin_again_if_needed() -> None:
    """Start this process's program anew where Python itself has begun as it should not.

    Without docstrings packages fail that read them; and with another encoding, names of files are
    other letters in this process than in its children.
    """
    names = [name for name in _INTERPRETER if os.environ.get(name)]
    if not names and (
        sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1"
    ):
        return
    kept = {name: value for name, value in os.environ.items() if name not in names}
    changed = {**kept, "PYTHONUTF8": "1", _BEGUN_WITH: " ".join(names)}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], changed)


def for_children(*, here: bool, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of a process that is started on this machine.

    Parameters
    ----------
    here
        Whether the Spark that the process uses runs on this machine alone; else the variables of
        the user's cluster hold.
    environment
        Of the process that starts it.
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
        # Nothing is imported from the working folder.
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
    """Return the environment in which Spark's Java processes start on this machine.

    Parameters
    ----------
    address
        Where they listen; None leaves it to Spark.
    here, environment
        As for :func:`for_children`.

    Raises
    ------
    DataError
        When there is no Spark, or no Java that runs it.
    """
    own = {"SPARK_LOCAL_IP": address, "SPARK_LOCAL_HOSTNAME": address} if address else {}
    return {
        **for_children(here=here, environment=environment),
        **own,
        "JAVA_HOME": str(find_java()),
        "SPARK_HOME": str(spark_home()),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }


def spark_home() -> Path:
    """Return the folder of the installed Spark.

    Raises
    ------
    DataError
        When there is none.
    """
    from importlib.machinery import PathFinder

    # The path of a process that is not settled may begin with another Spark.
    specification = PathFinder.find_spec("pyspark", [*import_path.installed(), *sys.path])
    if specification is None or specification.origin is None:
        raise DataError("pyspark is not installed: run 'uv sync'")
    return Path(specification.origin).parent


def overridden(*, here: bool) -> list[str]:
    """Return what the user has set and children do not get, with a reason where it needs one.

    ``here`` is as for :func:`for_children`.

    Raises
    ------
    DataError
        As :func:`for_spark`.
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
        "TMPDIR": f" (cannot be written to; {given.get('TMPDIR')} is used)",
    }
    told = [f"{name}{reasons.get(name, '')}" for name in names]
    return [*told, *filter(None, [keras_home.overridden(found), passed_over()])]


def note(*, here: bool) -> str:
    """Return one line that names what was set aside, or nothing; ``here`` as above."""
    names = overridden(here=here)
    if not names:
        return ""
    return f"set aside, so that the result does not depend on them: {', '.join(names)}"


def _keras(environment: Mapping[str, str]) -> dict[str, str]:
    folder = keras_home.clean(environment)
    return {"KERAS_HOME": folder} if folder else {}


def _locale(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a locale in which Java reads names of files as UTF-8, in no country's spelling."""
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
    """Return the folder for temporary files, absolute: executors have other working folders."""
    if not any(environment.get(name) for name in ("TMPDIR", "TEMP", "TMP")):
        return {}
    try:
        return {"TMPDIR": tempfile.gettempdir()}
    except FileNotFoundError:
        return {}


def _no_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables by which nothing that stays on this machine asks a proxy."""
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
