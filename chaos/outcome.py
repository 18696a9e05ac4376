"""What became of a run that something was done to: recovered, failed cleanly, or worse."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from chaos.event_log import EventLog
from chaos.fault import Fault
from experiments.processes.supervision import TIME_LIMIT_REASON
from experiments.records import FINISHED, RunRecord

#: Largest difference of probabilities at which two runs are the same: float32 sums in another
#: order differ by less.
SAME = 1e-4
_FINAL_METRIC = "test.accuracy"


class Verdict(StrEnum):
    """In words of the table."""

    RECOVERED = "recovered"
    FAILED_CLEANLY = "failed cleanly"
    HUNG = "hung"
    RECORD_LOST = "record lost"
    LEFT_BEHIND = "processes left behind"
    #: ``--resume`` found what the run had left and did not finish it.
    NOT_RESUMED = "not resumed"
    #: ``--resume`` gave another result, of a backend that gives the same one for the same seed.
    OTHER_RESULT = "other result"
    #: It trained on the damaged image and said nothing.
    UNNOTICED = "not noticed"
    #: The run was over before anything was done to it.
    NOT_INJECTED = "not injected"
    DOES_NOT_APPLY = "does not apply"


#: What no run may become.
BAD = {*Verdict} - {Verdict.RECOVERED, Verdict.FAILED_CLEANLY, Verdict.DOES_NOT_APPLY}


@dataclass(frozen=True)
class StoredRun:
    """A run as it stands in MLflow."""

    run_id: str
    status: str
    reason: str
    metrics: dict[str, float]
    #: Numbers of the epochs whose seconds it has, in the order in which they were written.
    epochs: tuple[int, ...] = ()

    @property
    def left_open(self) -> bool:
        """Whether nobody has closed it."""
        return self.status == "RUNNING"


@dataclass(frozen=True)
class Attempt:
    """A run that was made, or tried."""

    event_log: EventLog
    #: Whether its process ended by itself in time.
    ended: bool
    #: Ids of processes of the run that were still there a while after its end.
    left: tuple[int, ...] = ()
    #: Largest difference of its probabilities to the undisturbed run's; None without predictions.
    difference: float | None = None

    @property
    def record(self) -> RunRecord | None:
        """What the harness told."""
        return self.event_log.record

    @property
    def finished(self) -> bool:
        """Whether there is a result."""
        return self.record is not None and self.record.status == FINISHED


@dataclass(frozen=True)
class Cost:
    """What a recovery took."""

    #: Seconds beyond those of the undisturbed run.
    seconds: float
    #: Images that the undisturbed run has trained on and this one has not.
    images_missing: int
    #: Images trained on again: about, or at most where the backend does not tell.
    images_again: int
    at_most: bool
    #: As in :class:`Attempt`.
    difference: float | None


@dataclass(frozen=True)
class Outcome:
    """A cell of the table."""

    backend: str
    fault: str
    verdict: Verdict
    #: Why, in the harness's or the backend's words.
    message: str = ""
    #: What was done, and in which epoch.
    injected: str = ""
    #: From the injection to the closed record of a run that failed.
    seconds_to_failure: float | None = None
    #: Of a run that recovered by itself, or was gone on with by ``--resume``.
    cost: Cost | None = None
    resumed: bool = False
    run_ids: tuple[str, ...] = field(default=())

    @property
    def bad(self) -> bool:
        """Whether this must not happen."""
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
    """Say what became of ``attempt``, and of ``resumed``, which went on with it.

    Parameters
    ----------
    reference
        Of the undisturbed run.
    stored
        All runs of this backend and fault in MLflow.
    repeats
        Whether the backend promises the same result for the same seed.
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
    """Return what must not happen and did, or None."""
    first, last = attempts[0], attempts[-1]
    found = None
    if missed := first.event_log.first("missed"):
        found = Verdict.NOT_INJECTED, str(missed["text"])
    elif any(not one.ended or _over_time(one.record) for one in attempts):
        found = Verdict.HUNG, "it had to be ended at the time limit"
    elif first.event_log.injected is None or _after_training(fault, reference, first.event_log):
        found = Verdict.NOT_INJECTED, _too_late(first.record)
    elif lost := lost_record(stored, attempts):
        found = Verdict.RECORD_LOST, lost
    elif left := [pid for one in attempts for pid in one.left]:
        found = Verdict.LEFT_BEHIND, f"still there: {', '.join(map(str, left))}"
    elif first.record is None and not fault.ends_harness:
        found = Verdict.RECORD_LOST, "its process ended without a word: see attempt.log"
    elif (len(attempts) > 1 or fault.ends_harness) and not last.finished:
        reason = last.record.reason if last.record else "it ended without a word"
        found = Verdict.NOT_RESUMED, f"--resume did not finish: {reason}"
    return found


