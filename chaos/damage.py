"""Copies of a prepared data set in which one training image is damaged."""

from os import SEEK_CUR
from pathlib import Path
from shutil import copytree

import pyarrow as pa
import pyarrow.parquet as pq

from data.config import DataConfig
from data.prepared import PreparedData, open_prepared
from experiments.runs.preparation import prepared_folder

_PIXELS = "pixels"


def copy_of(config: DataConfig, base: str, target: Path) -> PreparedData:
    """Copy the prepared data of ``config`` from below ``base`` to the same folder of ``target``."""
    source = open_prepared(prepared_folder(config, base))
    return open_prepared(copytree(source.uri, prepared_folder(config, str(target))))


def shorten_last_image(data: PreparedData) -> str:
    """Remove a byte from the last training image; return the name of its file."""
    path = _last_file(data)
    table = pq.read_table(path)
    pixels = table.column(_PIXELS).to_pylist()
    pixels[-1] = pixels[-1][:-1]
    number = table.schema.get_field_index(_PIXELS)
    field = table.schema.field(number)
    column = pa.array(pixels, field.type)
    groups = pq.ParquetFile(path).metadata
    pq.write_table(
        table.set_column(number, field, column),
        path,
        compression=groups.row_group(0).column(0).compression,
        row_group_size=groups.row_group(0).num_rows,
        write_page_checksum=True,
    )
    return path.name


def flip_a_bit(data: PreparedData) -> str:
    """Flip one bit in the pixels of the last training images; return the name of their file.

    This simulates a fault of a disk or of memory: the length of the file and its footer stay
    intact.
    """
    path = _last_file(data)
    metadata = pq.ParquetFile(path).metadata
    group = metadata.row_group(metadata.num_row_groups - 1)
    names = [group.column(number).path_in_schema for number in range(group.num_columns)]
    chunk = group.column(names.index(_PIXELS))
    with path.open("r+b") as stream:
        stream.seek(chunk.data_page_offset + chunk.total_compressed_size // 2)
        (byte,) = stream.read(1)
        stream.seek(-1, SEEK_CUR)
        stream.write(bytes([byte ^ 1]))
    return path.name


def _last_file(data: PreparedData) -> Path:
    """Return the file of the last worker's last images."""
    return Path(data.uri) / data.summary.files["train"][-1].name
