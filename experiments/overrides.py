"""Values that override an experiment file: command-line options and ``--set KEY=VALUE``."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.errors import DataError
from data.options import settings
from experiments.errors import ExperimentError

#: Options of the commands, and the key of the experiment that each one sets. Options that describe
#: a data set are defined in `data.options`.
KEYS = {
    "--backend": "backends",
    "--name": "name",
    "--data": "data.source",
    "--positive-class": "positive_class",
    "--threshold": "threshold",
    "--calibrate": "calibration",
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
    """A value and the option that gave it, which messages name."""

    #: For example ``--seed`` or ``--set data.split.seed``.
    place: str
    value: Any
    #: True if the value is a string that is still to be parsed according to the type of its key.
    is_text: bool = False


def given(options: Mapping[str, Any], assignments: Sequence[str] | None = None) -> dict[str, Given]:
    """Return overrides by dotted key.

    Parameters
    ----------
    options
        Values by option, such as ``--seed``; None and empty sequences count as not given.
    assignments
        Strings ``KEY=VALUE`` of ``--set``.

    Raises
    ------
    ExperimentError
        If an assignment is malformed, an option's value cannot be read, or a key is given twice.
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
            raise ExperimentError(f"{twice}: the value of '{key}' can be given only once")
        found[key] = value
    return found
