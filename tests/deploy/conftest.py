from pathlib import Path
from typing import Any

import pytest

from deploy import secret_file
from tests.deploy.stack import resolved


@pytest.fixture(scope="session")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compose") / ".env"
    secret_file.write(path)
    return path


@pytest.fixture(scope="session")
def compose(passwords: Path) -> dict[str, Any]:
    """docker-compose.yml as Compose understands it."""
    return resolved(passwords)
