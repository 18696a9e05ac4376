"""Conversion between options of ``run_experiment.py`` and SageMaker's hyperparameters.

Hyperparameters map names to strings. A repeated option becomes a JSON list, an option without a
value the string ``true``. This module needs only Python's standard library, because it also runs in
the container.
"""

import json
from collections.abc import Mapping, Sequence

#: Name of the input channel for images.
IMAGES = "images"
_FLAG = "true"


def encode(arguments: Sequence[str]) -> dict[str, str]:
    """Return the hyperparameters of a command line.

    Raises
    ------
    ValueError
        If an argument is not an option.
    """
    values: dict[str, list[str]] = {}
    rest = list(arguments)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if not name.startswith("--"):
            raise ValueError(f"{name} is not an option")
        if not equals:
            has_value = bool(rest) and not rest[0].startswith("--")
            value = rest.pop(0) if has_value else _FLAG
        values.setdefault(name.removeprefix("--"), []).append(value)
    return {
        name: json.dumps(given) if len(given) > 1 else given[0] for name, given in values.items()
    }


def decode(hyperparameters: Mapping[str, str]) -> list[str]:
    """Return the command line for hyperparameters, sorted by name."""
    arguments = []
    for name, text in sorted(hyperparameters.items()):
        for value in _list(text):
            arguments += [f"--{name}"] if value == _FLAG else [f"--{name}={value}"]
    return arguments


def _list(text: str) -> list[str]:
    if text.startswith('["'):
        try:
            return [str(value) for value in json.loads(text)]
        except json.JSONDecodeError:
            pass
    return [text]
