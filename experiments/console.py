"""What a person sees of an experiment in a terminal."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import IO, Any, cast

from rich import box
from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from data.drawing import font_note
from data.names import visible
from data.prepared import PreparedData
from data.schema import SPLITS
from experiments.config import Experiment, RunPlan
from experiments.observer import Observer
from experiments.records import FINISHED, RunRecord
from experiments.steady_output import SteadyOutput
from experiments.store_address import DEFAULT_URI, is_server
from experiments.uncertainty import RELIABLE_PATIENTS, Interval

#: More runs than this stand below each other: their columns would not fit 80 characters.
_SIDE_BY_SIDE = 3
_PHASES = {
    "load": "opening the data",
    "spark_start": "starting Spark and importing the framework",
    "fit": "training",
    "predict": "predicting the test patients",
}


def plain_console(file: IO[str]) -> RichConsole:
    """Return a console that prints texts as they are: names may hold what rich takes for markup."""
    return _PlainConsole(file=file, highlight=False, markup=False, emoji=False)


class _PlainConsole(RichConsole):
    def on_broken_pipe(self) -> None:
        """Go on without a reader: files are still to be written."""
        self.quiet = True
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, self.file.fileno())
        os.close(devnull)


class Console(Observer):
    """Prints steps, a progress line for training, and a table at the end."""

    def __init__(self, *, quiet_stdout: bool = False) -> None:
        output = SteadyOutput(sys.stderr if quiet_stdout else sys.stdout)
        self._out = plain_console(cast(IO[str], output))
        self._experiment: Experiment | None = None
        self._progress: Progress | None = None
        self._images = 0
        self._several = False
        self._phase_of_epoch = 0
        self._synthetic = False
        self._noted: set[str] = set()
        self._test_patients: int | None = None

    def experiment_starts(self, experiment: Experiment, notes: list[str]) -> None:
        """Say what will be done."""
        self._experiment = experiment
        runs = len(experiment.backends) * len(experiment.seeds)
        self._say(
            (experiment.name, "bold"),
            f": {experiment.model.name}, "
            f"{_count(experiment.epochs, 'epoch')}, global batch {experiment.batch_size}, "
            f"{_count(experiment.workers, 'worker')}, {_count(runs, 'run')} "
            f"({', '.join(experiment.backends)})",
        )
        for note in notes:
            self._say(f"note: {note}")
        self._open_progress("preparing the data")

    def data_read(self, lines: Sequence[str]) -> None:
        """Say what the source was taken to be, and what was decided from it."""
        for line in lines:
            self._say(line)

    def data_progress(self, done: int, total: int) -> None:
        """Move the bar of the ingest."""
        self._update(done, total, f"{done:,} of {total:,} images")

    def data_ready(self, prepared: PreparedData) -> None:
        """Say what there is to learn from."""
        self._close_progress()
        summary = prepared.summary
        self._synthetic = summary.synthetic
        parts = []
        for split in SPLITS:
            patients = len(set(prepared.index(split).column("patient_id").to_pylist()))
            parts.append(f"{prepared.rows(split):,} {split} ({patients} patients)")
            if split == "test":
                self._test_patients = patients
        height, width, channels = prepared.image_shape
        content = f"{height} x {width} x {channels}"
        if prepared.dtype == "float32":
            content = f"features of length {channels}"
        self._say(
            f"data: {', '.join(parts)}; {content}; "
            f"classes {', '.join(map(visible, prepared.class_names))}",
            *(("; ", ("SYNTHETIC", "bold"), " cells, not patients") if summary.synthetic else ()),
        )
        if summary.left_out:
            self._say(f"{summary.left_out}: {prepared.uri}/rejects.parquet")
        unwritten = font_note(prepared.class_names)
        for note in (*summary.notes, *([unwritten] if unwritten else [])):
            self._say(f"note: {note}")

    def comparison_starts(self, plans: Sequence[RunPlan], kept: Sequence[RunRecord]) -> None:
        """Say in which order, and what is there already."""
        self._several = True
        names = [f"{plan.backend} {plan.seed}" for plan in plans]
        self._say(f"order drawn from the seeds: {', '.join(names)}")
        if kept:
            self._say(f"kept from before: {_count(len(kept), 'finished run')}")
        if plans[0].experiment.warm_up and len(plans) - len(kept) > 1:
            self._say("warming up: every backend starts once, which is not counted")

    def comparison_ends(self, records: Sequence[RunRecord]) -> None:
        """Show the table."""
        self._show(list(records))
        if self._experiment:
            uri = self._experiment.tracking_uri
            store = "" if uri == DEFAULT_URI else f" --tracking-uri {uri}"
            self._say(f"report: uv run python -m experiments compare{store}")

    def run_starts(self, backend: str, seed: int, synchronisation: str, images: int) -> None:
        """Name the run."""
        self._images = images
        self._say((backend, "bold"), f", seed {seed}: {synchronisation}")
        self._open_progress("starting")

    def event(self, event: dict[str, Any]) -> None:
        """Show phases, batches and epochs."""
        epochs = self._experiment.epochs if self._experiment else 0
        if event["event"] == "phase":
            self._describe(_PHASES.get(event["name"], event["name"]))
        elif event["event"] == "batch":
            done = (event["number"] - 1) * self._images + min(event["images"], self._images)
            self._describe(f"epoch {event['number']}/{epochs}")
            self._update(done, epochs * self._images, f"loss {event['loss']:.4f}")
        elif event["event"] == "epoch":
            rate = event["images"] / event["seconds"] if event["seconds"] else 0.0
            texts = [
                f"{label} {event[key]:.4f}"
                for key, label in (("loss", "loss"), ("validation_loss", "validation"))
                if event[key] is not None
            ]
            text = ", ".join([*texts, f"{rate:,.0f} images/s"])
            self._say(f"  epoch {event['number']}/{epochs}: {text}")
            self._describe(f"epoch {min(event['number'] + 1, epochs)}/{epochs}")
            self._update(event["number"] * self._images, epochs * self._images, text)

    def record_waits(self, text: str) -> None:
        """Say that the record's server is away."""
        self._say(f"note: {text}")

    def note(self, text: str) -> None:
        """Show a note of the record at once."""
        self._noted.add(text)
        self._say(f"  note: {text}")

    def ends(self) -> None:
        """Give the terminal back as it was."""
        self._close_progress()

    def run_ends(self, record: RunRecord) -> None:
        """Say how it ended; show the table after the last run."""
        self._close_progress()
        if record.status != FINISHED:
            style = "yellow" if record.refused else "red"
            self._say((f"{record.backend}: {record.status}", style), f": {record.reason}")
        for note in record.notes:
            if note not in self._noted:
                self._say(f"  note: {note}")
        self._noted.clear()
        if not self._several:
            self._show([record])

    def _say(self, *parts: str | tuple[str, str]) -> None:
        """Print parts as a line that a terminal wraps, so that paths can be copied from it."""
        self._out.print(Text.assemble(*parts), soft_wrap=True)

    def _show(self, records: list[RunRecord]) -> None:
        headline = self._experiment.headline if self._experiment else "f1"
        table = result_table(
            records, synthetic=self._synthetic, headline=headline, patients=self._test_patients
        )
        self._out.print(table)
        if self._experiment:
            self._say(how_to_open(self._experiment.tracking_uri))

    def _open_progress(self, description: str) -> None:
        self._close_progress()
        self._progress = Progress(
            TextColumn("  {task.description}", markup=False),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[text]}", markup=False),
            TimeElapsedColumn(),
            console=self._out,
            transient=True,
            disable=not self._out.is_terminal,
        )
        self._progress.add_task(description, total=None, text="")
        self._progress.start()

    def _describe(self, description: str) -> None:
        if self._progress:
            self._progress.update(self._progress.task_ids[0], description=description)

    def _update(self, done: int, total: int, text: str) -> None:
        if self._progress:
            task = self._progress.task_ids[0]
            self._progress.update(task, completed=done, total=total, text=text)

    def _close_progress(self) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None


