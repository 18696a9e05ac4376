"""The process that makes one run and breaks something: ``python -m chaos.attempt``.

Given a folder with ``job.json``; leaves a event_log there. A process of its own, because one of the
faults kills it, and because who hangs must be ended from outside.
"""

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chaos.event_log import EVENT_LOG, Trigger
from chaos.fault import Fault
from chaos.faults import FAULTS
from chaos.hosts import read_hosts
from chaos.job import JOB, AttemptJob
from chaos.run_under_test import RunUnderTest
from data.entry import begin
from experiments.config import Experiment
from experiments.observer import Observer
from experiments.processes.events import EventWriter
from experiments.records import RunRecord

_TOLD = ("phase", "epoch", "batch")


class Injector(Observer):
    """Writes the event log, and injects the fault when its trigger is reached."""

    def __init__(
        self, fault: Fault | None, trigger: Trigger, target: RunUnderTest, event_log: EventWriter
    ) -> None:
        self._fault, self._trigger, self._target, self._event_log = (
            fault,
            trigger,
            target,
            event_log,
        )
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def run_starts(self, backend: str, seed: int, synchronisation: str, images: int) -> None:
        """Record the time; a fault that is not injected is there from the start."""
        self._event_log.send("run_starts", images=images)
        if self._fault is not None and not self._fault.injects:
            self._event_log.send("injecting")

    def event(self, event: dict[str, Any]) -> None:
        """Record what the driver reports, and start the timer where the trigger asks for it."""
        if event["event"] not in _TOLD:
            return
        # When the driver said so, not when it was heard here.
        self._event_log.send(event["event"], **{k: v for k, v in event.items() if k != "event"})
        due = self._fault is not None and self._fault.injects and self._thread is None
        if due and self._trigger.begins(event):
            seconds = max(0.0, event["time"] + self._trigger.seconds - time.time())
            self._thread = threading.Thread(target=self._strike, args=[seconds], name="fault")
            self._thread.start()

    def record_waits(self, text: str) -> None:
        """Note what is done about a server that is away."""
        self._event_log.send("waits", text=text)

    def run_ends(self, record: RunRecord) -> None:
        """Note the record."""
        self._event_log.send("run_ends", record=record.model_dump(mode="json"))

    def finish(self) -> None:
        """Wait for the fault's end and take back what is left of it."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if self._fault is not None:
            self._fault.finish(self._target)

    def _strike(self, seconds: float) -> None:
        if self._ended.wait(seconds):
            return
        assert self._fault is not None
        self._event_log.send("injecting")
        try:
            self._event_log.send("injected", text=self._fault.inject(self._target))
        except Exception as error:  # the report says that nothing was tried
            self._event_log.send("missed", text=f"{type(error).__name__}: {error}")
        # The kernel ends what a thread has started when the thread ends.
        self._ended.wait()


def run(folder: Path) -> Sequence[RunRecord]:
    """Make the run of ``folder``."""
    from experiments.runs.runner import run_experiment

    job = AttemptJob.model_validate_json((folder / JOB).read_text())
    hosts = read_hosts(job.cluster) if job.cluster else None
    target = RunUnderTest(folder, job.work, job.conditions, hosts)
    fault = FAULTS[job.fault]() if job.fault else None
    injector = Injector(fault, job.trigger, target, EventWriter(folder / EVENT_LOG))
    try:
        changed = fault.prepare(target, job.experiment) if fault else {}
        experiment = Experiment.model_validate(job.experiment.model_dump() | dict(changed))
        return run_experiment(experiment, work=job.work, observer=injector, resume=job.resume)
    finally:
        injector.finish()


if __name__ == "__main__":
    begin()
    run(Path(sys.argv[1]))
