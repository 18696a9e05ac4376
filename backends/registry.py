"""Names of the backends, and where each is found. Importing this imports no framework."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
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


def known() -> tuple[str, ...]:
    """Return the names of all backends, in the order in which they are listed to users."""
    return tuple(BACKENDS)


def check_name(name: str) -> str:
    """Return ``name`` if there is such a backend, or if it says where one is: ``module:Class``.

    Raises
    ------
    BackendError
        With the known names, and the nearest one.
    """
    module, colon, class_name = name.partition(":")
    if name in BACKENDS or (colon and module and class_name):
        return name
    near = get_close_matches(name, BACKENDS, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise BackendError(f"unknown backend '{name}' (known: {', '.join(BACKENDS)}){hint}")


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
    """Return the backend ``name``.

    Raises
    ------
    BackendError
        For an unknown name, or with the command that installs what is missing.
    """
    entry = BACKENDS.get(check_name(name)) or Entry(*name.split(":", 1))
    try:
        made = getattr(import_module(entry.module), entry.class_name)()
    except ImportError as error:
        raise BackendError(
            f"backend '{name}' needs a package that is not installed ({error}): {entry.install}"
        ) from error
    except AttributeError as error:
        raise BackendError(f"no backend '{name}': {error}") from error
    except Exception as error:  # whatever a module of the user's raises
        raise BackendError(
            f"backend '{name}' cannot be loaded ({type(error).__name__}: {error})"
        ) from error
    from backends.base import Backend

    if not isinstance(made, Backend):
        raise BackendError(f"'{name}' is no backend: its class must extend backends.Backend")
    return made
