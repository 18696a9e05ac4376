"""What became of a run that something was done to: recovered, failed cleanly, or worse."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from experiments.chaos.diary import Diary
from experiments.chaos.faults import Fault
from experiments.records import FINISHED, RunRecord
from experiments.supervision import TIME_LIMIT_REASON

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
    #: The run was over before anything was done to it.
    NOT_STRUCK = "not struck"
    DOES_NOT_APPLY = "does not apply"


#: What no run may become.
BAD = {Verdict.HUNG, Verdict.RECORD_LOST, Verdict.LEFT_BEHIND, Verdict.NOT_STRUCK}


@dataclass(frozen=True)
class StoredRun:
    """A run as it stands in MLflow."""

    run_id: str
    #: RUNNING where nobody has closed it.
    status: str
    reason: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class Attempt:
    """A run that was made, or tried."""

    diary: Diary
    #: Whether its process ended by itself in time.
    ended: bool
    #: Ids of processes of the run that were still there a while after its end.
    left: tuple[int, ...] = ()
    #: Largest difference of its probabilities to the undisturbed run's; None without predictions.
    difference: float | None = None

    @property
    def record(self) -> RunRecord | None:
        """What the harness told."""
        return self.diary.record

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
    struck: str = ""
    #: From the strike to the closed record of a run that failed.
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
    reference: Diary,
    attempt: Attempt,
    resumed: Attempt | None,
    stored: Sequence[StoredRun],
) -> Outcome:
    """Say what became of ``attempt``, and of ``resumed``, which went on with it.

    Parameters
    ----------
    reference
        Of the undisturbed run.
    stored
        All runs of this backend and fault in MLflow.
    """

    attempts = [attempt, *filter(None, [resumed])]
    last, struck = attempts[-1], attempt.diary.struck is not None
    outcome = Outcome(
        backend,
        fault.name,
        Verdict.RECOVERED,
        struck=_struck(fault, attempt.diary),
        cost=cost_of(fault, reference, attempts) if struck and last.finished else None,
        resumed=resumed is not None and last.finished,
        run_ids=tuple(run.run_id for run in stored),
    )
    if (wrong := _wrong(fault, attempts, stored)) is not None:
        verdict, message = wrong
        return replace(outcome, verdict=verdict, message=message)
    if attempt.finished or fault.ends_harness:
        return outcome
    assert attempt.record is not None
    return replace(
        outcome,
        verdict=Verdict.FAILED_CLEANLY,
        message=attempt.record.reason,
        seconds_to_failure=_between(attempt.diary.struck, attempt.diary.ended),
    )


def _wrong(
    fault: type[Fault], attempts: Sequence[Attempt], stored: Sequence[StoredRun]
) -> tuple[Verdict, str] | None:
    """Return what must not happen and did, or None."""
    first, last = attempts[0], attempts[-1]
    found = None
    if missed := first.diary.first("missed"):
        found = Verdict.NOT_STRUCK, str(missed["text"])
    elif any(not one.ended or _over_time(one.record) for one in attempts):
        found = Verdict.HUNG, "it had to be ended at the time limit"
    elif first.diary.struck is None:
        found = Verdict.NOT_STRUCK, _too_late(first.record)
    elif lost := lost_record(stored, len(attempts)):
        found = Verdict.RECORD_LOST, lost
    elif left := [pid for one in attempts for pid in one.left]:
        found = Verdict.LEFT_BEHIND, f"still there: {', '.join(map(str, left))}"
    elif fault.ends_harness and not last.finished:
        reason = last.record.reason if last.record else "it ended without a word"
        found = Verdict.RECORD_LOST, f"--resume did not go on: {reason}"
    elif first.record is None and not fault.ends_harness:
        found = Verdict.RECORD_LOST, "its process ended without a word: see attempt.log"
    return found


def lost_record(stored: Sequence[StoredRun], expected: int) -> str:
    """Return what is wrong with the records of ``expected`` runs, or an empty text."""
    if len(stored) != expected:
        return f"MLflow has {len(stored)} of {expected} runs"
    for run in stored:
        if run.status == "RUNNING":
            return f"run {run.run_id} seems to run still"
        if not run.reason:
            return f"run {run.run_id} does not say how it ended"
        if run.status == FINISHED and _FINAL_METRIC not in run.metrics:
            return f"run {run.run_id} is FINISHED and has no {_FINAL_METRIC}"
    return ""


def cost_of(fault: type[Fault], reference: Diary, attempts: Sequence[Attempt]) -> Cost:
    """Return what the recovery has cost; the last of ``attempts`` has a result."""
    first, last = attempts[0], attempts[-1]
    undisturbed = _between(reference.started, reference.ended)
    again, at_most = 0, False
    if fault.costs_work or len(attempts) > 1:
        assert first.diary.struck is not None
        _, told = first.diary.under_way(first.diary.struck)
        # A run that recovers by itself may repeat only a part of what was done, and a backend
        # tells now and then how far it is.
        at_most = told is None or len(attempts) == 1
        again = first.diary.images if told is None else told
    return Cost(
        seconds=_between(first.diary.started, last.diary.ended) - undisturbed,
        images_missing=int(_seen(reference.record) - _seen(last.record)),
        images_again=again,
        at_most=at_most,
        difference=last.difference,
    )


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


def _struck(fault: type[Fault], diary: Diary) -> str:
    told = diary.first("struck")
    text = str(told["text"]) if told else fault.how
    if diary.struck is None or not fault.strikes:
        return text
    number, images = diary.under_way(diary.struck)
    so_far = f" after {images} images" if images else ""
    return f"{text} (epoch {number}{so_far})"
