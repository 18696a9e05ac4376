"""The alias of the best network of a comparison, which is chosen on validation images."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from experiments.comparison.findings import Findings, Row
from experiments.comparison.runs import ComparedRun
from experiments.errors import ExperimentError
from experiments.units import plural

#: Alias of the model version that `promote` selects; nothing else sets it.
BEST = "best"
#: Score by which the network is chosen, at each run's decision threshold.
_SCORE = "validation.f1"


@dataclass(frozen=True)
class Candidate:
    """A run with an F1 on validation images and a registered network."""

    run: ComparedRun
    #: F1 on the validation images at the run's decision threshold.
    score: float
    #: Name and number of the registered version.
    model: str
    version: str


@dataclass(frozen=True)
class Choice:
    """The chosen network, and the candidates among which it was chosen."""

    label: str
    candidate: Candidate
    #: Candidates of the same backend, including the chosen one.
    seeds: tuple[Candidate, ...]
    #: Number of backends that have candidates.
    backends: int

    def sentence(self, units: str) -> str:
        """Return what was chosen and why; ``units`` is the plural of the split's unit."""
        chosen = self.candidate
        seed = chosen.run.record.seed
        mean = f"{_mean(self.seeds):.3f}"
        over = f", mean over {len(self.seeds)} seeds" if len(self.seeds) > 1 else ""
        reasons = []
        if self.backends > 1:
            reasons.append(
                f"of {self.backends} backends, {self.label} has the highest F1 on the validation "
                f"{units} ({mean}{over})"
            )
        if len(self.seeds) > 1:
            reasons.append(
                f"of its seeds, {seed} has the highest F1 on the validation {units} "
                f"({chosen.score:.3f})"
            )
        why = "; ".join(reasons) or f"it is the only network (F1 on the validation {units} {mean})"
        return (
            f"{chosen.model}@{BEST} is now version {chosen.version} ({self.label}, seed {seed}): "
            f"{why}. The test {units} were not used for this choice."
        )


def promote(findings: Findings) -> str:
    """Set the alias ``best`` of the best network's registered version.

    The backend with the highest mean F1 on the validation images is chosen, then its run with the
    highest F1 on them. Of equal ones, the first by name and by seed is chosen.

    Returns
    -------
    str
        A sentence that states what was chosen and why.

    Raises
    ------
    ExperimentError
        If no run has scores on validation images and a registered model, or the alias cannot be
        set.
    """
    from mlflow.exceptions import MlflowException

    choice = choose(findings.rows)
    chosen = choice.candidate
    try:
        chosen.run.client.set_registered_model_alias(chosen.model, BEST, chosen.version)
    except MlflowException as error:
        raise ExperimentError(
            f"the alias {BEST} of {chosen.model} cannot be set: {str(error).splitlines()[0]}"
        ) from error
    return choice.sentence(plural(findings.unit))


def choose(rows: Sequence[Row]) -> Choice:
    """Return the best network of ``rows``; see `promote`.

    Raises
    ------
    ExperimentError
        If no run has scores on validation images and a registered model.
    """
    found = {row.label: _candidates(row) for row in rows}
    found = {label: candidates for label, candidates in found.items() if candidates}
    if not found:
        raise ExperimentError(
            "no network can be promoted: none of these runs has a registered model and an F1 on "
            "validation images, which is recorded since version 0.2; train again"
        )
    label = min(found, key=lambda one: (-_mean(found[one]), one))
    best = min(found[label], key=lambda one: (-one.score, one.run.record.seed))
    return Choice(label, best, found[label], len(found))


def _candidates(row: Row) -> tuple[Candidate, ...]:
    found = []
    for run in row.runs:
        versions = run.client.search_model_versions(f"run_id = '{run.record.run_id}'")
        if versions and _SCORE in run.record.metrics:
            name, number = str(versions[0].name), str(versions[0].version)
            found.append(Candidate(run, run.record.metrics[_SCORE], name, number))
    return tuple(found)


def _mean(candidates: Sequence[Candidate]) -> float:
    return fmean(one.score for one in candidates)
