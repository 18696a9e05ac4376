"""Terminal output of an experiment."""

import os
import sys
import time
from collections.abc import Sequence
from math import isnan
from typing import IO, Any, cast

from rich.console import Console as RichConsole
from rich.text import Text

from data.activity import SILENCE, Activity, duration
from data.config import Unit
from data.drawing import font_note
from data.invocation import command, program
from data.names import visible
from data.prepared import PreparedData
from data.schema import SPLITS
from data.store_address import DEFAULT_URI, is_from_variable, is_server
from experiments.cli.pace import Pace, about
from experiments.cli.phases import described
from experiments.cli.result_table import result_table
from experiments.cli.steady_output import SteadyOutput
from experiments.config import Experiment, RunPlan
from experiments.errors import ExperimentError
from experiments.narrow_table import WIDTH
from experiments.observer import Observer
from experiments.records import FINISHED, RunRecord, RunRecords
from experiments.scoring.caveats import few_examples, unreliable_interval
from experiments.units import counted, names_of_units

#: Digits of a run's id in the command that uses its network.
_SHORT_ID = 8


def plain_console(file: IO[str]) -> RichConsole:
    """Return a console that prints text verbatim, since names may contain Rich markup."""
    return _PlainConsole(file=file, highlight=False, markup=False, emoji=False)


class _PlainConsole(RichConsole):
    def on_broken_pipe(self) -> None:
        """Discard further output instead of exiting: files remain to be written."""
        self.quiet = True
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, self.file.fileno())
        os.close(devnull)


