"""Fixtures of the tests of ``serving``."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from data.prepared import PreparedData
from tests.conftest import shared
from tests.serving.recorded import record

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.serving.page_service import PageService


@pytest.fixture(scope="session")
def recorded_model(prepared: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an MLflow model that classifies the cells of the fixture ``cells``."""
    return shared(tmp_path_factory, "recorded-model", partial(record, prepared)) / "model"


@pytest.fixture(scope="session")
def cell_files(cells: Path) -> list[Path]:
    """Image files that the model can classify."""
    return sorted(cells.rglob("*.bmp"))


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Headless browser."""
    from tests.serving.browser import chromium

    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def running() -> "Iterator[PageService]":
    """Service of the page without a model, which the tests of a module share."""
    from tests.serving.page_service import PageService

    with PageService() as service:
        yield service


@pytest.fixture
def service(running: "PageService") -> "PageService":
    """The service as it is after its start."""
    running.reset()
    return running
