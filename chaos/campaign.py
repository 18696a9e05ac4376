"""All faults with all backends, one run after the other, each in a separate process."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backends import create
from chaos.event_log import EventLog, Trigger, read_event_log
from chaos.fault import Fault
from chaos.faults import FAULTS
from chaos.hosts import Hosts
from chaos.job import JOB, AttemptJob
from chaos.orphans import Orphans
from chaos.outcome import Attempt, Outcome, StoredRun, Verdict, judge
from chaos.run_under_test import Conditions
from chaos.server import store_of
from data.process_environment import for_spark
from experiments.config import Experiment
from experiments.errors import ExperimentError
from experiments.processes.children import start, stop
from experiments.records import FINISHED

#: Seconds after a run's own time limit at which its process is considered hung: it also prepares
#: data before the run, and closes records and ends processes after it.
_BEYOND_LIMIT = 240.0
_EPOCH_SECONDS = "train.epoch_s"
#: Seconds that a process may take to close its record when the campaign is interrupted.
_GRACE = 20.0


@dataclass(frozen=True)
class Campaign:
    """Settings of a campaign; see :func:`campaign`."""

    experiment: Experiment
    folder: Path
    conditions: Conditions
    hosts: Hosts | None
    report: Callable[[str], None]
    keep: Callable[[Sequence[Outcome]], None]

    def run(self, backends: Sequence[str], faults: Sequence[str]) -> list[Outcome]:
        """Return an outcome for each backend and fault."""
        outcomes: list[Outcome] = []
        for name in backends:
            for outcome in self._against(name, [FAULTS[fault] for fault in faults]):
                outcomes.append(outcome)
                self.keep(outcomes)
        return outcomes

    def _against(self, backend: str, faults: Sequence[type[Fault]]) -> Iterator[Outcome]:
        """Execute the undisturbed run of ``backend``, then one for each applicable fault."""
        reference: Attempt | None = None
        for fault in faults:
            if skip_reason := fault().skip_reason(create(backend), self.hosts):
                yield Outcome(backend, fault.name, Verdict.DOES_NOT_APPLY, skip_reason)
                continue
            reference = reference or self._undisturbed(backend)
            if not reference.finished:
                yield Outcome(backend, fault.name, Verdict.NOT_INJECTED, self._unfit(reference))
                continue
            self.report(f"{backend}: {fault.title}")
            yield self._try(backend, fault, reference.event_log)

    def _undisturbed(self, backend: str) -> Attempt:
        """Execute the run with which the others are compared."""
        self.report(f"{backend}: undisturbed")
        return self._attempt(self.folder / backend / "undisturbed", backend, None, Trigger())

    def _unfit(self, reference: Attempt) -> str:
        reason = reference.record.reason if reference.record else f"see the logs in {self.folder}"
        return f"the run fails even without a fault: {reason}"

    def _try(self, backend: str, fault: type[Fault], reference: EventLog) -> Outcome:
        place = self.folder / backend / fault.name
        attempt = self._attempt(place, backend, fault, reference.middle, reference)
        resumed = None
        injected = attempt.event_log.injected is not None
        # --resume would close the records that the command itself should have closed.
        left_open = fault.closes_record and any(
            run.left_open for run in self._stored(place, backend, fault)
        )
        if injected and attempt.ended and fault.resumes and not attempt.finished and not left_open:
            self.report(f"{backend}: {fault.title}, --resume")
            resumed = self._attempt(place, backend, fault, None, reference)
        stored = self._stored(place, backend, fault)
        made = create(backend)
        options = made.options(**self.experiment.backend_options.get(backend, {}))
        repeats = made.repeats(options)
        return judge(backend, fault, reference, attempt, resumed, stored, repeats=repeats)

    def _attempt(
        self,
        place: Path,
        backend: str,
        fault: type[Fault] | None,
        trigger: Trigger | None,
        reference: EventLog | None = None,
    ) -> Attempt:
        """Execute one run in a separate process; without a ``trigger``, resume an earlier one."""
        resume = trigger is None
        folder = place / ("resumed" if resume else "run")
        folder.mkdir(parents=True)
        job = AttemptJob(
            experiment=self._experiment(backend, fault),
            work=self.folder / "work",
            fault=None if resume or fault is None else fault.name,
            trigger=trigger or Trigger(),
            conditions=self.conditions,
            cluster=self.hosts.folder if self.hosts else None,
            resume=resume,
        )
        (folder / JOB).write_text(job.model_dump_json(indent=1))
        ended, left = self._make(folder, job.experiment.time_limit + _BEYOND_LIMIT)
        event_log = read_event_log(folder)
        return Attempt(
            event_log=event_log,
            ended=ended,
            left=left,
            difference=self._difference(reference, event_log) if reference else None,
        )

    def _make(self, folder: Path, limit: float) -> tuple[bool, tuple[int, ...]]:
        """Run the process of ``folder``.

        Returns
        -------
        tuple of bool and tuple of int
            True if the process ended within ``limit`` seconds, and the ids of orphaned processes.
        """
        command = [sys.executable, "-m", "chaos.attempt", str(folder.absolute())]
        if self.hosts is not None:
            command = [*self.hosts.driver_command, *command]
        orphans = Orphans(self.hosts)
        environment = {**for_spark(), **orphans.mark}
        child = start(command, folder / "attempt.log", environment)
        try:
            try:
                child.wait(limit)
            except subprocess.TimeoutExpired:
                return False, ()
            finally:
                if self.hosts is not None:
                    self.hosts.heal()
            return True, orphans.wait()
        finally:
            stop([child], grace=_GRACE)

    def _experiment(self, backend: str, fault: type[Fault] | None) -> Experiment:
        name = f"{self.experiment.name}-{fault.name if fault else 'undisturbed'}"
        return self.experiment.model_copy(
            update={
                "name": name,
                "backends": (backend,),
                "seeds": self.experiment.seeds[:1],
                "tracking_uri": store_of(self.folder),
                "artifacts": str((self.folder / "artifacts").absolute()),
            }
        )

    def _stored(self, place: Path, backend: str, fault: type[Fault]) -> list[StoredRun]:
        """Return the runs of a backend and fault that MLflow has stored."""
        from experiments.tracking.recorder import Recorder

        name = self._experiment(backend, fault).name
        store = store_of(place / "run" if fault.has_own_records else self.folder)
        recorder = Recorder(store, name, str(self.folder / "artifacts"))
        return [
            StoredRun(
                run.info.run_id,
                run.info.status,
                run.data.tags.get("status_reason", ""),
                dict(run.data.metrics),
                recorder.steps(run.info.run_id, _EPOCH_SECONDS),
            )
            for run in recorder.runs({"backend": backend})
        ]

    def _difference(self, reference: EventLog, event_log: EventLog) -> float | None:
        """Return the largest difference of the probabilities of two runs, None without them."""
        tables = [self._predictions(one) for one in (reference, event_log)]
        if tables[0] is None or tables[1] is None:
            return None
        return float(np.abs(tables[0] - tables[1]).max())

    def _predictions(self, event_log: EventLog) -> np.ndarray | None:
        import pandas as pd

        record = event_log.record
        if record is None or record.status != FINISHED or not record.run_id:
            return None
        paths = [*self.folder.rglob(f"{record.run_id}/artifacts/predictions.parquet")]
        if not paths:
            return None
        table = pd.read_parquet(paths[0])
        columns = [name for name in table if str(name).startswith("probability_")]
        return table[columns].to_numpy()


def campaign(
    experiment: Experiment,
    backends: Sequence[str],
    faults: Sequence[str],
    folder: Path,
    *,
    conditions: Conditions | None = None,
    hosts: Hosts | None = None,
    report: Callable[[str], None] = lambda _: None,
    keep: Callable[[Sequence[Outcome]], None] = lambda _: None,
) -> list[Outcome]:
    """Inject every fault into a run of every backend.

    Parameters
    ----------
    experiment
        Experiment to train; its backends, store and all seeds except the first are ignored.
    backends
        Names of the backends.
    faults
        Names of the faults.
    folder
        New or empty folder for records, data, logs and event logs of all runs.
    conditions
        Severity of the faults.
    hosts
        Hosts of a cluster; None trains on an embedded cluster.
    report
        Called with a description of each run before it starts.
    keep
        Called with all outcomes so far after each one.

    Returns
    -------
    list of Outcome
        One outcome for each backend and fault.

    Raises
    ------
    ExperimentError
        If the folder is not empty, or a host of the cluster does not reconnect.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise ExperimentError(f"{folder} is not empty: name a new folder with --output")
    folder.mkdir(parents=True, exist_ok=True)
    whole = Campaign(experiment, folder, conditions or Conditions(), hosts, report, keep)
    return whole.run(backends, faults)
