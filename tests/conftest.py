"""Fixtures shared by the tests of several packages, such as a small prepared data set."""

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from data import class_archive, interpreter
from data.config import DataConfig, ImageConfig
from data.prepared import PreparedData, open_prepared
from tests.preloaded import interpreter as preloaded

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Otherwise every test process compiles the modules that it imports, above all TensorFlow.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

#: Files whose tests take minutes; begun last, they would leave the other test processes idle.
_LONGEST = {"test_local_cluster", "test_stack", "test_chaos", "test_notebooks", "test_transfer"}
#: Variable with the path of the preloaded interpreter, for all test processes of a session.
_PRELOADED = "SPARKDL_PRELOADED_PYTHON"


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the files that all test processes share, in the process that starts them."""
    if "JDK_JAVA_OPTIONS" not in os.environ:
        # Only the compiler's first tier, because these processes live for seconds.
        os.environ["JDK_JAVA_OPTIONS"] = "-XX:TieredStopAtLevel=1"
        if config.getoption("numprocesses", None):
            class_archive.make()
    if _PRELOADED not in os.environ:
        folder = Path(tempfile.mkdtemp(prefix="sparkdl-preloaded-"))
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ[_PRELOADED] = str(preloaded.make(folder))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the processes of a test be forked from a preloaded interpreter.

    A fork is no descendant of the process that asked for it: tests that look for descendants or
    kill processes, as users and machines do, get the usual interpreter.
    """
    if item.get_closest_marker("process_tree"):
        os.environ.pop(interpreter.VARIABLE, None)
    else:
        os.environ[interpreter.VARIABLE] = os.environ[_PRELOADED]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow tests, and keep tests together that share what is costly to make.

    ``--dist loadgroup`` gives a group to one test process. The tests of a file are a group, because
    many share a fixture of their module; classes name theirs, and long tests stand alone.
    """
    for item in items:
        if item.get_closest_marker("long"):
            if not item.get_closest_marker("slow"):
                raise pytest.UsageError(f"{item.nodeid} is marked long and not slow")
        elif not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    """Return a number by which tests are sorted: those that take minutes begin first."""
    if item.path.stem in _LONGEST:
        return 0
    return 1 if item.get_closest_marker("slow") else 2


def pytest_collection_finish(session: pytest.Session) -> None:
    """Check that pytest-xdist has read the groups: with pytest 9.2 it ignores them (3.8.0)."""
    grouped = [item for item in session.items if item.get_closest_marker("xdist_group")]
    in_groups = getattr(session.config.option, "loadgroup", False)  # set in workers only
    if in_groups and any("@" not in item.nodeid for item in grouped):
        raise pytest.UsageError("pytest-xdist ignores the groups of tests")


def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that all test processes of a session share; the first one fills it.

    Parameters
    ----------
    factory
        Whose base folder has one folder for each process.
    name
        Name of the folder.
    make
        Fills the folder that it is given.
    """
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, made = root / f"shared-{name}", root / f"shared-{name}.made"
    with (root / f"shared-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic cells: 16 patients with 12 images each, 8 healthy and 8 sick."""
    from data.synthetic import synthesize

    def make(folder: Path) -> None:
        synthesize(str(folder / "cells"), patients=16, cells_per_patient=12, size=48, seed=1)

    return shared(tmp_path_factory, "cells", make) / "cells"


@pytest.fixture(scope="session")
def data_config(cells: Path) -> DataConfig:
    """The cells at 24 x 24 RGB, split by patient."""
    return DataConfig(source=str(cells), image=ImageConfig(height=24, width=24))


@pytest.fixture(scope="session")
def prepared(data_config: DataConfig, tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """``data_config``, prepared."""
    from data.ingest import prepare

    def make(folder: Path) -> None:
        prepare(data_config, str(folder / "cells"))

    return open_prepared(str(shared(tmp_path_factory, "prepared", make) / "cells"))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without experiments, to be copied: creating its tables takes seconds."""
    from data.store_address import sqlite_uri
    from experiments.tracking.store import make_ready

    def make(folder: Path) -> None:
        make_ready(sqlite_uri(folder / "mlflow.db"))

    return shared(tmp_path_factory, "store", make) / "mlflow.db"


@pytest.fixture(scope="session")
def tracking_uri(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a database of this test process."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    shutil.copy2(empty_store, path)
    return f"sqlite:///{path}"
