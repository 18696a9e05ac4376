"""Terminal output of a hyperparameter search."""

import threading
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console as RichConsole

from data.activity import SILENCE, Activity
from experiments.cli.pace import about
from experiments.tuning.own_settings import is_own
from experiments.tuning.watching import SearchObserver

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_PHASES = {
    "load": "opening the data",
    "spark_start": "starting Spark and importing the framework",
    "fit": "training",
    "predict": "predicting the validation images",
}


class SearchConsole(SearchObserver):
    """Prints the plan and each completed trial; shows the trials in progress."""

    def __init__(
        self,
        out: RichConsole,
        *,
        backend: str,
        trials: int,
        jobs: int,
        objective: str,
        epochs: int,
        silence: float = SILENCE,
    ) -> None:
        self._out = out
        self._backend, self._trials, self._jobs = backend, trials, jobs
        self._objective, self._epochs = objective, epochs
        self._activity = Activity(out, silence=silence, outlook=self._outlook)
        #: Current activity of each trial in progress, by trial number.
        self._under_way: dict[int, str] = {}
        self._missing = self._ended = 0
        self._began = self._last_end = time.monotonic()
        self._lock = threading.Lock()

    def search_starts(self, trials: int, images: int, validation: int) -> None:
        """Print the plan."""
        self._missing, self._began = trials, time.monotonic()
        before = self._trials - trials
        left = f", {before} of them already run" if before else ""
        at_once = f", {self._jobs} at a time" if self._jobs > 1 else ""
        epochs = f"{self._epochs} epoch{'' if self._epochs == 1 else 's'}"
        self._print(
            f"plan: {self._trials} trials with {self._backend}{left}{at_once}, each at most "
            f"{epochs} of {images:,} training images, scored by {self._objective} on "
            f"{validation:,} validation images"
        )
        self._activity.begin("starting the first trial")

    def trial_starts(self, number: int, *, own: bool) -> None:
        """Show that the trial has started."""
        with self._lock:
            self._under_way[number] = "starting"
            first = len(self._under_way) == 1
        if own:
            self._print(f"trial {number} uses the experiment's own settings")
        if first:
            self._activity.begin(self._trials_line())
        else:
            self._activity.update(self._trials_line())

    def trial_event(self, number: int, event: dict[str, Any]) -> None:
        """Show the trial's phase or epoch."""
        words = {
            "phase": _PHASES.get(event.get("name", ""), ""),
            "batch": f"epoch {event.get('number')}",
            "epoch": f"epoch {event.get('number')} finished",
        }.get(event["event"])
        if words:
            with self._lock:
                self._under_way[number] = words
            self._activity.update(self._trials_line())

    def trial_ends(self, trial: "FrozenTrial") -> None:
        """Print the trial's score and the progress of the search."""
        with self._lock:
            self._under_way.pop(trial.number, None)
            if not trial.user_attrs.get("refused"):
                self._ended += 1
            self._last_end = time.monotonic()
            done = self._trials - self._missing + self._ended
            remains = self._outlook()
        progress = f"{done} of {self._trials}" + (f", {remains}" if remains else "")
        self._print(f"{trial_line(trial, self._objective)} [{progress}]")
        self._activity.begin(self._trials_line() or "choosing the next settings")

    def waits(self, what: str) -> None:
        """Show an activity other than a trial."""
        self._activity.begin(what)

    def __enter__(self) -> "SearchConsole":
        return self

    def __exit__(self, *_: object) -> None:
        """Stop showing activity and restore the terminal."""
        self._activity.end()

    def _print(self, text: str) -> None:
        """Print a line."""
        self._out.print(text, soft_wrap=True)
        self._activity.printed()

    def _trials_line(self) -> str:
        with self._lock:
            done = self._trials - self._missing + self._ended
            parts = [
                f"trial {number} ({min(done + place, self._trials)} of {self._trials}): {words}"
                for place, (number, words) in enumerate(sorted(self._under_way.items()), 1)
            ]
        return "; ".join(parts)

    def _outlook(self) -> str:
        """Return the estimated time remaining, based on the trials run by this process."""
        if not self._ended:
            return ""
        each = (self._last_end - self._began) / self._ended
        rest = each * (self._missing - self._ended) - (time.monotonic() - self._last_end)
        return about(rest)


def trial_line(trial: "FrozenTrial", objective: str) -> str:
    """Return the number, score, seconds and settings of a completed trial."""
    settings = ", ".join(f"{key} {_short(value)}" for key, value in trial.params.items())
    if is_own(trial):
        settings = f"the experiment's own settings{': ' if settings else ''}{settings}"
    state = trial.state.name.lower()
    if trial.user_attrs.get("refused"):
        # The reason starts with "refused".
        return f"trial {trial.number}: {trial.user_attrs['reason']}: {settings}"
    score = f"{objective} {trial.value:.4f}" if state == "complete" else state
    took = f" in {trial.duration.total_seconds():.0f} s" if trial.duration else ""
    why = f" ({trial.user_attrs['reason']})" if state == "fail" else ""
    return f"trial {trial.number}: {score}{took}: {settings}{why}"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
