"""One-line messages about an invalid experiment, which name what the user wrote."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from data.problem_words import found_value, own_message, rule
from experiments.config import Experiment
from experiments.schema_yaml import field_type, models_in

_MUST = "must be "
_MOST = 3


def explain(
    error: ValidationError,
    path: Path,
    root: yaml.Node | None,
    places: Mapping[tuple[str, ...], str],
) -> str:
    """Return one line for each problem, at most three.

    Parameters
    ----------
    path, root
        Experiment file and its parsed content.
    places
        Option that overrides a key, by the parts of the key.
    """
    lines: dict[tuple[str, str], list[str]] = {}
    for problem in _deepest(error.errors()):
        place, rule, value = _parts(problem, path, root, places)
        lines.setdefault((place, value), []).append(rule)
    return "\n".join(
        f"{place}{_either(rules)}{value}" for (place, value), rules in [*lines.items()][:_MOST]
    )


def _parts(
    problem: Any, path: Path, root: yaml.Node | None, places: Mapping[tuple[str, ...], str]
) -> tuple[str, str, str]:
    """Return the place of a problem, the rule that is violated, and the value found."""
    loc = _keys(problem)
    keys = tuple(str(key) for key in loc)
    # pydantic locates a rule about several keys at the model that contains them.
    near = [part for part in places if keys and part[: len(keys)] == keys[: len(part)]]
    if near:
        place, below = places[near[0]], loc[len(near[0]) :]
    elif keys or not places:
        place, below = f"{path}{_line_number(root, keys)}", loc
    else:  # the overrides are inconsistent with the file
        place, below = "", []
    named = ".".join(key for key in below if isinstance(key, str))
    named = f": {named}" if named and place else named
    if problem["type"] == "extra_forbidden":
        return f"{place}: ", f"there is no key '{'.'.join(keys)}'; {_hint(keys)}", ""
    broken = rule(problem)
    if broken is None:
        return f"{place}{named}: " if place else "", own_message(problem), ""
    return f"{place}{named} ", broken, found_value(problem)


def _deepest(problems: list[Any]) -> list[Any]:
    """Omit the problems of keys that have a problem further down, which is the cause."""
    places = [_keys(problem) for problem in problems]
    return [
        problem
        for problem, keys in zip(problems, places, strict=True)
        if not any(len(other) > len(keys) and other[: len(keys)] == keys for other in places)
    ]


def _keys(problem: Any) -> list[Any]:
    return [key for key in problem["loc"] if not _is_branch(key)]


def _is_branch(key: Any) -> bool:
    """Return whether ``key`` is pydantic's name for one of the alternatives of a union type."""
    return isinstance(key, str) and key.startswith(("dict[", "tuple[", "list["))


def _either(rules: list[str]) -> str:
    first, *others = dict.fromkeys(rules)
    return " or ".join([first, *(rule.removeprefix(_MUST) for rule in others)])


def _hint(keys: tuple[str, ...]) -> str:
    models = models_in(field_type(Experiment, list(keys[:-1]))) if keys[:-1] else [Experiment]
    fields = [name for model in models for name in model.model_fields]
    near = get_close_matches(keys[-1], fields, n=1)
    return f"did you mean '{near[0]}'?" if near else f"keys here: {', '.join(fields)}"


def _line_number(root: yaml.Node | None, keys: tuple[str, ...]) -> str:
    """Return ``, line N`` for the deepest of ``keys`` that the file contains."""
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
