"""API keys: their file, and how a request presents one."""

import hmac
from collections.abc import Iterable, Sequence
from pathlib import Path

from serving.errors import ServingError

#: Shortest accepted key, in characters.
_SHORTEST = 16
#: Paths that health checks of orchestrators call.
HEALTH_PATHS = frozenset({"/ping", "/livez", "/readyz"})
#: Paths that need no key. The pages have no data of the model: they ask for the key themselves.
_OPEN_PATHS = HEALTH_PATHS | {"/", "/docs", "/openapi.json"}
_OPEN_FOLDERS = ("/static/", "/docs/")


def read_keys(path: Path) -> tuple[bytes, ...]:
    """Return the keys in a file with one key per line.

    Raises
    ------
    ServingError
        If the file cannot be read or has no usable key.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise ServingError(f"--api-key-file {path}: {reason}") from error
    keys = tuple(line.strip().encode() for line in lines if line.strip())
    if not keys:
        raise ServingError(f"--api-key-file {path} is empty: write one key per line")
    if any(len(key) < _SHORTEST for key in keys):
        raise ServingError(
            f"--api-key-file {path}: a key has fewer than {_SHORTEST} characters; generate one "
            "with 'openssl rand -hex 32'"
        )
    return keys


def needs_key(path: str) -> bool:
    """Return whether a request for ``path`` must present a key."""
    return path not in _OPEN_PATHS and not path.startswith(_OPEN_FOLDERS)


def presents_key(headers: Iterable[tuple[bytes, bytes]], keys: Sequence[bytes]) -> bool:
    """Return whether a request has one of ``keys``, in a time that does not depend on its value.

    The key is the header ``X-API-Key`` or a bearer token.
    """
    given = [key for name, value in headers for key in _given(name, value)]
    # All comparisons are made: the position of a matching key must not show in the time.
    matches = [hmac.compare_digest(one, key) for one in given for key in keys]
    return any(matches)


def _given(name: bytes, value: bytes) -> list[bytes]:
    if name == b"x-api-key":
        return [value.strip()]
    if name != b"authorization":
        return []
    scheme, _, token = value.strip().partition(b" ")
    return [token.strip()] if scheme.lower() == b"bearer" else []
