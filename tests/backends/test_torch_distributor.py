import socket
from pathlib import Path

import psutil
import pytest

from data.prepared import PreparedData
from experiments.spark.cluster import Cluster
from tests.backends.all_reduce_checks import (
    NETWORKS_BY_WORKERS,
    Network,
    assert_error_of_a_worker_is_reported,
    assert_five_full_batch_steps_equal_keras,
    assert_lost_worker_fails_the_run,
    even,
)
from tests.backends.conformance import NetworkConformance, harness
from tests.backends.fit_process import executors

__all__ = ["even", "harness"]

pytest.importorskip("torch", reason="needs 'uv sync --group torch_distributor'")
pytestmark = [pytest.mark.spark, pytest.mark.slow]
NAME = "torch_distributor"


@pytest.mark.long
class TestTorchDistributor(NetworkConformance):
    name = NAME


@pytest.mark.long
@pytest.mark.parametrize(("models", "workers"), NETWORKS_BY_WORKERS)
def test_five_full_batch_steps_equal_keras(
    even: PreparedData, tmp_path: Path, models: tuple[Network, ...], workers: int
) -> None:
    assert_five_full_batch_steps_equal_keras(NAME, even, models, workers, tmp_path)


def training_processes(executor: psutil.Process) -> list[psutil.Process]:
    """Return the processes of an executor that train: those below torchrun."""
    return [
        child
        for process in executor.children(recursive=True)
        if "backends.torch_distributor.agent" in process.cmdline()
        for child in process.children()
    ]


@pytest.mark.long
@pytest.mark.process_tree
def test_killed_training_process_fails_the_run(prepared: PreparedData, tmp_path: Path) -> None:
    def kill(cluster: Cluster) -> None:
        (process,) = training_processes(executors(cluster)[0])
        process.kill()

    assert_lost_worker_fails_the_run(NAME, prepared, tmp_path, kill)


@pytest.mark.long
@pytest.mark.process_tree
def test_killed_executor_fails_the_run_and_leaves_no_process(
    prepared: PreparedData, tmp_path: Path
) -> None:
    def kill(cluster: Cluster) -> None:
        executors(cluster)[0].kill()

    assert_lost_worker_fails_the_run(NAME, prepared, tmp_path, kill)


@pytest.mark.long
def test_error_of_a_worker_is_reported(prepared: PreparedData, tmp_path: Path) -> None:
    assert_error_of_a_worker_is_reported(NAME, prepared, tmp_path)


def test_store_of_the_workers_listens_on_its_address_only() -> None:
    from datetime import timedelta

    from backends.torch_distributor.agent import _store

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = _store("127.0.0.1", port, 1, True, timedelta(seconds=5), multi_tenant=True)
    listening = {
        one.laddr.ip
        for one in psutil.Process().net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port
    }
    assert listening == {"127.0.0.1"}
    store.set("name", "value")
    assert store.get("name") == b"value"
