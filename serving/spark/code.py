"""Python code that executors need to classify images, sent to clusters that may not have it."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from data.project import ROOT

if TYPE_CHECKING:
    from pyspark import SparkContext

#: Packages that executors import.
PACKAGES = ("data", "models", "serving")
#: Date of all files in the archive, the first one that ZIP can represent: archives with the same
#: files are equal.
_DATE = (1980, 1, 1, 0, 0, 0)

#: Applications that have the code.
_shipped: set[str] = set()


def ship_code(context: "SparkContext") -> None:
    """Send the packages to all executors of ``context``; local ones import them from here."""
    if context.master.startswith("local[") or context.master == "local":
        return
    if context.applicationId in _shipped:
        return
    from pyspark import SparkFiles

    content = _archive()
    name = f"sparkdl-bench-{hashlib.sha256(content).hexdigest()[:12]}.zip"
    # Spark removes this folder when the context stops, and serves the file from it until then.
    folder = Path(SparkFiles.getRootDirectory()) / "code"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    context.addPyFile(str(folder / name))
    _shipped.add(context.applicationId)


def _archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in PACKAGES:
            for file in sorted((ROOT / package).rglob("*.py")):
                entry = zipfile.ZipInfo(str(file.relative_to(ROOT)), _DATE)
                archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return content.getvalue()
