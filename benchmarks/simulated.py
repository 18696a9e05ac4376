"""Simulated experiments whose truth is known: how often intervals and tests are right.

The model is that of malaria cells (130 patients, small_cnn, twelve seeds). A patient has 68
uninfected cells; a quarter of the patients have no infected ones, the others a log-normal number
(median 37, at most 650). The log error rate of a cell is

    ``base + difficulty(patient) + effect(backend) + seed(backend, seed) + own(run, patient)``

with normal terms: the difficulty of a patient (standard deviation 0.9), the luck of a seed, drawn
for every backend and seed independently, and what a run makes of single patients.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

Cells = Callable[[tuple[int, ...], np.random.Generator], tuple[np.ndarray, np.ndarray]]

#: Standard deviations of the log error rate, as measured between patients and between runs.
DIFFICULTY, OWN = 0.9, 0.4
_UNINFECTED, _MOST_INFECTED = 68, 650
_MEDIAN_INFECTED, _SPREAD_INFECTED = 3.6, 1.6  # of the logarithm
_WITHOUT_INFECTED = 0.25
#: No error rate is higher.
_HIGHEST = 0.95


@dataclass(frozen=True)
class Trial:
    """One kind of experiment: two backends over the same patients."""

    seeds: int
    #: Standard deviation of the log error rate between seeds.
    seed_effect: float
    patients: int = 26
    #: Log error rate of the second backend less that of the first.
    effect: float = 0.0
    own: float = OWN
    base: float = -2.4

    def __str__(self) -> str:
        return (
            f"{self.seeds} seeds, seed effect {self.seed_effect:g}, {self.patients} patients, "
            f"own {self.own:g}"
        )


def draw(
    trial: Trial, experiments: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return counts of both backends, each of shape (experiments, seeds, 2, patients)."""
    infected, uninfected = malaria_cells((experiments, 1, trial.patients), generator)
    difficulty = generator.normal(0, DIFFICULTY, infected.shape)
    shape = (experiments, trial.seeds)
    found = []
    for effect in (0.0, trial.effect):
        seed = generator.normal(0, trial.seed_effect, (*shape, 1))
        own = generator.normal(0, trial.own, (*shape, trial.patients))
        log_rate = trial.base + effect + difficulty + seed + own
        found.append(errors(infected, uninfected, log_rate, generator))
    return found[0], found[1]


def malaria_cells(
    shape: tuple[int, ...], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return infected and uninfected cells of patients; integers of ``shape``."""
    infected = np.exp(generator.normal(_MEDIAN_INFECTED, _SPREAD_INFECTED, shape)).round()
    infected[generator.random(shape) < _WITHOUT_INFECTED] = 0
    return np.minimum(infected, _MOST_INFECTED).astype(int), np.full(shape, _UNINFECTED)


def one_class_cells(
    share: float, shape: tuple[int, ...], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return positive and negative cells of patients who have one class each, as in C-NMC.

    ``share`` of the patients are positive; a patient has 60 to 140 cells.
    """
    cells = generator.integers(60, 141, shape)
    positive = np.arange(shape[-1]) < max(1, round(share * shape[-1]))
    return cells * positive, cells * ~positive


def mixed_cells(
    share: float, shape: tuple[int, ...], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return positive and negative cells of patients who have both classes.

    ``share`` of the cells are positive; a patient has 60 to 140 cells.
    """
    cells = generator.integers(60, 141, shape)
    positive = generator.binomial(cells, share)
    return positive, cells - positive


#: Data sets for which intervals are checked: cells by patient and the log error rate.
KINDS: dict[str, tuple[Cells, float]] = {
    "malaria": (malaria_cells, -2.2),
    "malaria, rare errors": (malaria_cells, -3.0),
    "one class": (partial(one_class_cells, 0.5), -2.2),
    "one class, 1:3": (partial(one_class_cells, 0.25), -2.2),
    "mixed": (partial(mixed_cells, 0.5), -2.2),
    "mixed, 1:6": (partial(mixed_cells, 0.15), -2.6),
    "mixed, hardly an error": (partial(mixed_cells, 0.5), -6.0),
}


def sample(
    kind: str, experiments: int, patients: int, generator: np.random.Generator
) -> np.ndarray:
    """Return counts of one trained network on a data set of ``KINDS``, for each experiment."""
    cells, base = KINDS[kind]
    positive, negative = cells((experiments, patients), generator)
    log_rate = base + generator.normal(0, DIFFICULTY, positive.shape)
    return errors(positive, negative, log_rate, generator)


def errors(
    positive: np.ndarray,
    negative: np.ndarray,
    log_rate: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return counts as ``uncertainty.f1_of`` takes them, shape (..., 2, patients)."""
    rate = np.minimum(np.exp(log_rate), _HIGHEST)
    missed = generator.binomial(positive, rate)
    return np.stack([positive - missed, missed + generator.binomial(negative, rate)], axis=-2)
