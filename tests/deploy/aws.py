"""AWS in this process for tests of deployments: moto, and substitutes for what moto lacks."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import moto
from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID
from typer.testing import CliRunner

from deploy.aws import runner
from deploy.cli import app
from deploy.packing.archive import Entry, new_archive
from experiments.spark.environment import MANIFEST, Manifest
from tests.s3_server import BUCKET, SECRET
from tests.s3_server import ENVIRONMENT as SERVER_ENVIRONMENT

__all__ = ["BUCKET", "SECRET"]

REGION = "eu-central-1"
ROLE = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/sparkdl-bench-job"
#: Excludes the AWS settings of this machine.
ENVIRONMENT = {
    **SERVER_ENVIRONMENT,
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}
#: Operations that moto lacks; AWS's response to them is empty.
NOT_IN_MOTO = ("StopTrainingJob",)
#: Requests that reached moto: service, operation, parameters.
Sent = list[tuple[str, str, dict[str, Any]]]


@contextmanager
def aws(monkeypatch) -> Iterator[Sent]:
    """Mock AWS with a bucket; yield a list that collects the requests sent through boto3."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    sent: Sent = []
    with moto.mock_aws():
        boto3.client("s3", region_name=REGION).create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        _note_requests(monkeypatch, sent)
        on_pause(monkeypatch)  # a test that waits without declaring it fails immediately
        yield sent


def on_pause(monkeypatch, *actions: Callable[[], None]) -> list[float]:
    """Replace each pause between polls by the next of ``actions``; return the pauses."""
    steps = iter(actions)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        next(steps)()

    monkeypatch.setattr(runner, "sleep", pause)
    return pauses


def trouble(monkeypatch, operation: str, *befallen: Callable[[Callable[[], Any]], Any]) -> None:
    """Handle the next requests for ``operation`` with ``befallen``; later ones are unchanged."""
    from botocore.client import BaseClient

    original = BaseClient._make_api_call
    steps = iter(befallen)

    def call(self, name: str, parameters: dict[str, Any]) -> Any:
        step = next(steps, None) if name == operation else None
        if step is None:
            return original(self, name, parameters)
        return step(lambda: original(self, name, parameters))

    monkeypatch.setattr(BaseClient, "_make_api_call", call)


def put(key: str, content: bytes) -> None:
    """Store an object in the bucket, as the cluster would."""
    get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"].put_object(BUCKET, key, content)


def small_archive(path: Path, libc: str) -> Path:
    """Write an archive as ``deploy pack`` does, with one file and a manifest."""
    manifest = Manifest(python="3.11.7", libc=libc, packages={}, checksum="0")
    with new_archive(path) as archive:
        archive.add([Entry("bin/python", b"#!/bin/sh\n", executable=True)])
        archive.add([Entry(MANIFEST, manifest.to_json().encode())])
    return path


def call(*arguments: str | Path) -> Any:
    """Run ``sparkdl-bench deploy`` in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def shown(text: str, *, well: bool = False) -> list[tuple[str, str, dict[str, Any]]]:
    """Parse the requests of a dry run; with ``well``, only those of a successful run."""
    found = []
    decoder = json.JSONDecoder()
    for block in text.split("\n\n"):
        if well and block.startswith("# if "):
            continue
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if lines:
            service, operation, body = "\n".join(lines).split(" ", 2)
            found.append((service, operation, decoder.decode(body)))
    return found


def _note_requests(monkeypatch, sent: Sent) -> None:
    from botocore.client import BaseClient

    original = BaseClient._make_api_call

    def noted(self, operation: str, parameters: dict[str, Any]) -> Any:
        sent.append((self.meta.service_model.service_name, operation, parameters))
        return {} if operation in NOT_IN_MOTO else original(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", noted)