def lost_record(stored: Sequence[StoredRun], attempts: Sequence[Attempt]) -> str:
    """Return what is wrong with the records of ``attempts``, or an empty text."""
    if len(stored) != len(attempts):
        return f"MLflow has {len(stored)} of {len(attempts)} runs"
    told = {one.record.run_id: one for one in attempts if one.record}
    wrong = [_wrong_with(run, told.get(run.run_id)) for run in stored]
    return next(filter(None, wrong), "")


def _wrong_with(run: StoredRun, attempt: Attempt | None) -> str:
    """Return what the record of a run lacks of what its harness told."""
    found = ""
    told = attempt.record if attempt else None
    missing = sorted(told.metrics.keys() - run.metrics.keys()) if told else []
    if run.left_open:
        found = "seems to run still"
    elif not run.reason:
        found = "does not say how it ended"
    elif run.status == FINISHED and _FINAL_METRIC not in run.metrics:
        found = f"is FINISHED and has no {_FINAL_METRIC}"
    elif missing:
        found = f"lacks {', '.join(missing)}"
    elif told and run.epochs != tuple(epoch["number"] for epoch in told.epochs):
        found = f"has epochs {run.epochs} of {len(told.epochs)}"
    elif attempt and attempt.finished and attempt.difference is None:
        found = "is FINISHED and has no predictions"
    return found and f"run {run.run_id} {found}"


def cost_of(fault: type[Fault], reference: EventLog, attempts: Sequence[Attempt]) -> Cost:
    """Return what the recovery has cost; the last of ``attempts`` has a result."""
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
    """Return how many images, and whether it is no more than that."""
    first, last = attempts[0], attempts[-1]
    epochs = sum(event["event"] == "epoch" for event in reference.events)
    if reference.middle.phase == "fit":  # epochs are told at the end alone, if at all
        return first.event_log.images * max(1, epochs), True
    injected = first.event_log.injected
    assert injected is not None
    if len(attempts) == 1:
        # It may repeat only a part of what was done.
        _, told = first.event_log.under_way(injected)
        return first.event_log.images if told is None else told, True
    # A run may go on for a while before it fails.
    number, told = first.event_log.under_way(max(event["time"] for event in first.event_log.events))
    after = int(last.record.tags.get("resumed_after_epoch", 0)) if last.record else 0
    whole = (number - 1 - after) * first.event_log.images
    if told is None and number <= epochs:
        return whole + first.event_log.images, True
    return whole + (told or 0), False


def _after_training(fault: type[Fault], reference: EventLog, event_log: EventLog) -> bool:
    """Return whether the fault was injected after training; some backends train for no time."""
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
        return "its process ended before: see attempt.log"
    if record.status == FINISHED:
        return "the run was over before: give it more --epochs"
    return f"the run failed before: {record.reason}"


def _injected(fault: type[Fault], event_log: EventLog) -> str:
    told = event_log.first("injected")
    text = str(told["text"]) if told else fault.how
    if event_log.injected is None or not fault.injects:
        return text
    number, images = event_log.under_way(event_log.injected)
    so_far = f" after {images} images" if images else ""
    return f"{text} (epoch {number}{so_far})"
