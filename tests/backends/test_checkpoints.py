"""Resuming from the checkpoint of an earlier process gives the result of an uninterrupted one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.all_reduce.backend import AllReduceOptions
from backends.base import FitResult, RunContext, TrainingTask
from backends.checkpoints import Checkpoint, CheckpointFolder
from backends.epoch import Epoch
from backends.keras_local import KerasLocal
from backends.tensorflowonspark import TensorFlowOnSparkOptions
from data.prepared import PreparedData
from models import ModelConfig, OptimizerConfig
from tests.backends.fit_process import fit_all

EPOCHS = (Epoch(1, 0.75, None, 10, 0.5), Epoch(2, 0.5, 0.625, 10, 0.25))


def task(prepared: PreparedData, **values: Any) -> TrainingTask:
    standard: dict[str, Any] = {
        "data": prepared,
        "model": ModelConfig(dropout=0.25, augmentation=True),
        "optimizer": OptimizerConfig(),
        "epochs": 4,
        "global_batch_size": 16,
        "workers": 2,
        "seed": 0,
    }
    return TrainingTask(**{**standard, **values})


def test_saved_checkpoint_is_loaded_unchanged(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "new")
    assert folder.load() is None
    weights = [np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros(0, np.float32)]
    state = {"optimizer": [np.array(7)], "random": []}
    folder.save(Checkpoint(EPOCHS[:1], [np.ones(1)]))
    folder.save(Checkpoint(EPOCHS, weights, state))
    kept = folder.load()
    assert kept is not None
    assert (kept.epochs, kept.epoch) == (EPOCHS, 2)
    for one, other in zip(kept.weights, weights, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    assert kept.state["optimizer"][0] == 7
    assert [*kept.state["random"]] == []
    folder.clear()
    assert folder.load() is None


def test_half_written_checkpoint_does_not_replace_the_previous_one(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(Checkpoint(EPOCHS[:1], [np.ones(1)]))
    (tmp_path / "checkpoint.npz.unfinished").write_bytes(b"half")
    kept = folder.load()
    assert kept is not None
    assert kept.epoch == 1


def test_training_continues_if_no_checkpoint_can_be_saved(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = CheckpointFolder(tmp_path / "file")
    context = RunContext(spark=None, folder=tmp_path, checkpoints=folder)
    context.keep(EPOCHS, [np.ones(1)])
    assert "Epoch 2 and later epochs were not saved" in context.checkpoint_failure
    assert not context.keeps_checkpoints


def assert_resumes(
    backend: str, asked: TrainingTask, folder: Path, difference: float = 0.0
) -> FitResult:
    """Compare two epochs and two resumed ones with four uninterrupted ones; return the latter."""
    tasks = [replace(asked, epochs=2), asked, asked]
    folders = [folder / "kept", folder / "kept", None]
    _, resumed, whole = fit_all(backend, tasks, folder / "run", checkpoints=folders)
    assert_equal(resumed, whole, difference)
    return whole


def assert_equal(resumed: FitResult, whole: FitResult, difference: float = 0.0) -> None:
    assert [epoch.number for epoch in resumed.epochs] == [1, 2, 3, 4]
    assert (resumed.samples_seen, resumed.steps) == (whole.samples_seen, whole.steps)
    for one, other in zip(resumed.weights, whole.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=difference)
    for epoch, reference in zip(resumed.epochs, whole.epochs, strict=True):
        assert epoch.loss == pytest.approx(reference.loss, abs=difference)
        assert epoch.validation_loss == pytest.approx(reference.validation_loss, abs=difference)


@pytest.mark.long
@pytest.mark.slow
def test_keras_local(prepared: PreparedData, tmp_path: Path) -> None:
    asked = task(prepared)
    results = []
    for epochs, name in ((2, "kept"), (4, "kept"), (4, "other")):
        KerasLocal().warm_up(seed=0)  # as at the start of a process
        folder = CheckpointFolder(tmp_path / name)
        context = RunContext(spark=None, folder=tmp_path, checkpoints=folder)
        results.append(KerasLocal().fit(replace(asked, epochs=epochs), context))
    for one, other in zip(results[1].weights, results[2].weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert [e.loss for e in results[1].epochs] == [e.loss for e in results[2].epochs]
    assert results[1].steps == results[2].steps


@pytest.mark.spark
@pytest.mark.long
@pytest.mark.slow
def test_elephas(prepared: PreparedData, tmp_path: Path) -> None:
    assert_resumes("elephas", task(prepared), tmp_path)


@pytest.mark.spark
@pytest.mark.long
@pytest.mark.slow
def test_all_reduce_through_both_frameworks(prepared: PreparedData, tmp_path: Path) -> None:
    """One framework resumes, fed by Spark, from the checkpoint of the other.

    Early stopping is enabled but does not take effect: the checkpoint also contains the best
    weights so far.
    """
    asked = task(prepared, options=AllReduceOptions(patience=4))
    whole = assert_resumes("spark_tensorflow_distributor", asked, tmp_path)
    half = [replace(asked, epochs=2)]
    folders = [tmp_path / "half"]
    fit_all("spark_tensorflow_distributor", half, tmp_path / "half-run", checkpoints=folders)
    fed = replace(asked, options=TensorFlowOnSparkOptions(input_mode="spark", patience=4))
    (resumed,) = fit_all("tensorflowonspark", [fed], tmp_path / "fed-run", checkpoints=folders)
    assert_equal(resumed, whole)


@pytest.mark.spark
@pytest.mark.long
@pytest.mark.slow
def test_bigdl_resumes_from_the_weights(prepared: PreparedData, tmp_path: Path) -> None:
    """The test uses SGD, because the moments of Adam cannot be read from BigDL and are reset."""
    sgd = OptimizerConfig(name="sgd", learning_rate=0.01)
    plain = task(prepared, model=ModelConfig(dropout=0.0), optimizer=sgd)
    assert_resumes("bigdl", plain, tmp_path)
