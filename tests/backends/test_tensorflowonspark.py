from pathlib import Path

import numpy as np
import psutil
import pytest

from backends.ports import free_port
from backends.tensorflowonspark import TensorFlowOnSparkOptions
from data.prepared import PreparedData
from experiments.cluster import Cluster
from models import OptimizerConfig
from tests.backends.all_reduce_checks import (
    NETWORKS_BY_WORKERS,
    Network,
    assert_error_of_a_worker_is_told,
    assert_five_full_batch_steps_equal_keras,
    assert_lost_worker_fails_the_run,
    even,
    task,
)
from tests.backends.conformance import BackendConformance, harness
from tests.backends.fit_process import executors, fit
from tests.listening import listening

__all__ = ["even", "harness"]

pytestmark = [pytest.mark.spark, pytest.mark.slow]
NAME = "tensorflowonspark"
FED = TensorFlowOnSparkOptions(input_mode="spark")


class TestTensorFlowOnSpark(BackendConformance):
    name = NAME


@pytest.mark.parametrize(("models", "workers"), NETWORKS_BY_WORKERS)
def test_five_full_batch_steps_equal_keras(
    even: PreparedData, tmp_path: Path, models: tuple[Network, ...], workers: int
) -> None:
    assert_five_full_batch_steps_equal_keras(NAME, even, models, workers, tmp_path)


def test_fed_worker_trains_as_a_reading_one(
    prepared: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same images in the same order, whoever reads them, with the best epoch kept.

    The reservation server, which believes whoever connects, is on loopback alone.
    """
    port = free_port()
    monkeypatch.setenv("TFOS_SERVER_PORT", str(port))
    values = {"epochs": 4, "optimizer": OptimizerConfig(name="adam", learning_rate=0.05)}
    with listening(port) as addresses:
        reading, fed = (
            fit(
                NAME,
                task(
                    prepared,
                    options=TensorFlowOnSparkOptions(input_mode=mode, patience=1),
                    **values,
                ),
                tmp_path / mode,
            )
            for mode in ("tensorflow", "spark")
        )
    assert addresses == {"127.0.0.1"}
    for one, other in zip(reading.weights, fed.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert reading.notes == fed.notes
    losses = [epoch.validation_loss or np.inf for epoch in fed.epochs]
    best = int(np.argmin(losses)) + 1
    assert len(losses) == min(best + 1, 4)
    assert f"The weights are those of epoch {best}, the best one." in fed.notes


def test_manager_of_tensorflowonspark_is_no_network_server() -> None:
    """Workers' queues: a socket in the file system, which no other machine reaches."""
    from tensorflowonspark import TFManager

    manager = TFManager.start(b"key", ["input"])
    try:
        assert isinstance(manager.address, str)
        own = psutil.Process(manager._process.pid)
        assert not own.net_connections("inet")
    finally:
        manager.shutdown()


def test_killed_executor_fails_the_run(prepared: PreparedData, tmp_path: Path) -> None:
    def kill(cluster: Cluster) -> None:
        executors(cluster)[0].kill()

    assert_lost_worker_fails_the_run(NAME, prepared, tmp_path, kill)


def test_killed_python_workers_fail_the_fed_run(prepared: PreparedData, tmp_path: Path) -> None:
    def kill(cluster: Cluster) -> None:
        for python_daemon in executors(cluster)[0].children():
            for process in python_daemon.children(recursive=True):
                process.kill()

    assert_lost_worker_fails_the_run(NAME, prepared, tmp_path, kill, options=FED)


def test_error_of_a_worker_is_told(prepared: PreparedData, tmp_path: Path) -> None:
    assert_error_of_a_worker_is_told(NAME, prepared, tmp_path)
