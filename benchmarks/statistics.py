"""Error rates of intervals and tests, in simulations and for a backend compared with itself.

With ``data``, the malaria cells, ``keras_local`` is trained with twelve seeds on 3,000 images, and
three seeds are compared with three others in every possible way. These comparisons are not
independent, so the share of differences found complements the simulations and is not a test in
itself.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import experiments
from benchmarks.figures import Figure
from benchmarks.simulated import KINDS, OWN, Trial, draw, sample
from experiments.comparison.runs import find_runs
from experiments.comparison.statistics import counts_of
from experiments.scoring.uncertainty import LEVEL, estimate_difference, f1_of, mean_interval

#: Simulated experiments of each kind per requested repeat.
_EXPERIMENTS = 4000
_EFFECTS = (0.0, 0.1, 0.25, 0.4)
_SEEDS = (3, 5)
_MOST_FALSE, _LEAST_COVERED = 100 * 0.07, 100 * 0.92
_PATIENTS = (8, 10, 12, 16, 26)
#: Number of patients whose F1 is considered the true value.
_POPULATION = 300_000
#: Log error rate of the worse backend minus that of the other; corresponds to 0.065 of F1.
_WORSE = 0.4
#: Seeds trained, seeds on each side of a comparison, and training images.
_OF_ITSELF, _TOGETHER, _IMAGES = 12, 3, 3000


def measure(folder: Path, data: str | None, repeats: int) -> Iterator[Figure]:
    """Yield the rate of false differences, the power and the coverage, in percent.

    The rate of false differences and the coverage are the worst over the simulated settings.
    """
    generator = np.random.default_rng(0)
    for seeds in _SEEDS:
        yield _false_differences(seeds, repeats * _EXPERIMENTS, generator)
        yield from _power(seeds, repeats * _EXPERIMENTS, generator)
    for patients in _PATIENTS:
        yield _coverage(patients, repeats * _EXPERIMENTS, generator)
    if data:
        yield _against_itself(folder, data)


def _rejected(trial: Trial, count: int, generator: np.random.Generator) -> float:
    """Return the percentage of experiments in which a difference is found."""
    p = estimate_difference(*draw(trial, count, generator)).p()
    return float(100 * np.mean(p < LEVEL))


def _false_differences(seeds: int, count: int, generator: np.random.Generator) -> Figure:
    found = {
        (own, effect): _rejected(Trial(seeds, effect, own=own), count, generator)
        for own in (0.0, OWN)
        for effect in _EFFECTS
    }
    measured = "; ".join(
        f"own {own:g}, seed effect {effect:g}: {share:.1f}"
        for (own, effect), share in found.items()
    )
    return Figure(
        f"false differences, {seeds} seeds",
        max(found.values()),
        "%",
        _MOST_FALSE,
        False,
        measured,
    )


def _power(seeds: int, count: int, generator: np.random.Generator) -> Iterator[Figure]:
    for effect in _EFFECTS:
        trial = Trial(seeds, effect, effect=_WORSE)
        one, other = draw(trial, count, generator)
        lost = float(np.mean(f1_of(one) - f1_of(other)))
        found = float(100 * np.mean(estimate_difference(one, other).p() < LEVEL))
        name = f"true difference found, {seeds} seeds, seed effect {effect:g}"
        yield Figure(name, found, "%", None, True, f"F1 {lost:.3f} lower")


def _coverage(patients: int, count: int, generator: np.random.Generator) -> Figure:
    covered = {}
    for kind in KINDS:
        truth = f1_of(sample(kind, _POPULATION // patients, patients, generator).sum(axis=0))
        _, low, high = mean_interval(sample(kind, count, patients, generator)[:, None])
        covered[kind] = float(100 * np.mean((low <= truth) & (truth <= high)))
    return Figure(
        f"95 % intervals that contain the true value, {patients} patients",
        min(covered.values()),
        "%",
        _LEAST_COVERED,
        True,
        "; ".join(f"{kind} {share:.1f}" for kind, share in covered.items()),
    )


def _against_itself(folder: Path, data: str) -> Figure:
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    experiments.run(
        "malaria",
        backends=["keras_local"],
        overrides={
            "data.source": data,
            "data.split.train_images": _IMAGES,
            "seeds": list(range(_OF_ITSELF)),
            "tracking_uri": uri,
        },
        work=folder / "work",
    )
    counts = counts_of(find_runs([uri], folder / "artifacts"))
    pairs = list(_pairs(len(counts)))
    one, other = (counts[[pair[side] for pair in pairs]] for side in (0, 1))
    different = estimate_difference(one, other).p() < LEVEL
    scores = f1_of(counts)
    return Figure(
        f"keras_local different from itself, {_TOGETHER} seeds against {_TOGETHER} others",
        float(100 * different.mean()),
        "%",
        _MOST_FALSE,
        False,
        f"{different.sum():,} of {len(pairs):,}; F1 {scores.min():.3f} to {scores.max():.3f} over "
        f"{len(scores)} seeds",
    )


def _pairs(seeds: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield all pairs of disjoint sets of seeds, each pair once."""
    for one in itertools.combinations(range(seeds), _TOGETHER):
        rest = [seed for seed in range(one[0] + 1, seeds) if seed not in one]
        yield from ((one, other) for other in itertools.combinations(rest, _TOGETHER))
