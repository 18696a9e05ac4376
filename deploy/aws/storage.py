"""Locations of a run's files in S3, and the requests that upload and download them."""

import gzip
import io
import tarfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from data.project import ROOT, SHIPPED_PACKAGES
from deploy.aws import c_library
from deploy.aws.client import checksum
from deploy.aws.plan import Request
from deploy.errors import DeployError

#: Name of a user-defined experiment file in the archive of the code.
EXPERIMENT_FILE = "experiment.yaml"
#: Files of the record below ``<run>/record``.
DATABASE, RECORDS, CONSOLE = "mlflow.db", "records.jsonl", "console.log"
#: Archive next to them with the folder ``outbox``, if records are pending because their MLflow
#: server was unreachable.
OUTBOX = "outbox.tar.gz"


class Place(BaseModel):
    """The bucket, the prefix, and the name of the run's folder below the prefix."""

    model_config = ConfigDict(frozen=True)

    bucket: str
    prefix: str
    run: str

    def key(self, *parts: str) -> str:
        """Return a key below the prefix."""
        return "/".join(filter(None, (self.prefix.strip("/"), *parts)))

    def run_key(self, *parts: str) -> str:
        """Return a key in the run's folder."""
        return self.key("runs", self.run, *parts)

    def uri(self, key: str) -> str:
        """Return the ``s3://`` address of a key."""
        return f"s3://{self.bucket}/{key}"

    @property
    def run_uri(self) -> str:
        """The ``s3://`` address of the run's folder."""
        return self.uri(self.run_key())


class Environment(NamedTuple):
    """The environment archive in S3."""

    address: str
    #: Requests that upload the archive, or check an existing one.
    requests: tuple[Request, ...]
    #: Warnings to show before anything is sent.
    warnings: tuple[str, ...] = ()


def upload(
    place: Place, key: str, file: Path, purpose: str, metadata: dict[str, str] | None = None
) -> Request:
    """Return the request that uploads ``file`` to ``key``."""
    where: dict[str, object] = {"Bucket": place.bucket, "Key": key}
    return Request(
        service="s3",
        operation="PutObject",
        parameters=where | ({"Metadata": metadata} if metadata else {}),
        purpose=purpose,
        file=file,
    )


def upload_once(
    place: Place, key: str, file: Path, purpose: str, metadata: dict[str, str] | None = None
) -> Request:
    """Return the request that uploads ``file`` to ``key`` unless the object exists."""
    head = Request(
        service="s3",
        operation="HeadObject",
        parameters={"Bucket": place.bucket, "Key": key},
        purpose=f"check whether the {purpose} is already uploaded",
        optional=True,
    )
    request = upload(place, key, file, f"upload the {purpose}", metadata)
    return request.model_copy(update={"unless": head})


def download(place: Place, key: str, file: Path, purpose: str, *, expected: bool = True) -> Request:
    """Return the request that downloads the object at ``key`` to ``file``."""
    return Request(
        service="s3",
        operation="GetObject",
        parameters={"Bucket": place.bucket, "Key": key},
        purpose=purpose,
        file=file,
        optional=True,
        expected=expected,
    )


def environment(place: Place, source: str, *, rehearsal: bool = False) -> Environment:
    """Return the environment archive in S3, and the requests that upload or check it.

    Parameters
    ----------
    source
        A file from ``sparkdl-bench deploy pack``, stored under its checksum so that it is uploaded
        only once, or the ``s3://`` address of an existing archive.
    rehearsal
        True for a dry run: the file need not exist, and a rejection becomes a warning.

    Raises
    ------
    DeployError
        If there is no such file, or EMR's machines cannot run its content.
    """
    if source.startswith("s3://"):
        return Environment(source, (_check(source),))
    file = Path(source)
    if rehearsal and not file.is_file():
        key = place.key("environments", "CHECKSUM.tar.gz")
        return Environment(place.uri(key), (upload_once(place, key, file, "environment archive"),))
    if not file.is_file():
        raise DeployError(
            f"there is no environment archive {source}: create it with "
            "'sparkdl-bench deploy pack', or set --environment-archive to another one"
        )
    libc = c_library.of_file(file)
    try:
        warning = c_library.check(source, libc)
    except DeployError as refusal:
        if not rehearsal:
            raise
        warning = f"this would be rejected: {refusal}"
    key = place.key("environments", f"{checksum(file)[:16]}.tar.gz")
    purpose = f"environment archive ({file.stat().st_size / 2**20:,.0f} MiB)"
    metadata = {c_library.KEY: libc} if libc else None
    return Environment(
        place.uri(key),
        (upload_once(place, key, file, purpose, metadata),),
        (warning,) if warning else (),
    )


def _check(address: str) -> Request:
    """Return the request that checks the archive at ``address``."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return Request(
        service="s3",
        operation="HeadObject",
        parameters={"Bucket": bucket, "Key": key},
        purpose="check that the environment archive exists and EMR's machines can run it",
        optional=True,
        check=partial(c_library.check_object, address),
    )


def pack_code(target: Path, experiment_file: Path | None = None) -> Path:
    """Write the code, and a user-defined experiment file if given, as a ``tar.gz`` archive.

    Identical code results in identical bytes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        _add(archive, "run_experiment.py", (ROOT / "run_experiment.py").read_bytes())
        for package in SHIPPED_PACKAGES:
            for source in sorted((ROOT / package).rglob("*")):
                if source.is_file() and "__pycache__" not in source.parts:
                    _add(archive, source.relative_to(ROOT).as_posix(), source.read_bytes())
        if experiment_file:
            _add(archive, EXPERIMENT_FILE, experiment_file.read_bytes())
    return target


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    archive.addfile(entry, io.BytesIO(content))
