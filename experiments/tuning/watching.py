"""Follows a search and each of its trials, and ends a trial that is not worth its time."""

import threading
from typing import TYPE_CHECKING, Any

from experiments.observer import Observer, RunStoppedError

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial


class SearchObserver:
    """The interface between a search and what shows it; several threads may call it at a time."""

    def waits(self, what: str) -> None:
        """Something beside the trials begins that may take seconds: ``what`` in a few words."""

    def search_starts(self, trials: int, images: int, validation: int) -> None:
        """``trials`` are to be made, on so many training and validation images."""

    def trial_starts(self, number: int, *, own: bool) -> None:
        """A trial begins; ``own`` is true of the one with the experiment's own settings."""

    def trial_event(self, number: int, event: dict[str, Any]) -> None:
        """The process of a trial has reported a phase, a batch or an epoch."""

    def trial_ends(self, trial: "FrozenTrial") -> None:
        """A trial is over."""


class TrialObserver(Observer):
    """Tells Optuna of every epoch; raises :class:`RunStoppedError` where it says so."""

    def __init__(
        self,
        trial: "Trial",
        interrupted: threading.Event,
        shown: SearchObserver,
        *,
        maximizes: bool,
    ) -> None:
        self._trial = trial
        self._interrupted = interrupted
        self._shown = shown
        #: Optuna knows one direction for a study: a loss counts against a score.
        self._sign = -1.0 if maximizes else 1.0
        self.pruned = False

    def event(self, event: dict[str, Any]) -> None:
        """Report the validation loss of an epoch."""
        self._shown.trial_event(self._trial.number, event)
        if event["event"] != "epoch" or event.get("validation_loss") is None:
            return
        self._trial.report(self._sign * event["validation_loss"], event["number"])
        if self._trial.should_prune():
            self.pruned = True
            raise RunStoppedError(
                f"pruned after epoch {event['number']}: its validation loss "
                f"({event['validation_loss']:.4f}) is worse than the median of earlier trials"
            )

    def poll(self) -> None:
        """End the trial when the search was interrupted."""
        if self._interrupted.is_set():
            raise RunStoppedError("interrupted by the user")
