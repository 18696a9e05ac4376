"""Which packages training needs: everything in ``pyproject.toml`` but tools of development."""

import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from data.project import ROOT

_PROJECT = ROOT / "pyproject.toml"
_DEVELOPMENT = "dev"


def needed_distributions(project: Path = _PROJECT) -> dict[str, Distribution]:
    """Return the installed packages that ``project`` asks for, and those that they ask for.

    By their normalised names. What is asked for and not installed (an overridden dependency, a
    group left out) is not among them; without a project file, everything that is installed is.
    """
    installed: dict[str, Distribution] = {}
    for one in distributions():
        # Of several versions on the path, the first is what is imported: setuptools adds its own.
        installed.setdefault(canonicalize_name(one.name), one)
    if not project.is_file():
        return dict(sorted(installed.items()))
    content = tomllib.loads(project.read_text(encoding="utf-8"))
    groups = content.get("dependency-groups", {})
    waiting = [
        Requirement(text)
        for texts in (
            content["project"].get("dependencies", []),
            *(group for name, group in groups.items() if name != _DEVELOPMENT),
        )
        for text in texts
        if isinstance(text, str)
    ]
    found: dict[str, Distribution] = {}
    asked: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in installed:
            continue
        found[name] = installed[name]
        for extra in ("", *requirement.extras):
            if (name, extra) not in asked:
                asked.add((name, extra))
                waiting += _requirements(installed[name], extra)
    return dict(sorted(found.items()))


def needed_versions(project: Path = _PROJECT) -> dict[str, str]:
    """Return the versions of :func:`needed_distributions`."""
    return {name: one.version for name, one in needed_distributions(project).items()}


def _requirements(distribution: Distribution, extra: str) -> Iterator[Requirement]:
    for text in distribution.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement
