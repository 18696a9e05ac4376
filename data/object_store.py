"""S3 file system configured by the standard AWS environment variables.

This module never stores credentials: in every process, the AWS client itself obtains them from
``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``, the profile ``AWS_PROFILE`` or the machine's
role. Credentials therefore cannot appear in a plan, a log or a record.
"""

import os
import re
import socket
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from data.errors import DataError

if TYPE_CHECKING:
    from pyarrow import fs

SCHEME = "s3://"
#: Variables for a server other than AWS (MinIO, Ceph, a test server); the first one set is used.
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
#: Query options with credentials that pyarrow accepts in an address.
_SECRET_OPTION = re.compile(r"(access_key|secret_key|session_token)=", re.IGNORECASE)
#: Region that is used for servers without regions.
_ANY_REGION = "us-east-1"
#: Attempts for a request, with increasing pauses; object stores drop some requests under load.
_ATTEMPTS = 6
_CONNECT_TIMEOUT, _REQUEST_TIMEOUT = 10.0, 60.0  # seconds
#: Connection attempts to check that a server is reachable, made once in each process.
_PROBES = 3
_PROBE_TIMEOUT, _PROBE_PAUSE = 4.0, 0.5  # seconds


def is_object(uri: str) -> bool:
    """Return whether ``uri`` is an S3 address."""
    return uri.lower().startswith(SCHEME)


def holds_credentials(uri: str) -> bool:
    """Return whether the S3 address ``uri`` contains credentials."""
    parts = urlsplit(uri)
    return "@" in parts.netloc or _SECRET_OPTION.search(parts.query) is not None


def check_object(uri: str) -> None:
    """Refuse an S3 address that names no bucket or contains credentials.

    Raises
    ------
    DataError
        If the address is invalid; the message describes the valid form.
    """
    parts = urlsplit(uri)
    if holds_credentials(uri):
        raise DataError(
            f"s3://{parts.netloc.rpartition('@')[2]}{parts.path}: an address may contain only "
            "bucket and prefix; credentials belong in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "or AWS_PROFILE, the server in --s3-endpoint"
        )
    if not parts.netloc.strip():
        raise DataError(f"{uri} names no bucket: write s3://bucket/prefix")


def locate_object(uri: str) -> "tuple[fs.FileSystem, str]":
    """Return the S3 file system and the path ``bucket/key`` of ``uri``.

    Raises
    ------
    DataError
        If the address names no bucket or contains credentials, or the server cannot be reached.
    """
    check_object(uri)
    # Not ``urlsplit(uri).path``, because a key may contain number signs and question marks.
    path = uri.split("://", 1)[1].rstrip("/")
    return _file_system(endpoint(), _first(REGION_VARIABLES)), path


def use_endpoint(url: str | None) -> None:
    """Send all further S3 requests of this process and its children to ``url``."""
    if url is None:
        return
    _host_and_port(url)
    os.environ[ENDPOINT_VARIABLES[0]] = url


def endpoint() -> str | None:
    """Return the URL of the S3 server, or None for AWS."""
    return _first(ENDPOINT_VARIABLES)


def environment() -> dict[str, str]:
    """Return the environment variables for S3's server and region, which are not secret."""
    found = {name: _first((name,)) for name in (*ENDPOINT_VARIABLES, *REGION_VARIABLES)}
    return {name: value for name, value in found.items() if value}


@lru_cache
def _file_system(server: str | None, region: str | None) -> "fs.FileSystem":
    from pyarrow import fs

    if server is not None:
        _refuse_unreachable(server)
    return fs.S3FileSystem(
        endpoint_override=server,
        region=region or (_ANY_REGION if server else None),
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        connect_timeout=_CONNECT_TIMEOUT,
        request_timeout=_REQUEST_TIMEOUT,
    )


def _refuse_unreachable(server: str) -> None:
    """Refuse an unreachable server immediately; requests to it would be retried for a long time."""
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

    place = _host_and_port(server)
    retrying = Retrying(
        retry=retry_if_exception_type(OSError),
        stop=stop_after_attempt(_PROBES),
        wait=wait_fixed(_PROBE_PAUSE),
        reraise=True,
    )
    try:
        retrying(lambda: socket.create_connection(place, timeout=_PROBE_TIMEOUT).close())
    except OSError as error:
        raise DataError(
            f"the S3 server {server} cannot be reached ({error.strerror or error}); check "
            f"--s3-endpoint or {ENDPOINT_VARIABLES[0]}"
        ) from error


def _host_and_port(server: str) -> tuple[str, int]:
    """Return host and port of ``server``; raise DataError if it is not a URL of a server."""
    try:
        parts = urlsplit(server)
        host, port = parts.hostname, parts.port
    except ValueError:  # the port is not a number
        host = port = None
    if not host or parts.scheme not in ("http", "https"):
        raise DataError(f"the S3 server {server}: write http://host:port or https://host")
    return host, port or (443 if parts.scheme == "https" else 80)


def _first(names: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)
