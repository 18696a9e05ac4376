"""Runs to compare, read from their records in MLflow."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from data.config import Unit
from experiments.errors import ExperimentError
from experiments.records import FINISHED, THRESHOLD, RunRecord, stored_record
from experiments.resources.monitor import SERIES
from experiments.scoring.thumbnails import THUMBNAILS
from experiments.tracking.recorder import PARENT, check_reachable, client_of
from experiments.units import unit_of
from models.decision import MOST_PROBABLE, decide

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

#: Values of parameters that older records lack.
BEFORE = {
    "imbalance": "none",
    "threshold": "0.5",
    "calibration": "none",
    "model.prototxt": "None",
    "model.weights": "None",
    "model.backbone.caffemodel": "None",
    "optimizer.momentum": "0.0",
    "optimizer.nesterov": "False",
    "optimizer.policy": "None",
}
_PREFIX = "probability_"
#: Runs requested per page of a search in MLflow.
_PAGE = 1000
#: Metrics with a value for each epoch.
_BY_EPOCH = ("train.loss", "validation.loss", "train.epoch_s")


@dataclass(frozen=True)
class ComparedRun:
    """One run; its artifacts are read on first access."""

    record: RunRecord
    params: dict[str, str]
    started_ms: int
    client: "MlflowClient" = field(repr=False)
    folder: Path = field(repr=False)

    @property
    def label(self) -> str:
        """Name of the backend, followed by the platform if one is named."""
        platform = self.params.get("platform", "here")
        return self.record.backend if platform == "here" else f"{self.record.backend} ({platform})"

    @property
    def finished(self) -> bool:
        """True if the run has finished successfully."""
        return self.record.status == FINISHED

    @property
    def resumed_after(self) -> int:
        """Epoch of an interrupted run after which this run was resumed, or 0."""
        return int(self.record.tags.get("resumed_after_epoch", 0))

    @property
    def positive_class(self) -> str:
        """Class for which F1 is computed."""
        return self.params.get("positive_class", "")

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Predictions of the test images, with one row per image.

        The columns are ``image_id``, ``patient_id``, ``label`` and one ``probability_<class>`` for
        each class. The column ``group`` is missing in records of earlier versions.

        Raises
        ------
        ExperimentError
            If the run has no predictions.
        """
        frame = self._table("predictions.parquet")
        if frame is None:
            raise ExperimentError(f"run {self.record.run_id} has no predictions.parquet")
        return frame

    @cached_property
    def decided(self) -> np.ndarray:
        """Class of each test image at the run's decision threshold, labels of shape (n,)."""
        probabilities = self.predictions[[f"{_PREFIX}{name}" for name in self.class_names]]
        threshold = self.record.metrics.get(THRESHOLD, MOST_PROBABLE)
        positive = self.class_names.index(self.positive_class)
        return decide(probabilities.to_numpy(), positive, threshold)

    @property
    def unit(self) -> Unit:
        """Unit of the split: patient, lesion or image."""
        return unit_of(self.record.tags, self.params)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes in label order."""
        names = [name for name in self.predictions.columns if name.startswith(_PREFIX)]
        return [name.removeprefix(_PREFIX) for name in names]

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """Metrics reported by the backend, with one row per epoch."""
        columns = {
            name: {
                point.step: point.value
                for point in self.client.get_metric_history(self.record.run_id, name)
            }
            for name in _BY_EPOCH
            if name in self.record.metrics
        }
        return pd.DataFrame(columns).sort_index()

    @cached_property
    def series(self) -> pd.DataFrame | None:
        """Samples of memory and CPU time, or None if the record has none."""
        return self._table(SERIES)

    @cached_property
    def thumbnails(self) -> pd.DataFrame | None:
        """Thumbnails of misclassified images, or None if the record has none."""
        return self._table(THUMBNAILS)

    def _table(self, name: str) -> pd.DataFrame | None:
        from mlflow.exceptions import MlflowException

        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            path = self.client.download_artifacts(self.record.run_id, name, str(self.folder))
        except (MlflowException, OSError):
            return None
        return pd.read_parquet(path)


def find_runs(
    uris: Sequence[str], folder: Path, experiments: Sequence[str] = (), ids: Sequence[str] = ()
) -> list[ComparedRun]:
    """Return the requested runs, oldest first.

    Without ``experiments`` and ``ids``, the runs of the newest comparison are returned.

    Parameters
    ----------
    uris
        URIs of MLflow databases or servers.
    folder
        Folder to which artifacts are downloaded that are not on this machine.
    experiments
        Names of experiments. Among runs with the same backend, seed, settings, data and platform,
        only the newest is returned.
    ids
        IDs of runs, or of comparisons with all their runs.

    Raises
    ------
    ExperimentError
        If a store cannot be read, or no run is found.
    """
    found: list[ComparedRun] = []
    for uri in uris:
        found += _found_in(uri, folder, experiments, ids)
    if not found:
        asked = ", ".join([*experiments, *ids])
        raise ExperimentError(
            f"no runs {f'of {asked} ' if asked else 'of a comparison '}in {', '.join(uris)}: make "
            "some with run_experiment.py --backend all, or name an experiment with --experiment"
        )
    if missing := [i for i in ids if not any(i in _identities(run) for run in found)]:
        raise ExperimentError(f"there is no run {', '.join(missing)} in {', '.join(uris)}")
    found.sort(key=lambda run: run.started_ms)
    newest = {_identity(run): run for run in found}
    return list(found if ids else newest.values())


def _found_in(
    uri: str, folder: Path, experiments: Sequence[str], ids: Sequence[str]
) -> list[ComparedRun]:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    check_reachable(uri, reading=True)
    client = client_of(uri)
    try:
        places = {e.experiment_id: e.name for e in client.search_experiments()}
        runs = list(_all_runs(client, list(places)))
    except (MlflowException, SQLAlchemyError, OSError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExperimentError(f"{uri} cannot be read: {first}") from error
    names = {run.info.run_id: places[run.info.experiment_id] for run in runs}
    # Trials of a hyperparameter search are evaluated on validation images.
    leaves = [
        run
        for run in runs
        if "backend" in run.data.tags and run.data.params.get("judged", "test") == "test"
    ]
    if experiments:
        chosen = [run for run in leaves if names[run.info.run_id] in experiments]
    elif ids:
        chosen = [r for r in leaves if {r.info.run_id, r.data.tags.get(PARENT)} & set(ids)]
    else:
        above = [run.data.tags[PARENT] for run in leaves if PARENT in run.data.tags]
        chosen = [run for run in leaves if above and run.data.tags.get(PARENT) == above[0]]
    return [
        ComparedRun(
            stored_record(run, uri).model_copy(update={"experiment": names[run.info.run_id]}),
            dict(run.data.params),
            run.info.start_time,
            client,
            folder / run.info.run_id,
        )
        for run in chosen
    ]


def _all_runs(client: "MlflowClient", experiments: list[str]) -> "Iterable[Run]":
    """Yield all runs, newest first."""
    token: str | None = None
    while True:
        page = client.search_runs(
            experiments, max_results=_PAGE, page_token=token, order_by=["start_time DESC"]
        )
        yield from page
        token = page.token
        if not token:
            return


def _identities(run: ComparedRun) -> tuple[str, str]:
    return run.record.run_id, run.record.tags.get(PARENT, "")


def _identity(run: ComparedRun) -> str:
    """Return a key that is equal for two runs if the newer one replaces the older one."""
    tags = run.record.tags
    return json.dumps(
        [
            run.record.experiment,
            sorted(
                (name, value)
                for name, value in {**BEFORE, **run.params}.items()
                if not name.startswith(("price", "tracking_uri", "time_limit"))
            ),
            tags.get("data.fingerprint"),
            tags.get("split.checksum"),
        ]
    )
