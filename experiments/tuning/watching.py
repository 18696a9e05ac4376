"""Follows one trial, and ends it when it is not worth its time."""

import threading
from typing import TYPE_CHECKING, Any

from experiments.observer import Observer, RunStoppedError

if TYPE_CHECKING:
    from optuna import Trial


class TrialObserver(Observer):
    """Tells Optuna of every epoch; raises :class:`RunStoppedError` where it says so."""

    def __init__(self, trial: "Trial", interrupted: threading.Event, *, maximizes: bool) -> None:
        self._trial = trial
        self._interrupted = interrupted
        #: Optuna knows one direction for a study: a loss counts against a score.
        self._sign = -1.0 if maximizes else 1.0
        self.pruned = False

    def event(self, event: dict[str, Any]) -> None:
        """Report the validation loss of an epoch."""
        if event["event"] != "epoch" or event.get("validation_loss") is None:
            return
        self._trial.report(self._sign * event["validation_loss"], event["number"])
        if self._trial.should_prune():
            self.pruned = True
            raise RunStoppedError(
                f"pruned after epoch {event['number']}: its validation loss "
                f"({event['validation_loss']:.4f}) is worse than the median of earlier trials"
            )

    def look(self) -> None:
        """End the trial when the search was interrupted."""
        if self._interrupted.is_set():
            raise RunStoppedError("interrupted by the user")
