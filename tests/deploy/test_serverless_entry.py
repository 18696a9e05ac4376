"""The driver of a job on EMR Serverless saves the record however the run ends."""

import io
import tarfile
import time
from pathlib import Path

import pytest

from deploy.aws import storage
from deploy.aws.emr import serverless as emr_serverless
from deploy.aws.emr import serverless_entry

ADDRESS = "s3://bucket/runs/first/record"


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Uploaded content by key; the test's folder is the working folder."""
    kept: dict[str, bytes] = {}

    class Client:
        def upload_file(self, path: str, bucket: str, key: str) -> None:
            kept[f"{bucket}/{key}"] = Path(path).read_bytes()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("boto3.client", lambda _: Client())
    monkeypatch.setattr(serverless_entry, "master", lambda: "local[1]")
    (tmp_path / "code").mkdir()
    return kept


def run(program: str, seconds: float) -> int:
    (serverless_entry.CODE / "run_experiment.py").write_text(program)
    return serverless_entry.main(ADDRESS, seconds, ["--backend", "elephas"])


def content(kept: dict[str, bytes], name: str) -> bytes:
    return kept[f"bucket/runs/first/record/{name}"]


def test_the_record_is_kept_with_the_status_of_the_run(bucket: dict[str, bytes]) -> None:
    program = "import sys; print(sys.argv[1:]); sys.exit('what it said')"
    assert run(program, 30) == 1
    assert b"'--master', 'local[1]'" in content(bucket, "records.jsonl")
    assert content(bucket, "console.log") == b"what it said\n"


@pytest.mark.slow
def test_a_run_is_ended_before_aws_ends_the_job(bucket: dict[str, bytes]) -> None:
    program = """
import signal, sys, time
def closed(*_):
    print("closed")
    sys.exit(3)
signal.signal(signal.SIGTERM, closed)
print("begun", flush=True)
time.sleep(60)
"""
    assert run(program, 2) == 124
    assert content(bucket, "records.jsonl") == b"begun\nclosed\n"
    assert b"stopped at the limit of 2 s" in content(bucket, "console.log")


@pytest.mark.slow
def test_a_run_that_does_not_end_is_killed(
    bucket: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serverless_entry, "GRACE_SECONDS", 0.5)
    program = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: 0); time.sleep(60)"
    began = time.monotonic()
    assert run(program, 2) == 124
    assert time.monotonic() - began < 20
    assert b"stopped at the limit" in content(bucket, "console.log")


def test_the_record_is_brought_away_while_it_runs(
    bucket: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serverless_entry, "KEEP_SECONDS", 0.05)
    folder = tmp_path / "record"
    folder.mkdir()
    (folder / "console.log").write_text("begun")
    with serverless_entry.kept(folder, ADDRESS):
        deadline = time.monotonic() + 10
        while not bucket and time.monotonic() < deadline:
            time.sleep(0.02)
        assert content(bucket, "console.log") == b"begun"


def test_what_goes_wrong_keeps_the_record(bucket: dict[str, bytes], tmp_path: Path) -> None:
    folder = tmp_path / "record"
    folder.mkdir()
    (folder / "console.log").write_text("begun")
    with pytest.raises(KeyboardInterrupt), serverless_entry.kept(folder, ADDRESS):
        raise KeyboardInterrupt
    assert content(bucket, "console.log") == b"begun"


def test_records_that_wait_for_their_server_are_brought_away(bucket: dict[str, bytes]) -> None:
    program = "import os; os.makedirs('work/outbox/r1'); open('work/outbox/r1/parcel.json', 'w')"
    assert run(program, 30) == 0
    with tarfile.open(fileobj=io.BytesIO(content(bucket, storage.OUTBOX))) as archive:
        assert "outbox/r1/parcel.json" in archive.getnames()


def test_the_entry_needs_nothing_of_this_project() -> None:
    """AWS copies only this file to the driver."""
    text = Path(serverless_entry.__file__).read_text()
    assert "from deploy" not in text
    assert "import deploy" not in text
    assert serverless_entry.OUTBOX_ARCHIVE == storage.OUTBOX
    assert emr_serverless._ENTRY.samefile(serverless_entry.__file__)
