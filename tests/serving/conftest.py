"""Fixtures of the tests of ``serving``."""

from functools import partial
from pathlib import Path

import pytest

from data.prepared import PreparedData
from tests.conftest import shared
from tests.serving.recorded import record


@pytest.fixture(scope="session")
def recorded_model(prepared: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an MLflow model that classifies the cells of the fixture ``cells``."""
    return shared(tmp_path_factory, "recorded-model", partial(record, prepared)) / "model"


@pytest.fixture(scope="session")
def cell_files(cells: Path) -> list[Path]:
    """Image files that the model can classify."""
    return sorted(cells.rglob("*.bmp"))
