"""What a run on a cluster of EMR and one on EMR Serverless have in common."""

from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from deploy.aws import storage
from deploy.aws.plan import Request
from deploy.aws.run_options import RunOptions
from deploy.aws.storage import Place

#: Spark 3.5 on Amazon Linux 2023. Its C library is glibc 2.34: an archive that asks for a newer one
#: is refused (``deploy.aws.c_library``).
RELEASE = "emr-7.9.0"
#: Tag by which policies know what belongs to the project.
TAG = "sparkdl-bench"


class JobOptions(BaseModel):
    """What is asked for on either."""

    model_config = ConfigDict(frozen=True)

    place: Place
    region: str
    environment: str
    run: RunOptions
    #: Where the record is written.
    output: Path
    #: Where the code's archive is made.
    staging: Path
    release: str = RELEASE
    #: The environment's archive need not be there.
    rehearsal: bool = False


class Uploads(NamedTuple):
    """What goes to S3 before anything starts."""

    #: The environment first: what it may be refused for costs no other upload.
    requests: tuple[Request, ...]
    #: Address of the program that the machines begin with.
    program: str
    #: Address of the environment's archive.
    environment: str
    #: What the user should know before anything is sent.
    warnings: tuple[str, ...]


def upload(options: JobOptions, program: Path, purpose: str) -> Uploads:
    """Return what brings code, ``program`` and environment to S3; packs the code.

    Raises
    ------
    DeployError
        When the environment's archive is missing, or EMR's machines cannot run it.
    """
    place = options.place
    environment = storage.environment(place, options.environment, rehearsal=options.rehearsal)
    code = storage.pack_code(options.staging / "code.tar.gz", options.run.experiment_file)
    key = place.run_key(program.name)
    requests = (
        *environment.requests,
        storage.upload(place, place.run_key("code.tar.gz"), code, "code of the run"),
        storage.upload(place, key, program, purpose),
    )
    return Uploads(requests, place.uri(key), environment.address, environment.warnings)


def run_arguments(job: JobOptions, platform: str) -> list[str]:
    """Return the options of ``run_experiment.py`` that are the same on either."""
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
    """Return what brings the record back; a tracking server has it already."""
    names = [storage.RECORDS, storage.CONSOLE]
    if job.run.tracking_uri is None:
        names.insert(0, storage.DATABASE)
    record = [
        storage.download(
            job.place, job.place.run_key("record", name), job.output / name, f"record: {name}"
        )
        for name in names
    ]
    waiting = storage.download(
        job.place,
        job.place.run_key("record", storage.OUTBOX),
        job.output / storage.OUTBOX,
        "records whose MLflow server was away, if there are any",
        expected=False,
    ).model_copy(update={"unpack": True})
    return (*record, waiting)
