"""Names of places: a path of this machine or ``s3://bucket/prefix``; nothing else is read."""

import os
import re
from pathlib import Path
from urllib.parse import unquote

from data.errors import DataError
from data.names import visible
from data.object_store import SCHEME, check_object, is_object

#: One letter and a colon is a drive of Windows, and no scheme.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/+)")
#: S3 under the names that Hadoop's file systems have for it.
_HADOOP = ("s3a", "s3n")
#: May hold a password or a token, which no message repeats.
_SECRET = re.compile(r"(?<=//)[^/@]*@|[?#].*", re.DOTALL)


def plain_address(text: str) -> str:
    """Return an address as the rest of the project takes it: a path, or ``s3://bucket/prefix``.

    ``~`` and ``~user`` become the folder of the user, ``file:///path`` becomes the path.

    Raises
    ------
    DataError
        When it is empty, of a scheme that is not read, or names no bucket or an unknown user.
    """
    match = _SCHEME.match(text)
    if match is None:
        return _path(text)
    scheme, rest = match[1].lower(), text[match.end() :]
    if is_object(text):
        address = f"{SCHEME}{text[len(SCHEME) :]}"
        check_object(address)
        return address
    if scheme == "file":
        return _file(text)
    shown = visible(_SECRET.sub("", text))
    if scheme in ("s3", *_HADOOP):
        raise DataError(f"{shown}: write s3://{_SECRET.sub('', f'//{rest}').lstrip('/')}")
    raise DataError(
        f"{shown}: addresses of {scheme}:// are not read; name a folder or file of this machine, "
        "or s3://bucket/prefix"
    )


def local_path(path: str | Path) -> Path:
    """Return a path of this machine with ``~`` and ``~user`` replaced.

    Raises
    ------
    DataError
        When it is empty, an address of something else, or names an unknown user.
    """
    match = _SCHEME.match(str(path))
    if match and match[1].lower() != "file":
        raise DataError(
            f"{visible(_SECRET.sub('', str(path)))}: this must be a path of this machine"
        )
    return Path(plain_address(str(path)))


def _path(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise DataError(
            f"'{visible(text)}' is no path: name a folder or file, or s3://bucket/prefix"
        )
    expanded = os.path.expanduser(text)  # noqa: PTH111 - Path raises for an unknown user
    if expanded == text and text.startswith("~") and not Path(text).exists():
        user = text.partition("/")[0]
        raise DataError(f"{visible(text)}: there is no user {visible(user[1:])} on this machine")
    return expanded


def _file(text: str) -> str:
    """Return the path of ``file:/path``, ``file:///path`` or ``file://localhost/path``."""
    path = unquote(text.partition(":")[2])
    if path.startswith("//"):
        host, slash, path = path[2:].partition("/")
        if host not in ("", "localhost") or not slash:
            raise DataError(
                f"{visible(text)}: names a file of another machine; write the path alone, "
                "or file:///path"
            )
        path = f"/{path}"
    return path
