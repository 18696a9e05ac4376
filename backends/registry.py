"""Registry of the backends by name. Importing this module imports no framework.

The registry contains three kinds of backends: those of the project, those that installed packages
declare in the entry-point group ``sparkdl_bench.backends``, and classes passed to :func:`register`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING

from backends.errors import BackendError

if TYPE_CHECKING:
    from backends.base import Backend


@dataclass(frozen=True)
class Entry:
    """Location of a backend's class, and the command that installs its dependencies."""

    module: str
    class_name: str
    install: str = "uv sync"
    #: Short description of how the backend trains.
    summary: str = ""
    #: Modules that the command installs and the backend cannot do without.
    requires: tuple[str, ...] = ()
    #: Further line of the message, which names an alternative; empty if there is none.
    otherwise: str = ""


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
        ("elephas",),
    ),
    "tensorflowonspark": Entry(
        "backends.tensorflowonspark",
        "TensorFlowOnSpark",
        "uv sync --group tensorflowonspark",
        "TensorFlow cluster on the workers; gradients summed at every step.",
        ("tensorflowonspark",),
    ),
    "spark_tensorflow_distributor": Entry(
        "backends.spark_tensorflow_distributor",
        "SparkTensorFlowDistributor",
        "uv sync --group tensorflowonspark",
        "The same training in Spark's barrier mode.",
        ("spark_tensorflow_distributor",),
    ),
    "torch_distributor": Entry(
        "backends.torch_distributor",
        "TorchDistributor",
        "uv sync --group torch_distributor",
        "PyTorch through Spark's TorchDistributor; gradients averaged at every step.",
        ("torch",),
    ),
    "caffe_on_spark": Entry(
        "backends.caffe_on_spark",
        "CaffeOnSpark",
        "bash deploy/caffe/build.sh",
        "Caffe's solver in Spark's barrier mode; gradients averaged at every step.",
        ("caffe",),
        "Without Caffe, other backends train its solver files: sparkdl-bench run --caffe-solver "
        "solver.prototxt",
    ),
    "gradient_boosting": Entry(
        "backends.gradient_boosting",
        "GradientBoosting",
        "uv sync --group gradient_boosting",
        "XGBoost on color and texture: a baseline without deep learning.",
        ("xgboost", "skimage"),
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
        ("bigdl",),
    ),
}


#: Entry-point group in which installed packages declare backends.
GROUP = "sparkdl_bench.backends"
#: Classes passed to :func:`register`, by name of the backend.
_registered: dict[str, Entry] = {}


def entries() -> Mapping[str, Entry]:
    """Return the backends of the project, then those of installed packages."""
    others = {name: entry for name, entry in _installed().items() if name not in BACKENDS}
    return {**BACKENDS, **others}


def known() -> tuple[str, ...]:
    """Return the names of these backends, which ``--backend all`` selects."""
    return tuple(entries())


def register(address: str) -> str:
    """Register the class at ``address`` under its ``name``.

    Parameters
    ----------
    address
        Location of the class as ``package.module:Class``.

    Returns
    -------
    str
        Name of the backend.

    Raises
    ------
    BackendError
        If the class cannot be loaded, or another backend has the same name.
    """
    module, _, class_name = address.partition(":")
    entry = Entry(module, class_name, "install it, or add its folder to PYTHONPATH")
    name = _load(address, entry).name
    taken = {**entries(), **_registered}.get(name)
    if taken is not None and (taken.module, taken.class_name) != (module, class_name):
        raise BackendError(
            f"'{address}' has the name '{name}', which is already used by {taken.module}:"
            f"{taken.class_name}: set another 'name' in the class"
        )
    _registered[name] = entry
    return name


def address_of(name: str) -> str | None:
    """Return ``module:Class`` of a registered backend, or None for any other."""
    entry = _registered.get(name)
    return f"{entry.module}:{entry.class_name}" if entry and name not in entries() else None


def check_name(name: str) -> str:
    """Return the name of a backend, given as its name or as ``package.module:Class``.

    Raises
    ------
    BackendError
        If the name is unknown; the message lists the known names and suggests the closest one.
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
    """Return ``names`` without duplicates, with ``all`` replaced by the names of all backends.

    Raises
    ------
    BackendError
        If a name is unknown.
    """
    chosen = [one for name in names for one in (known() if name == "all" else [check_name(name)])]
    return tuple(dict.fromkeys(chosen))


def create(name: str) -> "Backend":
    """Return an instance of the backend ``name``, which may also be ``package.module:Class``.

    Raises
    ------
    BackendError
        If the name is unknown, or a package is missing; the message then contains the command that
        installs it.
    """
    name = check_name(name)
    entry = {**_registered, **entries()}[name]
    backend = _load(name, entry)
    if backend.name != name:
        raise BackendError(
            f"the entry point '{name}' refers to {entry.module}:{entry.class_name}, whose name is "
            f"'{backend.name}': the two names must be equal"
        )
    return backend


def missing(name: str) -> str | None:
    """Return which package the backend ``name`` lacks and how to install it, or None."""
    entry = {**_registered, **entries()}.get(name)
    if entry is None:
        return None
    for package in entry.requires:
        if find_spec(package) is None:
            reason = f"not installed: {package} is missing; '{entry.install}' adds it"
            return "\n".join(filter(None, (reason, entry.otherwise)))
    return None


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
        backend = getattr(import_module(entry.module), entry.class_name)()
    except ImportError as error:
        raise BackendError(
            f"backend '{name}' needs a package that is not installed ({error}): {entry.install}"
        ) from error
    except AttributeError as error:
        raise BackendError(f"there is no backend '{name}': {error}") from error
    except Exception as error:  # a custom module may raise any exception
        raise BackendError(
            f"backend '{name}' cannot be loaded ({type(error).__name__}: {error})"
        ) from error
    from backends.base import Backend

    if not isinstance(backend, Backend):
        raise BackendError(f"'{name}' is not a backend: its class must extend backends.Backend")
    if not isinstance(getattr(backend, "name", None), str):
        raise BackendError(f"backend '{name}' has no name: set the class attribute 'name'")
    return backend
