"""A secret for each run, which every connection to its Spark processes must prove.

Spark reads it from a file, because every account of the machine could read it on a command line.
The daemons pass it to the executors in an environment variable, which only their owner can read.
"""

import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path

from experiments.processes.private_file import write_private

#: 32 bytes cannot be guessed.
_SECRET_BYTES = 32
#: Redirects every request for the daemons' web pages to an unassigned address (TEST-NET-1 of
#: RFC 5737): Spark 3.5 cannot disable these pages, and they have no password.
_FILTER = "org.apache.hadoop.yarn.server.webproxy.amfilter.AmIpFilter"
_UNASSIGNED = "192.0.2.1"
_CLOSED_PAGES = {
    "spark.ui.filters": _FILTER,
    f"spark.{_FILTER}.param.PROXY_HOSTS": _UNASSIGNED,
    f"spark.{_FILTER}.param.PROXY_URI_BASES": f"http://{_UNASSIGNED}",
    "spark.ui.killEnabled": "false",
    "spark.master.ui.decommission.allow.mode": "DENY",
    "spark.master.rest.enabled": "false",
}


def authentication() -> dict[str, str]:
    """Return Spark settings with a new secret, for authenticated and encrypted connections."""
    return {
        "spark.authenticate": "true",
        "spark.authenticate.secret": secrets.token_hex(_SECRET_BYTES),
        "spark.network.crypto.enabled": "true",
        "spark.network.crypto.saslFallback": "false",
        "spark.io.encryption.enabled": "true",
    }


def write_settings(folder: Path, settings: Mapping[str, str]) -> Path:
    """Write ``settings`` for a driver to ``folder``; return the file."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _write(folder / "spark-defaults.conf", settings)


def write_daemon_settings(folder: Path, settings: Mapping[str, str]) -> Path:
    """Write ``settings`` for a master and workers without web pages; return the file.

    They are in a separate file, so that a driver can still serve its web UI if the user enables it.
    """
    return _write(folder / "daemons.conf", {**settings, **_CLOSED_PAGES})


def driver_environment(settings: Path) -> dict[str, str]:
    """Return the variables with which a driver reads the file ``settings``.

    ``SPARK_CONF_DIR`` would name its folder, too, but Spark adds that folder to the class path of
    all Java processes, and Java uses no archive of classes with a folder there that has files.
    """
    return {"PYSPARK_SUBMIT_ARGS": f"--properties-file {shlex.quote(str(settings))} pyspark-shell"}


def _write(path: Path, settings: Mapping[str, str]) -> Path:
    write_private(path, "".join(f"{key} {value}\n" for key, value in settings.items()))
    return path
