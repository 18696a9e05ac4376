"""Options of ``run_experiment.py`` as SageMaker's hyperparameters, and back.

Hyperparameters are texts by name. An option that is given several times is a JSON list, one
without a value is the text ``true``. Needs Python alone: it runs in the container too.
"""

import json
from collections.abc import Mapping, Sequence

#: The channel that images come by.
IMAGES = "images"
_FLAG = "true"


def encode(arguments: Sequence[str]) -> dict[str, str]:
    """Return the hyperparameters of a command line.

    Raises
    ------
    ValueError
        When something in it is no option.
    """
    values: dict[str, list[str]] = {}
    rest = list(arguments)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if not name.startswith("--"):
            raise ValueError(f"{name} is no option")
        if not equals:
            has_value = bool(rest) and not rest[0].startswith("--")
            value = rest.pop(0) if has_value else _FLAG
        values.setdefault(name.removeprefix("--"), []).append(value)
    return {
        name: json.dumps(given) if len(given) > 1 else given[0] for name, given in values.items()
    }


def decode(hyperparameters: Mapping[str, str]) -> list[str]:
    """Return the command line of hyperparameters, in the order of their names."""
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
