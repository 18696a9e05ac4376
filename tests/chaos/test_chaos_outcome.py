"""Verdicts about runs with injected faults, and the table that shows them."""

from dataclasses import replace
from typing import Any

import pytest

from backends import create
from chaos.event_log import EventLog, Trigger
from chaos.fault import NO_HOSTS, Fault
from chaos.faults import NO_PIXELS, CorruptRow, HostGone, Straggler
from chaos.outcome import Attempt, Outcome, StoredRun, Verdict, judge
from chaos.signals import DriverKilled, ExecutorKilled, HarnessKilled
from chaos.table import details, markdown, overview, raw
from experiments.records import RunRecord

#: Number of images per epoch.
IMAGES = 100


def record(
    status: str = "FINISHED", reason: str = "", seen: float = 400.0, resumed_after: int = 0
) -> dict[str, Any]:
    return RunRecord(
        experiment="test",
        backend="elephas",
        seed=0,
        run_id="1",
        tracking_uri="sqlite:///x.db",
        status=status,
        reason=reason,
        metrics={"train.samples_seen": seen},
        tags={"resumed_after_epoch": str(resumed_after)} if resumed_after else {},
    ).model_dump()


def event_log(*, injected: float | None = None, end: float = 60.0, **how: Any) -> EventLog:
    """Return a log: training starts at 10 s, epochs last 10 s, the record is closed at ``end``."""
    events: list[dict[str, Any]] = [
        {"event": "run_starts", "time": 0.0, "images": IMAGES},
        {"event": "phase", "name": "load", "time": 1.0},
        {"event": "phase", "name": "fit", "time": 10.0},
        *({"event": "epoch", "number": n, "time": 10.0 + 10 * n} for n in (1, 2, 3, 4)),
        {"event": "batch", "number": 2, "images": 32, "time": 24.0},
        {"event": "batch", "number": 2, "images": 64, "time": 27.0},
        {"event": "phase", "name": "predict", "time": 50.0},
    ]
    if injected is not None:
        events.append({"event": "injecting", "time": injected})
        events.append({"event": "injected", "time": injected, "text": "killed executor 7"})
    kept = [event for event in events if float(str(event["time"])) <= end]
    if how.get("closed", True):
        told = record(**{key: value for key, value in how.items() if key != "closed"})
        kept.append({"event": "run_ends", "time": end, "record": told})
    return EventLog(tuple(sorted(kept, key=lambda event: float(str(event["time"])))))


def finished(**how: Any) -> Attempt:
    """Return a run with the same result as the run without a fault."""
    return Attempt(event_log(**how), ended=True, difference=0.0)


def stored(status: str = "FINISHED", reason: str = "finished") -> StoredRun:
    metrics = {"train.samples_seen": 400.0}
    return StoredRun(
        "1", status, reason, metrics | ({"test.accuracy": 0.9} if status == "FINISHED" else {})
    )


def judged(
    fault: type[Fault],
    attempt: Attempt,
    *runs: StoredRun,
    resumed: Attempt | None = None,
    repeats: bool = True,
) -> Outcome:
    return judge("elephas", fault, event_log(), attempt, resumed, runs, repeats=repeats)


def test_run_that_goes_on_by_itself_has_recovered_with_time_and_images_lost() -> None:
    found = judged(ExecutorKilled, finished(injected=25.0, end=72.0, seen=350.0), stored())
    assert found.verdict == Verdict.RECOVERED
    assert found.cost is not None
    assert (found.cost.seconds, found.cost.images_missing) == (12.0, 50)
    assert (found.cost.images_again, found.cost.at_most) == (32, True)
    assert found.injected == "killed executor 7 (epoch 2 after 32 images)"


def test_fault_that_costs_no_work_repeats_none() -> None:
    found = judged(Straggler, finished(injected=25.0, end=90.0), stored())
    assert found.cost is not None
    assert (found.cost.seconds, found.cost.images_again) == (30.0, 0)


