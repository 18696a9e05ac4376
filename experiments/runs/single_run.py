"""One backend and one seed: from an open record to a closed one."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from backends import Backend, BackendError, Epoch
from backends.refusal import refusal
from data import process_environment
from data.errors import DataError
from data.own_folders import temporary_folder
from data.prepared import PreparedData
from experiments.config import RunPlan
from experiments.errors import ExperimentError
from experiments.observer import Observer, RunStoppedError
from experiments.processes.ending import undisturbed
from experiments.processes.supervision import TimeLimitError
from experiments.records import FAILED, FINISHED, KILLED, RunRecord
from experiments.resources import executors
from experiments.resources.executors import ExecutorUse
from experiments.resources.monitor import SERIES, Sample, write_series
from experiments.runs.failures import ended_by
from experiments.runs.judgement import judge
from experiments.runs.launch import Launch
from experiments.runs.task import Result, task_of
from experiments.store_address import absolute_uri
from experiments.tracking import provenance
from experiments.tracking.model import MODEL, NETWORK, data_entry, save_model
from experiments.tracking.outage import ServerAwayError, patiently
from experiments.tracking.outbox import deliver
from experiments.tracking.pending_run import PendingRun
from experiments.tracking.recorder import Recorder, RunStart, now_ms
from experiments.tracking.registration import model_name
from experiments.units import UNIT_TAG

#: Metrics by epoch, and what backends call them.
_BY_EPOCH = {
    "train.loss": "loss",
    "validation.loss": "validation_loss",
    "train.epoch_s": "seconds",
}


_EPOCH = tuple(item.name for item in fields(Epoch))


@dataclass
class _Outcome:
    """How a run went, as it becomes known."""

    status: str = FAILED
    reason: str = ""
    result: Result | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    samples: tuple[Sample, ...] = ()
    #: As they were told while the run was under way.
    epochs: list[dict[str, Any]] = field(default_factory=list)


class SingleRun:
    """One backend and one seed."""

    def __init__(
        self,
        plan: RunPlan,
        backend: Backend,
        data: PreparedData,
        recorder: Recorder,
        observer: Observer,
        parent: str | None = None,
        *,
        outbox: Path,
        name: str = "",
        tags: Mapping[str, str] = MappingProxyType({}),
        checkpoints: Path | None = None,
    ) -> None:
        """Make ready; ``name`` and ``tags`` are of the record, beside what every record has.

        What ``checkpoints`` holds is gone on with; without the folder nothing is kept. A record
        whose server has gone away waits in ``outbox``.
        """
        self.outbox = outbox
        self.checkpoints = checkpoints
        self.parent = parent
        self.name = name or f"{plan.backend}-seed{plan.seed}"
        self.tags = tags
        self.plan = plan
        self.backend = backend
        self.data = data
        self.recorder = recorder
        self.observer = observer
        self.task = task_of(plan, data, backend)
        self.outcome = _Outcome()
        self.run_id = ""
        #: Sentence about a record that could not be closed as it should.
        self.kept = ""
        #: Of a run whose server was away when it began.
        self.start: RunStart | None = None

    def run(self) -> RunRecord:
        """Open the record, train, judge, close the record whatever happened."""
        with temporary_folder("run") as own:
            folder, artifacts = own / "work", own / "artifacts"
            folder.mkdir()
            artifacts.mkdir()
            interrupt: BaseException | None = None
            try:
                self._open()
                self._attempt(folder, artifacts)
            except (KeyboardInterrupt, SystemExit) as ended:
                self.outcome.status, self.outcome.reason = KILLED, "interrupted by the user"
                interrupt = ended
                raise
            except RunStoppedError as stopped:
                self.outcome.status, self.outcome.reason = KILLED, str(stopped)
            except Exception as error:
                self.outcome.status = FAILED
                self.outcome.reason = f"{type(error).__name__}: {error}"
                if not isinstance(error, (ExperimentError, BackendError, DataError)):
                    raise
            finally:
                with undisturbed(then_end=interrupt is None):
                    record = self._close(folder, artifacts)
                    if interrupt is not None:
                        interrupt.add_note(self._closed())
        self.observer.run_ends(record)
        return record

    def _open(self) -> None:
        """Open the record; with the server away too long, the run goes on and is opened later."""
        start = self.recorder.run_start(self.name, self.plan.flat(), self._tags(), self.parent)
        try:
            # A run that was made and whose id is not known here could not be closed.
            with undisturbed(then_end=True):
                self.run_id = patiently(
                    lambda: self.recorder.start_run(start),
                    self.recorder.uri,
                    self.observer.record_waits,
                )
        except ServerAwayError as away:
            self.start = start
            self.observer.record_waits(f"{away}: the run starts without it")

    def _attempt(self, folder: Path, artifacts: Path) -> None:
        if (reason := refusal(self.backend, self.task)) is not None:
            self._refuse(reason)
            return
        self.observer.run_starts(
            self.plan.backend,
            self.plan.seed,
            self.backend.synchronisation(self.task),
            self.data.rows("train"),
        )
        self._train(folder)
        result = self._read_result(folder)
        if result.status == "refused":
            self._refuse(result.reason)
            return
        if result.status != "finished":
            self.outcome.reason = result.reason
            return
        self.observer.waits("scoring the predictions")
        judgement = judge(self.plan, self.data, result, folder, artifacts)
        self.outcome.metrics |= judgement.metrics
        self.outcome.notes += judgement.notes
        self.outcome.status, self.outcome.reason = FINISHED, ""

    def _refuse(self, reason: str) -> None:
        self.outcome.reason = f"refused: {reason}"
        self.outcome.tags["refused"] = "true"

    def _train(self, folder: Path) -> None:
        """Start cluster and worker process, watch them, take them down."""
        launch = Launch(
            self.plan, self.backend, self.data, folder, self.checkpoints, self.observer.note
        )
        try:
            launch.run(self._hear, on_poll=self.observer.poll)
        except TimeLimitError as error:
            self.outcome.reason = str(error)
        else:
            if launch.status is not None and launch.status < 0:
                self.outcome.reason = ended_by("the driver process", launch.status)
        finally:
            self.outcome.metrics["time.total_s"] = launch.seconds
            self.outcome.metrics |= launch.resources()
            cluster = executors.METHOD if self._on_cluster else ""
            self.outcome.tags["resources.method"] = launch.method + cluster
            self.outcome.tags["network"] = launch.network
            self.outcome.notes += launch.notes
            self.outcome.samples = launch.monitor.samples

    def _hear(self, event: dict[str, Any]) -> None:
        if event["event"] == "epoch":
            self.outcome.epochs.append({key: event[key] for key in _EPOCH})
        self.observer.event(event)

    def _read_result(self, folder: Path) -> Result:
        path = folder / "result.json"
        if path.exists():
            result = Result.model_validate_json(path.read_text())
        else:
            reason = self.outcome.reason or (
                f"the worker process ended without a result: {_last_line(folder / 'worker.log')}"
            )
            result = Result(status="failed", reason=reason)
        self.outcome.result = result
        self.outcome.notes += result.notes
        if result.resumed_after:
            self.outcome.tags["resumed_after_epoch"] = str(result.resumed_after)
            self.outcome.notes.append(
                f"Went on after epoch {result.resumed_after} of an earlier process: total time and "
                "resources are of the part after it, training seconds of all epochs."
            )
        self._add_executors(result.executors)
        return result

    def _add_executors(self, use: ExecutorUse | None) -> None:
        """Add what executors on other machines have used to what was seen on this one."""
        if not self._on_cluster:
            return
        if use is None:
            self.outcome.notes.append(
                "Resources are those of the driver alone: its executors have not told theirs."
            )
            return
        metrics = self.outcome.metrics
        for name, value in use.model_dump(exclude={"executors"}).items():
            metrics[f"resources.executors_{name}"] = float(value)
            metrics[f"resources.{name}"] += float(value)
        if not use.peak_memory_bytes:
            self.outcome.notes.append("Spark told no memory of its executors: it is the driver's.")

    @property
    def _on_cluster(self) -> bool:
        return self.backend.needs_spark and self.plan.experiment.spark.has_own_executors

    def _tags(self) -> dict[str, str]:
        here = not self.plan.experiment.spark.has_own_executors
        return {
            "backend": self.plan.backend,
            "synchronisation": self.backend.synchronisation(self.task),
            "data.fingerprint": self.data.summary.fingerprint,
            "split.checksum": self.data.summary.split_checksum,
            UNIT_TAG: self.data.summary.unit,
            "code.commit": provenance.code_commit(),
            "synthetic": str(self.data.summary.synthetic).lower(),
            "platform": self.plan.experiment.platform,
            "effective_batch_size": str(self.task.worker_batch_size * self.task.workers),
            "environment.set_aside": "; ".join(process_environment.overridden(here=here)) or "none",
            **self.tags,
            **{
                f"versions.{name}": version
                for name, version in provenance.versions(self.backend.packages).items()
            },
        }

    @property
    def _keeps_model(self) -> bool:
        """Whether the network is one that somebody may want to use: no trial of a search."""
        return self.outcome.status == FINISHED and self.plan.evaluation_split == "test"

    def _close(self, folder: Path, artifacts: Path) -> RunRecord:
        """Write everything that is known and end the run."""
        outcome, recorder = self.outcome, self.recorder
        # A run that was ended from outside has told its epochs and left no result.
        result = outcome.result or Result(status="failed", epochs=outcome.epochs)
        tags = {
            **outcome.tags,
            "initial_weights.checksum": result.initial_weights_checksum or "none",
            "notes": "\n".join(outcome.notes),
        }
        try:
            if self._is_opened:
                self.observer.waits("writing the record")
                self._gather(result, folder, artifacts)
                pending = self._parcel(result, tags, (artifacts / MODEL).exists())
                wait = self.observer.record_waits
                self.kept = deliver(pending, artifacts, recorder, self.outbox, wait)
                outcome.notes += [self.kept] if self.kept else []
        except Exception as error:  # a full disk, a server that does not take the record
            if outcome.status == FINISHED:
                outcome.status = FAILED
                outcome.reason = f"the record is incomplete: {error}"
            self.kept = f"the record is incomplete: {error}"
            if self.run_id:
                with suppress(Exception):  # the first error says what there is to say
                    recorder.close(self.run_id, outcome.status, outcome.reason)
        return RunRecord(
            experiment=self.plan.experiment.name,
            backend=self.plan.backend,
            seed=self.plan.seed,
            workers=self.plan.experiment.workers,
            run_id=self.run_id,
            tracking_uri=recorder.uri,
            status=outcome.status,
            reason=outcome.reason,
            refused=outcome.tags.get("refused") == "true",
            metrics=outcome.metrics,
            tags={**self._tags(), **tags},
            epochs=result.epochs,
            notes=outcome.notes,
            traceback=result.traceback,
        )

    def _closed(self) -> str:
        """Return what has become of the record, for whoever has interrupted the run."""
        usual = f"recorded as {self.outcome.status}"
        what = self.kept or (usual if self._is_opened else "stopped before it was recorded")
        return f"{self.plan.backend}, seed {self.plan.seed}: {what}"

    @property
    def _is_opened(self) -> bool:
        """Whether there is a record to close, be it one that its server does not have yet."""
        return bool(self.run_id) or self.start is not None

    def _gather(self, result: Result, folder: Path, artifacts: Path) -> None:
        """Put into ``artifacts`` what the record keeps of the run's ``folder``."""
        (artifacts / "plan.json").write_text(self.plan.model_dump_json(indent=2))
        (artifacts / "split.json").write_text(self.data.manifest.to_json())
        for name in ("worker.log", "predictions.parquet"):
            if (folder / name).exists():
                shutil.copy2(folder / name, artifacts / name)
        write_series(self.outcome.samples, artifacts / SERIES)
        if result.traceback:
            (artifacts / "traceback.txt").write_text(result.traceback)
        if self._keeps_model and (folder / NETWORK).exists():
            shutil.copy2(folder / NETWORK, artifacts / NETWORK)
            save_model(artifacts / NETWORK, self.data, artifacts / MODEL)

    def _parcel(self, result: Result, tags: dict[str, str], model: bool) -> PendingRun:
        outcome, experiment = self.outcome, self.plan.experiment
        return PendingRun(
            tracking_uri=absolute_uri(self.recorder.uri),
            run_id=self.run_id,
            start=self.start,
            status=outcome.status,
            reason=outcome.reason,
            metrics=outcome.metrics,
            steps={
                name: {e["number"]: e[key] for e in result.epochs if e[key] is not None}
                for name, key in _BY_EPOCH.items()
            },
            tags=tags,
            data=data_entry(self.data, self.plan.evaluation_split),
            model_name=model_name(experiment.name, self.plan.backend) if model else None,
            class_names=self.data.class_names,
            model=MODEL,
            ended_ms=now_ms(),
        )


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1][:300] if lines else "it wrote nothing"
