"""A comparison as an object of Python, which a notebook shows as a table with figures."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.own_folders import temporary_folder
from experiments.comparison.findings import BASELINE, Findings, compare
from experiments.comparison.recommendation import Recommendation, recommendation
from experiments.comparison.report import draw
from experiments.comparison.runs import find_runs
from experiments.comparison.tables import main, platforms, raw
from experiments.errors import ExperimentError
from experiments.records import RunRecord

if TYPE_CHECKING:
    import pandas as pd

#: Figures that a notebook shows.
_SHOWN = ("f1", "fronts", "learning")


@dataclass(frozen=True, repr=False)
class Comparison:
    """Result of `experiments.compare`. A notebook shows the recommendation, table and figures."""

    findings: Findings
    recommendation: Recommendation
    #: One row for each backend, with scores, intervals, times and memory as text.
    table: "pd.DataFrame"
    #: One row for each run, with its metrics as numbers.
    runs: "pd.DataFrame"
    #: Seconds per epoch and cost by platform; empty if all runs are of one platform.
    platforms: "pd.DataFrame"
    #: Figures of the report as SVG elements, by name.
    figures: dict[str, str]

    def __str__(self) -> str:
        return f"{self.recommendation.paragraph}\n\n{self.table.to_string(index=False)}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        pictures = "".join(
            f'<div style="max-width: 50rem; background: #fff">{self.figures[name]}</div>'
            for name in _SHOWN
        )
        text = html.escape(self.recommendation.paragraph)
        return f"<p>{text}</p>{self.table.to_html(index=False, border=0)}{pictures}"


def compare_records(
    records: Sequence[RunRecord], baseline: str = BASELINE, margin: float | None = None
) -> Comparison:
    """Compare the runs of ``records``; parameters as in `experiments.compare`."""
    uris = list(dict.fromkeys(record.tracking_uri for record in records if record.run_id))
    if not uris:
        raise ExperimentError("there is nothing to compare: no run of these records is in MLflow")
    ids = [record.run_id for record in records if record.run_id]
    with temporary_folder("compare") as folder:
        findings = compare(find_runs(uris, folder, ids=ids), baseline, margin)
        return Comparison(
            findings,
            recommendation(findings),
            main(findings),
            raw(findings),
            platforms(findings),
            draw(findings),
        )
