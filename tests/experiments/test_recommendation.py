"""The recommendation follows from the numbers by the rules that its module states."""

from dataclasses import replace
from math import nan

import pytest

from experiments.comparison.candidates import Candidate
from experiments.comparison.difference import Difference
from experiments.comparison.recommendation import Sample, choose, recommend
from experiments.scoring.uncertainty import Interval

SAMPLE = Sample(
    "26 unseen test patients", "26 patients", "patients", reliable=True, synthetic=False, floor=0.6
)
LOCAL = Candidate(
    "keras_local",
    "keras_local",
    Interval(0.85, 0.80, 0.89),
    difference=None,
    seconds=(98.0, 100.0, 102.0),
    growing_s=80.0,
    comparable=True,
    distributed=False,
)


def other(
    name: str = "elephas",
    difference: tuple[float, float, float] = (-0.004, -0.03, 0.02),
    p: float = 0.7,
    seconds: tuple[float, ...] = (47.0, 48.0, 49.0),
    growing_s: float = 30.0,
) -> Candidate:
    value = LOCAL.f1.value + difference[0]
    found = Difference(Interval(*difference), p / 6, p, 0.041, 26, (3, 3), comparisons=6)
    return Candidate(
        name,
        name,
        Interval(value, value - 0.05, value + 0.04),
        found,
        seconds,
        growing_s,
        comparable=True,
        distributed=True,
    )


def with_margin(candidate: Candidate, p: float) -> Candidate:
    assert candidate.difference is not None
    found = replace(candidate.difference, margin=0.02, p_equivalence=p)
    return replace(candidate, difference=found)


def test_faster_backend_without_a_shown_difference_is_recommended() -> None:
    found = recommend([LOCAL, other()], SAMPLE)
    assert found.paragraph == (
        "Train with elephas. On these 26 unseen test patients no backend is shown to have a higher "
        "F1 than one Keras process (keras_local). elephas takes 48 s per run instead of 100 s (2.1 "
        "times as fast); its F1 is 0.004 lower, which is not significant (95 % interval -0.030 to "
        "+0.020). What this does not tell you: whether there is a difference in F1 below 0.041, "
        "which with 26 patients is detected with a probability of less than 80 %; whether the same "
        "holds for images from another laboratory or device; how long a run takes on another "
        "machine."
    )
    assert "same F1" not in found.paragraph


def test_interval_and_corrected_test_that_disagree_are_both_stated() -> None:
    found = recommend([LOCAL, other(difference=(0.02, 0.002, 0.038), p=0.2)], SAMPLE)
    assert found.headline == "Train with elephas."
    assert (
        "its F1 is 0.020 higher (95 % interval +0.002 to +0.038), which is not significant after "
        "correction for 6 comparisons."
    ) in found.reasons


@pytest.mark.parametrize(
    "seconds",
    [(47.0, 48.0, 99.0), (92.0, 93.0, 94.0), (120.0, 121.0, 122.0)],
    ids=["overlapping", "less than 1.1 times", "slower"],
)
def test_backend_that_is_not_clearly_faster_is_not_recommended(seconds: tuple[float, ...]) -> None:
    found = recommend([LOCAL, other(seconds=seconds)], SAMPLE)
    assert found.headline == "Train with keras_local."
    if seconds[0] < 100:
        assert "not clearly more than the variation between runs" in found.reasons


def test_faster_backend_with_a_lower_f1_is_not_recommended() -> None:
    """Not even if the difference is not significant after correction."""
    lower = other(difference=(-0.05, -0.09, -0.01), p=0.12)
    found = recommend([LOCAL, lower], SAMPLE)
    assert found.headline == "Train with keras_local."
    assert (
        "elephas is 2.1 times as fast, but its F1 is 0.050 lower (not significant after "
        "correction for 6 comparisons)." in found.reasons
    )


def test_wide_interval_never_qualifies_a_faster_backend() -> None:
    """A backend with few successes is not recommended because its F1 is uncertain."""
    noisy = other("pandas_udf", (-0.216, -0.555, 0.104), p=0.25)
    found = recommend([LOCAL, noisy, other(seconds=(150.0, 151.0))], SAMPLE)
    assert found.headline == "Train with keras_local."
    assert (
        "pandas_udf is 2.1 times as fast, but its F1 may be lower by more than 0.05 (95 % interval "
        "of the difference -0.555 to +0.104)." in found.reasons
    )
    assert not any("pandas_udf" in text for _, text in found.settings)


def test_backends_below_the_majority_class_are_never_recommended() -> None:
    above = other("elephas", (0.02, -0.01, 0.05), p=0.3, seconds=(300.0,))
    found = recommend([LOCAL, above, other("fast")], replace(SAMPLE, floor=0.855))
    assert found.headline == "Train with elephas."
    assert "(0.850) does not exceed that of the most frequent class (0.855)" in found.reasons
    worst = recommend([LOCAL, other("fast")], replace(SAMPLE, floor=0.848))
    assert worst.headline == "Train with keras_local."


