"""Output folder of an ingest, which is empty, marked as unfinished, or complete."""

import json
import re
from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from data.config import DataConfig
from data.copies import measuring_rules
from data.errors import DataError
from data.prepared import DATASET_FILE, FORMAT, REJECTS_FILE, SPLIT_FILE, Summary
from data.splitting import SplitManifest
from data.storage import absolute, exists, locate, read_bytes, write_bytes
from data.targets import check_folder_target

#: File that marks the folder as unfinished while an ingest writes to it: its content may be
#: removed.
MARKER_FILE = "unfinished.txt"

_MARKER_TEXT = b"An ingest is writing to this folder or was interrupted. The next one resumes it.\n"
_OWN_NAME = re.compile(
    rf"({re.escape(DATASET_FILE)}|{re.escape(SPLIT_FILE)}|{re.escape(REJECTS_FILE)}"
    rf"|{re.escape(MARKER_FILE)}|copies\.parquet|(train|validation|test)-\d{{5}}(-[0-9a-f]{{12}})?\.parquet)"
    r"(\.unfinished)?"
)


#: File with the measures by which copies were found, if no patients are known.
_COPIES_FILE = "copies.parquet"
_MEASURED_BY = b"sparkdl.measured"
#: Files in addition to those with images.
_FIXED = (DATASET_FILE, SPLIT_FILE, REJECTS_FILE, _COPIES_FILE)


def _files_of(summary: Summary) -> set[str]:
    return {part.name for parts in summary.files.values() for part in parts}


