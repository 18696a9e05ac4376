"""A service from its start to its end: models, versions, processes, endpoints, termination."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import uvicorn

from deploy import entrypoint
from models.card import ModelCard
from serving import Classifier
from serving.classifier import classifier_folder
from serving.errors import ServingError
from serving.service import loading
from serving.service.app import create_app
from serving.service.settings import Reload, Settings, Source
from tests.serving.running import LIMIT, ROOT, Running, running
from tests.serving.test_service_requests import ACCESS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cell(cell_files: list[Path]) -> bytes:
    return cell_files[0].read_bytes()


@pytest.fixture(scope="module")
def expected(recorded_model: Path, cell_files: list[Path]) -> np.ndarray:
    return Classifier.open(recorded_model).probabilities(cell_files[0])[0]


class TestSageMaker:
    """The image's command ``serve``, with SageMaker's folder elsewhere."""

    @pytest.mark.parametrize("place", [".", "keras_local-seed0"])
    def test_image_serves_the_model_in_its_folder(
        self, recorded_model: Path, cell: bytes, expected: np.ndarray, tmp_path: Path, place: str
    ) -> None:
        """``deploy sagemaker serve`` packs the model itself, a training job a folder with it."""
        shutil.copytree(recorded_model, tmp_path / "model" / place, dirs_exist_ok=True)
        environment = {
            "SAGEMAKER_ROOT": str(tmp_path),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        command = [sys.executable, entrypoint.__file__, "serve"]
        with running(tmp_path, command=command, environment=environment) as service:
            assert service.get("/ping").status == 200
            answer = service.post("/invocations", cell)
            np.testing.assert_allclose(answer.json(), expected, atol=1e-6)

    def test_command_is_that_of_the_contract(self) -> None:
        command = entrypoint.command(["serve"], {})
        assert command[:3] == ["python", "-m", "serving.service"]
        assert command[3:] == ["/opt/ml/model", "--host", "0.0.0.0"]

    def test_port_and_processes_come_from_the_environment(
        self, recorded_model: Path, cell: bytes, expected: np.ndarray, tmp_path: Path
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {
            **os.environ,
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "MODEL_SERVER_WORKERS": "2",
            "PYTHONPATH": str(ROOT),
        }
        log = tmp_path / "service.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "serving.service", str(recorded_model)],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=output,
            )
        try:
            service = Running(process, f"http://127.0.0.1:{port}", log)
            service.wait_ready()
            deadline = time.monotonic() + LIMIT
            while log.read_text().count('"event": "ready"') < 2:
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            for _ in range(20):
                answer = service.post("/invocations", cell)
                np.testing.assert_allclose(answer.json(), expected, atol=1e-6)
            name = 'sparkdl_requests_total{route="/invocations",status="200"}'
            assert {service.metric(name) for _ in range(10)} == {20.0}
            assert service.end() == 0
        finally:
            process.kill()
            process.wait()


class TestEnd:
    """Termination of a service."""

    def test_requests_in_progress_are_answered_and_new_ones_go_elsewhere(
        self, recorded_model: Path, cell: bytes, tmp_path: Path
    ) -> None:
        with running(tmp_path, recorded_model) as service:
            parts = urlsplit(service.url)
            head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/bmp\r\n"
            head += b"Content-Length: %d\r\n\r\n" % len(cell)
            with socket.create_connection((parts.hostname, parts.port), timeout=60) as slow:
                slow.sendall(head + cell[:1000])
                service.process.send_signal(signal.SIGTERM)
                while service.get("/readyz").status == 200:
                    time.sleep(0.01)
                assert service.get("/livez").status == 200
                assert service.post("/invocations", cell).status == 200
                assert service.get("/readyz").json()["reason"] == "the service is ending"
                assert service.get("/ping").status == 503
                wait_refused(parts.port or 0)
                slow.sendall(cell[1000:])
                assert slow.recv(4096).startswith(b"HTTP/1.1 200")
            assert service.process.wait(LIMIT) == 0

    def test_ctrl_c_ends_it_without_a_traceback(self, recorded_model: Path, tmp_path: Path) -> None:
        with running(tmp_path, recorded_model) as service:
            service.process.send_signal(signal.SIGINT)
            assert service.process.wait(LIMIT) in (0, 130)
            assert "Traceback" not in service.log.read_text()


class TestStart:
    """Requests to serve something that cannot be served."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ([], "name a model, or a SageMaker endpoint with --endpoint"),
            (["{model}", "--reload-alias"], "--reload-alias needs a registered model"),
            (["{model}", "--api-key-file", "/nowhere/keys"], "No such file"),
            (["{model}", "--api-key-file", "{short}"], "fewer than 16 characters"),
            (["{model}", "--api-key-file", "/dev/null"], "is empty"),
            (["{model}", "--max-images", "9", "--max-queue", "8"], "larger than the queue"),
            (["{model}", "--max-pixels", "999999999"], "pixels: Input should be less than"),
            (["{model}", "--host", "203.0.113.1"], "choose another --port or --host"),
            (["{several}"], "has several models (a, b)"),
        ],
    )
    def test_what_cannot_be_served_is_said_in_one_line(
        self, recorded_model: Path, tmp_path: Path, options: list[str], message: str
    ) -> None:
        (tmp_path / "short").write_text("secret")
        for name in ("a", "b"):
            (tmp_path / "several" / name).mkdir(parents=True)
            ModelCard.read(classifier_folder(recorded_model)).write(tmp_path / "several" / name)
        values = {"model": recorded_model, "short": tmp_path / "short"}
        values["several"] = tmp_path / "several"
        done = run(*[option.format(**values) for option in options])
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert done.stderr.count("\n") == 1

    def test_a_port_in_use_is_said(self, recorded_model: Path) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            done = run(str(recorded_model), "--port", str(port))
        assert done.returncode == 2
        assert f"127.0.0.1:{port} cannot be used (Address already in use)" in done.stderr

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_a_damaged_network_ends_the_service(
        self, recorded_model: Path, tmp_path: Path, workers: str
    ) -> None:
        folder = tmp_path / "model"
        shutil.copytree(classifier_folder(recorded_model), folder)
        (folder / "network.xml").write_text("<net")
        done = run(str(folder), "--port", "0", "--workers", workers)
        assert done.returncode != 0
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        assert any("cannot be loaded" in line["event"] for line in lines)
        assert "Traceback" not in done.stderr


