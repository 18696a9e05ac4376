"""Least-privilege policies for the commands."""

import json
import re
from pathlib import Path
from typing import Any

from deploy.errors import DeployError

_FOLDER = Path(__file__).parent / "policies"
#: Placeholder in a policy.
_PLACEHOLDER = re.compile(r"@([A-Z_]+)@")


def names() -> tuple[str, ...]:
    """Return the names of the policies."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def template(name: str) -> dict[str, Any]:
    """Return a policy with its placeholders.

    Raises
    ------
    DeployError
        If there is no policy with that name.
    """
    if name not in names():
        raise DeployError(f"no policy '{name}' (policies: {', '.join(names())})")
    content: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text())
    return content


def filled(name: str, values: dict[str, str]) -> dict[str, Any]:
    """Return a policy with its placeholders replaced by ``values``.

    Raises
    ------
    DeployError
        If a value is missing.
    """
    text = json.dumps(template(name))
    missing = set(_PLACEHOLDER.findall(text)) - values.keys()
    if missing:
        options = ", ".join(f"--{key.lower().replace('_', '-')}" for key in sorted(missing))
        raise DeployError(f"the policy {name} needs {options}")
    content: dict[str, Any] = json.loads(_PLACEHOLDER.sub(lambda found: values[found[1]], text))
    return content


def actions(policy: dict[str, Any]) -> set[str]:
    """Return the actions that a policy allows."""
    return {action for statement in policy["Statement"] for action in statement["Action"]}
