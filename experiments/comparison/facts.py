"""Facts about the compared runs: images, machine, dates, settings and versions."""

from collections.abc import Iterable
from datetime import UTC, datetime

from experiments.comparison.findings import Findings
from experiments.comparison.runs import ComparedRun
from experiments.units import counted_groups

_SETTINGS = ("model.name", "epochs", "batch_size", "workers", "optimizer.name")
_VERSION = "versions."
_UNKNOWN = "not recorded"


def facts(findings: Findings) -> list[tuple[str, str]]:
    """Return names and values of the facts, as texts."""
    runs = [run for row in findings.rows for run in row.runs]
    return [
        ("Test set", _test_set(findings)),
        ("Runs", _runs(findings, runs)),
        ("Machine", _machine(runs)),
        ("Dates", _dates(runs)),
        ("Settings", _settings(runs[0])),
        ("Versions", _versions(runs)),
    ]


def _test_set(findings: Findings) -> str:
    first = findings.rows[0].runs[0]
    labels = first.predictions["label"].value_counts()
    classes = ", ".join(
        f"{labels.get(number, 0):,} {name}" for number, name in enumerate(first.class_names)
    )
    return (
        f"{len(first.predictions):,} images of {counted_groups(findings.groups, findings.unit)} "
        f"({classes}); F1 is computed for the class {first.positive_class}"
    )


def _runs(findings: Findings, runs: list[ComparedRun]) -> str:
    seeds = sorted({run.record.seed for run in runs})
    words = f"{len(runs)} finished runs of {len(findings.rows)} backends, seeds "
    words += ", ".join(map(str, seeds))
    return words + (f"; {len(findings.excluded)} excluded" if findings.excluded else "")


def _machine(runs: list[ComparedRun]) -> str:
    return _distinct(map(_machine_of, runs))


def _machine_of(run: ComparedRun) -> str:
    tags, workers = run.record.tags, run.params.get("workers", "?")
    reserved = f"{workers} cores reserved per run"
    platform = run.params.get("platform", "here")
    where = "" if platform == "here" else f"{platform}: "
    if "machine.cpu" not in tags:
        return f"{where}processor {_UNKNOWN}, {reserved}"
    return (
        f"{where}{tags['machine.cpu']}, {tags.get('machine.cores', '?')} logical cores, "
        f"{tags.get('machine.memory_gib', '?')} GiB of memory; {reserved}"
    )


def _dates(runs: list[ComparedRun]) -> str:
    started = [run.started_ms for run in runs]
    days = (datetime.fromtimestamp(at / 1000, UTC) for at in (min(started), max(started)))
    return _distinct((f"{day:%Y-%m-%d %H:%M} UTC" for day in days), " to ")


def _settings(run: ComparedRun) -> str:
    return ", ".join(f"{name} {run.params.get(name, '?')}" for name in _SETTINGS)


def _versions(runs: list[ComparedRun]) -> str:
    """Return the versions of all packages; those that differ between runs are all listed."""
    found: dict[str, list[str]] = {}
    for run in runs:
        for tag, version in run.record.tags.items():
            if tag.startswith(_VERSION):
                known = found.setdefault(tag.removeprefix(_VERSION), [])
                known += [version] if version not in known else []
    texts = [f"{name} {' and '.join(versions)}" for name, versions in sorted(found.items())]
    return ", ".join(texts) or _UNKNOWN


def _distinct(texts: Iterable[str], between: str = "; ") -> str:
    return between.join(dict.fromkeys(texts))
