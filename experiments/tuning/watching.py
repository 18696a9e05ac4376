"""Observers of a search and of its trials; the latter stop trials that should be pruned."""

import threading
from typing import TYPE_CHECKING, Any

from experiments.observer import Observer, RunStoppedError

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial


class SearchObserver:
    """Interface for displaying a search; methods may be called from several threads at once."""

    def waits(self, what: str) -> None:
        """Called when an activity other than a trial begins; ``what`` describes it."""

    def search_starts(self, trials: int, images: int, validation: int) -> None:
        """Called when the search begins.

        Parameters
        ----------
        trials
            Number of trials to run.
        images, validation
            Number of training and of validation images.
        """

    def trial_starts(self, number: int, *, own: bool) -> None:
        """Called when a trial begins; ``own`` is True if it uses the experiment's own settings."""

    def trial_event(self, number: int, event: dict[str, Any]) -> None:
        """Called when the process of a trial reports a phase, a batch or an epoch."""

    def trial_ends(self, trial: "FrozenTrial") -> None:
        """Called when a trial has ended."""


class TrialObserver(Observer):
    """Reports every epoch to Optuna; raises :class:`RunStoppedError` if the trial is to be pruned.

    Parameters
    ----------
    trial
        Optuna's trial.
    interrupted
        Set when the search is interrupted.
    shown
        Observer of the search, which receives the events of the trial.
    maximizes
        True if the objective of the study is maximized.
    """

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
        #: Sign of the reported loss: Optuna compares intermediate values in the study's direction.
        self._sign = -1.0 if maximizes else 1.0
        self.pruned = False

    def event(self, event: dict[str, Any]) -> None:
        """Report the validation loss of an epoch and stop the trial if it should be pruned."""
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
        """Stop the trial if the search was interrupted."""
        if self._interrupted.is_set():
            raise RunStoppedError("interrupted by the user")
