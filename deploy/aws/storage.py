"""Where a run keeps its things in S3, and the requests that bring them there and back."""

import gzip
import io
import tarfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from deploy.aws.client import checksum
from deploy.aws.plan import Request
from deploy.errors import DeployError

ROOT = Path(__file__).parent.parent.parent
#: Rooms that a run needs on a cluster.
ROOMS = ("data", "models", "backends", "experiments")
#: Where an experiment file of the user's own lies beside the code.
EXPERIMENT_FILE = "experiment.yaml"
#: The record's files below ``<run>/record``.
DATABASE, RECORDS, CONSOLE = "mlflow.db", "records.jsonl", "console.log"


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


def upload(place: Place, key: str, file: Path, purpose: str) -> Request:
    """Return the request that puts ``file`` at ``key``."""
    return Request(
        service="s3",
        operation="PutObject",
        parameters={"Bucket": place.bucket, "Key": key},
        purpose=purpose,
        file=file,
    )


def upload_once(place: Place, key: str, file: Path, purpose: str) -> Request:
    """Return the request that puts ``file`` at ``key`` if nothing is there."""
    head = Request(
        service="s3",
        operation="HeadObject",
        parameters={"Bucket": place.bucket, "Key": key},
        purpose=f"is the {purpose} there already?",
        optional=True,
    )
    return upload(place, key, file, purpose).model_copy(update={"unless": head})


def download(place: Place, key: str, file: Path, purpose: str) -> Request:
    """Return the request that writes what lies at ``key`` to ``file``."""
    return Request(
        service="s3",
        operation="GetObject",
        parameters={"Bucket": place.bucket, "Key": key},
        purpose=purpose,
        file=file,
        optional=True,
    )


def environment(
    place: Place, source: str, *, rehearsal: bool = False
) -> tuple[str, tuple[Request, ...]]:
    """Return the address of the environment's archive, and what brings it there.

    Parameters
    ----------
    source
        A file of ``python -m deploy pack``, kept under its checksum so that it is uploaded once,
        or the ``s3://`` address of one that is there.
    rehearsal
        The file need not be there yet.

    Raises
    ------
    DeployError
        When there is no such file.
    """
    if source.startswith("s3://"):
        return source, ()
    file = Path(source)
    if rehearsal and not file.is_file():
        key = place.key("environments", "CHECKSUM.tar.gz")
        return place.uri(key), (upload_once(place, key, file, "environment archive"),)
    if not file.is_file():
        raise DeployError(
            f"there is no environment archive {source}: make it with 'python -m deploy pack', or "
            "name one with --environment-archive"
        )
    key = place.key("environments", f"{checksum(file)[:16]}.tar.gz")
    size = file.stat().st_size / 2**20
    return place.uri(key), (
        upload_once(place, key, file, f"environment archive ({size:,.0f} MiB)"),
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
        for room in ROOMS:
            for source in sorted((ROOT / room).rglob("*")):
                if source.is_file() and "__pycache__" not in source.parts:
                    _add(archive, source.relative_to(ROOT).as_posix(), source.read_bytes())
        if experiment_file:
            _add(archive, EXPERIMENT_FILE, experiment_file.read_bytes())
    return target


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    archive.addfile(entry, io.BytesIO(content))
