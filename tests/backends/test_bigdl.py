from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backends.bigdl import BigDL, BigDLOptions
from data.prepared import PreparedData
from experiments.cluster import Cluster
from models import ModelConfig
from tests.backends.all_reduce_checks import (
    Network,
    assert_error_of_a_worker_is_told,
    assert_five_full_batch_steps_equal_keras,
    even,
    task,
)
from tests.backends.conformance import BackendConformance, harness
from tests.backends.fit_process import executors, fit

__all__ = ["even", "harness"]

NAME = "bigdl"


@pytest.mark.spark
@pytest.mark.slow
class TestBigDL(BackendConformance):
    name = NAME


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "workers"), [("small_cnn", 2), ("lesion_cnn", 2), ("mini_xception", 1)]
)
def test_five_full_batch_steps_equal_keras(
    even: PreparedData, tmp_path: Path, model: Network, workers: int
) -> None:
    assert_five_full_batch_steps_equal_keras(NAME, even, model, workers, tmp_path)


@pytest.mark.spark
@pytest.mark.slow
def test_lost_executor_costs_an_epoch(prepared: PreparedData, tmp_path: Path) -> None:
    """The run ends with the weights of one in which nothing happened, and says what happened."""
    asked = task(prepared, model=ModelConfig(dropout=0.0), epochs=4, global_batch_size=32)
    epochs_ended: list[Cluster] = []

    def kill_after_first(cluster: Cluster) -> None:
        epochs_ended.append(cluster)
        if len(epochs_ended) == 1:
            executors(cluster)[0].kill()

    undisturbed = fit(NAME, asked, tmp_path / "undisturbed")
    disturbed = fit(NAME, asked, tmp_path / "disturbed", on_epoch=kill_after_first)
    for one, other in zip(disturbed.weights, undisturbed.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert disturbed.samples_seen == undisturbed.samples_seen
    assert len(epochs_ended) == 4
    (loss,) = set(disturbed.notes) - set(undisturbed.notes)
    assert "lost in epoch 2, which was trained again" in loss


@pytest.mark.spark
@pytest.mark.slow
def test_error_of_a_worker_is_told(prepared: PreparedData, tmp_path: Path) -> None:
    assert_error_of_a_worker_is_told(NAME, prepared, tmp_path)


def test_batch_that_workers_cannot_share_is_refused(prepared: PreparedData) -> None:
    refusal = BigDL().unsupported(task(prepared, global_batch_size=17))
    assert refusal == (
        "BigDL divides every batch equally: 17 images cannot be shared by 2 workers"
    )


def test_shard_smaller_than_its_share_of_a_batch_is_refused(prepared: PreparedData) -> None:
    refusal = BigDL().unsupported(task(prepared, global_batch_size=2 * prepared.rows("train")))
    assert "fewer training images than its share of a batch" in str(refusal)


def test_augmentation_is_refused_by_its_layer(prepared: PreparedData) -> None:
    refusal = BigDL().unsupported(task(prepared, model=ModelConfig(augmentation=True)))
    assert "layer 'random_flip' (RandomFlip) cannot be translated" in str(refusal)


@pytest.mark.parametrize("name", ["small_cnn", "lesion_cnn", "mini_xception"])
def test_networks_of_the_project_are_not_refused(prepared: PreparedData, name: Network) -> None:
    larger = replace(prepared.summary, image_shape=(64, 64, 3)) if False else prepared
    assert BigDL().unsupported(task(larger, model=ModelConfig(name=name))) is None


def test_half_precision_is_told(prepared: PreparedData) -> None:
    full, half = (
        BigDL().synchronisation(task(prepared, options=BigDLOptions(exchange=exchange)))
        for exchange in ("full", "half")
    )
    assert "16 bits" in half
    assert "16 bits" not in full
