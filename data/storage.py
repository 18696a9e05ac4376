"""Access to files on disk or in an object store."""

from pathlib import Path

from pyarrow import fs

from data.addresses import plain_address
from data.object_store import is_object, locate_object


def locate(uri: str | Path) -> tuple[fs.FileSystem, str]:
    """Return the file system of ``uri`` and the path on it.

    A local path is made absolute, because executors have other working folders.

    Raises
    ------
    DataError
        If `data.addresses.plain_address` refuses the address.
    """
    address = plain_address(str(uri))
    if is_object(address):
        return locate_object(address)
    return fs.LocalFileSystem(), str(Path(address).absolute())


def absolute(uri: str | Path) -> str:
    """Return ``uri`` as an address that is valid in processes with another working folder.

    Raises
    ------
    DataError
        As raised by `locate`.
    """
    address = plain_address(str(uri))
    return address if is_object(address) else str(Path(address).absolute())


def exists(filesystem: fs.FileSystem, path: str) -> bool:
    """Return whether a file or folder exists at ``path``."""
    return filesystem.get_file_info(path).type != fs.FileType.NotFound


def read_bytes(filesystem: fs.FileSystem, path: str) -> bytes:
    """Return the whole content of a small file."""
    if isinstance(filesystem, fs.LocalFileSystem):
        return Path(path).read_bytes()  # 0.06 ms faster than through Arrow
    with filesystem.open_input_stream(path) as stream:
        return stream.read()


def write_bytes(filesystem: fs.FileSystem, path: str, content: bytes) -> None:
    """Write a small file atomically."""
    if isinstance(filesystem, fs.LocalFileSystem):
        unfinished = f"{path}.unfinished"
        try:
            with filesystem.open_output_stream(unfinished) as stream:
                stream.write(content)
            filesystem.move(unfinished, path)
        except OSError:
            Path(unfinished).unlink(missing_ok=True)
            raise
    else:  # an object becomes visible only when its upload is complete
        with filesystem.open_output_stream(path) as stream:
            stream.write(content)
