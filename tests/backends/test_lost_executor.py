"""Fits whose driver dies, or whose executor dies while Spark itself can retry the task.

The all-reduce backends and BigDL, for which retrying a task is not sufficient, have separate tests
of lost executors.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from backends.base import Options, TrainingTask
from backends.elephas import ElephasOptions
from backends.pandas_udf import PandasUdfOptions
from data.prepared import PreparedData
from data.shards import ShardReader
from experiments.spark.cluster import Cluster
from tests.backends.all_reduce_checks import task
from tests.backends.fit_process import FitError, executors, fit

pytestmark = [
    pytest.mark.spark,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.process_tree,
]


def kill_one(cluster: Cluster) -> None:
    executors(cluster)[0].kill()


def once(act: Callable[[Cluster], None]) -> Callable[[Cluster], None]:
    done: list[Cluster] = []

    def first_time(cluster: Cluster) -> None:
        if not done:
            done.append(cluster)
            act(cluster)

    return first_time


def after(seconds: float, act: Callable[[Cluster], None]) -> Callable[[Cluster], None]:
    return lambda cluster: threading.Timer(seconds, act, [cluster]).start()


def averaged(asked: TrainingTask) -> list[np.ndarray]:
    """Return the weights after local SGD in this process, without Elephas and Spark.

    As documented by Elephas, each shard is trained separately for an epoch, then the weights are
    averaged.
    """
    weights = asked.build_model().get_weights()
    readers = [ShardReader(shard) for shard in asked.data.patient_shards("train", asked.workers)]
    for epoch in range(1, asked.epochs + 1):
        trained = []
        for reader in readers:
            model = asked.compiled_model()
            model.set_weights(weights)
            batches = reader.batches(asked.worker_batch_size, seed=asked.seed, epoch=epoch)
            for pixels, labels in batches:
                model.train_on_batch(pixels, labels)
            trained.append(model.get_weights())
        weights = [np.mean(layer, axis=0) for layer in zip(*trained, strict=True)]
    return weights


def test_synchronous_elephas_loses_nothing_with_an_executor(
    prepared: PreparedData, tmp_path: Path
) -> None:
    asked = task(prepared, epochs=3)
    fitted = fit("elephas", asked, tmp_path, on_epoch=once(kill_one))
    for one, other in zip(fitted.weights, averaged(asked), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_tasks_on_all_executors_survive_the_loss_of_one(
    prepared: PreparedData, tmp_path: Path
) -> None:
    fit("tests.experiments.misbehaving:LosingOne", task(prepared), tmp_path)


@pytest.mark.parametrize(
    ("backend", "options"),
    [
        ("elephas", ElephasOptions(mode="asynchronous")),
        ("pandas_udf", PandasUdfOptions(preset="seed")),
    ],
)
def test_fit_ends_with_weights(
    prepared: PreparedData, tmp_path: Path, backend: str, options: Options
) -> None:
    killed: list[bool] = []

    def kill(cluster: Cluster) -> None:
        kill_one(cluster)
        killed.append(True)

    asked = task(prepared, epochs=120, options=options)
    fitted = fit(backend, asked, tmp_path, on_fit=after(5, kill))
    assert killed
    assert all(np.isfinite(weight).all() for weight in fitted.weights)
    assert any("executor was lost" in note for note in fitted.notes) == (backend == "elephas")


def test_end_of_the_drivers_java_process_is_the_reported_reason(
    prepared: PreparedData, tmp_path: Path
) -> None:
    """This backend first receives a consequence: the connections of the workers break."""
    killed: list[float] = []
    below: list[psutil.Process] = []

    def matching(candidates: list[psutil.Process], words: str) -> list[psutil.Process]:
        found = []
        for one in candidates:
            with suppress(psutil.ZombieProcess, psutil.NoSuchProcess):  # the process just ended
                if words in " ".join(one.cmdline()):
                    found.append(one)
        return found

    def kill(_: Cluster) -> None:
        # A Java process that prepared the data of the tests may still be running.
        (driver,) = matching(psutil.Process().children(), "tests.backends.fit_process")
        below.extend([driver, *driver.children(recursive=True)])
        (java,) = matching(below, "SparkSubmit")
        java.kill()
        killed.append(time.monotonic())

    asked = task(prepared, epochs=100_000)
    with pytest.raises(FitError, match="the driver's Java process was ended by SIGKILL"):
        fit("tensorflowonspark", asked, tmp_path, on_epoch=once(kill))
    assert time.monotonic() - killed[0] < 40
    assert not psutil.wait_procs(below, timeout=20)[1]
