import pickle
import socket
import struct
from pathlib import Path

import numpy as np
import psutil
import pytest

from backends.ports import LOOPBACK, free_port
from backends.reservation_server import reservations_on
from backends.tensorflowonspark import TensorFlowOnSparkOptions
from data.prepared import PreparedData
from experiments.spark.cluster import Cluster
from models import OptimizerConfig
from tests.backends.all_reduce_checks import (
    NETWORKS_BY_WORKERS,
    Network,
    assert_error_of_a_worker_is_reported,
    assert_five_full_batch_steps_equal_keras,
    assert_lost_worker_fails_the_run,
    even,
    task,
)
from tests.backends.conformance import NetworkConformance, harness
from tests.backends.fit_process import executors, fit
from tests.bomb import Bomb
from tests.listening import listening

__all__ = ["even", "harness"]

pytestmark = [pytest.mark.spark, pytest.mark.slow]
NAME = "tensorflowonspark"
FED = TensorFlowOnSparkOptions(input_mode="spark")


class TestTensorFlowOnSpark(NetworkConformance):
    name = NAME


@pytest.mark.long
@pytest.mark.parametrize(("models", "workers"), NETWORKS_BY_WORKERS)
def test_five_full_batch_steps_equal_keras(
    even: PreparedData, tmp_path: Path, models: tuple[Network, ...], workers: int
) -> None:
    assert_five_full_batch_steps_equal_keras(NAME, even, models, workers, tmp_path)


@pytest.mark.long
def test_fed_worker_trains_as_a_reading_one(
    prepared: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both input modes use the same images in the same order and keep the best epoch.

    The reservation server listens only on loopback, and TensorFlow's clients use no proxy.
    """
    port = free_port()
    monkeypatch.setenv("TFOS_SERVER_PORT", str(port))
    monkeypatch.setenv("grpc_proxy", f"http://{LOOPBACK}:9")
    monkeypatch.setenv("no_grpc_proxy", "elsewhere")
    values = {"epochs": 4, "optimizer": OptimizerConfig(name="adam", learning_rate=0.05)}
    with listening(port) as addresses:
        reading, fed = (
            fit(
                NAME,
                task(
                    prepared,
                    options=TensorFlowOnSparkOptions(input_mode=mode, patience=1),
                    **values,
                ),
                tmp_path / mode,
            )
            for mode in ("tensorflow", "spark")
        )
    assert addresses == {LOOPBACK}
    for one, other in zip(reading.weights, fed.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert reading.notes == fed.notes
    losses = [epoch.validation_loss or np.inf for epoch in fed.epochs]
    best = int(np.argmin(losses)) + 1
    assert len(losses) == min(best + 1, 4)
    assert f"The weights are those of epoch {best}, the best one." in fed.notes


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(64) == b""
    except ConnectionResetError:  # the server had not read everything
        return True


@pytest.mark.long
def test_reservations_require_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data without the secret are never unpickled, and idle clients do not block a worker."""
    from tensorflowonspark import reservation

    monkeypatch.setenv("TFOS_SERVER_HOST", LOOPBACK)
    bomb = pickle.dumps(Bomb(tmp_path))
    length = struct.pack(">I", len(bomb))
    with reservations_on(LOOPBACK):
        server = reservation.Server(1)
        address = server.start()
        with socket.create_connection(address), socket.create_connection(address) as slow:
            slow.sendall(length)
            for message in (length + bomb * 2, length + bytes(32) + bomb, b"\xff" * 40):
                with socket.create_connection(address, timeout=20) as stranger:
                    stranger.sendall(message)
                    assert is_closed(stranger)
            worker = reservation.Client(address)
            assert worker.register({"host": LOOPBACK, "authkey": b"key"}) == "OK"
            assert worker.await_reservations() == [{"host": LOOPBACK, "authkey": b"key"}]
            worker.close()
        server.stop()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(address)
    assert not [*tmp_path.iterdir()]


@pytest.mark.long
def test_worker_unpickles_no_unauthenticated_response(tmp_path: Path) -> None:
    from tensorflowonspark import reservation

    with socket.create_server((LOOPBACK, 0)) as impostor, reservations_on(LOOPBACK):
        worker = reservation.Client(impostor.getsockname())
        connection, _ = impostor.accept()
        with connection:
            bomb = pickle.dumps(Bomb(tmp_path))
            connection.sendall(struct.pack(">I", len(bomb)) + bytes(32) + bomb)
            with pytest.raises(ConnectionError, match="not authenticated"):
                worker.get_reservations()
        worker.close()
    assert not [*tmp_path.iterdir()]


@pytest.mark.process_tree
@pytest.mark.long
def test_manager_of_tensorflowonspark_is_not_a_network_server() -> None:
    """The queues of a worker use a Unix socket, which other machines cannot reach."""
    from tensorflowonspark import TFManager

    manager = TFManager.start(b"key", ["input"])
    try:
        assert isinstance(manager.address, str)
        own = psutil.Process(manager._process.pid)
        assert not own.net_connections("inet")
    finally:
        manager.shutdown()


@pytest.mark.process_tree
@pytest.mark.long
def test_killed_executor_fails_the_run(prepared: PreparedData, tmp_path: Path) -> None:
    def kill(cluster: Cluster) -> None:
        executors(cluster)[0].kill()

    assert_lost_worker_fails_the_run(NAME, prepared, tmp_path, kill)


@pytest.mark.process_tree
@pytest.mark.long
def test_killed_python_workers_fail_the_fed_run(prepared: PreparedData, tmp_path: Path) -> None:
    def kill(cluster: Cluster) -> None:
        for python_daemon in executors(cluster)[0].children():
            for process in python_daemon.children(recursive=True):
                process.kill()

    assert_lost_worker_fails_the_run(NAME, prepared, tmp_path, kill, options=FED)


@pytest.mark.long
def test_error_of_a_worker_is_reported(prepared: PreparedData, tmp_path: Path) -> None:
    assert_error_of_a_worker_is_reported(NAME, prepared, tmp_path)