class OutputFolder:
    """Folder of a data set, in which only files written by an ingest are ever modified."""

    def __init__(self, uri: str) -> None:
        self._filesystem, self.root = locate(uri)
        self.is_local = isinstance(self._filesystem, fs.LocalFileSystem)
        #: Absolute address, because the executors have other working folders.
        self.uri = absolute(uri)

    def check(self) -> None:
        """Refuse a folder that contains anything but a complete or unfinished data set.

        Raises
        ------
        DataError
            If there are other files, one of which is named in the message.
        """
        check_folder_target(self.uri)
        names = self._names()
        if not names or self._has(MARKER_FILE) or self.is_finished():
            foreign = [name for name in names if _OWN_NAME.fullmatch(name) is None]
        else:
            foreign = names
        if foreign:
            raise DataError(
                f"{self.uri} contains files that do not belong to a data set, for example "
                f"{foreign[0]}; choose a new folder"
            )

    def is_finished(self) -> bool:
        """Return whether the folder contains a complete data set."""
        return self._has(DATASET_FILE)

    def holds(self, config: DataConfig, inputs_digest: str) -> bool:
        """Return whether the finished data set was made from these inputs.

        Raises
        ------
        DataError
            If it was made with another configuration, which suggests that the folder was chosen by
            mistake.
        """
        content = self._content()
        if content.get("format") != FORMAT:
            return False
        summary = Summary(**content)
        wanted = config.model_dump(mode="json")
        # Options that an earlier version did not have are treated as set to their defaults.
        made_of = DataConfig().model_dump(mode="json") | summary.config
        different = [name for name in wanted if made_of[name] != wanted[name]]
        if different:
            raise DataError(
                f"{self.uri} contains a data set with another configuration (different: "
                f"{', '.join(different)}); choose another folder or delete this one"
            )
        return summary.inputs_digest == inputs_digest

    def decoding_rules(self) -> int | None:
        """Return the version of the decoding rules of the finished data set, or None."""
        if not self.is_finished():
            return None
        rules: int = self._content().get("decoding_rules", 1)
        return rules

    def manifest(self) -> SplitManifest | None:
        """Return the split of the finished data set, or None if there is no readable one."""
        if not self.is_finished():
            return None
        try:
            text = read_bytes(self._filesystem, f"{self.root}/{SPLIT_FILE}").decode()
            return SplitManifest.from_json(text)
        except (OSError, DataError):
            return None

    def measures(self) -> pa.Table | None:
        """Return the table stored by `keep_measures`, or None if there is no usable one."""
        if not self._has(_COPIES_FILE):
            return None
        try:
            with self._filesystem.open_input_file(f"{self.root}/{_COPIES_FILE}") as stream:
                table = pq.read_table(stream)
        except (OSError, pa.ArrowInvalid):
            return None
        made_by = (table.schema.metadata or {}).get(_MEASURED_BY)
        return table if made_by == measuring_rules().encode() else None

    def keep_measures(self, table: pa.Table) -> None:
        """Store ``measured`` of `data.copies.Copies` for the next ingest."""
        content = pa.BufferOutputStream()
        try:
            pq.write_table(
                table.replace_schema_metadata({_MEASURED_BY: measuring_rules()}), content
            )
            self._write(_COPIES_FILE, content.getvalue().to_pybytes())
        except OSError as error:
            raise write_error(self.uri, str(error)) from None

    def start(self, *, keep_images: bool = False) -> None:
        """Mark the folder as unfinished and remove the files of an earlier ingest.

        Parameters
        ----------
        keep_images
            If True, keep decoded images and a complete data set, and remove only unfinished files.
        """
        try:
            self._filesystem.create_dir(self.root, recursive=True)
            self._write(MARKER_FILE, _MARKER_TEXT)
        except OSError as error:
            raise DataError(f"{self.uri} cannot be written: {error}") from None
        if not keep_images:
            self._remove(keep={MARKER_FILE})
        else:
            self._remove(keep={n for n in self._names() if not n.endswith(".unfinished")})

    def finish(self, manifest: SplitManifest, rejects: pa.Table, summary: Summary) -> None:
        """Write the tables of the data set, the summary last, and remove the marker."""
        try:
            self._write(SPLIT_FILE, manifest.to_json().encode())
            table = pa.BufferOutputStream()
            pq.write_table(rejects, table)
            self._write(REJECTS_FILE, table.getvalue().to_pybytes())
            self._write(DATASET_FILE, summary.model_dump_json(indent=1).encode())
            self._remove(keep={*_FIXED, *_files_of(summary), MARKER_FILE})
            self._filesystem.delete_file(f"{self.root}/{MARKER_FILE}")
        except OSError as error:
            raise write_error(self.uri, str(error)) from None

    def clear(self) -> None:
        """Remove the written files, the marker last; keep a data set that was complete before."""
        keep = {MARKER_FILE}
        if self.is_finished():
            content = self._content()
            keep |= {*_FIXED, *(_files_of(Summary(**content)) if content else ())}
        self._remove(keep=keep)
        if self._has(MARKER_FILE):
            self._filesystem.delete_file(f"{self.root}/{MARKER_FILE}")

    def _content(self) -> dict[str, Any]:
        """Return the content of the summary; an empty dict if it is damaged."""
        try:
            content = json.loads(read_bytes(self._filesystem, f"{self.root}/{DATASET_FILE}"))
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}

    def _remove(self, keep: Collection[str]) -> None:
        # The summary is removed first: without it, the other files do not count as a data set.
        for name in sorted(self._names(), key=lambda name: name != DATASET_FILE):
            if name not in keep and _OWN_NAME.fullmatch(name):
                self._filesystem.delete_file(f"{self.root}/{name}")

    def _names(self) -> list[str]:
        selector = fs.FileSelector(self.root, allow_not_found=True)
        return sorted(info.base_name for info in self._filesystem.get_file_info(selector))

    def _has(self, name: str) -> bool:
        return exists(self._filesystem, f"{self.root}/{name}")

    def _write(self, name: str, content: bytes) -> None:
        write_bytes(self._filesystem, f"{self.root}/{name}", content)


def write_error(uri: str, message: str) -> DataError:
    """Return an error with the reason why ``uri`` could not be written."""
    if re.search(r"no space left|errno 28|disk quota", message, re.IGNORECASE):
        return DataError(f"no space left on the disk of {uri}: free some or choose another folder")
    return DataError(
        f"{uri} cannot be written: {message.splitlines()[0] if message else 'unknown'}"
    )
