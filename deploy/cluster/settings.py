"""Settings and secrets of a cluster, in files readable only by their owner."""

import secrets
import shlex
from pathlib import Path

from experiments.processes.private_file import write_private
from experiments.spark.secret import authentication, write_settings

REGION = "us-east-1"
_SECRET_BYTES = 32


def write_spark_settings(folder: Path) -> Path:
    """Write Spark's settings with a new secret; return the folder for ``SPARK_CONF_DIR``.

    Daemons and drivers read the secret from this folder, because any user can read command lines.
    """
    conf, events = folder / "conf", folder / "events"
    events.mkdir(exist_ok=True)
    lines = {
        **authentication(),
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.history.fs.logDirectory": events.as_uri(),
        "spark.history.fs.update.interval": "2s",
        # An environment that Spark unpacks for a run takes two gigabytes on every host.
        "spark.worker.cleanup.enabled": "true",
        "spark.worker.cleanup.interval": "60",
        "spark.worker.cleanup.appDataTtl": "60",
    }
    write_settings(conf, lines)
    return conf


def storage_credentials() -> dict[str, str]:
    """Return new credentials for the S3 server."""
    return {
        "AWS_ACCESS_KEY_ID": secrets.token_hex(10).upper(),
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(_SECRET_BYTES),
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def write_driver_environment(folder: Path, variables: dict[str, str]) -> Path:
    """Write a shell script that exports ``variables`` for a run; return its path."""
    path = folder / "driver.env"
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    write_private(path, "".join(lines))
    return path


def remove(folder: Path) -> None:
    """Remove the secrets of a stopped cluster."""
    for path in (folder / "conf" / "spark-defaults.conf", folder / "driver.env"):
        path.unlink(missing_ok=True)
