"""Classification of runs with an injected fault: recovered, failed cleanly, or worse."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from chaos.event_log import EventLog
from chaos.fault import Fault
from experiments.processes.supervision import TIME_LIMIT_REASON
from experiments.records import FINISHED, RunRecord

#: Largest difference of probabilities at which two results count as the same: float32 sums in
#: another order differ by less.
SAME = 1e-4
_FINAL_METRIC = "test.accuracy"


class Verdict(StrEnum):
    """Classification of an outcome; the values are those of the tables."""

    RECOVERED = "recovered"
    FAILED_CLEANLY = "failed cleanly"
    HUNG = "hung"
    RECORD_LOST = "record lost"
    LEFT_BEHIND = "processes left behind"
    #: ``--resume`` did not finish the run.
    NOT_RESUMED = "not resumed"
    #: ``--resume`` gave another result although the backend is deterministic for a seed.
    OTHER_RESULT = "other result"
    #: The run trained on the damaged image without reporting it.
    UNNOTICED = "not noticed"
    #: The fault could not be injected, for example because the run had already ended.
    NOT_INJECTED = "not injected"
    DOES_NOT_APPLY = "does not apply"


#: Verdicts that count as errors.
BAD = {*Verdict} - {Verdict.RECOVERED, Verdict.FAILED_CLEANLY, Verdict.DOES_NOT_APPLY}


@dataclass(frozen=True)
class StoredRun:
    """A run as stored in MLflow."""

    run_id: str
    status: str
    reason: str
    metrics: dict[str, float]
    #: Numbers of the epochs for which a duration is stored, in the order of writing.
    epochs: tuple[int, ...] = ()

    @property
    def left_open(self) -> bool:
        """True if the run was not closed."""
        return self.status == "RUNNING"


@dataclass(frozen=True)
class Attempt:
    """An executed run, which may have failed."""

    event_log: EventLog
    #: True if its process ended by itself in time.
    ended: bool
    #: Ids of processes of the run that were still running some time after its end.
    left: tuple[int, ...] = ()
    #: Largest difference from the probabilities of the undisturbed run; None without predictions.
    difference: float | None = None

    @property
    def record(self) -> RunRecord | None:
        """Record reported by the harness, if any."""
        return self.event_log.record

    @property
    def finished(self) -> bool:
        """True if the run has a result."""
        return self.record is not None and self.record.status == FINISHED


@dataclass(frozen=True)
class Cost:
    """Cost of a recovery."""

    #: Seconds in addition to those of the undisturbed run.
    seconds: float
    #: Number of images on which the undisturbed run has trained and this one has not.
    images_missing: int
    #: Approximate number of images on which the run has trained twice.
    images_again: int
    #: True if ``images_again`` is only an upper limit, because the backend does not report it.
    at_most: bool
    #: Difference of probabilities, see :class:`Attempt`.
    difference: float | None


@dataclass(frozen=True)
class Outcome:
    """Outcome of one fault with one backend: a cell of the table."""

    backend: str
    fault: str
    verdict: Verdict
    #: Reason for the verdict, as reported by the harness or the backend.
    message: str = ""
    #: Description of the injection and its epoch.
    injected: str = ""
    #: Seconds from the injection to the closed record, if the run failed.
    seconds_to_failure: float | None = None
    #: Cost of the recovery, if the run recovered by itself or was resumed with ``--resume``.
    cost: Cost | None = None
    resumed: bool = False
    run_ids: tuple[str, ...] = field(default=())

    @property
    def bad(self) -> bool:
        """True if the verdict counts as an error."""
        return self.verdict in BAD


def judge(
    backend: str,
    fault: type[Fault],
    reference: EventLog,
    attempt: Attempt,
    resumed: Attempt | None,
    stored: Sequence[StoredRun],
    *,
    repeats: bool = False,
) -> Outcome:
    """Return the outcome of ``attempt`` and of ``resumed``, the run that resumed it.

    Parameters
    ----------
    backend
        Name of the backend.
    fault
        Class of the fault.
    reference
        Event log of the undisturbed run.
    attempt
        Run with the fault.
    resumed
        Run with ``--resume`` after it, if any.
    stored
        All runs of this backend and fault in MLflow.
    repeats
        True if the backend guarantees the same result for the same seed.
    """
    attempts = [attempt, *filter(None, [resumed])]
    last, injected = attempts[-1], attempt.event_log.injected is not None
    outcome = Outcome(
        backend,
        fault.name,
        Verdict.RECOVERED,
        injected=_injected(fault, attempt.event_log),
        cost=cost_of(fault, reference, attempts) if injected and last.finished else None,
        resumed=resumed is not None and last.finished,
        run_ids=tuple(run.run_id for run in stored),
    )
    if (wrong := _wrong(fault, reference, attempts, stored)) is not None:
        verdict, message = wrong
        return replace(outcome, verdict=verdict, message=message)
    if not fault.injects and attempt.finished:
        return replace(outcome, verdict=Verdict.UNNOTICED)
    if resumed is not None and repeats and (last.difference is None or last.difference > SAME):
        message = f"--resume gave probabilities that differ by up to {last.difference}"
        return replace(outcome, verdict=Verdict.OTHER_RESULT, message=message)
    if attempt.finished or fault.ends_harness:
        return outcome
    assert attempt.record is not None
    return replace(
        outcome,
        verdict=Verdict.FAILED_CLEANLY,
        message=attempt.record.reason,
        seconds_to_failure=_between(attempt.event_log.injected, attempt.event_log.ended),
    )


def _wrong(
    fault: type[Fault],
    reference: EventLog,
    attempts: Sequence[Attempt],
    stored: Sequence[StoredRun],
) -> tuple[Verdict, str] | None:
    """Return the verdict and reason if an error has occurred, else None."""
    first, last = attempts[0], attempts[-1]
    found = None
    if missed := first.event_log.first("missed"):
        found = Verdict.NOT_INJECTED, str(missed["text"])
    elif any(not one.ended or _over_time(one.record) for one in attempts):
        found = Verdict.HUNG, "the run had to be stopped at the time limit"
    elif first.event_log.injected is None or _after_training(fault, reference, first.event_log):
        found = Verdict.NOT_INJECTED, _too_late(first.record)
    elif lost := lost_record(stored, attempts):
        found = Verdict.RECORD_LOST, lost
    elif left := [pid for one in attempts for pid in one.left]:
        found = Verdict.LEFT_BEHIND, f"still running: {', '.join(map(str, left))}"
    elif first.record is None and not fault.ends_harness:
        found = Verdict.RECORD_LOST, "its process ended without a record: see attempt.log"
    elif (len(attempts) > 1 or fault.ends_harness) and not last.finished:
        reason = last.record.reason if last.record else "it ended without a record"
        found = Verdict.NOT_RESUMED, f"--resume did not finish: {reason}"
    return found


def lost_record(stored: Sequence[StoredRun], attempts: Sequence[Attempt]) -> str:
    """Return what is wrong with the stored records of ``attempts``, or an empty string."""
    if len(stored) != len(attempts):
        return f"MLflow has {len(stored)} of {len(attempts)} runs"
    reported = {one.record.run_id: one for one in attempts if one.record}
    wrong = [_wrong_with(run, reported.get(run.run_id)) for run in stored]
    return next(filter(None, wrong), "")


def _wrong_with(run: StoredRun, attempt: Attempt | None) -> str:
    """Return how a stored run differs from the record reported by its harness."""
    found = ""
    reported = attempt.record if attempt else None
    missing = sorted(reported.metrics.keys() - run.metrics.keys()) if reported else []
    if run.left_open:
        found = "still has the status RUNNING"
    elif not run.reason:
        found = "has no status reason"
    elif run.status == FINISHED and _FINAL_METRIC not in run.metrics:
        found = f"is FINISHED but has no {_FINAL_METRIC}"
    elif missing:
        found = f"lacks {', '.join(missing)}"
    elif reported and run.epochs != tuple(epoch["number"] for epoch in reported.epochs):
        found = f"has epochs {run.epochs} of {len(reported.epochs)}"
    elif attempt and attempt.finished and attempt.difference is None:
        found = "is FINISHED but has no predictions"
    return found and f"run {run.run_id} {found}"


def cost_of(fault: type[Fault], reference: EventLog, attempts: Sequence[Attempt]) -> Cost:
    """Return the cost of the recovery; the last of ``attempts`` must have a result."""
    first, last = attempts[0], attempts[-1]
    undisturbed = _between(reference.started, reference.ended)
    again, at_most = 0, False
    if fault.costs_work or len(attempts) > 1:
        again, at_most = _trained_again(reference, attempts)
    return Cost(
        seconds=_between(first.event_log.started, last.event_log.ended) - undisturbed,
        images_missing=int(_seen(reference.record) - _seen(last.record)),
        images_again=again,
        at_most=at_most,
        difference=last.difference,
    )


def _trained_again(reference: EventLog, attempts: Sequence[Attempt]) -> tuple[int, bool]:
    """Return the number of images trained on again, and whether it is only an upper limit."""
    first, last = attempts[0], attempts[-1]
    epochs = sum(event["event"] == "epoch" for event in reference.events)
    if reference.middle.phase == "fit":  # epochs are reported only at the end, if at all
        return first.event_log.images * max(1, epochs), True
    injected = first.event_log.injected
    assert injected is not None
    if len(attempts) == 1:
        # The backend may repeat only a part of the completed work.
        _, images = first.event_log.under_way(injected)
        return first.event_log.images if images is None else images, True
    # A run may continue for some time before it fails.
    end = max(event["time"] for event in first.event_log.events)
    number, images = first.event_log.under_way(end)
    after = int(last.record.tags.get("resumed_after_epoch", 0)) if last.record else 0
    whole = (number - 1 - after) * first.event_log.images
    if images is None and number <= epochs:
        return whole + first.event_log.images, True
    return whole + (images or 0), False


def _after_training(fault: type[Fault], reference: EventLog, event_log: EventLog) -> bool:
    """Return whether the fault was injected after training; False if training takes no time."""
    predicts = event_log.first("phase", name="predict")
    if not fault.injects or predicts is None or reference.middle.phase == "load":
        return False
    return event_log.injected is not None and event_log.injected >= float(predicts["time"])


def _between(start: float | None, end: float | None) -> float:
    return (end or 0.0) - (start or 0.0)


def _seen(record: RunRecord | None) -> float:
    return record.metrics.get("train.samples_seen", 0.0) if record else 0.0


def _over_time(record: RunRecord | None) -> bool:
    return record is not None and record.reason.startswith(TIME_LIMIT_REASON)


def _too_late(record: RunRecord | None) -> str:
    if record is None:
        return "its process ended before the injection: see attempt.log"
    if record.status == FINISHED:
        return "the run ended before the injection: use more --epochs"
    return f"the run failed before the injection: {record.reason}"


def _injected(fault: type[Fault], event_log: EventLog) -> str:
    event = event_log.first("injected")
    text = str(event["text"]) if event else fault.how
    if event_log.injected is None or not fault.injects:
        return text
    number, images = event_log.under_way(event_log.injected)
    so_far = f" after {images} images" if images else ""
    return f"{text} (epoch {number}{so_far})"
