import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from backends.ports import LOOPBACK, free_port, is_free
from experiments.__main__ import app
from tests.experiments.conftest import Run

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_dashboard_shows_the_runs_until_it_is_interrupted(run: Run, tracking_uri: str) -> None:
    run("majority", name="shown")
    port = free_port()
    command = [sys.executable, "-m", "experiments", "dashboard"]
    command += ["--tracking-uri", tracking_uri, "--port", str(port)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        lines = []
        for line in child.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        assert any(line.startswith(f"shown: http://{LOOPBACK}:{port}/#/") for line in lines)
        with urlopen(f"http://{LOOPBACK}:{port}/", timeout=10) as page:
            assert "MLflow" in page.read().decode()
        experiment = MlflowClient(tracking_uri).get_experiment_by_name("shown")
        assert experiment is not None
        view = json.loads(experiment.tags["mlflow.sharedViewState.backends"])
        assert view["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "backend"}]
        charts = [chart["metricKey"] for chart in view["compareRunCharts"]]
        assert charts[:4] == ["test.f1", "test.roc_auc", "time.fit_s", "time.total_s"]
        recorded = MlflowClient(tracking_uri).search_runs([experiment.experiment_id])[0].data
        assert set(charts) <= recorded.metrics.keys()
    finally:
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 0
    deadline = time.monotonic() + 10
    while not is_free(port):
        assert time.monotonic() < deadline, "the server is still there"
        time.sleep(0.1)


@pytest.mark.slow
def test_taken_port_and_missing_record_are_said(tracking_uri: str, run: Run) -> None:
    run("majority", name="shown")
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        arguments = ["dashboard", "--tracking-uri", tracking_uri]
        taken = CliRunner().invoke(app, [*arguments, "--port", str(other.getsockname()[1])])
    assert (taken.exit_code, "is taken" in taken.stderr) == (2, True)
    missing = CliRunner().invoke(app, ["dashboard", "--tracking-uri", "sqlite:///nowhere.db"])
    assert (missing.exit_code, "run an experiment first" in missing.stderr) == (2, True)
