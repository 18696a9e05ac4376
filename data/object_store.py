"""The S3 file system, as the usual AWS variables describe it.

Nothing here holds a credential: the AWS client finds them itself, in ``AWS_ACCESS_KEY_ID`` and
``AWS_SECRET_ACCESS_KEY``, the profile ``AWS_PROFILE`` or the machine's role, in every process
anew. So none can stand in a plan, a log or a record.
"""

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from data.errors import DataError

if TYPE_CHECKING:
    from pyarrow import fs

SCHEMES = ("s3://", "s3a://")
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


def is_object(uri: str) -> bool:
    """Tell whether ``uri`` names something in S3."""
    return uri.lower().startswith(SCHEMES)


def holds_credentials(uri: str) -> bool:
    """Tell whether the address ``uri`` of an object names who asks for it."""
    parts = urlsplit(uri)
    return "@" in parts.netloc or _SECRET_OPTION.search(parts.query) is not None


def locate_object(uri: str) -> "tuple[fs.FileSystem, str]":
    """Return S3 and ``bucket/key`` of ``uri``.

    Raises
    ------
    DataError
        When it names no bucket, or holds credentials.
    """
    parts = urlsplit(uri)
    if holds_credentials(uri):
        raise DataError(
            f"s3://{parts.netloc.rpartition('@')[2]}{parts.path}: an address holds bucket and "
            "prefix alone; credentials belong in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or "
            "AWS_PROFILE, the server in --s3-endpoint"
        )
    if not parts.netloc:
        raise DataError(f"{uri} names no bucket: write s3://bucket/prefix")
    # Not ``parts.path``: a key may hold number signs and question marks.
    path = uri.split("://", 1)[1].rstrip("/")
    return _file_system(endpoint(), _first(REGION_VARIABLES)), path


def use_endpoint(url: str | None) -> None:
    """Send requests to ``url`` from here on, in this process and in those that it starts."""
    if url is None:
        return
    if urlsplit(url).scheme not in ("http", "https"):
        raise DataError(f"--s3-endpoint {url}: write http://host:port or https://host")
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

    return fs.S3FileSystem(
        endpoint_override=server,
        region=region or (_ANY_REGION if server else None),
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        connect_timeout=_CONNECT_TIMEOUT,
        request_timeout=_REQUEST_TIMEOUT,
    )


def _first(names: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)
