"""The interface between the runner and what shows a run: a terminal, a notebook or nothing."""

from collections.abc import Sequence
from typing import Any

from experiments.config import Experiment, RunPlan
from experiments.records import RunRecord


class RunStoppedError(Exception):
    """Raised by an observer to end the run that it watches; the message is the reason."""


class Observer:
    """Listens to nothing; subclasses override what they show."""

    def experiment_starts(self, experiment: Experiment, notes: list[str]) -> None:
        """The plan is valid and recording is possible; ``notes`` say what is unusual."""

    def data_read(self, lines: Sequence[str]) -> None:
        """Names and tables of the data are read; ``lines`` say what they were taken to be."""

    def data_progress(self, done: int, total: int) -> None:
        """``done`` of ``total`` images are prepared."""

    def data_ready(self, prepared: Any) -> None:
        """The prepared data set is open and checked."""

    def comparison_starts(self, plans: Sequence[RunPlan], kept: Sequence[RunRecord]) -> None:
        """Several runs will be made; ``kept`` are finished already and not repeated."""

    def comparison_ends(self, records: Sequence[RunRecord]) -> None:
        """All runs of a comparison are over."""

    def study_starts(self, runs: Sequence[tuple[str, int | None]]) -> None:
        """Several experiments follow one another.

        ``runs`` has the backend and the number of training images of each of their runs, None for
        all images.
        """

    def warm_up_starts(self, backend: str, number: int, total: int) -> None:
        """``backend`` is started without training, as the ``number``-th of ``total``."""

    def run_starts(self, backend: str, seed: int, synchronisation: str, images: int) -> None:
        """A run begins; an epoch has ``images`` images."""

    def note(self, text: str) -> None:
        """A reader of the record should know ``text``, and it is known before the run ends."""

    def event(self, event: dict[str, Any]) -> None:
        """The worker process told something: a phase, a batch, an epoch."""

    def waits(self, what: str) -> None:
        """Something beside training begins that may take seconds: ``what`` in a few words."""

    def poll(self) -> None:
        """Called ten times a second while a run is under way."""

    def record_waits(self, text: str) -> None:
        """The record cannot be written now; ``text`` says what is done about it."""

    def ends(self) -> None:
        """Nothing more will happen, for whatever reason."""

    def run_ends(self, record: RunRecord) -> None:
        """A run is over and its record closed."""