class Console(Observer):
    """Prints steps, the current activity, and a table of results at the end.

    Parameters
    ----------
    quiet_stdout
        If True, print everything to stderr.
    plans_runs
        True if the runs are the experiment's backends times its seeds; False for a
        hyperparameter search, which prints a plan of its own.
    silence
        Seconds without output after which a status line is printed if the output is not a
        terminal.
    """

    def __init__(
        self, *, quiet_stdout: bool = False, plans_runs: bool = True, silence: float = SILENCE
    ) -> None:
        output = SteadyOutput(sys.stderr if quiet_stdout else sys.stdout)
        self._out = plain_console(cast(IO[str], output))
        self._pace = Pace()
        self._activity = Activity(self._out, silence=silence, outlook=self._outlook)
        self._plans_runs = plans_runs
        self._experiment: Experiment | None = None
        self._images = 0
        self._several = False
        #: Total number of runs if there are several, and number of runs started or kept.
        self._total, self._begun = 0, 0
        self._began: float | None = None
        self._is_study = False
        self._synthetic = False
        self._unit: Unit = "patient"
        self._test_groups: int | None = None
        self._noted: set[str] = set()
        #: Notes on the data. Every run of an experiment records them; they are printed once.
        self._of_data: set[str] = set()

    def study_starts(self, runs: Sequence[tuple[str, int | None]]) -> None:
        """Count all of the study's runs."""
        self._is_study, self._total, self._begun = True, len(runs), 0
        self._pace.expect(runs)

    def experiment_starts(self, experiment: Experiment, notes: list[str]) -> None:
        """Print the experiment's name, main settings and notes."""
        self._experiment, self._several = experiment, False
        if not self._is_study:
            self._total = self._begun = 0
        runs = ", ".join(experiment.backends)
        if self._plans_runs:
            count = len(experiment.backends) * len(experiment.seeds)
            runs = f"{_count(count, 'run')} ({runs})"
        self._print(
            (experiment.name, "bold"),
            f": {experiment.model.name}, "
            f"{_count(experiment.epochs, 'epoch')}, global batch {experiment.batch_size}, "
            f"{_count(experiment.workers, 'worker')}, {runs}",
        )
        for note in notes:
            self._print(f"note: {note}")
        self._activity.begin("preparing the data")

    def data_read(self, lines: Sequence[str]) -> None:
        """Print how the source was interpreted and which settings were derived from it."""
        for line in lines:
            self._print(line)

    def data_progress(self, done: int, total: int) -> None:
        """Advance the progress bar of the ingest."""
        self._activity.progress(done, total, f"{done:,} of {total:,} images")

    def data_ready(self, prepared: PreparedData) -> None:
        """Print the size and classes of the prepared data, notes on them, and the plan of runs."""
        summary = prepared.summary
        self._synthetic, self._unit = summary.synthetic, summary.unit
        height, width, channels = prepared.image_shape
        content = f"{height} x {width} x {channels}"
        if prepared.dtype == "float32":
            content = f"features of length {channels}"
        self._print(
            f"data: {self._parts(prepared)}; {content}; "
            f"classes {', '.join(map(visible, prepared.class_names))}",
            *(("; ", ("SYNTHETIC", "bold"), " cells, not patients") if summary.synthetic else ()),
        )
        if summary.left_out:
            self._print(f"{summary.left_out}: {prepared.uri}/rejects.parquet")
        unwritten = font_note(prepared.class_names)
        few = self._few_examples(prepared) if self._plans_runs else []
        for note in (*summary.notes, *([unwritten] if unwritten else []), *few):
            self._print(f"note: {note}")
        if self._plans_runs and self._experiment:
            self._print(plan_line(self._experiment, prepared.rows("train")))
        self._activity.begin("opening the record")

    def comparison_starts(self, plans: Sequence[RunPlan], kept: Sequence[RunRecord]) -> None:
        """Print the order of the runs and the number of finished runs that are kept."""
        self._several = True
        if not self._is_study:
            self._total = len(plans)
            self._pace.expect([(plan.backend, None) for plan in plans])
        self._begun += len(kept)
        for record in kept:
            self._pace.drop(record.backend)
        names = [f"{plan.backend} {plan.seed}" for plan in plans]
        self._print(f"order of the runs, drawn from the seeds: {', '.join(names)}")
        if kept:
            self._print(f"keeping {_count(len(kept), 'finished run')}")

    def comparison_ends(self, records: Sequence[RunRecord]) -> None:
        """Print the table of results and the command that makes a report."""
        self._activity.end()
        self._show(list(records))
        if self._experiment:
            uri = self._experiment.tracking_uri
            store = () if uri == DEFAULT_URI else ("--tracking-uri", uri)
            self._print(f"report: {command('compare', *store)}")

    def warm_up_starts(self, backend: str, number: int, total: int) -> None:
        """Print which backend is started for warm-up."""
        if number == 1:
            self._print("warming up: every backend starts once; these starts are not measured")
        self._print(f"warming up: {backend} ({number} of {total})")
        self._pace.warms_up(backend)
        self._activity.begin("starting Spark and importing the framework", f"warming up {backend}")

    def run_starts(self, backend: str, seed: int, synchronisation: str, images: int) -> None:
        """Print the run's backend, seed and number, and the time elapsed and remaining."""
        method = synchronisation.removeprefix("none: ")
        self._images = images
        self._begun += 1
        self._pace.begins(backend, images)
        if self._total > 1:
            self._print(
                f"run {self._begun} of {self._total}: ",
                (backend, "bold"),
                f", seed {seed}{self._so_far()}",
            )
            self._print(f"  {method}")
        else:
            self._print((backend, "bold"), f", seed {seed}: {method}")
        self._activity.begin("starting", backend)

    def event(self, event: dict[str, Any]) -> None:
        """Show phases, batches and epochs."""
        epochs = self._experiment.epochs if self._experiment else 0
        if event["event"] == "phase":
            name = event["name"]
            self._activity.update(described(name, self._unit))
            if name == "fit":
                self._pace.trains()
        elif event["event"] == "batch":
            share = min(event["images"], self._images) / max(1, self._images)
            done = event["number"] - 1 + share
            self._activity.update("training", f"epoch {event['number']}/{epochs}")
            loss = event["loss"]
            self._activity.progress(done, epochs, "" if isnan(loss) else f"loss {loss:.4f}")
            self._pace.epoch(done, epochs)
        elif event["event"] == "epoch":
            rate = event["images"] / event["seconds"] if event["seconds"] else 0.0
            texts = [
                f"{label} {event[key]:.4f}"
                for key, label in (("loss", "loss"), ("validation_loss", "validation"))
                if event[key] is not None
            ]
            text = ", ".join([*texts, f"{rate:,.0f} images/s"])
            self._print(f"  epoch {event['number']}/{epochs}: {text}")
            self._pace.epoch(event["number"], epochs, event["seconds"] or 0.0)
            self._activity.update("training", f"epoch {min(event['number'] + 1, epochs)}/{epochs}")
            self._activity.progress(event["number"], epochs, text)

    def waits(self, what: str) -> None:
        """Show an activity other than training."""
        self._activity.update(what)
        self._activity.progress(0, 0, "")

    def record_waits(self, text: str) -> None:
        """Print that the record's server is unreachable."""
        self._print(f"note: {text}")

    def note(self, text: str) -> None:
        """Print a note of the record immediately."""
        self._noted.add(text)
        self._print(f"  note: {text}")

    def ends(self) -> None:
        """Stop showing activity and restore the terminal."""
        self._activity.end()

    def run_ends(self, record: RunRecord) -> None:
        """Print the reason if the run did not finish, and its notes; print the table at the end."""
        if record.refused:
            self._begun += 1
            self._pace.refused(record.backend)
        else:
            self._pace.ends(record.metrics, finished=record.status == FINISHED)
        if record.status != FINISHED:
            if record.refused:  # the reason begins with this word
                self._print((f"{record.backend}: ", "yellow"), record.reason)
            else:
                self._print((f"{record.backend}: {record.status}", "red"), f": {record.reason}")
        for note in record.notes:
            if note not in self._noted | self._of_data:
                self._print(f"  note: {note}")
        self._noted.clear()
        if self._several:
            self._activity.begin("preparing the next run")
        else:
            self._activity.end()
            self._show([record])

    def _print(self, *parts: str | tuple[str, str]) -> None:
        """Print the parts as one line; the terminal wraps it, so that paths can be copied."""
        self._out.print(Text.assemble(*parts), soft_wrap=True)
        self._activity.printed()

    def _parts(self, prepared: PreparedData) -> str:
        """Return the number of images, and of patients or lesions, of each part of the split."""
        if self._unit == "image":
            parts = [f"{prepared.rows(split):,} {split}" for split in SPLITS]
            index = prepared.index("test").select(["image_id", "patient_id", "group"])
            self._test_groups = names_of_units(index.to_pandas(), self._unit).nunique()
            return f"{', '.join(parts)} images"
        parts = []
        for split in SPLITS:
            groups = len(set(prepared.index(split).column("patient_id").to_pylist()))
            parts.append(f"{prepared.rows(split):,} {split} ({counted(groups, self._unit)})")
            if split == "test":
                self._test_groups = groups
        return ", ".join(parts)

    def _few_examples(self, prepared: PreparedData) -> list[str]:
        """Return notes on classes with few test images; each run repeats them in its record."""
        index = prepared.index("test").select(["image_id", "patient_id", "group", "label"])
        frame = index.to_pandas()
        units = names_of_units(frame, self._unit).to_numpy()
        found = few_examples(frame["label"].to_numpy(), units, prepared.class_names, self._unit)
        new = [note for note in found if note not in self._of_data]
        # The caption of the table repeats the note on the interval.
        self._of_data = {*found, *unreliable_interval(self._test_groups or 0, self._unit)}
        return new

    def _show(self, records: list[RunRecord]) -> None:
        headline = self._experiment.headline if self._experiment else "f1"
        table = result_table(
            records,
            synthetic=self._synthetic,
            headline=headline,
            unit=self._unit,
            groups=self._test_groups,
            width=max(WIDTH, self._out.width),
        )
        self._out.print(table)
        if self._experiment:
            self._print(how_to_open(self._experiment.tracking_uri))
            if line := how_to_use(records):
                self._print(line)

    def _so_far(self) -> str:
        """Return the time elapsed and remaining, or an empty string for the first run."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
            return ""
        words = [f"{duration(now - self._began)} elapsed", about(self._pace.remaining())]
        return f"; {', '.join(filter(None, words))}"

    def _outlook(self) -> str:
        """Return the time remaining, of the current run if that of all runs is unknown."""
        if words := about(self._pace.remaining()):
            return words
        words = about(self._pace.of_this_run())
        return f"{words} in this run" if words and self._total > 1 else words


def plan_line(experiment: Experiment, images: int) -> str:
    """Return a line with the planned runs: backends, seeds, epochs and training images."""
    backends, seeds = len(experiment.backends), len(experiment.seeds)
    epochs = f"{_count(experiment.epochs, 'epoch')} of {images:,} training images"
    if backends * seeds == 1:
        return f"plan: 1 run, {epochs}"
    return (
        f"plan: {_count(backends, 'backend')} x {_count(seeds, 'seed')} = {backends * seeds} runs, "
        f"each {epochs}"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def how_to_open(tracking_uri: str) -> str:
    """Return the address of the record, or the command that opens it in a browser."""
    if is_server(tracking_uri):
        return f"record: {tracking_uri}"
    return (
        f"record: {program('mlflow', 'ui', '--backend-store-uri', tracking_uri)}\n"
        "        then open http://127.0.0.1:5000"
    )


def how_to_use(records: Sequence[RunRecord]) -> str:
    """Return the command that classifies an image with a network of ``records``.

    The run with the highest F1 on the validation images is chosen, since test images must not
    select a model. The line is empty if no run has recorded a network.
    """
    try:
        best = RunRecords(records).best()
    except ExperimentError:
        return ""
    elsewhere = best.tracking_uri != DEFAULT_URI and not is_from_variable(best.tracking_uri)
    store = ("--tracking-uri", best.tracking_uri) if elsewhere else ()
    return f"use it: {command('predict', best.run_id[:_SHORT_ID], 'IMAGE', *store)}"
