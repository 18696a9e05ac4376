"""Another account on the machine has no access, with and without a private network."""

import os
import pwd
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient
from pydantic import ValidationError

from backends import create
from data.prepared import PreparedData
from data.process_environment import for_spark
from experiments.config import Experiment, RunPlan, SparkConfig
from experiments.errors import ExperimentError
from experiments.processes import children
from experiments.processes import private_network as private_network_module
from experiments.processes.children import start, stop
from experiments.processes.private_network import (
    NoPrivateNetworkError,
    PrivateNetwork,
    private_network,
)
from experiments.records import RunRecord
from experiments.runs import isolation, launch
from experiments.runs.isolation import check_private, exposure, needs_network, other_people
from experiments.runs.launch import Launch
from experiments.runs.task import task_of
from tests.experiments.conftest import Run
from tests.intruder import STRANGER, Intruder, as_stranger, command_of

as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="acts as another account, which root alone can do"
)
#: Creates a file and a server, prints its user and address, and waits for a connection.
_SERVER = """
import os, socket, sys
open(sys.argv[1], "w").close()
server = socket.create_server((socket.gethostbyname(socket.getfqdn()), 0))
print(os.getuid(), os.getgid(), *server.getsockname(), flush=True)
server.accept()
"""
_CALLER = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])))"


def _broken_promises() -> Iterator[str]:
    """Yield the guarantees that a private network of this account violates."""
    with tempfile.TemporaryDirectory() as name, private_network() as network:
        log, made = Path(name) / "log", Path(name) / "made"
        server = start([sys.executable, "-c", _SERVER, str(made)], log, os.environ, network)
        try:
            while not (told := log.read_text()).endswith("\n") and server.poll() is None:
                time.sleep(0.02)
            user, group, address, port = told.split()
            if (int(user), int(group)) != (os.getuid(), os.getgid()):
                yield f"the account inside is {user}:{group}"
            if (made.stat().st_uid, made.stat().st_gid) != (os.getuid(), os.getgid()):
                yield "files made inside belong to somebody else"
            if address != "127.0.0.1":
                yield f"the host's name leads to {address}"
            if Path(f"/proc/{server.pid}/environ").read_bytes() == b"":
                yield "the environment cannot be read from outside"
            if psutil.Process(server.pid).memory_full_info().uss == 0:
                yield "the memory cannot be measured from outside"
            with socket.socket() as outside:
                if outside.connect_ex(("127.0.0.1", int(port))) == 0:
                    yield "a server inside is reached from outside"
            caller = [sys.executable, "-c", _CALLER, port]
            member = start(caller, Path(name) / "caller", os.environ, network)
            if member.wait(30):
                yield "a server inside is not reached from inside"
        finally:
            stop([server])


def test_private_network_is_loopback_alone_under_the_same_account() -> None:
    with _or_skip():
        assert list(_broken_promises()) == []


