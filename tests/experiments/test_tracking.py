import time
from pathlib import Path

import pytest

from backends.ports import free_port
from experiments.errors import ExperimentError
from experiments.tracking import check_reachable
from tests.experiments.conftest import Run


def test_server_that_does_not_answer_is_found_before_training(run: Run) -> None:
    began = time.monotonic()
    with pytest.raises(ExperimentError, match="does not answer"):
        run("majority", tracking_uri=f"http://127.0.0.1:{free_port()}")
    assert time.monotonic() - began < 10


def test_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="does not exist or is read-only"):
        check_reachable(f"sqlite:///{tmp_path}/nowhere/mlflow.db")


def test_plain_folder_as_a_store_is_answered_with_one_that_works(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"use for example sqlite:///mlflow\.db"):
        check_reachable(str(tmp_path))
