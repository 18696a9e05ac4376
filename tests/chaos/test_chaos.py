"""Real faults in real runs, with one backend each; ``sparkdl-bench chaos`` runs all."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import psutil
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from chaos.campaign import campaign
from chaos.hosts import read_hosts
from chaos.outcome import Outcome, Verdict
from chaos.slowing import Slowing
from data.config import DataConfig
from experiments.config import Experiment
from experiments.errors import ExperimentError
from experiments.loading import load
from sparkdl_bench.commands import app

#: Enough epochs that training continues until the fault: they are short with few images.
EPOCHS = 40


@pytest.fixture(scope="module")
def experiment(data_config: DataConfig) -> Experiment:
    overrides = {
        "name": "test",
        "data": data_config.model_dump(mode="json"),
        "epochs": EPOCHS,
        "batch_size": 16,
        "time_limit": 240,
    }
    return load("synthetic", overrides)


def by_fault(outcomes: list[Outcome]) -> dict[str, Outcome]:
    return {one.fault: one for one in outcomes}


@pytest.mark.process_tree
@pytest.mark.long
@pytest.mark.slow
def test_killed_processes_and_damaged_files_without_spark(
    experiment: Experiment, tmp_path: Path
) -> None:
    faults = ["driver-killed", "harness-killed", "corrupt-row", "corrupt-file", "host-gone"]
    found = by_fault(campaign(experiment, ["keras_local"], faults, tmp_path / "chaos"))
    assert not any(one.bad for one in found.values()), found
    driver, harness = found["driver-killed"], found["harness-killed"]
    assert driver.verdict == Verdict.FAILED_CLEANLY
    assert "the driver process was ended by SIGKILL" in driver.message
    assert driver.seconds_to_failure is not None
    assert driver.seconds_to_failure < 10
    assert harness.verdict == Verdict.RECOVERED
    for one in (driver, harness):
        assert one.resumed
        assert one.cost is not None
        assert (one.cost.images_missing, one.cost.difference) == (0, 0.0)
    for name, words in (("corrupt-row", "does not have the 1728"), ("corrupt-file", "integrity")):
        assert found[name].verdict == Verdict.FAILED_CLEANLY
        assert words in found[name].message
        assert "row group" in found[name].message
    assert found["host-gone"].verdict == Verdict.DOES_NOT_APPLY


@pytest.mark.process_tree
@pytest.mark.long
@pytest.mark.slow
@pytest.mark.spark
def test_full_disk_and_damaged_image_under_elephas(experiment: Experiment, tmp_path: Path) -> None:
    """The loss of an executor is tested with the tests of each backend."""
    shorter = experiment.model_copy(update={"epochs": 8})
    faults = ["disk-full", "corrupt-row"]
    full, damaged = campaign(shorter, ["elephas"], faults, tmp_path / "chaos")
    assert damaged.verdict == Verdict.FAILED_CLEANLY
    assert "does not have the 1728" in damaged.message
    assert damaged.seconds_to_failure is not None
    assert damaged.seconds_to_failure < 90, "Spark waited for an executor that is not coming"
    assert not full.bad, full
    assert full.cost is not None
    assert full.cost.images_missing == 0
    assert full.cost.difference == pytest.approx(0, abs=1e-4)


@pytest.mark.process_tree
@pytest.mark.long
@pytest.mark.slow
def test_command_tells_records_and_exits_by_what_was_found(
    data_config: DataConfig, tmp_path: Path, tracking_uri: str
) -> None:
    """``majority`` trains nothing, so the server is down while the record is written."""
    arguments = ["chaos", "--backend", "majority", "--fault", "tracking-down", "--fault"]
    arguments += ["straggler", "--outage-seconds", "3", "--output", str(tmp_path / "chaos")]
    arguments += ["--tracking-uri", tracking_uri, "--data", data_config.source]
    arguments += ["--set", "name=test", "--set", "data.image={height: 24, width: 24}"]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0, told.output
    table = pd.read_csv(tmp_path / "chaos" / "chaos.csv").set_index("fault")
    assert set(table["outcome"]) == {"recovered"}
    assert table.loc["tracking-down", "time_lost_s"] > 1
    client = MlflowClient(tracking_uri)
    kept = client.get_experiment_by_name("test-chaos")
    assert kept is not None
    (run,) = client.search_runs([kept.experiment_id])
    assert run.data.metrics == {"chaos.recovered": 2.0}
    files = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert files == {"chaos.md", "chaos.csv"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fault", "earthquake"], "unknown fault 'earthquake' (faults: executor-killed"),
        (["--backend", "elefas"], "did you mean 'elephas'?"),
        (["--cluster", "nowhere"], "no cluster was started in nowhere"),
        (["--output", "."], "is not empty: name a new folder with --output"),
    ],
)
def test_wrong_requests_are_refused_before_anything_starts(
    arguments: list[str], words: str
) -> None:
    told = CliRunner().invoke(app, ["chaos", *arguments])
    assert told.exit_code == 2
    assert words in told.output


@pytest.mark.slow
def test_slowed_process_keeps_its_share_and_gets_the_rest_back() -> None:
    code = "while True: pass"
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        process = psutil.Process(child.pid)
        slowing = Slowing(process, share=0.2)
        states = set()
        for _ in range(60):
            states.add(process.status())
            child.poll()
            try:
                child.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
        slowing.end()
        assert psutil.STATUS_STOPPED in states
        assert len(states) > 1
        assert process.status() != psutil.STATUS_STOPPED
    finally:
        child.kill()
        child.wait()


def test_file_of_another_kind_is_no_cluster(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text('{"bridge": 1}')
    with pytest.raises(ExperimentError, match="cannot be read"):
        read_hosts(tmp_path)