def test_failed_run_tells_how_soon_and_why_and_what_going_on_costs() -> None:
    failed = {"status": "FAILED", "reason": "BackendError: worker 1 died"}
    attempt = Attempt(event_log(injected=25.0, end=28.5, **failed), ended=True)
    runs = [stored("FAILED", failed["reason"]), stored()]
    alone = judged(DriverKilled, attempt, runs[0])
    assert (alone.verdict, alone.message) == (Verdict.FAILED_CLEANLY, failed["reason"])
    assert alone.seconds_to_failure == pytest.approx(3.5)
    assert alone.cost is None
    resumed = finished(end=85.0, resumed_after=1)
    both = judged(DriverKilled, attempt, *runs, resumed=resumed)
    assert both.resumed
    assert both.cost is not None
    assert both.cost.seconds == pytest.approx(25.0)
    assert (both.cost.images_again, both.cost.at_most) == (64, False)


def test_killed_harness_recovers_by_resuming_alone() -> None:
    attempt = Attempt(event_log(injected=28.0, end=28.0, closed=False), ended=True)
    closed, resumed = stored("KILLED", "ended without a word"), finished(end=80.0, resumed_after=1)
    found = judged(HarnessKilled, attempt, closed, stored(), resumed=resumed)
    assert found.verdict == Verdict.RECOVERED
    assert found.resumed
    still_open = stored("RUNNING", "")
    lost = judged(HarnessKilled, attempt, still_open, stored(), resumed=resumed)
    assert lost.verdict == Verdict.RECORD_LOST
    assert judged(HarnessKilled, attempt, closed).bad


@pytest.mark.parametrize(
    ("attempt", "runs", "verdict", "words"),
    [
        (
            Attempt(event_log(injected=25.0, end=28.0, closed=False), ended=False),
            [stored("RUNNING", "")],
            Verdict.HUNG,
            "time limit",
        ),
        (
            Attempt(
                event_log(
                    injected=25.0,
                    end=700.0,
                    status="FAILED",
                    reason="did not end within the time limit of 600 s",
                ),
                ended=True,
            ),
            [stored("FAILED", "did not end within the time limit of 600 s")],
            Verdict.HUNG,
            "time limit",
        ),
        (
            Attempt(event_log(injected=25.0, end=30.0, closed=False), ended=True),
            [stored("KILLED", "interrupted")],
            Verdict.RECORD_LOST,
            "without a record",
        ),
        (
            finished(injected=25.0),
            [],
            Verdict.RECORD_LOST,
            "MLflow has 0 of 1 runs",
        ),
        (
            finished(injected=25.0),
            [StoredRun("1", "FINISHED", "finished", {})],
            Verdict.RECORD_LOST,
            "no test.accuracy",
        ),
        (
            finished(injected=25.0),
            [StoredRun("1", "FINISHED", "finished", {"test.accuracy": 0.9})],
            Verdict.RECORD_LOST,
            "lacks train.samples_seen",
        ),
        (
            finished(injected=25.0),
            [replace(stored(), epochs=(1, 3))],
            Verdict.RECORD_LOST,
            "has epochs (1, 3) of 0",
        ),
        (
            Attempt(event_log(injected=25.0), ended=True),
            [stored()],
            Verdict.RECORD_LOST,
            "no predictions",
        ),
        (
            Attempt(event_log(injected=25.0), ended=True, left=(17,), difference=0.0),
            [stored()],
            Verdict.LEFT_BEHIND,
            "17",
        ),
        (finished(), [stored()], Verdict.NOT_INJECTED, "more --epochs"),
        (finished(injected=55.0), [stored()], Verdict.NOT_INJECTED, "more --epochs"),
    ],
)
def test_what_must_not_happen_is_told(
    attempt: Attempt, runs: list[StoredRun], verdict: Verdict, words: str
) -> None:
    found = judged(ExecutorKilled, attempt, *runs)
    assert found.verdict == verdict
    assert found.bad
    assert words in found.message
    assert f"**{verdict}**" in overview([found]).to_markdown()


