"""Recommendation of a backend, derived from the results of a comparison by fixed rules.

1. No backend is recommended if the test set is too small for a test of F1, or if no backend exceeds
   the F1 of the majority class.
2. If backends are shown to have a higher F1 than the baseline (after Holm's correction), the one
   with the highest F1 is recommended.
3. Otherwise the time decides among the baseline and the backends that are shown not to be inferior:
   their interval excludes a loss of F1 of more than 0.05, or they are equivalent within the margin.
   One is recommended instead of the baseline only if all its runs are shorter than all runs of the
   baseline and its mean is at least 1.1 times as fast.
4. If the baseline does not exceed the F1 of the majority class, the backend with the highest F1 is
   recommended instead.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.comparison.candidates import LARGEST_LOSS, Candidate, candidates, suitable
from experiments.comparison.difference import p_text
from experiments.comparison.findings import FLOOR, Findings
from experiments.scoring.uncertainty import POWER, RELIABLE_PATIENTS
from experiments.units import counted, plural

#: Factor of images for which the seconds are estimated.
MORE = 10
#: Beginning of the sentence on the shortest runs if those of some backends are not comparable.
_AMONG = "Of the backends with comparable run times, it has"
#: Differences of F1 below this are not written as a number.
_SMALLEST = 0.0005


@dataclass(frozen=True)
class Sample:
    """What the results are based on."""

    #: Description of the test set: ``26 unseen test patients``.
    sample: str
    #: Number of units in the test set, with the unit: ``26 patients``.
    counted: str
    units: str
    reliable: bool
    synthetic: bool
    #: F1 of the majority class; NaN if it has not been run.
    floor: float


@dataclass(frozen=True)
class Recommendation:
    """Recommendation with its reasons and limits, as sentences."""

    #: First sentence: ``Train with elephas.``
    headline: str
    #: Sentences on why.
    reasons: str
    #: What the results do not show, as parts of one sentence.
    limits: tuple[str, ...]
    #: Recommendations by setting, as pairs of setting and sentences.
    settings: tuple[tuple[str, str], ...]
    #: Label of the recommended backend; empty if there is none.
    choice: str = ""

    @property
    def caveat(self) -> str:
        """The limits as a sentence."""
        return f"What this does not tell you: {'; '.join(self.limits)}."

    @property
    def paragraph(self) -> str:
        """The recommendation without the settings."""
        return f"{self.headline} {self.reasons} {self.caveat}"


def recommendation(findings: Findings) -> Recommendation:
    """Return the recommendation for a comparison."""
    floor = [row.f1.value for row in findings.rows if row.backend == FLOOR]
    sample = Sample(
        sample=findings.sample,
        counted=counted(findings.groups, findings.unit),
        units=plural(findings.unit),
        reliable=findings.reliable,
        synthetic=findings.synthetic,
        floor=floor[0] if floor else math.nan,
    )
    return recommend(candidates(findings), sample)


def recommend(found: Sequence[Candidate], sample: Sample) -> Recommendation:
    """Return the recommendation of one of several backends.

    Parameters
    ----------
    found
        Backends that train. The baseline is the one without a difference.
    sample
        What the results are based on.
    """
    if reason := _impossible(found, sample):
        headline = "No backend can be recommended."
        return Recommendation(headline, reason, _limits(found, None, sample), ())
    base = baseline_of(found)
    choice = choose(found, sample.floor)
    pool = suitable(found, sample.floor)
    return Recommendation(
        f"Train with {choice.label}.",
        _reasons(choice, base, found, sample),
        _limits(found, choice, sample),
        (
            ("This number of images, one machine", _here(choice)),
            ("More images, one machine", _more(choice, pool)),
            ("A cluster", _cluster(pool)),
        ),
        choice.label,
    )


def baseline_of(found: Sequence[Candidate]) -> Candidate:
    """Return the backend with which the others are compared."""
    return next(one for one in found if one.difference is None)


def choose(found: Sequence[Candidate], floor: float = math.nan) -> Candidate:
    """Return the recommended backend by the second to fourth rule of this module."""
    base, pool = baseline_of(found), suitable(found, floor)
    if pool[0].better or base not in pool:
        return max(pool, key=lambda one: one.f1.value)
    faster = [one for one in pool if one.faster(base)]
    return min(faster, key=lambda one: one.total_s, default=base)


def _impossible(found: Sequence[Candidate], sample: Sample) -> str:
    """Return why no backend can be recommended; empty if one can."""
    if not found:
        return "No run of a backend that trains a model has finished."
    if all(one.difference is not None for one in found):
        return (
            "The backend with which the others are compared trains no model; name one that does "
            "with --baseline."
        )
    if not sample.reliable:
        return (
            f"The test set has {sample.counted}; the intervals and tests of F1 are reliable from "
            f"{RELIABLE_PATIENTS} {sample.units} on."
        )
    if all(one.f1.value <= sample.floor for one in found):
        return (
            "No backend has a higher F1 than the prediction of the most frequent class "
            f"({sample.floor:.3f}): the trained networks have learned nothing that helps on "
            f"{sample.sample}. Train for more epochs, or with another learning rate."
        )
    return ""


def _reasons(choice: Candidate, base: Candidate, found: Sequence[Candidate], sample: Sample) -> str:
    if len(found) == 1:
        return f"On these {sample.sample} it is the only backend compared (F1 {choice.f1})."
    if choice.better and choice.difference is not None:
        return _because_better(choice, base, found, sample)
    if base.f1.value <= sample.floor:
        return (
            f"On these {sample.sample} the F1 of {base.title} ({base.f1.value:.3f}) does not "
            f"exceed that of the most frequent class ({sample.floor:.3f}). Of the backends that "
            f"exceed it, {choice.label} has the highest F1 ({choice.f1})."
        )
    sentences = [
        f"On these {sample.sample} no backend is shown to have a higher F1 than {base.title}."
    ]
    if choice is not base:
        sentences.append(_because_faster(choice, base))
    elif faster := [one for one in found if one.speedup(base) > 1]:
        sentences.append(_faster_but(faster, base))
    else:
        among = "It also has" if all(one.comparable for one in found) else _AMONG
        sentences.append(f"{among} the shortest runs ({base.total_s:,.0f} s).")
    return " ".join(sentences)


def _because_better(
    choice: Candidate, base: Candidate, found: Sequence[Candidate], sample: Sample
) -> str:
    difference = choice.difference
    assert difference is not None
    interval = difference.interval
    words = (
        f"On these {sample.sample} its F1 is {interval.value:.3f} higher than that of {base.title} "
        f"(95 % interval {interval.low:+.3f} to {interval.high:+.3f}; significant"
        f"{' after correction' if difference.comparisons > 1 else ''}, "
        f"p value {p_text(difference.p_corrected)}).{_time_of(choice, base)}"
    )
    others = [one.label for one in found if one.better and one is not choice]
    if others:
        words += f" {_listed(others)} also {_verb(others)} a higher F1 than {base.title}; "
        words += "differences among these backends are not tested."
    return words


def _because_faster(choice: Candidate, base: Candidate) -> str:
    times = (
        f"{choice.label} takes {choice.total_s:,.0f} s per run instead of {base.total_s:,.0f} s "
        f"({choice.speedup(base):.1f} times as fast)"
    )
    found = choice.difference
    assert found is not None
    interval = found.interval
    if found.identical:
        return f"{times} and makes the same numbers of right and wrong predictions."
    if found.equivalent:
        return f"{times}, and its F1 is equivalent within a margin of {found.margin:g}."
    size = abs(interval.value)
    gap = f"its F1 is {size:.3f} {'higher' if interval.value > 0 else 'lower'}"
    if size < _SMALLEST:
        gap = f"its F1 differs by less than {_SMALLEST}"
    known = (
        f"95 % interval {interval.low:+.3f} to {interval.high:+.3f}"
        if interval.known
        else "no interval"
    )
    if interval.excludes_zero:
        after = f" after correction for {found.comparisons} comparisons"
        return (
            f"{times}; {gap} ({known}), which is not significant"
            f"{after if found.comparisons > 1 else ''}."
        )
    return f"{times}; {gap}, which is not significant ({known})."


def _faster_but(faster: Sequence[Candidate], base: Candidate) -> str:
    """Return why no faster backend is recommended instead of the baseline."""
    best = min(faster, key=lambda one: one.total_s)
    ratio = f"{best.label} is {best.speedup(base):.1f} times as fast"
    if best.worse and best.difference is not None:
        gap = abs(best.difference.interval.value)
        shown = best.difference.verdict.removeprefix("lower").removeprefix("; ") or "significant"
        return f"{ratio}, but its F1 is {gap:.3f} lower ({shown})."
    if not best.faster(base):
        return f"{ratio} in mean, which is not clearly more than the variation between runs."
    found = best.difference
    if found is None or found.margin is not None or not found.interval.known:
        return f"{ratio}, but its F1 is not shown to be equivalent."
    return (
        f"{ratio}, but its F1 may be lower by more than {LARGEST_LOSS:g} (95 % interval of the "
        f"difference {found.interval.low:+.3f} to {found.interval.high:+.3f})."
    )


def _time_of(choice: Candidate, base: Candidate) -> str:
    ratio = choice.speedup(base)
    if math.isnan(ratio):
        return " Its seconds are not comparable with those of the baseline."
    times = f"{choice.total_s:,.0f} s per run instead of {base.total_s:,.0f} s"
    if ratio >= 1:
        return f" It takes {times} ({ratio:.1f} times as fast)."
    return f" It takes {times} ({1 / ratio:.1f} times as long)."


def _limits(
    found: Sequence[Candidate], choice: Candidate | None, sample: Sample
) -> tuple[str, ...]:
    limits = []
    known = [one.difference for one in found if one.difference is not None]
    own = choice.difference if choice is not None else None
    detectable = [one.detectable for one in ([own] if own else known)]
    detectable = [value for value in detectable if not math.isnan(value)]
    shown = choice is not None and choice.better
    if detectable and sample.reliable and not shown:
        limits.append(
            f"whether there is a difference in F1 below {max(detectable):.3f}, which with "
            f"{sample.counted} is detected with a probability of less than {100 * POWER:.0f} %"
        )
    if known and not all(one.about_backends for one in known):
        limits.append(
            "whether the same holds for another seed, because the results describe single trained "
            "networks"
        )
    if sample.synthetic:
        limits.append("anything about patients, because the cells are synthetic")
    else:
        limits.append("whether the same holds for images from another laboratory or device")
    limits.append("how long a run takes on another machine")
    return tuple(limits)


def _here(choice: Candidate) -> str:
    seconds = "" if math.isnan(choice.total_s) else f": {choice.total_s:,.0f} s per run, measured"
    return f"{choice.label}{seconds}."


def _more(choice: Candidate, pool: Sequence[Candidate]) -> str:
    """Return the backend that is estimated to be the fastest with more images."""
    known = [
        one for one in pool if one.comparable and not math.isnan(one.total_s) and one.growing_s > 0
    ]
    if choice not in known:
        return "Not estimated: the seconds of the phases are not recorded."
    best = min(known, key=lambda one: one.seconds_at(MORE))
    basis = (
        f"Estimate for {MORE} times as many images: reading, training and prediction are taken to "
        "grow in proportion, everything else to stay the same. F1 may change with more images. "
        "Measure it with sparkdl-bench scale."
    )
    ahead = f"{best.seconds_at(MORE):,.0f} s"
    if best is choice or best.seconds_at(MORE) * 1.1 > choice.seconds_at(MORE):
        return f"{choice.label} ({choice.seconds_at(MORE):,.0f} s). {basis}"
    since = best.overtakes(choice)
    return (
        f"{best.label} ({ahead}; {choice.label} {choice.seconds_at(MORE):,.0f} s), which is faster "
        f"from about {since:.1f} times as many images on. {basis}"
    )


def _cluster(pool: Sequence[Candidate]) -> str:
    """Return what the comparison says about clusters: the measured platforms, or candidates."""
    elsewhere = [one for one in pool if one.platform != "here"]
    if elsewhere:
        best = min(elsewhere, key=lambda one: (math.isnan(one.total_s), one.total_s))
        return f"{best.label}: {best.total_s:,.0f} s per run, measured on {best.platform}."
    names = [one.label for one in pool if one.distributed]
    if not names:
        return "Not measured. None of the backends above divides the training among executors."
    divides = "divides" if len(names) == 1 else "divide"
    return (
        f"Not measured: all runs were made on one machine. {_listed(names)} {divides} the training "
        "among executors; repeat the comparison on the cluster before choosing."
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _verb(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"
