"""Limits of a running service: what is too large, too slow, too much or not allowed."""

import io
import itertools
import json
import resource
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import numpy as np
import pytest
from PIL import Image

from tests.serving.running import Running, running
from tests.serving.test_service_requests import ACCESS

pytestmark = pytest.mark.slow

#: Limits of the service under test, small enough to be reached in no time.
MB, IMAGES, SLOW = 1, 4, 1.5
KEYS = ("first-key-of-the-test", "second-key-of-the-test")  # pragma: allowlist secret


@pytest.fixture(scope="module")
def service(recorded_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    options = ["--max-body-mb", MB, "--max-images", IMAGES, "--max-pixels", 50_000_000]
    options += ["--head-seconds", SLOW, "--body-seconds", SLOW, "--decode-seconds", "0.2"]
    options += ["--max-queue", "8"]
    folder = tmp_path_factory.mktemp("service")
    with running(folder, recorded_model, *map(str, options)) as found:
        yield found


@pytest.fixture(scope="module")
def guarded(recorded_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that asks for a key."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "keys").write_text("\n".join(KEYS) + "\n")
    with running(folder, recorded_model, "--api-key-file", folder / "keys") as found:
        yield found


@pytest.fixture(scope="module")
def cell(cell_files: list[Path]) -> bytes:
    return cell_files[0].read_bytes()


def answers(service: Running, cell: bytes) -> bool:
    return service.post("/invocations", cell).status == 200


class TestSize:
    """Bodies and images that are too large."""

    def test_a_large_body_is_refused_by_its_length(self, service: Running, cell: bytes) -> None:
        answer = service.post("/invocations", bytes(MB * 2**20 + 1))
        assert answer.status == 413
        assert answer.json()["error"] == "the body is larger than 1 MB"
        assert answers(service, cell)

    def test_a_body_of_200_mb_is_neither_kept_nor_cut_off(
        self, service: Running, cell: bytes
    ) -> None:
        """The client can send it all and then reads why, whether it declares a length or not."""
        before = resident(service)
        head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        block = bytes(2**20)
        for declared, more in itertools.product((True, False), (b"", b"Connection: close\r\n")):
            with connect(service) as connection:
                length = b"Content-Length: %d" % (200 * 2**20)
                kind = length if declared else b"Transfer-Encoding: chunked"
                connection.sendall(head + more + kind + b"\r\n\r\n")
                for _ in range(200):
                    chunk = block if declared else b"100000\r\n" + block + b"\r\n"
                    connection.sendall(chunk)
                connection.sendall(b"" if declared else b"0\r\n\r\n")
                assert connection.recv(4096).startswith(b"HTTP/1.1 413")
        assert resident(service) - before < 64 * 2**20
        assert answers(service, cell)

    def test_too_many_images_are_refused(self, service: Running, cell: bytes) -> None:
        files = [(f"{number}.bmp", cell) for number in range(IMAGES + 1)]
        answer = service.post_files("/predict", files)
        assert answer.status == 413
        assert answer.json()["error"] == "more than 4 images in a request"
        body = json.dumps({"instances": [[[0, 1], [2, 3]]] * (IMAGES + 1)}).encode()
        assert service.post("/invocations", body, "application/json").status == 413

    def test_a_decompression_bomb_is_refused_unopened(self, service: Running) -> None:
        """A few bytes that declare 20,000 x 20,000 pixels."""
        began = time.monotonic()
        answer = service.post("/invocations", png_header(20_000, 20_000))
        assert answer.status == 422
        assert "more than 50,000,000 pixels" in answer.json()["error"]
        assert time.monotonic() - began < 5
        assert service.post("/invocations", png_header(8_000, 7_000)).status == 422

    def test_a_jpeg_of_many_scans_is_refused(self, service: Running, tmp_path: Path) -> None:
        path = tmp_path / "progressive.jpg"
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path, progressive=True)
        content = path.read_bytes()
        start = content.rindex(b"\xff\xda")
        answer = service.post("/invocations", content[:start] + content[start:-2] * 300)
        assert answer.status == 422
        assert "scans" in answer.json()["error"]

    def test_a_long_head_is_refused(self, service: Running, cell: bytes) -> None:
        with connect(service) as connection:
            connection.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 200_000)
            assert b" 400 " in connection.recv(4096).splitlines()[0]
        assert answers(service, cell)

    def test_something_that_is_not_http_is_refused(self, service: Running, cell: bytes) -> None:
        with connect(service) as connection:
            connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            assert b" 400 " in connection.recv(4096).splitlines()[0]
        assert answers(service, cell)


class TestTime:
    """Clients and images that are too slow."""

    def test_an_image_that_takes_too_long_is_refused_and_blocks_no_other(
        self, service: Running, cell: bytes
    ) -> None:
        slow = large_png(7000)
        with ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(service.post, "/invocations", slow) for _ in range(3)]
            time.sleep(0.3)
            assert answers(service, cell)
            found = [one.result() for one in waiting]
        assert {answer.status for answer in found} <= {422, 503}
        reasons = [answer.json()["error"] for answer in found if answer.status == 422]
        assert any("more than 0.2 s to decode" in reason for reason in reasons), reasons

    @pytest.mark.parametrize("sent", [b"", b"POST /invocations HTTP/1.1\r\nHost:"])
    def test_a_head_that_never_arrives_ends_its_connection(
        self, service: Running, cell: bytes, sent: bytes
    ) -> None:
        connections = [connect(service) for _ in range(20)]
        for connection in connections:
            connection.sendall(sent)
        assert answers(service, cell)
        assert all(is_closed(connection) for connection in connections)

    def test_a_head_that_arrives_byte_by_byte_ends_its_connection(
        self, service: Running, cell: bytes
    ) -> None:
        began = time.monotonic()
        connection = connect(service)
        connection.sendall(b"GET /ping HTTP/1.1\r\n")
        assert is_closed(connection, sending=b"X-A: b\r\n")
        assert time.monotonic() - began < 20
        assert answers(service, cell)

    def test_the_second_request_of_a_connection_has_the_same_limit(self, service: Running) -> None:
        with connect(service) as connection:
            connection.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in connection.recv(4096)
            connection.sendall(b"GET /ping HT")
            assert is_closed(connection)

    def test_a_body_that_never_arrives_is_refused(self, service: Running, cell: bytes) -> None:
        head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        with connect(service) as connection:
            connection.sendall(head + b"Content-Length: 1000\r\n\r\nabc")
            assert answers(service, cell)
            received = connection.recv(4096)
            assert b" 408 " in received.splitlines()[0]
            assert b"did not arrive within" in received + connection.recv(4096)
            # The rest of the body may not keep the connection either.
            assert is_closed(connection, sending=b"d")


