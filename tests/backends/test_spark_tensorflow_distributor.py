from pathlib import Path

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

pytestmark = [pytest.mark.spark, pytest.mark.slow]
NAME = "spark_tensorflow_distributor"


class TestSparkTensorFlowDistributor(NetworkConformance):
    name = NAME


@pytest.mark.long
@pytest.mark.parametrize(("models", "workers"), NETWORKS_BY_WORKERS)
def test_five_full_batch_steps_equal_keras(
    even: PreparedData, tmp_path: Path, models: tuple[Network, ...], workers: int
) -> None:
    assert_five_full_batch_steps_equal_keras(NAME, even, models, workers, tmp_path)


@pytest.mark.process_tree
@pytest.mark.long
def test_killed_python_worker_fails_the_run(prepared: PreparedData, tmp_path: Path) -> None:
    def kill(cluster: Cluster) -> None:
        for python_daemon in executors(cluster)[0].children():
            for worker in python_daemon.children():
                worker.kill()

    assert_lost_worker_fails_the_run(NAME, prepared, tmp_path, kill)


@pytest.mark.long
def test_error_of_a_worker_is_reported(prepared: PreparedData, tmp_path: Path) -> None:
    assert_error_of_a_worker_is_reported(NAME, prepared, tmp_path)
