"""Check that EMR's machines can run an environment archive, before anything costs money."""

from pathlib import Path
from typing import Any

from deploy.errors import DeployError
from deploy.packing import manifest
from deploy.packing.c_library import version

#: glibc version of Amazon Linux 2023, on which EMR 7 and EMR Serverless run; it does not change
#: during the lifetime of Amazon Linux 2023.
NEWEST = (2, 34)
#: Metadata key of the S3 object that holds the version an archive requires.
KEY = "libc"


def of_file(archive: Path) -> str | None:
    """Return the C library that an archive requires according to its manifest, or None.

    The format is ``glibc-2.34``.
    """
    found = manifest.read(archive)
    return str(found["libc"]) if found and "libc" in found else None


def check(archive: str, libc: str | None) -> str | None:
    """Return a warning if the archive's requirement is unknown, else None.

    Parameters
    ----------
    archive
        Path or address, for messages.
    libc
        C library that the archive requires, such as ``glibc-2.34``; None if unknown.

    Raises
    ------
    DeployError
        If the archive needs a newer C library than EMR's machines have.
    """
    needed = version(libc or "")
    there = _text(NEWEST)
    if needed is None:
        return (
            f"{archive} does not state which C library it needs: was it created by "
            "'sparkdl-bench deploy pack'? The run fails if it needs a newer one than EMR's glibc "
            f"{there}"
        )
    if needed > NEWEST:
        raise DeployError(
            f"{archive} needs glibc {_text(needed)} and EMR's machines have {there}: run "
            f"'sparkdl-bench deploy pack' where glibc is {there} or older, for example in a "
            "container amazonlinux:2023 with Python 3.11"
        )
    return None


def check_object(address: str, answer: dict[str, Any] | None) -> str | None:
    """Apply :func:`check` to the archive at ``address``, given the response of ``HeadObject``.

    Raises
    ------
    DeployError
        If the archive does not exist or needs a newer C library than EMR's machines have.
    """
    if answer is None:
        raise DeployError(
            f"there is no environment archive {address}: pass a file from "
            "'sparkdl-bench deploy pack' as --environment-archive to have it uploaded"
        )
    return check(address, answer.get("Metadata", {}).get(KEY))


def _text(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
