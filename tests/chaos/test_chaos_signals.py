"""Targets of a fault's signal in a process tree with the names of Spark's processes."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaos.campaign import Campaign
from chaos.event_log import Trigger
from chaos.fault import NO_EXECUTORS, Fault
from chaos.outcome import Attempt, StoredRun, Verdict
from chaos.run_under_test import Conditions, RunUnderTest
from chaos.signals import DriverJvmKilled, ExecutorPaused, Hangup, PythonWorkerKilled
from experiments.errors import ExperimentError
from experiments.loading import load
from tests.chaos.test_chaos_outcome import event_log, finished, judged, stored

#: Acts as the program ``name`` and starts itself again with the remaining arguments.
START = """
import subprocess, sys, time
program, name, *inner = sys.argv[1:]
if inner:
    subprocess.Popen([inner[0], "-c", sys.orig_argv[2], *inner])
while name == "busy":
    pass
time.sleep(60)
"""


@dataclass
class Tree:
    """A driver with its JVM, and an executor with a daemon and its worker."""

    target: RunUnderTest
    driver: psutil.Process
    executor: psutil.Process

    @property
    def jvm(self) -> psutil.Process:
        (found,) = self.driver.children()
        return found

    @property
    def worker(self) -> psutil.Process:
        (daemon,) = self.executor.children()
        (found,) = daemon.children()
        return found


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Tree]:
    java = tmp_path / "java"
    java.symlink_to(sys.executable)
    trees = {
        "driver": [sys.executable, "experiments.runs.worker", str(java), "SparkSubmit"],
        "executor": [
            *[str(java), "CoarseGrainedExecutorBackend"],
            *[sys.executable, "pyspark.daemon"],
            *[sys.executable, "busy"],
        ],
    }
    started = {
        name: subprocess.Popen([command[0], "-c", START, *command])
        for name, command in trees.items()
    }
    target = RunUnderTest(tmp_path, tmp_path, Conditions(pause_s=0.5))
    found = {name: psutil.Process(child.pid) for name, child in started.items()}
    everyone = [*found.values()]
    try:
        until(lambda: sum(len(one.children(recursive=True)) for one in found.values()) == 3)
        everyone += [child for one in found.values() for child in one.children(recursive=True)]
        yield Tree(target, **found)
    finally:
        for process in everyone:
            if process.is_running():
                process.kill()
        for child in started.values():
            child.wait()


@pytest.mark.slow
def test_jvm_of_the_driver_is_killed_alone(processes: Tree) -> None:
    jvm = processes.jvm
    told = DriverJvmKilled().inject(processes.target)
    assert told == f"killed the driver's JVM {jvm.pid}"
    until(lambda: jvm.status() == psutil.STATUS_ZOMBIE)
    assert processes.driver.status() != psutil.STATUS_ZOMBIE
    with pytest.raises(ExperimentError, match="no JVM of the driver"):
        DriverJvmKilled().inject(processes.target)


@pytest.mark.slow
def test_python_worker_is_killed_and_its_executor_lives(processes: Tree) -> None:
    worker = processes.worker
    told = PythonWorkerKilled().inject(processes.target)
    assert told == f"killed Python worker {worker.pid}"
    until(lambda: worker.status() == psutil.STATUS_ZOMBIE)
    assert processes.executor.status() != psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_executor_is_stopped_for_a_while_with_all_that_is_below_it(processes: Tree) -> None:
    members = [processes.executor, *processes.executor.children(recursive=True)]
    thread = threading.Thread(target=ExecutorPaused().inject, args=[processes.target])
    thread.start()
    until(lambda: all(one.status() == psutil.STATUS_STOPPED for one in members))
    assert processes.jvm.status() != psutil.STATUS_STOPPED
    thread.join()
    until(lambda: all(one.status() != psutil.STATUS_STOPPED for one in members))


@pytest.mark.parametrize("fault", [DriverJvmKilled, PythonWorkerKilled, ExecutorPaused])
def test_backend_without_executors_has_none_to_lose(fault: type[Fault]) -> None:
    from backends import create

    assert fault().skip_reason(create("keras_local"), None) == NO_EXECUTORS
    assert fault().skip_reason(create("elephas"), None) == ""


#: Prints the signals that reach a process which injects a hangup.
HUNG_UP_ON = """
import signal
from pathlib import Path
from chaos.run_under_test import Conditions, RunUnderTest
from chaos.signals import Hangup

signal.signal(signal.SIGHUP, lambda number, _: print(signal.Signals(number).name))
Hangup().inject(RunUnderTest(Path(), Path(), Conditions()))
"""


@pytest.mark.slow
def test_hangup_reaches_the_command_itself() -> None:
    # In a process of its own, because a signal that is not handled would end the test process.
    command = [sys.executable, "-c", HUNG_UP_ON]
    assert subprocess.check_output(command, text=True).split() == ["SIGHUP"]


def test_command_that_was_hung_up_on_has_closed_its_record() -> None:
    attempt = Attempt(event_log(injected=28.0, end=28.0, closed=False), ended=True)
    closed, resumed = stored("KILLED", "interrupted"), finished(end=80.0, resumed_after=1)
    found = judged(Hangup, attempt, closed, stored(), resumed=resumed)
    assert (found.verdict, found.resumed) == (Verdict.RECOVERED, True)
    still_open = StoredRun("1", "RUNNING", "", {})
    assert judged(Hangup, attempt, still_open).verdict == Verdict.RECORD_LOST


def test_record_that_a_hangup_leaves_open_is_closed_by_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--resume`` would close the record and hide that the command has not done so."""
    still_open = StoredRun("1", "RUNNING", "", {})
    made: list[Trigger | None] = []

    def attempt(*arguments: Any) -> Attempt:
        made.append(arguments[4])
        return Attempt(event_log(injected=28.0, end=28.0, closed=False), ended=True)

    monkeypatch.setattr(Campaign, "_attempt", attempt)
    monkeypatch.setattr(Campaign, "_stored", lambda *_: [still_open])
    parts = load("synthetic", {}), tmp_path, Conditions(), None, lambda _: None, lambda _: None
    found = Campaign(*parts)._try("elephas", Hangup, event_log())
    assert found.verdict == Verdict.RECORD_LOST
    assert made == [event_log().middle]
