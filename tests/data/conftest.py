"""Real images, if they are available on this machine."""

import os
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

BESIDE_THE_PROJECT = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the zip files of real images."""
    folder = Path(os.environ.get("SPARKDL_REAL_DATA", BESIDE_THE_PROJECT))
    if not folder.is_dir():
        pytest.skip(f"no real images: {folder} is missing (name another in SPARKDL_REAL_DATA)")
    return folder


@pytest.fixture(scope="session")
def unzipped(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unpack ``<name>.zip`` of the real images once and return the folder."""

    @cache
    def unpack(name: str) -> Path:
        archive = real_data / f"{name}.zip"
        if not archive.is_file():
            pytest.skip(f"no real images: {archive} is missing")
        folder = tmp_path_factory.mktemp(name)
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
        return folder

    return unpack
