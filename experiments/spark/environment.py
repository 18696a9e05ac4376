"""The Python environment of a run's executors, compared with that of the driver.

Executors use their own packages. A different version of TensorFlow or Keras there changes the
losses or causes an error during training, so every executor reports its packages before training.
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

#: File in the root of an archive that describes its content.
MANIFEST = "manifest.json"
#: Packages that the harness itself uses on executors, for every backend.
_HARNESS = ("numpy", "pyarrow", "psutil", "pydantic")
_MISSING = "missing"
_LISTED = 40


@dataclass(frozen=True)
class Manifest:
    """Description of an archive."""

    python: str
    #: The oldest C library that its programs run with, for example ``glibc-2.34``.
    libc: str
    packages: dict[str, str]
    #: SHA-256 of all names and contents.
    checksum: str
    #: Dependency groups that were left out.
    without: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the content of the file :data:`MANIFEST`."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)


@dataclass(frozen=True)
class Environment:
    """Python version and packages of one executor."""

    #: Address of its host.
    executor: str
    python: str
    #: Versions by normalized name.
    packages: Mapping[str, str]
    #: Checksum of the archive that contains this environment; empty if there is none.
    checksum: str = ""


@dataclass(frozen=True)
class Difference:
    """A package whose version on some executors differs from the driver's."""

    package: str
    #: Version on the driver.
    here: str
    #: Version by executor.
    there: Mapping[str, str]

    def __str__(self) -> str:
        """Return one line, in which executors with the same version are grouped."""
        groups: dict[str, list[str]] = {}
        for executor, version in sorted(self.there.items()):
            groups.setdefault(version, []).append(executor)
        others = ", ".join(f"{version} on {', '.join(on)}" for version, on in groups.items())
        return f"{self.package}: {self.here} here, {others}"


class EnvironmentDifferenceError(ExperimentError):
    """Raised when packages on executors differ from the driver's; lists them, one per line."""


def check(
    session: "SparkSession", workers: int, backend: str, packages: Iterable[str]
) -> list[str]:
    """Compare the executors' environments with that of this process before training.

    Parameters
    ----------
    session
        Session whose executors are checked.
    workers
        Number of executors.
    backend
        Name of the backend, for the message.
    packages
        Distributions that the backend uses.

    Returns
    -------
    list of str
        Notes for the record: the archive that the executors run from, and differing packages that
        the backend does not use.

    Raises
    ------
    EnvironmentDifferenceError
        If a package that the backend or the harness uses, or one of their dependencies, is missing
        on an executor or has another version there.
    ExperimentError
        If Python does not start on the executors, or is another version.
    """
    from experiments.spark.locked import needed_versions

    own, python, packages = needed_versions(), _python(), tuple(packages)
    found = environments(session, workers)
    used = required((*packages, *_HARNESS))
    all_differences = differences(python, own, found)
    grave = [one for one in all_differences if one.package in used or one.package == "python"]
    if grave:
        named = {"python", *map(_normalised, packages)}
        grave.sort(key=lambda one: one.package not in named)  # dependencies come last
        lines = [f"  {difference}" for difference in grave[:_LISTED]]
        if len(grave) > _LISTED:
            lines.append(f"  and {len(grave) - _LISTED} more")
        raise EnvironmentDifferenceError(
            f"executors have packages that differ from this machine's and that {backend} uses:\n"
            + "\n".join(lines)
            + "\npack this environment with 'sparkdl-bench deploy pack' and send it with "
            "--environment archive, or install the same versions on the executors"
        )
    archives = sorted({one.checksum[:12] for one in found if one.checksum})
    notes = (
        [f"Executors run from the packed environment {', '.join(archives)}."] if archives else []
    )
    if all_differences:
        notes.append(
            f"Executors have packages that differ from the driver's, which {backend} does not use: "
            + "; ".join(map(str, all_differences))
            + "."
        )
    return notes


def environments(session: "SparkSession", workers: int) -> list[Environment]:
    """Return the environment of each of ``workers`` executors, collected by one barrier stage.

    Raises
    ------
    ExperimentError
        If Python does not start on an executor, or is another version than this one.
    """

    from backends.executors import at_once

    def probe(_: Iterator[int]) -> "Iterator[tuple[str, str, dict[str, str], str]]":
        # Uses only the standard library and PySpark: other packages may be missing there.
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
            # If several versions are on the path, the first one is imported.
            packages.setdefault(re.sub(r"[-_.]+", "-", one.name).lower(), one.version)
        try:
            manifest = json.loads(Path(sys.prefix, "manifest.json").read_text())
            checksum = str(manifest["checksum"])
        except (OSError, ValueError, KeyError):
            checksum = ""
        yield own, platform.python_version(), packages, checksum

    numbers = session.sparkContext.parallelize(range(workers), workers)
    try:
        reported = at_once(numbers, probe)
    except Exception as error:
        reason = _no_python(str(error))
        if reason is None:
            raise
        raise ExperimentError(reason) from error
    return [Environment(address.rpartition(":")[0], *rest) for address, *rest in reported]


def differences(
    python: str, own: Mapping[str, str], found: Iterable[Environment]
) -> list[Difference]:
    """Return the packages that are missing on an executor or have another version there.

    Additional packages of an executor are not differences.

    Parameters
    ----------
    python
        Version of this Python; major and minor version of the executors must equal it.
    own
        Versions of this process's packages, by normalized name.
    found
        Environments of the executors.
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
    """Return the normalized names of ``packages`` and of their installed dependencies."""
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
    """Return a readable reason if Spark's error ``text`` means that Python did not start."""
    if missing := re.search(r'Cannot run program "([^"]+)"', text):
        return (
            f"executors have no Python at {missing[1]}: send this environment with --environment "
            "archive (create it with 'sparkdl-bench deploy pack'), or give the path of theirs with "
            "--environment image --set spark.environment_python=/path/to/python"
        )
    if other := re.search(r"Python in worker has different version:? \(?'?([\d., ']+)", text):
        version = re.sub(r"[^\d.]+", ".", other[1]).strip(".")
        return (
            f"executors have Python {version}, this is Python {_python()}: send this environment "
            "with --environment archive (create it with 'sparkdl-bench deploy pack')"
        )
    if "No module named 'pyspark'" in text or "Error from python worker" in text:
        last = [line.strip() for line in text.splitlines() if "Error:" in line]
        return (
            "Python does not start on the executors"
            f"{f' ({last[-1]})' if last else ''}: send this environment with --environment archive "
            "(create it with 'sparkdl-bench deploy pack')"
        )
    return None


def _python() -> str:
    import platform

    return platform.python_version()


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