def result_table(
    records: list[RunRecord],
    *,
    synthetic: bool,
    headline: str = "f1",
    patients: int | None = None,
) -> Table:
    """Return the figures of each run: side by side for a few runs, else one row for each.

    ``headline`` names the score that comes first; another than F1 takes ROC AUC's place where
    there is little room. ``patients`` is the number of test patients: with few of them, a line
    below the table says that the intervals are not reliable.
    """
    figures, compact = _FIGURES, _COMPACT
    if headline in _HEADLINES:
        name = _HEADLINES[headline]
        figures = {name: _headline(headline), **_FIGURES}
        compact = {name: name, **{k: text for k, text in _COMPACT.items() if k != "ROC AUC"}}
    title = "Unseen test patients" + (" (SYNTHETIC cells)" if synthetic else "")
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption_justify="left",
    )
    if patients is not None and patients < RELIABLE_PATIENTS:
        table.caption = f"Intervals are not reliable below {RELIABLE_PATIENTS} patients."
    if len(records) <= _SIDE_BY_SIDE:
        table.add_column("")
        for record in records:
            table.add_column(f"{record.backend}, seed {record.seed}", justify="right")
        for name, text in figures.items():
            table.add_row(name, *(text(record) for record in records))
        return table
    table.add_column("backend", overflow="fold")
    table.add_column("seed", justify="right", no_wrap=True)
    for heading in compact.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for record in records:
        cells = (figures[name](record) for name in compact)
        table.add_row(record.backend, str(record.seed), *cells)
    return table


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def how_to_open(tracking_uri: str) -> str:
    """Return the line that tells where the record can be looked at."""
    if is_server(tracking_uri):
        return f"record: {tracking_uri}"
    return (
        f"record: uv run mlflow ui --backend-store-uri {tracking_uri}\n"
        "        then open http://127.0.0.1:5000"
    )


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


def _headline(score: str) -> Callable[[RunRecord], str]:
    return _figure(f"test.{score}", "{:.3f}")


#: Scores that an experiment may put first, beside F1.
_HEADLINES = {"weighted_f1": "weighted F1", "macro_f1": "macro F1"}
#: What the table shows, in its order.
_FIGURES: dict[str, Callable[[RunRecord], str]] = {
    "F1 (95 % interval)": _f1,
    "ROC AUC": _figure("test.roc_auc", "{:.3f}"),
    "F1 by patient": _figure("test.patient.f1", "{:.3f}"),
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
#: Figures of a table with one row for each run, with headings that fit 80 characters.
_COMPACT = {
    "F1 (95 % interval)": "F1 (95 %)",
    "ROC AUC": "AUC",
    "fit": "fit",
    "total": "total",
    "peak memory": "memory",
    "CPU": "CPU",
}
