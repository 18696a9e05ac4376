"""The backend ``caffe_on_spark`` on real clusters; see ``deploy/caffe/nightly.sh``."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backends.base import FitResult, RunContext
from backends.keras_local import KerasLocal
from data.prepared import PreparedData
from experiments.spark.cluster import Cluster
from models import ModelConfig, OptimizerConfig
from models.config import PolicyConfig
from tests.backends.all_reduce_checks import (
    assert_error_of_a_worker_is_reported,
    assert_five_full_batch_steps_equal_keras,
    assert_lost_worker_fails_the_run,
    even,
    full_batch_task,
    task,
)
from tests.backends.conformance import NetworkConformance, harness
from tests.backends.fit_process import FitError, executors, fit, fit_all

__all__ = ["even", "harness"]

pytest.importorskip("caffe", reason="needs Caffe: bash deploy/caffe/build.sh")
pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.long]
NAME = "caffe_on_spark"


class TestCaffeOnSpark(NetworkConformance):
    name = NAME


def test_five_full_batch_steps_equal_keras(even: PreparedData, tmp_path: Path) -> None:
    assert_five_full_batch_steps_equal_keras(NAME, even, ("small_cnn", "lesion_cnn"), 2, tmp_path)


def test_optimizers_and_policies_equal_keras(even: PreparedData, tmp_path: Path) -> None:
    policy = PolicyConfig(name="multistep", gamma=0.5, steps=(1, 3))
    sgd = OptimizerConfig(name="sgd", learning_rate=0.01)
    optimizers = [
        OptimizerConfig(name="adam"),
        sgd.model_copy(update={"momentum": 0.9, "nesterov": True}),
        sgd.model_copy(update={"policy": policy}),
    ]
    tasks = [full_batch_task(even, "small_cnn", 2, optimizer=one) for one in optimizers]
    for asked, found in zip(tasks, fit_all(NAME, tasks, tmp_path / "run"), strict=True):
        expected = KerasLocal().fit(asked, RunContext(spark=None, folder=tmp_path))
        for one, other in zip(found.weights, expected.weights, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


def test_four_workers_equal_one(even: PreparedData, tmp_path: Path) -> None:
    """Without dropout, the mean gradient does not depend on the number of workers."""
    results: list[FitResult] = []
    for workers in (1, 4):
        asked = full_batch_task(even, "small_cnn", workers)
        results.append(fit(NAME, asked, tmp_path / str(workers)))
    for one, other in zip(*(result.weights for result in results), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


@pytest.mark.process_tree
def test_killed_executor_fails_the_run_and_leaves_no_process(
    prepared: PreparedData, tmp_path: Path
) -> None:
    def kill(cluster: Cluster) -> None:
        executors(cluster)[0].kill()

    assert_lost_worker_fails_the_run(NAME, prepared, tmp_path, kill)


@pytest.mark.process_tree
def test_killed_python_process_fails_the_run(prepared: PreparedData, tmp_path: Path) -> None:
    def kill(cluster: Cluster) -> None:
        for python_daemon in executors(cluster)[0].children():
            for process in python_daemon.children(recursive=True):
                process.kill()

    assert_lost_worker_fails_the_run(NAME, prepared, tmp_path, kill)


def test_error_of_a_worker_is_reported(prepared: PreparedData, tmp_path: Path) -> None:
    assert_error_of_a_worker_is_reported(NAME, prepared, tmp_path)


def test_resumed_training_equals_one_that_was_not_interrupted(
    prepared: PreparedData, tmp_path: Path
) -> None:
    """With dropout and Adam, whose states must both be those of the interrupted training."""
    model = ModelConfig(dropout=0.3)
    adam = OptimizerConfig(name="adam", learning_rate=1e-3)
    whole = task(prepared, model=model, optimizer=adam, epochs=4)
    folders = [tmp_path / "kept", tmp_path / "kept", None]
    tasks = [replace(whole, epochs=2), whole, whole]
    first, resumed, expected = fit_all(NAME, tasks, tmp_path / "run", checkpoints=folders)
    assert [epoch.number for epoch in resumed.epochs] == [1, 2, 3, 4]
    assert resumed.epochs[:2] == first.epochs
    for one, other in zip(resumed.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_network_that_is_not_written_for_caffe_is_refused(
    prepared: PreparedData, tmp_path: Path
) -> None:
    asked = task(prepared, model=ModelConfig(name="mini_xception"))
    with pytest.raises(FitError, match=r"layer 'entry_convolution' \(Conv2D\) pads unequally"):
        fit(NAME, asked, tmp_path)