FAILURE = {"status": "FAILED", "reason": "worker 1 died"}


def test_resuming_must_finish_and_give_the_result_that_the_backend_promises() -> None:
    first = Attempt(event_log(injected=25.0, end=28.0, **FAILURE), ended=True)
    runs = [stored("FAILED", "worker 1 died"), stored()]
    other = replace(finished(end=85.0, resumed_after=1), difference=0.2)
    found = judged(DriverKilled, first, *runs, resumed=other)
    assert (found.verdict, found.bad) == (Verdict.OTHER_RESULT, True)
    assert "0.2" in found.message
    unpromised = judged(DriverKilled, first, *runs, resumed=other, repeats=False)
    assert unpromised.verdict == Verdict.FAILED_CLEANLY
    again = Attempt(event_log(end=40.0, status="FAILED", reason="no such checkpoint"), ended=True)
    stuck = judged(DriverKilled, first, runs[0], runs[0], resumed=again)
    assert (stuck.verdict, stuck.bad) == (Verdict.NOT_RESUMED, True)
    assert "no such checkpoint" in stuck.message


def test_run_that_had_to_start_anew_has_trained_on_everything_again() -> None:
    first = Attempt(event_log(injected=37.0, end=38.0, **FAILURE), ended=True)
    runs = [stored("FAILED", "worker 1 died"), stored()]
    found = judged(DriverKilled, first, *runs, resumed=finished(end=110.0))
    assert found.cost is not None
    assert (found.cost.images_again, found.cost.at_most) == (3 * IMAGES, True)


def test_run_that_went_on_before_it_failed_has_lost_what_it_did_last() -> None:
    """Fault in the second epoch, failure in the fourth, which reported no event."""
    first = Attempt(event_log(injected=25.0, end=42.0, **FAILURE), ended=True)
    runs = [stored("FAILED", "worker 1 died"), stored()]
    found = judged(DriverKilled, first, *runs, resumed=finished(end=85.0, resumed_after=3))
    assert found.cost is not None
    assert (found.cost.images_again, found.cost.at_most) == (IMAGES, True)


def test_damaged_image_must_be_noticed_by_who_looks_at_it() -> None:
    found = judged(CorruptRow, finished(injected=0.0), stored())
    assert (found.verdict, found.bad) == (Verdict.UNNOTICED, True)
    assert CorruptRow().skip_reason(create("majority"), None) == NO_PIXELS
    assert CorruptRow().skip_reason(create("elephas"), None) == ""


def test_strike_is_in_the_middle_of_the_second_epoch() -> None:
    assert event_log().middle == Trigger(epoch=1, seconds=5.0)


def test_epochs_that_are_all_told_at_the_end_have_no_middle_of_their_own() -> None:
    told = [{**e, "time": 50.0} if e["event"] == "epoch" else e for e in event_log().events]
    assert EventLog(tuple(told)).middle == Trigger(phase="fit", seconds=20.0)


def test_fit_too_short_for_a_middle_is_struck_when_it_begins() -> None:
    told = [{**e, "time": 10.1} if e.get("name") == "predict" else e for e in event_log().events]
    quick = [event for event in told if event["event"] != "epoch"]
    assert EventLog(tuple(quick)).middle == Trigger(phase="load")


def test_tables_show_every_pair_and_tell_why_one_was_not_tried() -> None:
    recovered = judged(ExecutorKilled, finished(injected=25.0, end=72.0), stored())
    away = Outcome("elephas", HostGone.name, Verdict.DOES_NOT_APPLY, NO_HOSTS)
    table = overview([recovered, away])
    assert list(table.columns) == ["backend", ExecutorKilled.title, HostGone.title]
    assert table.iloc[0, 1] == "recovered, +12 s, at most 32 images again"
    assert table.iloc[0, 2] == "needs `--cluster`"
    assert len(details([recovered, away])) == 1
    assert len(raw([recovered, away])) == 2
    assert ExecutorKilled.how in markdown([recovered, away])
