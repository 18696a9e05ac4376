"""Listings of many files: complete, sorted, in bounded memory, and in parallel from a store."""

import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyarrow import fs

from data.config import DataConfig
from data.layouts import read_index
from data.layouts.listing import list_source
from data.object_listing import objects_below
from tests.s3_server import BUCKET, ENVIRONMENT, client, s3_server

FILES = 20_000
OBJECTS = 3_000


def names(count: int) -> Iterator[str]:
    """Yield image paths as class/patient/image, with two classes."""
    for number in range(count):
        patient = number % 97
        yield f"{('sick', 'well')[patient % 2]}/p{patient}/image {number}.png"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many")
    for name in {str(Path(name).parent) for name in names(97)}:
        (root / name).mkdir(parents=True)
    for number, name in enumerate(names(FILES)):
        (root / name).write_bytes(b"x" * (number % 3))
    return root


@pytest.mark.slow
def test_every_file_of_a_large_folder_is_listed_once_with_its_size(folder: Path) -> None:
    listing = list_source(str(folder))
    assert listing.files == tuple(sorted(names(FILES)))
    number_of = {name: number for number, name in enumerate(names(FILES))}
    assert listing.sizes.tolist() == [number_of[name] % 3 for name in listing.files]
    assert not listing.unusable


@pytest.mark.slow
def test_index_of_a_large_folder_takes_hundreds_of_bytes_for_an_image(folder: Path) -> None:
    """A million images then fit on a laptop; one dictionary per image would take a gigabyte."""
    config = DataConfig(source=str(folder), group_pattern=r"(p\d+)/")
    read_index(config)
    tracemalloc.start()
    index = read_index(config)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert index.table.num_rows == FILES
    assert peak / FILES < 600


class _Slow:
    """A file system that records the maximum number of concurrent listings."""

    def __init__(self, filesystem: fs.FileSystem) -> None:
        self._filesystem = filesystem
        self._lock = threading.Lock()
        self._under_way = self.most = 0

    def get_file_info(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        with self._lock:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        time.sleep(0.02)
        found: list[fs.FileInfo] = self._filesystem.get_file_info(selector)
        with self._lock:
            self._under_way -= 1
        return found


@pytest.mark.slow
def test_prefixes_are_listed_in_parallel_and_nothing_twice(folder: Path) -> None:
    slow = _Slow(fs.LocalFileSystem())
    found = [*objects_below(slow, str(folder))]
    assert sorted(name for name, _ in found) == sorted(names(FILES))
    assert slow.most > 4


@pytest.mark.slow
def test_thousands_of_objects_are_listed_in_parallel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with s3_server(tmp_path) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        service = client(address)
        with ThreadPoolExecutor(8) as pool:
            for _ in pool.map(
                lambda name: service.put_object(Bucket=BUCKET, Key=f"raw/{name}", Body=b"xy"),
                [*names(OBJECTS), "top.png", "sick/beside.png"],
            ):
                pass
        listing = list_source(f"s3://{BUCKET}/raw")
        wanted = sorted([*names(OBJECTS), "top.png", "sick/beside.png"])
        assert listing.files == tuple(wanted)
        assert set(listing.sizes.tolist()) == {2}
        service.put_object(Bucket=BUCKET, Key="raw/patients.csv", Body=b"path,label,group\n")
        assert "patients.csv" in list_source(f"s3://{BUCKET}/raw").files
