"""Estimates of the remaining time of runs, from earlier runs and completed epochs."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

#: Backend that trains nothing; its seconds are not used to estimate those of other backends.
_FLOOR = "majority"
#: Least share of a run's training, and least seconds of it, from which the rest is estimated.
_LEAST_SHARE, _LEAST_SECONDS = 0.05, 3.0
#: Seconds below which no estimate is shown.
_SHORTEST = 5.0


def about(seconds: float | None) -> str:
    """Return ``about 4 min remain``, or an empty string if unknown or less than 5 seconds."""
    if seconds is None or seconds < _SHORTEST:
        return ""
    if seconds < 55:
        return f"about {max(10, round(seconds / 10) * 10)} s remain"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"about {minutes} min remain{'s' if minutes == 1 else ''}"
    hours, rest = divmod(round(minutes, -1), 60)
    if not rest:
        return f"about {hours} h remain{'s' if hours == 1 else ''}"
    return f"about {hours} h {rest} min remain"


@dataclass(frozen=True)
class _Past:
    """Durations of a run that has ended."""

    backend: str
    #: Seconds outside training, and seconds of training.
    fixed: float
    fit: float
    images: int


@dataclass
class _Current:
    """State of the current run."""

    backend: str
    images: int
    began: float
    trains: bool = False
    #: Share of training completed (0 to 1), and the time at which it was reported.
    share: float = 0.0
    at: float = 0.0
    #: The same at the first report during training.
    first_share: float = 0.0
    first_at: float | None = None


class Pace:
    """Estimates the remaining seconds of the current and the pending runs.

    Parameters
    ----------
    clock
        Returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: Backend and training images of each pending run; None for all images.
        self._waiting: list[tuple[str, int | None]] = []
        self._past: list[_Past] = []
        self._starts: dict[str, float] = {}
        self._warming: tuple[str, float] | None = None
        self._current: _Current | None = None

    def expect(self, runs: Sequence[tuple[str, int | None]]) -> None:
        """Register the planned runs: backend and number of training images, None for all."""
        self._waiting = list(runs)

    def drop(self, backend: str) -> None:
        """Remove the next pending run of ``backend``."""
        for place, (name, _) in enumerate(self._waiting):
            if name == backend:
                del self._waiting[place]
                return

    def warms_up(self, backend: str) -> None:
        """Register the beginning of a warm-up start of ``backend``."""
        self._end_warm_up()
        self._warming = backend, self._clock()

    def begins(self, backend: str, images: int) -> None:
        """Register the beginning of a run on ``images`` training images."""
        self._end_warm_up()
        self.drop(backend)
        self._current = _Current(backend, images, self._clock())

    def trains(self) -> None:
        """Register the beginning of training in the current run."""
        if self._current is not None:
            self._current.trains = True

    def epoch(self, done: float, epochs: int, seconds: float = 0.0) -> None:
        """Register that ``done`` of ``epochs`` are completed.

        Epochs of an earlier process are reported before training begins and are ignored.

        Parameters
        ----------
        done
            Number of completed epochs, including the completed fraction of the current one.
        epochs
            Number of epochs of the run.
        seconds
            Duration of the last epoch if it is completed, else 0.
        """
        current = self._current
        if current is None or not current.trains:
            return
        now = self._clock()
        if current.first_at is None:
            whole = 1 if seconds else 0
            current.first_at, current.first_share = now - seconds, (done - whole) / epochs
        current.share, current.at = done / epochs, now

    def ends(self, metrics: Mapping[str, float], *, finished: bool) -> None:
        """Register the end of the current run, with the metrics of its record."""
        current, self._current = self._current, None
        if current is not None and finished:
            total = self._clock() - current.began
            fit = min(total, metrics.get("time.fit_s", 0.0) + metrics.get("time.fit_other_s", 0.0))
            self._past.append(_Past(current.backend, total - fit, fit, current.images))

    def refused(self, backend: str) -> None:
        """Register a refused run; it took no time, and its repetitions will take none."""
        self.drop(backend)
        self._past.append(_Past(backend, 0.0, 0.0, 0))

    def remaining(self) -> float | None:
        """Return the estimated seconds until all runs are completed, or None if unknown."""
        now = self.of_this_run()
        if self._current is not None and now is None:
            return None
        later = [self._expected(*run) for run in self._waiting]
        if any(seconds is None for seconds in later):
            return None
        return (now or 0.0) + sum(seconds or 0.0 for seconds in later)

    def of_this_run(self) -> float | None:
        """Return the estimated remaining seconds of the current run, or None if unknown."""
        if self._current is None:
            return None
        if (rest := self._rest_of_training()) is not None:
            return rest
        expected = self._expected(self._current.backend, self._current.images)
        rest = (expected or 0.0) - (self._clock() - self._current.began)
        return rest if rest > 0 else None

    def _rest_of_training(self) -> float | None:
        """Return the remaining seconds of training, extrapolated from completed epochs."""
        current = self._current
        if current is None or current.first_at is None:
            return None
        share, seconds = current.share - current.first_share, current.at - current.first_at
        if share < _LEAST_SHARE or seconds < _LEAST_SECONDS:
            return None
        rest = seconds / share * (1 - current.share) - (self._clock() - current.at)
        return rest if rest > 0 else None

    def _expected(self, backend: str, images: int | None) -> float | None:
        """Return the expected seconds of a run of ``backend``, from earlier runs of any backend.

        Runs of the same backend are preferred.
        """
        if own := [past for past in self._past if past.backend == backend]:
            return mean(past.fixed + past.fit * _ratio(images, past.images) for past in own)
        others = [past for past in self._past if past.backend != _FLOOR and past.images]
        if backend == _FLOOR:
            return self._starts.get(backend, 0.0)
        if not others:
            return None
        fit = mean(past.fit * _ratio(images, past.images) for past in others)
        return self._starts.get(backend, mean(past.fixed for past in others)) + fit

    def _end_warm_up(self) -> None:
        if self._warming:
            name, began = self._warming
            self._starts[name] = self._clock() - began
            self._warming = None


def _ratio(images: int | None, of: int) -> float:
    return images / of if images and of else 1.0
