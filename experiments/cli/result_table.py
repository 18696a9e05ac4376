"""Results of runs as a table for a terminal of 80 columns."""

from collections.abc import Callable, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from data.config import Unit
from experiments.narrow_table import WIDTH, add_rows, folded
from experiments.records import FINISHED, THRESHOLD, RunRecord
from experiments.scoring.uncertainty import RELIABLE_PATIENTS, Interval
from experiments.units import plural
from models.decision import MOST_PROBABLE

#: Largest number of runs shown as columns; more runs are shown as rows.
_SIDE_BY_SIDE = 3
#: Width of a run's heading in characters; longer names are wrapped.
_HEADING = 20
#: Columns after the names of backends that are never omitted: seed and first scores.
_LEAST_COLUMNS = 3
#: Seconds below which one decimal is shown.
_FEW_SECONDS = 100
#: Row of the patient-level score; renamed if the unit of the split is not the patient.
_BY_UNIT = "F1 by patient"

_Figures = Mapping[str, Callable[[RunRecord], str]]


def result_table(
    records: Sequence[RunRecord],
    *,
    synthetic: bool,
    headline: str = "f1",
    unit: Unit = "patient",
    groups: int | None = None,
    width: int = WIDTH,
) -> Table:
    """Return the results of all runs: one column per run for up to three runs, else one row.

    Parameters
    ----------
    records
        Records of the runs, in the order of the table.
    synthetic
        True if the images are synthetic, which the title states.
    headline
        Score that comes first; a score other than F1 replaces ROC AUC in a narrow table.
    unit
        Unit of the split.
    groups
        Number of test patients, lesions or images. If there are few, a caption states that the
        intervals are not reliable.
    width
        Maximum width of the table in characters.
    """
    figures, compact = _by_unit(unit), _COMPACT
    if any(record.metrics.get(THRESHOLD, MOST_PROBABLE) != MOST_PROBABLE for record in records):
        first, *rest = figures.items()
        figures = dict([first, *_AT_THRESHOLD.items(), *rest])
    if headline in _HEADLINES:
        name = _HEADLINES[headline]
        figures = {name: _headline(headline), **figures}
        others = {key: show for key, show in _COMPACT.items() if key != "AUC"}
        compact = {name: _headline(headline), **others}
    title = f"Unseen test {plural(unit)}" + (" (SYNTHETIC cells)" if synthetic else "")
    caption = None
    if groups is not None and groups < RELIABLE_PATIENTS:
        caption = f"Intervals are not reliable below {RELIABLE_PATIENTS} {plural(unit)}."
    if len(records) <= _SIDE_BY_SIDE:
        for heading in (_short_heading, _long_heading):
            table = _columns(_empty(title, caption), records, figures, heading)
            if _width(table) <= width:
                return table
    columns = {"seed": [str(record.seed) for record in records]}
    columns |= {name: [show(record) for record in records] for name, show in compact.items()}
    names = [record.backend for record in records]
    return add_rows(_empty(title, caption), names, columns, width, _LEAST_COLUMNS)


def _by_unit(unit: Unit) -> _Figures:
    """Return the rows, with the row of the patient-level score named after ``unit``."""
    if unit == "image":
        return {name: show for name, show in _FIGURES.items() if name != _BY_UNIT}
    return {
        (f"F1 by {unit}" if name == _BY_UNIT else name): show for name, show in _FIGURES.items()
    }


def _empty(title: str, caption: str | None) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption=caption,
        caption_justify="left",
    )


def _width(table: Table) -> int:
    """Return the width of ``table`` in characters when nothing is truncated."""
    console = Console(width=1000)
    return Measurement.get(console, console.options, table).maximum


def _short_heading(record: RunRecord) -> str:
    return f"{record.backend}, seed {record.seed}"


def _long_heading(record: RunRecord) -> str:
    return f"{folded(record.backend, _HEADING)}\nseed {record.seed}"


def _columns(
    table: Table,
    records: Sequence[RunRecord],
    figures: _Figures,
    heading: Callable[[RunRecord], str],
) -> Table:
    """Add a column for each run."""
    table.add_column("")
    for record in records:
        table.add_column(heading(record), justify="right", no_wrap=True, vertical="bottom")
    for name, text in figures.items():
        table.add_row(name, *(text(record) for record in records))
    return table


def _f1(record: RunRecord) -> str:
    if record.status != FINISHED:
        return "refused" if record.refused else record.status
    values = record.metrics
    if "test.f1_low" not in values:
        return f"{values['test.f1']:.3f}"
    return str(Interval(values["test.f1"], values["test.f1_low"], values["test.f1_high"]))


def _figure(name: str, form: str, unit: float = 1.0) -> Callable[[RunRecord], str]:
    """Return a function that formats a metric, or returns a dash if the record lacks it."""

    def show(record: RunRecord) -> str:
        value = record.metrics.get(name)
        return "-" if value is None else form.format(value / unit)

    return show


def _seconds(name: str) -> Callable[[RunRecord], str]:
    """Return a function that formats seconds, with one decimal below 100 s."""

    def show(record: RunRecord) -> str:
        value = record.metrics.get(name)
        return "-" if value is None else f"{value:.1f}" if value < _FEW_SECONDS else f"{value:.0f}"

    return show


def _headline(score: str) -> Callable[[RunRecord], str]:
    return _figure(f"test.{score}", "{:.3f}")


#: Scores other than F1 that an experiment may list first.
_HEADLINES = {"weighted_f1": "weighted F1", "macro_f1": "macro F1"}
#: Rows of the table, in order.
_FIGURES: dict[str, Callable[[RunRecord], str]] = {
    "F1 (95 % interval)": _f1,
    "ROC AUC": _figure("test.roc_auc", "{:.3f}"),
    _BY_UNIT: _figure("test.patient.f1", "{:.3f}"),
    "Spark and imports": _figure("time.spark_start_s", "{:.1f} s"),
    "open data": _figure("time.load_s", "{:.1f} s"),
    "fit": _figure("time.fit_s", "{:.1f} s"),
    "validate and set up": _figure("time.fit_other_s", "{:.1f} s"),
    "predict": _figure("time.predict_s", "{:.1f} s"),
    "predict validation": _figure("time.predict_validation_s", "{:.1f} s"),
    "save network": _figure("time.save_model_s", "{:.1f} s"),
    "total": _figure("time.total_s", "{:.1f} s"),
    "training images/s": _figure("train.images_per_s", "{:,.0f}"),
    "peak memory": _figure("resources.peak_memory_bytes", "{:.1f} GiB", 2**30),
    "CPU": _figure("resources.cpu_s", "{:.0f} s"),
}
#: Rows after the first one if a run has another threshold than that of the most probable class.
_AT_THRESHOLD: dict[str, Callable[[RunRecord], str]] = {
    "decision threshold": _figure(THRESHOLD, "{:.3f}"),
    "sensitivity": _figure("test.sensitivity", "{:.3f}"),
    "specificity": _figure("test.specificity", "{:.3f}"),
}
#: Columns of the table with one row per run; the last columns are omitted first.
_COMPACT: dict[str, Callable[[RunRecord], str]] = {
    "F1 (95 %)": _f1,
    "AUC": _figure("test.roc_auc", "{:.3f}"),
    "fit s": _seconds("time.fit_s"),
    "total s": _seconds("time.total_s"),
    "CPU s": _seconds("resources.cpu_s"),
    "GiB": _figure("resources.peak_memory_bytes", "{:.1f}", 2**30),
}
