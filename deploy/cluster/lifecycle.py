"""Starting a cluster, and removing it completely whatever its state."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from data.synthetic import synthetic_source
from deploy.cluster import network as networks
from deploy.cluster import processes, services, settings, state
from deploy.cluster.environment import unpacked
from deploy.cluster.state import State
from deploy.errors import DeployError

DRIVER = "driver"
BUCKET = "sparkdl"
_MOST_HOSTS = 100


def up(
    folder: Path,
    *,
    hosts: int,
    cores: int,
    memory: str,
    archive: Path,
    report: Callable[[str], None],
) -> State:
    """Start a cluster with its files in ``folder``; return when every service is healthy.

    Parameters
    ----------
    hosts
        Number of workers, each on its own host.
    cores, memory
        Number of cores and amount of memory (such as ``3g``) of each worker.
    archive
        Archive of the environment; created if it does not exist.
    report
        Callback that receives a message before each step that takes long.

    Raises
    ------
    DeployError
        If the cluster cannot be started; everything created so far is removed.
    """
    if not 1 <= hosts <= _MOST_HOSTS:
        raise DeployError(f"--hosts {hosts}: must be between 1 and {_MOST_HOSTS}")
    networks.check_allowed()
    _check_free(folder, report)
    folder.mkdir(parents=True, exist_ok=True)
    if not archive.is_file():
        report(f"packing this environment to {archive}")
    environment = unpacked(archive, folder)
    numbers = dict(services.NUMBERS)
    numbers |= {f"worker-{n}": services.FIRST_WORKER - 1 + n for n in range(1, hosts + 1)}
    network = networks.plan(folder, numbers)
    cluster = State(
        boot=state.boot(), bridge=network.bridge, subnet=network.subnet, hosts=dict(network.hosts)
    )
    # Written before anything is created, so that 'down' can clean up however this process ends.
    cluster.write(folder)
    try:
        _start(cluster, folder, environment, cores, memory)
    except BaseException:
        _tear_down(cluster, folder)
        raise
    return cluster


def down(folder: Path, *, force: bool = False) -> State:
    """Stop the cluster in ``folder`` and remove its network and secrets; keep records and logs.

    Raises
    ------
    DeployError
        If there is no cluster, or if a run is in progress and ``force`` is False.
    """
    cluster = state.read(folder)
    if cluster is None:
        raise DeployError(f"no cluster was started in {folder}")
    if cluster.is_of_this_boot:
        networks.check_allowed()
        drivers = networks.processes(cluster.network.namespace(DRIVER))
        if drivers and not force:
            raise DeployError(
                f"a run is in progress on the cluster (process {min(drivers)}): wait for it, or "
                "terminate it with --force"
            )
    _tear_down(cluster, folder)
    return cluster


def _check_free(folder: Path, report: Callable[[str], None]) -> None:
    """Reject a folder with a running cluster; remove what remains of one that has ended."""
    old = state.read(folder)
    if old is None:
        return
    if old.is_of_this_boot and any(member.process for member in old.members):
        if old.stage != "up":
            raise DeployError(
                f"a start of the cluster in {folder} is in progress or was killed: stop it with "
                "'sparkdl-bench deploy cluster down'"
            )
        raise DeployError(
            f"a cluster is up in {folder}: see 'sparkdl-bench deploy cluster status', or stop it "
            "with 'sparkdl-bench deploy cluster down'"
        )
    report(f"removing the remains of an earlier cluster in {folder}")
    _tear_down(old, folder)


def _start(cluster: State, folder: Path, environment: Path, cores: int, memory: str) -> None:
    network = cluster.network
    networks.create(network)
    (folder / "hosts").mkdir(exist_ok=True)
    names = [f"{address} {host}\n" for host, address in network.hosts.items()]
    (folder / "hosts" / "names").write_text("127.0.0.1 localhost\n" + "".join(names))
    conf = settings.write_spark_settings(folder)
    credentials = settings.storage_credentials()
    layout = services.Layout(network, folder, environment, conf, credentials, cores, memory)
    for service in layout.services():
        cluster.members.append(processes.start(service, network, folder, environment))
        cluster.write(folder)
    processes.wait_until_healthy(cluster.members)
    addresses = {member.name: member.address for member in cluster.members}
    cluster.options = {
        "--master": addresses["master"],
        # The environment is already on the hosts; sending it with every run would take longer.
        "--environment": "image",
        "--tracking-uri": addresses["mlflow"],
    }
    direct = ",".join(filter(None, [os.environ.get("NO_PROXY"), *network.hosts.values()]))
    variables = {"SPARK_CONF_DIR": str(conf), "NO_PROXY": direct, "no_proxy": direct}
    if "s3" in addresses:
        processes.fetch(f"{addresses['s3']}/{BUCKET}", method="PUT")
        cluster.options |= {
            "--data": str(synthetic_source(folder / "cells")),
            "--prepared": f"s3://{BUCKET}/prepared",
            "--s3-endpoint": addresses["s3"],
        }
        variables |= credentials
    settings.write_driver_environment(folder, variables)
    cluster.stage = "up"
    cluster.write(folder)


def _tear_down(cluster: State, folder: Path) -> None:
    """Remove everything that a complete or partial start has created."""
    if cluster.is_of_this_boot:
        processes.stop(cluster.members, cluster.network, cluster.hosts)
        networks.remove(cluster.network)
    settings.remove(folder)
    for host in cluster.hosts:
        # Contains environments that Spark has unpacked for runs.
        shutil.rmtree(folder / "hosts" / host, ignore_errors=True)
    state.forget(folder)
