"""Equivalence is claimed only if the 90 % interval lies within the margin."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.comparison.difference import Difference
from experiments.comparison.statistics import counts_of, differences
from experiments.scoring.equivalence import equivalence_p
from experiments.scoring.uncertainty import Interval, as_difference, estimate_difference
from tests.experiments.made_up import made_up_groups


def counts(generator: np.random.Generator, share: float, seeds: int = 3) -> np.ndarray:
    """Return true positives and errors of 30 patients with 20 images each."""
    hits = generator.binomial(10, share, (seeds, 30))
    errors = generator.binomial(20, 1 - share, (seeds, 30))
    return np.stack([hits, errors], axis=1).astype(float)


def test_equivalence_is_that_the_interval_of_90_percent_lies_within_the_margin() -> None:
    generator = np.random.default_rng(2)
    for _ in range(20):
        one, other = counts(generator, 0.85), counts(generator, generator.uniform(0.82, 0.88))
        found = estimate_difference(one, other)
        ends = [
            float(as_difference(one, other, found.value + side * found.reach(0.10)))
            for side in (-1, 1)
        ]
        widest = max(map(abs, ends))
        assert equivalence_p(one, other, widest + 1e-6) < 0.05
        assert equivalence_p(one, other, widest - 1e-6) > 0.05


def test_p_value_is_the_larger_one_of_two_one_sided_t_tests() -> None:
    from scipy.stats import t

    generator = np.random.default_rng(3)
    one, other = counts(generator, 0.85), counts(generator, 0.85)
    found = estimate_difference(one, other)
    grid = np.linspace(0, 5, 500_001)
    limit = grid[np.searchsorted(as_difference(one, other, grid), 0.04)]
    error = np.sqrt(found.variance)
    expected = max(
        t.sf((found.value + limit) / error, found.freedom),
        t.sf((limit - found.value) / error, found.freedom),
    )
    assert equivalence_p(one, other, 0.04) == pytest.approx(float(expected), rel=1e-3)


def test_runs_without_any_variation_show_no_equivalence() -> None:
    same = counts(np.random.default_rng(4), 0.85, seeds=1)
    assert np.isnan(equivalence_p(same, same, 0.02))


@pytest.mark.parametrize("margin", [0, -0.1, 1, float("nan")])
def test_margin_is_a_difference_of_f1(margin: float) -> None:
    one = counts(np.random.default_rng(4), 0.85)
    with pytest.raises(ValueError, match="between 0 and 1"):
        equivalence_p(one, one[::-1], margin)


def test_equal_backends_are_equivalent_only_within_a_wide_margin() -> None:
    groups = made_up_groups()
    wide, narrow = (differences(groups, "one", margin) for margin in (0.1, 0.001))
    assert wide["other"].equivalent
    assert "equivalent within a margin of 0.1" in wide["other"].sentence("other", "one")
    assert not wide["blind"].equivalent
    assert not narrow["other"].equivalent
    assert "margin of 0.001 is not shown" in narrow["other"].sentence("other", "one")
    # Holm: the smaller of two p values is doubled.
    p = equivalence_p(counts_of(groups["other"]), counts_of(groups["one"]), 0.1)
    assert wide["other"].p_equivalence == pytest.approx(2 * p)
    without = differences(groups, "one")["other"]
    assert not without.equivalent
    assert "quivalen" not in without.sentence("other", "one")


def test_verdict_never_calls_a_missing_difference_equality() -> None:
    """And it names both results if the interval and the corrected test disagree."""
    found = Difference(Interval(-0.05, -0.09, -0.01), 0.02, 0.12, 0.03, 26, (3, 3), comparisons=6)
    assert found.verdict == "lower; not significant after correction for 6 comparisons"
    assert replace(found, p_corrected=0.01).verdict == "lower"
    unclear = replace(found, interval=Interval(0.01, -0.02, 0.04))
    assert unclear.verdict == "no difference shown"
    assert replace(unclear, margin=0.05, p_equivalence=0.01).verdict == (
        "no difference shown; equivalent within 0.05"
    )
    assert replace(unclear, margin=0.05, p_equivalence=0.2).verdict == "no difference shown"
