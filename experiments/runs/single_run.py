"""One backend and one seed: the record is opened, a network is trained, the record is closed."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from backends import Backend
from backends.refusal import refusal
from data import process_environment
from data.errors import SparkdlError
from data.own_folders import temporary_folder
from data.prepared import PreparedData
from experiments.colors import color_of
from experiments.config import RunPlan
from experiments.observer import Observer, RunStoppedError
from experiments.processes.ending import undisturbed
from experiments.records import FAILED, FINISHED, KILLED, RunRecord
from experiments.runs.closing import closing_tags, gather, pending_run, result_of
from experiments.runs.judgement import judge
from experiments.runs.outcome import Outcome
from experiments.runs.task import task_of
from experiments.runs.training import Training
from experiments.tracking import provenance
from experiments.tracking.outage import ServerAwayError, patiently
from experiments.tracking.outbox import deliver
from experiments.tracking.recorder import Recorder, RunStart
from experiments.units import UNIT_TAG

#: MLflow's tag for the color of a run in tables and charts.
_COLOR = "mlflow.runColor"


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
        """Prepare the run; nothing starts.

        Parameters
        ----------
        parent
            Id of the parent run.
        outbox
            Folder in which the record waits if its server is unreachable.
        name, tags
            Name of the record, and tags in addition to those of every record.
        checkpoints
            Folder from which training resumes; None keeps no checkpoints.
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
        self.outcome = Outcome()
        self.run_id = ""
        #: Sentence that reports a record that could not be closed as usual; empty otherwise.
        self.kept = ""
        #: The run's start, if its server was unreachable then.
        self.start: RunStart | None = None

    def run(self) -> RunRecord:
        """Open the record, train, score, and close the record in every case."""
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
                if not isinstance(error, SparkdlError):
                    raise
            finally:
                with undisturbed(then_end=interrupt is None):
                    record = self._close(folder, artifacts)
                    if interrupt is not None:
                        interrupt.add_note(self._closed())
        self.observer.run_ends(record)
        return record

    def _open(self) -> None:
        """Open the record; if the server stays unreachable, the run starts without it."""
        start = self.recorder.run_start(self.name, self.plan.flat(), self._tags(), self.parent)
        try:
            # A run that was created and whose id is not known here could not be closed.
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
        """Train and score, unless the backend refuses the task."""
        outcome = self.outcome
        if (reason := refusal(self.backend, self.task)) is not None:
            outcome.refuse(reason)
            return
        self.observer.run_starts(
            self.plan.backend,
            self.plan.seed,
            self.backend.synchronisation(self.task),
            self.data.rows("train"),
        )
        training = Training(self.plan, self.backend, self.data, self.observer, outcome)
        result = training.run(folder, self.checkpoints)
        if result.status == "refused":
            outcome.refuse(result.reason)
            return
        if result.status != "finished":
            outcome.reason = result.reason
            return
        self.observer.waits("scoring the predictions")
        judgement = judge(self.plan, self.data, result, folder, artifacts)
        outcome.metrics |= judgement.metrics
        outcome.tags |= judgement.tags
        outcome.notes += judgement.notes
        outcome.status, outcome.reason = FINISHED, ""

    def _tags(self) -> dict[str, str]:
        here = not self.plan.experiment.spark.has_own_executors
        return {
            "backend": self.plan.backend,
            _COLOR: color_of(self.plan.backend),
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
            **{f"machine.{name}": value for name, value in provenance.machine().items()},
            **{
                f"versions.{name}": version
                for name, version in provenance.versions(self.backend.packages).items()
            },
        }

    def _close(self, folder: Path, artifacts: Path) -> RunRecord:
        """Write everything that is known and end the run."""
        outcome, recorder = self.outcome, self.recorder
        try:
            if self._is_opened:
                self.observer.waits("writing the record")
                gather(self.plan, self.data, outcome, folder, artifacts, self.run_id)
                pending = pending_run(
                    self.plan,
                    self.data,
                    outcome,
                    artifacts,
                    uri=recorder.uri,
                    run_id=self.run_id,
                    start=self.start,
                )
                wait = self.observer.record_waits
                self.kept = deliver(pending, artifacts, recorder, self.outbox, wait)
                outcome.notes += [self.kept] if self.kept else []
        except Exception as error:  # a full disk, a server that refuses the record
            if outcome.status == FINISHED:
                outcome.status = FAILED
                outcome.reason = f"the record is incomplete: {error}"
            self.kept = f"the record is incomplete: {error}"
            if self.run_id:
                with suppress(Exception):  # the first error is the one to report
                    recorder.close(self.run_id, outcome.status, outcome.reason)
        return self._record()

    def _record(self) -> RunRecord:
        outcome, result = self.outcome, result_of(self.outcome)
        return RunRecord(
            experiment=self.plan.experiment.name,
            backend=self.plan.backend,
            seed=self.plan.seed,
            workers=self.plan.experiment.workers,
            run_id=self.run_id,
            tracking_uri=self.recorder.uri,
            status=outcome.status,
            reason=outcome.reason,
            refused=outcome.refused,
            metrics=outcome.metrics,
            tags={**self._tags(), **closing_tags(outcome)},
            epochs=result.epochs,
            notes=outcome.notes,
            traceback=result.traceback,
        )

    def _closed(self) -> str:
        """Return how the record was closed, for the user who interrupted the run."""
        usual = f"recorded as {self.outcome.status}"
        what = self.kept or (usual if self._is_opened else "stopped before it was recorded")
        return f"{self.plan.backend}, seed {self.plan.seed}: {what}"

    @property
    def _is_opened(self) -> bool:
        """True if there is a record to close, even one that its server does not have yet."""
        return bool(self.run_id) or self.start is not None
