"""Whether EMR's machines can run an environment's archive, asked before anything is paid for."""

from pathlib import Path
from typing import Any

from deploy.errors import DeployError
from deploy.packing import manifest
from deploy.packing.c_library import version

#: glibc of Amazon Linux 2023, on which EMR 7 and EMR Serverless run; it stays for all its life.
NEWEST = (2, 34)
#: Under which an archive's need is kept with the object in S3.
KEY = "libc"


def of_file(archive: Path) -> str | None:
    """Return what the manifest of an archive says that it needs, as ``glibc-2.34``."""
    found = manifest.read(archive)
    return str(found["libc"]) if found and "libc" in found else None


def check(archive: str, libc: str | None) -> str | None:
    """Return what to warn of, or None.

    Raises
    ------
    DeployError
        When the archive needs a newer C library than EMR's machines have.
    """
    needed = version(libc or "")
    there = _text(NEWEST)
    if needed is None:
        return (
            f"{archive} does not say which C library it needs: was it made by 'python -m deploy "
            f"pack'? With one above glibc {there}, which EMR's machines have, the run will fail"
        )
    if needed > NEWEST:
        raise DeployError(
            f"{archive} needs glibc {_text(needed)} and EMR's machines have {there}: run 'python "
            f"-m deploy pack' where glibc is {there} or older, for example in a container "
            "amazonlinux:2023 with Python 3.11"
        )
    return None


def check_object(address: str, answer: dict[str, Any] | None) -> str | None:
    """Do the same with what S3 says of the archive at ``address``.

    Raises
    ------
    DeployError
        When it is not there, too.
    """
    if answer is None:
        raise DeployError(
            f"there is no environment archive {address}: name a file of 'python -m deploy pack' "
            "with --environment-archive, which is uploaded"
        )
    return check(address, answer.get("Metadata", {}).get(KEY))


def _text(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
