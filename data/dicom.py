"""DICOM files: whether they can be read here, and what their headers say of an image."""

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

#: Beginning of a message where the optional packages are missing.
NEEDS_EXTRA = "DICOM files need the extra dicom: uv run --extra dicom run_experiment.py"
#: Headers that are read at once: most of the time is waiting for the disk or the object store.
_THREADS = 8
#: Bytes in which an object's header is looked for: thumbnails in it are rarely larger.
_HEADER_BYTES = 262_144
_TAGS = ["PatientID", "Rows", "NumberOfFrames", "Modality"]


@dataclass(frozen=True)
class Header:
    """Values of the header of a DICOM file."""

    #: The PatientID without spaces around; empty where the file has none.
    patient: str = ""
    #: Why the file is no usable image, None for one that may be.
    problem: str | None = None


@cache
def is_available() -> bool:
    """Tell whether the packages of the extra ``dicom`` are installed."""
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
    """Yield the header of each file below ``root``, in their order; pixels are not read."""
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
    except Exception as error:  # pydicom raises almost anything on damaged bytes
        return Header(problem=f"damaged DICOM header: {first_line(error)}")


def problem_of(dataset: "Dataset") -> str | None:
    """Return why a data set of pydicom is no usable image, None where nothing in it says so."""
    if not dataset.get("Rows"):
        modality = visible(str(dataset.get("Modality") or ""))
        kind = f" (of the modality {modality})" if modality else ""
        return f"a DICOM file without pixels{kind}"
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        return f"a DICOM file of {frames} frames: save each frame as a file of its own"
    return None


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or its type where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
