"""Experiment files: YAML read, overridden, validated; errors that say where."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from experiments.config import Experiment
from experiments.errors import ExperimentError
from experiments.store_address import DEFAULT_URI, VARIABLE, is_from_variable, usual_uri

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
        Values by dotted key, for example ``{"optimizer.learning_rate": 0.01}``.

    Raises
    ------
    ExperimentError
        When the file is missing, is no YAML, or holds an unknown key or a wrong value; the
        message has the file, the line and the nearest key that exists.
    """
    path = _find(source)
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise ExperimentError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(content, dict):
        raise ExperimentError(f"{path}: an experiment is a mapping of keys to values")
    overrides = dict(overrides or {})
    if (uri := usual_uri()) != DEFAULT_URI:
        # As everywhere with MLflow: what the command says, then the variable, then the file.
        overrides = {"tracking_uri": uri, **overrides}
    for key, value in overrides.items():
        _assign(content, key.split("."), value)
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        raise ExperimentError(_explain(error, path, root, set(overrides))) from error


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    if str(source) in shipped():
        return FOLDER / f"{source}.yaml"
    near = get_close_matches(path.stem, shipped(), n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise ExperimentError(
        f"no experiment file '{source}'{hint} (shipped with the project: {', '.join(shipped())})"
    )


def _assign(content: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = content.get(key)
        content[key] = inner = dict(inner) if isinstance(inner, dict) else {}
        content = inner
    content[keys[-1]] = value


def _explain(
    error: ValidationError, path: Path, root: yaml.Node | None, overrides: set[str]
) -> str:
    """Return one line for each problem, at most three."""
    lines = []
    for problem in error.errors()[:3]:
        keys = [str(key) for key in problem["loc"]]
        dotted = ".".join(keys)
        place = (
            VARIABLE
            if dotted == "tracking_uri" and is_from_variable(str(problem["input"]))
            else f"--set {dotted}"
            if any(dotted.startswith(name) for name in overrides)
            else f"{path}{_line(root, keys)}"
        )
        if problem["type"] == "extra_forbidden":
            fields = _fields_at(keys[:-1])
            near = get_close_matches(keys[-1], fields, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"keys here: {', '.join(fields)}"
            lines.append(f"{place}: there is no key '{dotted}'; {hint}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{place}: {f'{dotted}: ' if dotted else ''}{message}")
    return "\n".join(lines)


def _line(root: yaml.Node | None, keys: list[str]) -> str:
    """Return ``, line N`` for the deepest of ``keys`` that stands in the file."""
    node, line = root, 0
    for key in keys:
        if not isinstance(node, yaml.MappingNode):
            break
        found = [pair for pair in node.value if pair[0].value == key]
        if not found:
            break
        line = found[0][0].start_mark.line + 1
        node = found[0][1]
    return f", line {line}" if line else ""


def _fields_at(keys: list[str]) -> list[str]:
    """Return the field names of the model that ``keys`` lead to from an experiment."""
    model: type[BaseModel] = Experiment
    for key in keys:
        field = model.model_fields.get(key)
        if field is None:
            break
        candidates = [field.annotation, *get_args(field.annotation)]
        inner = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not inner:
            break
        model = inner[0]
    return list(model.model_fields)
