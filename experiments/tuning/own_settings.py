"""The experiment's own settings as the first trial of a search, and the gain of the search."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backends import Backend
from backends.search import Choices, Range, Values
from experiments.config import Experiment
from experiments.tuning.space import Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

#: Attribute of the trial with the experiment's own settings: the keys whose values are in the
#: search space. The experiment's values of the other keys are outside it.
OWN = "own_settings"


def own_settings(experiment: Experiment, backend: Backend, space: Space) -> dict[str, Any]:
    """Return the experiment's values of the keys of ``space``, omitting values outside it."""
    values = {key: _value(experiment, backend, key) for key in space}
    return {key: value for key, value in values.items() if _contains(space[key], value)}


def enqueue_own(study: "Study", params: Mapping[str, Any]) -> None:
    """Enqueue the experiment's own settings as the first trial of a new ``study``."""
    if not study.get_trials(deepcopy=False):
        study.enqueue_trial(dict(params), user_attrs={OWN: sorted(params)})


def enqueue_again(study: "Study", trial: "Trial | FrozenTrial") -> None:
    """Enqueue a trial again that was interrupted."""
    own = trial.user_attrs.get(OWN)
    study.enqueue_trial(trial.params, user_attrs={} if own is None else {OWN: own})


def is_own(trial: "Trial | FrozenTrial") -> bool:
    """Return whether a trial uses the experiment's own settings."""
    return OWN in trial.user_attrs


def space_of(trial: "Trial", space: Space) -> Space:
    """Return the search space of ``trial``.

    For the trial with the experiment's own settings it is restricted to the keys enqueued for it.
    """
    if not is_own(trial):
        return space
    return {key: values for key, values in space.items() if key in trial.user_attrs[OWN]}


def gain(study: "Study", objective: str) -> str:
    """Return a sentence that compares the best trial with the experiment's own settings."""
    complete = [t for t in study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
    own = next((trial for trial in complete if is_own(trial)), None)
    if own is None or own.value is None:
        return (
            "the trial with the experiment's own settings has no result, so it is unknown whether "
            "the best trial is better"
        )
    best = study.best_trial
    assert best.value is not None
    before = f"the experiment's own settings (trial {own.number})"
    difference = abs(best.value - own.value)
    if best.number == own.number or not difference:
        return f"no trial is better than {before}: {objective} {own.value:.4f} on validation images"
    direction = "higher" if best.value > own.value else "lower"
    return (
        f"trial {best.number} is better than {before}: {objective} {best.value:.4f} instead of "
        f"{own.value:.4f} on the validation images, {difference:.4f} {direction}; part of this may "
        "be chance, because the trial was selected on the same images"
    )


def _value(experiment: Experiment, backend: Backend, key: str) -> Any:
    prefix = f"backend_options.{backend.name}."
    if key.startswith(prefix):
        options = backend.options(**experiment.backend_options.get(backend.name, {}))
        return getattr(options, key.removeprefix(prefix), None)
    value: Any = experiment
    for part in key.split("."):
        value = getattr(value, part, None)
    return value


def _contains(values: Values, value: Any) -> bool:
    if isinstance(values, Choices):
        # In Python, True equals 1; here they are different values.
        return any(
            isinstance(one, bool) == isinstance(value, bool) and one == value
            for one in values.values
        )
    assert isinstance(values, Range)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and values.low <= value <= values.high
