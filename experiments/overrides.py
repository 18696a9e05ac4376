"""Values that stand above an experiment file: options of a command line, ``--set KEY=VALUE``."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.errors import DataError
from data.options import settings
from experiments.errors import ExperimentError

#: Options of the commands, and the key of the experiment that each one sets. Those that say what a
#: data set is made of stand in `data.options`.
KEYS = {
    "--backend": "backends",
    "--name": "name",
    "--data": "data.source",
    "--positive-class": "positive_class",
    "--images": "data.split.train_images",
    "--model": "model.name",
    "--workers": "workers",
    "--epochs": "epochs",
    "--batch-size": "batch_size",
    "--learning-rate": "optimizer.learning_rate",
    "--seed": "seeds",
    "--master": "spark.master",
    "--environment": "spark.environment",
    "--environment-archive": "spark.environment_archive",
    "--tracking-uri": "tracking_uri",
    "--time-limit": "time_limit",
    "--prepared": "prepared",
    "--artifacts": "artifacts",
    "--platform": "platform",
    "--price-core-hour": "price.core_hour",
    "--price-gb-hour": "price.gb_hour",
}


@dataclass(frozen=True)
class Given:
    """A value, and what the user wrote to give it, which messages name."""

    #: ``--seed``, or ``--set data.split.seed``.
    place: str
    value: Any
    #: Whether the value is a text that the type of its key decides how to read.
    is_text: bool = False


def given(options: Mapping[str, Any], assignments: Sequence[str] | None = None) -> dict[str, Given]:
    """Return overrides by dotted key.

    Parameters
    ----------
    options
        Values by option as the user writes it, ``--seed``; None and an empty list were not given.
    assignments
        Texts ``KEY=VALUE`` of ``--set``.

    Raises
    ------
    ExperimentError
        When an assignment is none, an option's value cannot be read, or a key is given twice.
    """
    typed = {option: value for option, value in options.items() if value not in (None, [], ())}
    values = [(KEYS[option], Given(option, v)) for option, v in typed.items() if option in KEYS]
    try:
        of_data = settings({option: v for option, v in typed.items() if option not in KEYS})
    except DataError as error:
        raise ExperimentError(str(error)) from error
    values += [(f"data.{key}", Given(option, value)) for key, (option, value) in of_data.items()]
    return _once([*values, *map(_assignment, assignments or ())])


def _assignment(text: str) -> tuple[str, Given]:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ExperimentError(f"--set {text}: write it as key=value")
    return key, Given(f"--set {key}", value.strip(), is_text=True)


def _once(values: Iterable[tuple[str, Given]]) -> dict[str, Given]:
    found: dict[str, Given] = {}
    for key, value in values:
        if key in found:
            places = dict.fromkeys((found[key].place, value.place))
            twice = " and ".join(places) if len(places) > 1 else f"{value.place} twice"
            raise ExperimentError(f"{twice}: the value of '{key}' can be given once")
        found[key] = value
    return found
