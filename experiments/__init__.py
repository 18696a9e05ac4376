"""Run, score, record and compare experiments.

>>> import experiments
>>> records = experiments.run("synthetic", backends=["keras_local", "elephas"], epochs=2)
>>> records.to_pandas()
>>> experiments.compare(records)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.comparison.in_python import Comparison
    from experiments.observer import Observer
    from experiments.records import RunRecord, RunRecords

__all__ = ["compare", "run"]


def run(
    experiment: str | Path | None = None,
    *,
    data: str | Path | Mapping[str, Any] | None = None,
    backends: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    overrides: Mapping[str, Any] | None = None,
    work: str | Path = "work",
    observer: "Observer | None" = None,
    resume: bool = False,
    **values: Any,
) -> "RunRecords":
    """Run an experiment and return one record for each backend and seed.

    Parameters
    ----------
    experiment
        A YAML file or the name of a shipped experiment. None selects ``synthetic`` or, if ``data``
        is given, an experiment on these images with settings derived from them.
    data
        Folder, table or ``s3://`` prefix with images, or a mapping with all keys of the
        experiment's ``data`` section.
    backends
        Names as in ``--backend``; ``["all"]`` selects every backend.
    seeds
        One run of each backend for each seed.
    overrides
        Values by dotted key of the experiment: ``{"optimizer.learning_rate": 0.01}``.
    work
        Folder for prepared data.
    observer
        Receives the progress of the runs; ``experiments.cli.console.Console()`` prints it. None
        shows one line that is updated in a notebook, and nothing elsewhere.
    resume
        Resume the newest comparison of the same data and settings.
    **values
        Top-level keys of the experiment, such as ``epochs=2``.

    Returns
    -------
    RunRecords
        A list with one record for each backend and seed.

    Raises
    ------
    ExperimentError, DataError, BackendError
        If the request cannot be carried out. A run that fails does not raise; its record has the
        status FAILED.

    Notes
    -----
    Files created during the call are readable only by this user, unless SPARKDL_SHARE is ``group``
    or ``all``.
    """
    from data.addresses import local_path
    from data.entry import private_files
    from experiments.cli.notebook import NotebookProgress, in_notebook, without_widgets
    from experiments.loading import load
    from experiments.records import RunRecords
    from experiments.runs.runner import run_experiment

    changed = {**(overrides or {}), **values}
    if data is not None:
        changed |= {"data": data} if isinstance(data, Mapping) else {"data.source": str(data)}
    if backends is not None:
        changed["backends"] = list(backends)
    if seeds is not None:
        changed["seeds"] = list(seeds)
    if observer is None and in_notebook():
        observer = NotebookProgress()
    with private_files(), without_widgets():
        return RunRecords(
            run_experiment(
                load(experiment, changed), work=local_path(work), observer=observer, resume=resume
            )
        )


def compare(
    records: "Sequence[RunRecord]", baseline: str = "keras_local", margin: float | None = None
) -> "Comparison":
    """Compare runs, as ``sparkdl-bench compare`` does.

    Parameters
    ----------
    records
        Records that `run` has returned, of one or several calls.
    baseline
        Backend with which the others are compared. If it has not finished, another one is used.
    margin
        Largest difference in F1 that counts as equivalence; None tests no equivalence.

    Returns
    -------
    Comparison
        Recommendation, tables and figures, which a notebook shows.

    Raises
    ------
    ExperimentError
        If no run has finished, or a record is not in MLflow.
    """
    from experiments.comparison.in_python import compare_records

    return compare_records(records, baseline, margin)
