"""A secret for each run, without which Spark's processes of the run talk to nobody.

Spark reads it from a file: on a command line every account of the machine could see it. The
daemons hand it to the executors in a variable of their environment, which the kernel shows to
their owner alone.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path

from experiments.processes.private_file import write_private

#: 32 bytes are more than can be guessed.
_SECRET_BYTES = 32
#: Answers every request for the daemons' pages with a pointer to an address that belongs to nobody
#: (TEST-NET-1 of RFC 5737): Spark 3.5 cannot leave these pages out, and they know no password.
_FILTER = "org.apache.hadoop.yarn.server.webproxy.amfilter.AmIpFilter"
_NOBODY = "192.0.2.1"
_CLOSED_PAGES = {
    "spark.ui.filters": _FILTER,
    f"spark.{_FILTER}.param.PROXY_HOSTS": _NOBODY,
    f"spark.{_FILTER}.param.PROXY_URI_BASES": f"http://{_NOBODY}",
    "spark.ui.killEnabled": "false",
    "spark.master.ui.decommission.allow.mode": "DENY",
    "spark.master.rest.enabled": "false",
}


def authentication() -> dict[str, str]:
    """Return Spark's settings with a new secret: every connection proves it and is encrypted."""
    return {
        "spark.authenticate": "true",
        "spark.authenticate.secret": secrets.token_hex(_SECRET_BYTES),
        "spark.network.crypto.enabled": "true",
        "spark.network.crypto.saslFallback": "false",
        "spark.io.encryption.enabled": "true",
    }


def write_settings(folder: Path, settings: Mapping[str, str]) -> Path:
    """Write ``settings`` for a Spark whose ``SPARK_CONF_DIR`` is ``folder``; return their file."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _write(folder / "spark-defaults.conf", settings)


def write_daemon_settings(folder: Path, settings: Mapping[str, str]) -> Path:
    """Write ``settings`` for a master and workers whose pages are closed; return their file.

    In a file of their own: a driver whose user asks for its pages gets them.
    """
    return _write(folder / "daemons.conf", {**settings, **_CLOSED_PAGES})


def _write(path: Path, settings: Mapping[str, str]) -> Path:
    write_private(path, "".join(f"{key} {value}\n" for key, value in settings.items()))
    return path