def test_seconds_that_are_not_comparable_decide_nothing() -> None:
    elsewhere = replace(other(), comparable=False)
    found = recommend([LOCAL, elsewhere], SAMPLE)
    assert found.headline == "Train with keras_local."
    assert "as fast" not in found.paragraph
    assert "Of the backends with comparable run times, it has the shortest runs" in found.paragraph
    slower = recommend([LOCAL, other(seconds=(120.0, 121.0, 122.0))], SAMPLE)
    assert "It also has the shortest runs" in slower.paragraph


def test_shown_higher_f1_takes_precedence_over_time() -> None:
    better = other("bigdl", (0.05, 0.02, 0.08), p=0.004, seconds=(200.0, 210.0))
    best = other("torch", (0.06, 0.02, 0.10), p=0.01, seconds=(300.0,))
    found = recommend([LOCAL, other(), better, best], SAMPLE)
    assert found.headline == "Train with torch."
    assert "its F1 is 0.060 higher than that of one Keras process (keras_local)" in found.reasons
    assert "(3.0 times as long)" in found.reasons
    assert "bigdl also has a higher F1" in found.reasons
    assert "differences among these backends are not tested" in found.reasons
    assert "below 0.041" not in found.caveat


def test_higher_mean_alone_is_no_reason() -> None:
    lucky = other("bigdl", (0.05, -0.01, 0.10), p=0.3, seconds=(200.0, 210.0))
    assert choose([LOCAL, lucky]) is LOCAL


def test_margin_admits_only_equivalent_backends() -> None:
    fast = with_margin(other(), 0.3)
    slower = with_margin(other("bigdl", seconds=(70.0, 71.0)), 0.01)
    found = recommend([LOCAL, fast, slower], SAMPLE)
    assert found.headline == "Train with bigdl."
    assert "its F1 is equivalent within a margin of 0.02" in found.reasons
    alone = recommend([LOCAL, fast], SAMPLE)
    assert alone.headline == "Train with keras_local."
    assert "2.1 times as fast, but its F1 is not shown to be equivalent" in alone.reasons


@pytest.mark.parametrize(
    ("sample", "found", "words"),
    [
        (replace(SAMPLE, reliable=False, counted="3 patients"), [LOCAL, other()], "has 3 patients"),
        (replace(SAMPLE, floor=0.9), [LOCAL, other()], "prediction of the most frequent class"),
        (SAMPLE, [], "No run of a backend that trains"),
        (SAMPLE, [other()], "name one that does with --baseline"),
    ],
)
def test_no_backend_is_recommended_without_a_basis(
    sample: Sample, found: list[Candidate], words: str
) -> None:
    result = recommend(found, sample)
    assert result.headline == "No backend can be recommended."
    assert words in result.reasons
    assert result.settings == ()


def test_floor_that_was_not_run_excludes_nothing() -> None:
    assert recommend([LOCAL, other()], replace(SAMPLE, floor=nan)).headline.startswith("Train")


def test_one_backend_is_called_the_only_one() -> None:
    found = recommend([LOCAL], SAMPLE)
    assert "it is the only backend compared (F1 0.850 (0.800-0.890))" in found.reasons


def test_limits_name_single_seeds_and_synthetic_cells() -> None:
    single = other()
    assert single.difference is not None
    single = replace(single, difference=replace(single.difference, seeds=(1, 1)))
    caveat = recommend([LOCAL, single], replace(SAMPLE, synthetic=True)).caveat
    assert "the results describe single trained networks" in caveat
    assert "anything about patients, because the cells are synthetic" in caveat
    assert "another laboratory" not in caveat


def test_more_images_are_estimated_from_the_phases_that_grow() -> None:
    """With 10 times as many images 100 s become 100 + 9 x 80 s and 150 s become 150 + 9 x 10 s."""
    starting = other("torch", seconds=(150.0, 150.0), growing_s=10.0)
    found = recommend([LOCAL, starting], SAMPLE)
    assert found.headline == "Train with keras_local."
    (_, here), (_, more), (_, cluster) = found.settings
    assert here == "keras_local: 100 s per run, measured."
    # 100 + 70 (k - 1) = 150 at k = 1.71.
    assert more.startswith("torch (240 s; keras_local 820 s), which is faster from about 1.7 times")
    assert "sparkdl-bench scale" in more
    assert cluster.startswith("Not measured: all runs were made on one machine. torch divides")


def test_cluster_is_answered_by_runs_on_another_platform() -> None:
    away = replace(other("elephas (emr)"), platform="emr", comparable=False)
    cluster = dict(recommend([LOCAL, away], SAMPLE).settings)["A cluster"]
    assert cluster == "elephas (emr): 48 s per run, measured on emr."
    alone = dict(recommend([LOCAL], SAMPLE).settings)["A cluster"]
    assert alone.startswith("Not measured. None of the backends")
