"""LMDB databases of Caffe's ``Datum`` as folders of image files.

The rest of the package reads files, so a database is unpacked once into the cache of the user's
account: encoded images as they are, pixels as PNG files, in one folder for each class.
"""

import hashlib
import io
import os
import re
import shutil
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.errors import DataError
from data.object_store import is_object
from data.own_folders import held, remove_abandoned, unfinished

#: File of a database.
_FILE = "data.mdb"
#: Files beside a database whose lines name the classes 0, 1, 2 and so on.
_NAMES = ("labels.txt", "classes.txt", "synset_words.txt", "synsets.txt")
#: Parts of a data set in the names of databases, and the folders that the layouts know.
_PARTS = {"train": "train", "val": "validation", "test": "test"}
#: First bytes of encoded images, and the suffixes of their files.
_SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"BM": ".bmp", b"GIF8": ".gif"}
#: Caffe's key of an image: its number and its path.
_KEY = re.compile(r"(\d{8,})_(.+)")


def images_of(source: str) -> str:
    """Return the folder with the images of ``source``.

    Parameters
    ----------
    source
        Folder of a database, folder with several databases whose names contain ``train``, ``val``
        or ``test``, or any other source, which is returned unchanged.

    Raises
    ------
    DataError
        If a database cannot be read or contains no image, or the cache cannot be written.
    """
    found = databases(source)
    if not found:
        return source
    target = cache() / f"lmdb-{_digest(found)}"
    if not target.is_dir():
        try:
            _unpack(found, target)
        except OSError as error:
            raise DataError(
                f"the images of {source} cannot be unpacked to {target.parent} ({error.strerror}): "
                "set XDG_CACHE_HOME to a folder with enough space"
            ) from error
    return str(target)


def databases(source: str) -> dict[str, Path]:
    """Return the databases of ``source`` by the folder of their part; that of a single one is "".

    Empty if the source is not an LMDB.
    """
    if "\0" in source or is_object(source):
        return {}
    folder = Path(os.path.expanduser(source))  # noqa: PTH111 - Path raises for unknown users
    if (folder / _FILE).is_file():
        return {"": folder}
    if not folder.is_dir():
        return {}
    inner = sorted(path.parent for path in folder.glob(f"*/{_FILE}"))
    parts = {_PARTS[name]: path for path in inner for name in _PARTS if name in path.name.lower()}
    if len(parts) < len(inner):
        raise DataError(
            f"{source} holds the LMDBs {', '.join(path.name for path in inner)}: their names do "
            "not say which is train, val or test; give one of them"
        )
    return parts


def count(folder: Path) -> int:
    """Return the number of entries of a database.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    with _opened(folder) as environment:
        return int(environment.stat()["entries"])


def cache() -> Path:
    """Return the folder for files that are derived from a user's data and can be made again."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return Path(home) / "sparkdl-bench"


def _digest(found: dict[str, Path]) -> str:
    parts = []
    for part, folder in found.items():
        state = (folder / _FILE).stat()
        parts.append(f"{part}:{folder.resolve()}:{state.st_size}:{state.st_mtime_ns}")
        parts += _class_names(folder)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _unpack(found: dict[str, Path], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target.parent)
    folder = unfinished(target)
    folder.mkdir()
    try:
        with held(folder):
            for part, database in found.items():
                _unpack_one(database, folder / part)
            folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack_one(database: Path, folder: Path) -> None:
    names = _class_names(database)
    written = 0
    for key, datum in _entries(database):
        content, suffix = _file_of(datum, f"{database}: the entry {key}")
        label = int(datum.label)
        name = names[label] if 0 <= label < len(names) else str(label)
        place = folder / name.replace("/", "_")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{key.replace('/', '_')}{suffix}").write_bytes(content)
        written += 1
    if not written:
        raise DataError(f"{database} is an LMDB without images")


def _entries(database: Path) -> Iterator[tuple[str, Any]]:
    """Yield name and ``Datum`` of each entry, in the order of the keys."""
    from google.protobuf.message import DecodeError

    message = _datum()
    with _opened(database) as environment, environment.begin() as transaction:
        for raw, value in transaction.cursor():
            key = bytes(raw).decode("utf-8", "replace")
            datum = message()
            try:
                datum.ParseFromString(bytes(value))
            except DecodeError as error:
                raise DataError(f"{database}: the entry {key} is not a Datum of Caffe") from error
            path = _KEY.fullmatch(key)
            # The number keeps two images of the same path apart.
            yield (f"{path[1]}_{Path(path[2]).with_suffix('')}" if path else key), datum


def _opened(database: Path) -> Any:
    import lmdb

    try:
        return lmdb.open(str(database), readonly=True, lock=False, readahead=True, max_readers=1)
    except lmdb.Error as error:
        raise DataError(f"{database} cannot be read as an LMDB: {error}") from error


def _file_of(datum: Any, where: str) -> tuple[bytes, str]:
    """Return content and suffix of the image file of a ``Datum``."""
    if datum.encoded:
        for begin, suffix in _SUFFIXES.items():
            if datum.data.startswith(begin):
                return datum.data, suffix
        raise DataError(f"{where} is encoded, but in none of the formats JPEG, PNG, BMP and GIF")
    shape = (datum.channels, datum.height, datum.width)
    if datum.channels not in (1, 3) or len(datum.data) != np.prod(shape):
        raise DataError(
            f"{where} has {len(datum.data):,} bytes of pixels and the shape {shape}: only 8-bit "
            "images of 1 or 3 channels can be read"
        )
    pixels = np.frombuffer(datum.data, np.uint8).reshape(shape)
    # Caffe stores the channels blue, green, red.
    image = pixels[0] if datum.channels == 1 else pixels[::-1].transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, "PNG", compress_level=1)
    return file.getvalue(), ".png"


def _class_names(database: Path) -> list[str]:
    """Return the names of the classes from a file in or beside the database, if there is one."""
    for folder in (database, database.parent):
        for name in _NAMES:
            if (path := folder / name).is_file():
                lines = path.read_text("utf-8", "replace").splitlines()
                return [line.strip() for line in lines if line.strip()]
    return []


@lru_cache(maxsize=1)
def _datum() -> Any:
    """Return the message ``Datum`` with the numbers of its fields in Caffe's files."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="sparkdl_bench/datum.proto", package="sparkdl_bench.datum", syntax="proto2"
    )
    message = file.message_type.add(name="Datum")
    fields = {
        "channels": (1, kinds.TYPE_INT32), "height": (2, kinds.TYPE_INT32),
        "width": (3, kinds.TYPE_INT32), "data": (4, kinds.TYPE_BYTES),
        "label": (5, kinds.TYPE_INT32), "float_data": (6, kinds.TYPE_FLOAT),
        "encoded": (7, kinds.TYPE_BOOL),
    }  # fmt: skip
    for name, (number, kind) in fields.items():
        repeated = kinds.LABEL_REPEATED if name == "float_data" else kinds.LABEL_OPTIONAL
        message.field.add(name=name, number=number, type=kind, label=repeated)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("sparkdl_bench.datum.Datum"))
