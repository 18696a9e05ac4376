"""Where a run keeps its things in S3, and the requests that bring them there and back."""

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

#: Where an experiment file of the user's own lies beside the code.
EXPERIMENT_FILE = "experiment.yaml"
#: The record's files below ``<run>/record``.
DATABASE, RECORDS, CONSOLE = "mlflow.db", "records.jsonl", "console.log"
#: Beside them, if there are any: records whose MLflow server was away, as the folder ``outbox``.
OUTBOX = "outbox.tar.gz"


class Place(BaseModel):
    """Bucket and prefix, and below it the folder of one run."""

    model_config = ConfigDict(frozen=True)

    bucket: str
    prefix: str
    run: str

    def key(self, *parts: str) -> str:
        """Return a key below the prefix."""
        return "/".join(filter(None, (self.prefix.strip("/"), *parts)))

    def run_key(self, *parts: str) -> str:
        """Return a key in the folder of the run."""
        return self.key("runs", self.run, *parts)

    def uri(self, key: str) -> str:
        """Return the address of a key."""
        return f"s3://{self.bucket}/{key}"

    @property
    def run_uri(self) -> str:
        """Address of the folder of the run."""
        return self.uri(self.run_key())


class Environment(NamedTuple):
    """The environment's archive in S3."""

    address: str
    #: What brings it there, or looks at one that is there.
    requests: tuple[Request, ...]
    #: What the user should know before anything is sent.
    warnings: tuple[str, ...] = ()


def upload(
    place: Place, key: str, file: Path, purpose: str, metadata: dict[str, str] | None = None
) -> Request:
    """Return the request that puts ``file`` at ``key``."""
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
    """Return the request that puts ``file`` at ``key`` if nothing is there."""
    head = Request(
        service="s3",
        operation="HeadObject",
        parameters={"Bucket": place.bucket, "Key": key},
        purpose=f"is the {purpose} there already?",
        optional=True,
    )
    return upload(place, key, file, purpose, metadata).model_copy(update={"unless": head})


def download(place: Place, key: str, file: Path, purpose: str, *, expected: bool = True) -> Request:
    """Return the request that writes what lies at ``key`` to ``file``."""
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
    """Return the environment's archive in S3, and what brings it there.

    Parameters
    ----------
    source
        A file of ``python -m deploy pack``, kept under its checksum so that it is uploaded once,
        or the ``s3://`` address of one that is there.
    rehearsal
        The file need not be there yet, and what would be refused is a warning.

    Raises
    ------
    DeployError
        When there is no such file, or EMR's machines cannot run what is in it.
    """
    if source.startswith("s3://"):
        return Environment(source, (_look(source),))
    file = Path(source)
    if rehearsal and not file.is_file():
        key = place.key("environments", "CHECKSUM.tar.gz")
        return Environment(place.uri(key), (upload_once(place, key, file, "environment archive"),))
    if not file.is_file():
        raise DeployError(
            f"there is no environment archive {source}: make it with 'python -m deploy pack', or "
            "name one with --environment-archive"
        )
    libc = c_library.of_file(file)
    try:
        warning = c_library.check(source, libc)
    except DeployError as refusal:
        if not rehearsal:
            raise
        warning = f"this would be refused: {refusal}"
    key = place.key("environments", f"{checksum(file)[:16]}.tar.gz")
    purpose = f"environment archive ({file.stat().st_size / 2**20:,.0f} MiB)"
    metadata = {c_library.KEY: libc} if libc else None
    return Environment(
        place.uri(key),
        (upload_once(place, key, file, purpose, metadata),),
        (warning,) if warning else (),
    )


def _look(address: str) -> Request:
    """Return the request that asks what the archive at ``address`` needs."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return Request(
        service="s3",
        operation="HeadObject",
        parameters={"Bucket": bucket, "Key": key},
        purpose="is the environment archive there, and can EMR's machines run it?",
        optional=True,
        check=partial(c_library.check_object, address),
    )


def pack_code(target: Path, experiment_file: Path | None = None) -> Path:
    """Write the code as ``tar.gz``, with an experiment file of the user's own if there is one.

    The same code gives the same bytes.
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
