"""Estimates of the remaining time are based on measurements, and omitted without any."""

import pytest

from experiments.cli.pace import Pace, about


class Clock:
    """A clock that tests set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def made(pace: Pace, clock: Clock, backend: str, fixed: float, fit: float, images: int) -> None:
    pace.begins(backend, images)
    clock.now += fixed + fit
    pace.ends({"time.fit_s": fit}, finished=True)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (3, ""),
        (42, "about 40 s remain"),
        (70, "about 1 min remains"),
        (250, "about 4 min remain"),
        (3600, "about 1 h remains"),
        (4790, "about 1 h 20 min remain"),
    ],
)
def test_estimates_are_rounded(seconds: float | None, words: str) -> None:
    assert about(seconds) == words


def test_nothing_is_known_before_anything_was_measured(clock: Clock) -> None:
    pace = Pace(clock)
    pace.expect([("keras_local", None), ("elephas", None)])
    pace.begins("keras_local", 100)
    clock.now = 50
    assert pace.remaining() is None
    assert pace.of_this_run() is None


def test_first_run_is_estimated_by_its_own_epochs_alone(clock: Clock) -> None:
    pace = Pace(clock)
    pace.expect([("keras_local", None), ("elephas", None)])
    pace.begins("keras_local", 100)
    clock.now = 20  # imports
    pace.trains()
    clock.now = 30
    pace.epoch(1, 5, seconds=10)
    assert pace.of_this_run() == pytest.approx(40)
    assert pace.remaining() is None
    clock.now = 35
    assert pace.of_this_run() == pytest.approx(35)


def test_epochs_of_an_earlier_process_say_nothing_of_this_one(clock: Clock) -> None:
    pace = Pace(clock)
    pace.begins("keras_local", 100)
    for number in (1, 2, 3):
        pace.epoch(number, 5, seconds=10)
    pace.trains()
    assert pace.of_this_run() is None
    clock.now = 10
    pace.epoch(4, 5, seconds=10)
    assert pace.of_this_run() == pytest.approx(10)


def test_run_of_a_backend_takes_what_it_took_before(clock: Clock) -> None:
    pace = Pace(clock)
    pace.expect([("elephas", None)] * 3)
    made(pace, clock, "elephas", 10, 50, 100)
    assert pace.remaining() == pytest.approx(120)
    pace.begins("elephas", 100)
    clock.now += 20
    assert pace.remaining() == pytest.approx(40 + 60)


def test_other_backend_takes_its_own_start_and_the_training_of_the_others(clock: Clock) -> None:
    pace = Pace(clock)
    pace.expect([("majority", None), ("keras_local", None), ("elephas", None)])
    pace.warms_up("keras_local")
    clock.now += 5
    pace.warms_up("elephas")
    clock.now += 15
    made(pace, clock, "majority", 2, 0, 100)
    assert pace.remaining() is None, "majority trains nothing"
    made(pace, clock, "keras_local", 5, 50, 100)
    assert pace.remaining() == pytest.approx(15 + 50)


def test_training_takes_longer_with_more_images_and_a_refusal_takes_nothing(clock: Clock) -> None:
    pace = Pace(clock)
    pace.expect([("elephas", 100), ("bigdl", 100), ("elephas", 400), ("bigdl", 400)])
    made(pace, clock, "elephas", 10, 50, 100)
    pace.refused("bigdl")
    assert pace.remaining() == pytest.approx(10 + 200)


def test_failed_run_says_nothing_about_the_others(clock: Clock) -> None:
    pace = Pace(clock)
    pace.expect([("elephas", None)] * 2)
    pace.begins("elephas", 100)
    clock.now = 3
    pace.ends({}, finished=False)
    assert pace.remaining() is None
