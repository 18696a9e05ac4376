import fcntl
import hashlib
import tempfile
from pathlib import Path

import pytest

from experiments.locked import needed_versions

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def archive() -> Path:
    """The packed environment, made once for all test processes and kept for the next time."""
    from deploy.pack import pack_environment

    digest = hashlib.sha256(repr(needed_versions()).encode())
    for source in [
        ROOT / "deploy" / "pack.py",
        *sorted((ROOT / "deploy" / "packing").glob("*.py")),
    ]:
        digest.update(source.read_bytes())
    path = Path(tempfile.gettempdir()) / f"sparkdl-environment-{digest.hexdigest()[:12]}.tar.gz"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            pack_environment(path)
    return path
