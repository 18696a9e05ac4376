"""Audit of leakage: the same backends with images of one patient on both sides of the split."""

from dataclasses import dataclass

from experiments.comparison.findings import Findings
from experiments.comparison.runs import ComparedRun
from experiments.comparison.statistics import f1_over_units
from experiments.scoring.uncertainty import Interval

_SPLIT_BY = "data.split.by"
#: Prefixes of the parameters in which runs under the two splits may differ.
_OF_SPLIT = ("data.split.", "price", "tracking_uri", "time_limit", "seed", "warm_up", "platform")


@dataclass(frozen=True)
class Leak:
    """F1 of one backend under both splits."""

    label: str
    #: F1 under the split by patient or by lesion.
    by_unit: Interval
    #: F1 under the split by image.
    by_image: Interval

    @property
    def gained(self) -> float:
        """F1 under the split by image minus F1 under the other split, on different test images."""
        return self.by_image.value - self.by_unit.value


def leak_audit(findings: Findings) -> list[Leak]:
    """Return the backends that have run under a split by patient and under one by image.

    The list is empty if the source identifies neither patients nor lesions, because then there is
    only the split by image.
    """
    if findings.unit == "image":
        return []
    rows = {row.label: row for row in findings.rows if row.runs[0].params.get(_SPLIT_BY) != "image"}
    leaking: dict[str, list[ComparedRun]] = {}
    for one in findings.excluded:
        run = one.run
        row = rows.get(run.label)
        same = row is not None and _settings(run) == _settings(row.runs[0])
        if run.finished and same and run.params.get(_SPLIT_BY) == "image":
            leaking.setdefault(run.label, []).append(run)
    return [Leak(name, rows[name].f1, f1_over_units(runs)) for name, runs in leaking.items()]


def _settings(run: ComparedRun) -> dict[str, str]:
    return {name: value for name, value in run.params.items() if not name.startswith(_OF_SPLIT)}
