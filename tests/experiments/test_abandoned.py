"""A run is closed if its process is dead, but not if it is alive or on another machine."""

import os
import subprocess
from pathlib import Path

import pytest
from mlflow import MlflowClient

from experiments.errors import ExperimentError
from experiments.records import KILLED
from experiments.tracking import process_mark
from experiments.tracking.abandoned import tidy
from experiments.tracking.process_mark import State, own_mark, state_of
from experiments.tracking.recorder import LEFT_OPEN, PARENT, PROCESS, Recorder


def mark(**changed: str) -> str:
    names = ("machine", "boot", "namespace", "pid", "started")
    return " ".join((dict(zip(names, own_mark().split(), strict=True)) | changed).values())


def dead_pid() -> str:
    process = subprocess.Popen(["true"])
    process.wait()
    return str(process.pid)


def test_process_is_known_by_more_than_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    assert state_of(own_mark()) is State.ALIVE
    assert state_of(mark(started="1")) is State.DEAD, "its id was given to another process"
    assert state_of(mark(pid=dead_pid())) is State.DEAD
    assert state_of(mark(machine="0" * 16)) is State.UNKNOWN
    assert state_of(mark(namespace="pid:[1]")) is State.UNKNOWN, "it is in another container"
    assert state_of("") is State.UNKNOWN
    monkeypatch.setattr(process_mark, "_machine_id", lambda: "a")
    assert state_of(mark(boot="0" * 16)) is State.DEAD, "the machine was started anew"
    monkeypatch.setattr(process_mark, "_machine_id", lambda: "")
    assert state_of(mark(boot="0" * 16)) is State.UNKNOWN, "two containers can have one name"


def test_process_that_nobody_has_waited_for_is_dead() -> None:
    process = subprocess.Popen(["sleep", "60"])
    stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    its = mark(pid=str(process.pid), started=stat[19])
    assert state_of(its) is State.ALIVE
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert state_of(its) is State.DEAD
    process.wait()


def test_next_command_closes_the_runs_of_dead_processes_alone(
    tracking_uri: str, tmp_path: Path
) -> None:
    recorder = Recorder(tracking_uri, "abandoned")
    runs = {name: recorder.open(name, {}, {}) for name in ("above", "ours", "elsewhere", "old")}
    runs["below"] = recorder.open("below", {}, {PARENT: runs["above"]})
    for name in ("above", "below"):
        recorder.tag(runs[name], {PROCESS: mark(pid=dead_pid())})
    recorder.tag(runs["elsewhere"], {PROCESS: mark(machine="0" * 16, pid=dead_pid())})
    recorder.client.delete_tag(runs["old"], PROCESS)
    leftover = tmp_path / f"cells.unfinished-{dead_pid()}"
    leftover.mkdir()
    told = tidy(tracking_uri, tmp_path)
    assert sorted(told) == [
        f"{name}: its process has died; the run was closed as KILLED" for name in ("above", "below")
    ]
    client = MlflowClient(tracking_uri)
    status = {name: client.get_run(run).info.status for name, run in runs.items()}
    assert status == {
        "above": KILLED,
        "below": KILLED,
        "ours": "RUNNING",
        "elsewhere": "RUNNING",
        "old": "RUNNING",
    }
    assert client.get_run(runs["below"]).data.tags["status_reason"] == LEFT_OPEN
    assert not leftover.exists()
    assert tidy(tracking_uri) == []


def test_what_another_process_has_under_way_is_not_gone_on_with(tracking_uri: str) -> None:
    recorder = Recorder(tracking_uri, "under-way")
    with subprocess.Popen(["sleep", "60"]) as process:
        stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        its = mark(pid=str(process.pid), started=stat[19])
        above = recorder.open("comparison", {}, {})
        recorder.tag(above, {PROCESS: its})
        with pytest.raises(ExperimentError, match="comparison is under way in another process"):
            recorder.reopen(above)
        process.kill()
    recorder.reopen(above)
    assert recorder.client.get_run(above).data.tags[PROCESS] == own_mark()
