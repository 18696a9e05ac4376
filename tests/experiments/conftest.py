from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import experiments
from data.config import DataConfig
from experiments.observer import Observer
from experiments.records import RunRecord

Run = Callable[..., list[RunRecord]]


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def run(data_config: DataConfig, work: Path, tracking_uri: str) -> Run:
    """Function that runs the whole harness with the small data set."""

    def run_small(
        *backends: str, resume: bool = False, observer: Observer | None = None, **values: Any
    ) -> list[RunRecord]:
        overrides = {
            "name": "test",
            "data": data_config.model_dump(mode="json"),
            "epochs": 1,
            "batch_size": 16,
            "tracking_uri": tracking_uri,
            "time_limit": 300,
            "warm_up": False,
            **values,
        }
        return experiments.run(
            "synthetic",
            backends=backends,
            overrides=overrides,
            work=work,
            resume=resume,
            observer=observer,
        )

    return run_small
