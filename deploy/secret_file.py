"""Random passwords in a file readable only by its owner."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from deploy.errors import DeployError

#: Passwords that ``docker-compose.yml`` requires; 32 random bytes cannot be guessed.
PASSWORDS = (
    "SPARK_AUTH_SECRET",
    "POSTGRES_PASSWORD",
    "S3_SECRET_KEY",
)
#: S3 calls the user name an access key. It is random too: a fixed one would reveal half the pair.
ACCESS_KEYS = ("S3_ACCESS_KEY",)
_PASSWORD_BYTES, _ACCESS_KEY_BYTES = 32, 10


def write(path: Path, settings: Mapping[str, str] = MappingProxyType({})) -> tuple[str, ...]:
    """Write random passwords followed by ``settings``; return the names of the passwords.

    Raises
    ------
    DeployError
        If the file exists, because services running with its passwords would reject new ones, or
        if it cannot be written.
    """
    # Hexadecimal digits need no quoting in a shell, in Compose or in a URL.
    values = {name: secrets.token_hex(_ACCESS_KEY_BYTES).upper() for name in ACCESS_KEYS}
    values |= {name: secrets.token_hex(_PASSWORD_BYTES) for name in PASSWORDS}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise DeployError(
            f"{path} exists and was not overwritten: running services use its passwords; to start "
            "with new ones, run 'docker compose down --volumes' and move the file away"
        ) from None
    except OSError as error:
        raise DeployError(f"{path} cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in {**values, **settings}.items())
    return tuple(values)