class TestLoad:
    """More requests than the service can answer."""

    def test_a_full_queue_asks_for_patience(self, service: Running, cell: bytes) -> None:
        files = [(f"{number}.png", large_png(2500)) for number in range(IMAGES)]
        with ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(service.post_files, "/predict", files) for _ in range(8)]
            found = [one.result() for one in waiting]
        statuses = Counter(answer.status for answer in found)
        assert statuses[503], statuses
        refused = next(answer for answer in found if answer.status == 503)
        assert int(refused.headers["Retry-After"]) >= 1
        assert service.metric("sparkdl_queue_images") == 0
        assert answers(service, cell)

    def test_a_thousand_connections_are_survived(self, service: Running, cell: bytes) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        request = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/bmp\r\n"
        request += b"Content-Length: %d\r\n\r\n" % len(cell) + cell
        connections = [connect(service) for _ in range(1000)]
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda connection: connection.sendall(request), connections))
            heads = list(pool.map(lambda connection: connection.recv(4096), connections))
        statuses = Counter(int(head.split()[1]) for head in heads)
        for connection in connections:
            connection.close()
        assert statuses.keys() <= {200, 503}, statuses
        assert statuses[200] > 0
        assert answers(service, cell)

    def test_clients_that_hang_up_leave_nothing(self, service: Running, cell: bytes) -> None:
        head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/bmp\r\n"
        for _ in range(50):
            with connect(service) as connection:
                connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(cell) + cell[:500])
        wait_until(lambda: service.metric("sparkdl_queue_images") == 0)
        assert answers(service, cell)


class TestKeys:
    """A service that asks for a key."""

    @pytest.mark.parametrize("path", ["/ping", "/livez", "/readyz", "/", "/docs"])
    def test_health_and_pages_are_open(self, guarded: Running, path: str) -> None:
        assert guarded.get(path).status == 200

    @pytest.mark.parametrize("path", ["/model", "/metrics", "/examples", "/nothing", "//ping"])
    def test_all_else_needs_a_key(self, guarded: Running, path: str) -> None:
        answer = guarded.get(path)
        assert answer.status == 401
        assert "X-API-Key" in answer.json()["error"]
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        for wrong in ("", KEYS[0][:-1], KEYS[0] + "x", "\u00e9"):  # pragma: allowlist secret
            assert guarded.get(path, {"X-API-Key": wrong}).status == 401

    def test_every_key_is_accepted_in_both_headers(self, guarded: Running, cell: bytes) -> None:
        for key in KEYS:
            for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
                assert guarded.get("/model", headers).status == 200
                assert guarded.post("/invocations", cell, headers=headers).status == 200

    def test_a_body_without_a_key_is_not_read(self, guarded: Running) -> None:
        with connect(guarded) as connection:
            head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
            connection.sendall(head)
            assert b" 401 " in connection.recv(4096).splitlines()[0]

    def test_boto3_can_present_a_key(self, guarded: Running, cell: bytes) -> None:
        client = boto3.client("sagemaker-runtime", endpoint_url=guarded.url, **ACCESS)
        client.meta.events.register(
            "before-sign.sagemaker-runtime.InvokeEndpoint",
            lambda request, **_: request.headers.add_header("X-API-Key", KEYS[0]),
        )
        answer = client.invoke_endpoint(
            EndpointName="cells", ContentType="application/x-image", Body=cell
        )
        assert len(json.loads(answer["Body"].read())) == 2


def connect(service: Running) -> socket.socket:
    parts = urlsplit(service.url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=60)
    connection.settimeout(60)
    return connection


def is_closed(connection: socket.socket, sending: bytes = b"") -> bool:
    """Return whether the service ends the connection, while ``sending`` is sent every 0.1 s."""
    stop = threading.Event()

    def drip() -> None:
        while sending and not stop.wait(0.1):
            try:
                connection.sendall(sending)
            except OSError:
                return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    finally:
        stop.set()
        thread.join()
        connection.close()
    return True


def resident(service: Running) -> int:
    """Return the resident memory of the service in bytes."""
    pages = Path(f"/proc/{service.process.pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def wait_until(holds: Callable[[], bool], limit: float = 60) -> None:
    deadline = time.monotonic() + limit
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def png_header(width: int, height: int) -> bytes:
    """Return the beginning of a PNG file, which declares its size."""
    data = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = b"\0\0\0\0IEND\xaeB`\x82"
    checksum = struct.pack(">I", zlib.crc32(data))
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + data + checksum + end


def large_png(side: int) -> bytes:
    """Return a black image of few bytes and many pixels."""
    file = io.BytesIO()
    Image.new("RGB", (side, side)).save(file, "PNG")
    return file.getvalue()
