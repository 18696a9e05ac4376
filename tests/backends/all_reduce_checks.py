"""Checks on a real cluster for the frameworks that use the all-reduce loop."""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any, Literal

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from backends.base import FitResult, RunContext, TrainingTask
from backends.keras_local import KerasLocal
from data.config import DataConfig, ImageConfig
from data.ingest import prepare
from data.prepared import PreparedData
from experiments.spark.cluster import Cluster
from models import ModelConfig, OptimizerConfig
from tests.backends.fit_process import FitError, fit, fit_all

Network = Literal["small_cnn", "lesion_cnn", "mini_xception"]
#: Networks with batch normalization equal those of Keras only with one worker, because the
#: statistics are those of each worker's own images.
NETWORKS_BY_WORKERS = [
    pytest.param(("small_cnn", "lesion_cnn"), 2),
    pytest.param(("mini_xception",), 1),
]
#: Maximum time in seconds from the death of a worker to the failure of the run.
DEATH_LIMIT = 60


def task(prepared: PreparedData, **values: Any) -> TrainingTask:
    standard: dict[str, Any] = {
        "data": prepared,
        "model": ModelConfig(),
        "optimizer": OptimizerConfig(name="sgd", learning_rate=0.01),
        "epochs": 1,
        "global_batch_size": 16,
        "workers": 2,
        "seed": 0,
    }
    return TrainingTask(**{**standard, **values})


@pytest.fixture(scope="session")
def even(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """Return data of twelve patients with two images of each class, equally divisible by two."""
    folder = tmp_path_factory.mktemp("even")
    generator = np.random.default_rng(0)
    for number, name in enumerate(("Parasitized", "Uninfected")):
        (folder / "cell_images" / name).mkdir(parents=True)
        for patient, cell in itertools.product(range(1, 13), range(2)):
            pixels = generator.integers(90 * number, 160 + 90 * number, (24, 24, 3), np.uint8)
            file = f"C{patient}P1thinF_IMG_20150604_104722_cell_{2 * number + cell}.png"
            Image.fromarray(pixels).save(folder / "cell_images" / name / file)
    config = DataConfig(
        source=str(folder / "cell_images"),
        layout="malaria",
        image=ImageConfig(height=24, width=24),
    )
    return prepare(config, str(folder / "prepared"))


def full_batch_task(
    prepared: PreparedData, model: Network, workers: int, **values: Any
) -> TrainingTask:
    """Return a task of five epochs, each one step with all images in their order."""
    rows = {shard.rows for shard in prepared.patient_shards("train", workers)}
    assert len(rows) == 1, "the test needs shards of equal size"
    return task(
        prepared,
        model=ModelConfig(name=model, dropout=0.0),
        epochs=5,
        global_batch_size=prepared.rows("train"),
        workers=workers,
        shuffle=False,
        **values,
    )


def assert_five_full_batch_steps_equal_keras(
    backend: str,
    prepared: PreparedData,
    models: Sequence[Network],
    workers: int,
    folder: Path,
    **values: Any,
) -> None:
    tasks = [full_batch_task(prepared, model, workers, **values) for model in models]
    # Unequal class weights in the same session, which change the loss in every framework.
    tasks += [
        replace(asked, imbalance="weights", class_weights=(0.5, 1.5))
        for asked in tasks
        if asked.model.name == "small_cnn"
    ]
    for asked, found in zip(tasks, fit_all(backend, tasks, folder / "run"), strict=True):
        _assert_equal(asked, found, folder)


def _assert_equal(asked: TrainingTask, found: FitResult, folder: Path) -> None:
    expected = KerasLocal().fit(asked, RunContext(spark=None, folder=folder))
    assert found.steps == expected.steps == 5
    assert found.samples_seen == expected.samples_seen
    for one, other in zip(found.weights, expected.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)
    for epoch, reference in zip(found.epochs, expected.epochs, strict=True):
        assert epoch.loss == pytest.approx(reference.loss, abs=1e-4)
        assert epoch.validation_loss == pytest.approx(reference.validation_loss, abs=1e-4)
    start = asked.build_model().get_weights()
    assert max(np.abs(w - s).max() for w, s in zip(found.weights, start, strict=True)) > 1e-3


def assert_lost_worker_fails_the_run(
    backend: str,
    prepared: PreparedData,
    folder: Path,
    kill: Callable[[Cluster], None],
    **values: Any,
) -> None:
    """Check the failure after ``kill`` is called at the end of the first of many epochs."""
    killed: list[float] = []
    seen: set[psutil.Process] = set()

    def inject(cluster: Cluster) -> None:
        if not killed:
            for process in cluster.processes:
                seen.update(psutil.Process(process.pid).children(recursive=True))
            kill(cluster)
            killed.append(time.monotonic())

    asked = task(prepared, epochs=100_000, **values)
    with pytest.raises(
        FitError, match=r"BackendError: worker \d on \S+ died or hung without reporting an error"
    ):
        fit(backend, asked, folder, on_epoch=inject)
    assert time.monotonic() - killed[0] < DEATH_LIMIT
    _, alive = psutil.wait_procs(seen, timeout=20)
    assert not alive, "processes are still running"


def assert_error_of_a_worker_is_reported(
    backend: str, prepared: PreparedData, folder: Path, **values: Any
) -> None:
    """Check the reported error if the last training image, one of worker 1, is truncated."""
    broken = Path(copytree(prepared.uri, folder / "broken"))
    name = prepared.summary.files["train"][-1].name
    table = pq.read_table(broken / name)
    pixels = table.column("pixels").to_pylist()
    pixels[-1] = pixels[-1][:-1]
    number = table.schema.get_field_index("pixels")
    column = pa.array(pixels, table.schema.field(number).type)
    pq.write_table(table.set_column(number, table.schema.field(number), column), broken / name)
    asked = task(replace(prepared, uri=str(broken)), **values)
    with pytest.raises(FitError, match=r"DataError: .*an image does not have the 1728 bytes"):
        fit(backend, asked, folder / "run")
