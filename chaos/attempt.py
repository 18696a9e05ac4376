"""The process that makes one run and breaks something: ``python -m chaos.attempt``.

Given a folder with ``job.json``; leaves a diary there. A process of its own, because one of the
faults kills it, and because who hangs must be ended from outside.
"""

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chaos.event_log import DIARY, Moment
from chaos.fault import Fault
from chaos.faults import FAULTS
from chaos.hosts import read_hosts
from chaos.job import JOB, AttemptJob
from chaos.run_under_test import Scene
from data.entry import begin
from experiments.config import Experiment
from experiments.observer import Observer
from experiments.processes.events import EventWriter
from experiments.records import RunRecord

_TOLD = ("phase", "epoch", "batch")


class Injector(Observer):
    """Keeps the diary, and strikes when the moment has come."""

    def __init__(
        self, fault: Fault | None, moment: Moment, scene: Scene, diary: EventWriter
    ) -> None:
        self._fault, self._moment, self._scene, self._diary = fault, moment, scene, diary
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def run_starts(self, backend: str, seed: int, synchronisation: str, images: int) -> None:
        """Note the time; a fault that does not strike is there already."""
        self._diary.send("run_starts", images=images)
        if self._fault is not None and not self._fault.strikes:
            self._diary.send("strikes")

    def event(self, event: dict[str, Any]) -> None:
        """Note what the driver tells, and begin to count where the moment says so."""
        if event["event"] not in _TOLD:
            return
        # When the driver said so, not when it was heard here.
        self._diary.send(event["event"], **{k: v for k, v in event.items() if k != "event"})
        due = self._fault is not None and self._fault.strikes and self._thread is None
        if due and self._moment.begins(event):
            seconds = max(0.0, event["time"] + self._moment.seconds - time.time())
            self._thread = threading.Thread(target=self._strike, args=[seconds], name="fault")
            self._thread.start()

    def record_waits(self, text: str) -> None:
        """Note what is done about a server that is away."""
        self._diary.send("waits", text=text)

    def run_ends(self, record: RunRecord) -> None:
        """Note the record."""
        self._diary.send("run_ends", record=record.model_dump(mode="json"))

    def finish(self) -> None:
        """Wait for the fault's end and take back what is left of it."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if self._fault is not None:
            self._fault.finish(self._scene)

    def _strike(self, seconds: float) -> None:
        if self._ended.wait(seconds):
            return
        assert self._fault is not None
        self._diary.send("strikes")
        try:
            self._diary.send("struck", text=self._fault.strike(self._scene))
        except Exception as error:  # the report says that nothing was tried
            self._diary.send("missed", text=f"{type(error).__name__}: {error}")
        # The kernel ends what a thread has started when the thread ends.
        self._ended.wait()


def run(folder: Path) -> Sequence[RunRecord]:
    """Make the run of ``folder``."""
    from experiments.runs.runner import run_experiment

    job = AttemptJob.model_validate_json((folder / JOB).read_text())
    hosts = read_hosts(job.cluster) if job.cluster else None
    scene = Scene(folder, job.work, job.conditions, hosts)
    fault = FAULTS[job.fault]() if job.fault else None
    injector = Injector(fault, job.moment, scene, EventWriter(folder / DIARY))
    try:
        changed = fault.prepare(scene, job.experiment) if fault else {}
        experiment = Experiment.model_validate(job.experiment.model_dump() | dict(changed))
        return run_experiment(experiment, work=job.work, observer=injector, resume=job.resume)
    finally:
        injector.finish()


if __name__ == "__main__":
    begin()
    run(Path(sys.argv[1]))
