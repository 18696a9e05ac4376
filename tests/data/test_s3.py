"""Images and prepared data in an object store, with a real server process."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from typer.testing import CliRunner

from data import ingest
from data.cli import app
from data.config import DataConfig, ImageConfig
from data.errors import DataError
from data.layouts import read_index
from data.layouts.listing import list_source
from data.object_store import environment, locate_object, use_endpoint
from data.prepared import PreparedData, open_prepared
from data.storage import locate, read_bytes
from data.synthetic_mark import shows_synthetic
from tests.s3_server import BUCKET, ENVIRONMENT, SECRET, client, keys, s3_server, upload

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as address:
        yield address


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment():
        monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def here(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server)
    return server


def prepare(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "data", "prepare", *arguments, "--size", "24"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.spark
@pytest.mark.slow
def test_same_images_from_disk_and_from_s3_are_the_same_data(
    cells: Path, prepared: PreparedData, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(server, cells, "raw/leukaemia cells")
    source, output = f"s3://{BUCKET}/raw/leukaemia cells", f"s3://{BUCKET}/prepared/one"
    made = prepare(source, output, "--s3-endpoint", server)
    assert made.returncode == 0, made.stderr
    assert SECRET not in made.stdout + made.stderr
    use_endpoint(server)
    found = open_prepared(output)
    assert found.summary.fingerprint == prepared.summary.fingerprint
    assert found.summary.split_checksum == prepared.summary.split_checksum
    assert found.shard("train").read().image_ids == prepared.shard("train").read().image_ids
    service = client(server)
    for key in keys(server, "prepared"):
        assert SECRET.encode() not in service.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    before = service.head_object(Bucket=BUCKET, Key="prepared/one/dataset.json")["LastModified"]
    again = prepare(source, output, "--s3-endpoint", server)
    assert again.returncode == 0, again.stderr
    after = service.head_object(Bucket=BUCKET, Key="prepared/one/dataset.json")["LastModified"]
    assert before == after, "a second call with the same images does nothing"
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")


@pytest.mark.slow
@pytest.mark.spark
def test_synthetic_cells_are_drawn_on_disk_and_prepared_to_s3(
    cells: Path, here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run on a cluster, whose executors can access the store but not this folder."""
    asked: list[Path] = []

    def source(beside: Path) -> Path:
        asked.append(beside)
        return cells

    monkeypatch.setattr(ingest, "synthetic_source", source)
    config = DataConfig(image=ImageConfig(height=24, width=24))
    output = f"s3://{BUCKET}/prepared/drawn"
    with pytest.raises(DataError, match="drawn only next to a folder on disk"):
        ingest.prepare(config, output)
    made = ingest.prepare(config, output, drawings=tmp_path)
    assert [path.parent for path in asked] == [tmp_path]
    assert made.summary.synthetic
    assert open_prepared(output).rows("train") == made.rows("train") > 0


@pytest.mark.slow
def test_thousands_of_objects_are_listed_with_their_sizes(here: str) -> None:
    service = client(here)
    for number in range(2500):
        service.put_object(Bucket=BUCKET, Key=f"many/p{number % 7}/{number}.png", Body=b"x" * 3)
    listing = list_source(f"s3://{BUCKET}/many/")
    assert len(listing.files) == 2500
    assert set(listing.sizes) == {3}
    assert listing.files == tuple(sorted(listing.files))


@pytest.mark.slow
def test_page_of_images_in_s3_is_written_to_s3(cells: Path, server: str, here: str) -> None:
    upload(server, cells, "looked/at")
    target = f"s3://{BUCKET}/pages/report.html"
    done = CliRunner().invoke(
        app, ["describe", f"s3://{BUCKET}/looked/at", "--html", target, "--sample", "2"]
    )
    assert done.exit_code == 0, done.output
    text = read_bytes(*locate(target)).decode()
    assert f"32 of {len([*cells.rglob('*.bmp')])} images were read" in text
    assert text.count("data:image/jpeg") == 2 * 12 + 16 * 2
    assert SECRET not in text
    part = DataConfig(source=f"s3://{BUCKET}/looked/at/training_data/fold_0")
    assert shows_synthetic(read_index(part)), "the mark stands above the part that was named"


@pytest.mark.slow
def test_names_keep_what_addresses_would_change(here: str) -> None:
    name = "naïve cells #1/zellen 100%?a=b.bmp"
    client(here).put_object(Bucket=BUCKET, Key=f"odd/{name}", Body=b"content")
    assert list_source(f"s3://{BUCKET}/odd").files == (name,)
    assert read_bytes(*locate(f"s3://{BUCKET}/odd/{name}")) == b"content"


@pytest.mark.slow
@pytest.mark.parametrize(
    "address",
    [
        "s3://AKIA:geheim@cells/raw",  # pragma: allowlist secret
        "s3://cells/raw?access_key=geheim",
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(DataError, match=r"credentials belong in AWS_ACCESS_KEY_ID") as error:
        locate_object(address)
    assert "geheim" not in str(error.value)


def test_what_is_missing_is_said(here: str) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        list_source(f"s3://{BUCKET}/nowhere")
    with pytest.raises(DataError, match=r"no-such-bucket.*(there is no such folder|cannot be)"):
        list_source("s3://no-such-bucket/raw")
    with pytest.raises(DataError, match="names no bucket"):
        locate_object("s3:///raw")
    with pytest.raises(DataError, match="http://host:port"):
        use_endpoint("127.0.0.1:9000")


def test_only_the_place_is_told_to_others(here: str) -> None:
    told = environment()
    assert told["AWS_ENDPOINT_URL_S3"] == here
    assert not set(told) & {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


class _Busy(BaseHTTPRequestHandler):
    """A store with one object that rejects the first two requests of each kind as a busy S3."""

    content = b"a cell"
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(self.content)

    def _answer(self, body: bytes) -> None:
        self.asked.append(self.command)
        busy = self.asked.count(self.command) <= 2
        self.send_response(503 if busy else 200)
        self.send_header("Content-Length", "0" if busy else str(len(self.content)))
        self.end_headers()
        if not busy:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
def test_requests_that_a_busy_server_refuses_are_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Busy) as busy:
        threading.Thread(target=busy.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{busy.server_port}")
        assert read_bytes(*locate("s3://cells/one.bmp")) == _Busy.content
        busy.shutdown()
    assert _Busy.asked.count("GET") >= 3
