"""The S3 file system, as the usual AWS variables describe it.

Nothing here holds a credential: the AWS client finds them itself, in ``AWS_ACCESS_KEY_ID`` and
``AWS_SECRET_ACCESS_KEY``, the profile ``AWS_PROFILE`` or the machine's role, in every process
anew. So none can stand in a plan, a log or a record.
"""

import os
import re
import socket
import time
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from data.errors import DataError

if TYPE_CHECKING:
    from pyarrow import fs

SCHEME = "s3://"
#: Where requests go when it is not AWS: MinIO, Ceph, a test server. The first that is set counts.
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
#: Options that pyarrow takes in an address.
_SECRET_OPTION = re.compile(r"(access_key|secret_key|session_token)=", re.IGNORECASE)
#: What a server that knows no regions is called.
_ANY_REGION = "us-east-1"
#: Tries of a request, with growing pauses between them; an object store drops some under load.
_ATTEMPTS = 6
_CONNECT_TIMEOUT, _REQUEST_TIMEOUT = 10.0, 60.0  # seconds
#: Whether a server answers at all is tried a few times, once in each process.
_PROBE_TIMEOUT = 4.0  # seconds
_PROBE_PAUSES = (0.5, 0.5, 0.0)  # seconds


def is_object(uri: str) -> bool:
    """Tell whether ``uri`` names something in S3."""
    return uri.lower().startswith(SCHEME)


def holds_credentials(uri: str) -> bool:
    """Tell whether the address ``uri`` of an object names who asks for it."""
    parts = urlsplit(uri)
    return "@" in parts.netloc or _SECRET_OPTION.search(parts.query) is not None


def check_object(uri: str) -> None:
    """Refuse an address that names no bucket, or holds credentials.

    Raises
    ------
    DataError
        With what an address holds.
    """
    parts = urlsplit(uri)
    if holds_credentials(uri):
        raise DataError(
            f"s3://{parts.netloc.rpartition('@')[2]}{parts.path}: an address holds bucket and "
            "prefix alone; credentials belong in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or "
            "AWS_PROFILE, the server in --s3-endpoint"
        )
    if not parts.netloc.strip():
        raise DataError(f"{uri} names no bucket: write s3://bucket/prefix")


def locate_object(uri: str) -> "tuple[fs.FileSystem, str]":
    """Return S3 and ``bucket/key`` of ``uri``.

    Raises
    ------
    DataError
        When it names no bucket or holds credentials, or when the server cannot be reached.
    """
    check_object(uri)
    # Not ``urlsplit(uri).path``: a key may hold number signs and question marks.
    path = uri.split("://", 1)[1].rstrip("/")
    return _file_system(endpoint(), _first(REGION_VARIABLES)), path


def use_endpoint(url: str | None) -> None:
    """Send requests to ``url`` from here on, in this process and in those that it starts."""
    if url is None:
        return
    _host_and_port(url)
    os.environ[ENDPOINT_VARIABLES[0]] = url


def endpoint() -> str | None:
    """Return where requests go when it is not AWS."""
    return _first(ENDPOINT_VARIABLES)


def environment() -> dict[str, str]:
    """Return the variables that say where S3 is; none of them is a secret."""
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
    """Refuse at once a server at which nothing answers: requests would be repeated for long."""
    place = _host_and_port(server)
    for pause in _PROBE_PAUSES:
        try:
            socket.create_connection(place, timeout=_PROBE_TIMEOUT).close()
        except OSError as error:
            reason = error.strerror or str(error)
            time.sleep(pause)
        else:
            return
    raise DataError(
        f"the S3 server {server} cannot be reached ({reason}); is --s3-endpoint, or "
        f"{ENDPOINT_VARIABLES[0]}, right?"
    )


def _host_and_port(server: str) -> tuple[str, int]:
    """Return where ``server`` listens; raise DataError for what is no address of one."""
    try:
        parts = urlsplit(server)
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number
        host = port = None
    if not host or parts.scheme not in ("http", "https"):
        raise DataError(f"the S3 server {server}: write http://host:port or https://host")
    return host, port or (443 if parts.scheme == "https" else 80)


def _first(names: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)
