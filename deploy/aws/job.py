"""Code shared by runs on an EMR cluster and on EMR Serverless."""

from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from deploy.aws import storage
from deploy.aws.plan import Request
from deploy.aws.run_options import RunOptions
from deploy.aws.storage import Place

#: Spark 3.5 on Amazon Linux 2023. Its C library is glibc 2.34: an archive that requires a newer one
#: is rejected (``deploy.aws.c_library``).
RELEASE = "emr-7.9.0"
#: Value of the tag by which policies identify the project's resources.
TAG = "sparkdl-bench"


class JobOptions(BaseModel):
    """Options shared by both kinds of run."""

    model_config = ConfigDict(frozen=True)

    place: Place
    region: str
    #: Path or ``s3://`` address of the environment archive.
    environment: str
    run: RunOptions
    #: Folder for the record.
    output: Path
    #: Folder in which the archive of the code is created.
    staging: Path
    release: str = RELEASE
    #: True for a dry run, for which the environment archive need not exist.
    rehearsal: bool = False


class Uploads(NamedTuple):
    """Uploads to S3 before anything starts."""

    #: The environment comes first, so that nothing else is uploaded if it is rejected.
    requests: tuple[Request, ...]
    #: Address of the program that the machines start.
    program: str
    #: Address of the environment archive.
    environment: str
    #: Warnings to show before anything is sent.
    warnings: tuple[str, ...]


def upload(options: JobOptions, program: Path, purpose: str) -> Uploads:
    """Pack the code; return the requests that upload code, ``program`` and environment to S3.

    Raises
    ------
    DeployError
        If the environment archive is missing or EMR's machines cannot run it.
    """
    place = options.place
    environment = storage.environment(place, options.environment, rehearsal=options.rehearsal)
    code = storage.pack_code(options.staging / "code.tar.gz", options.run.experiment_file)
    key = place.run_key(program.name)
    requests = (
        *environment.requests,
        storage.upload(place, place.run_key("code.tar.gz"), code, "upload the code of the run"),
        storage.upload(place, key, program, purpose),
    )
    return Uploads(requests, place.uri(key), environment.address, environment.warnings)


def run_arguments(job: JobOptions, platform: str) -> list[str]:
    """Return the options of ``run_experiment.py`` that both kinds of run share."""
    options, place = job.run, job.place
    arguments = [*options.arguments, "--json"]
    if options.tracking_uri is None:
        arguments += ["--tracking-uri", f"sqlite:///record/{storage.DATABASE}"]
        arguments += ["--artifacts", f"{place.run_uri}/artifacts"]
    if not options.has_prepared:
        arguments += ["--prepared", place.uri(place.key("prepared"))]
    if not options.has_platform:
        arguments += ["--platform", platform]
    return arguments


def record_requests(job: JobOptions) -> tuple[Request, ...]:
    """Return the requests that download the record.

    The database is omitted if a tracking server holds the record.
    """
    names = [storage.RECORDS, storage.CONSOLE]
    if job.run.tracking_uri is None:
        names.insert(0, storage.DATABASE)
    record = [
        storage.download(
            job.place,
            job.place.run_key("record", name),
            job.output / name,
            f"download the record: {name}",
        )
        for name in names
    ]
    pending = storage.download(
        job.place,
        job.place.run_key("record", storage.OUTBOX),
        job.output / storage.OUTBOX,
        "download pending records, if the MLflow server was unreachable",
        expected=False,
    ).model_copy(update={"unpack": True})
    return (*record, pending)
