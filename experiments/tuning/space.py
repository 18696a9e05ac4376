"""Which settings a search varies, and how far."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from backends import Backend
from backends.search import Choices, Range, Values
from experiments.config import Experiment
from experiments.errors import ExperimentError

if TYPE_CHECKING:
    from optuna import Trial

#: Beginnings of the keys that decide training and neither the data nor what is compared.
_ALLOWED = ("optimizer.", "model.", "backend_options.", "epochs", "batch_size")
_GLOBAL_BATCHES = (16, 32, 64, 128)
_RANGE = ".."
_LOG = "log:"

Space = Mapping[str, Values]


def default_space(experiment: Experiment, backend: Backend) -> dict[str, Values]:
    """Return what is worth varying for ``backend``, by dotted key of the experiment.

    Raises
    ------
    ExperimentError
        When it has nothing to vary.
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
    """Return a space from ``KEY=LOW..HIGH``, ``KEY=log:LOW..HIGH`` or ``KEY=[A, B]``.

    Raises
    ------
    ExperimentError
        When a text is none of these, or its key stands twice, or decides the data or what is
        compared.
    """
    space: dict[str, Values] = {}
    for key, values in map(_parse, texts):
        if key in space:
            raise ExperimentError(f"--search {key} twice: give all values of a key at once")
        space[key] = values
    return space


def suggest(trial: "Trial", space: Space) -> dict[str, Any]:
    """Return one value for each key, as Optuna's sampler proposes."""
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
            f"--search {key}: a search varies training alone, that is {', '.join(_ALLOWED)}"
        )
    if _RANGE in value:
        return key, _range(text, value)
    try:
        values = yaml.safe_load(value)
    except yaml.YAMLError:
        values = None
    if not isinstance(values, list) or not values:
        raise ExperimentError(
            f"--search {text}: '{value}' is no range LOW..HIGH and no list [A, B]"
        )
    if not all(item is None or isinstance(item, bool | int | float | str) for item in values):
        raise ExperimentError(f"--search {text}: a list holds numbers, words, true and false")
    return key, Choices(tuple(values))


def _range(text: str, value: str) -> Range:
    try:
        low, high = (yaml.safe_load(end) for end in value.removeprefix(_LOG).split(_RANGE))
        # YAML takes 1e-4 for a word.
        low, high = (end if isinstance(end, int) else float(end) for end in (low, high))
    except (ValueError, TypeError, yaml.YAMLError):
        raise ExperimentError(f"--search {text}: '{value}' is no range of numbers") from None
    found = Range(low, high, log=value.startswith(_LOG))
    if not found.low < found.high or (found.log and found.low <= 0):
        rule = "above zero and rising" if found.log else "rising"
        raise ExperimentError(f"--search {text}: the range must be {rule}")
    return found
