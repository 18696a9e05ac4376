"""The process that executes one run and injects a fault: ``python -m chaos.attempt <folder>``.

It reads ``job.json`` in the folder and writes the event log there. A separate process is used
because some faults kill it, and because a process that hangs must be ended from outside.
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

#: Events of the driver that are copied to the event log.
_LOGGED = ("phase", "epoch", "batch")


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
        """Log the start; a fault that is not injected is present from the start."""
        self._event_log.send("run_starts", images=images)
        if self._fault is not None and not self._fault.injects:
            self._event_log.send("injecting")

    def event(self, event: dict[str, Any]) -> None:
        """Log the event, and start the timer of the fault if it is the event of the trigger."""
        if event["event"] not in _LOGGED:
            return
        # Keeps the time at which the driver sent the event, not that of its receipt.
        self._event_log.send(event["event"], **{k: v for k, v in event.items() if k != "event"})
        due = self._fault is not None and self._fault.injects and self._thread is None
        if due and self._trigger.begins(event):
            seconds = max(0.0, event["time"] + self._trigger.seconds - time.time())
            self._thread = threading.Thread(target=self._inject, args=[seconds], name="fault")
            self._thread.start()

    def record_waits(self, text: str) -> None:
        """Log the message about an unreachable server."""
        self._event_log.send("waits", text=text)

    def run_ends(self, record: RunRecord) -> None:
        """Log the record."""
        self._event_log.send("run_ends", record=record.model_dump(mode="json"))

    def finish(self) -> None:
        """Wait until the fault has ended, and undo its remaining effects."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if self._fault is not None:
            self._fault.finish(self._target)

    def _inject(self, seconds: float) -> None:
        if self._ended.wait(seconds):
            return
        assert self._fault is not None
        self._event_log.send("injecting")
        try:
            self._event_log.send("injected", text=self._fault.inject(self._target))
        except Exception as error:  # the outcome is then "not injected"
            self._event_log.send("missed", text=f"{type(error).__name__}: {error}")
        # The kernel terminates child processes when the thread that started them ends.
        self._ended.wait()


def run(folder: Path) -> Sequence[RunRecord]:
    """Execute the run described by ``job.json`` in ``folder``."""
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
