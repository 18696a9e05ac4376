"""The line that shows the progress of runs in a notebook."""

from types import SimpleNamespace
from typing import Any

from experiments.cli.notebook import Line, NotebookProgress
from experiments.loading import load
from experiments.records import FAILED, FINISHED, RunRecord


class Output:
    """An output of a cell that keeps what it has shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def update(self, obj: Any) -> None:
        self.shown.append(str(obj))


def record(backend: str, status: str) -> RunRecord:
    return RunRecord(
        experiment="synthetic",
        backend=backend,
        seed=0,
        run_id="1",
        tracking_uri="sqlite:///mlflow.db",
        status=status,
        metrics={"time.total_s": 20.0, "time.fit_s": 10.0},
    )


def progress(backends: list[str]) -> tuple[NotebookProgress, Output, list[float]]:
    output, now = Output(), [0.0]
    shown = NotebookProgress(lambda: output, lambda: now[0])
    shown.experiment_starts(load("synthetic", {"backends": backends, "epochs": 4}), [])
    return shown, output, now


def test_line_names_run_epoch_and_loss() -> None:
    shown, output, now = progress(["keras_local"])
    shown.data_progress(10, 1000)
    shown.data_ready(SimpleNamespace(summary=SimpleNamespace(unit="patient")))  # type: ignore[arg-type]
    shown.run_starts("keras_local", 0, "none", 100)
    shown.event({"event": "phase", "name": "fit"})
    now[0] = 7
    shown.event({"event": "epoch", "number": 1, "loss": 0.5, "images": 100, "seconds": 6.0})
    assert output.shown[-1].startswith(
        "keras_local, seed 0: training, epoch 1/4, loss 0.5000; 7 s elapsed; about 20 s remain"
    )
    shown.event({"event": "phase", "name": "predict"})
    assert "predicting the test patients" in output.shown[-1]


def test_batches_update_the_line_twice_a_second_at_most() -> None:
    shown, output, now = progress(["keras_local"])
    shown.run_starts("keras_local", 0, "none", 100)
    before = len(output.shown)
    for number in range(100):
        now[0] += 0.01
        shown.event({"event": "batch", "number": 1, "images": number, "loss": 0.5})
    assert 1 <= len(output.shown) - before <= 2


def test_last_line_counts_the_runs() -> None:
    shown, output, now = progress(["keras_local", "elephas"])
    for backend, status in (("keras_local", FINISHED), ("elephas", FAILED)):
        shown.run_starts(backend, 0, "none", 100)
        shown.run_ends(record(backend, status))
    now[0] = 65
    shown.ends()
    assert output.shown[-1] == "1 of 2 runs finished; 1 did not, see the column 'reason'; 1 min 5 s"


def test_call_that_ends_early_is_reported() -> None:
    shown, output, _ = progress(["keras_local"])
    shown.run_starts("keras_local", 0, "none", 100)
    shown.ends()
    assert output.shown[-1] == "0 of 1 run finished; stopped; 0 s"


def test_line_is_text_of_html() -> None:
    assert Line("<b> & c")._repr_html_() == "<code>&lt;b&gt; &amp; c</code>"
