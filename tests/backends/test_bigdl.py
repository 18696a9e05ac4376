import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from backends.base import RunContext
from backends.bigdl import BigDL, BigDLOptions
from backends.bigdl.memory import executor_megabytes
from backends.keras_local import KerasLocal
from data.prepared import PreparedData
from experiments.spark.cluster import Cluster
from models import ModelConfig, OptimizerConfig
from models.config import PolicyConfig
from tests.backends.all_reduce_checks import (
    NETWORKS_BY_WORKERS,
    Network,
    assert_error_of_a_worker_is_reported,
    assert_five_full_batch_steps_equal_keras,
    even,
    full_batch_task,
    task,
)
from tests.backends.conformance import NetworkConformance, harness
from tests.backends.fit_process import executors, fit, fit_all

__all__ = ["even", "harness"]

NAME = "bigdl"


@pytest.mark.spark
@pytest.mark.slow
class TestBigDL(NetworkConformance):
    name = NAME


@pytest.mark.spark
@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(("models", "workers"), NETWORKS_BY_WORKERS)
def test_five_full_batch_steps_equal_keras(
    even: PreparedData, tmp_path: Path, models: tuple[Network, ...], workers: int
) -> None:
    assert_five_full_batch_steps_equal_keras(NAME, even, models, workers, tmp_path)


@pytest.mark.spark
@pytest.mark.long
@pytest.mark.slow
def test_state_of_optimizers_lasts_from_epoch_to_epoch(even: PreparedData, tmp_path: Path) -> None:
    """Each epoch is one step, so the loss of a part of the state changes the next weights."""
    optimizers = [
        OptimizerConfig(name="adam"),
        OptimizerConfig(name="sgd", learning_rate=0.01, momentum=0.9),
        OptimizerConfig(name="sgd", learning_rate=0.01, momentum=0.9, nesterov=True),
    ]
    tasks = [full_batch_task(even, "small_cnn", 2, optimizer=one) for one in optimizers]
    images = even.shard("train").read()
    for asked, found in zip(tasks, fit_all(NAME, tasks, tmp_path), strict=True):
        model = asked.compiled_model()
        for _ in range(asked.epochs):
            model.train_on_batch(images.pixels, images.labels)
        for one, other in zip(found.weights, model.get_weights(), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


def test_optimizer_that_bigdl_lacks_is_refused(prepared: PreparedData) -> None:
    policy = PolicyConfig(name="step", gamma=0.1, steps=(10,))
    for optimizer, words in (
        (OptimizerConfig(name="rmsprop"), "no optimizer 'rmsprop': use adam or sgd"),
        (OptimizerConfig(policy=policy), "a constant learning rate: give --set optimizer.policy"),
    ):
        reason = BigDL().unsupported(task(prepared, optimizer=optimizer, options=BigDLOptions()))
        assert words in str(reason)


@pytest.mark.spark
@pytest.mark.process_tree
@pytest.mark.long
@pytest.mark.slow
def test_lost_executor_costs_an_epoch(even: PreparedData, tmp_path: Path) -> None:
    """The run ends with the weights of an undisturbed Keras run, and a note reports the loss."""
    asked = full_batch_task(even, "small_cnn", workers=2)
    epochs_ended: list[Cluster] = []

    def kill_after_second(cluster: Cluster) -> None:
        epochs_ended.append(cluster)
        if len(epochs_ended) == 2:
            executors(cluster)[0].kill()

    found = fit(NAME, asked, tmp_path, on_epoch=kill_after_second)
    assert found.samples_seen == 5 * even.rows("train")
    assert len(epochs_ended) == 5
    assert any(re.search("An executor was lost (in|after) epoch [23]", n) for n in found.notes)
    expected = KerasLocal().fit(asked, RunContext(spark=None, folder=tmp_path))
    for one, other in zip(found.weights, expected.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


@pytest.mark.spark
@pytest.mark.long
@pytest.mark.slow
def test_error_of_a_worker_is_reported(prepared: PreparedData, tmp_path: Path) -> None:
    assert_error_of_a_worker_is_reported(NAME, prepared, tmp_path)


def test_batch_that_workers_cannot_share_is_refused(prepared: PreparedData) -> None:
    refusal = BigDL().unsupported(task(prepared, global_batch_size=17))
    assert refusal == (
        "BigDL divides every batch equally: 17 images cannot be divided among 2 workers"
    )


def test_shard_smaller_than_its_share_of_a_batch_is_refused(prepared: PreparedData) -> None:
    refusal = BigDL().unsupported(task(prepared, global_batch_size=2 * prepared.rows("train")))
    assert "fewer training images than its share of a batch" in str(refusal)


def test_augmentation_is_refused_by_its_layer(prepared: PreparedData) -> None:
    asked = task(prepared, model=ModelConfig(augmentation=True), options=BigDLOptions())
    refusal = BigDL().unsupported_network(asked)
    assert "layer 'random_flip' (RandomFlip) cannot be translated" in str(refusal)


@pytest.mark.parametrize("name", get_args(Network))
def test_networks_of_the_project_are_not_refused(prepared: PreparedData, name: Network) -> None:
    assert BigDL().unsupported_network(task(prepared, model=ModelConfig(name=name))) is None


def test_half_precision_is_reported(prepared: PreparedData) -> None:
    full, half = (
        BigDL().synchronisation(task(prepared, options=BigDLOptions(exchange=exchange)))
        for exchange in ("full", "half")
    )
    assert "16 bits" in half
    assert "16 bits" not in full


def test_memory_grows_with_the_network_and_is_small_for_a_small_one(
    prepared: PreparedData,
) -> None:
    def megabytes(name: Network, batch: int) -> int:
        return executor_megabytes(
            task(prepared, model=ModelConfig(name=name), global_batch_size=batch)
        )

    small = megabytes("small_cnn", 16)
    assert small <= megabytes("mini_xception", 16) < megabytes("mini_xception", 128)
    assert small <= 1024, "two workers fit a machine of 8 GB"
