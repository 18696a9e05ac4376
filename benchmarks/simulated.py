"""Simulated experiments with known ground truth, to check intervals and tests.

The model follows the malaria cells (130 patients, small_cnn, twelve seeds). A patient has 68
uninfected cells. A quarter of the patients have no infected cells; the others have a log-normal
number (median 37, at most 650). The log error rate of a cell is

    ``base + difficulty(patient) + effect(backend) + seed(backend, seed) + own(run, patient)``

with normally distributed terms: the difficulty of a patient (standard deviation 0.9), the effect of
a seed, drawn independently for every backend and seed, and the effect of a run on single patients.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

Cells = Callable[[tuple[int, ...], np.random.Generator], tuple[np.ndarray, np.ndarray]]

#: Measured standard deviations of the log error rate between patients and between runs.
DIFFICULTY, OWN = 0.9, 0.4
#: Uninfected cells of a patient, and maximum number of infected cells.
_UNINFECTED, _MOST_INFECTED = 68, 650
#: Median and standard deviation of the logarithm of the number of infected cells.
_MEDIAN_INFECTED, _SPREAD_INFECTED = 3.6, 1.6
#: Share of patients without infected cells.
_WITHOUT_INFECTED = 0.25
#: Upper limit of the error rate.
_HIGHEST = 0.95


@dataclass(frozen=True)
class Trial:
    """Parameters of a simulated experiment: two backends on the same patients."""

    seeds: int
    #: Standard deviation of the log error rate between seeds.
    seed_effect: float
    patients: int = 26
    #: Log error rate of the second backend minus that of the first.
    effect: float = 0.0
    #: Standard deviation of the effect of a run on single patients.
    own: float = OWN
    #: Log error rate before all effects.
    base: float = -2.4

    def __str__(self) -> str:
        return (
            f"{self.seeds} seeds, seed effect {self.seed_effect:g}, {self.patients} patients, "
            f"own {self.own:g}"
        )


def draw(
    trial: Trial, experiments: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate experiments; return the counts of each backend.

    Parameters
    ----------
    trial
        Parameters of the experiments.
    experiments
        Number of experiments to simulate.
    generator
        Random number generator.

    Returns
    -------
    tuple of two ndarrays
        True positives and errors by patient, shape (experiments, seeds, 2, patients).
    """
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
    """Return the numbers of infected and uninfected cells of patients, integers of ``shape``."""
    infected = np.exp(generator.normal(_MEDIAN_INFECTED, _SPREAD_INFECTED, shape)).round()
    infected[generator.random(shape) < _WITHOUT_INFECTED] = 0
    return np.minimum(infected, _MOST_INFECTED).astype(int), np.full(shape, _UNINFECTED)


def one_class_cells(
    share: float, shape: tuple[int, ...], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of positive and negative cells of patients with one class each.

    As in C-NMC, a patient has either positive or negative cells, 60 to 140 of them. The share of
    positive patients is ``share``.
    """
    cells = generator.integers(60, 141, shape)
    positive = np.arange(shape[-1]) < max(1, round(share * shape[-1]))
    return cells * positive, cells * ~positive


def mixed_cells(
    share: float, shape: tuple[int, ...], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of positive and negative cells of patients with both classes.

    A patient has 60 to 140 cells. The expected share of positive cells is ``share``.
    """
    cells = generator.integers(60, 141, shape)
    positive = generator.binomial(cells, share)
    return positive, cells - positive


#: Data sets for which intervals are checked: function that draws the cells, and log error rate.
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
    """Simulate one trained network on a data set of ``KINDS``.

    Returns
    -------
    ndarray of shape (experiments, 2, patients)
        True positives and errors by patient.
    """
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
    """Draw errors; return counts in the form of ``uncertainty.f1_of``, shape (..., 2, patients)."""
    rate = np.minimum(np.exp(log_rate), _HIGHEST)
    missed = generator.binomial(positive, rate)
    return np.stack([positive - missed, missed + generator.binomial(negative, rate)], axis=-2)
