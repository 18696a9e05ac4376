"""Search space: the settings that a search varies, and their values."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from backends import Backend
from backends.search import Choices, Range, Values
from experiments.config import Experiment
from experiments.errors import ExperimentError

if TYPE_CHECKING:
    from optuna import Trial

#: Prefixes of the keys that affect training but neither the data nor the comparison.
_ALLOWED = ("optimizer.", "model.", "backend_options.", "epochs", "batch_size")
_GLOBAL_BATCHES = (16, 32, 64, 128)
_RANGE = ".."
_LOG = "log:"

Space = Mapping[str, Values]


def default_space(experiment: Experiment, backend: Backend) -> dict[str, Values]:
    """Return the default search space of ``backend``, by dotted key of the experiment.

    Raises
    ------
    ExperimentError
        If the backend has no settings to vary.
    """
    space: dict[str, Values] = {}
    if backend.trains == "network":
        batches = [size for size in _GLOBAL_BATCHES if size % experiment.workers == 0]
        space["optimizer.learning_rate"] = Range(1e-4, 1e-1, log=True)
        space["batch_size"] = Choices(tuple(batches or [experiment.batch_size]))
        space["model.dropout"] = Range(0.0, 0.5)
        if not experiment.model.on_features:
            space["model.augmentation"] = Choices((False, True))
    space |= {f"backend_options.{backend.name}.{key}": v for key, v in backend.tunable.items()}
    if not space:
        raise ExperimentError(f"{backend.name} has no settings that a search could vary")
    return space


def parse_space(texts: Sequence[str]) -> dict[str, Values]:
    """Parse a search space from ``KEY=LOW..HIGH``, ``KEY=log:LOW..HIGH`` or ``KEY=[A, B]``.

    Parameters
    ----------
    texts
        Values of the option ``--search``.

    Returns
    -------
    dict
        Values to try, by dotted key.

    Raises
    ------
    ExperimentError
        If a text has none of these forms, or its key is given twice or does not affect training
        only.
    """
    space: dict[str, Values] = {}
    for key, values in map(_parse, texts):
        if key in space:
            raise ExperimentError(
                f"--search {key} is given twice: give all values of a key at once"
            )
        space[key] = values
    return space


def suggest(trial: "Trial", space: Space) -> dict[str, Any]:
    """Return one value for each key, proposed by Optuna's sampler."""
    return {key: _suggest(trial, key, values) for key, values in space.items()}


def _suggest(trial: "Trial", key: str, values: Values) -> Any:
    if isinstance(values, Choices):
        return trial.suggest_categorical(key, values.values)
    if isinstance(values.low, int) and isinstance(values.high, int):
        return trial.suggest_int(key, values.low, values.high, log=values.log)
    return trial.suggest_float(key, values.low, values.high, log=values.log)


def _parse(text: str) -> tuple[str, Values]:
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise ExperimentError(
            f"--search {text}: write KEY=LOW..HIGH, KEY=log:LOW..HIGH or KEY=[A, B]"
        )
    if not key.startswith(_ALLOWED):
        raise ExperimentError(
            f"--search {key}: a search can vary only training settings: {', '.join(_ALLOWED)}"
        )
    if _RANGE in value:
        return key, _range(text, value)
    try:
        values = yaml.safe_load(value)
    except yaml.YAMLError:
        values = None
    if not isinstance(values, list) or not values:
        raise ExperimentError(
            f"--search {text}: '{value}' is neither a range LOW..HIGH nor a list [A, B]"
        )
    if not all(item is None or isinstance(item, bool | int | float | str) for item in values):
        raise ExperimentError(
            f"--search {text}: a list may contain only numbers, words, true, false and null"
        )
    return key, Choices(tuple(values))


def _range(text: str, value: str) -> Range:
    try:
        low, high = (yaml.safe_load(end) for end in value.removeprefix(_LOG).split(_RANGE))
        # YAML reads 1e-4 as a string.
        low, high = (end if isinstance(end, int) else float(end) for end in (low, high))
    except (ValueError, TypeError, yaml.YAMLError):
        raise ExperimentError(f"--search {text}: '{value}' is not a range of numbers") from None
    found = Range(low, high, log=value.startswith(_LOG))
    if not found.low < found.high or (found.log and found.low <= 0):
        rule = "positive and increasing" if found.log else "increasing"
        raise ExperimentError(f"--search {text}: the range must be {rule}")
    return found
