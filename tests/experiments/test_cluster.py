import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlparse

import psutil
import pytest

from experiments.errors import ExperimentError
from experiments.processes.children import start, stop, tree
from experiments.spark.cluster import Cluster, embedded_cluster

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.spark
def test_cluster_listens_on_loopback_only_and_leaves_nothing(tmp_path: Path) -> None:
    with embedded_cluster(2, 512, tmp_path) as cluster:
        assert urlparse(cluster.master).hostname == "127.0.0.1"
        assert len(cluster.processes) == 2, "one worker starts all executors"
        conf = cluster.settings.parent
        assert conf.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in conf.iterdir()} == {0o600}
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if "Successfully registered with master" in (tmp_path / "worker.log").read_text():
                break
            time.sleep(0.1)
        else:
            pytest.fail("the worker did not register with the master")
        members = [member for process in cluster.processes for member in tree(process.pid)]
        listening = {
            connection.laddr.ip
            for member in members
            for connection in member.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
        assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    assert not any(member.is_running() for member in members)
    with socket.socket() as probe:
        port = urlparse(cluster.master).port
        assert port is not None
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.slow
def test_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from experiments.processes.children import start\n"
        f"import os; c = start([sys.executable, '-c', 'import time; time.sleep(600)'],"
        f" Path({str(tmp_path)!r}) / 'log', os.environ)\n"
        "print(c.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    child.wait(10)
    assert not child.is_running()


@pytest.mark.slow
def test_stop_kills_what_does_not_listen(tmp_path: Path) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('up', flush=True); time.sleep(600)"
    )
    log = tmp_path / "log"
    child = start([sys.executable, "-c", code], log, os.environ)
    while "up" not in log.read_text():
        time.sleep(0.05)
    stop([child], grace=1)
    assert child.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_worker_whose_java_dies_at_the_start_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "bin" / "spark-class"
    script.parent.mkdir()
    died = 'Exception in thread "main" java.lang.OutOfMemoryError: unable to create native thread'
    script.write_text(
        f"#!/bin/sh\ncase $1 in *Master) echo Starting Spark master at spark://x:1;;"
        f" *) echo '{died}';; esac\nexec sleep 600\n"
    )
    script.chmod(0o755)
    environment = {**os.environ, "SPARK_HOME": str(tmp_path)}
    monkeypatch.setattr("experiments.spark.cluster.for_spark", lambda: environment)
    with embedded_cluster(1, 512, tmp_path / "cluster") as cluster:
        (watch,) = cluster.starting.values()
        deadline = time.monotonic() + 10
        while not watch.problem() and time.monotonic() < deadline:
            time.sleep(0.1)
        with pytest.raises(ExperimentError, match=r"worker.*create native thread.*ulimit -u"):
            cluster.check()


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Function that makes workers execute lines of shell script and returns their folder."""

    def make(lines: str) -> Path:
        script = tmp_path / "bin" / "spark-class"
        script.parent.mkdir()
        script.write_text(
            "#!/bin/sh\ncase $1 in *Master) echo Starting Spark master at spark://x:1;;"
            f" *) echo Successfully registered with master\n{lines};; esac\nexec sleep 600\n"
        )
        script.chmod(0o755)
        environment = {**os.environ, "SPARK_HOME": str(tmp_path)}
        monkeypatch.setattr("experiments.spark.cluster.for_spark", lambda: environment)
        return tmp_path / "cluster"

    return make


def refusal(cluster: Cluster) -> str:
    """Return the error of the first failing check."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            cluster.check()
        except ExperimentError as error:
            return str(error)
        time.sleep(0.05)
    pytest.fail("nothing was noticed")


def test_worker_that_ends_after_its_start_is_noticed_with_its_last_line(
    scripted: Callable[[str], Path],
) -> None:
    folder = scripted("sleep 0.3; echo no space for the works >&2; exit 3")
    with embedded_cluster(1, 512, folder) as cluster:
        assert refusal(cluster) == (
            "the worker of the run's cluster ended with status 3: no space for the works"
        )


@pytest.mark.slow
def test_executors_that_end_at_once_are_noticed_with_their_last_line(
    scripted: Callable[[str], Path], tmp_path: Path
) -> None:
    output = tmp_path / "cluster" / "worker" / "app-1" / "2"
    ended = "echo Executor app-1/2 finished with state EXITED message none exitStatus"
    folder = scripted(
        f"mkdir -p {output}; echo Unrecognized VM option > {output}/stdout\n"
        f"{ended} 1; {ended} 1; {ended} 0; {ended} 0; sleep 0.5; {ended} 1"
    )
    with embedded_cluster(1, 512, folder) as cluster:
        while (folder / "worker.log").read_text().count("exitStatus 0") != 2:
            cluster.check()
            time.sleep(0.02)
        assert refusal(cluster) == (
            "the executors of the run's cluster end as soon as they start: Unrecognized VM option"
        )
