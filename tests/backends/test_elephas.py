import os
import pickle
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from backends.base import RunContext, TrainingTask
from backends.elephas import Elephas, ElephasOptions
from backends.keras_local import KerasLocal
from backends.ports import LOOPBACK, free_port
from data.prepared import PreparedData
from models import ModelConfig, OptimizerConfig
from tests.backends.conformance import Harness, NetworkConformance, harness
from tests.backends.elephas_serving import SECRET
from tests.backends.fit_process import fit_all
from tests.bomb import Bomb
from tests.listening import listening

__all__ = ["harness"]

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.spark


class TestElephas(NetworkConformance):
    name = "elephas"


def task(prepared: PreparedData, **values: Any) -> TrainingTask:
    standard: dict[str, Any] = {
        "data": prepared,
        "model": ModelConfig(),
        "optimizer": OptimizerConfig(),
        "epochs": 1,
        "global_batch_size": 16,
        "workers": 2,
        "seed": 0,
        "options": ElephasOptions(),
    }
    return TrainingTask(**{**standard, **values})


def test_batch_that_elephas_would_skip_is_refused(prepared: PreparedData) -> None:
    assert Elephas().unsupported(task(prepared)) is None
    reason = Elephas().unsupported(task(prepared, global_batch_size=256))
    assert reason is not None
    assert "skips a worker" in reason


def test_synchronous_training_by_batch_is_refused(prepared: PreparedData) -> None:
    options = ElephasOptions(frequency="batch")
    reason = Elephas().unsupported(task(prepared, options=options))
    assert reason is not None
    assert "per epoch only" in reason


def test_port_that_is_taken_is_named(prepared: PreparedData) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        options = ElephasOptions(mode="asynchronous", port=port)
        reason = Elephas().unsupported(task(prepared, options=options))
    assert f"port {port} is taken" in str(reason)
    assert Elephas().unsupported(task(prepared, options=options)) is None


@pytest.mark.long
@pytest.mark.slow
def test_one_worker_trains_as_keras_does_with_and_without_class_weights(
    prepared: PreparedData, tmp_path: Path
) -> None:
    sgd = OptimizerConfig(name="sgd", learning_rate=0.01)
    model = ModelConfig(dropout=0.0)
    plain = task(prepared, workers=1, optimizer=sgd, model=model, epochs=2)
    weighted = task(
        prepared,
        workers=1,
        optimizer=sgd,
        model=model,
        epochs=2,
        imbalance="weights",
        class_weights=(0.5, 1.5),
    )
    results = fit_all("elephas", [plain, weighted], tmp_path / "run")
    for asked, found in zip([plain, weighted], results, strict=True):
        expected = KerasLocal().fit(asked, RunContext(spark=None, folder=tmp_path))
        for one, other in zip(found.weights, expected.weights, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)
        for epoch, reference in zip(found.epochs, expected.epochs, strict=True):
            assert epoch.loss == pytest.approx(reference.loss, abs=1e-4)


@pytest.mark.process_tree
@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(("mode", "frequency"), [("asynchronous", "epoch"), ("hogwild", "batch")])
def test_parameter_server_trains_on_loopback_alone(
    harness: Harness, mode: str, frequency: str
) -> None:
    # The full updates of both workers are added. Steps of Adam do not depend on the size of the
    # gradient, so whether they overshoot would depend on the timing of the workers.
    port = free_port()
    options = {"elephas": {"mode": mode, "frequency": frequency, "port": port}}
    with listening(port) as found:
        # In a private network other addresses could not be tested.
        record = harness("elephas", backend_options=options, epochs=4, spark={"network": "host"})
    assert found == {"127.0.0.1"}
    assert frequency in record.tags["synchronisation"]
    assert record.epochs[-1]["validation_loss"] < np.log(2)
    reported = [epoch["loss"] for epoch in record.epochs]
    assert all(reported) if frequency == "epoch" else reported == [None] * 4


def send(port: int, path: str, body: bytes = b"", secret: str = SECRET) -> tuple[int, bytes]:
    """Send a request to the parameter server; return the status and body of the response."""
    connection = HTTPConnection(LOOPBACK, port, timeout=20)
    connection.request("POST" if body else "GET", path, body, {"X-Run-Secret": secret})
    response = connection.getresponse()
    return response.status, response.read()


@pytest.mark.slow
def test_parameter_server_serves_only_its_workers_and_ends_with_a_killed_driver(
    tmp_path: Path,
) -> None:
    """Other clients can neither read nor update weights, and a lost worker does not block others.

    The server's own clients do not use a proxy.
    """
    command = [sys.executable, "-m", "tests.backends.elephas_serving"]
    proxy = f"http://{LOOPBACK}:9"  # no server listens there
    environment = {**os.environ, "SPARK_LOCAL_IP": LOOPBACK, "http_proxy": proxy, "no_proxy": ""}
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
    try:
        assert driver.stdout is not None
        pid, port = next(map(int, line.split()) for line in driver.stdout if line[:1].isdigit())
        status, weights = send(port, "/parameters")
        assert (status, len(weights) > 1000) == (200, True)
        for guess in ("", "of another run", "\xe9"):
            for path, body in [("/", b""), ("/parameters", b""), ("/update", weights)]:
                assert send(port, path, body, guess)[0] == 403
        assert send(port, "/update", pickle.dumps(Bomb(tmp_path)))[0] == 500
        assert send(port, "/update", weights + b"more")[0] == 413
        with socket.create_connection((LOOPBACK, port), timeout=20) as worker:
            head = f"POST /update HTTP/1.1\r\nX-Run-Secret: {SECRET}\r\nContent-Length: 100\r\n"
            worker.sendall(f"{head}\r\n too little".encode())
        assert send(port, "/parameters") == (200, weights)
        assert not [*tmp_path.iterdir()]
        driver.kill()
        psutil.Process(pid).wait(10)
    finally:
        driver.kill()
        driver.wait()
