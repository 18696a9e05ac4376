"""MLflow's user interface on loopback, opened at the page that compares the runs."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote, urlencode
from urllib.request import urlopen

from backends.ports import LOOPBACK, is_free
from data.store_address import sqlite_path, sqlite_uri
from experiments.errors import ExperimentError
from experiments.processes.children import start, stop
from experiments.tracking.abandoned import tidy
from experiments.tracking.recorder import client_of
from experiments.tracking.store import check_database

#: Prefix of the MLflow tag with a shared view, as written by MLflow's "share" button, and the name
#: of the view, which is part of its address.
_VIEW_TAG, _VIEW = "mlflow.sharedViewState.", "backends"
#: Metrics of the charts at the top of the page.
_CHARTS = (
    "test.f1",
    "test.roc_auc",
    "time.fit_s",
    "time.total_s",
    "resources.peak_memory_mib",
    "resources.cpu_s",
)
_SECTION = "sparkdl-bench"
#: The view: runs of backends, best first, as means over seeds, with the most useful columns.
_STATE = {
    "searchFilter": "tags.backend != ''",
    "orderByKey": "metrics.`test.f1`",
    "orderByAsc": False,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "modelVersionFilter": "All Runs",
    "datasetsFilter": [],
    "selectedColumns": [
        "params.`backend`",
        "params.`seed`",
        "metrics.`test.f1`",
        "metrics.`test.roc_auc`",
        "metrics.`time.fit_s`",
        "metrics.`time.total_s`",
        "metrics.`train.images_per_s`",
        "metrics.`resources.cpu_s`",
        "metrics.`resources.peak_memory_mib`",
    ],
    "groupBy": {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "param", "groupByData": "backend"}],
    },
    "compareRunSections": [
        {"uuid": _SECTION, "name": "Backends", "display": True, "isReordered": True}
    ],
    "compareRunCharts": [
        {
            "type": "BAR",
            "uuid": f"{_SECTION}-{metric}",
            "metricSectionId": _SECTION,
            "metricKey": metric,
            "runsCountToCompare": 20,
            "isGenerated": False,
            "deleted": False,
        }
        for metric in _CHARTS
    ],
}
#: Tag that makes MLflow show its pages for training instead of those for language models.
_KIND = ("mlflow.experimentKind", "custom_model_development")
#: Seconds within which the server must answer.
_START_LIMIT = 60.0


class Dashboard:
    """An MLflow server for one store, used as a context manager."""

    def __init__(self, tracking_uri: str, port: int, folder: Path) -> None:
        path = sqlite_path(tracking_uri)
        if path is None:
            raise ExperimentError(
                f"{tracking_uri} is already a server: open it in a browser, or name a database "
                "such as sqlite:///mlflow.db"
            )
        if not path.exists():
            raise ExperimentError(f"there is no record {tracking_uri}: run an experiment first")
        check_database(path, tracking_uri, reading=True)
        if not is_free(port):
            raise ExperimentError(f"port {port} is taken: choose another one with --port")
        self.address = f"http://{LOOPBACK}:{port}"
        self._uri, self._port, self._log = sqlite_uri(path), port, folder / "mlflow.log"
        self._writable = os.access(path, os.W_OK)
        tidy(self._uri)
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "Dashboard":
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self._uri]
        command += ["--host", LOOPBACK, "--port", str(self._port), "--workers", "1"]
        self._process = start(command, self._log, os.environ)
        deadline = time.monotonic() + _START_LIMIT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                stop([self._process])
                raise ExperimentError(
                    f"MLflow did not start:\n{self._log.read_text(errors='replace')[-1500:]}"
                )
            time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            stop([self._process])

    def wait(self) -> None:
        """Wait until the server ends."""
        if self._process is not None:
            self._process.wait()

    def pages(self) -> dict[str, str]:
        """Return the address of each experiment's charts, with its runs grouped by backend."""
        # A store that cannot be written to is shown with MLflow's default columns.
        client, found = client_of(self._uri), {}
        for experiment in client.search_experiments():
            if not client.search_runs([experiment.experiment_id], max_results=1):
                continue
            view = {"compareRunsMode": "CHART"}
            if self._writable:
                client.set_experiment_tag(
                    experiment.experiment_id, _VIEW_TAG + _VIEW, json.dumps(_STATE)
                )
                client.set_experiment_tag(experiment.experiment_id, *_KIND)
                view["viewStateShareKey"] = _VIEW
            runs = f"{self.address}/#/experiments/{quote(experiment.experiment_id)}/runs"
            found[experiment.name] = f"{runs}?{urlencode(view)}"
        return found

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.address}/health", timeout=2):
                return True
        except (URLError, OSError):
            return False
