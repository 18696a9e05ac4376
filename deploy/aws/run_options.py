"""The options of ``run_experiment.py`` that follow ``--``, checked before anything is paid for."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from deploy.aws.storage import EXPERIMENT_FILE
from deploy.errors import DeployError

#: Options whose value belongs to the cluster.
_OURS = {
    "master": "Spark's master is the cluster's",
    "environment": "every machine gets the archive",
    "environment_archive": "name it before the --",
    "artifacts": "artifacts go to the bucket",
    "work": "the working folder is the cluster's",
    "json": "records are brought back in any case",
    "s3_endpoint": "S3 is AWS's own",
    "resume": "a cluster holds no earlier comparison",
}


class RunOptions(BaseModel):
    """What is run, and what of it the plan must know."""

    model_config = ConfigDict(frozen=True)

    arguments: tuple[str, ...]
    workers: int
    backends: tuple[str, ...]
    seeds: tuple[int, ...]
    executor_memory_mb: int
    #: Beside the heap, if the user has said so (``spark.executor.memoryOverhead``).
    executor_overhead_mb: int | None
    #: An experiment file of the user's own, to be shipped.
    experiment_file: Path | None
    #: A server of the user's own that keeps the record.
    tracking_uri: str | None
    data: str
    #: Whether the user has named these.
    has_prepared: bool
    has_platform: bool
    has_price: bool


def parse(arguments: Sequence[str], *, data_elsewhere: bool = False) -> RunOptions:
    """Return the checked options.

    Parameters
    ----------
    arguments
        As they would follow ``run_experiment.py``.
    data_elsewhere
        The images come by a way of the service's own, so a local path is not refused.

    Raises
    ------
    DeployError
        When they would not run on a cluster: unknown, wrong, or naming what only this machine has.
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
            f"a cluster does not reach {source}: copy the images with 'aws s3 sync {source} "
            "s3://bucket/images' and name that address as --data"
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
    """Return the values by name of parameter, as the runner's own command line reads them."""
    import typer

    from experiments.cli.run import run

    app = typer.Typer(add_completion=False)
    app.command()(run)
    command = typer.main.get_command(app)
    try:
        context = command.make_context("run_experiment.py", list(arguments))
    except Exception as error:
        say = getattr(error, "format_message", None)
        if say is None:
            raise
        raise DeployError(f"after --: {say()}") from error
    return dict(context.params)


def _experiment(values: Mapping[str, Any]) -> Any:
    """Return the experiment that the options come to."""
    from backends.errors import BackendError
    from experiments.errors import ExperimentError
    from experiments.loading import load
    from experiments.overrides import given

    named = ("backend", "data", "workers", "batch_size", "seed", "prepared")
    # An option that may be repeated is an empty sequence where it was not given.
    options = {
        f"--{name.replace('_', '-')}": None if values.get(name) in ([], ()) else values.get(name)
        for name in named
    }
    try:
        return load(values.get("experiment"), given(options, values.get("set_")))
    except (BackendError, ExperimentError) as error:
        raise DeployError(f"after --: {error}") from error


def _mebibytes(size: str) -> int:
    """Return what Spark reads in ``2g``, ``512m`` or ``2048``."""
    found = re.fullmatch(r"(\d+)\s*([mg]?)b?", size.lower())
    if found is None:
        raise DeployError(f"after --: {size} is no size of memory: write 2g or 2048m")
    return int(found[1]) * (1024 if found[2] == "g" else 1)


def _check_server(uri: str | None) -> None:
    if uri is None:
        return
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        raise DeployError(
            f"--tracking-uri {uri}: a cluster reaches a server alone; without it the record is "
            "brought back as a database"
        )
    if parts.password or parts.username:
        raise DeployError(
            "--tracking-uri holds a password, and the options of a run can be read by everyone "
            "who sees the cluster: let the server's network decide who may write"
        )


def _was_named(arguments: Sequence[str], name: str) -> bool:
    option = "--" + name.replace("_", "-")
    return any(item == option or item.startswith(option + "=") for item in arguments)


def _with_shipped_file(arguments: Sequence[str], file: str) -> tuple[str, ...]:
    """Name the shipped copy of an experiment file instead."""
    named = {f"--experiment={file}": f"--experiment={EXPERIMENT_FILE}", file: EXPERIMENT_FILE}
    return tuple(named.get(item, item) for item in arguments)
