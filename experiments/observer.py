"""The interface between the runner and whatever displays a run, such as a terminal or notebook."""

from collections.abc import Sequence
from typing import Any

from experiments.config import Experiment, RunPlan
from experiments.records import RunRecord


class RunStoppedError(Exception):
    """Raised by an observer to end the current run; the message is the reason."""


class Observer:
    """Base class of observers; its methods do nothing, and subclasses override those they need."""

    def experiment_starts(self, experiment: Experiment, notes: list[str]) -> None:
        """Called when the plan is valid and can be recorded; ``notes`` describe what is unusual."""

    def data_read(self, lines: Sequence[str]) -> None:
        """Called when names and tables of the data are read; ``lines`` describe the result."""

    def data_progress(self, done: int, total: int) -> None:
        """Called when ``done`` of ``total`` images are prepared."""

    def data_ready(self, prepared: Any) -> None:
        """Called when the prepared data set is open and checked."""

    def comparison_starts(self, plans: Sequence[RunPlan], kept: Sequence[RunRecord]) -> None:
        """Called before several runs; those in ``kept`` have finished and are not repeated."""

    def comparison_ends(self, records: Sequence[RunRecord]) -> None:
        """Called when all runs of a comparison have ended."""

    def study_starts(self, runs: Sequence[tuple[str, int | None]]) -> None:
        """Called before a sequence of experiments.

        ``runs`` has the backend and the number of training images of each of their runs, None for
        all images.
        """

    def warm_up_starts(self, backend: str, number: int, total: int) -> None:
        """Called when ``backend`` is started without training, as ``number`` of ``total``."""

    def run_starts(self, backend: str, seed: int, synchronisation: str, images: int) -> None:
        """Called when a run begins whose epochs have ``images`` images."""

    def note(self, text: str) -> None:
        """Called during a run with a remark ``text`` that is also stored in the record."""

    def event(self, event: dict[str, Any]) -> None:
        """Called with each event of the worker process: a phase, a batch, an epoch."""

    def waits(self, what: str) -> None:
        """Called before a step other than training that may take seconds; ``what`` describes it."""

    def poll(self) -> None:
        """Called ten times a second during a run."""

    def record_waits(self, text: str) -> None:
        """Called when the record cannot be written yet; ``text`` states what happens next."""

    def ends(self) -> None:
        """Called last, however the command ends."""

    def run_ends(self, record: RunRecord) -> None:
        """Called when a run has ended and its record is closed."""
