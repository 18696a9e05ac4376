"""A killed run is resumed after its last complete epoch, with the same result."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from data.config import DataConfig
from data.prepared import PreparedData
from experiments.config import RunPlan
from experiments.errors import ExperimentError
from experiments.loading import load
from experiments.records import FINISHED, KILLED
from experiments.runs.resumption import checkpoints, run_key
from tests.experiments.conftest import Run

ROOT = Path(__file__).parents[2]
LIMIT = 120


@pytest.mark.process_tree
@pytest.mark.long
@pytest.mark.slow
def test_killed_run_goes_on(
    run: Run, data_config: DataConfig, work: Path, tracking_uri: str
) -> None:
    settings = {"name": "resumption", "epochs": 40, "optimizer.learning_rate": 2e-3}
    (whole,) = run("keras_local", **settings)
    assert not (work / "checkpoints" / whole.tags["run.key"][:16]).exists()
    code = (
        "import json, sys, experiments\n"
        "overrides, work = json.loads(sys.argv[1]), sys.argv[2]\n"
        "experiments.run('synthetic', backends=['keras_local'], overrides=overrides, work=work)\n"
    )
    overrides = {
        "data": data_config.model_dump(mode="json"),
        "batch_size": 16,
        "tracking_uri": tracking_uri,
        "time_limit": 300,
        "warm_up": False,
        **settings,
    }
    child = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(overrides), str(work)],
        cwd=ROOT,
        start_new_session=True,
    )
    kept = work / "checkpoints" / whole.tags["run.key"][:16] / "checkpoint.npz"
    deadline = time.monotonic() + LIMIT
    while not kept.exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert kept.exists(), "the run ended before it kept an epoch"
    (resumed,) = run("keras_local", resume=True, **settings)
    assert resumed.status == FINISHED
    assert 1 <= int(resumed.tags["resumed_after_epoch"]) < 40
    assert [epoch["number"] for epoch in resumed.epochs] == [*range(1, 41)]
    for name, value in whole.metrics.items():
        if name.startswith(("test.", "train.samples", "train.steps")):
            assert resumed.metrics[name] == value, name
    client = MlflowClient(tracking_uri)
    experiment = client.get_experiment_by_name("resumption")
    assert experiment is not None
    states = sorted(r.info.status for r in client.search_runs([experiment.experiment_id]))
    assert states == [FINISHED, FINISHED, KILLED]
    assert not kept.parent.exists()


def test_only_one_process_keeps_a_run(tmp_path: Path) -> None:
    with checkpoints(tmp_path, "abc", resume=False) as first:
        assert first is not None
        (first / "checkpoint.npz").write_bytes(b"kept")
        with checkpoints(tmp_path, "abc", resume=False) as second:
            assert second is None
        assert (first / "checkpoint.npz").exists()
        with (
            pytest.raises(ExperimentError, match="under way in another process"),
            checkpoints(tmp_path, "abc", resume=True),
        ):
            pass
    with checkpoints(tmp_path, "abc", resume=True) as again:
        assert again is not None
        assert again == first
        assert (again / "checkpoint.npz").exists()
    with checkpoints(tmp_path, "abc", resume=False) as anew:
        assert anew is not None
        assert not (anew / "checkpoint.npz").exists()


def test_another_run_has_another_key(prepared: PreparedData) -> None:
    plan = RunPlan(experiment=load("synthetic"), backend="elephas", seed=0)
    other_limit = RunPlan(
        experiment=load("synthetic", {"time_limit": 9}), backend="elephas", seed=0
    )
    assert run_key(plan, prepared) == run_key(other_limit, prepared)
    longer = RunPlan(experiment=load("synthetic", {"epochs": 99}), backend="elephas", seed=0)
    others = [longer, plan.model_copy(update={"seed": 1}), plan.model_copy(update={"backend": "x"})]
    assert len({run_key(each, prepared) for each in [plan, *others]}) == 4
