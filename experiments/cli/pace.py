"""Estimates of the time that runs still take, from what earlier runs and finished epochs took."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

#: Backend that trains nothing: its seconds say nothing about the others.
_FLOOR = "majority"
#: Part of the training of a run that must be over before its rest is estimated, and seconds.
_LEAST_SHARE, _LEAST_SECONDS = 0.05, 3.0
#: Seconds below which no estimate is shown.
_SHORTEST = 5.0


def about(seconds: float | None) -> str:
    """Return ``about 4 min remain``, or an empty text where nothing is known or little remains."""
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
    """A run that has ended."""

    backend: str
    #: Seconds apart from training, and those of training.
    fixed: float
    fit: float
    images: int


@dataclass
class _Current:
    """The run under way."""

    backend: str
    images: int
    began: float
    trains: bool = False
    #: Part of its training that is over, and when that was known.
    share: float = 0.0
    at: float = 0.0
    #: The same at the first sign of training.
    first_share: float = 0.0
    first_at: float | None = None


class Pace:
    """Estimates the seconds of the runs that are still to be made."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: Backend and training images of each run that has not begun; None for all images.
        self._waiting: list[tuple[str, int | None]] = []
        self._past: list[_Past] = []
        self._starts: dict[str, float] = {}
        self._warming: tuple[str, float] | None = None
        self._current: _Current | None = None

    def expect(self, runs: Sequence[tuple[str, int | None]]) -> None:
        """Take note of the runs to make: backend and training images, None for all of them."""
        self._waiting = list(runs)

    def drop(self, backend: str) -> None:
        """Take note that the next run of ``backend`` is not to be made."""
        for place, (name, _) in enumerate(self._waiting):
            if name == backend:
                del self._waiting[place]
                return

    def warms_up(self, backend: str) -> None:
        """Take note that a start of ``backend`` begins that trains nothing."""
        self._end_warm_up()
        self._warming = backend, self._clock()

    def begins(self, backend: str, images: int) -> None:
        """Take note that a run with so many training images begins."""
        self._end_warm_up()
        self.drop(backend)
        self._current = _Current(backend, images, self._clock())

    def trains(self) -> None:
        """Take note that the training of the run under way begins."""
        if self._current is not None:
            self._current.trains = True

    def epoch(self, done: float, epochs: int, seconds: float = 0.0) -> None:
        """Take note that ``done`` of ``epochs`` are over.

        Epochs of an earlier process are reported before training begins, and do not count.

        Parameters
        ----------
        seconds
            That the last epoch took, where it is over.
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
        """Take note that the run under way is over, with the metrics of its record."""
        current, self._current = self._current, None
        if current is not None and finished:
            total = self._clock() - current.began
            fit = min(total, metrics.get("time.fit_s", 0.0) + metrics.get("time.fit_other_s", 0.0))
            self._past.append(_Past(current.backend, total - fit, fit, current.images))

    def refused(self, backend: str) -> None:
        """Take note of a run that takes no time, as its repetitions will not."""
        self.drop(backend)
        self._past.append(_Past(backend, 0.0, 0.0, 0))

    def remaining(self) -> float | None:
        """Return the estimated seconds of all runs that are not over, or None where unknown."""
        now = self.of_this_run()
        if self._current is not None and now is None:
            return None
        later = [self._expected(*run) for run in self._waiting]
        if any(seconds is None for seconds in later):
            return None
        return (now or 0.0) + sum(seconds or 0.0 for seconds in later)

    def of_this_run(self) -> float | None:
        """Return the estimated seconds of the run under way, or None where unknown."""
        if self._current is None:
            return None
        if (rest := self._rest_of_training()) is not None:
            return rest
        expected = self._expected(self._current.backend, self._current.images)
        rest = (expected or 0.0) - (self._clock() - self._current.began)
        return rest if rest > 0 else None

    def _rest_of_training(self) -> float | None:
        """Return what the epochs of the run under way still take, from those that are over."""
        current = self._current
        if current is None or current.first_at is None:
            return None
        share, seconds = current.share - current.first_share, current.at - current.first_at
        if share < _LEAST_SHARE or seconds < _LEAST_SECONDS:
            return None
        rest = seconds / share * (1 - current.share) - (self._clock() - current.at)
        return rest if rest > 0 else None

    def _expected(self, backend: str, images: int | None) -> float | None:
        """Return the seconds that a run of ``backend`` takes, by runs of it or of the others."""
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
