"""Experiment files: YAML read, overridden, validated; errors that say where."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from experiments.config import Experiment
from experiments.errors import ExperimentError
from experiments.overrides import Given
from experiments.schema_yaml import compose, field_type, read, read_text
from experiments.store_address import DEFAULT_URI, VARIABLE, usual_uri
from experiments.validation import explain, shown

FOLDER = Path(__file__).parent


def shipped() -> tuple[str, ...]:
    """Return the names of the experiments that come with the project."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load(source: str | Path, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """Read an experiment and apply overrides.

    Parameters
    ----------
    source
        A YAML file, or the name of a shipped experiment.
    overrides
        Values by dotted key, for example ``{"optimizer.learning_rate": 0.01}``; a
        :class:`~experiments.overrides.Given` also says what the user wrote.

    Raises
    ------
    ExperimentError
        When the file is missing, is no YAML, or holds an unknown key or a wrong value; the
        message names the option, or the file, the line and the nearest key that exists.
    """
    path = _find(source)
    try:
        root = compose(path.read_text(encoding="utf-8"))
        content = None if root is None else read(root, Experiment)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise ExperimentError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(content, dict):
        raise ExperimentError(f"{path}: an experiment is a mapping of keys to values")
    if (uri := usual_uri()) != DEFAULT_URI:
        # As everywhere with MLflow: what the command says, then the variable, then the file.
        overrides = {"tracking_uri": Given(VARIABLE, uri), **(overrides or {})}
    places = {}
    for key, value in (overrides or {}).items():
        keys = tuple(key.split("."))
        places[keys] = value.place if isinstance(value, Given) else key
        _assign(content, keys, _value(value, keys))
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        raise ExperimentError(explain(error, path, root, places)) from error


def _find(source: str | Path) -> Path:
    path = Path(os.path.expanduser(source))  # noqa: PTH111 - Path raises for unknown users
    # A name may be too long to be asked about.
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
    """Return an override as the experiment takes it."""
    if not isinstance(value, Given):
        return value
    if not value.is_text:
        return value.value
    try:
        return read_text(value.value, field_type(Experiment, list(keys)))
    except yaml.YAMLError as error:
        raise ExperimentError(
            f"{value.place}: {shown(value.value)} is not YAML; names with characters such as "
            ", : # [ { stand in quotes"
        ) from error


def _assign(content: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    for key in keys[:-1]:
        inner = content.get(key)
        content[key] = inner = dict(inner) if isinstance(inner, dict) else {}
        content = inner
    content[keys[-1]] = value
