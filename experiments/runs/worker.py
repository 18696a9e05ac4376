"""Worker process that trains: one run, one Spark driver, one result folder.

The process is started as ``python -m experiments.runs.worker <folder>``. It reads ``job.json``,
logs its progress to ``events.jsonl`` and writes ``result.json``, the predictions of the evaluated
and of the validation images, and the network as ``model.keras`` and in OpenVINO's form. Results are
exchanged through files because a framework may end this process.
"""

import json
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backends import Backend, Epoch, FitResult, RunContext, TrainingTask, create
from backends.checkpoints import CheckpointFolder
from backends.refusal import network_refusal
from data.config import DataConfig
from data.prepared import PreparedData, open_prepared
from experiments.processes.events import EventWriter
from experiments.resources.executors import ExecutorUse, executor_use
from experiments.runs.failures import plain_reason
from experiments.runs.saving import save
from experiments.runs.task import (
    PREDICTIONS,
    VALIDATION_PREDICTIONS,
    Job,
    Result,
    task_of,
)
from models import checksum

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: Minimum number of seconds between two progress events within an epoch.
_PROGRESS_INTERVAL = 0.25


class Worker:
    """Execution of one run from start to end, with separately timed phases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job = Job.model_validate_json((folder / "job.json").read_text())
        self.events = EventWriter(folder / "events.jsonl")
        self.times: dict[str, float] = {}
        self.session: SparkSession | None = None
        #: Notes on the executors for the record.
        self.notes: list[str] = []
        self._last_progress = 0.0

    def run(self) -> Result:
        """Train, predict, and write the predictions and the model."""
        plan = self.job.plan
        backend = create(plan.backend)
        with self.phase("load"):
            data = open_prepared(self.job.data)
            if plan.evaluation_split == "validation":
                data = data.without_test()
            task = task_of(plan, data, backend)
        if (reason := network_refusal(backend, task)) is not None:
            return Result(status="refused", reason=reason, times=self.times)
        with self.phase("spark_start"):
            self._start(backend, task)
            if backend.trains == "network":
                task = self._packed(task)
        if self.job.rehearsal:
            return Result(status="finished", times=self.times)
        context = RunContext(
            spark=self.session,
            folder=self.folder,
            expected_checksum=lambda: checksum(task.build_model().get_weights()),
            on_epoch=self._report_epoch,
            on_batch=self._report_batch,
            checkpoints=self._checkpoints(),
        )
        kept = context.checkpoint()
        for epoch in kept.epochs if kept else ():
            self._report_epoch(epoch)
        with self.phase("fit"):
            fitted = backend.fit(task, context)
        resumed_after = kept.epoch if kept else 0
        self._split_fit_time(fitted, resumed_after)
        with self.phase("predict"):
            probabilities = backend.predict(task, fitted.weights, context)
        self._write_predictions(data, probabilities, PREDICTIONS)
        executors = self._executor_use(task)
        if plan.evaluation_split == "test":
            predicted = None
            if backend.trains != "nothing" and data.rows("validation"):
                with self.phase("predict_validation"):
                    choosing = replace(task, data=data.without_test())
                    predicted = backend.predict(choosing, fitted.weights, context)
                self._write_predictions(choosing.data, predicted, VALIDATION_PREDICTIONS)
            if context.initial_weights_checksum is not None:
                with self.phase("save_model"):
                    self._save_model(task, fitted, predicted)
        return Result(
            status="finished",
            times=self.times,
            epochs=[vars(epoch) for epoch in fitted.epochs],
            samples_seen=fitted.samples_seen,
            steps=fitted.steps,
            notes=[*self.notes, *fitted.notes, *filter(None, [context.checkpoint_failure])],
            resumed_after=resumed_after,
            initial_weights_checksum=context.initial_weights_checksum,
            executors=executors,
        )

    def _checkpoints(self) -> CheckpointFolder | None:
        folder = self.job.checkpoints
        return CheckpointFolder(folder) if folder else None

    def close(self) -> None:
        """Stop Spark."""
        if self.session is not None:
            self.session.stop()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Report the start of a phase and measure its duration."""
        self.events.send("phase", name=name)
        started = time.perf_counter()
        yield
        self.times[name] = time.perf_counter() - started

    def _start(self, backend: Backend, task: TrainingTask) -> None:
        """Start Spark and import the framework concurrently; each takes seconds on one core."""
        if self.job.master is None:
            backend.warm_up(task.seed)
            return
        # Imported before the thread starts: of two threads that import PySpark at the same time,
        # one may find it half initialized.
        import pyspark.sql  # noqa: F401

        failures: list[BaseException] = []

        def connect() -> None:
            try:
                self._connect(backend, task)
            except BaseException as error:  # raised in the main thread below
                failures.append(error)

        thread = threading.Thread(target=connect, name="spark-start")
        thread.start()
        backend.warm_up(task.seed)
        thread.join()
        if failures:
            raise failures[0]

    def _connect(self, backend: Backend, task: TrainingTask) -> None:
        from experiments.spark import session

        spark = self.job.plan.experiment.spark
        self.session = session.start(
            spark, str(self.job.master), backend, task, self.folder, self.notes.append
        )

    def _executor_use(self, task: TrainingTask) -> ExecutorUse | None:
        """Return the resource use of a cluster's executors; a failure does not fail the run."""
        if self.session is None or not self.job.plan.experiment.spark.has_own_executors:
            return None
        try:
            return executor_use(self.session, task.workers)
        except Exception:  # the results of training must not be lost
            traceback.print_exc()
            return None

    def _packed(self, task: TrainingTask) -> TrainingTask:
        """Return ``task`` with the network as an archive if executors cannot build it."""
        if not task.model.is_from_files:
            return task
        if task.model.name == "caffe":
            from models.caffe import head_note, read_definition

            classes = len(task.data.class_names)
            note = head_note(read_definition(*task.model.files), classes)
            self.notes += filter(None, [note])
        from models.specification import archive

        return replace(task, archive=archive(task.build_model()))

    def _save_model(
        self, task: TrainingTask, fitted: FitResult, predicted: np.ndarray | None
    ) -> None:
        """Save the trained network, which maps pixels to probabilities, for Keras and OpenVINO."""
        model = task.build_model()
        model.set_weights(fitted.weights)
        if task.model.on_features:
            from models.transfer import with_backbone

            shape = DataConfig.model_validate(task.data.summary.config).image.shape
            model = with_backbone(task.model, model, shape, self.job.plan.experiment.seeds[0])
        save(model, task.data, self.folder, predicted)

    def _split_fit_time(self, fitted: FitResult, resumed_after: int) -> None:
        """Separate training time from validation and from setup by the framework within ``fit``."""
        if fitted.epochs:
            own = sum(epoch.seconds for epoch in fitted.epochs if epoch.number > resumed_after)
            self.times["fit_other"] = max(0.0, self.times["fit"] - own)
            self.times["fit"] = sum(epoch.seconds for epoch in fitted.epochs)

    def _report_epoch(self, epoch: Epoch) -> None:
        self.events.send("epoch", **vars(epoch))

    def _report_batch(self, epoch: int, images: int, loss: float) -> None:
        now = time.monotonic()
        if now - self._last_progress >= _PROGRESS_INTERVAL:
            self._last_progress = now
            self.events.send("batch", number=epoch, images=images, loss=loss)

    def _write_predictions(self, data: PreparedData, probabilities: np.ndarray, file: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        index = data.index("test").select(["image_id", "patient_id", "group", "label"])
        expected = (index.num_rows, len(data.class_names))
        if probabilities.shape != expected:
            raise ValueError(f"predictions have shape {probabilities.shape}, not {expected}")
        if not np.isfinite(probabilities).all():
            raise ValueError("training diverged: predictions are not finite numbers")
        for number, name in enumerate(data.class_names):
            column = pa.array(probabilities[:, number].astype(np.float64))
            index = index.append_column(f"probability_{name}", column)
        pq.write_table(index, self.folder / file)


def main(folder: Path) -> int:
    """Run the job in ``folder`` and return the exit status."""
    worker = Worker(folder)
    try:
        result = worker.run()
    except (Exception, SystemExit) as error:  # some frameworks exit the process
        result = Result(
            status="failed",
            reason=plain_reason(error),
            traceback=traceback.format_exc(),
            times=worker.times,
        )
        traceback.print_exc()
    unfinished = folder / "result.json.unfinished"
    unfinished.write_text(json.dumps(result.model_dump()))
    unfinished.rename(folder / "result.json")
    worker.events.send("end", status=result.status)
    worker.close()
    return 1 if result.status == "failed" else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
