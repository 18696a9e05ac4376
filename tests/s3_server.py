"""A real S3 server process for tests: moto's server on the loopback interface."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import boto3

from backends.ports import LOOPBACK, free_port
from experiments.processes.children import start, stop

SECRET = "wJalrXUtnFEMI-test-secret"  # pragma: allowlist secret
BUCKET = "cells"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIATESTTESTTEST",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Start a server with an empty bucket ``cells``; return its address."""
    port = free_port()
    address = f"http://{LOOPBACK}:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)]
    process = start(command, folder / "s3.log", {**os.environ, **ENVIRONMENT})
    try:
        _wait(address, process)
        client(address).create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        yield address
    finally:
        stop([process])


def client(address: str):
    """Return a client of the server."""
    return boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=SECRET,
        region_name=ENVIRONMENT["AWS_DEFAULT_REGION"],
    )


def upload(address: str, folder: Path, prefix: str) -> None:
    """Upload every file below ``folder`` to ``cells/prefix``."""
    service = client(address)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            service.upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(folder)}")


def keys(address: str, prefix: str) -> list[str]:
    """Return the names of the objects below ``prefix``."""
    pages = client(address).get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", ())]


def _wait(address: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urlopen(f"{address}/moto-api/", timeout=2):
                return
        except (URLError, OSError):
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.2)
