"""Running, judging and recording experiments.

>>> import experiments
>>> records = experiments.run("synthetic", backends=["keras_local", "elephas"], epochs=2)
>>> records[0].metrics["test.f1"]
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.observer import Observer
    from experiments.records import RunRecord

__all__ = ["run"]


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
) -> "list[RunRecord]":
    """Run an experiment and return one record for each backend and seed.

    Parameters
    ----------
    experiment
        A YAML file or the name of a shipped experiment. None is ``synthetic``, or an experiment
        on the images of ``data``, with the settings that these decide.
    data
        Folder, table or ``s3://`` prefix with images, or all keys of ``data`` of an experiment.
    backends
        Names as in ``--backend``; ``["all"]`` for every one.
    seeds
        One run of each backend for each seed.
    overrides
        Any key of the experiment, with dots: ``{"optimizer.learning_rate": 0.01}``.
    work
        Folder for prepared data.
    observer
        Is called with what happens; ``experiments.cli.console.Console()`` prints it.
    resume
        Go on with the newest comparison of the same data and settings.
    **values
        Keys of the experiment without dots, such as ``epochs=2``.

    Files that are made meanwhile can be read by this user alone, unless SPARKDL_SHARE is ``group``
    or ``all``.

    Raises
    ------
    ExperimentError, DataError, BackendError
        For a request that cannot be carried out. A run that fails is a record with status FAILED.
    """
    from data.addresses import local_path
    from data.entry import private_files
    from experiments.loading import load
    from experiments.runs.runner import run_experiment

    changed = {**(overrides or {}), **values}
    if data is not None:
        changed |= {"data": data} if isinstance(data, Mapping) else {"data.source": str(data)}
    if backends is not None:
        changed["backends"] = list(backends)
    if seeds is not None:
        changed["seeds"] = list(seeds)
    with private_files():
        return run_experiment(
            load(experiment, changed), work=local_path(work), observer=observer, resume=resume
        )
