"""Reading, overriding and validating of experiment files, with errors that give the location."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from data.names import visible
from data.problem_words import shown
from data.store_address import DEFAULT_URI, VARIABLE, usual_uri
from experiments.config import Experiment
from experiments.errors import ExperimentError
from experiments.overrides import Given
from experiments.own_data.description import SYNTHETIC, OwnData, apart_from, name_of
from experiments.schema_yaml import compose, field_type, read, read_text
from experiments.validation import explain

FOLDER = Path(__file__).parent


def shipped() -> tuple[str, ...]:
    """Return the names of the experiments that come with the project."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def described() -> dict[str, str]:
    """Return the description of each shipped experiment, by name."""
    return {
        name: str(yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))["description"])
        for name in shipped()
    }


def load(
    source: str | Path | Experiment | None, overrides: Mapping[str, Any] | None = None
) -> Experiment:
    """Read an experiment and apply overrides.

    Parameters
    ----------
    source
        A YAML file, the name of a shipped experiment, or an experiment. None selects ``synthetic``
        or, if the overrides contain a source of data, an experiment on these data
        (:class:`~experiments.own_data.description.OwnData`).
    overrides
        Values by dotted key, for example ``{"optimizer.learning_rate": 0.01}``; a
        :class:`~experiments.overrides.Given` also contains what the user wrote.

    Raises
    ------
    ExperimentError
        If the file is missing, is not YAML, or contains an unknown key or an invalid value. The
        message names the option, or the file, the line and the most similar existing key.
    """
    if (uri := usual_uri()) != DEFAULT_URI:
        # Same precedence as in MLflow: the option, then the environment variable, then the file.
        overrides = {"tracking_uri": Given(VARIABLE, uri), **(overrides or {})}
    requested: dict[str, Any] = {}
    places = {}
    values = []
    for key, value in (overrides or {}).items():
        keys = tuple(key.split("."))
        places[keys] = value.place if isinstance(value, Given) else key
        values.append((keys, _value(value, keys)))
        _assign(requested, *values[-1])
    base = _base(source, requested)
    for assignment in values:
        _assign(base.content, *assignment)
    if base.kind is OwnData and isinstance(name := base.content["name"], str):
        base.content["name"] = apart_from(shipped(), name)
    try:
        experiment = base.kind.model_validate(base.content)
    except ValidationError as error:
        raise ExperimentError(explain(error, base.path, base.root, places)) from error
    _check_synthetic(experiment, source)
    return experiment


@dataclass(frozen=True)
class _Base:
    """Experiment to which overrides are applied."""

    content: dict[str, Any]
    kind: type[Experiment] = Experiment
    #: File and its parsed content, for messages.
    path: Path = Path()
    root: yaml.Node | None = None


def _base(source: str | Path | Experiment | None, requested: Mapping[str, Any]) -> _Base:
    if isinstance(source, Experiment):
        return _Base(source.model_dump(), type(source))
    data = requested.get("data")
    own = data.get("source") if isinstance(data, dict) else None
    if source is None and own not in (None, SYNTHETIC):
        return _Base({"name": name_of(str(own), shipped())}, OwnData)
    path = _find(SYNTHETIC if source is None else source)
    try:
        root = compose(path.read_text(encoding="utf-8"))
        content = None if root is None else read(root, Experiment)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise ExperimentError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(content, dict):
        raise ExperimentError(f"{path}: an experiment must be a mapping of keys to values")
    return _Base(content, Experiment, path, root)


def _check_synthetic(experiment: Experiment, source: Any) -> None:
    """Prevent runs on other data from being recorded with those on the generated cells."""
    data = experiment.data
    if data.source != SYNTHETIC and experiment.name == SYNTHETIC:
        advice = (
            "omit --experiment" if str(source) == SYNTHETIC else "give another name with --name"
        )
        raise ExperimentError(
            f"the experiment '{SYNTHETIC}' trains only on generated cells: {advice} to train on "
            f"{visible(data.source)}"
        )
    if data.source == SYNTHETIC and data.labels is not None:
        raise ExperimentError("--labels requires the folder of the images: give it with --data")


def _find(source: str | Path) -> Path:
    path = Path(os.path.expanduser(source))  # noqa: PTH111 - Path raises for unknown users
    # os.access also works for names that are too long, for which Path.exists may raise.
    if os.access(path, os.F_OK) and not path.is_dir():
        return path
    if str(source) in shipped():
        return FOLDER / f"{source}.yaml"
    if os.access(path, os.F_OK) and str(source):
        raise ExperimentError(f"--experiment {source} is a folder; name a YAML file in it")
    near = get_close_matches(path.stem, shipped(), n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise ExperimentError(
        f"no experiment file '{source}'{hint} (shipped with the project: {', '.join(shipped())})"
    )


def _value(value: Any, keys: tuple[str, ...]) -> Any:
    """Return the value of an override, converted for the field that it sets."""
    if not isinstance(value, Given):
        return value
    if not value.is_text:
        return value.value
    try:
        return read_text(value.value, field_type(Experiment, list(keys)))
    except yaml.YAMLError as error:
        raise ExperimentError(
            f"{value.place}: {shown(value.value)} is not YAML; put names with characters such as "
            ", : # [ { in quotes"
        ) from error


def _assign(content: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    for key in keys[:-1]:
        inner = content.get(key)
        content[key] = inner = dict(inner) if isinstance(inner, dict) else {}
        content = inner
    content[keys[-1]] = value
