"""Cost of an honest split: the same backends with images of one patient on both sides."""

from dataclasses import dataclass

from experiments.comparison.findings import Findings
from experiments.comparison.runs import ComparedRun
from experiments.comparison.statistics import f1_over_units
from experiments.scoring.uncertainty import Interval

_SPLIT_BY = "data.split.by"
#: What the two splits may differ in.
_OF_SPLIT = ("data.split.", "price", "tracking_uri", "time_limit", "seed", "warm_up", "platform")


@dataclass(frozen=True)
class Leak:
    """One backend under both splits."""

    label: str
    #: With the split by patient, or by lesion.
    by_unit: Interval
    by_image: Interval

    @property
    def gained(self) -> float:
        """F1 of the split by image less that of the honest split, over other test images."""
        return self.by_image.value - self.by_unit.value


def leak_audit(findings: Findings) -> list[Leak]:
    """Return the backends that have run with a split by patient and with one by image.

    Where the source names neither patients nor lesions there is only the split by image.
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
