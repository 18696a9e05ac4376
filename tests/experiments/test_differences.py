"""Sentences about two backends follow from seeds and patients and do not overclaim."""

from dataclasses import replace

import numpy as np
import pytest

from data.config import Unit
from experiments.comparison.difference import Difference
from experiments.comparison.runs import ComparedRun
from experiments.comparison.statistics import differences
from experiments.scoring.uncertainty import Interval
from tests.experiments.made_up import groups_of_skill, made_up, made_up_groups


@pytest.fixture(scope="module")
def groups() -> dict[str, list[ComparedRun]]:
    return made_up_groups()


def difference(
    interval: tuple[float, float, float], p_corrected: float, seeds: int = 3
) -> Difference:
    return Difference(
        Interval(*interval), p_corrected / 6, p_corrected, 0.03, 26, (seeds, seeds), comparisons=6
    )


@pytest.mark.slow
def test_difference_is_shown_where_there_is_one_and_only_there(
    groups: dict[str, list[ComparedRun]],
) -> None:
    compared = differences(groups, "one")
    assert not compared["other"].shown
    assert "no difference from one is shown" in compared["other"].sentence("other", "one")
    blind = compared["blind"]
    assert blind.shown
    assert blind.interval.high < 0
    assert "lower than that of one" in blind.sentence("blind", "one")
    # Holm: the smaller of two p values is doubled, the larger one is unchanged.
    assert blind.p_corrected == pytest.approx(min(1, 2 * blind.p))
    assert compared["other"].p_corrected == pytest.approx(compared["other"].p)


@pytest.mark.slow
def test_luck_of_a_seed_is_no_difference_of_backends() -> None:
    """Two backends with lucky and unlucky seeds: single models differ, the backends do not."""
    luck = {"one": [0.95, 0.75, 0.85], "other": [0.74, 0.94, 0.86]}
    groups = groups_of_skill(luck, np.random.default_rng(4))
    backends = differences(groups, "one")["other"]
    assert not backends.shown
    assert backends.about_backends
    first = differences({name: runs[:1] for name, runs in groups.items()}, "one")["other"]
    assert first.shown
    words = first.sentence("other", "one")
    assert words.startswith("These two trained networks (other and one): other has an F1 0.")
    assert "1 seed, 30 patients" in words
    assert "that of one" not in words


@pytest.mark.slow
def test_one_seed_on_either_side_says_nothing_about_backends(
    groups: dict[str, list[ComparedRun]],
) -> None:
    found = differences({"one": groups["one"], "blind": groups["blind"][:1]}, "one")["blind"]
    assert found.seeds == (1, 3)
    assert found.sentence("blind", "one").startswith("These 4 trained networks (blind and one)")


@pytest.mark.slow
def test_equal_runs_differ_by_nothing(groups: dict[str, list[ComparedRun]]) -> None:
    twin = differences({"one": groups["one"], "twin": groups["one"]}, "one")["twin"]
    assert (twin.interval.low, twin.interval.value, twin.interval.high) == (0, 0, 0)
    assert twin.p == 1
    equal = "the same numbers of right and wrong predictions as with one"
    assert equal in twin.sentence("twin", "one")


@pytest.mark.slow
def test_difference_is_that_of_the_means_over_all_seeds(
    groups: dict[str, list[ComparedRun]],
) -> None:
    found = differences({"one": groups["one"], "other": groups["other"][:2]}, "one")["other"]
    assert found.seeds == (2, 3)
    assert found.interval.low < found.interval.value < found.interval.high


@pytest.mark.slow
def test_repeated_runs_of_a_seed_are_no_more_seeds(groups: dict[str, list[ComparedRun]]) -> None:
    repeated = [replace(run, started_ms=-1) for run in groups["blind"]]
    for again, run in zip(repeated, groups["one"], strict=True):
        again.__dict__["predictions"] = run.predictions
    once = differences(groups, "one")["other"]
    twice = differences({**groups, "other": [*groups["other"], *repeated]}, "one")["other"]
    assert twice.seeds == (3, 3)
    assert twice.interval == once.interval


def test_interval_and_corrected_p_that_disagree_are_both_said() -> None:
    words = difference((-0.05, -0.09, -0.01), 0.12).sentence("elephas", "keras_local")
    assert words.startswith(
        "elephas: F1 0.050 lower than that of keras_local; the 95 % interval without correction "
        "excludes zero (-0.090 to -0.010), but the difference is not significant: p = 0.12 after "
        "Holm's correction for 6 comparisons"
    )
    words = difference((0.05, -0.01, 0.09), 0.01).sentence("elephas", "keras_local")
    assert "higher than that of keras_local by its p value (p = 0.01" in words
    assert "its interval includes zero (95 % interval -0.010 to +0.090" in words


@pytest.mark.parametrize(
    ("interval", "p", "said"), [((0.0, -0.02, 0.02), 0.9, True), ((-0.2, -0.3, -0.1), 0.01, False)]
)
def test_power_is_said_where_no_difference_is_shown(
    interval: tuple[float, float, float], p: float, said: bool
) -> None:
    words = difference(interval, p).sentence("elephas", "keras_local")
    power = "A difference of 0.030 or more would be detected with a probability of 80 %."
    assert (power in words) is said


def test_tiny_p_values_are_not_written_with_an_exponent() -> None:
    words = difference((-0.2, -0.3, -0.1), 3e-9).sentence("elephas", "keras_local")
    assert "p < 0.0001 after Holm's correction for 6 comparisons" in words


def by_unit(unit: str) -> dict[str, list[ComparedRun]]:
    return {
        name: [
            made_up(
                run.predictions["patient_id"].to_numpy(),
                run.predictions["label"].to_numpy(),
                run.predictions["probability_sick"].to_numpy(),
                run.record.seed,
                unit=unit,
            )
            for run in runs
        ]
        for name, runs in made_up_groups().items()
    }


@pytest.mark.slow
def test_sentences_name_the_unit_of_the_split() -> None:
    """Ungrouped images are more units than patients, and the interval is narrower."""
    lesions, images = (differences(by_unit(unit), "one")["blind"] for unit in ("lesion", "image"))
    assert "3 seeds, 30 lesions)." in lesions.sentence("blind", "one")
    assert "3 seeds, 600 distinct images)." in images.sentence("blind", "one")
    assert images.interval.value == lesions.interval.value
    equal = difference((0, 0, 0), 1)
    sentences: dict[Unit, str] = {
        "lesion": "every lesion has the same numbers of right and wrong predictions as with",
        "image": "the same images are classified correctly as with",
    }
    for unit, words in sentences.items():
        assert words in replace(equal, identical=True, unit=unit).sentence("x", "one")


@pytest.mark.slow
def test_detectable_difference_shrinks_with_seeds() -> None:
    luck = [0.82, 0.88, 0.85, 0.83, 0.87, 0.86]
    groups = groups_of_skill({"one": luck, "other": luck[::-1]}, np.random.default_rng(5))
    few = differences({name: runs[:3] for name, runs in groups.items()}, "one")["other"]
    many = differences(groups, "one")["other"]
    assert 0 < many.detectable < few.detectable < 0.3
