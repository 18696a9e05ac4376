"""Fixtures shared by the tests of several packages, such as a small prepared data set."""

import os
import sys
from pathlib import Path

import pytest

from data.config import DataConfig, ImageConfig
from data.prepared import PreparedData
from tests.spark_classes import java_options

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Otherwise every test process compiles the modules that it imports, above all TensorFlow.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the files that all test processes share, in the process that starts them."""
    if "JDK_JAVA_OPTIONS" not in os.environ:
        several = bool(config.getoption("numprocesses", None))
        os.environ["JDK_JAVA_OPTIONS"] = java_options(make=several)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Make every test process start with slow tests, so that a slow one is not the last.

    ``worksteal`` assigns equal parts in order and moves tests from the ends of longer ones.
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
    """Configuration of the cells at 24 x 24 pixels in RGB, split by patient."""
    return DataConfig(source=str(cells), image=ImageConfig(height=24, width=24))


@pytest.fixture(scope="session")
def prepared(data_config: DataConfig, tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """Prepared data of ``data_config``."""
    from data.ingest import prepare

    return prepare(data_config, str(tmp_path_factory.mktemp("prepared") / "cells"))


@pytest.fixture(scope="session")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all tests, because creating its tables takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
