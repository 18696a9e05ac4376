"""The middle of a run: its processes train, and their answer becomes part of the outcome."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from backends import Backend, Epoch
from data.prepared import PreparedData
from experiments.config import RunPlan
from experiments.observer import Observer
from experiments.processes.supervision import TimeLimitError
from experiments.resources import executors
from experiments.resources.executors import ExecutorUse
from experiments.runs.failures import ended_by
from experiments.runs.launch import Launch
from experiments.runs.outcome import Outcome
from experiments.runs.task import Result

_EPOCH = tuple(item.name for item in fields(Epoch))


@dataclass(frozen=True)
class Training:
    """Training of one run in processes of its own."""

    plan: RunPlan
    backend: Backend
    data: PreparedData
    observer: Observer
    outcome: Outcome

    def run(self, folder: Path, checkpoints: Path | None) -> Result:
        """Train, and return the answer of the worker process; its figures go into the outcome.

        Parameters
        ----------
        folder
            Folder of the run, in which the worker process writes.
        checkpoints
            Folder for the checkpoint of each epoch, from which training resumes; None keeps none.
        """
        self._launch(folder, checkpoints)
        result = self._read(folder)
        outcome = self.outcome
        outcome.result = result
        outcome.notes += result.notes
        if result.resumed_after:
            outcome.tags["resumed_after_epoch"] = str(result.resumed_after)
            outcome.notes.append(
                f"Training resumed after epoch {result.resumed_after} of an earlier process: total "
                "time and resources are of the part after it, training seconds of all epochs."
            )
        self._add_executors(result.executors)
        # The same in the unit in which charts of MLflow can be read.
        memory = outcome.metrics["resources.peak_memory_bytes"] / 2**20
        outcome.metrics["resources.peak_memory_mib"] = memory
        return result

    def _launch(self, folder: Path, checkpoints: Path | None) -> None:
        """Start cluster and worker process, watch them, and end them."""
        outcome = self.outcome
        launch = Launch(self.plan, self.backend, self.data, folder, checkpoints, self.observer.note)
        try:
            launch.run(self._receive, on_poll=self.observer.poll)
        except TimeLimitError as error:
            outcome.reason = str(error)
        else:
            if launch.status is not None and launch.status < 0:
                outcome.reason = ended_by("the driver process", launch.status)
        finally:
            outcome.metrics["time.total_s"] = launch.seconds
            outcome.metrics |= launch.resources()
            cluster = executors.METHOD if self._on_cluster else ""
            outcome.tags["resources.method"] = launch.method + cluster
            outcome.tags["network"] = launch.network
            outcome.notes += launch.notes
            outcome.samples = launch.monitor.samples

    def _receive(self, event: dict[str, Any]) -> None:
        if event["event"] == "epoch":
            self.outcome.epochs.append({key: event[key] for key in _EPOCH})
        self.observer.event(event)

    def _read(self, folder: Path) -> Result:
        path = folder / "result.json"
        if path.exists():
            return Result.model_validate_json(path.read_text())
        reason = self.outcome.reason or (
            f"the worker process ended without a result: {_last_line(folder / 'worker.log')}"
        )
        return Result(status="failed", reason=reason)

    def _add_executors(self, use: ExecutorUse | None) -> None:
        """Add the resources of executors on other machines to those measured on this one."""
        if not self._on_cluster:
            return
        if use is None:
            self.outcome.notes.append(
                "Resources are those of the driver alone: its executors did not report theirs."
            )
            return
        metrics = self.outcome.metrics
        for name, value in use.model_dump(exclude={"executors"}).items():
            metrics[f"resources.executors_{name}"] = float(value)
            metrics[f"resources.{name}"] += float(value)
        if not use.peak_memory_bytes:
            self.outcome.notes.append(
                "Spark reported no memory of its executors: the peak is that of the driver."
            )

    @property
    def _on_cluster(self) -> bool:
        return self.backend.needs_spark and self.plan.experiment.spark.has_own_executors


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1][:300] if lines else "it wrote nothing"
