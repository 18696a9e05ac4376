"""Difference between two backends, as numbers and as a sentence."""

import math
from dataclasses import dataclass

from data.config import Unit
from experiments.scoring.uncertainty import LEVEL, POWER, Interval
from experiments.units import counted_groups

#: Smaller p values are not written as a number.
SMALLEST_P = 0.0001


def p_text(p: float) -> str:
    """Return a p value with two digits, or ``< 0.0001``."""
    return f"< {SMALLEST_P}" if p < SMALLEST_P else f"{p:.2g}"


@dataclass(frozen=True)
class Difference:
    """Mean F1 of one backend minus that of the baseline, over the same test images."""

    interval: Interval
    #: Two-sided p value: probability of a difference at least as large by chance alone.
    p: float
    #: p value corrected for all comparisons of the table: S. Holm, "A simple
    #: sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    p_corrected: float
    #: Smallest true difference that is detected with a probability of 80 % if it has the smallest p
    #: value of the table; NaN if nothing varies.
    detectable: float
    #: Number of test patients, lesions or groups of equal images, depending on ``unit``.
    groups: int
    #: Number of seeds of the backend and of the baseline.
    seeds: tuple[int, int]
    #: Number of backends that are compared with the baseline.
    comparisons: int = 1
    #: True if every patient has the same errors with both backends, for every seed.
    identical: bool = False
    #: Unit of the split.
    unit: Unit = "patient"
    #: Largest difference that is regarded as irrelevant; None if equivalence is not tested.
    margin: float | None = None
    #: p value of `equivalence_p`, corrected by Holm's method; NaN if equivalence is not tested.
    p_equivalence: float = float("nan")

    @property
    def about_backends(self) -> bool:
        """True if seeds are treated as random; with one seed, two trained networks are compared."""
        return min(self.seeds) > 1

    @property
    def shown(self) -> bool:
        """True if the difference is significant after the correction."""
        return self.p_corrected < LEVEL

    @property
    def only_uncorrected(self) -> bool:
        """True if the interval excludes zero, but the corrected p value is not significant."""
        return self.interval.excludes_zero and not self.shown

    @property
    def equivalent(self) -> bool:
        """True if both F1 are shown to be the same within the margin."""
        return self.margin is not None and self.p_equivalence < LEVEL

    @property
    def verdict(self) -> str:
        """The finding in a few words, for a table."""
        if self.identical:
            return "same predictions"
        direction = "higher" if self.interval.value > 0 else "lower"
        words = "no difference shown"
        if self.shown:
            words = direction
        elif self.only_uncorrected:
            words = f"{direction}; not significant"
            if self.comparisons > 1:
                words += f" after correction for {self.comparisons} comparisons"
        if self.equivalent:
            words += f"; equivalent within {self.margin:g}"
        return words

    def sentence(self, name: str, baseline: str) -> str:
        """Return the finding as a sentence.

        Parameters
        ----------
        name, baseline
            Labels of the backend and of the baseline.
        """
        if self.identical:
            if self.unit == "image":
                return (
                    f"{name}: the same images are classified correctly as with {baseline}, for "
                    "every seed."
                )
            return (
                f"{name}: every {self.unit} has the same numbers of right and wrong predictions as "
                f"with {baseline}, for every seed."
            )
        subject = f"{name}: "
        if not self.about_backends:
            count = "two" if self.seeds == (1, 1) else f"{sum(self.seeds)}"
            subject = f"These {count} trained networks ({name} and {baseline}): "
        words = f"{subject}{self._verdict(name, baseline)}"
        return f"{words}{self._equivalence()}{self._power()}"

    def _verdict(self, name: str, baseline: str) -> str:
        value, low, high = self.interval.value, self.interval.low, self.interval.high
        figures = f"95 % interval {low:+.3f} to {high:+.3f}"
        if not self.interval.known:
            figures = "no interval"
        direction = f"F1 {abs(value):.3f} {'higher' if value > 0 else 'lower'} than"
        if self.about_backends:
            direction += f" that of {baseline}"
            none = f"no difference from {baseline} is shown"
        else:
            direction = f"{name} has an {direction} {baseline}"
            none = "no difference is shown"
        if self.shown and self.interval.excludes_zero:
            return f"{direction} ({figures}, {self._p()}; {self._sample()})."
        if self.shown:
            return (
                f"{direction} by its p value ({self._p()}), but its interval includes zero "
                f"({figures}; {self._sample()})."
            )
        if self.interval.excludes_zero:
            uncorrected = " without correction" if self.comparisons > 1 else ""
            return (
                f"{direction}; the 95 % interval{uncorrected} excludes zero ({low:+.3f} to "
                f"{high:+.3f}), but the difference is not significant: {self._p()} "
                f"({self._sample()})."
            )
        return f"{none} ({value:+.3f}, {figures}, {self._p()}; {self._sample()})."

    def _p(self) -> str:
        text = f"p {'' if self.p_corrected < SMALLEST_P else '= '}{p_text(self.p_corrected)}"
        if self.comparisons == 1:
            return text
        return f"{text} after Holm's correction for {self.comparisons} comparisons"

    def _sample(self) -> str:
        one, other = self.seeds
        seeds = f"{one}" if one == other else f"{one} and {other}"
        sample = counted_groups(self.groups, self.unit)
        return f"{seeds} seed{'' if (one, other) == (1, 1) else 's'}, {sample}"

    def _equivalence(self) -> str:
        if self.margin is None or math.isnan(self.p_equivalence):
            return ""
        equal = "" if self.p_equivalence < SMALLEST_P else "= "
        test = f"two one-sided tests, p {equal}{p_text(self.p_equivalence)}"
        if self.comparisons > 1:
            test += " after Holm's correction"
        if self.equivalent:
            return f" Both F1 are equivalent within a margin of {self.margin:g} ({test})."
        return f" Equivalence within a margin of {self.margin:g} is not shown ({test})."

    def _power(self) -> str:
        if self.shown or math.isnan(self.detectable):
            return ""
        return (
            f" A difference of {self.detectable:.3f} or more would be detected with a probability "
            f"of {100 * POWER:.0f} %."
        )
