"""The options of ``run_experiment.py`` after ``--``, checked before anything costs money."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from deploy.aws.storage import EXPERIMENT_FILE
from deploy.errors import DeployError

#: Options that the deployment sets itself, with the reason.
_OURS = {
    "master": "the cluster determines Spark's master",
    "environment": "every machine gets the archive",
    "environment_archive": "put it before the --",
    "artifacts": "artifacts go to the bucket",
    "work": "the working folder is on the cluster",
    "json": "records are always downloaded",
    "s3_endpoint": "runs on AWS use AWS's S3",
    "resume": "the cluster contains no earlier comparison",
}


class RunOptions(BaseModel):
    """The options of a run, and the values that the plan depends on."""

    model_config = ConfigDict(frozen=True)

    arguments: tuple[str, ...]
    workers: int
    backends: tuple[str, ...]
    seeds: tuple[int, ...]
    #: Heap of an executor in MiB.
    executor_memory_mb: int
    #: Memory outside the heap in MiB (``spark.executor.memoryOverhead``); None if not set.
    executor_overhead_mb: int | None
    #: User-defined experiment file to upload; None for a shipped experiment.
    experiment_file: Path | None
    #: MLflow server of the user that holds the record, if there is one.
    tracking_uri: str | None
    data: str
    #: True if the user has set ``prepared``.
    has_prepared: bool
    #: True if the user has set ``--platform``.
    has_platform: bool
    #: True if the user has set ``--price-core-hour``.
    has_price: bool


def parse(arguments: Sequence[str], *, data_elsewhere: bool = False) -> RunOptions:
    """Return the checked options.

    Parameters
    ----------
    arguments
        Arguments of ``run_experiment.py``.
    data_elsewhere
        True if the service provides the images itself, so that a local path is accepted.

    Raises
    ------
    DeployError
        If the options cannot be used on a cluster: they are unknown or invalid, or they refer to
        something on this machine.
    """
    given = _given(arguments)
    for name, why in _OURS.items():
        if given.get(name) not in (None, False) and _was_named(arguments, name):
            raise DeployError(f"--{name.replace('_', '-')} cannot be given here: {why}")
    experiment = _experiment(given)
    if experiment.spark.environment == "archive":
        raise DeployError(f"spark.environment 'archive' cannot be given: {_OURS['environment']}")
    source = experiment.data.source
    if source != "synthetic" and not source.startswith("s3://") and not data_elsewhere:
        raise DeployError(
            f"a cluster cannot read {source}: copy the images with 'aws s3 sync {source} "
            "s3://bucket/images' and pass that address as --data"
        )
    tracking = given.get("tracking_uri")
    _check_server(tracking)
    named = given.get("experiment")
    file = Path(str(named))
    own_file = file if named is not None and file.is_file() else None
    overhead = experiment.spark.conf.get("spark.executor.memoryOverhead")
    return RunOptions(
        arguments=_with_shipped_file(arguments, str(file)) if own_file else tuple(arguments),
        workers=experiment.workers,
        backends=experiment.backends,
        seeds=experiment.seeds,
        executor_memory_mb=_mebibytes(experiment.spark.executor_memory),
        executor_overhead_mb=_mebibytes(overhead) if overhead else None,
        experiment_file=own_file,
        tracking_uri=tracking,
        data=source,
        has_prepared=experiment.prepared is not None,
        has_platform=given.get("platform") is not None,
        has_price=given.get("price_core_hour") is not None,
    )


def _given(arguments: Sequence[str]) -> dict[str, Any]:
    """Return parameter name -> value, as parsed by the runner's own command line."""
    import typer

    from experiments.cli.run import run

    app = typer.Typer(add_completion=False)
    app.command()(run)
    command = typer.main.get_command(app)
    try:
        context = command.make_context("run_experiment.py", list(arguments))
    except Exception as error:
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            raise
        raise DeployError(f"after --: {format_message()}") from error
    return dict(context.params)


def _experiment(values: Mapping[str, Any]) -> Any:
    """Return the experiment that results from the options."""
    from backends.errors import BackendError
    from experiments.errors import ExperimentError
    from experiments.loading import load
    from experiments.overrides import given

    named = ("backend", "data", "workers", "batch_size", "seed", "prepared")
    # A repeatable option that was not given is an empty sequence.
    options = {
        f"--{name.replace('_', '-')}": None if values.get(name) in ([], ()) else values.get(name)
        for name in named
    }
    try:
        return load(values.get("experiment"), given(options, values.get("set_")))
    except (BackendError, ExperimentError) as error:
        raise DeployError(f"after --: {error}") from error


def _mebibytes(size: str) -> int:
    """Return the size in MiB of a memory setting of Spark: ``2g``, ``512m`` or ``2048``."""
    found = re.fullmatch(r"(\d+)\s*([mg]?)b?", size.lower())
    if found is None:
        raise DeployError(f"after --: {size} is not a memory size: write 2g or 2048m")
    return int(found[1]) * (1024 if found[2] == "g" else 1)


def _check_server(uri: str | None) -> None:
    if uri is None:
        return
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        raise DeployError(
            f"--tracking-uri {uri}: a cluster can only use a server; without this option the "
            "record is downloaded as a database"
        )
    if parts.password or parts.username:
        raise DeployError(
            "--tracking-uri contains a password, and everyone with access to the cluster can read "
            "the options of a run: restrict access to the server by its network instead"
        )


def _was_named(arguments: Sequence[str], name: str) -> bool:
    option = "--" + name.replace("_", "-")
    return any(item == option or item.startswith(option + "=") for item in arguments)


def _with_shipped_file(arguments: Sequence[str], file: str) -> tuple[str, ...]:
    """Return the arguments with the path of the experiment file replaced by its uploaded copy."""
    named = {f"--experiment={file}": f"--experiment={EXPERIMENT_FILE}", file: EXPERIMENT_FILE}
    return tuple(named.get(item, item) for item in arguments)