class TestReload:
    """Another version of the model, found while the service runs."""

    def test_no_request_is_lost_and_each_has_one_version(
        self, recorded_model: Path, cell: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        versions = [version(recorded_model, tmp_path, number) for number in (1, 2)]
        found = [versions[0]]
        monkeypatch.setattr(loading, "find", lambda *_: found[0])
        settings = Settings(source=versions[0], reload=Reload(model="cells@best", seconds=0.05))
        with in_thread(settings) as service:
            answers: list[tuple[str, float]] = []
            ended = threading.Event()

            def ask() -> None:
                while not ended.is_set():
                    answer = service.post_files("/predict", [("a.bmp", cell)])
                    assert answer.status == 200, answer.body
                    document = answer.json()
                    answers.append((document["model"]["version"], document["threshold"]["value"]))

            with ThreadPoolExecutor(4) as pool:
                asking = [pool.submit(ask) for _ in range(4)]
                wait_version(service, "1")
                found[0] = versions[1]
                wait_version(service, "2")
                time.sleep(0.3)
                ended.set()
                for one in asking:
                    one.result()
            assert set(answers) == {("1", 0.1), ("2", 0.2)}
            text = service.get("/metrics").body.decode()
            assert 'version="1"} 0.0' in text
            assert 'version="2"} 1.0' in text

    def test_a_version_that_cannot_be_loaded_changes_nothing(
        self, recorded_model: Path, cell: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, broken, third = (version(recorded_model, tmp_path, number) for number in (1, 2, 3))
        assert broken.folder is not None
        (broken.folder / "network.xml").write_text("<net")
        found: list[Source | Exception] = [first]

        def look(*_: object) -> Source:
            if isinstance(found[0], Exception):
                raise found[0]
            return found[0]

        monkeypatch.setattr(loading, "find", look)
        settings = Settings(source=first, reload=Reload(model="cells@best", seconds=0.05))
        with in_thread(settings) as service:
            for trouble in (broken, ServingError("the store is away")):
                found[0] = trouble
                time.sleep(0.5)
                assert service.get("/model").json()["version"] == "1"
                assert service.post("/invocations", cell).status == 200
            found[0] = third
            wait_version(service, "3")


class TestEndpoint:
    """The page and its routes in front of an endpoint, which is another service here."""

    @pytest.fixture(scope="class")
    @classmethod
    def front(
        cls, recorded_model: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[tuple[Running, Running]]:
        folder = tmp_path_factory.mktemp("endpoint")
        (folder / "front").mkdir()
        with running(folder, recorded_model, "--max-images", "4") as behind:
            environment = {
                "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": behind.url,
                "AWS_ACCESS_KEY_ID": "x",
                "AWS_SECRET_ACCESS_KEY": "x",
            }
            options = ["--endpoint", "cells", "--region", ACCESS["region_name"]]
            with running(folder / "front", *options, environment=environment) as service:
                yield service, behind

    def test_answers_are_those_of_the_endpoint(
        self, front: tuple[Running, Running], cell: bytes, expected: np.ndarray
    ) -> None:
        service, behind = front
        np.testing.assert_allclose(service.post("/invocations", cell).json(), expected, atol=1e-6)
        answer = service.post_files("/predict", [("a.bmp", cell), ("b.txt", b"no image")])
        first, second = answer.json()["images"]
        direct = behind.post_files("/predict", [("a.bmp", cell)]).json()["images"][0]
        assert first == direct
        assert second["status"] == 415

    def test_card_is_that_of_the_endpoint(self, front: tuple[Running, Running]) -> None:
        service, behind = front
        own, other = (one.get("/model").json() for one in (service, behind))
        assert own.pop("engine") == "endpoint"
        assert own.pop("explains") is False
        assert own.items() <= other.items()

    def test_a_file_that_is_no_image_is_not_sent(self, front: tuple[Running, Running]) -> None:
        service, behind = front
        name = 'sparkdl_requests_total{route="/endpoints/{name}/invocations",status="200"}'
        before = behind.metric(name)
        assert service.post("/invocations", b"no image").status == 415
        assert behind.metric(name) == before

    def test_nothing_is_explained(self, front: tuple[Running, Running], cell: bytes) -> None:
        answer = front[0].post_files("/explain", [("a.bmp", cell)], "image")
        assert answer.status == 501

    def test_an_endpoint_that_is_gone_is_said(
        self, recorded_model: Path, cell: bytes, tmp_path: Path
    ) -> None:
        """The model gives the card, so that the service starts without the endpoint."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
        environment = {
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": nobody,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
        }
        options = [str(recorded_model), "--endpoint", "cells", "--region", ACCESS["region_name"]]
        with running(tmp_path, *options, environment=environment) as service:
            answer = service.post("/invocations", cell)
            assert answer.status == 503
            assert "the endpoint cells is not reached" in answer.json()["error"]
            assert int(answer.headers["Retry-After"]) > 0


def version(recorded: Path, folder: Path, number: int) -> Source:
    """Return a copy of a model as a version of its own, with a threshold to know it by."""
    place = folder / f"version-{number}"
    shutil.copytree(classifier_folder(recorded), place)
    card = ModelCard.read(place)
    threshold = card.threshold.model_copy(update={"value": number / 10})
    card.model_copy(update={"threshold": threshold}).write(place)
    return Source(folder=place, name="cells", version=str(number))


@contextmanager
def in_thread(settings: Settings) -> Iterator[Running]:
    """Run a service in a thread of this process, whose parts can be replaced."""
    config = uvicorn.Config(
        create_app(settings), "127.0.0.1", 0, log_config=None, lifespan="on", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
            assert thread.is_alive()
        port = server.servers[0].sockets[0].getsockname()[1]
        process = subprocess.Popen(["sleep", "600"])
        service = Running(process, f"http://127.0.0.1:{port}", Path("/dev/null"))
        try:
            service.wait_ready()
            yield service
        finally:
            process.kill()
            process.wait()
    finally:
        server.should_exit = True
        thread.join()


def run(*options: str) -> subprocess.CompletedProcess:
    """Run a service that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "serving.service", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )


def wait_version(service: Running, number: str) -> None:
    deadline = time.monotonic() + LIMIT
    while service.get("/model").json()["version"] != number:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_refused(port: int) -> None:
    """Wait until nothing listens on a port."""
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)
