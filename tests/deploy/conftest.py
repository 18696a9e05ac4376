import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from data.prepared import PreparedData
from experiments.spark.locked import needed_versions
from tests.conftest import shared
from tests.deploy.aws import BUCKET, REGION, Sent, aws, small_archive
from tests.serving.recorded import record

ROOT = Path(__file__).parents[2]
#: Variable that adds PyTorch to the packed environment of the tests.
WITH_TORCH = "SPARKDL_PACK_TORCH"


@pytest.fixture(scope="session")
def archive() -> Path:
    """The packed environment, created once for all test processes and kept for later runs.

    PyTorch with its libraries for GPUs would take 3 GB of it and ten minutes of the tests: it is
    included if `WITH_TORCH` is set, as by the nightly script.
    """
    from deploy.pack import pack_environment

    without = () if os.environ.get(WITH_TORCH) else ("torch_distributor",)
    digest = hashlib.sha256(repr((needed_versions(), without)).encode())
    for source in [
        ROOT / "deploy" / "pack.py",
        *sorted((ROOT / "deploy" / "packing").glob("*.py")),
    ]:
        digest.update(source.read_bytes())
    path = Path(tempfile.gettempdir()) / f"sparkdl-environment-{digest.hexdigest()[:12]}.tar.gz"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            pack_environment(path, without)
    return path


@pytest.fixture(scope="session")
def recorded_model(prepared: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an MLflow model, as a run records it."""
    return shared(tmp_path_factory, "recorded-model", partial(record, prepared)) / "model"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    """Requests sent to AWS, which moto simulates."""
    with aws(monkeypatch) as noted:
        yield noted


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Environment archive that EMR's machines can run."""
    return small_archive(tmp_path / "environment.tar.gz", "glibc-2.34")


@pytest.fixture
def asked(tmp_path: Path, environment: Path) -> list[str]:
    """Arguments of ``deploy emr`` for a run with the name ``first``."""
    options = {
        "--bucket": BUCKET,
        "--region": REGION,
        "--name": "first",
        "--environment-archive": str(environment),
        "--output": str(tmp_path / "record"),
    }
    return ["emr", *[word for pair in options.items() for word in pair]]
