"""What tests of several rooms share: a small prepared data set and a way to run experiments."""

import os
import sys
from pathlib import Path

import pytest

from data.config import DataConfig, ImageConfig
from data.prepared import PreparedData
from tests.spark_classes import java_options

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Otherwise every process of the tests compiles what it imports, TensorFlow above all.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    """Prepare what all test processes share, in the one that starts them."""
    if "JDK_JAVA_OPTIONS" not in os.environ:
        several = bool(config.getoption("numprocesses", None))
        os.environ["JDK_JAVA_OPTIONS"] = java_options(make=several)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let every test process begin with slow tests: a slow one must not be the last.

    ``worksteal`` deals out equal parts in their order and moves from the ends of the longer ones.
    """
    processes = int(getattr(config, "workerinput", {}).get("workercount", 1))
    slow = [item for item in items if item.get_closest_marker("slow")]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    items[:] = [
        item
        for number in range(processes)
        for part in (slow, quick)
        for item in part[len(part) * number // processes : len(part) * (number + 1) // processes]
    ]


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic cells: 16 patients with 12 images each, 8 healthy and 8 sick."""
    from data.synthetic import synthesize

    folder = tmp_path_factory.mktemp("cells") / "cells"
    return synthesize(str(folder), patients=16, cells_per_patient=12, size=48, seed=1)


@pytest.fixture(scope="session")
def data_config(cells: Path) -> DataConfig:
    """The cells at 24 x 24 RGB, split by patient."""
    return DataConfig(source=str(cells), image=ImageConfig(height=24, width=24))


@pytest.fixture(scope="session")
def prepared(data_config: DataConfig, tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """``data_config``, prepared."""
    from data.ingest import prepare

    return prepare(data_config, str(tmp_path_factory.mktemp("prepared") / "cells"))


@pytest.fixture(scope="session")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all: creating its tables takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
