"""The C library an archive needs: read from its files, printed, checked before anything costs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from deploy.aws.c_library import of_file
from deploy.packing import c_library, manifest
from deploy.packing.archive import Entry, new_archive
from tests.deploy.aws import BUCKET, REGION, Sent, call, on_pause, put, shown, small_archive
from tests.deploy.test_emr import RUN, operations, succeed

PROGRAM = Path(sys.executable).resolve()


def asked(archive: Path | str, output: Path) -> list[str]:
    named = ["--bucket", BUCKET, "--region", REGION, "--name", "first", "--output", str(output)]
    return ["emr", *named, "--environment-archive", str(archive)]


@pytest.mark.skipif(shutil.which("objdump") is None, reason="compares with objdump")
def test_what_files_need_is_what_binutils_read() -> None:
    libraries = sorted(Path(os.__file__).parent.glob("lib-dynload/*.so"))[:20]
    for path in (PROGRAM, *libraries):
        told = subprocess.run(["objdump", "-p", path], capture_output=True, text=True, check=True)
        symbols = [word for word in told.stdout.split() if word.startswith("GLIBC_2")]
        expected = max((tuple(map(int, word[6:].split("."))) for word in symbols), default=())
        assert c_library.needed(path) == expected, path


def test_the_newest_need_decides_and_other_files_need_nothing(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("\x7fELF")
    (tmp_path / "cut_off").write_bytes(PROGRAM.read_bytes()[:100])
    others = [Entry(name, tmp_path / name) for name in ("text", "cut_off")]
    assert c_library.needed_by(others) == "glibc-2.2.5"
    numbers = c_library.version(c_library.needed_by([*others, Entry("python", PROGRAM)]))
    assert numbers == c_library.needed(PROGRAM) > (2, 2, 5)


@pytest.mark.parametrize("size", [0, 4 * 2**20 - 1700, 9 * 2**20])
def test_a_manifest_is_read_from_the_end_of_an_archive(tmp_path: Path, size: int) -> None:
    """The manifest starts at a block boundary, or a block ends in the middle of it."""
    path = tmp_path / "environment.tar.gz"
    with new_archive(path) as archive:
        archive.add([Entry("bin/large", os.urandom(size))])
        content = b'{"libc": "glibc-2.28", "packages": {"x": "' + b"1" * 4000 + b'"}}'
        archive.add([Entry("manifest.json", content)])
    assert of_file(path) == "glibc-2.28"
    assert (manifest.read(path) or {})["packages"] == {"x": "1" * 4000}


def test_a_file_of_another_program_has_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "some.tar.gz").write_bytes(b"an archive" + b"\x1f\x8b\x08" + bytes(300))
    assert of_file(tmp_path / "some.tar.gz") is None


@pytest.mark.slow
@pytest.mark.parametrize("where", [[], ["--serverless", "--role", "arn:aws:iam::1:role/job"]])
def test_an_archive_for_a_newer_machine_is_refused(
    sent: Sent, tmp_path: Path, where: list[str]
) -> None:
    archive = small_archive(tmp_path / "environment.tar.gz", "glibc-2.36")
    run = ["--", "--backend", "elephas"]
    done = call(*asked(archive, tmp_path), *where, *run)
    assert done.exit_code == 2, done.output
    assert "needs glibc 2.36 and EMR's machines have 2.34" in done.stderr
    assert "amazonlinux:2023" in done.stderr
    dry = call(*asked(archive, tmp_path), *where, "--dry-run", *run)
    assert dry.exit_code == 0, dry.output
    assert "this would be rejected" in dry.stderr
    assert shown(dry.stdout)
    assert sent == []


@pytest.mark.slow
def test_an_archive_that_says_nothing_is_a_warning(
    sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some.tar.gz").write_bytes(b"an archive")
    on_pause(monkeypatch, succeed)
    done = call(*asked(tmp_path / "some.tar.gz", tmp_path / "record"), *RUN)
    assert done.exit_code == 0, done.output
    assert "does not state which C library it needs" in done.stderr


@pytest.mark.slow
def test_an_archive_in_s3_tells_what_was_noted_at_its_upload(
    sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = small_archive(tmp_path / "environment.tar.gz", "glibc-2.34")
    on_pause(monkeypatch, succeed)
    assert call(*asked(archive, tmp_path / "record"), *RUN).exit_code == 0
    (key,) = (
        body["Key"]
        for _, operation, body in sent
        if operation == "PutObject" and "/environments/" in body["Key"]
    )
    client = boto3.client("s3", region_name=REGION)
    assert client.head_object(Bucket=BUCKET, Key=key)["Metadata"] == {"libc": "glibc-2.34"}
    newer = {"libc": "glibc-2.39"}
    client.put_object(Bucket=BUCKET, Key=key, Body=b"", Metadata=newer)
    sent.clear()
    done = call(*asked(f"s3://{BUCKET}/{key}", tmp_path / "record"), *RUN)
    assert done.exit_code == 2
    assert "needs glibc 2.39" in done.stderr
    assert operations(sent) == ["HeadObject"]


@pytest.mark.slow
def test_an_archive_in_s3_that_says_nothing_or_is_not_there(
    sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = asked(f"s3://{BUCKET}/mine.tar.gz", tmp_path / "record")
    done = call(*words, *RUN)
    assert done.exit_code == 2
    assert f"there is no environment archive s3://{BUCKET}/mine.tar.gz" in done.stderr
    put("mine.tar.gz", b"x")
    on_pause(monkeypatch, succeed)
    done = call(*words, *RUN)
    assert done.exit_code == 0, done.output
    assert "warning: s3://" in done.stderr
