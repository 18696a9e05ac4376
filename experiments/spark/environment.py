"""The Python environment of a run's executors: where it comes from and whether it is the driver's.

Executors compute with their own packages. Another TensorFlow or another Keras there gives other
losses or an error in the middle of training, so that every executor tells what it has before
anything is trained.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires
from typing import TYPE_CHECKING

from experiments.errors import ExperimentError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: In the root of an archive: what is inside.
MANIFEST = "manifest.json"
#: What the harness itself uses on executors, whatever the backend.
_HARNESS = ("numpy", "pyarrow", "psutil", "pydantic")
_MISSING = "missing"
_LISTED = 40


@dataclass(frozen=True)
class Manifest:
    """What an archive says of itself."""

    python: str
    #: The oldest C library that its programs run with, as ``glibc-2.34``.
    libc: str
    packages: dict[str, str]
    #: SHA-256 of all names and contents.
    checksum: str

    def to_json(self) -> str:
        """Return the content of its file."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)


@dataclass(frozen=True)
class Environment:
    """What one executor has."""

    #: Address of its host.
    executor: str
    python: str
    #: Versions by normalised name.
    packages: Mapping[str, str]
    #: Of the archive that it runs from, if it does.
    checksum: str = ""


@dataclass(frozen=True)
class Difference:
    """A package that is not the driver's on some executors."""

    package: str
    here: str
    #: By executor.
    there: Mapping[str, str]

    def __str__(self) -> str:
        """One line, with executors that agree taken together."""
        groups: dict[str, list[str]] = {}
        for executor, version in sorted(self.there.items()):
            groups.setdefault(version, []).append(executor)
        told = ", ".join(f"{version} on {', '.join(on)}" for version, on in groups.items())
        return f"{self.package}: {self.here} here, {told}"


class EnvironmentDifferenceError(ExperimentError):
    """Executors have other packages than the driver; the message lists them, one a line."""


def check(
    session: "SparkSession", workers: int, backend: str, packages: Iterable[str]
) -> list[str]:
    """Compare the executors' environments with this process's before anything is trained.

    Parameters
    ----------
    workers
        Number of executors.
    backend
        Name, for the message.
    packages
        Distributions that it uses.

    Returns
    -------
    list of str
        Sentences for the record: which archive they run from, and which packages differ that the
        backend does not use.

    Raises
    ------
    EnvironmentDifferenceError
        When a package that the backend or the harness uses, or something that these require, is
        missing or of another version on an executor.
    ExperimentError
        When the executors have no Python to ask.
    """
    from experiments.spark.locked import needed_versions

    own, python, packages = needed_versions(), _python(), tuple(packages)
    found = environments(session, workers)
    used = required((*packages, *_HARNESS))
    all_differences = differences(python, own, found)
    grave = [one for one in all_differences if one.package in used or one.package == "python"]
    if grave:
        named = {"python", *map(_normalised, packages)}
        grave.sort(key=lambda one: one.package not in named)  # what they require comes after
        lines = [f"  {difference}" for difference in grave[:_LISTED]]
        if len(grave) > _LISTED:
            lines.append(f"  and {len(grave) - _LISTED} more")
        raise EnvironmentDifferenceError(
            f"executors have other packages than this machine, which {backend} uses:\n"
            + "\n".join(lines)
            + "\npack this environment with 'python -m deploy pack' and send it with "
            "--environment archive, or make the executors' the same"
        )
    archives = sorted({one.checksum[:12] for one in found if one.checksum})
    notes = (
        [f"Executors run from the packed environment {', '.join(archives)}."] if archives else []
    )
    if all_differences:
        notes.append(
            f"Executors have other packages than the driver, which {backend} does not use: "
            + "; ".join(map(str, all_differences))
            + "."
        )
    return notes


def environments(session: "SparkSession", workers: int) -> list[Environment]:
    """Return what each of ``workers`` executors has; a barrier stage asks every one once.

    Raises
    ------
    ExperimentError
        When Python does not start on an executor, or is another version than this one.
    """

    from backends.executors import at_once

    def look(_: Iterator[int]) -> "Iterator[tuple[str, str, dict[str, str], str]]":
        # Of the standard library alone: nothing else need be there.
        import json
        import platform
        import re
        import sys
        from importlib.metadata import distributions
        from pathlib import Path

        from pyspark import BarrierTaskContext

        context = BarrierTaskContext.get()
        own = context.getTaskInfos()[context.partitionId()].address
        packages: dict[str, str] = {}
        for one in distributions():
            # Of several versions on the path, the first is what is imported.
            packages.setdefault(re.sub(r"[-_.]+", "-", one.name).lower(), one.version)
        try:
            manifest = json.loads(Path(sys.prefix, "manifest.json").read_text())
            checksum = str(manifest["checksum"])
        except (OSError, ValueError, KeyError):
            checksum = ""
        yield own, platform.python_version(), packages, checksum

    numbers = session.sparkContext.parallelize(range(workers), workers)
    try:
        told = at_once(numbers, look)
    except Exception as error:
        reason = _no_python(str(error))
        if reason is None:
            raise
        raise ExperimentError(reason) from error
    return [Environment(address.rpartition(":")[0], *rest) for address, *rest in told]


def differences(
    python: str, own: Mapping[str, str], found: Iterable[Environment]
) -> list[Difference]:
    """Return what is missing or of another version on an executor; more is no difference.

    Parameters
    ----------
    python
        Version of this Python; executors' must agree in its first two parts.
    own
        Versions of this process's packages.
    found
        What the executors have.
    """
    found = list(found)
    others = {one.executor: one.python for one in found if _minor(one.python) != _minor(python)}
    result = [Difference("python", python, others)] if others else []
    for package, version in sorted(own.items()):
        there = {one.executor: one.packages.get(package, _MISSING) for one in found}
        there = {executor: other for executor, other in there.items() if other != version}
        if there:
            result.append(Difference(package, version, there))
    return result


def required(packages: Iterable[str]) -> set[str]:
    """Return ``packages`` and the installed packages that they require, normalised."""
    from packaging.requirements import Requirement

    waiting, found = [_normalised(name) for name in packages], set()
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            texts = requires(name) or ()
        except PackageNotFoundError:
            continue
        found.add(name)
        for text in texts:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(_normalised(requirement.name))
    return found


def _no_python(text: str) -> str | None:
    """Return a plain reason for what Spark says when Python does not start on an executor."""
    if missing := re.search(r'Cannot run program "([^"]+)"', text):
        return (
            f"executors have no Python at {missing[1]}: send this environment with --environment "
            "archive (python -m deploy pack makes it), or name theirs with --environment image "
            "--set spark.environment_python=/path/to/python"
        )
    if other := re.search(r"Python in worker has different version:? \(?'?([\d., ']+)", text):
        version = re.sub(r"[^\d.]+", ".", other[1]).strip(".")
        return (
            f"executors have Python {version}, this is Python {_python()}: send this environment "
            "with --environment archive (python -m deploy pack makes it)"
        )
    if "No module named 'pyspark'" in text or "Error from python worker" in text:
        last = [line.strip() for line in text.splitlines() if "Error:" in line]
        return (
            "Python does not start on the executors"
            f"{f' ({last[-1]})' if last else ''}: send this environment with --environment archive "
            "(python -m deploy pack makes it)"
        )
    return None


def _python() -> str:
    import platform

    return platform.python_version()


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
