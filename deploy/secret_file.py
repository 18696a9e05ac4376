"""Random passwords in a file that only its owner can read."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from deploy.errors import DeployError

#: Everything that ``docker-compose.yml`` asks for. 32 bytes are more than can be guessed.
PASSWORDS = (
    "SPARK_AUTH_SECRET",
    "POSTGRES_PASSWORD",
    "S3_SECRET_KEY",
)
#: S3 calls the user name an access key; with a fixed one half the pair would be known.
ACCESS_KEYS = ("S3_ACCESS_KEY",)
_PASSWORD_BYTES, _ACCESS_KEY_BYTES = 32, 10


def write(path: Path, settings: Mapping[str, str] = MappingProxyType({})) -> tuple[str, ...]:
    """Write the variables, and ``settings`` below them; return the names of the random ones.

    Raises
    ------
    DeployError
        When there is such a file: services that run with its passwords would refuse new ones.
    """
    # Hexadecimal: nothing in it has a meaning for a shell, Compose or an address.
    values = {name: secrets.token_hex(_ACCESS_KEY_BYTES).upper() for name in ACCESS_KEYS}
    values |= {name: secrets.token_hex(_PASSWORD_BYTES) for name in PASSWORDS}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise DeployError(
            f"{path} is there and stays as it is: running services know its passwords; move it "
            "away to start with new ones ('docker compose down --volumes' first)"
        ) from None
    except OSError as error:
        raise DeployError(f"{path} cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in {**values, **settings}.items())
    return tuple(values)
