"""Addresses of data: a path on this machine or ``s3://bucket/prefix``; no other scheme is read."""

import os
import re
from pathlib import Path
from urllib.parse import unquote

from data.errors import DataError
from data.names import visible
from data.object_store import SCHEME, check_object, is_object

#: A single letter before the colon is a Windows drive, not a scheme.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/+)")
#: Schemes that Hadoop's file systems use for S3.
_HADOOP = ("s3a", "s3n")
#: Parts of an address that may contain a password or token and are removed from messages.
_SECRET = re.compile(r"(?<=//)[^/@]*@|[?#].*", re.DOTALL)


def plain_address(text: str) -> str:
    """Normalize an address to a path or ``s3://bucket/prefix``, the forms used internally.

    ``~`` and ``~user`` are expanded to the user's home folder; ``file:///path`` becomes the path.

    Raises
    ------
    DataError
        If the address is empty, has an unsupported scheme, or names no bucket or an unknown user.
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
        f"{shown}: {scheme}:// addresses are not supported; give a folder or file on this machine, "
        "or s3://bucket/prefix"
    )


def local_path(path: str | Path) -> Path:
    """Return a path on this machine with ``~`` and ``~user`` expanded.

    Raises
    ------
    DataError
        If the path is empty, is an address of another scheme, or names an unknown user.
    """
    match = _SCHEME.match(str(path))
    if match and match[1].lower() != "file":
        raise DataError(
            f"{visible(_SECRET.sub('', str(path)))}: this must be a path on this machine"
        )
    return Path(plain_address(str(path)))


def _path(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise DataError(
            f"'{visible(text)}' is not a path: give a folder or file, or s3://bucket/prefix"
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
                f"{visible(text)}: refers to a file on another machine; write the path alone, "
                "or file:///path"
            )
        path = f"/{path}"
    return path
