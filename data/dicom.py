"""DICOM support: availability of the decoders, and the headers of files."""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pyarrow import fs

from data.names import visible

if TYPE_CHECKING:
    from pydicom import Dataset

#: Message if the optional packages are missing.
NEEDS_EXTRA = "DICOM files need the extra dicom: uv run --extra dicom run_experiment.py"
#: Headers read concurrently: most of the time is spent waiting for the disk or object store.
_THREADS = 8
#: Bytes of an object that are downloaded for its header, which is rarely larger even with a
#: thumbnail.
_HEADER_BYTES = 262_144
_TAGS = ["PatientID", "Rows", "NumberOfFrames", "Modality"]


@dataclass(frozen=True)
class Header:
    """Values from the header of a DICOM file."""

    #: PatientID without surrounding spaces; empty if the file has none.
    patient: str = ""
    #: Reason why the file is not a usable image; None if the header shows no such reason.
    problem: str | None = None


@cache
def is_available() -> bool:
    """Return whether the packages of the extra ``dicom`` are installed."""
    return find_spec("pydicom") is not None


@cache
def versions() -> str:
    """Return the names and versions of the packages that decode DICOM."""
    found = []
    for name in ("pydicom", "python-gdcm"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def read_headers(filesystem: fs.FileSystem, root: str, paths: Sequence[str]) -> Iterator[Header]:
    """Yield the header of each file, in the order of ``paths``, which are relative to ``root``.

    Pixels are not read.
    """
    if not paths:
        return
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(partial(_read_header, filesystem), [f"{root}/{p}" for p in paths])


def _read_header(filesystem: fs.FileSystem, path: str) -> Header:
    from pydicom import dcmread

    try:
        if isinstance(filesystem, fs.LocalFileSystem):
            dataset = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=True)
        else:
            with filesystem.open_input_file(path) as stream:
                start = io.BytesIO(stream.read(_HEADER_BYTES))
            dataset = dcmread(start, stop_before_pixels=True, specific_tags=_TAGS, force=True)
        patient = str(dataset.get("PatientID") or "").strip()
        return Header(patient, problem_of(dataset))
    except Exception as error:  # pydicom raises arbitrary exceptions on damaged files
        return Header(problem=f"damaged DICOM header: {first_line(error)}")


def problem_of(dataset: "Dataset") -> str | None:
    """Return why a pydicom data set is not a usable image, or None if it may be one."""
    if not dataset.get("Rows"):
        modality = visible(str(dataset.get("Modality") or ""))
        kind = f" (of the modality {modality})" if modality else ""
        return f"a DICOM file without pixels{kind}"
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        return f"a DICOM file of {frames} frames: save each frame as a file of its own"
    return None


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type if the message is empty."""
    return (str(error).splitlines() or [type(error).__name__])[0]
