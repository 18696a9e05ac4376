"""Folder of a bulk scoring: the request, the finished parts, and the table made from them."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs
from pydantic import BaseModel, ConfigDict, ValidationError

from data.output import write_error
from data.storage import absolute, exists, locate, read_bytes, write_bytes
from data.targets import check_folder_target
from serving.errors import ServingError

#: Table with one row for each image.
TABLE = "predictions.parquet"
_REQUEST, _PARTS = "request.json", "parts"
#: Metadata key of the table for the request that it answers.
_ANSWERS = b"sparkdl.request"
_OWN = (TABLE, _REQUEST, _PARTS, f"{_REQUEST}.unfinished", f"{TABLE}.unfinished")


class Request(BaseModel):
    """Everything that determines the table."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())
    #: Number of images, and SHA-256 over their addresses, sizes and the columns passed through.
    images: int
    inputs: str
    #: SHA-256 of the engine, the network and its card.
    model: str
    #: Versions and rules of the image decoders.
    decoders: str

    def differences(self, other: "Request") -> str:
        """Return the kinds of fields that differ, for a message."""
        names = {"images": "images", "inputs": "images", "model": "model"}
        different = dict.fromkeys(
            names.get(name, "versions of the image decoders")
            for name in Request.model_fields
            if getattr(self, name) != getattr(other, name)
        )
        return ", ".join(different)


class ScoringFolder:
    """Folder in which only files written by a bulk scoring are ever modified."""

    def __init__(self, uri: str | Path) -> None:
        self._filesystem, self._root = locate(uri)
        #: Absolute address.
        self.uri = absolute(uri)

    @property
    def parts(self) -> str:
        """Address of the folder of the parts."""
        return f"{self.uri.rstrip('/')}/{_PARTS}"

    def start(self, request: Request) -> None:
        """Write the request to a new folder, or check that it is that of the folder.

        Raises
        ------
        DataError, ServingError
            If the folder cannot be written, has other files, or belongs to another request.
        """
        check_folder_target(self.uri)
        selector = fs.FileSelector(self._root, allow_not_found=True)
        names = sorted(info.base_name for info in self._filesystem.get_file_info(selector))
        if foreign := [name for name in names if name not in _OWN]:
            raise ServingError(
                f"{self.uri} contains files that do not belong to predictions, for example "
                f"{foreign[0]}; choose a new folder"
            )
        if _REQUEST in names:
            self._check(request)
            return
        try:
            self._filesystem.create_dir(f"{self._root}/{_PARTS}", recursive=True)
            self._write(_REQUEST, request.model_dump_json(indent=1).encode())
        except OSError as error:
            raise write_error(self.uri, str(error)) from None

    def table(self, request: Request) -> pa.Table | None:
        """Return the finished table, or None if it is missing or damaged."""
        if not exists(self._filesystem, f"{self._root}/{TABLE}"):
            return None
        with self._filesystem.open_input_file(f"{self._root}/{TABLE}") as stream:
            try:
                table = pq.read_table(stream)
            except (OSError, pa.ArrowInvalid):
                return None
        metadata = dict(table.schema.metadata or {})
        if metadata.pop(_ANSWERS, None) != request.model_dump_json().encode():
            return None
        return table.replace_schema_metadata(metadata or None)

    def read_parts(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the tables of the parts.

        Raises
        ------
        ServingError
            If a part was removed or damaged by another program.
        """
        for name in names:
            path = f"{self._root}/{_PARTS}/{name}"
            try:
                with self._filesystem.open_input_file(path) as stream:
                    yield pq.read_table(stream)
            except (OSError, pa.ArrowInvalid) as error:
                raise ServingError(
                    f"{self.parts}/{name} was removed or damaged while the images were classified; "
                    "repeat the command"
                ) from error

    def finish(self, table: pa.Table, request: Request) -> None:
        """Write the table and remove the parts.

        Raises
        ------
        DataError
            If the table cannot be written.
        """
        answers = {**(table.schema.metadata or {}), _ANSWERS: request.model_dump_json().encode()}
        content = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata(answers), content)
        try:
            self._write(TABLE, content.getvalue().to_pybytes())
        except OSError as error:
            raise write_error(self.uri, str(error)) from None
        with suppress(OSError):
            self._filesystem.delete_dir(f"{self._root}/{_PARTS}")

    def _check(self, request: Request) -> None:
        try:
            before = Request.model_validate_json(
                read_bytes(self._filesystem, f"{self._root}/{_REQUEST}")
            )
        except ValidationError:
            raise ServingError(
                f"{self.uri}/{_REQUEST} is damaged: delete this folder or choose another one"
            ) from None
        if before != request:
            raise ServingError(
                f"{self.uri} contains predictions of another request (different: "
                f"{request.differences(before)}); choose another folder or delete this one"
            )

    def _write(self, name: str, content: bytes) -> None:
        write_bytes(self._filesystem, f"{self._root}/{name}", content)
