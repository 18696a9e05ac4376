"""Packages needed for training: those in ``pyproject.toml`` except the development tools."""

import tomllib
from collections.abc import Collection, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from data.project import ROOT

_PROJECT = ROOT / "pyproject.toml"
#: Groups whose packages a run does not use.
_DEVELOPMENT = frozenset({"dev", "docs", "notebooks"})


def needed_distributions(
    project: Path = _PROJECT, without: Collection[str] = ()
) -> dict[str, Distribution]:
    """Return the installed packages that ``project`` requires and their dependencies, by name.

    The development tools are left out, and so are the packages that only the groups ``without``
    need. Names are normalized. Required packages that are not installed, such as an overridden
    dependency or an omitted group, are not included. Without a project file, all installed
    packages are returned.
    """
    installed: dict[str, Distribution] = {}
    for one in distributions():
        # If several versions are on the path, the first one is imported; setuptools adds its own.
        installed.setdefault(canonicalize_name(one.name), one)
    if not project.is_file():
        return dict(sorted(installed.items()))
    content = tomllib.loads(project.read_text(encoding="utf-8"))
    of_groups = content.get("dependency-groups", {})
    left_out = _DEVELOPMENT.union(without)
    waiting = [
        Requirement(text)
        for texts in (
            content["project"].get("dependencies", []),
            *(group for name, group in of_groups.items() if name not in left_out),
        )
        for text in texts
        if isinstance(text, str)
    ]
    found: dict[str, Distribution] = {}
    visited: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in installed:
            continue
        found[name] = installed[name]
        for extra in ("", *requirement.extras):
            if (name, extra) not in visited:
                visited.add((name, extra))
                waiting += _requirements(installed[name], extra)
    return dict(sorted(found.items()))


def groups(project: Path = _PROJECT) -> list[str]:
    """Return the names of the dependency groups of ``project`` that a run may use."""
    if not project.is_file():
        return []
    content = tomllib.loads(project.read_text(encoding="utf-8"))
    return sorted(content.get("dependency-groups", {}).keys() - _DEVELOPMENT)


def needed_versions(project: Path = _PROJECT, without: Collection[str] = ()) -> dict[str, str]:
    """Return the versions of :func:`needed_distributions`."""
    return {name: one.version for name, one in needed_distributions(project, without).items()}


def _requirements(distribution: Distribution, extra: str) -> Iterator[Requirement]:
    for text in distribution.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement
