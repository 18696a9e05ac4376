"""Figures of runs as a table for a terminal of 80 columns."""

from collections.abc import Callable, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from data.config import Unit
from experiments.narrow_table import WIDTH, add_rows, folded
from experiments.records import FINISHED, RunRecord
from experiments.scoring.uncertainty import RELIABLE_PATIENTS, Interval
from experiments.units import plural

#: More runs than this stand below each other.
_SIDE_BY_SIDE = 3
#: Characters of a heading of a run; a longer name stands in several lines.
_HEADING = 20
#: Columns beside the names of backends that are never left out: seed and first scores.
_LEAST_COLUMNS = 3
#: Seconds below which a decimal is shown.
_FEW_SECONDS = 100
#: Row of the patient-level score, by the unit of the split.
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
    """Return the figures of each run: side by side for a few runs, else one row for each.

    Parameters
    ----------
    headline
        Score that comes first; another than F1 takes ROC AUC's place in a narrow table.
    unit
        Unit of the split.
    groups
        Number of test patients, lesions or images: with few of them, a line below the table says
        that the intervals are not reliable.
    width
        Columns that the table may have.
    """
    figures, compact = _by_unit(unit), _COMPACT
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
    """Return the rows, with that of the patient-level score named after ``unit``."""
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
    """Return the columns that ``table`` takes when nothing is cut."""
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
    """Return a function that shows one metric, or a dash where it is not known."""

    def show(record: RunRecord) -> str:
        value = record.metrics.get(name)
        return "-" if value is None else form.format(value / unit)

    return show


def _seconds(name: str) -> Callable[[RunRecord], str]:
    """Return a function that shows seconds with a decimal where they are few."""

    def show(record: RunRecord) -> str:
        value = record.metrics.get(name)
        return "-" if value is None else f"{value:.1f}" if value < _FEW_SECONDS else f"{value:.0f}"

    return show


def _headline(score: str) -> Callable[[RunRecord], str]:
    return _figure(f"test.{score}", "{:.3f}")


#: Scores that an experiment may put first, beside F1.
_HEADLINES = {"weighted_f1": "weighted F1", "macro_f1": "macro F1"}
#: Figures of the table, in its order.
_FIGURES: dict[str, Callable[[RunRecord], str]] = {
    "F1 (95 % interval)": _f1,
    "ROC AUC": _figure("test.roc_auc", "{:.3f}"),
    _BY_UNIT: _figure("test.patient.f1", "{:.3f}"),
    "Spark and imports": _figure("time.spark_start_s", "{:.1f} s"),
    "open data": _figure("time.load_s", "{:.1f} s"),
    "fit": _figure("time.fit_s", "{:.1f} s"),
    "validate and set up": _figure("time.fit_other_s", "{:.1f} s"),
    "predict": _figure("time.predict_s", "{:.1f} s"),
    "total": _figure("time.total_s", "{:.1f} s"),
    "training images/s": _figure("train.images_per_s", "{:,.0f}"),
    "peak memory": _figure("resources.peak_memory_bytes", "{:.1f} GiB", 2**30),
    "CPU": _figure("resources.cpu_s", "{:.0f} s"),
}
#: Figures of a table with one row for each run; the last ones are left out first.
_COMPACT: dict[str, Callable[[RunRecord], str]] = {
    "F1 (95 %)": _f1,
    "AUC": _figure("test.roc_auc", "{:.3f}"),
    "fit s": _seconds("time.fit_s"),
    "total s": _seconds("time.total_s"),
    "CPU s": _seconds("resources.cpu_s"),
    "GiB": _figure("resources.peak_memory_bytes", "{:.1f}", 2**30),
}