@as_root
def test_private_network_needs_no_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other account may not have permission to read the environment of the tests."""
    needed = [str(private_network_module._SCRIPT), str(children._LAUNCHER)]
    pythons = [sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"]
    usable = as_stranger(lambda: [one for one in pythons if os.access(one, os.X_OK)])
    if not usable or as_stranger(lambda: [one for one in needed if not os.access(one, os.R_OK)]):
        pytest.skip("another account finds no Python, or cannot read the project's files")
    monkeypatch.setattr(sys, "executable", usable[0])
    with _or_skip():
        assert as_stranger(lambda: list(_broken_promises())) == []


@contextmanager
def _or_skip() -> Iterator[None]:
    try:
        with private_network():
            pass
    except NoPrivateNetworkError as error:
        pytest.skip(f"this machine does not allow network namespaces: {error}")
    yield


class _Launching(Intruder):
    """Also makes the master start a program, as anyone with access to its port could."""

    answer = ""

    def attack(self, processes: Any) -> None:
        alive = list(processes)
        lines = [command_of(one) for one in alive]
        super().attack(alive)
        workers = [line for line in lines if "org.apache.spark.deploy.worker.Worker" in line]
        master = re.search(r"spark://127\.0\.0\.1:\d+", workers[0])
        assert master, workers
        environment = for_spark() | {"HOME": "/tmp"}
        environment.pop("SPARK_CONF_DIR", None)
        program = [f"{environment['SPARK_HOME']}/bin/spark-class", "org.apache.spark.deploy.Client"]
        needed = [f"{environment['JAVA_HOME']}/bin/java", program[0]]
        account: dict[str, Any] = {"user": STRANGER, "group": STRANGER, "extra_groups": []}
        if as_stranger(lambda: [one for one in needed if not os.access(one, os.X_OK)]):
            account = {}  # it would start its own Spark
        done = subprocess.run(
            [*program, "launch", master[0], "file:///tmp/stranger.jar", "Stranger"],
            env=environment,
            **account,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        self.answer = done.stdout


@as_root
@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.long
def test_secret_keeps_others_out_where_the_network_is_shared(run: Run, tmp_path: Path) -> None:
    """Every server of Spark is reachable then, but the result equals that of a private network."""
    intruder = _Launching()
    values = {"epochs": 2}  # the attack follows the first
    (shared,) = run("elephas", spark={"network": "host"}, observer=intruder, **values)
    assert shared.status == "FINISHED", shared.reason
    assert shared.tags["network"] == "host"
    # Two of the master and of the worker, and those of the driver or the executors.
    assert sum(listener.shared for listener in intruder.listeners) > 5, intruder.listeners
    assert intruder.got_in == []
    assert "org.apache.spark" in intruder.answer, "the client did not start"
    assert "successfully submitted" not in intruder.answer
    assert "SparkException" in intruder.answer, intruder.answer
    with _or_skip():
        (private,) = run("elephas", spark={"network": "private"}, **values)
        assert private.tags["network"] == "private"
        assert _predictions(private, tmp_path) == _predictions(shared, tmp_path)


def _predictions(record: RunRecord, folder: Path) -> bytes:
    client = MlflowClient(record.tracking_uri)
    path = client.download_artifacts(record.run_id, "predictions.parquet", str(folder))
    return Path(path).read_bytes()


def _plan(backend: str, **values: Any) -> RunPlan:
    experiment = Experiment(name="test", positive_class="all", **values)
    return RunPlan(experiment=experiment, backend=backend, seed=0)


_RESNET = {"name": "transfer", "backbone": "ResNet50", "trainable": True}


@pytest.mark.parametrize(
    ("backend", "values", "reason"),
    [
        ("elephas", {}, ""),
        ("tests.experiments.misbehaving:Burning", {}, "Burning may need more"),
        ("elephas", {"model": _RESNET}, "weights of ResNet50"),
        ("elephas", {"model": _RESNET | {"backbone": "small_cnn"}}, ""),
        ("pandas_udf", {"backend_options": {"pandas_udf": {"backbone": "ResNet50"}}}, "ResNet50"),
        ("elephas", {"spark": {"conf": {"spark.eventLog.dir": "hdfs://a/b"}}}, "eventLog.dir"),
        ("elephas", {"spark": {"conf": {"spark.eventLog.dir": "file:///b"}}}, ""),
        ("elephas", {"spark": {"conf": {"spark.ui.enabled": "true"}}}, "web UI"),
        ("elephas", {"spark": {"conf": {"spark.driver.host": "10.0.0.1"}}}, "host contains"),
    ],
)
def test_run_has_a_private_network_unless_it_needs_more(
    prepared: PreparedData, backend: str, values: dict[str, Any], reason: str
) -> None:
    plan = _plan(backend, **values)
    found = needs_network(plan, task_of(plan, prepared, create(backend)))
    assert reason in found
    assert bool(reason) == bool(found)


def test_run_without_a_private_network_names_who_else_is_there(
    prepared: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line immediately and in the record, if a framework opens servers without a password."""

    @contextmanager
    def none() -> Iterator[PrivateNetwork]:
        raise NoPrivateNetworkError("Operation not permitted")
        yield

    monkeypatch.setattr(launch, "private_network", none)
    monkeypatch.setattr(isolation, "other_people", lambda: ["ana", "ben", "cem", "dora"])
    told: list[str] = []
    for backend in ("tensorflowonspark", "elephas", "keras_local"):
        one = Launch(_plan(backend), create(backend), prepared, tmp_path, on_note=told.append)
        with ExitStack() as stack:
            assert one._network(stack) is None
        assert one.network == "host"
    (note,) = told
    assert "tensorflowonspark" in note
    assert "(ana, ben, cem and others)" in note
    assert "Operation not permitted" in note
    monkeypatch.setattr(isolation, "other_people", list)
    assert exposure(create("tensorflowonspark"), "embedded", "") == ""
    with pytest.raises(NoPrivateNetworkError):
        Launch(
            _plan("elephas", spark={"network": "private"}), create("elephas"), prepared, tmp_path
        )._network(ExitStack())


def test_other_people_are_those_who_can_log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = [
        ("own", os.getuid(), "/bin/bash"),
        ("ana", 1001, "/bin/bash"),
        ("ben", 1002, "/usr/sbin/nologin"),
        ("www-data", 33, "/bin/sh"),
        ("nobody", 65534, "/bin/sh"),
    ]
    entries = [SimpleNamespace(pw_name=n, pw_uid=u, pw_shell=s) for n, u, s in accounts]
    monkeypatch.setattr(pwd, "getpwall", lambda: entries)
    monkeypatch.setattr(isolation, "_homes", list)
    monkeypatch.setattr(psutil, "process_iter", list)
    assert other_people() == ["ana"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"conf": {"spark.authenticate": "false"}}, "share a secret"),
        ({"conf": {"spark.network.crypto.enabled": "false"}}, "share a secret"),
        ({"network": "private", "master": "spark://host:7077"}, "its own network"),
        ({"network": "none"}, "'auto', 'private' or 'host'"),
    ],
)
def test_spark_settings_that_would_let_others_in(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SparkConfig.model_validate(values)
    # On an external cluster, the user is responsible.
    SparkConfig(master="spark://host:7077", conf={"spark.authenticate": "true"})


def test_private_network_is_refused_for_data_elsewhere() -> None:
    experiment = _plan("elephas", spark={"network": "private"}).experiment
    with pytest.raises(ExperimentError, match="s3://bucket/data cannot be read"):
        check_private(experiment, "s3://bucket/data")
