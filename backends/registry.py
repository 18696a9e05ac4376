"""Names of the backends, and where each is found. Importing this imports no framework.

Three kinds are known by name: those of the project, those that installed packages declare in the
entry-point group ``sparkdl_bench.backends``, and classes that :func:`register` was given.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from backends.errors import BackendError

if TYPE_CHECKING:
    from backends.base import Backend


@dataclass(frozen=True)
class Entry:
    """Where a backend's class lives and how to install what it needs."""

    module: str
    class_name: str
    install: str = "uv sync"
    #: How it trains, in half a line.
    summary: str = ""


BACKENDS = {
    "majority": Entry(
        "backends.majority",
        "Majority",
        summary="Trains nothing and predicts the class shares.",
    ),
    "keras_local": Entry(
        "backends.keras_local",
        "KerasLocal",
        summary="Keras in one process, without Spark.",
    ),
    "elephas": Entry(
        "backends.elephas",
        "Elephas",
        "uv sync --group elephas",
        "Keras on each worker; weights averaged once per epoch.",
    ),
    "tensorflowonspark": Entry(
        "backends.tensorflowonspark",
        "TensorFlowOnSpark",
        "uv sync --group tensorflowonspark",
        "TensorFlow cluster on the workers; gradients summed at every step.",
    ),
    "spark_tensorflow_distributor": Entry(
        "backends.spark_tensorflow_distributor",
        "SparkTensorFlowDistributor",
        "uv sync --group tensorflowonspark",
        "The same training in Spark's barrier mode.",
    ),
    "pandas_udf": Entry(
        "backends.pandas_udf",
        "PandasUdf",
        "uv sync --group pandas_udf",
        "Frozen backbone in a pandas UDF, logistic regression of MLlib.",
    ),
    "bigdl": Entry(
        "backends.bigdl",
        "BigDL",
        "uv sync --group bigdl",
        "BigDL in the JVM; gradients averaged at every step.",
    ),
}


#: Entry-point group in which installed packages declare backends.
GROUP = "sparkdl_bench.backends"
#: Classes of :func:`register`, by the backend's name.
_registered: dict[str, Entry] = {}


def entries() -> Mapping[str, Entry]:
    """Return the backends of the project and of installed packages, in the order of the help."""
    return {**_installed(), **BACKENDS}


def known() -> tuple[str, ...]:
    """Return the names of these backends, which ``--backend all`` stands for."""
    return tuple({**BACKENDS, **_installed()})


def register(address: str) -> str:
    """Make the class at ``address``, written ``package.module:Class``, known by its ``name``.

    Returns
    -------
    str
        The name.

    Raises
    ------
    BackendError
        When it cannot be loaded, or another backend has the name.
    """
    module, _, class_name = address.partition(":")
    entry = Entry(module, class_name)
    name = _load(address, entry).name
    taken = {**entries(), **_registered}.get(name)
    if taken is not None and (taken.module, taken.class_name) != (module, class_name):
        raise BackendError(
            f"'{address}' has the name '{name}', which is that of {taken.module}:"
            f"{taken.class_name}: give its class another name"
        )
    _registered[name] = entry
    return name


def address_of(name: str) -> str | None:
    """Return ``module:Class`` of a backend that was registered, or None for the others."""
    entry = _registered.get(name)
    return f"{entry.module}:{entry.class_name}" if entry and name not in entries() else None


def check_name(name: str) -> str:
    """Return the name of a backend, given as its name or as ``package.module:Class``.

    Raises
    ------
    BackendError
        With the known names, and the nearest one.
    """
    module, colon, class_name = name.partition(":")
    if colon and module and class_name:
        return register(name)
    names = {**entries(), **_registered}
    if name in names:
        return name
    near = get_close_matches(name, names, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise BackendError(f"unknown backend '{name}' (known: {', '.join(known())}){hint}")


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return ``names`` without repeats, with ``all`` standing for every backend.

    Raises
    ------
    BackendError
        For an unknown name.
    """
    chosen = [one for name in names for one in (known() if name == "all" else [check_name(name)])]
    return tuple(dict.fromkeys(chosen))


def create(name: str) -> "Backend":
    """Return the backend ``name``, which may be written ``package.module:Class``.

    Raises
    ------
    BackendError
        For an unknown name, or with the command that installs what is missing.
    """
    name = check_name(name)
    entry = {**_registered, **entries()}[name]
    made = _load(name, entry)
    if made.name != name:
        raise BackendError(
            f"the entry point '{name}' names {entry.module}:{entry.class_name}, whose name is "
            f"'{made.name}': both must be equal"
        )
    return made


@cache
def _installed() -> dict[str, Entry]:
    """Return the backends that installed packages declare, by name."""
    return {
        point.name: Entry(
            point.module,
            point.attr,
            f"reinstall {point.dist.name}" if point.dist else "",
            f"From the package {point.dist.name}." if point.dist else "",
        )
        for point in entry_points(group=GROUP)
    }


def _load(name: str, entry: Entry) -> "Backend":
    try:
        made = getattr(import_module(entry.module), entry.class_name)()
    except ImportError as error:
        raise BackendError(
            f"backend '{name}' needs a package that is not installed ({error}): {entry.install}"
        ) from error
    except AttributeError as error:
        raise BackendError(f"there is no backend '{name}': {error}") from error
    except Exception as error:  # whatever a custom module raises
        raise BackendError(
            f"backend '{name}' cannot be loaded ({type(error).__name__}: {error})"
        ) from error
    from backends.base import Backend

    if not isinstance(made, Backend):
        raise BackendError(f"'{name}' is not a backend: its class must extend backends.Backend")
    if not isinstance(getattr(made, "name", None), str):
        raise BackendError(f"backend '{name}' has no name: set the class attribute 'name'")
    return made
