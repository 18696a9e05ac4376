"""Progress of runs in a notebook: one line that is updated in place."""

import html
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isnan
from typing import Any, Protocol

from data.activity import duration
from data.config import Unit
from data.prepared import PreparedData
from experiments.cli.pace import Pace, about
from experiments.cli.phases import described
from experiments.config import Experiment, RunPlan
from experiments.observer import Observer
from experiments.records import FINISHED, RunRecord

#: Seconds between two updates of the line.
_INTERVAL = 0.5


class Display(Protocol):
    """A displayed output that can be replaced, as `IPython.display.DisplayHandle`."""

    def update(self, obj: Any) -> None:
        """Replace the output by ``obj``."""


class Line:
    """One line of an output, with a form for notebooks and one for everything else."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(self.text)}</code>"


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


@contextmanager
def without_widgets() -> Iterator[None]:
    """Suppress the warning of tqdm, which MLflow imports, that it has no widgets for notebooks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")
        yield


def notebook_display() -> Display:
    """Return an empty output in the current cell."""
    from IPython.display import display

    handle: Display = display(Line(""), display_id=True)  # type: ignore[no-untyped-call]
    return handle


class NotebookProgress(Observer):
    """Shows the current run, its epoch and the remaining time as one line.

    Parameters
    ----------
    display
        Returns the output that is updated. It is called when the experiment starts.
    clock
        Returns monotonic seconds.
    """

    def __init__(
        self,
        display: Callable[[], Display] = notebook_display,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make, self._clock = display, clock
        self._display: Display | None = None
        self._pace = Pace(clock)
        self._began = clock()
        self._shown_at = float("-inf")
        self._epochs = self._images = 0
        self._total, self._begun = 1, 0
        self._unit: Unit = "patient"
        #: Current run, and what it does.
        self._run = self._step = ""
        self._finished = self._other = 0
        self._stopped = True
        self._is_study = False

    def study_starts(self, runs: Sequence[tuple[str, int | None]]) -> None:
        """Count all of the study's runs."""
        self._is_study, self._total = True, len(runs)
        self._pace.expect(runs)

    def experiment_starts(self, experiment: Experiment, notes: list[str]) -> None:
        """Create the line."""
        self._epochs = experiment.epochs
        if not self._is_study:
            self._total = len(experiment.backends) * len(experiment.seeds)
        self._does("preparing the data")

    def data_progress(self, done: int, total: int) -> None:
        """Show the number of prepared images."""
        self._does(f"preparing the data: {done:,} of {total:,} images", now=done == total)

    def data_ready(self, prepared: PreparedData) -> None:
        """Remember what the images are grouped by."""
        self._unit = prepared.summary.unit
        self._does("opening the record")

    def comparison_starts(self, plans: Sequence[RunPlan], kept: Sequence[RunRecord]) -> None:
        """Count the runs."""
        if not self._is_study:
            self._total = len(plans)
            self._pace.expect([(plan.backend, None) for plan in plans])
        self._begun += len(kept)
        self._finished += len(kept)
        for record in kept:
            self._pace.drop(record.backend)

    def warm_up_starts(self, backend: str, number: int, total: int) -> None:
        """Show which backend is started without training."""
        self._pace.warms_up(backend)
        self._run = ""
        self._does(f"warming up {backend} ({number} of {total})")

    def run_starts(self, backend: str, seed: int, synchronisation: str, images: int) -> None:
        """Show the run."""
        self._begun += 1
        self._images = images
        self._pace.begins(backend, images)
        number = f"run {self._begun} of {self._total}: " if self._total > 1 else ""
        self._run = f"{number}{backend}, seed {seed}: "
        self._does("starting")

    def event(self, event: dict[str, Any]) -> None:
        """Show phases, batches and epochs."""
        if event["event"] == "phase":
            if event["name"] == "fit":
                self._pace.trains()
            self._does(described(event["name"], self._unit))
        elif event["event"] in ("batch", "epoch"):
            self._trains(event)

    def _trains(self, event: dict[str, Any]) -> None:
        number, ended = event["number"], event["event"] == "epoch"
        share = 1.0 if ended else min(event["images"], self._images) / max(1, self._images)
        self._pace.epoch(number - 1 + share, self._epochs, (event.get("seconds") or 0.0) * ended)
        loss = event["loss"]
        known = "" if loss is None or isnan(loss) else f", loss {loss:.4f}"
        self._does(f"training, epoch {number}/{self._epochs}{known}", now=ended)

    def waits(self, what: str) -> None:
        """Show an activity other than training."""
        self._does(what)

    def record_waits(self, text: str) -> None:
        """Show that the record's server is unreachable."""
        self._does(text)

    def run_ends(self, record: RunRecord) -> None:
        """Count the run."""
        if record.refused:
            self._begun += 1
            self._pace.refused(record.backend)
        else:
            self._pace.ends(record.metrics, finished=record.status == FINISHED)
        self._finished += record.status == FINISHED
        self._other += record.status != FINISHED
        self._run = ""
        self._stopped = self._begun < self._total
        self._does("preparing the next run")

    def poll(self) -> None:
        """Update the elapsed time."""
        self._show()

    def ends(self) -> None:
        """Replace the line by a summary."""
        if self._display is None:
            return
        parts = [f"{self._finished} of {self._total} run{'s' * (self._total > 1)} finished"]
        if self._other:
            parts.append(f"{self._other} did not, see the column 'reason'")
        if self._stopped and not self._is_study:
            parts.append("stopped")
        parts.append(duration(self._clock() - self._began))
        self._display.update(Line("; ".join(parts)))

    def _does(self, step: str, *, now: bool = True) -> None:
        self._step = step
        self._show(now=now)

    def _show(self, *, now: bool = False) -> None:
        at = self._clock()
        if not now and at - self._shown_at < _INTERVAL:
            return
        self._shown_at = at
        if self._display is None:
            self._display = self._make()
        times = [f"{duration(at - self._began)} elapsed", about(self._pace.remaining())]
        text = "; ".join(filter(None, [f"{self._run}{self._step}", *times]))
        self._display.update(Line(text))
