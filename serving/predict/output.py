"""Files with the results: CSV, Parquet or JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import IO, Any

import pyarrow as pa

from data.errors import DataError
from data.storage import locate, write_bytes
from data.targets import check_file_target, refuse_inside
from models.card import DISCLAIMER
from serving.find import FoundModel
from serving.predict.finding import is_folder
from serving.predict.results import Results

#: Formats by suffix.
_SUFFIXES = (".csv", ".parquet", ".json")
_TABLE = ".csv"
#: Significant digits of a float32.
_DIGITS = 7


def check_output(output: str, paths: Sequence[str]) -> None:
    """Refuse an output that cannot be written, before anything is classified.

    Raises
    ------
    DataError
        If the suffix is unknown, the location is not writable, or the file is a table in a folder
        of ``paths``: the next command would read the predicted classes as labels.
    """
    if not output.lower().endswith(_SUFFIXES):
        raise DataError(f"--output {output}: its name must end in .csv, .parquet or .json")
    check_file_target(output, "predictions.csv")
    for path in paths:
        if output.lower().endswith(_TABLE) and is_folder(path):
            refuse_inside(output, path)


def write(
    results: Results, model: FoundModel, output: str, more: Mapping[str, Any] | None = None
) -> list[str]:
    """Write the results, and return the addresses of the files.

    JSON has the images, the patients and ``more`` in one file. For CSV and Parquet, the means by
    patient are in a second file, ``<name>.patients.<suffix>``.
    """
    suffix = PurePosixPath(output.lower()).suffix
    if suffix == ".json":
        found = {**content(results, model), **(more or {})}
        _write(output, json.dumps(found, indent=1, ensure_ascii=False).encode())
        return [output]
    encode = _as_csv if suffix == ".csv" else _as_parquet
    _write(output, encode(results.table()))
    written = [output]
    if rows := results.patient_rows():
        ending = output[-len(suffix) :]
        beside = f"{output[: -len(suffix)]}.{results.images.unit}s{ending}"
        _write(beside, encode(pa.Table.from_pylist(rows)))
        written.append(beside)
    return written


def content(results: Results, model: FoundModel) -> dict[str, Any]:
    """Return the results with the model, in the types of JSON."""
    card = results.card
    found: dict[str, Any] = {
        "model": {
            "name": model.name or card.name,
            "version": model.version,
            "run_id": model.run_id or card.run_id,
            "classes": list(card.class_names),
            "positive_class": card.positive_class,
            "threshold": card.threshold.value,
        },
        "disclaimer": DISCLAIMER,
        "images": [*_rows(results)],
    }
    if patients := results.patient_rows():
        found[f"{results.images.unit}s"] = [
            {name: _short(value) for name, value in row.items()} for row in patients
        ]
    return found


def print_lines(results: Results, stream: IO[str], more: Mapping[str, Any] | None = None) -> None:
    """Print each image, each reject and, at the end, ``more`` as a line of JSON."""
    for row in (*_rows(results), *([more] if more else [])):
        stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _rows(results: Results) -> Iterator[dict[str, Any]]:
    """Yield one row for each image and reject, in the types of JSON, without empty values."""
    for row in results.table().to_pylist():
        yield {name: _short(value) for name, value in row.items() if value is not None}


def _short(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _as_csv(table: pa.Table) -> bytes:
    from pyarrow import csv

    sink = pa.BufferOutputStream()
    csv.write_csv(table, sink, csv.WriteOptions(quoting_style="needed", quoting_header="needed"))
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


def _as_parquet(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


def _write(output: str, encoded: bytes) -> None:
    filesystem, path = locate(output)
    filesystem.create_dir(str(PurePosixPath(path).parent), recursive=True)
    try:
        write_bytes(filesystem, path, encoded)
    except OSError as error:
        raise DataError(f"{output} cannot be written: {error.strerror or error}") from error
